"""Tables from files and to files, by the ending of the name. A file is written whole or not at all."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from buena_pipeline.errors import BuenaError, FileFormatError, InputError, MissingExtraError
from buena_pipeline.files.delimited import parse_delimited
from buena_pipeline.files.objects import read_lines, read_objects
from buena_pipeline.files.plain import json_ready, plain_columns
from buena_pipeline.files.sheets import read_sheet, require_fits, write_sheet


@dataclass(frozen=True, slots=True)
class _Format:
    """How a kind of file is read and written; how it is scanned, if it can be larger than memory."""

    read: Callable[[Path], pl.DataFrame]
    write: Callable[[pl.LazyFrame, Path], object]
    scan: Callable[[Path], pl.LazyFrame] | None = None


def read_table(path: Path | str) -> pl.DataFrame:
    r"""Read a table, in the format that the file's ending names.

    Delimited text is understood as programs export it: UTF-8, UTF-16 with a byte order mark or Windows-1252;
    commas, semicolons, tabs or bars; the notes above LinkedIn's connections; a ``sep=;`` line of Excel.

    Args:
        path: a file that ends in .csv, .tsv, .parquet, .ndjson, .jsonl, .json or .xlsx (its first sheet).

    Returns:
        All rows in their order. From .csv and .tsv every column is String, so that nothing changes on the
        way through; the other formats bring their own dtypes.

    Raises:
        InputError: if that is no path.
        FileFormatError: if the file is missing, empty or broken, or its ending is none of these. It names the
            line, where there are lines.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "leads.csv")
        ...     _ = path.write_text("Email;Phone\njane@acme.example;007\n")
        ...     read_table(path).rows()
        [('jane@acme.example', '007')]
    """
    given: object = path
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"read_table takes the path of a file, not {type(path).__name__}.")
    path = Path(path)
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


def write_text(text: str, path: Path) -> None:
    """Write a text as UTF-8, so that at any moment the old file is there or the whole new one.

    Args:
        text: all of it.
        path: where to; a file that is there is replaced, its permissions are kept.

    Raises:
        FileFormatError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text("<!doctype html>", Path(folder, "page.html"))
        ...     Path(folder, "page.html").read_text()
        '<!doctype html>'
    """
    with _explained(f"{path} cannot be written"):
        _require_replaceable(path)
        with _replacing(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")


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
        _require_replaceable(path)
        if file_format.write is write_sheet:
            require_fits(frame.lazy().collect())
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


_LINES: Final = _Format(read_lines, lambda frame, path: json_ready(frame).sink_ndjson(path))

_FORMATS: Final = {
    ".csv": _Format(_read_delimited, partial(_write_delimited, separator=",")),
    ".tsv": _Format(_read_delimited, partial(_write_delimited, separator="\t")),
    ".parquet": _Format(
        partial(pl.read_parquet, glob=False),  # a name may hold brackets or stars
        lambda frame, path: frame.sink_parquet(path),
        scan=partial(pl.scan_parquet, glob=False),
    ),
    ".ndjson": _LINES,
    ".jsonl": _LINES,
    ".json": _Format(
        read_objects,
        lambda frame, path: json_ready(frame).collect().write_json(path),
    ),
    ".xlsx": _Format(read_sheet, write_sheet),
}


# --- whole or not at all ---------------------------------------------------------------------------------


def _require_replaceable(path: Path) -> None:
    """Refuses what no file can take the place of."""
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; name a file in it.")
    if path.exists() and not path.is_file():
        raise FileFormatError(f"{path} is not a regular file, so it cannot be replaced whole.")
    if path.exists() and not os.access(path, os.W_OK):
        raise FileFormatError(f"{path} is write-protected: name another file, or make it writable.")


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


_TELLING: Final = re.compile(
    r"parquet: .*|unable to find column .*|cannot write 'Object' datatype"
    r"|conversion from `[^`]*` to `[^`]*` failed in column '.*?'(?= for \d)"
)
"""Of what polars says, that which is about names and types; what comes after it may quote a lead."""


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
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - each format has some of its own
        cure = ""
        if "be read" in what:
            cure = "Is the file whole, and of the format that its ending names?"
        elif isinstance(error, pl.exceptions.PanicException):
            cure = "Does it have values that the format lacks, such as infinite dates? Make them text first."
        raise FileFormatError(f"{what}: {_reason(error)}. {cure}".rstrip()) from None


def _reason(error: BaseException) -> str:
    """What went wrong, as far as an error says so without quoting values."""
    told = _TELLING.match(str(error)) if isinstance(error, pl.exceptions.PolarsError) else None
    return told[0].rstrip(".") if told else type(error).__name__
