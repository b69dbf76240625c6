"""A LazyFrame of rows that somebody makes when they are needed, and of columns that are needed only."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterator, Sequence
from functools import reduce

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


def part_on(predicate: pl.Expr, columns: Container[str]) -> pl.Expr | None:
    """As much of a filter as some columns decide: no row that it leaves out passes the whole filter.

    Polars hands the filters of a query on as one, joined by ``&``.

    Args:
        predicate: the filter.
        columns: those there are.

    Returns:
        The conditions on these columns alone; None if there are none.

    Example:
        >>> wanted = (pl.col("n") < 3) & (pl.col("title") == "CTO") & pl.col("m").is_null()
        >>> print(part_on(wanted, {"n", "m"}), part_on(wanted, {"title"}), part_on(wanted, {"x"}))
        [([(col("n")) < (dyn int: 3)]) & (col("m").is_null())] [(col("title")) == ("CTO")] None
    """
    parts = [
        part for part in _conditions(predicate) if all(name in columns for name in part.meta.root_names())
    ]
    return reduce(operator.and_, parts) if parts else None


def _conditions(predicate: pl.Expr) -> Iterator[pl.Expr]:
    """What is joined by ``&``, in order."""
    waiting = [predicate]
    while waiting:
        condition = waiting.pop()
        sides = condition.meta.pop()
        if len(sides) == 2 and (sides[1] & sides[0]).meta.eq(condition):
            waiting += sides  # the right one is the first
        else:
            yield condition
