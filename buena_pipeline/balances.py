"""The balances that answers tell, in the vendor's order, and where in it each other request may be.

Every answer tells what it cost and the balance after it, so whatever else was charged shows as a *gap*
between two neighbouring answers: the balance after the first, less the cost and the balance of the second.
Without a top-up the balance only falls, so answers are in the vendor's order once those that overlap in time
are sorted by balance. A request is bracketed by the last answer closed before it was sent and the first sent
after its lease, because a vendor may go on working when the connection broke; its charge is between them.

Rows of the ledger enter, frames of balances and charges leave, in whole millionths of a credit. What follows
from them is left to ``reconcile`` and ``drift``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl

from buena_pipeline.schema import TIMESTAMP

REQUESTS: Final = pl.Schema(
    {
        "request_id": pl.String(),
        "account": pl.String(),
        "sent_at": TIMESTAMP,
        "closed_at": TIMESTAMP,
        "lease_until": TIMESTAMP,
        "state": pl.String(),
        "people": pl.Int64(),
        "credits_reserved": pl.Float64(),
        "credits_used": pl.Float64(),
        "credits_remaining": pl.Float64(),
    }
)
"""One row per request, with its newest state; ``store.ledger()`` has these columns and more."""

_UNIT: Final = 1_000_000
"""Credits are compared as whole millionths: sums are exact, and rounding cannot look like a charge."""

NOISE: Final = 2
"""Millionths by which three rounded numbers may disagree."""

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When a request ends that nobody heard the end of."""


def in_millionths(requests: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``REQUESTS``, with credits in whole millionths; null for what was not told."""
    missing = [pl.lit(None).alias(name) for name in REQUESTS if name not in requests.columns]
    credits_ = pl.col("credits_reserved", "credits_used", "credits_remaining")
    return (
        requests.with_columns(missing)
        .select(REQUESTS.names())
        .cast(REQUESTS)
        .with_columns((credits_ * _UNIT).round().cast(pl.Int64, strict=False))
    )


def as_credits(millionths: pl.Expr) -> pl.Expr:
    """Whole millionths as credits."""
    return (millionths / _UNIT).round(6)


# --- the vendor's order ----------------------------------------------------------------------------------


def _tells_balance() -> pl.Expr:
    """Answers that tell both numbers, and 402s, which cost nothing and tell the balance."""
    answered = (pl.col("state") == "answered") & pl.col("credits_used").is_not_null()
    # a 402 that does not say what is left is read as 0: believed only where it says more
    refused = (pl.col("state") == "refused") & (pl.col("credits_remaining") > 0)
    told = pl.col("credits_remaining", "sent_at", "closed_at").is_not_null()
    return (answered | refused).fill_null(value=False) & pl.all_horizontal(told)


def timeline_of(rows: pl.DataFrame) -> pl.DataFrame:
    """The balances of one account in the vendor's order, with the gap from each to the next.

    A gap that is a top-up, or beside a doubtful order, is not ``trusted``; a ``fall`` is one that is. What
    came before is summed up in ``spent`` (with this answer's own), ``fallen``, ``falls`` (how many they were)
    and ``doubts`` (how many gaps cannot be trusted).
    """
    gap = pl.col("left") - pl.col("after")
    muddled = pl.col("misplaced").any().over("period")
    trusted = ~muddled & ~muddled.shift(-1) & (pl.col("gap") >= 0)
    return (
        rows.filter(_tells_balance())
        .select(
            sent=pl.min_horizontal("sent_at", "closed_at"),
            closed=pl.max_horizontal("sent_at", "closed_at"),
            used=pl.when(pl.col("state") == "answered").then("credits_used").otherwise(0),
            left="credits_remaining",
        )
        .sort("sent")
        .with_columns(period=_starts_anew("sent", "closed"))
        .sort(["period", "left", "used"], descending=[False, True, True])
        .with_columns(top=pl.col("left") + pl.col("used"))
        .with_columns(before=pl.col("left").shift(1), after=pl.col("top").shift(-1))
        .with_columns(gap=pl.when(gap.abs() > NOISE).then(gap).when(gap.is_not_null()).then(0))
        .with_columns(misplaced=_misplaced())
        .with_columns(trusted=trusted.fill_null(value=False))
        .with_columns(fall=pl.when("trusted").then("gap").otherwise(0))
        .with_row_index("position")
        .with_columns(
            spent=pl.col("used").cum_sum(),
            fallen=_before(pl.col("fall")),
            falls=_before((pl.col("fall") > 0).cast(pl.Int64)),
            doubts=_before((~pl.col("trusted")).cast(pl.Int64)),
        )
    )


def _misplaced() -> pl.Expr:
    """Whether an answer may stand at the wrong place in its busy period, for a top-up in the middle of it."""
    before, after = pl.col("before").first(), pl.col("after").last()
    rises = (pl.col("gap") < 0) & (pl.int_range(pl.len()) < pl.len() - 1)
    against_time = pl.col("sent") > pl.col("closed").reverse().cum_min().reverse().shift(-1)
    # where the balance rose at an edge of the period, an answer may belong beyond the top-up if its balance
    # fits there, unless a time says otherwise
    fits_before, fits_after = pl.col("top") <= before + NOISE, pl.col("left") >= after - NOISE
    early = (pl.col("top").first() - before > NOISE) & fits_before
    late = (after - pl.col("left").last() > NOISE) & fits_after
    surely_later = pl.col("sent") > pl.col("closed").filter(~fits_before).min()
    surely_earlier = pl.col("closed") < pl.col("sent").filter(~fits_after).max()
    doubtful = [rises, against_time, early & ~surely_later, late & ~surely_earlier]
    return pl.any_horizontal(part.fill_null(value=False) for part in doubtful).over("period")


def _starts_anew(start: str, end: str) -> pl.Expr:
    """Numbers groups of intervals that overlap; for rows in the order of their starts."""
    return (pl.col(start) > pl.col(end).cum_max().shift(1)).fill_null(value=False).cum_sum()


def _before(value: pl.Expr) -> pl.Expr:
    """The sum over the rows before."""
    return value.cum_sum().shift(1, fill_value=0)


# --- what may be in the gaps -----------------------------------------------------------------------------


def charges_of(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The requests whose charge, if there was one, is in a gap, and from when to when it may have happened.

    They are of unknown outcome (``open``), or charged a known ``amount``, or neither: those still in flight,
    and answers that do not say what they cost. ``bound`` is what one may cost at most.
    """
    state, people = pl.col("state"), pl.col("people")
    answered, charged = state == "answered", state == "charged"
    price = pl.col("credits_used") / pl.when(people > 0).then(people)
    bound = (people * price.filter(answered).max()).round().cast(pl.Int64, strict=False)
    incomplete = answered & ~_tells_balance()
    return (
        rows.with_columns(
            open=(state == "unknown")
            | ((state == "in flight") & (pl.col("lease_until") < now)).fill_null(value=False),
            amount=pl.when(answered | charged).then("credits_used"),
            bound=pl.max_horizontal("credits_reserved", bound).fill_null(0),
            # a vendor may work on until the lease is over; a settled charge was closed when it was settled
            end=pl.when(answered)
            .then("closed_at")
            .when(charged)
            .then("lease_until")
            .when(pl.col("lease_until").is_not_null())
            .then(pl.max_horizontal("lease_until", "closed_at")),
        )
        .filter(state.is_in(["unknown", "in flight", "charged"]) | incomplete)
        .select("request_id", "open", "amount", "bound", sent="sent_at", end=pl.col("end").fill_null(NEVER))
    )


def bracketed(charges: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The charges, each with the last answer that is surely before and the first that is surely after it.

    What the timeline tells of these two is there twice, of the second with ``_after``. ``clear`` says that
    there are both, and that every gap between them can be trusted.
    """
    closed = timeline.sort("closed").select(known="closed", first=pl.col("position").cum_max())
    sent = timeline.sort("sent").select(known="sent", last=pl.col("position").reverse().cum_min().reverse())
    told = timeline.select("position", "left", "spent", "fallen", "falls", "doubts")
    return (
        charges.sort("sent")
        .join_asof(closed, left_on="sent", right_on="known", allow_exact_matches=False)
        .sort("end")
        .join_asof(sent, left_on="end", right_on="known", strategy="forward", allow_exact_matches=False)
        .with_columns(bracketed=(pl.col("first") < pl.col("last")).fill_null(value=False))
        .with_columns(pl.col("first").fill_null(0), pl.col("last").fill_null(timeline.height - 1))
        .join(told, left_on="first", right_on="position")
        .join(told, left_on="last", right_on="position", suffix="_after")
        .with_columns(clear=pl.col("bracketed") & (pl.col("doubts") == pl.col("doubts_after")))
    )
