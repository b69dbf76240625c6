"""What must hold of the enriched table, and what a team wants to be warned of."""

from datetime import timedelta
from typing import Any, Final

import dagster as dg
import polars as pl

from buena_pipeline.dagster import EnrichmentStoreResource, failing_at_once
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED
from buena_pipeline.terms import MAX_AGE
from dagster_project.defs.assets import enriched_leads, leads
from dagster_project.tables import TablesResource
from dagster_project.terms import SHORTEST_AGE

_FAILED: Final = 0.25
"""Share of people the vendor does not know from which on something is wrong with the leads."""

_DROP: Final = 0.05
"""By how much the fill rate may be less than in the run before."""

_RUNS: Final = 100
"""Runs back that are looked at for how soon they bought again."""

_SHOWN: Final = ("title", "phone", "company_size")
"""Columns whose fill rate says how good the answers are."""


def _latest(context: dg.AssetCheckExecutionContext, count: int = 1) -> list[dict[str, Any]]:
    """The metadata of the last materializations of the paid asset, newest first; plain values."""
    found = context.instance.fetch_materializations(enriched_leads.key, limit=count).records
    return [
        {name: entry.value for name, entry in record.asset_materialization.metadata.items()}
        for record in found
        if record.asset_materialization is not None
    ]


@dg.asset_check(asset=enriched_leads, blocking=True, additional_deps=[leads])
def every_row_is_back(tables: TablesResource) -> dg.AssetCheckResult:
    """The table has the rows of ``leads``, in their order, each with a status."""
    names = ["lead_file", "lead_row"]
    before = tables.scan("leads").select(names).collect()
    after = tables.scan("enriched_leads").select(*names, f"{DEFAULT_PREFIX}status").collect()
    without_status = after[f"{DEFAULT_PREFIX}status"].null_count()
    return dg.AssetCheckResult(
        passed=after.select(names).equals(before) and not without_status,
        metadata={"rows": after.height, "expected": before.height, "without_status": without_status},
    )


@dg.asset_check(asset=enriched_leads, blocking=True)
def schema_is_documented(tables: TablesResource) -> dg.AssetCheckResult:
    """Every column that enrichment adds is there, in the type that the documentation gives it."""
    schema = tables.scan("enriched_leads").collect_schema()
    wrong = [
        f"{DEFAULT_PREFIX}{name}"
        for name, dtype in ENRICHED.items()
        if schema.get(f"{DEFAULT_PREFIX}{name}") != dtype
    ]
    return dg.AssetCheckResult(passed=not wrong, metadata={"wrong": ", ".join(wrong)})


@dg.asset_check(asset=enriched_leads)
def nobody_is_charged_twice(
    context: dg.AssetCheckExecutionContext, enrichment_store: EnrichmentStoreResource
) -> dg.AssetCheckResult:
    """The store is whole: nobody charged sooner than runs may buy again, nothing paid for missing."""
    ages = [float(told[SHORTEST_AGE]) for told in _latest(context, _RUNS) if SHORTEST_AGE in told]
    days = min(ages, default=MAX_AGE / timedelta(days=1))
    with failing_at_once():
        found = enrichment_store.store().check(max_age=timedelta(days=days))
    broken = found.filter(~pl.col("ok"))
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        metadata={
            "checks": found.height,
            "within_days": days,
            **dict(broken.select("check", "detail").iter_rows()),
        },
    )


@dg.asset_check(asset=enriched_leads)
def fill_rate_holds(context: dg.AssetCheckExecutionContext, tables: TablesResource) -> dg.AssetCheckResult:
    """Not less is known of those who were found than in the run before."""
    found = tables.scan("enriched_leads").filter(pl.col(f"{DEFAULT_PREFIX}enriched_at").is_not_null())
    counts = (
        found.select(pl.len(), *(pl.col(f"{DEFAULT_PREFIX}{name}").count() for name in _SHOWN))
        .collect()
        .row(0)
    )
    now = {
        name: round(count / counts[0], 4) if counts[0] else 1.0
        for name, count in zip(_SHOWN, counts[1:], strict=True)
    }
    before = _last_rates(context)
    fallen = [name for name, rate in now.items() if rate < before.get(name, 0.0) - _DROP]
    return dg.AssetCheckResult(
        passed=not fallen,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**now, "fallen": ", ".join(fallen)},
    )


def _last_rates(context: dg.AssetCheckExecutionContext) -> dict[str, float]:
    """What this check found the last time."""
    key = dg.AssetCheckKey(enriched_leads.key, "fill_rate_holds")
    for record in context.instance.event_log_storage.get_asset_check_execution_history(key, limit=5):
        evaluation = record.event.asset_check_evaluation if record.event is not None else None
        if evaluation is not None:
            return {
                name: float(evaluation.metadata[name].value) for name in _SHOWN if name in evaluation.metadata
            }
    return {}


@dg.asset_check(asset=enriched_leads)
def few_are_unknown_to_the_vendor(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Where many people are not found, the leads are usually wrong: a shifted column, a purchased list."""
    (told,) = _latest(context) or [{}]
    people = int(told.get("people", 0))
    share = int(told.get("failed", 0)) / people if people else 0.0
    return dg.AssetCheckResult(
        passed=share <= _FAILED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": round(share, 4), "most": _FAILED},
    )


@dg.asset_check(asset=enriched_leads)
def budget_is_kept(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The run spent no more than it was allowed to."""
    (told,) = _latest(context) or [{}]
    budget, used = told.get("max_credits"), float(told.get("credits_used", 0.0))
    return dg.AssetCheckResult(
        passed=budget is None or used <= float(budget),
        metadata={"credits_used": used, "max_credits": "none" if budget is None else float(budget)},
    )
