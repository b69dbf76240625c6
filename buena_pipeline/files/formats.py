"""Tables from files and to files, by the ending of the name. A file is written whole or not at all."""

from __future__ import annotations

import difflib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from buena_pipeline.errors import BuenaError, FileFormatError, MissingExtraError
from buena_pipeline.files.delimited import parse_delimited
from buena_pipeline.files.plain import json_ready, plain_columns

_SHEET_ROWS, _SHEET_COLUMNS, _CELL_CHARACTERS = 1_048_575, 16_384, 32_767
_EXACT_IN_A_SHEET: Final = 10**15  # numbers there have 15 digits


@dataclass(frozen=True, slots=True)
class _Format:
    """How a kind of file is read and written; how it is scanned, if it can be larger than memory."""

    read: Callable[[Path], pl.DataFrame]
    write: Callable[[pl.LazyFrame, Path], object]
    scan: Callable[[Path], pl.LazyFrame] | None = None


def read_table(path: Path) -> pl.DataFrame:
    r"""Read a table, in the format that the file's ending names.

    Args:
        path: a file that ends in .csv, .tsv, .parquet, .ndjson, .jsonl, .json or .xlsx (its first sheet).

    Returns:
        All rows in their order. From .csv and .tsv every column is String, so that nothing changes on the
        way through; the other formats bring their own dtypes.

    Raises:
        FileFormatError: if the file is missing, empty or broken, or its ending is none of these.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "leads.csv")
        ...     _ = path.write_text("Email;Phone\njane@acme.example;007\n")
        ...     read_table(path).rows()
        [('jane@acme.example', '007')]
    """
    file_format = _readable(path)
    with _explained(f"{path} cannot be read"):
        frame = file_format.read(path)
    if not frame.width:
        raise FileFormatError(f"{path} is empty: it has no columns.")
    return frame


def scan_table(path: Path) -> pl.LazyFrame:
    """Read a table a chunk of rows at a time, where its format allows that; else all of it.

    Args:
        path: as for ``read_table``; .parquet is read when it is needed, the others now.

    Raises:
        FileFormatError: as ``read_table`` would.
    """
    file_format = _readable(path)
    if file_format.scan is None:
        return read_table(path).lazy()
    with _explained(f"{path} cannot be read"):
        frame = file_format.scan(path)
        width = len(frame.collect_schema())
    if not width:
        raise FileFormatError(f"{path} is empty: it has no columns.")
    return frame


def write_table(frame: pl.DataFrame | pl.LazyFrame, path: Path, *, ending: str | None = None) -> None:
    r"""Write a table, so that at any moment the old file is there or the whole new one.

    Args:
        frame: any table; .json and .xlsx need all of it in memory. Where cells cannot be lists (.csv, .tsv,
            .xlsx), they are joined with "; "; times are ISO 8601 in UTC.
        path: where to; a file that is there is replaced, its permissions are kept.
        ending: write the format of this ending, such as ".csv", whatever the name ends in.

    Raises:
        FileFormatError: if the format is unknown or cannot hold the table, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(pl.DataFrame({"skills": [["SQL", "Python"]]}), Path(folder, "out.csv"))
        ...     Path(folder, "out.csv").read_text()
        'skills\nSQL; Python\n'
    """
    file_format = _format_of(path, ending)
    with _explained(f"{path} cannot be written"), _replacing(path) as draft:
        file_format.write(frame.lazy(), draft)


def check_output(path: Path, frame: pl.DataFrame | pl.LazyFrame) -> None:
    """Find out whether a table like this can be written, before it costs anything.

    Args:
        path: where it is going to be written.
        frame: the table as it is by now; it must fit the format with columns still to come.

    Raises:
        FileFormatError: if ``write_table`` would raise it.

    Example:
        >>> check_output(Path("leads.doc"), pl.DataFrame())
        Traceback (most recent call last):
        buena_pipeline.errors.FileFormatError: leads.doc: no known ending. Known are .csv, .tsv, ...
    """
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder: name a file in it, such as {path / 'enriched.parquet'}.")
    file_format = _format_of(path)
    with _explained(f"{path} cannot be written"):
        if path.exists() and not path.is_file():
            raise FileFormatError(f"{path} is not a regular file, so it cannot be replaced whole.")
        if path.exists() and not os.access(path, os.W_OK):
            raise FileFormatError(f"{path} is write-protected: name another file, or make it writable.")
        if file_format.write is _write_sheet:
            _require_fits(frame.lazy().collect())
        with _drafting(path) as draft:
            file_format.write(frame.collect_schema().to_frame().lazy(), draft)


# --- formats ---------------------------------------------------------------------------------------------


def _format_of(path: Path, ending: str | None = None) -> _Format:
    """The format that the ending names."""
    file_format = _FORMATS.get((ending or path.suffix).lower())
    if file_format is None:
        raise FileFormatError(f"{path}: no known ending. Known are {', '.join(_FORMATS)}.")
    return file_format


def _readable(path: Path) -> _Format:
    """The format of a file that is there, and not empty."""
    file_format = _format_of(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, not a file: name a file in it.")
    if not path.exists():
        raise FileFormatError(f"{path} does not exist{_similar(path)}")
    with _explained(f"{path} cannot be read"):
        if path.is_file() and path.stat().st_size == 0:
            raise FileFormatError(
                f"{path} is empty (0 bytes): a table has at least the names of its columns. Export it again."
            )
    return file_format


def _similar(path: Path) -> str:
    """The end of a sentence about a file that is not there: what is there instead."""
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}."
    with suppress(OSError):
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _FORMATS]
        if close := difflib.get_close_matches(path.name, names, n=3, cutoff=0.75):
            return f": did you mean {' or '.join(str(path.with_name(name)) for name in close)}?"
    return f" in {path.parent.resolve()}: is the name right?"


def _read_delimited(path: Path) -> pl.DataFrame:
    return parse_delimited(path.read_bytes(), name=str(path))


def _write_delimited(frame: pl.LazyFrame, path: Path, *, separator: str) -> None:
    frame.select(plain_columns(frame.collect_schema())).sink_csv(path, separator=separator)


def _read_lines(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        with path.open("rb") as lines:  # the error does not say where; reading again does
            for number, line in enumerate(lines, start=1):
                if line.strip() and not _is_object(line):
                    raise FileFormatError(f"{path}, line {number}: this is not a JSON object.") from None
        raise


def _read_json(path: Path) -> pl.DataFrame:
    try:
        return pl.read_json(path, infer_schema_length=None)
    except pl.exceptions.PolarsError:  # whose message does not say where
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise FileFormatError(f"{path}{line}: this is not JSON. Export it again.") from None
        raise FileFormatError(
            f"{path} is no table: it takes a list of objects with the same fields."
        ) from None


def _is_object(line: bytes) -> bool:
    """Whether the line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _read_sheet(path: Path) -> pl.DataFrame:
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it warns of every column without values
    # every row is looked at: a phone number in row 101 must not be lost to a column of numbers
    return pl.read_excel(path, infer_schema_length=None, drop_empty_rows=False, drop_empty_cols=False)


def _write_sheet(rows: pl.LazyFrame, path: Path) -> None:
    """One sheet, a column at a time: text stays text, also where it looks like a formula, URL or number."""
    import xlsxwriter

    frame = rows.collect()
    table = frame.select(plain_columns(frame.schema, zoned_only=True)).with_columns(cs.float().fill_nan(None))
    _require_fits(table)
    integers = table.select(cs.integer().abs().max() > _EXACT_IN_A_SHEET)
    table = table.with_columns(pl.col([flag.name for flag in integers if flag.item()]).cast(pl.String))
    options = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet = book.add_worksheet("leads")
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, table.columns, book.add_format({"bold": True}))
        shown = {pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm:ss", pl.Time: "hh:mm:ss"}
        formats = {dtype: book.add_format({"num_format": text}) for dtype, text in shown.items()}
        for index, column in enumerate(table):
            sheet.write_column(1, index, column.to_list(), formats.get(column.dtype.base_type()))


def _require_fits(frame: pl.DataFrame) -> None:
    """Refuses what a sheet would cut off in silence."""
    if frame.height > _SHEET_ROWS or frame.width > _SHEET_COLUMNS:
        raise FileFormatError(
            f"The table has {frame.height:,} rows and {frame.width:,} columns; a sheet holds {_SHEET_ROWS:,} "
            f"and {_SHEET_COLUMNS:,}. Write .csv or .parquet instead."
        )
    longest = frame.select(cs.string().str.len_chars().max())
    if long := [column.name for column in longest if (column.item() or 0) > _CELL_CHARACTERS]:
        raise FileFormatError(
            f'Column "{long[0]}" has a text of more than {_CELL_CHARACTERS:,} characters, which a sheet '
            "would cut off. Write .csv or .parquet instead."
        )


_LINES: Final = _Format(_read_lines, lambda frame, path: json_ready(frame).sink_ndjson(path))

_FORMATS: Final = {
    ".csv": _Format(_read_delimited, partial(_write_delimited, separator=",")),
    ".tsv": _Format(_read_delimited, partial(_write_delimited, separator="\t")),
    ".parquet": _Format(pl.read_parquet, lambda frame, path: frame.sink_parquet(path), scan=pl.scan_parquet),
    ".ndjson": _LINES,
    ".jsonl": _LINES,
    ".json": _Format(
        _read_json,
        lambda frame, path: json_ready(frame).collect().write_json(path),
    ),
    ".xlsx": _Format(_read_sheet, _write_sheet),
}


# --- whole or not at all ---------------------------------------------------------------------------------


@contextmanager
def _drafting(path: Path) -> Iterator[Path]:
    """A file name beside ``path`` to write to; what was written is removed at the end."""
    draft = path.resolve().with_name(f".buena-{secrets.token_hex(4)}.partial")
    if not draft.parent.is_dir():
        raise FileFormatError(
            f"{path} cannot be written: the folder {draft.parent} does not exist. Create it, or name another."
        )
    draft.touch()
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file name beside ``path`` whose file takes its place, safely on disk, if the block succeeds."""
    target = path.resolve()
    with _drafting(path) as draft:
        yield draft
        if target.exists():
            shutil.copymode(target, draft)
        _sync(draft)
        draft.replace(target)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _sync(target.parent)


def _sync(path: Path) -> None:
    """Waits until a file, or what a folder lists, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of formats and file systems in this library's words."""
    try:
        yield
    except BuenaError:
        raise
    except ImportError:
        raise MissingExtraError.for_extra("An .xlsx file", "cli") from None
    except OSError as error:
        raise FileFormatError(f"{what}: {error.strerror or error}.") from None
    except Exception as error:  # noqa: BLE001 - every reader and writer has exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        cure = "Is the file whole, and of the format that its ending names?" if "be read" in what else ""
        raise FileFormatError(f"{what}: {reason.rstrip('.')}. {cure}".rstrip()) from None
