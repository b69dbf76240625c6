"""UUIDs as polars numbers of 16 bytes, in which the library thinks, and as text, in which it speaks.

A column of text takes three times the memory, and longer to compare, sort and hash.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

import polars as pl

from buena_pipeline.schema import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HALF: Final = 2**64
_PARTS: Final = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
"""Where the groups of digits begin and end; a hyphen stands between them."""

_LENGTH: Final = 36


def as_text(numbers: pl.Series) -> pl.Series:
    """UUIDs as people read them.

    Args:
        numbers: ``schema.UUID``.

    Returns:
        String, as long as the input, null where it is.

    Example:
        >>> as_text(pl.Series([255, None], dtype=UUID)).to_list()
        ['00000000-0000-0000-0000-0000000000ff', None]
    """
    import numpy as np
    import pyarrow as pa

    digits = np.frombuffer(binascii.hexlify(as_bytes(numbers).tobytes()), dtype=np.uint8).reshape(-1, 32)
    written = np.full((len(numbers), _LENGTH), ord("-"), dtype=np.uint8)
    for hyphens, (begin, end) in enumerate(_PARTS):
        written[:, begin + hyphens : end + hyphens] = digits[:, begin:end]
    ends = np.arange(len(numbers) + 1, dtype=np.int64) * _LENGTH
    text = pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(written))
    # not as a Series: for that polars would import pyarrow.compute, which takes longer than all else here
    named = pl.DataFrame(pa.table({numbers.name: text})).to_series()
    return named if not numbers.null_count() else pl.select(pl.when(numbers.is_not_null()).then(named))[:, 0]


def as_number(text: pl.Series) -> pl.Series:
    """UUIDs as numbers.

    Args:
        text: String, as ``as_text`` gives it.

    Returns:
        ``schema.UUID``, as long as the input; null where the text is, or is no UUID.

    Example:
        >>> as_number(pl.Series(["00000000-0000-0000-0000-0000000000ff", None])).to_list()
        [255, None]
    """
    digits = text.cast(pl.String).str.replace_all("-", "", literal=True)
    return digits.str.decode("hex", strict=False).bin.reinterpret(dtype=UUID, endianness="big")


def as_bytes(numbers: pl.Series) -> NDArray[np.uint64]:
    """The 16 bytes of each UUID, first one first, as two numbers a row; zeros for null."""
    number = pl.lit(numbers.fill_null(0))
    halves = pl.select(high=(number // _HALF).cast(pl.UInt64), low=(number % _HALF).cast(pl.UInt64))
    return halves.to_numpy().astype(">u8", order="C")
