"""What a plan and a report say of a table: the counts of the decisions about its people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from buena_pipeline.draft import Draft
from buena_pipeline.plan import DECISION
from buena_pipeline.result import Bill, EnrichmentPlan, EnrichmentReport
from buena_pipeline.uuids import as_text

NO_IDENTIFIER: Final = (
    "no usable identifier: an e-mail address, a LinkedIn profile, or first and last name with a company"
)
"""Why a row is invalid whose person nobody can tell."""

ROW_DECISION: Final = pl.Enum([*DECISION.categories, "invalid"])


def make_plan(
    draft: Draft, *, requests: int, time: timedelta, unread: Mapping[str, str] | None = None
) -> EnrichmentPlan:
    """What a run would do with a table.

    Args:
        draft: with its decisions.
        requests: how many requests buying takes.
        time: the shortest time in which they can leave.
        unread: ``columns.unread_columns`` of the table.
    """
    people = _people(draft.decisions)
    counts = _counts(people["decision"])
    invalid = draft.person.null_count()
    to_buy = counts.get("buy", 0)
    return EnrichmentPlan(
        rows=draft.rows,
        invalid=invalid,
        duplicates=draft.rows - invalid - people.height,
        people=people.height,
        cached=counts.get("cached", 0),
        failed=counts.get("failed", 0),
        suppressed=counts.get("suppressed", 0),
        stale=people.filter(pl.col("stale") & (pl.col("decision") == "buy")).height,
        deferred=counts.get("deferred", 0),
        unknown=int(people["unknown"].sum()),
        elsewhere=counts.get("wait", 0),
        to_buy=to_buy,
        requests=requests,
        max_credits=to_buy * (1.0 if draft.price is None else draft.price),
        shortest_time=time,
        decisions=_by_row(draft),
        columns=draft.columns.as_overrides(),
        unread=unread or {},
    )


def make_report(draft: Draft, statuses: pl.DataFrame, *, run_id: str, bill: Bill) -> EnrichmentReport:
    """What a run did with a table.

    Args:
        draft: with its last decisions.
        statuses: from ``Draft.statuses``.
        run_id: the run.
        bill: what buying came to.
    """
    # two people of the table whom the store knows to be one are one
    people = _people(statuses)
    counts = _counts(people["status"])
    decisions = _people(draft.decisions)
    unusable = draft.person.null_count()
    refused = (statuses["status"] == "invalid").arg_true()
    duplicates = draft.rows - unusable - people.height
    remembered = decisions.filter(pl.col("decision") == "failed").height
    deferred = statuses.filter(pl.col("status") == "deferred")["error"]
    return EnrichmentReport(
        run_id=run_id,
        rows=draft.rows,
        invalid=unusable + draft.rows_of(refused),
        duplicates=duplicates,
        people=people.height,
        cached=counts.get("cached", 0),
        enriched=counts.get("enriched", 0),
        failed=counts.get("failed", 0),
        failed_remembered=remembered,
        suppressed=counts.get("suppressed", 0),
        deferred=counts.get("deferred", 0),
        requests=bill.requests,
        credits_used=bill.credits_used,
        credits_avoided=duplicates + counts.get("cached", 0) + remembered,
        credits_remaining=bill.credits_remaining,
        unknown=bill.unknown + int(decisions["unknown"].sum()),
        deferred_reason=None if deferred.is_empty() else bill.stopped or deferred[0],
        resume_at=bill.resume_at,
        credits_unknown=bill.credits_unknown,
    )


def _people(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per person of the store."""
    different = rows["person_id"].n_unique() == rows.height
    return rows if different else rows.unique("person_id", maintain_order=True)


def _counts(values: pl.Series) -> dict[str, int]:
    """How often each value comes; a handful of them."""
    return dict(values.cast(pl.String).value_counts().iter_rows())


def _by_row(draft: Draft) -> pl.DataFrame:
    """What would become of each row of the table, in its order."""
    people = as_text(draft.decisions["person_id"])
    by_person = draft.decisions.select(people, pl.col("decision").cast(ROW_DECISION), reason="error")
    return by_person.select(pl.all().gather(draft.person)).with_columns(
        decision=pl.col("decision").fill_null(pl.lit("invalid", ROW_DECISION)),
        reason=pl.when(pl.lit(draft.person).is_null()).then(pl.lit(NO_IDENTIFIER)).otherwise("reason"),
    )
