"""What store and table must say, given what the vendor charged: the three promises, and whom they miss.

The vendor's side is the sandbox's own count, the other side is what any user can read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from buena_pipeline import EnrichmentResult, EnrichmentStore, Sandbox
from tests.torture.people import person_id

UNKNOWN: Final = r"^(perhaps )?charged"
"""How the reason begins of somebody who was charged, or perhaps charged, and has no answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a torture; everything from ``paid_twice`` on must be empty or zero.

    Attributes:
        charged: people whom the vendor charged.
        answered: people of whom the store has an answer.
        unknown: people whom the ledger lists with a request of unknown outcome and the table as deferred.
        paid_twice: people who were charged more than once.
        lost: people who were charged, have no answer, and are not listed as unknown.
        unlisted: people whom the ledger lists as unknown and the table does not, or the other way round.
        unserved: people who were neither served, nor not found, nor of unknown outcome, after the last run.
        invented: people whom the table calls served and of whom the store has no answer.
        miscounted: credits of answered and settled requests by the ledger minus those the vendor charged.
        misreported: people of unknown outcome by the run's report minus those of the table.
        moved: whether the table is not the one that went in, with a status on every row.
        damaged: the checks of the store that found something.
    """

    charged: int
    answered: int
    unknown: int
    paid_twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    miscounted: float = 0.0
    misreported: int = 0
    moved: bool = False
    damaged: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """One sentence for every promise that was not kept."""
        misses = {
            "paid twice": self.paid_twice,
            "charged and lost": self.lost,
            "unknown in the ledger or the table only": self.unlisted,
            "not served": self.unserved,
            "served without an answer": self.invented,
        }
        said = [f"{len(people)} people {miss}: {people[:3]}" for miss, people in misses.items() if people]
        if abs(self.miscounted) > 1e-6:
            said.append(f"the ledger says {self.miscounted:+g} credits more than the vendor charged")
        if self.misreported:
            said.append(f"the report says {self.misreported:+} people of unknown outcome more than the table")
        said += [f"the store's check found something: {check}" for check in self.damaged]
        return said + ["the table did not come back whole"] * self.moved


def judge(sandbox: Sandbox, store: EnrichmentStore, table: pl.DataFrame, result: EnrichmentResult) -> Verdict:
    """Compares the vendor's count with the store and with the table of a run that went to its end.

    Args:
        sandbox: the vendor, who never sold to anybody else.
        store: the store.
        table: everybody who was ever asked for, a row each (``people.table_of``).
        result: what the last run made of that table.
    """
    people = (
        table.select("email", person_id=pl.Series([person_id(email) for email in table["email"]]))
        .join(_charges(sandbox), on="email", how="left")
        .join(answers(store).group_by("person_id").agg(pl.col("found").any()), on="person_id", how="left")
        .join(unsettled(store), on="person_id", how="left")
        .join(_statuses(result), on="email", how="left")
    )
    charged, answered, listed = (
        pl.col("count") > 0,
        pl.col("found").is_not_null(),
        pl.col("settled").is_not_null(),
    )
    people = people.with_columns(
        charged=charged.fill_null(value=False),
        answered=answered,
        # an answer that came to the same people later settles it
        listed=listed & ~answered,
        found=pl.col("found").fill_null(value=False),
        deferred=pl.col("status") == "deferred",
        served=pl.col("status").is_in(["enriched", "cached"]),
        doubtful=(pl.col("status") == "deferred") & pl.col("error").str.contains(UNKNOWN),
    )

    def who(rule: pl.Expr) -> list[str]:
        return people.filter(rule)["email"].to_list()

    listed, doubtful = pl.col("listed"), pl.col("doubtful")
    strangers = _charges(sandbox).join(table, on="email", how="anti")["email"].to_list()
    return Verdict(
        charged=people["charged"].sum(),
        answered=people["answered"].sum(),
        unknown=len(who(listed & doubtful)),
        paid_twice=who(pl.col("count") > 1),
        lost=[*who(pl.col("charged") & ~pl.col("found") & ~(listed & doubtful)), *strangers],
        unlisted=who(listed != doubtful),
        unserved=who(pl.col("deferred") & ~doubtful),
        invented=who(pl.col("served") & ~pl.col("found")),
        miscounted=_credits(store) - people.filter(pl.col("found") | pl.col("settled"))["credits"].sum(),
        misreported=result.report.unknown - len(who(doubtful)),
        moved=not result.frame.select(table.columns).equals(table)
        or result.frame["buena_status"].has_nulls()
        or result.frame.filter(
            ~pl.col("buena_status").is_in(["enriched", "cached"]) & pl.col("buena_error").is_null()
        ).height
        > 0,
        damaged=_damage(store),
    )


def answers(store: EnrichmentStore) -> pl.DataFrame:
    """Every answer in a store: ``person_id``, ``request_id`` and ``found``."""
    return store.sql(
        "select person_id::varchar as person_id, request_id::varchar as request_id, found from answer"
    )


def unsettled(store: EnrichmentStore) -> pl.DataFrame:
    """Who is in requests that were perhaps charged: ``person_id``, and whether one was (``settled``)."""
    return store.sql(
        """
        select person_id::varchar as person_id, bool_or(state = 'charged') as settled
        from (
            select unnest(people) as person_id, state from newest_request
            where state in ('in flight', 'unknown', 'charged')
        )
        group by person_id
        """
    )


def _credits(store: EnrichmentStore) -> float:
    """What the requests cost of which that is known, by the ledger."""
    known = pl.col("state").is_in(["answered", "charged"])
    return store.ledger().filter(known)["credits_used"].sum()


def _damage(store: EnrichmentStore) -> list[str]:
    """The checks of the store that found something; what mends itself aside."""
    if not hasattr(store, "check"):
        return []
    return store.check().filter(~pl.col("ok"))["check"].to_list()


def _charges(sandbox: Sandbox) -> pl.DataFrame:
    return sandbox.charges().select(
        pl.col("lead").str.strip_prefix("email:").alias("email"), "count", "credits"
    )


def _statuses(result: EnrichmentResult) -> pl.DataFrame:
    return result.frame.select(
        "email", pl.col("buena_status").cast(pl.String).alias("status"), pl.col("buena_error").alias("error")
    ).unique("email", maintain_order=True)


class Memory:
    """Remembers every answer that was ever seen in a store.

    Args:
        store: the store it looks into.
    """

    def __init__(self, store: EnrichmentStore) -> None:
        self._store = store
        self._seen = pl.DataFrame(
            schema={"person_id": pl.String, "request_id": pl.String, "found": pl.Boolean}
        )

    def look(self) -> None:
        """Reads the answers, and fails if one that was there is not there any more, or is there twice."""
        now = answers(self._store)
        gone = self._seen.join(now, on=self._seen.columns, how="anti").height
        twice = now.height - now.unique().height
        assert (gone, twice) == (0, 0), f"{gone} answers were persisted and are gone; {twice} are there twice"
        self._seen = now
