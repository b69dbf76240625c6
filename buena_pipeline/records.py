"""Records out of the store, in the order in which the rows of a table ask for them.

People bought one after the other stand side by side in the file, so those of a chunk of rows are read as one
span of it. The few that stand elsewhere, such as people who came up in an earlier chunk, would each time take
a look at all of the file: they are read for many chunks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from buena_pipeline.lead_table import CHUNK
from buena_pipeline.store import EnrichmentStore

AHEAD: Final = 4 * CHUNK
"""Rows for which those who stand apart are read at once."""

_MOST: Final = 2 * CHUNK
"""People who are read ahead at most, where all stand apart."""

_STRETCH: Final = 8192
"""Rows of the file at a time of which is seen whether most are wanted."""


class Records:
    """The records of people, as one reading of a table needs them.

    Args:
        store: where they are.
        statuses: from ``Draft.statuses``, one row per person.
        columns: those of ``schema.RECORD`` that are wanted, and ``enriched_at``.
        file_id: of the store's file when it told where records stand.
    """

    def __init__(
        self, store: EnrichmentStore, statuses: pl.DataFrame, columns: Sequence[str], *, file_id: str | None
    ) -> None:
        self._store = store
        self._statuses = statuses
        self._columns = columns
        self._file_id = file_id
        self._asked = pl.Series("person", dtype=pl.UInt32)
        self._apart: pl.DataFrame | None = None

    def look_ahead(self, person: pl.Series) -> None:
        """Reads the records that stand apart from those of the rows around them.

        Args:
            person: the number of each row's person, of the rows that come next.
        """
        self._apart = None
        apart = [self._asked.clear()]
        for start in range(0, len(person), CHUNK):
            some = person.slice(start, CHUNK)
            row = self._rows(some)
            first, last = _span(row)
            apart.append(some.filter(~row.is_between(first, last).fill_null(value=False)))
        people = pl.concat(apart).drop_nulls().unique(maintain_order=True)
        self._asked = people.head(_MOST).sort()
        self._apart = self._fetched(self._asked)

    def of(self, person: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
        """The records of some people.

        Args:
            person: their numbers; null for nobody.

        Returns:
            ``person_id`` and the columns, in any order; and in step with the people where in it the record of
            each is, UInt32, null where there is none.
        """
        row = self._rows(person)
        near = self._store.fetch_span(*_span(row), self._columns, file_id=self._file_id)
        place = _places(row, near["row"])
        others = person.filter(place.is_null()).drop_nulls().unique()
        far = self._fetched(others.filter(~others.is_in(self._asked.implode())).sort())
        if self._apart is not None:
            far = pl.concat([self._apart.filter(pl.col("person").is_in(others.implode())), far])
        elsewhere = _places(person, far["person"]) + near.height
        # to look up rows in pieces would cost more than to put these together
        records = pl.concat([near.drop("row"), far.drop("person")], rechunk=True)
        return records, pl.select(pl.coalesce(place, elsewhere)).to_series()

    def _rows(self, person: pl.Series) -> pl.Series:
        """Where in the file the record of each stands, if it is one row, and anybody may see it."""
        told = self._statuses.select(pl.col("status", "row").gather(person))
        return told.select(pl.when(pl.col("status") != "suppressed").then("row").alias("row")).to_series()

    def _fetched(self, people: pl.Series) -> pl.DataFrame:
        """The records of these people, with their numbers as ``person``."""
        told = self._statuses[people]
        served = told["status"] != "suppressed"
        records = self._store.fetch(told.filter(served), self._columns, file_id=self._file_id)
        numbers = people.filter(served).gather(records["slot"]).alias("person")
        return records.drop("slot").with_columns(numbers)


def _span(row: pl.Series) -> tuple[int, int]:
    """The first and the last row of the part of the file of which most is wanted; 0 and -1 for none."""
    stretches = (row.drop_nulls() // _STRETCH).alias("stretch").value_counts()
    dense = stretches.filter(pl.col("count") > _STRETCH // 2)["stretch"].sort().to_list()
    if not dense or 2 * len(dense) < dense[-1] - dense[0] + 1:
        return 0, -1
    return dense[0] * _STRETCH, (dense[-1] + 1) * _STRETCH - 1


def _places(wanted: pl.Series, there: pl.Series) -> pl.Series:
    """Where in the second series each value of the first one stands, UInt32; null where it does not."""
    if there.is_empty():
        return pl.repeat(None, len(wanted), dtype=pl.UInt32, eager=True)
    first, last = int(there[0]), int(there[-1])
    if last - first + 1 == len(there) and there.is_sorted():  # one after the other, without a gap
        place = pl.when(pl.col("value").is_between(first, last)).then(pl.col("value") - first)
        return wanted.to_frame("value").select(place.cast(pl.UInt32)).to_series()
    at = there.to_frame("value").select("value", place=pl.int_range(pl.len(), dtype=pl.UInt32))
    return wanted.to_frame("value").join(at, on="value", how="left", maintain_order="left")["place"]
