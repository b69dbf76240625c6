"""Who is in a table, taken down a chunk of rows at a time: digests of keys, and no other word of the rows.

Pure: enters identified rows, leaves people.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import xor

import polars as pl

from buena_pipeline.columns import text_of
from buena_pipeline.lead_table import PRIORITY, WANTED
from buena_pipeline.schema import PERSON_KEYS, UUID


class Prints:
    """One number per row, equal for rows that say the same of who they are.

    Two readings of one query may bring its rows in another order. Rows with equal prints are one person, so
    each row finds its person again.
    """

    def __init__(self) -> None:
        self._parts: list[pl.Series] = []

    def add(self, prints: pl.Series) -> None:
        """Takes down the prints of the next rows."""
        self._parts.append(prints)

    @cached_property
    def _all(self) -> pl.Series:
        return pl.concat([pl.Series(dtype=pl.UInt64), *self._parts], rechunk=True)

    @cached_property
    def _sorted(self) -> tuple[pl.Series, pl.Series]:
        rows = self._all.arg_sort()
        return self._all.gather(rows), rows

    def rows(self, prints: pl.Series, *, offset: int) -> pl.Series:
        """For each of these rows one that says the same: the one at its place, if it does.

        Args:
            prints: of rows of another reading.
            offset: how many rows came before them.

        Returns:
            UInt32, null for a row that was not there.
        """
        here = pl.int_range(offset, offset + len(prints), dtype=pl.UInt32, eager=True)
        before = self._all.slice(offset, len(prints))
        if len(before) == len(prints) and (before == prints).all():
            return here
        if self._all.is_empty():
            return pl.repeat(None, len(prints), dtype=pl.UInt32, eager=True)
        ordered, rows = self._sorted
        places = ordered.search_sorted(prints)
        found = ordered.gather(places.clip(0, max(len(ordered) - 1, 0))) == prints
        return pl.DataFrame({"place": places, "found": found}).select(
            pl.lit(rows).gather(pl.when("found").then("place")).cast(pl.UInt32)
        )[:, 0]


def prints_of(chunk: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The print of each row, made of these columns; UInt64."""
    # as text, since the codes of categories are not the same in two readings
    hashes = (text_of(chunk.schema, name).hash(seed=nth) for nth, name in enumerate(columns))
    return chunk.select(reduce(xor, hashes)).to_series()


class Survey:
    """The rows of a table, chunk after chunk.

    Args:
        columns: those that say who the leads are.
        movable: whether the rows may come in another order the next time.

    Attributes:
        rows: how many there were.
        prints: of the rows, if they are movable.
    """

    def __init__(self, columns: Sequence[str], *, movable: bool) -> None:
        self.rows = 0
        self.prints = Prints() if movable else None
        self._columns = columns
        self._keys: list[pl.DataFrame] = []
        self._told: dict[str, list[pl.Series]] = {PRIORITY: [], WANTED: []}

    def add(self, chunk: pl.DataFrame, keys: pl.DataFrame) -> None:
        """Takes down the next rows.

        Args:
            chunk: the rows, perhaps with the columns ``PRIORITY`` and ``WANTED``.
            keys: the columns ``key_*`` of ``identity.identify``, with digests (``schema.UUID``) in place of
                values.
        """
        self.rows += chunk.height
        # a column in which nothing stands takes no room, but without any column rows would be lost
        held = [name for name in keys.columns if keys[name].null_count() < keys.height]
        self._keys.append(keys.select(held or keys.columns[:1]))
        if self.prints is not None:
            self.prints.add(prints_of(chunk, self._columns))
        for name, parts in self._told.items():
            if name in chunk.columns:
                parts.append(chunk[name])

    def people(self) -> tuple[pl.Series, pl.DataFrame, pl.Series | None, pl.Series | None]:
        """The number of each row's person, and of people their keys, priority and whether they are wanted.

        Returns:
            What ``people.group_people`` returns, schema ``PERSON_KEYS``, then the highest value among the
            rows of each person: Float64 and Boolean, or None.
        """
        from buena_pipeline.people import group_people, person_keys  # brings numpy along

        nobody = pl.DataFrame(schema={"key_linkedin": UUID})
        keys = pl.concat([nobody, *self._keys], how="diagonal")
        self._keys = []
        person = group_people(keys)
        of_people = person_keys(keys, person).cast(PERSON_KEYS)
        priority, wanted = (_highest(person, parts) if parts else None for parts in self._told.values())
        return person, of_people, priority, wanted


def _highest(person: pl.Series, parts: Sequence[pl.Series]) -> pl.Series:
    """The highest value among the rows of each person."""
    ranked = pl.DataFrame({"person": person, "value": pl.concat(parts)}).drop_nulls("person")
    return ranked.group_by("person").agg(pl.col("value").max()).sort("person")["value"]
