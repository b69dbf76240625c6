"""The identity keys of all rows, one kind at a time, as columns of numbers: which rows hold the same key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[np.uint32]
    Mask: TypeAlias = NDArray[np.bool_]
    Indexes: TypeAlias = NDArray[np.integer[Any]]

NOBODY: Final = np.uint32(2**32 - 1)
"""Stands where no row and no person is."""

ADDRESSES: Final = ("email", "mailbox")
"""The kinds of keys that are addresses."""

STRONG: Final = ("linkedin", *ADDRESSES)
"""The kinds of keys that identify by themselves."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one kind that stand in several cells, equal ones side by side.

    Text is compared by polars' 64-bit hash, which is stored nowhere; numbers are hashes already. A collision
    would make one person of two strangers; among ten million different keys the odds of a single one are 1
    to 370,000. Cells are numbered row by row: the row times the number of columns, plus the column.

    Attributes:
        columns: the names of the columns of this kind.
        cells: these cells, equal keys as neighbours.
        rows: the row of each of them.
        starts: where in that order the next key begins.
    """

    columns: list[str]
    cells: Indexes
    rows: Rows
    starts: Indexes

    @classmethod
    def of(cls, identified: pl.DataFrame, kind: str) -> Keys:
        """The keys in all columns of one kind, String or UInt64, that stand there more than once."""
        columns = key_columns(identified.columns, (kind,))
        cells = filled_cells(identified, columns)
        hashes = pl.concat([pl.Series(dtype=pl.UInt64), *(_hashes(identified[name]) for name in columns)])
        order, starts = _side_by_side(hashes.to_numpy())
        cells = cells[order]
        rows = (cells // max(len(columns), 1)).astype(np.uint32)
        return cls(columns, cells, rows, starts)

    def first_cells(self) -> Indexes:
        """The first cell that holds each key."""
        return np.minimum.reduceat(self.cells, self.starts)

    def lone_cells(self, identified: pl.DataFrame) -> Indexes:
        """The cells whose key stands nowhere else, column by column."""
        lone = np.ones(identified.height * len(self.columns), dtype=np.bool_)
        lone[self.cells] = False
        cells = filled_cells(identified, self.columns)
        return cells[lone[cells]]

    def first_rows(self) -> Rows:
        """The first row that holds each key."""
        return np.minimum.reduceat(self.rows, self.starts)

    def least(self, of_row: Rows) -> Rows:
        """The smallest value among the rows that hold each key."""
        return np.minimum.reduceat(of_row[self.rows], self.starts)

    def most(self, of_row: Rows) -> Rows:
        """The largest value among the rows that hold each key."""
        return np.maximum.reduceat(of_row[self.rows], self.starts)

    def spread(self, of_key: Rows) -> Rows:
        """The value of each key at every one of ``rows``."""
        return np.repeat(of_key, np.diff(self.starts, append=len(self.rows)))

    def links(self) -> tuple[Rows, Rows]:
        """Every row that is not the first one with its key, and that first one."""
        first = self.spread(self.first_rows())
        later = first != self.rows
        return self.rows[later], first[later]


def filled_cells(identified: pl.DataFrame, columns: list[str]) -> Indexes:
    """The cells of these columns that hold a key, column by column."""
    filled = [np.zeros(0, dtype=np.int64)]
    for nth, name in enumerate(columns):
        rows = identified[name].is_not_null().arg_true().to_numpy().astype(np.int64)
        filled.append(rows * len(columns) + nth)
    return np.concatenate(filled)


def _hashes(column: pl.Series) -> pl.Series:
    """What the keys of a column are compared by."""
    keys = column.drop_nulls()
    return keys if keys.dtype == pl.UInt64 else keys.hash()


def _side_by_side(hashes: NDArray[np.uint64]) -> tuple[Indexes, Indexes]:
    """The places of all hashes that occur more than once, equal ones as neighbours, and where others begin.

    Sorting numbers takes a third of the time of sorting places by them. So what is sorted is the upper bits
    of each hash with the place in the lower ones. What is alone with its upper bits is done with; the few
    runs of equal upper bits that mix hashes are sorted again.
    """
    lower = np.uint64((1 << len(hashes).bit_length()) - 1)
    upper = (hashes & ~lower) | np.arange(len(hashes), dtype=np.uint64)
    upper.sort()
    places = (upper & lower).astype(np.intp)
    upper &= ~lower
    several = _has_equal_neighbour(upper)
    places, upper = places[several], upper[several]
    ordered = hashes[places]
    mixed = np.unique(upper[1:][(upper[1:] == upper[:-1]) & (ordered[1:] != ordered[:-1])])
    for begin, end in zip(np.searchsorted(upper, mixed), np.searchsorted(upper, mixed, "right"), strict=True):
        again = np.argsort(ordered[begin:end], kind="stable")
        places[begin:end] = places[begin:end][again]
        ordered[begin:end] = ordered[begin:end][again]
    several = _has_equal_neighbour(ordered)
    places, ordered = places[several], ordered[several]
    differs = np.ones(len(places), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return places, np.flatnonzero(differs)


def _has_equal_neighbour(ordered: NDArray[np.uint64]) -> Mask:
    """Which of these numbers stand beside an equal one."""
    several = np.zeros(len(ordered), dtype=np.bool_)
    equal = ordered[1:] == ordered[:-1]
    several[1:] = equal
    several[:-1] |= equal
    return several


def key_columns(columns: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """The columns that hold keys of these kinds."""
    return [
        name
        for name in columns
        if any(name == f"key_{kind}" or name.startswith(f"key_{kind}_") for kind in kinds)
    ]


def holds_any(identified: pl.DataFrame, kinds: Iterable[str]) -> Mask:
    """Whether each row has a key of one of these kinds."""
    present = [pl.col(name).is_not_null() for name in key_columns(identified.columns, kinds)]
    if not present:
        return np.zeros(identified.height, dtype=np.bool_)
    return identified.select(pl.any_horizontal(present)).to_series().to_numpy()
