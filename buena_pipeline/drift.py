"""The receipt of an account: what its answers say they cost, and how far the balance that they tell fell.

The ledger's rows enter, one line per account leaves.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from buena_pipeline.balances import NEVER, as_credits, bracketed, charges_of, in_millionths, timeline_of

DRIFT: Final = pl.Schema(
    {
        "account": pl.String(),
        "charged_by_answers": pl.Float64(),
        "balance_fell": pl.Float64(),
        "drift": pl.Float64(),
        "topped_up": pl.Float64(),
    }
)
"""One row per account; the last three are null where fewer than two answers tell the balance."""


def drift(requests: pl.DataFrame) -> pl.DataFrame:
    """Compares what the answers say they cost with how far the balance fell.

    Args:
        requests: as for ``reconcile``; those without an account count as one account.

    Returns:
        Schema ``DRIFT``, one row per account in the order of their first requests. ``charged_by_answers`` is
        what all answers cost. Between the first and the last answer that tells the balance, ``balance_fell``
        is how far it fell, top-ups left out, and ``topped_up`` how far it rose. ``drift`` is what of the fall
        neither answers nor settled charges explain: 0 if all agrees.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> start = datetime(2026, 5, 1, tzinfo=UTC)
        >>> days = [start + timedelta(days=day) for day in range(3)]
        >>> answers = {"account": "main", "sent_at": days, "closed_at": days, "state": "answered"}
        >>> told = {"credits_used": [5.0, 5.0, 5.0], "credits_remaining": [95.0, 90.0, 73.0]}
        >>> drift(pl.DataFrame(answers | told)).row(0)
        ('main', 15.0, 22.0, 12.0, 0.0)

    Rests on ``creditsUsed`` and ``remainingCredits`` of ``POST /enrich``.
    """
    accounts = in_millionths(requests).partition_by("account", maintain_order=True)
    return pl.concat([DRIFT.to_frame(), *(_compare(part) for part in accounts)])


def _compare(rows: pl.DataFrame) -> pl.DataFrame:
    """The line of one account."""
    timeline = timeline_of(rows)
    gap, used = pl.col("gap"), pl.col("used")
    # where the order is doubtful, falls and rises are summed up before they count as one or the other
    nets = timeline.drop_nulls("gap").group_by(stretch=pl.col("trusted").rle_id()).agg(gap.sum())
    fell, rose = gap.clip(lower_bound=0).sum(), gap.clip(upper_bound=0).sum().neg()
    known = bracketed(charges_of(rows, NEVER), timeline).filter("clear").select(known=pl.col("amount").sum())
    told = pl.concat(
        [nets.select(fell=fell, rose=rose), known, timeline.select(spent=used.sum() - used.first())],
        how="horizontal",
    ).select(
        balance_fell=pl.col("spent") + pl.col("fell"),
        drift=pl.col("fell") - pl.col("known"),
        topped_up=pl.col("rose"),
    )
    by_answers = pl.col("credits_used").filter(pl.col("state") == "answered").sum()
    line = rows.select(pl.col("account").first(), charged_by_answers=by_answers)
    comparable = pl.lit(timeline.height > 1)
    return (
        pl.concat([line, told.select(pl.when(comparable).then(pl.all()))], how="horizontal")
        .select("account", as_credits(pl.exclude("account")))
        .cast(DRIFT)
    )
