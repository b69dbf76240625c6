"""The identity keys of all rows, one kind at a time, as columns of numbers: which rows hold the same key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[np.uint32]
    Mask: TypeAlias = NDArray[np.bool_]
    Indexes: TypeAlias = NDArray[np.integer[Any]]

NOBODY: Final = np.uint32(2**32 - 1)
"""Stands where no row and no person is."""

ADDRESSES: Final = ("email", "mailbox")
"""The kinds of keys that are addresses."""

STRONG: Final = ("linkedin", *ADDRESSES)
"""The kinds of keys that identify by themselves."""


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one kind, equal ones side by side.

    They are compared by polars' 64-bit hash, which is stored nowhere. A collision would make one person of
    two strangers; among ten million different keys the odds of a single one are 1 to 370,000.

    Attributes:
        values: the key of every cell that holds one.
        cells: the cells in an order in which equal keys are neighbours, the first one first.
        rows: the row of each of these cells.
        starts: where in that order the next key begins.
    """

    values: pl.Series
    cells: Indexes
    rows: Rows
    starts: Indexes

    @classmethod
    def of(cls, identified: pl.DataFrame, kind: str) -> Keys:
        """The keys in all columns of one kind."""
        columns = [identified[name] for name in key_columns(identified.columns, (kind,))]
        values = pl.concat([pl.Series(dtype=pl.String), *(column.drop_nulls() for column in columns)])
        rows = pl.concat(
            [pl.Series(dtype=pl.UInt32), *(column.is_not_null().arg_true() for column in columns)]
        )
        cells, starts = _side_by_side(values.hash().to_numpy())
        return cls(values, cells, rows.to_numpy()[cells], starts)

    def first_rows(self) -> Rows:
        """The first row that holds each key."""
        return np.minimum.reduceat(self.rows, self.starts)

    def least(self, of_row: Rows) -> Rows:
        """The smallest value among the rows that hold each key."""
        return np.minimum.reduceat(of_row[self.rows], self.starts)

    def most(self, of_row: Rows) -> Rows:
        """The largest value among the rows that hold each key."""
        return np.maximum.reduceat(of_row[self.rows], self.starts)

    def spread(self, of_key: Rows) -> Rows:
        """The value of each key at every one of ``rows``."""
        return np.repeat(of_key, np.diff(self.starts, append=len(self.rows)))

    def links(self) -> tuple[Rows, Rows]:
        """Every row that is not the first one with its key, and that first one."""
        first = self.spread(self.first_rows())
        later = first != self.rows
        return self.rows[later], first[later]


def _side_by_side(hashes: NDArray[np.uint64]) -> tuple[Indexes, Indexes]:
    """An order in which equal hashes are neighbours, earlier cells first, and where in it another begins.

    Sorting numbers takes a third of the time of sorting cells by them. So what is sorted is the upper bits
    of each hash with the cell in the lower ones; the few runs of equal upper bits that mix hashes are sorted
    again.
    """
    lower = np.uint64((1 << len(hashes).bit_length()) - 1)
    upper = (hashes & ~lower) | np.arange(len(hashes), dtype=np.uint64)
    upper.sort()
    cells = (upper & lower).astype(np.intp)
    upper &= ~lower
    ordered = hashes[cells]
    mixed = np.unique(upper[1:][(upper[1:] == upper[:-1]) & (ordered[1:] != ordered[:-1])])
    for begin, end in zip(np.searchsorted(upper, mixed), np.searchsorted(upper, mixed, "right"), strict=True):
        again = np.argsort(ordered[begin:end], kind="stable")
        cells[begin:end] = cells[begin:end][again]
        ordered[begin:end] = ordered[begin:end][again]
    differs = np.ones(len(cells), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return cells, np.flatnonzero(differs)


def key_columns(columns: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """The columns that hold keys of these kinds."""
    return [
        name
        for name in columns
        if any(name == f"key_{kind}" or name.startswith(f"key_{kind}_") for kind in kinds)
    ]


def holds_any(identified: pl.DataFrame, kinds: Iterable[str]) -> Mask:
    """Whether each row has a key of one of these kinds."""
    present = [pl.col(name).is_not_null() for name in key_columns(identified.columns, kinds)]
    if not present:
        return np.zeros(identified.height, dtype=np.bool_)
    return identified.select(pl.any_horizontal(present)).to_series().to_numpy()
