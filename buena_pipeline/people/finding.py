"""The keys by which each person can be found again: rows and the number of each one's person in, keys out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from buena_pipeline.errors import InputError
from buena_pipeline.people.keys import NOBODY, STRONG, Keys, key_columns, people_with, slots
from buena_pipeline.schema import KEY_KIND, KEY_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buena_pipeline.people.keys import Mask, Numbers, Rows


def person_keys(identified: pl.DataFrame, person: pl.Series) -> pl.DataFrame:
    """List the keys by which each person can be found again; every key points to exactly one person.

    A key that several people hold points to nobody, with one exception: somebody who has no stronger key
    keeps it (of addresses, the one without a LinkedIn profile; of names, the one with nothing else). They
    could never be found again otherwise, and would be bought in every run.

    Args:
        identified: the rows, with the columns ``key_*``, see ``group_people``.
        person: what ``group_people`` said of them.

    Returns:
        ``person``, ``kind`` and ``key`` as in ``schema.PERSON_KEYS``, without repetitions, ordered by person,
        then strength of the kind, then first appearance, row by row. The keys are of the dtype they have in
        the rows: text, or digests of it.

    Raises:
        InputError: see ``person_key_cells``.

    Example:
        >>> from buena_pipeline.people import group_people
        >>> rows = pl.DataFrame({"key_linkedin": ["jane", "jo"], "key_email_0": ["us@acme.example"] * 2})
        >>> person_keys(rows, group_people(rows)).rows()
        [(0, 'linkedin', 'jane'), (1, 'linkedin', 'jo')]
    """
    cells = person_key_cells(identified, person)
    columns = _columns_by_strength(identified)
    if columns:
        # 32 bits are enough: polars has no longer columns
        place = cells["column"].to_physical().cast(pl.UInt32) * identified.height + cells["row"]
        keys = pl.concat([identified[name] for name in columns]).gather(place).alias("key")
    else:
        keys = pl.Series("key", dtype=pl.String)
    return cells.select("person", "kind").with_columns(keys)


def person_key_cells(identified: pl.DataFrame, person: pl.Series) -> pl.DataFrame:
    """List where the keys by which each person can be found again stand: ``person_keys`` without the values.

    For whoever has only hashes of the keys in the rows, and what they are hashes of somewhere else.

    Args:
        identified: the rows, with the columns ``key_*``, see ``group_people``.
        person: what ``group_people`` said of them.

    Returns:
        A frame of ``person`` (UInt32), ``kind`` (``schema.KEY_KIND``), ``column`` (an Enum of the columns
        ``key_*``, strongest kind first) and ``row`` (UInt32): one row per key with the first cell that holds
        it, in the order of ``person_keys``.

    Raises:
        InputError: if there are too many rows to number people and cells together in 64 bits: a billion.

    Example:
        >>> from buena_pipeline.people import group_people
        >>> rows = pl.DataFrame({"key_email_0": [3, 7], "key_email_1": [7, None]}).cast(pl.UInt64)
        >>> person_key_cells(rows, group_people(rows)).rows()
        [(0, 'email', 'key_email_0', 0), (0, 'email', 'key_email_1', 0)]
    """
    columns = _columns_by_strength(identified)
    number, people = slots(person)
    widths = _widths(people, identified.height, len(columns))
    # One number for each cell, because nothing is sorted as fast and in as little memory
    packed = part = np.empty(sum(identified[name].count() for name in columns), dtype=np.uint64)
    size = 0
    for owner, kind, row, column in _owned_cells(identified, number, people):
        part = packed[size : size + len(owner)]
        part[:] = owner
        part <<= np.uint64(widths[0])
        part |= np.uint64(kind)
        part <<= np.uint64(widths[1])
        part |= row
        part <<= np.uint64(widths[2])
        part |= column
        size += len(owner)
    packed = packed[:size]
    packed.sort()
    found = []
    for nth, dtype in enumerate((np.uint32, np.uint8, np.uint32, np.uint32)):
        below = np.uint64(sum(widths[nth:]))
        values = np.empty(size, dtype=dtype)
        np.right_shift(packed, below, out=values, casting="unsafe")
        packed &= (np.uint64(1) << below) - np.uint64(1)
        found.append(pl.Series(values))
    del packed, part, values
    return pl.DataFrame(
        {
            "person": found[0],
            "kind": pl.Series(_kinds(identified), dtype=KEY_KIND).gather(found[1]),
            "column": pl.Series(columns, dtype=pl.Enum(columns)).gather(found[3]),
            "row": found[2],
        }
    )


def _kinds(identified: pl.DataFrame) -> list[str]:
    """The kinds of keys that there are columns of, strongest first."""
    return [kind for kind in KEY_KINDS if key_columns(identified.columns, (kind,))]


def _columns_by_strength(identified: pl.DataFrame) -> list[str]:
    """The columns of keys, strongest kind first."""
    return [name for kind in KEY_KINDS for name in key_columns(identified.columns, (kind,))]


def _widths(people: int, rows: int, columns: int) -> list[int]:
    """The bits that kind, row and column take beside the person in a number of 64."""
    kinds = min(columns, len(KEY_KINDS))
    of_person, *widths = (max(count - 1, 0).bit_length() for count in (people, kinds, rows, columns))
    if of_person + sum(widths) > 64:
        raise InputError(f"A table of {rows:,} rows is too large to be enriched at once: do it in parts.")
    return widths


def _owned_cells(
    identified: pl.DataFrame, number: Rows, people: int
) -> Iterator[tuple[Rows, int, Numbers, Numbers]]:
    """Owners, kind, rows and columns of the first cell of every key that points to somebody."""
    with_profile = people_with(identified, ("linkedin",), number, people)
    with_strong = people_with(identified, STRONG, number, people)
    before = 0
    for nth, kind in enumerate(_kinds(identified)):
        keys = Keys.of(identified, kind)
        width = len(keys.columns)
        shared = _owners(keys, number, with_strong if kind == "name" else with_profile)
        for cells, owner in ((keys.first_cells(), shared), (keys.lone_cells(identified), None)):
            row, column = _row_and_column(cells, width)
            owners = number[row] if owner is None else owner
            column += before
            if (found := owners < people).all():
                yield owners, nth, row, column
            else:
                yield owners[found], nth, row[found], column[found]
        before += width


def _row_and_column(cells: Numbers, width: int) -> tuple[Numbers, Numbers]:
    """Where cells stand in columns of one kind."""
    if width <= 1:
        return cells, np.zeros(len(cells), dtype=np.uint16)
    row, column = np.divmod(cells, width)
    return row, column.astype(np.uint16)


def _owners(keys: Keys, number: Rows, stronger: Mask) -> Rows:
    """The person that each key points to; ``NOBODY`` for a key of several."""
    owner = keys.least(number)
    if (several := owner != keys.most(number)).any():
        owner[several] = keys.least(np.where(stronger[number], NOBODY, number))[several]
    return owner
