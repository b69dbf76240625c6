"""Tables for formats that cannot hold every dtype: lists joined, times as ISO 8601, binary as Base64."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from buena_pipeline.errors import ColumnError
from buena_pipeline.schema import SOCIAL_PROFILE

JOINT: Final = "; "
"""What stands between the items of a list."""

CONTROLS: Final = r"[\x00-\x1f\x7f-\x9f]+"
"""What no cell on a line of its own can hold, and no terminal should be sent."""


_KEYS: Final = (pl.String, pl.Categorical, pl.Enum)
"""What the keys of an object in JSON can be."""


def plain_columns(schema: pl.Schema, *, zoned_only: bool = False) -> list[pl.Expr]:
    """Expressions that turn a table into one that CSV can hold without loss of meaning.

    Args:
        schema: the names and dtypes of the table.
        zoned_only: leave dates and times without a zone as they are, for formats that have cells for them.

    Returns:
        One expression per column, in order: lists joined with "; " (profiles as ``network=url``), structs and
        maps as JSON, binary as Base64, moments as ISO 8601, anything else as it is.

    Raises:
        ColumnError: for a column of a type that is no text, such as DuckDB's GEOMETRY.

    Example:
        >>> frame = pl.DataFrame({"skills": [["SQL", "Python"], [], None]})
        >>> frame.select(plain_columns(frame.schema))["skills"].to_list()
        ['SQL; Python', '', None]
    """
    _require_readable(schema)
    return [
        pl.col(name) if zoned_only and _has_cell(dtype) else _as_text(pl.col(name), dtype).alias(name)
        for name, dtype in schema.items()
    ]


def json_ready(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The table as JSON should have it: binary as Base64, the whole numbers that DuckDB sums up as numbers.

    Args:
        frame: any table; a map whose keys are no text, or with values to be changed, becomes a list of its
            entries; everything else JSON holds as it is.

    Raises:
        ColumnError: for a column of a type that JSON lacks, such as DuckDB's GEOMETRY.

    Example:
        >>> sums = pl.LazyFrame({"people": [7]}, schema={"people": pl.Decimal(38, 0)})
        >>> json_ready(sums).collect().write_json()
        '[{"people":7}]'
    """
    schema = frame.collect_schema()
    _require_readable(schema)
    return frame.select(_as_json(pl.col(name), dtype) for name, dtype in schema.items())


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


def _require_readable(schema: pl.Schema) -> None:
    """Refuses what is neither text nor JSON: bytes that only those can read who wrote them."""
    if strange := [name for name, dtype in schema.items() if _is_strange(dtype)]:
        raise ColumnError(
            f'Column "{strange[0]}" is of a type that is neither text nor JSON, as GEOMETRY and VARIANT of '
            "DuckDB are. Make it text first: in SQL, cast it, such as x::varchar.",
            columns=tuple(strange),
        )


def _is_strange(dtype: Any) -> bool:
    """Whether it is of an extension or of Python objects, on the inside at least."""
    match dtype:
        case pl.List() | pl.Array():
            return _is_strange(dtype.inner)
        case pl.Struct():
            return any(_is_strange(field.dtype) for field in dtype.fields)
        case pl.Map():
            return _is_strange(dtype.key) or _is_strange(dtype.value)
        case _:
            return isinstance(dtype, pl.BaseExtension | pl.Object)


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
            text = pl.when(value.is_not_null()).then(_as_json(value, dtype).struct.json_encode())
        case pl.Map():
            wrapped = pl.struct(_as_json(value, dtype).alias("map")).struct.json_encode()
            text = pl.when(value.is_not_null()).then(wrapped.str.slice(7, wrapped.str.len_chars() - 8))
        case pl.Binary():
            text = value.bin.encode("base64")
        case pl.Datetime(time_zone=str()):
            text = value.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        case pl.Datetime():
            text = value.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
        case pl.Duration():
            text = value.dt.to_string("iso")
    return text


def _as_json(value: pl.Expr, dtype: Any) -> pl.Expr:
    """The value as JSON should have it, however deep it is nested; the same expression where it is so."""
    ready = value
    match dtype:
        case pl.Binary():
            ready = value.bin.encode("base64")
        case pl.Decimal(scale=0):
            ready = value.cast(pl.Int128)
        case pl.List() | pl.Array():
            element = pl.element()
            item = _as_json(element, dtype.inner)
            if item is not element:
                ready = (value if isinstance(dtype, pl.List) else value.arr.to_list()).list.eval(item)
        case pl.Struct():
            fields = {field.name: pl.field(field.name) for field in dtype.fields}
            parts = {field.name: _as_json(fields[field.name], field.dtype) for field in dtype.fields}
            if changed := [part for name, part in parts.items() if part is not fields[name]]:
                ready = value.struct.with_fields(changed)
        case pl.Map():
            entries = pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))
            listed = value.map.entries()
            if dtype.key not in _KEYS or _as_json(listed, entries) is not listed:
                ready = _as_json(listed, entries)
    return ready
