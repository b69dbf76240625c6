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
    Numbers: TypeAlias = NDArray[np.unsignedinteger[Any]]

NOBODY: Final = np.uint32(2**32 - 1)
"""Stands where no row and no person is."""

ADDRESSES: Final = ("email", "mailbox")
"""The kinds of keys that are addresses."""

SHAREABLE: Final = ("member", *ADDRESSES)
"""The kinds that identify, too, but may be found beside several profiles: they tell nobody apart."""

STRONG: Final = ("linkedin", *SHAREABLE)
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
    cells: Numbers
    rows: Rows
    starts: Indexes

    @classmethod
    def of(cls, identified: pl.DataFrame, kind: str) -> Keys:
        """The keys in all columns of one kind, String or UInt64, that stand there more than once."""
        columns = key_columns(identified.columns, (kind,))
        held = [identified[name] for name in columns]
        places, starts = _side_by_side(_hashes(held))
        if len(held) == 1 and not held[0].has_nulls():
            return cls(columns, places, places.astype(np.uint32, copy=False), starts)
        cells = _filled_cells(held)[places]
        return cls(columns, cells, (cells // max(len(held), 1)).astype(np.uint32, copy=False), starts)

    def first_cells(self) -> Numbers:
        """The first cell that holds each key."""
        return np.minimum.reduceat(self.cells, self.starts)

    def lone_cells(self, identified: pl.DataFrame) -> Numbers:
        """The cells whose key stands nowhere else, in order."""
        filled = np.zeros((identified.height, len(self.columns)), dtype=np.bool_)
        for nth, name in enumerate(self.columns):
            filled[:, nth] = identified[name].is_not_null().to_numpy()
        lone = filled.ravel()
        lone[self.cells] = False
        return np.flatnonzero(lone).astype(_number_up_to(len(lone)))

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


def _hashes(columns: list[pl.Series]) -> NDArray[np.uint64]:
    """What the keys in these columns are compared by, column by column."""
    all_of = ((one, one if one.dtype == pl.UInt64 else one.hash()) for one in columns)
    hashes = [(of.filter(one.is_not_null()) if one.has_nulls() else of).to_numpy() for one, of in all_of]
    return hashes[0] if len(hashes) == 1 else np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])


def _filled_cells(columns: list[pl.Series]) -> Numbers:
    """The cells of these columns that hold a key, column by column."""
    height = len(columns[0]) if columns else 0
    filled = [np.zeros(0, dtype=_number_up_to(height * len(columns)))]
    for nth, column in enumerate(columns):
        cells = column.is_not_null().arg_true().to_numpy().astype(filled[0].dtype)
        cells *= len(columns)
        cells += nth
        filled.append(cells)
    return np.concatenate(filled)


def _number_up_to(count: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The type for places among so many."""
    return np.dtype(np.uint32 if count < 2**32 else np.uint64)


def _side_by_side(hashes: NDArray[np.uint64]) -> tuple[Numbers, Indexes]:
    """The places of all hashes that occur more than once, equal ones as neighbours, and where others begin.

    Sorting numbers takes a third of the time of sorting places by them. So what is sorted is the upper bits
    of each hash with the place in the lower ones. What is alone with its upper bits is done with; the few
    runs of equal upper bits that mix hashes are sorted again.
    """
    lower = np.uint64((1 << len(hashes).bit_length()) - 1)
    upper = hashes & ~lower
    upper |= np.arange(len(hashes), dtype=np.uint64)
    upper.sort()
    upper = upper[_paired((upper[1:] ^ upper[:-1]) <= lower, len(upper))]
    places = (upper & lower).astype(_number_up_to(len(hashes)))
    upper &= ~lower
    ordered = hashes[places]
    mixed = np.unique(upper[1:][(upper[1:] == upper[:-1]) & (ordered[1:] != ordered[:-1])])
    for begin, end in zip(np.searchsorted(upper, mixed), np.searchsorted(upper, mixed, "right"), strict=True):
        again = np.argsort(ordered[begin:end], kind="stable")
        places[begin:end] = places[begin:end][again]
        ordered[begin:end] = ordered[begin:end][again]
    if mixed.size:
        several = _paired(ordered[1:] == ordered[:-1], len(ordered))
        places, ordered = places[several], ordered[several]
    begins = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return places, np.flatnonzero(begins)


def _paired(equal: Mask, length: int) -> Mask:
    """Which of so many equal a neighbour, by whether each but the first equals the one before."""
    paired = np.zeros(length, dtype=np.bool_)
    paired[1:] = equal
    paired[:-1] |= equal
    return paired


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


def slots(person: pl.Series) -> tuple[Rows, int]:
    """The number of each row's person, and how many people there are; that many, too, is who is nobody."""
    people: int = person.to_frame().select(pl.col(person.name).max().add(1).fill_null(0)).item()
    return person.fill_null(people).to_numpy(), people


def people_with(identified: pl.DataFrame, kinds: Iterable[str], number: Rows, people: int) -> Mask:
    """Whether each person has a key of one of these kinds."""
    found = np.zeros(people + 1, dtype=np.bool_)
    found[number[holds_any(identified, kinds)]] = True
    return found
