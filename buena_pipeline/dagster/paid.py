"""The paid step: leads in, the enriched table in a file, and what Dagster is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from buena_pipeline.columns import find_columns
from buena_pipeline.dagster.metadata import lineage, of_report, preview, reasons, table_schema
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import BuenaError
from buena_pipeline.progress import in_words, outlook
from buena_pipeline.result import EnrichmentProgress, EnrichmentReport, Progress
from buena_pipeline.terms import Terms

_NEWS: Final = 10.0
"""Seconds between two lines of progress in a run's log."""


def enrich_asset(
    enricher: Enricher,
    leads: pl.LazyFrame | pl.DataFrame,
    write: Callable[[pl.LazyFrame], pl.LazyFrame],
    *,
    asset: dg.AssetKey,
    upstream: dg.AssetKey | None,
    descriptions: Mapping[str, str] | None = None,
    plain: Collection[str] = (),
    before: EnrichmentReport | None = None,
    more: Mapping[str, Any] | None = None,
) -> dg.MaterializeResult[Any]:
    """Enriches the leads of an asset, and says what that took.

    Rate limits are waited for as long as the enricher's ``max_wait`` allows. Longer ones, a budget and used
    up credits end it early: the table is whole, its rows say why they are deferred, and ``resume_at`` says
    when to run again.

    Args:
        enricher: what to buy through, and on which terms.
        leads: the table.
        write: puts the enriched table where it belongs, and returns what is there then.
        asset: the one that is made.
        upstream: the asset the leads come from; None if no asset makes them.
        descriptions: what columns of the table's own mean.
        plain: columns of the table's own that the preview shows as they are.
        before: the report of a run that bought again what was old, just before this one. What it spent, and
            may have spent, is taken off ``max_credits``, which is for both.
        more: further metadata.

    Returns:
        Row count, columns, lineage, a preview without personal data, the numbers of the run, and the result
        of the check ``fully_enriched``.

    Raises:
        dagster.Failure: if no retry can help: a key that is wrong, or may not do this; a column that is
            missing; a store that others hold for too long. Nothing that was bought is lost by it.
    """
    with failing_at_once():
        result = _after(before, enricher).run(leads.lazy())
        written = write(result.frame)
    report, schema = result.report, written.collect_schema()
    told: dict[str, Any] = {
        **of_report(report),
        **_budgets(enricher.terms),
        **_refreshed(before, report),
        "credits_at_most": _at_most(before) + _at_most(report),
        **(more or {}),
        "dagster/row_count": report.rows,
        "dagster/column_schema": table_schema(schema, prefix=enricher.prefix, descriptions=descriptions),
        "reasons": reasons(written, prefix=enricher.prefix),
        "preview": preview(written, prefix=enricher.prefix, plain=plain),
    }
    if upstream is not None:
        own = leads.collect_schema()
        identifying = find_columns(own, enricher.columns).names
        told["dagster/column_lineage"] = lineage(schema, upstream, own.names(), added_from=identifying)
    return dg.MaterializeResult(asset_key=asset, metadata=told, check_results=[_full(report, asset)])


def _at_most(report: EnrichmentReport | None) -> float:
    """What a run has spent, with what lost answers may have cost."""
    return report.credits_used + report.credits_unknown if report else 0.0


def _after(before: EnrichmentReport | None, enricher: Enricher) -> Enricher:
    """The enricher with what a run before it has left of the budget."""
    rest = copy(enricher)
    rest.terms = enricher.terms.after(_at_most(before))
    return rest


def _budgets(terms: Terms) -> dict[str, float]:
    """What might be spent."""
    budgets = {"max_credits": terms.max_credits, "daily_credits": terms.daily_credits}
    return {name: float(budget) for name, budget in budgets.items() if budget is not None}


def _refreshed(before: EnrichmentReport | None, report: EnrichmentReport) -> dict[str, Any]:
    """What buying again came to; where a limit ended it, the later moment to resume at."""
    if before is None:
        return {}
    told: dict[str, Any] = {"credits_refreshed": before.credits_used, "refreshed": before.enriched}
    if before.unknown:
        told |= {"refresh_unknown_outcome": before.unknown, "refresh_credits_unknown": before.credits_unknown}
    if before.deferred:
        told |= {"refresh_deferred": before.deferred, "refresh_deferred_reason": before.deferred_reason or ""}
    if moments := [moment for moment in (before.resume_at, report.resume_at) if moment is not None]:
        told["resume_at"] = dg.MetadataValue.timestamp(max(moments))
    return told


def fully_enriched(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that ``enrich_asset`` reports: it warns while people are deferred."""
    return dg.AssetCheckSpec(
        "fully_enriched",
        asset=asset,
        description="Nobody is deferred: no rate limit, budget or lack of credits left people for later.",
    )


def _full(report: EnrichmentReport, asset: dg.AssetKey) -> dg.AssetCheckResult:
    told: dict[str, Any] = {"deferred": report.deferred}
    if report.deferred_reason is not None:
        told["deferred_reason"] = report.deferred_reason
    if report.resume_at is not None:
        told["resume_at"] = dg.MetadataValue.timestamp(report.resume_at)
    return dg.AssetCheckResult(
        passed=report.deferred == 0,
        check_name="fully_enriched",
        asset_key=asset,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=told,
    )


def progress_in(log: Any) -> Progress:
    """Progress of a purchase as lines in the log of a run: now and then, and whenever it begins to wait.

    Args:
        log: ``context.log`` of an asset.
    """
    spoke = time.monotonic()
    waiting_until = None

    def told(progress: EnrichmentProgress) -> None:
        nonlocal spoke, waiting_until
        waits = progress.waiting_until is not None and progress.waiting_until != waiting_until
        if not waits and time.monotonic() - spoke < _NEWS:
            return
        spoke, waiting_until = time.monotonic(), progress.waiting_until
        ends = outlook(progress, now=datetime.now(UTC))
        log.info(", ".join(filter(None, [in_words(progress), ends])))

    return told


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Errors of the library as Dagster has them: what they say, and no retries.

    A wrong key stays wrong, limits and locks were waited for, and another try might spend a budget twice.

    Raises:
        dagster.Failure: with the message of the error.
    """
    try:
        yield
    except BuenaError as error:
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=False
        ) from error
