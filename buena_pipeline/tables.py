"""Tables of other libraries as polars frames, and one lead as a table of one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from buena_pipeline.errors import InputError
from buena_pipeline.schema import LEAD_FIELDS


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
            "DuckDB relation."
        )
    try:
        frame = pl.DataFrame(table)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        what = type(table).__name__
        raise InputError(
            f"The {what} cannot be read as a table ({type(error).__name__}): its columns need distinct names "
            "of text, and values of one type each."
        ) from None
    # pandas hands its index over as a column of its own
    return frame.drop([name for name in frame.columns if name.startswith("__index_level_")])


def as_lead_table(lead: Mapping[str, str | None]) -> pl.DataFrame:
    """One lead as a table of one row.

    Args:
        lead: any of the fields in ``schema.LEAD_FIELDS``.

    Raises:
        InputError: if a field has another name.

    Example:
        >>> as_lead_table({"email": "jane@acme.example"}).row(0)
        ('jane@acme.example', None, None, None, None)
    """
    if unknown := sorted(set(lead) - set(LEAD_FIELDS)):
        raise InputError(f"A lead has the fields {', '.join(LEAD_FIELDS)}; not {', '.join(unknown)}.")
    values = {name: [lead.get(name)] for name in LEAD_FIELDS}
    return pl.DataFrame(values, schema=dict.fromkeys(LEAD_FIELDS, pl.String), strict=False)
