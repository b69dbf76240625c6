"""Records out of the store, in the order in which the rows of a table ask for them.

People bought one after the other stand side by side in the file, so those of a chunk of rows are read from a
part of it. The few that stand elsewhere, such as people who came up in an earlier chunk, would each time take
a look at all of the file: they are read for many chunks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from buena_pipeline.lead_table import CHUNK
from buena_pipeline.store import EnrichmentStore

AHEAD: Final = 8 * CHUNK
"""Rows for which those who stand apart are read at once."""

_MOST: Final = 2 * CHUNK
"""People who are read ahead at most, where all stand apart."""


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
        self._apart: pl.DataFrame | None = None

    def look_ahead(self, person: pl.Series) -> None:
        """Reads the records that stand apart from those of the rows around them.

        Args:
            person: the number of each row's person, of the rows that come next.
        """
        places = pl.DataFrame({"person": person}).select(
            "person",
            row=pl.lit(self._statuses["row"]).gather("person"),
            chunk=pl.int_range(pl.len()) // CHUNK,
        )
        far = (pl.col("row") - pl.col("row").median().over("chunk")).abs() > CHUNK
        apart = places.filter(far)["person"].unique(maintain_order=True).head(_MOST).sort()
        self._apart = self._fetched(apart) if len(apart) else None

    def of(self, people: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
        """The records of some people.

        Args:
            people: their numbers, ascending.

        Returns:
            ``person_id`` and the columns, in any order; and in step with the people where in it the record of
            each is, UInt32, null where there is none.
        """
        if self._apart is None:
            records = self._fetched(people)
        else:
            held = self._apart.filter(self._apart["person"].is_in(people.implode()))
            near = people.filter(~people.is_in(held["person"].implode()))
            records = pl.concat([self._fetched(near), held])
        at = records.select("person", place=pl.int_range(pl.len(), dtype=pl.UInt32))
        place = people.alias("person").to_frame().join(at, on="person", how="left", maintain_order="left")
        return records, place["place"]

    def _fetched(self, people: pl.Series) -> pl.DataFrame:
        """The records of these people, with their numbers as ``person``."""
        told = self._statuses[people]
        served = told["status"] != "suppressed"
        records = self._store.fetch(told.filter(served), self._columns, file_id=self._file_id)
        numbers = people.filter(served).gather(records["slot"]).alias("person")
        return records.drop("slot").with_columns(numbers)
