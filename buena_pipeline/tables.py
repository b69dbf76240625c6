"""Tables of other libraries as polars frames, and one lead as a table of one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any, Final

import polars as pl

from buena_pipeline.errors import InputError
from buena_pipeline.schema import LEAD_FIELDS

HALF_A_CHARACTER: Final = (
    "holds half a character (a lone surrogate), as text does that was decoded wrongly: read it anew as UTF-8."
)
"""The end of a sentence about a text that cannot be kept."""


def as_frame(table: Any) -> pl.DataFrame:
    """Any table as a polars DataFrame.

    Args:
        table: a polars DataFrame or LazyFrame, or anything with the Arrow PyCapsule interface, such as a
            pandas DataFrame, a pyarrow Table or a DuckDB relation.

    Returns:
        The same rows in the same order; a pandas index is left out.

    Raises:
        InputError: for what is no table.

    Example:
        >>> import pyarrow
        >>> as_frame(pyarrow.table({"email": ["jane@acme.example"]}))["email"].to_list()
        ['jane@acme.example']
    """
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.Series) or not hasattr(table, "__arrow_c_stream__"):
        raise InputError(
            f"A table is needed, not {type(table).__name__}: a polars DataFrame or LazyFrame, or anything "
            "with the Arrow PyCapsule interface, such as a pandas DataFrame, a pyarrow Table or a "
            f"DuckDB relation.{_cure(table)}"
        )
    try:
        frame = pl.DataFrame(table)
    except UnicodeEncodeError:
        raise InputError(f"A text of the {type(table).__name__} {HALF_A_CHARACTER}") from None
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        what = type(table).__name__
        raise InputError(
            f"The {what} cannot be read as a table ({type(error).__name__}): its columns need distinct names "
            f"of text, and values of one type each.{_at_fault(table)}"
        ) from None
    # pandas hands its index over as a column of its own
    return frame.drop([name for name in frame.columns if name.startswith("__index_level_")])


def _cure(thing: object) -> str:
    """How to make a table of what is none."""
    match thing:
        case str() | PathLike():
            return " Read the file first, such as pl.read_csv(...)."
        case pl.Series():
            return " Make it one: series.to_frame()."
        case Mapping() | list() | tuple():
            return " Make it one: pl.DataFrame(...)."
    return ""


def _at_fault(table: Any) -> str:
    """Which columns of a table of pandas or pyarrow are meant: names, which tell nothing of a lead."""
    try:
        names = [str(name) for name in getattr(table, "column_names", None) or table.columns]
    except (AttributeError, TypeError):
        return ""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f" Twice there: {', '.join(twice[:5])}."
    select = getattr(table, "select", None) or table.__getitem__
    faulty = [name for name in names if not _can_be_read(partial(select, [name]))]
    return f" At fault: {', '.join(faulty[:5])}; such as table[...].astype(str)." if faulty else ""


def _can_be_read(column: Callable[[], Any]) -> bool:
    try:
        pl.DataFrame(column())
    except Exception:  # noqa: BLE001 - whatever it is, the table has been refused already
        return False
    return True


def lead_fields(lead: Mapping[str, str | None]) -> tuple[str | None, ...]:
    """What one lead says, in the order of ``schema.LEAD_FIELDS``.

    Args:
        lead: any of these fields.

    Raises:
        InputError: if it is no mapping, a field has another name, or a value is no text.

    Example:
        >>> lead_fields({"email": "jane@acme.example"})
        ('jane@acme.example', None, None, None, None)
    """
    given: object = lead
    if not isinstance(given, Mapping):
        raise InputError(
            f"A lead is a mapping with any of the fields {', '.join(LEAD_FIELDS)}, "
            f'such as {{"email": "jane@acme.example"}}; not {type(given).__name__}.'
        )
    if unknown := sorted(str(name) for name in given if name not in LEAD_FIELDS):
        raise InputError(
            f"A lead has the fields {', '.join(LEAD_FIELDS)}; not {printable(', '.join(unknown))}."
        )
    for name, value in given.items():
        if not isinstance(value, str | None):
            raise InputError(f"The {name} of a lead is text or None, not {type(value).__name__}.")
        if value is not None and printable(value) != value:
            raise InputError(f"The {name} of the lead {HALF_A_CHARACTER}")
    return tuple(lead.get(name) for name in LEAD_FIELDS)


def as_lead_table(lead: Mapping[str, str | None]) -> pl.DataFrame:
    """One lead as a table of one row.

    Args:
        lead: as for ``lead_fields``.

    Raises:
        InputError: as for ``lead_fields``.

    Example:
        >>> as_lead_table({"email": "jane@acme.example"}).row(0)
        ('jane@acme.example', None, None, None, None)
    """
    return pl.DataFrame([lead_fields(lead)], schema=dict.fromkeys(LEAD_FIELDS, pl.String), orient="row")


def printable(text: str) -> str:
    """The text with a question mark for each lone surrogate, which no file, table or terminal takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
