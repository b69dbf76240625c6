"""Tables of other libraries as polars frames, and one lead as a table of one row."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
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
            pandas DataFrame, a pyarrow Table or a DuckDB relation. A reader of record batches is read to its
            end, and empty afterwards.

    Returns:
        The same rows in the same order; a pandas index is left out.

    Raises:
        InputError: for what is no table, or has columns that cannot be read.

    Example:
        >>> import pyarrow
        >>> as_frame(pyarrow.table({"email": ["jane@acme.example"]}))["email"].to_list()
        ['jane@acme.example']
    """
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    what = type(table).__name__
    if not hasattr(table, "__arrow_c_stream__") or hasattr(type(table), "to_frame"):
        raise InputError(
            f"A table is needed, not {what}: a polars DataFrame or LazyFrame, or anything with the Arrow "
            "PyCapsule interface, such as a pandas DataFrame, a pyarrow Table or a DuckDB relation."
            f"{_cure(table)}"
        )
    if unreadable := _of_unreadable_types(table):
        raise InputError(
            f"The {what} cannot be read as a table: {_listed(unreadable)} is of a type that polars lacks. "
            "Make it text first: cast(... as varchar)."
        )
    try:
        frame = pl.from_dataframe(table) if _is_relation(table) else pl.DataFrame(table)
    except UnicodeEncodeError:
        raise InputError(f"A text of the {what} {HALF_A_CHARACTER}") from None
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - of whatever library it is
        raise InputError(
            f"The {what} cannot be read as a table ({type(error).__name__}): {_reason(table)}"
        ) from None
    # pandas hands its index over as a column of its own
    return frame.drop([name for name in frame.columns if name.startswith("__index_level_")])


def _cure(table: object) -> str:
    """What to do with something that is no table, as the end of a message."""
    if isinstance(table, str | os.PathLike):
        return " Read a file first, such as with buena_pipeline.read_table(path)."
    if isinstance(table, Mapping | list):
        return " Make it one with pl.DataFrame(...)."
    return " Make it one with .to_frame()." if hasattr(type(table), "to_frame") else ""


def _is_relation(table: object) -> bool:
    """Whether it is of DuckDB: its class must not stay in a cache of ``pl.DataFrame``.

    At the end of the process DuckDB complains of that on standard error.
    """
    return hasattr(type(table), "types")


def _of_unreadable_types(table: Any) -> list[str]:
    """The columns of a DuckDB relation over whose types polars would panic."""
    types = _told(table, "types")
    odd = (any(name in str(dtype) for name in ("INTERVAL", "UNION(")) for dtype in types)
    return [name for name, is_odd in zip(_told(table, "columns"), odd, strict=False) if is_odd]


def _reason(table: Any) -> str:
    """Which columns a table cannot be read for, and what to do, as the end of a sentence."""
    names = list(map(str, _told(table, "column_names") or _told(table, "columns")))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        return f"{_listed(twice)} is there more than once. Give each column a name of its own."
    if hasattr(table, "iloc") and (
        mixed := [name for nth, name in enumerate(names) if _is_mixed(table, nth)]
    ):
        return (
            f"{_listed(mixed)} holds values of several types, or of one that Arrow lacks. Make it text: "
            f'frame["{mixed[0]}"] = frame["{mixed[0]}"].astype("string").'
        )
    return "read it by itself to see why. Its columns need distinct names, and values of one type each."


def _told(table: Any, attribute: str) -> list[Any]:
    """What a table tells of its columns; nothing if it does not, as after its connection was closed."""
    try:  # of the class: pandas and DuckDB have their columns as attributes, too
        return list(getattr(table, attribute)) if hasattr(type(table), attribute) else []
    except Exception:  # noqa: BLE001 - as above
        return []


def _is_mixed(table: Any, nth: int) -> bool:
    """Whether a column of a pandas DataFrame cannot be read by itself."""
    try:
        pl.DataFrame(table.iloc[:, [nth]])
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _listed(names: list[str]) -> str:
    """Columns as the beginning of a sentence about one of them, or about each."""
    quoted = ", ".join(f'"{name}"' for name in names[:5]) + (" ..." if len(names) > 5 else "")
    return f"column {quoted}" if len(names) == 1 else f"each of the columns {quoted}"


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
