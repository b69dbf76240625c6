"""A table up to the point where it would cost something: its people, and what is to be done for each.

Pure: enters who is in a table and what the store knows, leaves decisions. ``enrich`` carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import polars as pl

from buena_pipeline.columns import LeadColumns
from buena_pipeline.lookup import Lookup
from buena_pipeline.plan import count_requests, leave_out, limit_people, purchases
from buena_pipeline.schema import KEY_KIND, PEOPLE, STATUS, UUID
from buena_pipeline.survey import Prints, Survey, prints_of
from buena_pipeline.terms import BEYOND_BUDGET, BEYOND_THE_DAY
from buena_pipeline.uuids import as_number, as_text

_GONE: Final = "its rows were not there any more when it was to be bought; run again"
"""Why somebody is deferred whose rows a LazyFrame did not give again."""

_UNLEARNED: Final = pl.Schema({"person_id": UUID, "kind": KEY_KIND, "key": UUID})


@dataclass(slots=True, repr=False)
class Draft:
    """The people of a table, numbered by their first row.

    Attributes:
        rows: rows of the table.
        person: the number of each row's person; null where nothing identifies one.
        keys: schema ``PERSON_KEYS``.
        priority: one number per person; None for the table's order.
        prints: how rows find their person in another reading of the table; None where they stay in place.
        columns: those that say who the leads are.
        began: when the run began.
        count: how many people there are.
        wanted: who may be bought; None for everybody.
        decisions: from ``plan.limit_people``, one row per person; empty until ``decide``.
        price: credits a lead has cost lately; None if nobody knows.
        leads: schema ``PEOPLE``, what can be sent of those who are to be bought.
        unlearned: ``person_id``, ``kind`` and ``key``: keys of people who can be served, by which the store
            does not know them yet.
        file_id: of the store's file when it was asked.
        only_chunk: the rows as ``identity.identify`` returns them, and digests of their keys, of a table so
            short that it need not be read again to describe people.
    """

    rows: int
    person: pl.Series
    keys: pl.DataFrame
    priority: pl.Series | None
    prints: Prints | None
    columns: LeadColumns
    began: datetime
    count: int = 0
    wanted: pl.Series | None = None
    decisions: pl.DataFrame = field(default_factory=pl.DataFrame)
    price: float | None = None
    leads: pl.DataFrame = field(default_factory=PEOPLE.to_frame)
    unlearned: pl.DataFrame = field(default_factory=_UNLEARNED.to_frame)
    file_id: str | None = None
    only_chunk: tuple[pl.DataFrame, pl.DataFrame] | None = None

    @classmethod
    def of(cls, survey: Survey, columns: LeadColumns, *, began: datetime) -> Draft:
        """The people of a table, for a run that began then."""
        person, keys, priority, wanted = survey.people()
        # numbered in the order of their rows, so that the highest number tells how many there are
        count = int(pl.select(pl.lit(person).max() + 1).to_series().fill_null(0).item())
        return cls(survey.rows, person, keys, priority, survey.prints, columns, began, count, wanted)

    def person_of(self, chunk: pl.DataFrame, *, offset: int) -> tuple[pl.Series, pl.Series | None]:
        """The number of each row's person, of rows that are read again, and which rows were not there before.

        Args:
            chunk: the rows, with the columns that say who they are, unless rows stay in place.
            offset: how many rows came before these.

        Returns:
            UInt32, null where nothing identifies a row; Boolean, or None if all rows were there.
        """
        if self.prints is None:
            return self.person.slice(offset, chunk.height), None
        rows = self.prints.rows(prints_of(chunk, self.columns.names), offset=offset)
        return self.person.gather(rows), rows.is_null() if rows.null_count() else None

    def decide(
        self,
        decided: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        max_people: int | None,
        reason: str,
        again: pl.Series | None = None,
    ) -> None:
        """Decides what is to be done, for everybody or for some again.

        Args:
            decided: from the keys of people to ``plan.decide`` of them.
            max_people: how many the budget pays for; None for all.
            reason: why the others are deferred.
            again: the numbers of those about whom something new is known; everybody else is done with.
        """
        if again is None:
            decisions = decided(self.keys)
            if self.wanted is not None:
                decisions = leave_out(decisions, ~self.wanted)
            self.decisions = limit_people(
                decisions, priority=self.priority, max_people=max_people, reason=reason
            )
            return
        some = again.sort().to_frame("person")
        keys = self.keys.join(some, on="person", how="semi", maintain_order="left")
        fresh = limit_people(
            decided(keys),
            priority=None if self.priority is None else self.priority.gather(some["person"]),
            max_people=max_people,
            reason=reason,
        )
        done = self.decisions.with_columns(turn=pl.lit(None, pl.UInt32))
        self.decisions = done.update(fresh, on="person", how="left", include_nulls=True)

    def learn(self, found: Lookup, decisions: pl.DataFrame) -> None:
        """Notes what the table says of people who can be served, beyond what the store knows."""
        served = decisions.filter(pl.col("decision").is_in(["cached", "failed"]))
        new = found.unlearned(served.select("person", "person_id"))
        if new.height:
            self.unlearned = pl.concat([self.unlearned, new])

    def undecided(self, elsewhere: Collection[str], *, room: int) -> pl.Series:
        """The numbers of people about whom something new may be known soon, or whom the budgets reach by now.

        Args:
            elsewhere: ids of people who turned out to be somebody else's to buy.
            room: how many of those whom the budgets left out may be bought after all, the first in turn.
        """
        others = as_number(pl.Series(list(elsewhere), dtype=pl.String))
        wanted = (pl.col("decision") == "wait") | pl.col("person_id").is_in(others.implode())
        people = self.decisions.filter(wanted)["person"]
        if not room:
            return people
        left_out = self.decisions.with_columns(
            priority=pl.lit(0.0) if self.priority is None else self.priority
        ).filter(pl.col("error").is_in([BEYOND_BUDGET, BEYOND_THE_DAY]))
        next_ones = left_out.sort("priority", descending=True, nulls_last=True, maintain_order=True)
        return pl.concat([people, next_ones["person"].head(room)]).unique(maintain_order=True)

    # --- buying -----------------------------------------------------------------------------------------

    def undescribed(self) -> pl.Series | None:
        """Which people are to be bought of whom nobody knows what to send; None if there are none."""
        told = pl.col("person").is_in(self.leads["person"].implode())
        wanted = self.decisions.select(pl.col("turn").is_not_null() & ~told).to_series()
        return wanted if wanted.any() else None

    def describe(self, identified: pl.DataFrame, keys: pl.DataFrame, person: pl.Series) -> None:
        """Takes down what can be sent of some people.

        Args:
            identified: all rows of these people, as ``identity.identify`` returns them.
            keys: their columns ``key_*``, with digests in place of values.
            person: the number of each row's person.
        """
        from buena_pipeline.people import describe_people  # brings numpy along

        numbers = person.unique().sort()
        leads = describe_people(
            identified,
            numbers.search_sorted(person).cast(pl.UInt32),
            misleading=self._shared_addresses(keys, person),
        )
        self.leads = pl.concat([self.leads, leads.with_columns(numbers.alias("person"))]).sort("person")

    def _shared_addresses(self, keys: pl.DataFrame, person: pl.Series) -> pl.Series:
        """Rows with an address that does not point to their person: other people have it, too."""
        names = [name for name in keys.columns if name.startswith(("key_email", "key_mailbox"))]
        if not names:
            return pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True)
        held = pl.concat(
            pl.DataFrame({"row": range(keys.height), "person": person, "key": keys[name]}) for name in names
        ).drop_nulls("key")
        shared = held.join(self.keys, on=["person", "key"], how="anti")["row"]
        return pl.int_range(keys.height, eager=True).is_in(shared.implode())

    def count_requests(self) -> int:
        """How many requests buying takes."""
        return count_requests(self.decisions.filter(pl.col("turn").is_not_null()))

    def to_buy(self) -> pl.DataFrame:
        """The people to buy (``plan.purchases``)."""
        ready = self.decisions.filter(pl.col("turn").is_not_null()).join(
            self.leads, on="person", maintain_order="left"
        )
        bought = purchases(ready, ready)
        return bought.with_columns(as_text(bought["person_id"]))

    def keys_to_buy(self) -> pl.DataFrame:
        """Their keys: ``person``, ``person_id``, ``kind`` and ``key``."""
        wanted = self.decisions.filter(pl.col("turn").is_not_null()).select("person", "person_id")
        keys = self.keys.join(wanted, on="person", maintain_order="left")
        return keys.select("person", as_text(keys["person_id"]), "kind", "key")

    # --- what became of it ------------------------------------------------------------------------------

    def statuses(self, outcomes: pl.DataFrame) -> pl.DataFrame:
        """What became of each person: ``person_id``, ``status``, ``error`` and ``row``, in their order.

        Args:
            outcomes: schema ``OUTCOME``, of those who were bought.
        """
        left_alone = {"buy": "deferred", "wait": "deferred"}
        people = self.decisions.select("person_id", "decision", "error", "row")
        if outcomes.is_empty():
            people = people.with_columns(status=pl.lit(None, STATUS), error_now=pl.lit(None, pl.String))
        else:
            now = outcomes.with_columns(as_number(outcomes["person_id"]))
            people = people.join(now, on="person_id", how="left", suffix="_now", maintain_order="left")
        told = people.select(
            "person_id",
            status=pl.coalesce("status", pl.col("decision").cast(pl.String).replace(left_alone).cast(STATUS)),
            # an outcome without a reason is one that needs none
            error=pl.when(pl.col("status").is_not_null())
            .then("error_now")
            .when(pl.col("decision") == "buy")
            .then(pl.coalesce("error", pl.lit(_GONE)))
            .otherwise("error"),
            # whoever was bought now has more than was known before
            row=pl.when(pl.col("status").is_null()).then("row"),
        )
        if told["error"].null_count() < told.height:
            return told
        # it is kept for long, and text takes 16 bytes a row where there is none
        return told.with_columns(error=pl.lit(None, pl.String))

    def settle(self) -> None:
        """Lets go of all that was needed until everybody had an outcome; who the rows are stays."""
        self.keys, self.decisions, self.leads, self.unlearned = (pl.DataFrame() for _ in range(4))
        self.priority = self.only_chunk = None

    def rows_of(self, people: pl.Series) -> int:
        """How many rows some people have.

        Args:
            people: their numbers.
        """
        return int(self.person.is_in(people.implode()).sum())
