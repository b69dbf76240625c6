"""Frames on their way to DuckDB and back: by Arrow, with UUIDs as 16 bytes instead of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from buena_pipeline.schema import UUID
from buena_pipeline.uuids import as_bytes

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_EXTENSIONS: Final[dict[str, pl.DataType]] = {"arrow.uuid": UUID, "arrow.bool8": pl.Boolean()}
"""What DuckDB gives as a type that Arrow has not, and what it is for polars."""


class Stream:
    """A frame as DuckDB reads it straight from polars; a table of pyarrow would only be taken apart again.

    Args:
        frame: any columns that Arrow knows; no UUIDs.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        # the newest layout has text as polars has it, so none is copied
        return self._frame.__arrow_c_stream__(requested_schema)


def to_arrow(frame: pl.DataFrame) -> pa.Table | Stream:
    """A frame as DuckDB takes it; a column of ``schema.UUID`` is one of its UUIDs.

    Args:
        frame: any columns that Arrow knows, and UUIDs; these are the last columns of what comes out.
    """
    numbers = [name for name, dtype in frame.schema.items() if dtype == UUID]
    if not numbers:
        return Stream(frame)
    import numpy as np
    import pyarrow as pa

    others = frame.drop(numbers).to_arrow(compat_level=pl.CompatLevel.newest())
    columns = dict(zip(others.column_names, others.columns, strict=True))
    for name in numbers:
        column = frame[name]
        present = np.packbits(column.is_not_null().to_numpy(), bitorder="little")
        storage = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(column), [pa.py_buffer(present), pa.py_buffer(as_bytes(column))]
        )
        columns[name] = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    return pa.table(columns)


def from_query(
    connection: duckdb.DuckDBPyConnection, query: str, *, endianness: Literal["big", "little"] = "big"
) -> pl.DataFrame:
    """What a query yields, its UUIDs as ``schema.UUID``.

    Args:
        connection: where it runs.
        query: without columns of types that Arrow has no counterpart for.
        endianness: how the 16 bytes of a UUID are read; DuckDB writes the highest first.
    """
    import pyarrow as pa

    # UUIDs as 16 bytes. Text not as views, though polars would take them as they are: a batch stays in memory
    # as a whole while any text of it is in use, and views are twice as large as offsets
    connection.execute("set session arrow_lossless_conversion = true")
    try:
        table = connection.sql(query).to_arrow_table()
    finally:
        connection.execute("reset session arrow_lossless_conversion")
    # Arrow's extension types are taken for what is in them
    extensions = {
        field.name: _EXTENSIONS[field.type.extension_name]
        for field in table.schema
        if isinstance(field.type, pa.BaseExtensionType)
    }
    columns = {
        name: pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        if name in extensions
        else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    # in as many pieces as it came: to put them together takes longer than it saves
    frame = pl.DataFrame(pl.from_arrow(pa.table(columns), rechunk=False))
    return frame.with_columns(
        pl.col(name).bin.reinterpret(dtype=UUID, endianness=endianness)
        if dtype == UUID
        else pl.col(name).cast(dtype)
        for name, dtype in extensions.items()
    )
