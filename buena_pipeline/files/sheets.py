"""The first sheet of a workbook as a table, and a table as the only sheet of a workbook."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from buena_pipeline.errors import FileFormatError
from buena_pipeline.files.delimited import NOTES, name_columns
from buena_pipeline.files.plain import plain_columns

_ROWS, _COLUMNS, _CHARACTERS = 1_048_575, 16_384, 32_767
_DIGITS: Final = 15  # that a number in a sheet has
_EXACT: Final = 10**_DIGITS
_ZIP: Final = b"PK"
_UNNAMED: Final = "__UNNAMED__"


def read_sheet(path: Path) -> pl.DataFrame:
    """Read the first sheet of a workbook, with its header in the first row that is not empty.

    The notes above LinkedIn's exports are skipped, as in delimited text.

    Args:
        path: an .xlsx file.

    Returns:
        All rows in their order. A column has one dtype if its cells do, else it is String, as it is with
        whole numbers from 2^63 on; errors such as ``#N/A`` are null. Columns are named as ``parse_delimited``
        names them.

    Raises:
        FileFormatError: if the sheet is empty, or the file no workbook.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "leads.xlsx")
        ...     write_sheet(pl.LazyFrame({"Email": ["jane@acme.example"], "Phone": ["007"]}), path)
        ...     read_sheet(path).rows()
        [('jane@acme.example', '007')]
    """
    for logger in ("fastexcel", "calamine"):  # they warn of columns without values, and of sheets of charts
        logging.getLogger(logger).setLevel(logging.ERROR)
    frame = _read(path, header_row=0)
    if (header_row := _below_notes(frame)) is not None:
        frame = _read(path, header_row=header_row)
    names = ["" if name.startswith(_UNNAMED) else name for name in frame.columns]
    return frame.rename(dict(zip(frame.columns, name_columns(names), strict=True)))


def write_sheet(rows: pl.LazyFrame, path: Path) -> None:
    """Write one sheet, a column at a time: text stays text, also where it looks like a formula or a number.

    Args:
        rows: any table.
        path: where to.

    Raises:
        FileFormatError: if a sheet cannot hold the table.
    """
    import xlsxwriter

    frame = rows.collect()
    table = frame.select(plain_columns(frame.schema, zoned_only=True)).with_columns(cs.float().fill_nan(None))
    require_fits(table)
    table = table.with_columns(pl.col(_rounded(table)).cast(pl.String))
    options = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet = book.add_worksheet("leads")
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, table.columns, book.add_format({"bold": True}))
        shown = {pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm:ss", pl.Time: "hh:mm:ss"}
        formats = {dtype: book.add_format({"num_format": text}) for dtype, text in shown.items()}
        for index, column in enumerate(table):
            sheet.write_column(1, index, column.to_list(), formats.get(column.dtype.base_type()))


def require_fits(frame: pl.DataFrame) -> None:
    """Refuse what a sheet would cut off in silence.

    Args:
        frame: the table that is to be written.

    Raises:
        FileFormatError: if it has too many rows or columns, or a text is too long.
    """
    if frame.height > _ROWS or frame.width > _COLUMNS:
        raise FileFormatError(
            f"The table has {frame.height:,} rows and {frame.width:,} columns; a sheet holds {_ROWS:,} "
            f"and {_COLUMNS:,}. Write .csv or .parquet instead."
        )
    longest = frame.select(cs.string().str.len_chars().max())
    if long := [column.name for column in longest if (column.item() or 0) > _CHARACTERS]:
        raise FileFormatError(
            f'Column "{long[0]}" has a text of more than {_CHARACTERS:,} characters, which a sheet '
            "would cut off. Write .csv or .parquet instead."
        )


def _rounded(table: pl.DataFrame) -> list[str]:
    """The columns of exact numbers that a cell would round: of more than 15 digits in all."""
    exact = cs.integer() | cs.decimal()
    digits = cs.decimal().cast(pl.String).str.replace_all("[-.]", "").str.strip_chars("0").str.len_chars()
    flags = [*table.select(exact.abs().max() > _EXACT), *table.select(digits.max() > _DIGITS)]
    return list(dict.fromkeys(flag.name for flag in flags if flag.item()))


def _read(path: Path, *, header_row: int) -> pl.DataFrame:
    """The first sheet from one of its rows on, empty rows and columns included."""
    import fastexcel

    def read(rows: int | None, texts: Sequence[str] = ()) -> pl.DataFrame:
        options = {"header_row": header_row}
        return pl.read_excel(
            path,
            infer_schema_length=rows,
            schema_overrides=dict.fromkeys(texts, pl.String),
            drop_empty_rows=False,
            drop_empty_cols=False,
            read_options=options,
        )

    try:
        # every row is looked at: a phone number in row 101 must not be lost to a column of numbers
        return read(None)
    except pl.exceptions.InvalidOperationError:  # polars makes whole numbers Int64, whether they fit or not
        return read(None, _beyond_integers(read(0)))
    except fastexcel.UnsupportedColumnTypeCombinationError:  # such as dates and lengths of time
        return read(0)
    except pl.exceptions.NoDataError:
        raise FileFormatError(
            f"{path} is empty: nothing is on its first sheet, which is the one that is read. Move the leads "
            "there, or save their sheet as .csv."
        ) from None
    except fastexcel.FastExcelError:
        with path.open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                raise FileFormatError(
                    f"{path} cannot be read: it is no .xlsx workbook, or one with a password. Name it after "
                    "what it is, such as .csv, or save it anew as .xlsx without a password."
                ) from None
        raise FileFormatError(
            f"{path} cannot be read: the workbook is damaged or not whole. Save or download it again."
        ) from None


def _beyond_integers(texts: pl.DataFrame) -> list[str]:
    """The columns of whole numbers, here as text, one of which at least is too large for Int64."""
    text = cs.string()
    beyond = text.str.contains(r"^-?\d{19,}$") & text.cast(pl.Int64, strict=False).is_null()
    flags = texts.select(text.str.contains(r"^(-?\d+|true|false)$").all() & beyond.any())
    return [flag.name for flag in flags if flag.item()]


def _below_notes(frame: pl.DataFrame) -> int | None:
    """The row of the header, if LinkedIn's notes and an empty row stand above it."""
    first, *others = frame.columns
    if first.strip().lower() != NOTES or not all(name.startswith(_UNNAMED) for name in others):
        return None
    empty = frame.select(pl.all_horizontal(pl.all().is_null()).arg_true()).to_series()
    return None if empty.is_empty() else int(empty[0]) + 2
