"""Tables from JSON: a list of objects, or one object per line. What is broken is refused with its line."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from pathlib import Path
from typing import Final

import polars as pl

from buena_pipeline.errors import FileFormatError

_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# all that is not white space or a bracket, a comma, a colon, true, false or null
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?\d[\d.eE+-]*')

# what polars says quotes the value
_MIXED: Final = (
    "cannot be read as a table: a field is plain in one object, and a list or an object in another."
)


def read_objects(path: Path) -> pl.DataFrame:
    """Read a list of JSON objects.

    Args:
        path: a .json file.

    Returns:
        One row per object, one column per name; the dtypes are those that all rows agree on.

    Raises:
        FileFormatError: if the file is no JSON, or no list of objects.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "leads.json")
        ...     _ = path.write_text('[{"email": "jane@acme.example"}, {"phone": 7}]')
        ...     read_objects(path).rows()
        [('jane@acme.example', None), (None, 7)]
    """
    try:
        return pl.read_json(_source(path), infer_schema_length=None)
    except pl.exceptions.PolarsError:  # which does not say where; reading again does
        try:
            parsed = json.loads(_data(path), parse_int=float)
        except json.JSONDecodeError as error:
            cure = " One object on each line is .ndjson." if error.msg == "Extra data" else ""
            raise FileFormatError(
                f"{path}, line {error.lineno}: this is not JSON ({error.msg}).{cure}"
            ) from None
        except UnicodeDecodeError as error:
            line = _data(path).count(b"\n", 0, error.start) + 1
            raise FileFormatError(f"{path}, line {line}: the text is not in UTF-8.") from None
        if isinstance(parsed, list) and all(isinstance(row, dict) for row in parsed):
            _require_numbers(_data(path).decode(errors="replace"), path)
            raise FileFormatError(f"{path} {_MIXED}") from None
        raise FileFormatError(
            f'{path} holds no table. Needed is a list of objects, such as [{{"email": "..."}}].'
        ) from None


def read_lines(path: Path) -> pl.DataFrame:
    r"""Read one JSON object per line.

    Args:
        path: an .ndjson or .jsonl file; blank lines are no rows.

    Returns:
        As ``read_objects``.

    Raises:
        FileFormatError: if a line is no JSON object.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "leads.ndjson")
        ...     _ = path.write_text('{"email": "jane@acme.example"}\n{"phone": 7}\n')
        ...     read_lines(path).rows()
        [('jane@acme.example', None), (None, 7)]
    """
    try:
        return pl.read_ndjson(_source(path), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        data = _data(path)
        if not data.strip():
            raise FileFormatError(f"{path} is empty: it has blank lines only. Export it again.") from None
        for number, line in enumerate(io.BytesIO(data), start=1):
            if line.strip() and not _is_object(line):
                raise FileFormatError(
                    f"{path}, line {number}: this is not a JSON object. Each line holds one; a list of "
                    "objects is .json."
                ) from None
        _require_numbers(data.decode(errors="replace"), path)
        raise FileFormatError(f"{path} {_MIXED}") from None


def _require_numbers(text: str, path: Path) -> None:
    """Refuses what Python takes for a number in JSON, and nobody else does; the text is JSON to Python."""
    for token in _TOKENS.finditer(text):
        number = token[0]
        if number.startswith('"') or math.isfinite(float(number)):
            continue
        what = "a number is too large (beyond 1.8e308)" if number[-1].isdigit() else f"{number} is not JSON"
        line = text.count("\n", 0, token.start()) + 1
        raise FileFormatError(f"{path}, line {line}: {what}. Write null in its place, or a text.") from None


def _source(path: Path) -> Path | io.BytesIO:
    """What polars can read: the file, or its text where a byte order mark stands before it."""
    with path.open("rb") as file:
        marked = file.read(3).startswith(_MARKS)
    return io.BytesIO(_data(path)) if marked else path


def _data(path: Path) -> bytes:
    """The text in UTF-8, without a byte order mark."""
    data = path.read_bytes()
    if data.startswith(_MARKS[1:]):
        data = data.decode("utf-16", "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _is_object(line: bytes) -> bool:
    """Whether the line is a JSON object."""
    try:
        return isinstance(json.loads(line, parse_int=float), dict)
    except ValueError:
        return False
