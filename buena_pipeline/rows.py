"""Rows as they come, in plain dictionaries, as a frame: column by column, which costs least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def frame_of(rows: Sequence[Mapping[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """The rows as a frame of this schema.

    Args:
        rows: what a row does not hold is null, what it holds beyond the schema is left out.
        schema: moments are ``Datetime("us")``.

    Example:
        >>> rows = [{"name": "Jo", "at": _EPOCH}, {"at": None, "age": 7}]
        >>> frame_of(rows, pl.Schema({"name": pl.String(), "at": pl.Datetime("us", "UTC")})).rows()
        [('Jo', datetime.datetime(1970, 1, 1, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))), (None, None)]
    """
    return pl.DataFrame(
        [_column(name, dtype, [row.get(name) for row in rows]) for name, dtype in schema.items()]
    )


def _column(name: str, dtype: pl.DataType, values: list[Any]) -> pl.Series:
    if not isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, dtype)
    # what happens at one moment happens to many rows
    known = {moment: (moment - _EPOCH) // _MICROSECOND for moment in set(values) - {None}}
    return pl.Series(name, [known.get(moment) for moment in values], pl.Int64).cast(dtype)
