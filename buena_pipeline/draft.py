"""A table up to the point where it would cost something: its people, and what is to be done for each.

Pure: enters a table and what the store knows, leaves decisions. ``enrich`` carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from buena_pipeline.columns import LeadColumns
from buena_pipeline.errors import InputError
from buena_pipeline.identity import identify
from buena_pipeline.plan import limit_people, purchases
from buena_pipeline.schema import STATUS
from buena_pipeline.terms import BEYOND_BUDGET, BEYOND_THE_DAY


@dataclass(slots=True, repr=False)
class Draft:
    """The people of a table, numbered by their first row.

    Attributes:
        frame: the table.
        person: the number of each row's person; null where nothing identifies one.
        people: schema ``PEOPLE``, one row per person.
        keys: schema ``PERSON_KEYS``.
        priority: one number per person; None for the table's order.
        decisions: from ``plan.limit_people``, one row per person; empty until ``decide``.
        began: when the run began.
        price: credits a lead has cost lately; None if nobody knows.
        known: ``person`` and ``person_id``, one row per key that the store knows.
    """

    frame: pl.DataFrame
    person: pl.Series
    people: pl.DataFrame
    keys: pl.DataFrame
    priority: pl.Series | None
    decisions: pl.DataFrame
    began: datetime
    price: float | None = None
    known: pl.DataFrame = field(default_factory=pl.DataFrame)

    @classmethod
    def of(
        cls, frame: pl.DataFrame, columns: LeadColumns, priority: pl.Expr | None, *, began: datetime
    ) -> Draft:
        """The people of a table, for a run that began then.

        Raises:
            InputError: if the priority is not one number per row.
        """
        from buena_pipeline.people import describe_people, group_people, person_keys  # brings numpy along

        identified = identify(frame, columns)
        person = group_people(identified)
        return cls(
            frame,
            person,
            describe_people(identified, person),
            person_keys(identified, person),
            _priority_of(frame, person, priority),
            pl.DataFrame(),
            began,
        )

    def decide(
        self,
        decide: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        max_people: int | None,
        reason: str,
        again: pl.Series | None = None,
    ) -> None:
        """Decides what is to be done, for everybody or for some again.

        Args:
            decide: from the keys of people to ``plan.decide`` of them.
            max_people: how many the budget pays for; None for all.
            reason: why the others are deferred.
            again: the numbers of those about whom something new is known; everybody else is done with.
        """
        if again is None:
            self.decisions = limit_people(
                decide(self.keys), priority=self.priority, max_people=max_people, reason=reason
            )
            return
        some = again.sort().to_frame("person")
        keys = self.keys.join(some, on="person", how="semi", maintain_order="left")
        fresh = limit_people(
            decide(keys),
            priority=None if self.priority is None else self.priority.gather(some["person"]),
            max_people=max_people,
            reason=reason,
        )
        done = self.decisions.with_columns(turn=pl.lit(None, pl.UInt32))
        self.decisions = done.update(fresh, on="person", how="left", include_nulls=True)

    def undecided(self, elsewhere: Collection[str], *, with_budget: bool) -> pl.Series:
        """The numbers of people about whom something new may be known soon.

        Args:
            elsewhere: ids of people who turned out to be somebody else's to buy.
            with_budget: also those whom only the budget left out.
        """
        wanted = (pl.col("decision") == "wait") | pl.col("person_id").is_in(list(elsewhere))
        if with_budget:
            wanted |= pl.col("error").is_in([BEYOND_BUDGET, BEYOND_THE_DAY])
        return self.decisions.filter(wanted)["person"]

    def to_buy(self) -> pl.DataFrame:
        """The people to buy (``plan.purchases``)."""
        ready = self.decisions.filter(pl.col("turn").is_not_null())
        return purchases(ready, self.people[ready["person"]])

    def keys_to_buy(self) -> pl.DataFrame:
        """Their keys: ``person``, ``person_id``, ``kind`` and ``value``."""
        wanted = self.decisions.filter(pl.col("turn").is_not_null()).select("person", "person_id")
        return self.keys.join(wanted, on="person").select("person", "person_id", "kind", "value")

    def statuses(self, outcomes: pl.DataFrame) -> pl.DataFrame:
        """What became of each person: ``person``, ``person_id``, ``status`` and ``error``.

        Args:
            outcomes: schema ``OUTCOME``, of those who were bought.
        """
        left_alone = {"buy": "deferred", "wait": "deferred"}
        return (
            self.decisions.select("person", "person_id", "decision", "error")
            .join(outcomes, on="person_id", how="left", suffix="_now", maintain_order="left")
            .select(
                "person",
                "person_id",
                status=pl.coalesce(
                    "status", pl.col("decision").cast(pl.String).replace(left_alone).cast(STATUS)
                ),
                # an outcome without a reason is one that needs none
                error=pl.when(pl.col("status").is_null()).then("error").otherwise("error_now"),
            )
        )


def _priority_of(frame: pl.DataFrame, person: pl.Series, priority: pl.Expr | None) -> pl.Series | None:
    """The highest priority among the rows of each person."""
    if priority is None or frame.is_empty():
        return None
    try:
        value = frame.select(priority.cast(pl.Float64).alias("priority"))["priority"].fill_nan(None)
    except pl.exceptions.PolarsError as error:
        # not the error's own text: it quotes the table
        raise InputError(
            f"The priority cannot be computed as one number per row ({type(error).__name__}): "
            'it takes an expression over columns of the table, such as pl.col("deal_size").'
        ) from None
    if len(value) != frame.height:
        raise InputError("The priority must be one number per row; an aggregate is one for all.")
    ranked = pl.DataFrame({"person": person, "priority": value}).drop_nulls("person")
    return ranked.group_by("person").agg(pl.col("priority").max()).sort("person")["priority"]
