"""Frames on their way to DuckDB and back: by Arrow, with UUIDs as 16 bytes instead of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl

from buena_pipeline.schema import UUID
from buena_pipeline.uuids import as_bytes

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


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

    connection.execute("set session arrow_lossless_conversion = true")
    try:
        table = connection.sql(query).to_arrow_table()
    finally:
        connection.execute("set session arrow_lossless_conversion = false")
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.type == pa.uuid():
            columns[field.name] = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.binary(16))
        else:
            columns[field.name] = column.cast(pa.bool_()) if field.type == pa.bool8() else column
    # in as many pieces as it came: to put them together takes longer than it saves
    frame = pl.DataFrame(pl.from_arrow(pa.table(columns), rechunk=False))
    numbers = [name for name, dtype in frame.schema.items() if dtype == pl.Binary]
    return frame.with_columns(pl.col(numbers).bin.reinterpret(dtype=UUID, endianness=endianness))
