"""A table of leads, in memory or not, read a chunk of rows at a time. Knows nothing of what the rows mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Final

import polars as pl

from buena_pipeline.columns import require_column
from buena_pipeline.errors import InputError
from buena_pipeline.tables import as_frame

CHUNK: Final = 250_000
"""Rows of a chunk: large enough that fixed costs do not matter, small enough for the processor's caches."""

PRIORITY: Final = "__priority"
"""The column of a chunk that holds the priority."""

WANTED: Final = "__wanted"
"""The column of a chunk that says whether somebody wants the row."""


class LeadTable:
    """A DataFrame, a LazyFrame, or any table with the Arrow PyCapsule interface.

    Args:
        table: what it is; a LazyFrame is run anew for each reading.
        priority: a numeric expression over the table; None for the table's order.

    Attributes:
        frame: the polars frame.

    Raises:
        InputError: for what is no table; if the priority cannot be one number per row.

    Example:
        >>> table = LeadTable(pl.LazyFrame({"email": ["a@x.example", "b@x.example"], "deal": [1, 2]}))
        >>> [chunk.rows() for chunk in table.chunks(["deal"])]
        [[(1,), (2,)]]
    """

    def __init__(self, table: Any, *, priority: pl.Expr | None = None) -> None:
        self.frame = table if isinstance(table, pl.LazyFrame) else as_frame(table)
        self._priority = _priority_of(self.frame, priority)

    @property
    def is_lazy(self) -> bool:
        """Whether each reading runs a query, which may bring the rows in another order."""
        return isinstance(self.frame, pl.LazyFrame)

    @cached_property
    def schema(self) -> pl.Schema:
        """Names and dtypes of its columns; raises InputError if the query they come from does not run."""
        return _schema_of(self.frame)

    def head(self, rows: int | None) -> LeadTable:
        """Its first rows; all of them for None."""
        if rows is None:
            return self
        first = copy(self)
        first.frame = self.frame.head(rows)
        return first

    def chunks(
        self, columns: Sequence[str], *, with_priority: bool = False, wanted: pl.Expr | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows in their order, at most ``CHUNK`` at a time.

        Args:
            columns: the columns to read.
            with_priority: whether the priority, if there is one, comes with them as ``PRIORITY``.
            wanted: comes with them as ``WANTED``.

        Raises:
            InputError: if a query that brings them fails.
        """
        read: list[str | pl.Expr | pl.Series] = [*columns]
        if with_priority and self._priority is not None:
            read.append(self._priority)
        if wanted is not None:
            read.append(wanted.fill_null(value=False).alias(WANTED))
        if isinstance(self.frame, pl.DataFrame):
            yield from self.frame.select(read).iter_slices(CHUNK)
        else:
            batches = self.frame.select(read).collect_batches(
                chunk_size=CHUNK, maintain_order=True, engine="streaming"
            )
            try:
                yield from batches
            except (pl.exceptions.PolarsError, OSError) as error:
                # not the error's own text, unless it is about a file: it quotes values
                if isinstance(error, OSError):
                    raise _unreadable(error) from None
                raise InputError(
                    f"The table cannot be read to its end ({type(error).__name__}): its file is damaged, or "
                    "its query fails. Run that without enrichment to see where: collect() tells. What was "
                    "bought is in the store."
                ) from None


def _schema_of(frame: pl.DataFrame | pl.LazyFrame) -> pl.Schema:
    """Names and dtypes; for a query they may be wrong, or its file missing."""
    try:
        return frame.collect_schema()
    except OSError as error:
        raise _unreadable(error) from None
    except pl.exceptions.PolarsError as error:
        said = _first_line(error)  # no row has been read: it is about names, not about values
        raise InputError(
            f"The query behind the table does not run ({type(error).__name__}): {said}. "
            "Mend it; collect_schema() tells whether it runs."
        ) from None


def _unreadable(error: OSError) -> InputError:
    return InputError(
        f"A file that the table is read from cannot be read: {_first_line(error)}. "
        "Is its path right, and may it be read?"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].strip().rstrip(".")


def _priority_of(frame: pl.DataFrame | pl.LazyFrame, priority: pl.Expr | None) -> pl.Expr | pl.Series | None:
    """One number per row: computed for a table that is there, an expression for one that is not."""
    if priority is None:
        return None
    schema = _schema_of(frame)
    for name in priority.meta.root_names():
        require_column(schema, name, whose="The priority")
    number = priority.cast(pl.Float64, strict=isinstance(frame, pl.DataFrame)).fill_nan(None).alias(PRIORITY)
    try:
        if isinstance(frame, pl.LazyFrame):
            frame.select(number).collect_schema()
            return number
        value = frame.select(number).to_series()
    except pl.exceptions.PolarsError as error:
        # not the error's own text: it quotes the table
        raise InputError(
            f"The priority cannot be computed as one number per row ({type(error).__name__}): it takes an "
            'expression over columns of the table, such as pl.col("deal_size"); numbers in a column of text '
            'become some with pl.col("deal_size").cast(pl.Float64, strict=False).'
        ) from None
    if len(value) != frame.height:
        raise InputError("The priority must be one number per row; an aggregate is one for all.")
    return value
