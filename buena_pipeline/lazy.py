"""A LazyFrame of rows that somebody makes when they are needed, and of columns that are needed only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl
from polars.io.plugins import register_io_source

Read = Callable[[Sequence[str], int | None, pl.Expr | None], Iterator[pl.DataFrame]]
"""From the columns that are needed, how many of the first rows, and which of these, to chunks of rows. Rows
that are not needed may come all the same."""


def as_lazy_frame(read: Read, schema: pl.Schema) -> pl.LazyFrame:
    """A LazyFrame that reads when it is collected or sunk.

    Args:
        read: makes the rows; it is told what the query needs, as far as polars knows.
        schema: of all columns.

    Example:
        >>> def numbers(names, rows, predicate):
        ...     print(names, rows)
        ...     yield pl.DataFrame({name: range(rows or 10) for name in names})
        >>> frame = as_lazy_frame(numbers, pl.Schema({"a": pl.Int64, "b": pl.Int64}))
        >>> frame.select("b").head(2).collect().rows()
        ['b'] 2
        [(0,), (1,)]
    """

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = schema.names() if with_columns is None else with_columns
        for chunk in read(names, n_rows, predicate):
            yield chunk if predicate is None else chunk.filter(predicate)

    # pure: a query that mentions it twice runs it once
    return register_io_source(source, schema=schema, is_pure=True)
