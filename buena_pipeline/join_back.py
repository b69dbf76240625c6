"""What enrichment adds to rows, once it is known what became of each person: the last step of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import polars as pl

from buena_pipeline.draft import Draft
from buena_pipeline.lead_table import LeadTable
from buena_pipeline.records import AHEAD, Records
from buena_pipeline.schema import BLOCK_OF, ENRICHED, RECORD, STATUS
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.summary import NO_IDENTIFIER
from buena_pipeline.uuids import as_text

_ERASED: Final = "erased from the store while the run went on; run again"
"""Why somebody is deferred of whom nothing is there any more."""

_NEW: Final = "this row was not there when the run began: the query gave other rows before; run again"
"""Why a row is deferred that comes up only when a LazyFrame is read for the second time."""

_STATED: Final = ("status", "error", "person_id")
"""The columns that say something of everybody, known or not."""


class JoinBack:
    """The rows of a table with the columns of ``schema.ENRICHED``.

    Args:
        store: where the records are.
        draft: who the rows are.
        statuses: from ``Draft.statuses``, one row per person.
        blocks: those that were asked for: others stay empty, whatever the store knows, so that the same call
            fills the same columns.
        prefix: of the columns.

    Attributes:
        schema: the columns that it adds.
    """

    def __init__(
        self,
        store: EnrichmentStore,
        draft: Draft,
        statuses: pl.DataFrame,
        *,
        blocks: Sequence[str],
        prefix: str,
    ) -> None:
        self.schema = pl.Schema({prefix + name: dtype for name, dtype in ENRICHED.items()})
        self._prefix = prefix
        self._store = store
        self._draft = draft
        self._statuses = statuses
        self._wanted = [name for name in RECORD if BLOCK_OF.get(name, blocks[0]) in blocks]

    def read(self, table: LeadTable, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of the table, chunk by chunk, in their order.

        Args:
            table: the one the draft was made of, or its first rows.
            names: columns of the table and of ``schema``.
        """
        own = [name for name in names if name not in self.schema]
        if own == [*names]:
            yield from table.chunks(own)
            return
        added = [name.removeprefix(self._prefix) for name in names if name in self.schema]
        identifying = self._draft.columns.names if table.is_lazy else ()
        records = self._records(added)
        offset, ahead = 0, 0
        for chunk in table.chunks([*dict.fromkeys([*own, *identifying])] or self._draft.columns.names):
            if offset >= ahead:
                records.look_ahead(self._draft.person.slice(offset, AHEAD))
                ahead = offset + AHEAD
            person, new = self._draft.person_of(chunk, offset=offset)
            offset += chunk.height
            columns = self._columns(records, person, added, new=new).rename(lambda name: self._prefix + name)
            yield columns.hstack(chunk.select(own)).select(names)

    def only_row(self) -> dict[str, Any]:
        """The columns for a table of one row, without their prefix."""
        names = ENRICHED.names()
        return self._columns(self._records(names), self._draft.person, names).row(0, named=True)

    def _records(self, names: Sequence[str]) -> Records:
        fetched = [name for name in names if name in self._wanted or name == "enriched_at"]
        return Records(self._store, self._statuses, fetched, file_id=self._draft.file_id)

    def _columns(
        self, source: Records, person: pl.Series, names: Sequence[str], *, new: pl.Series | None = None
    ) -> pl.DataFrame:
        """The columns for some rows.

        Args:
            source: of their records.
            person: the number of each row's person, null where nothing identifies one.
            names: which columns of ``schema.ENRICHED``.
            new: Boolean, rows that nobody has seen before; None if there are none.
        """
        told = self._statuses.select(pl.col(*_STATED).gather(person))
        records, record_of = source.of(person)
        fetched = [name for name in records.columns if name in names and name != "person_id"]
        filled = {*fetched, *_STATED}
        return (
            self._stated(told, records, record_of, names)
            .with_columns(_of_nobody(person, new))
            .hstack(records.select(pl.col(fetched).gather(record_of)))
            .select(
                pl.col(name) if name in filled else pl.lit(None, ENRICHED[name]).alias(name) for name in names
            )
            .cast({name: ENRICHED[name] for name in names})
        )

    def _stated(
        self, told: pl.DataFrame, records: pl.DataFrame, record_of: pl.Series, names: Sequence[str]
    ) -> pl.DataFrame:
        """``status``, ``error`` and, if it is wanted, ``person_id`` of some rows; null for nobody."""
        erased = pl.col("status").is_in(["enriched", "cached"]) & pl.lit(record_of).is_null()
        stated = told.select(
            status=pl.when(erased).then(pl.lit("deferred", STATUS)).otherwise("status"),
            error=pl.when(erased).then(pl.lit(_ERASED)).otherwise("error"),
        )
        if "person_id" not in names:
            return stated
        by_now = records["person_id"].gather(record_of)
        current = pl.select(pl.coalesce(by_now, told["person_id"])).to_series()
        return stated.with_columns(as_text(current).alias("person_id"))


def _of_nobody(person: pl.Series, new: pl.Series | None) -> list[pl.Expr]:
    """Status and error where a row is nobody."""
    is_new = pl.lit(value=False) if new is None else pl.lit(new)
    nobody = pl.lit(person).is_null()
    status = pl.when(is_new).then(pl.lit("deferred", STATUS)).when(nobody).then(pl.lit("invalid", STATUS))
    reason = pl.when(is_new).then(pl.lit(_NEW)).when(nobody).then(pl.lit(NO_IDENTIFIER))
    return [status.otherwise("status").alias("status"), reason.otherwise("error").alias("error")]
