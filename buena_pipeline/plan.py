"""What is to be done for each person: served from the store, bought, or left alone, and in which batches.

Pure functions: enter the people of a table and what the store knows of them, leave decisions and batches.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.schema import BLOCKS, LEAD_FIELDS
from buena_pipeline.terms import BEYOND_BUDGET
from buena_pipeline.wire import MAX_LEADS

DECISION: Final = pl.Enum(["cached", "failed", "buy", "wait", "deferred", "suppressed"])
"""Serve from the store; remember a "not found"; buy; wait for somebody else who is buying; leave alone."""

ELSEWHERE: Final = "another run is buying this person right now; run again"
"""Why somebody is deferred whom another run was not done with in time."""

_SUPPRESSED: Final = "on the do-not-enrich list"

_UNWANTED: Final = "all rows of this person are filtered out"

_FACTS: Final = ("found_at", "failed_at", "failed_reason", "pending_since", "charged", "in_flight_until")
_BLOCK_FACTS: Final = tuple(f"{block}{fact}" for block in BLOCKS for fact in ("_at", "_failed_at"))


@dataclass(frozen=True, slots=True)
class Batch:
    """At most 50 people to be bought with one request, all for the same blocks.

    ``people`` has ``person_id`` and the columns of ``schema.LEAD_FIELDS``.
    """

    blocks: tuple[str, ...]
    people: pl.DataFrame

    def __repr__(self) -> str:
        return f"Batch({self.people.height} people, {'+'.join(self.blocks)})"


def resolve_people(own_id: pl.DataFrame, known: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Which person of the store each person of the table is, if any.

    The strongest key that points to exactly one person decides. A key that points to several points to
    nobody, except to the person who got its id from it. A name with company decides for people who have
    nothing stronger, on either side.

    Args:
        own_id: schema ``OWN_ID``.
        known: schema ``KNOWN``.
        keys: schema ``PERSON_KEYS``.

    Returns:
        One row per person, ordered: ``person``, ``person_id``, ``suppressed``, ``row``, and when what was
        bought or not found.
    """
    hits = known.filter(pl.col("own") | (pl.col("candidates") == 1))
    if (hits["kind"] == "name").any():
        strong = keys.filter(pl.col("kind") != "name")["person"]
        weak = ~pl.col("person").is_in(strong.unique().implode())
        hits = hits.filter((pl.col("kind") != "name") | weak | pl.col("weak_only"))
    if hits["person"].n_unique() < hits.height:  # most people are pointed to by one key, or by all alike
        strongest_first = ["person", pl.col("kind").to_physical(), "own", "person_id"]
        hits = hits.sort(strongest_first, descending=[False, False, True, False])
        hits = hits.unique("person", keep="first", maintain_order=True)
    return (
        own_id.sort("person")
        .rename({"person_id": "own_id"})
        .join(
            hits.select("person", "person_id", "row", *_FACTS, *_BLOCK_FACTS),
            on="person",
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.coalesce("person_id", "own_id").alias("person_id"))
        .drop("own_id")
    )


def decide(
    resolved: pl.DataFrame,
    *,
    wanted: tuple[str, ...],
    began: datetime,
    now: datetime,
    max_age: timedelta | None,
    retry_failed_after: timedelta | None,
    retry_unknown: bool = False,
) -> pl.DataFrame:
    """What is to be done for each person.

    Args:
        resolved: from ``resolve_people``.
        wanted: the blocks a row asks for.
        began: when the run began; what came since is fresh, however little ``max_age`` allows.
        now: the time, with a time zone.
        max_age: how old a block may be; None for any age.
        retry_failed_after: how long a "not found" is remembered; None for ever.
        retry_unknown: buy people, too, whom a request of unknown outcome asked for: it may cost them twice.

    Returns:
        ``person``, ``person_id``, ``decision`` (one of ``DECISION``), ``blocks`` (bit mask of the blocks to
        buy, in the order of ``schema.BLOCKS``), ``stale`` (a block is there, but too old), ``unknown`` (an
        earlier request has perhaps been charged), ``row`` (where the record stands, if it is one row) and
        ``error``; in the order of ``resolved``.
    """

    def recent(column: str, age: timedelta | None) -> pl.Expr:
        moment = pl.col(column)
        fresh = moment.is_not_null() if age is None else moment >= pl.lit(began - age)
        return fresh.fill_null(value=False)

    fresh = {block: recent(f"{block}_at", max_age) for block in wanted}
    missed = {
        block: recent(f"{block}_failed_at", retry_failed_after)
        & (pl.col(f"{block}_failed_at") > pl.col(f"{block}_at")).fill_null(value=True)
        for block in wanted
    }
    never_found = pl.col("found_at").is_null() & recent("failed_at", retry_failed_after)
    mask = pl.sum_horizontal(
        (~fresh[block] & ~missed[block]).cast(pl.UInt8) * (1 << BLOCKS.index(block)) for block in wanted
    ).cast(pl.UInt8)
    stale = pl.any_horizontal(~fresh[block] & pl.col(f"{block}_at").is_not_null() for block in wanted)
    lacking = pl.any_horizontal(missed[block] & ~fresh[block] for block in wanted)
    return (
        resolved.with_columns(
            blocks=pl.when(never_found).then(pl.lit(0, pl.UInt8)).otherwise(mask), stale=stale
        )
        .with_columns(
            decision=pl.when(pl.col("blocks") > 0)
            .then(pl.lit("buy"))
            .when(never_found | ~pl.any_horizontal(fresh.values()))
            .then(pl.lit("failed"))
            .otherwise(pl.lit("cached"))
            .cast(DECISION),
            lacking=never_found | lacking,
        )
        .with_columns(
            travels=(pl.col("blocks") > 0) & (pl.col("in_flight_until") > now).fill_null(value=False),
            unknown=pl.lit(not retry_unknown)
            & (pl.col("blocks") > 0)
            & pl.col("pending_since").is_not_null(),
        )
        .with_columns(
            decision=pl.when("suppressed")
            .then(pl.lit("suppressed", DECISION))
            .when("travels")
            .then(pl.lit("wait", DECISION))
            .when("unknown")
            .then(pl.lit("deferred", DECISION))
            .otherwise("decision")
        )
        .with_columns(unknown=pl.col("decision") == "deferred", bought=pl.col("decision") == "buy")
        .select(
            "person",
            "person_id",
            "decision",
            pl.when("bought").then("blocks").otherwise(pl.lit(0, pl.UInt8)).alias("blocks"),
            pl.col("stale") & (pl.col("blocks") > 0),
            "unknown",
            "row",
            error=pl.when(pl.col("decision") == "suppressed")
            .then(pl.lit(_SUPPRESSED))
            .when(pl.col("decision") == "wait")
            .then(pl.lit(ELSEWHERE))
            .when("unknown")
            .then(
                pl.format(
                    "{} by the request of {} UTC; retry_unknown=True buys again",
                    pl.when("charged")
                    .then(pl.lit("charged, but the answer was lost,"))
                    .otherwise(pl.lit("perhaps charged already")),
                    pl.col("pending_since").dt.to_string("%Y-%m-%d %H:%M:%S"),
                )
            )
            .when(pl.col("lacking") & ~pl.col("bought"))
            .then(
                pl.format(
                    "{} (asked on {}, remembered)",
                    pl.col("failed_reason").fill_null("not found"),
                    pl.col("failed_at").dt.to_string("%Y-%m-%d"),
                )
            ),
        )
    )


def limit_people(
    decisions: pl.DataFrame,
    *,
    priority: pl.Series | None,
    max_people: int | None,
    reason: str = BEYOND_BUDGET,
) -> pl.DataFrame:
    """The decisions in the order of buying, and only so many people bought; the rest is deferred.

    Args:
        decisions: from ``decide``.
        priority: one number per decision, the highest is bought first; None for the table's order.
        max_people: how many different people may be bought; None for all.
        reason: why the others are deferred.

    Returns:
        The decisions with a column ``turn``: the place in the order of buying, null for those not bought.
    """
    if not (decisions["decision"] == "buy").any():  # as for most tables that come again
        return decisions.with_columns(turn=pl.lit(None, pl.UInt32))
    order = decisions.with_columns(priority=pl.lit(0.0) if priority is None else priority)
    turns = (
        order.filter(pl.col("decision") == "buy")
        .group_by("person_id", maintain_order=True)
        .agg(pl.col("priority").max())
        .sort("priority", descending=True, nulls_last=True, maintain_order=True)
        .select("person_id", turn=pl.int_range(pl.len(), dtype=pl.UInt32))
    )
    limited = decisions.join(turns, on="person_id", how="left", maintain_order="left").with_columns(
        turn=pl.when(pl.col("decision") == "buy").then("turn")
    )
    if max_people is None:
        return limited
    beyond = (pl.col("turn") >= max_people).fill_null(value=False)
    return limited.with_columns(
        decision=pl.when(beyond).then(pl.lit("deferred", DECISION)).otherwise("decision"),
        error=pl.when(beyond).then(pl.lit(reason)).otherwise("error"),
        turn=pl.when(~beyond).then("turn"),
    )


def leave_out(decisions: pl.DataFrame, people: pl.Series) -> pl.DataFrame:
    """The decisions, with nobody bought of some people.

    Args:
        decisions: from ``decide``.
        people: Boolean, one value per decision.
    """
    unwanted = pl.lit(people) & pl.col("decision").is_in(["buy", "wait"])
    return decisions.with_columns(
        decision=pl.when(unwanted).then(pl.lit("deferred", DECISION)).otherwise("decision"),
        error=pl.when(unwanted).then(pl.lit(_UNWANTED)).otherwise("error"),
    )


def purchases(decisions: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """The people to buy, each once, in the order of buying.

    Args:
        decisions: from ``limit_people``.
        people: schema ``PEOPLE``, one row per decision in the same order.

    Returns:
        ``person_id``, ``blocks`` and the columns of ``schema.LEAD_FIELDS``. Two people of the table that
        the store knows to be one are one row with what either of them says.
    """
    bought = (
        decisions.select("person_id", "blocks", "turn", "decision")
        .hstack(people.select(LEAD_FIELDS))
        .filter(pl.col("decision") == "buy")
    )
    if bought["turn"].n_unique() == bought.height:  # as in most tables
        return bought.sort("turn").select("person_id", "blocks", *LEAD_FIELDS)
    return (
        bought.group_by("turn", "person_id")
        .agg(
            pl.col("blocks").bitwise_or(),
            pl.col("email", "linkedin_url", "company").drop_nulls().first(),
            # first and last name of one row, never of two
            pl.col("first_name", "last_name")
            .sort_by(pl.col("last_name").is_null(), maintain_order=True)
            .first(),
        )
        .sort("turn")
        .select("person_id", "blocks", *LEAD_FIELDS)
    )


def batches(bought: pl.DataFrame) -> Iterator[Batch]:
    """The people to buy in batches of at most 50, each batch for one set of blocks.

    Args:
        bought: from ``purchases``.

    Yields:
        Batches; together they hold every person once, and those of one set of blocks keep their order.
        Whoever is first in a batch comes before the first of all later ones, whatever their blocks.
    """
    placed = bought.with_row_index("place")
    parts = (_parts(people) for _, people in placed.group_by("blocks", maintain_order=True))
    for _, batch in heapq.merge(*parts, key=lambda part: part[0]):
        yield batch


def _parts(people: pl.DataFrame) -> Iterator[tuple[int, Batch]]:
    """The batches of people who want the same blocks, each with the place of its first one."""
    mask = int(people["blocks"][0])
    blocks = tuple(block for bit, block in enumerate(BLOCKS) if mask >> bit & 1)
    places = people["place"].gather_every(MAX_LEADS).to_list()
    leads = people.drop("place", "blocks").iter_slices(MAX_LEADS)
    return ((place, Batch(blocks, part)) for place, part in zip(places, leads, strict=True))


def count_requests(bought: pl.DataFrame) -> int:
    """How many requests ``batches`` will make of people with ``person_id`` and ``blocks``."""
    people = bought.group_by("person_id").agg(pl.col("blocks").bitwise_or())
    return int(people.group_by("blocks").len().select((pl.col("len") / MAX_LEADS).ceil().sum()).item())
