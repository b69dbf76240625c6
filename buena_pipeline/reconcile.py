"""What became of requests of unknown outcome, by the credits that later answers say are left.

``balances`` puts the answers of an account in the vendor's order, with the *gaps* that they do not explain,
and brackets each request by the answers that are surely before and after it. What is between them decides:

- No gap there: it was not charged, whoever else uses the account, since charges only add up.
- One gap there that nothing else explains, no bigger than the request may cost: it was charged that much.
  Requests that share gaps are settled together: all charged in full, or none.
- Anything else stays unknown: no bracket; a top-up, an answer that does not tell both numbers, or a doubtful
  order in between; a gap too big; somebody else who uses the account at about that time.

This rests on what nobody can check: a top-up is bigger than what the requests around it cost, so that the
balance is seen to rise; the times come from one clock; what a request may cost is not underestimated; and a
fall that it explains, where nobody else was seen, was its charge.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.balances import (
    NOISE,
    as_credits,
    bracketed,
    charges_of,
    in_millionths,
    timeline_of,
)

SETTLED: Final = pl.Schema(
    {"request_id": pl.String(), "state": pl.String(), "credits_used": pl.Float64(), "reason": pl.String()}
)
"""What ``reconcile`` found out: the states are ``charged`` and ``not charged``."""

_NEIGHBOURHOOD: Final = timedelta(days=1)
"""How near in time somebody else's use of the account makes a gap doubtful."""


def reconcile(requests: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """Settles requests of unknown outcome as far as the balances around them prove it.

    Args:
        requests: schema ``balances.REQUESTS``, of one or several accounts, any order; further columns are
            ignored. ``closed_at`` is null while a request is in flight. Requests without an account prove
            nothing.
        now: the time, with a time zone; a request in flight whose lease is over is of unknown outcome.

    Returns:
        Schema ``SETTLED``, in the order of ``requests``: only what can be settled.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> morning = datetime(2026, 5, 1, 9, tzinfo=UTC)
        >>> requests = pl.DataFrame(
        ...     {
        ...         "request_id": ["a", "b", "c"],
        ...         "account": "main",
        ...         "sent_at": [morning + timedelta(minutes=m) for m in (0, 1, 30)],
        ...         "closed_at": [morning + timedelta(minutes=m, seconds=9) for m in (0, 1, 30)],
        ...         "lease_until": [morning + timedelta(minutes=m + 10) for m in (0, 1, 30)],
        ...         "state": ["answered", "unknown", "answered"],
        ...         "people": [50, 50, 50],
        ...         "credits_reserved": [50.0, 50.0, 50.0],
        ...         "credits_used": [50.0, None, 40.0],
        ...         "credits_remaining": [940.0, None, 855.0],
        ...     }
        ... )
        >>> print(reconcile(requests, now=morning + timedelta(hours=1))["reason"].item())
        the balance went from 940 to 855 around it; answers explain 40, and 45 are left for this request

    Rests on ``creditsUsed`` and ``remainingCredits`` of ``POST /enrich``.
    """
    rows = in_millionths(requests).filter(pl.col("account").is_not_null())
    accounts = rows.partition_by("account", maintain_order=True)
    found = [_settle(part, now) for part in accounts if part["state"].is_in(["unknown", "in flight"]).any()]
    settled = pl.concat([SETTLED.to_frame(), *found])
    return rows.select("request_id").join(settled, on="request_id", maintain_order="left")


def _settle(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What can be settled of one account."""
    timeline = timeline_of(rows)
    if timeline.is_empty():
        return SETTLED.to_frame()
    charges = bracketed(charges_of(rows, now), timeline)
    untouched = charges.filter("open", "clear", pl.col("falls") == pl.col("falls_after")).with_columns(
        opens=1, known=0, cost=0
    )
    shared = charges.filter(pl.col("falls") < pl.col("falls_after"))
    settled = pl.concat([untouched, _judge(shared, timeline)], how="diagonal_relaxed")
    return settled.select(
        "request_id",
        state=pl.when(pl.col("cost") > 0).then(pl.lit("charged")).otherwise(pl.lit("not charged")),
        credits_used=as_credits(pl.col("cost")),
        reason=_reason(),
    )


def _judge(shared: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The verdicts on charges with falls around them: those that share a fall are judged together."""
    members = shared.sort("falls").with_columns(
        cluster=(pl.col("falls") >= pl.col("falls_after").cum_max().shift(1)).fill_null(value=False).cum_sum()
    )
    unknown_bounds = pl.col("bound").filter("open")
    clusters = (
        members.group_by("cluster")
        .agg(
            pl.col("sent", "spent", "fallen", "falls").min(),
            pl.col("end", "spent_after", "fallen_after", "falls_after").max(),
            pl.col("left").sort_by("first").first(),
            pl.col("left_after").sort_by("last").last(),
            slack=NOISE * pl.len().cast(pl.Int64),
            members=pl.len(),
            opens=pl.col("open").sum().cast(pl.Int64),
            sound=(pl.col("clear") & (pl.col("open") | pl.col("amount").is_not_null())).all(),
            known=pl.col("amount").sum(),
            most=unknown_bounds.sum(),
            bounded=(unknown_bounds > 0).all(),
        )
        .with_columns(rest=pl.col("fallen_after") - pl.col("fallen") - pl.col("known"))
    )
    rest, most, slack = pl.col("rest"), pl.col("most"), pl.col("slack")
    # one request is charged once: it cannot explain two falls
    overrun = (rest > most + slack) | (pl.col("falls_after") - pl.col("falls") > pl.col("members"))
    clusters = clusters.with_columns(overrun=pl.col("sound") & overrun)
    none = rest.abs() <= slack
    one = (pl.col("opens") == 1) & (rest > slack)
    all_in_full = pl.col("bounded") & (rest > slack) & ((rest - most).abs() <= slack)
    verdicts = clusters.filter("sound", none | one | all_in_full).join(
        _strangers(clusters, timeline), on="cluster", how="left"
    )
    return (
        members.filter("open")
        .select("request_id", "bound", "cluster")
        .join(verdicts.filter(none | pl.col("stranger").is_null()), on="cluster")
        .with_columns(cost=pl.when(none).then(0).when(one).then("rest").otherwise("bound"))
    )


def _strangers(clusters: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The clusters near whose time the balance fell by what no request explains, themselves included."""
    ranges = clusters.select("overrun", low="falls", high="falls_after").sort("low")
    strange = (
        timeline.with_columns(until=pl.col("closed").shift(-1))
        .filter(pl.col("fall") > 0)
        .join_asof(ranges, left_on="falls", right_on="low")
        .filter(((pl.col("falls") < pl.col("high")) & ~pl.col("overrun")).fill_null(value=False).not_())
        .select(since="sent", until="until")
    )
    near = (pl.col("since") - _NEIGHBOURHOOD <= pl.col("end")) & (
        pl.col("sent") - _NEIGHBOURHOOD <= pl.col("until")
    )
    return (
        clusters.filter("sound")
        .select("cluster", "sent", "end")
        .join(strange, how="cross")
        .filter(near)
        .select(pl.col("cluster").unique())
        .with_columns(stranger=pl.lit(True))  # noqa: FBT003 - a value
    )


def _reason() -> pl.Expr:
    """The arithmetic, as a sentence."""

    def told(value: pl.Expr) -> pl.Expr:
        return as_credits(value).cast(pl.String).str.strip_suffix(".0")

    spent = told(pl.col("spent_after") - pl.col("spent"))
    went = pl.format(
        "the balance went from {} to {} around it", told(pl.col("left")), told(pl.col("left_after"))
    )
    explained = pl.format(
        "{}; answers explain {}{}",
        went,
        spent,
        pl.when(pl.col("known") > 0)
        .then(pl.format(" and charges settled before {}", told(pl.col("known"))))
        .otherwise(pl.lit("")),
    )
    return (
        pl.when(pl.col("left") == pl.col("left_after"))
        .then(pl.format("the balance was {} before and after it", told(pl.col("left"))))
        .when(pl.col("cost") == 0)
        .then(pl.format("{}, which is all of it", explained))
        .when(pl.col("opens") == 1)
        .then(pl.format("{}, and {} are left for this request", explained, told(pl.col("cost"))))
        .otherwise(
            pl.format(
                "{}, and the other {} are the full price of the {} requests of unknown outcome in between",
                explained,
                told(pl.col("rest")),
                pl.col("opens"),
            )
        )
    )
