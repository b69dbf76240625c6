"""Tables for formats that cannot hold every dtype: lists joined, times as ISO 8601, binary as Base64."""

from __future__ import annotations

from typing import Final

import polars as pl
import polars.selectors as cs

from buena_pipeline.schema import SOCIAL_PROFILE

JOINT: Final = "; "
"""What stands between the items of a list."""

CONTROLS: Final = r"[\x00-\x1f\x7f-\x9f]+"
"""What no cell on a line of its own can hold, and no terminal should be sent."""


def plain_columns(schema: pl.Schema, *, zoned_only: bool = False) -> list[pl.Expr]:
    """Expressions that turn a table into one that CSV can hold without loss of meaning.

    Args:
        schema: the names and dtypes of the table.
        zoned_only: leave dates and times without a zone as they are, for formats that have cells for them.

    Returns:
        One expression per column, in order: lists joined with "; " (profiles as ``network=url``), structs as
        JSON, binary as Base64, moments as ISO 8601, anything else as it is.

    Example:
        >>> frame = pl.DataFrame({"skills": [["SQL", "Python"], [], None]})
        >>> frame.select(plain_columns(frame.schema))["skills"].to_list()
        ['SQL; Python', '', None]
    """
    return [
        pl.col(name) if zoned_only and _has_cell(dtype) else _as_text(pl.col(name), dtype)
        for name, dtype in schema.items()
    ]


def json_ready(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The table as JSON should have it: binary as Base64, the whole numbers that DuckDB sums up as numbers.

    Args:
        frame: any table; everything else JSON holds as it is.

    Example:
        >>> sums = pl.LazyFrame({"people": [7]}, schema={"people": pl.Decimal(38, 0)})
        >>> json_ready(sums).collect().write_json()
        '[{"people":7}]'
    """
    dtypes = frame.collect_schema().items()
    whole = [name for name, dtype in dtypes if isinstance(dtype, pl.Decimal) and dtype.scale == 0]
    return frame.with_columns(cs.binary().bin.encode("base64"), pl.col(whole).cast(pl.Int128))


def with_lists(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The table with these columns as lists again, where they came from a file as joined text.

    Args:
        frame: any table.
        columns: names; those that are missing or no text are left alone.

    Example:
        >>> with_lists(pl.DataFrame({"skills": ["SQL; Python"]}), "skills")["skills"].to_list()
        [['SQL', 'Python']]
    """
    joined = [name for name in columns if frame.schema.get(name) == pl.String]
    return frame.with_columns(pl.col(joined).str.split(JOINT))


def _has_cell(dtype: pl.DataType) -> bool:
    """Whether a spreadsheet has a kind of cell for it."""
    return dtype in {pl.Date, pl.Time} or (isinstance(dtype, pl.Datetime) and dtype.time_zone is None)


def _as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as text if its type is nested, binary or a moment; else as it is."""
    text = value
    match dtype:
        case pl.List() | pl.Array():
            items = value if isinstance(dtype, pl.List) else value.arr.to_list()
            item = _as_text(pl.element(), dtype.inner)  # type: ignore[arg-type]
            text = items.list.eval(item.cast(pl.String)).list.join(JOINT, ignore_nulls=True)
        case pl.Struct() if dtype == SOCIAL_PROFILE:
            text = pl.format("{}={}", value.struct.field("network"), value.struct.field("url"))
        case pl.Struct():
            text = pl.when(value.is_not_null()).then(value.struct.json_encode())
        case pl.Binary():
            text = value.bin.encode("base64")
        case pl.Datetime(time_zone=str()):
            text = value.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        case pl.Datetime():
            text = value.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
        case pl.Duration():
            text = value.dt.to_string("iso")
    return text
