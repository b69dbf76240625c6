"""What must hold of the enriched table, and what a team wants to be warned of."""

from typing import Any, Final

import dagster as dg
import polars as pl

from buena_pipeline.dagster import EnrichmentStoreResource, failing_at_once
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED
from dagster_project.defs.assets import enriched_leads
from dagster_project.lead_files import rows_of
from dagster_project.tables import TablesResource

_FAILED: Final = 0.25
"""Share of people the vendor does not know from which on something is wrong with the leads."""

_DROP: Final = 0.05
"""By how much the fill rate may be less than in the run before."""

_SHOWN: Final = ("title", "phone", "company_size")
"""Columns whose fill rate says how good the answers are."""


def _latest(context: dg.AssetCheckExecutionContext) -> dict[str, Any]:
    """The metadata of the last materialization of the paid asset, as plain values."""
    found = context.instance.fetch_materializations(enriched_leads.key, limit=1).records
    told = found[0].asset_materialization if found else None
    return {} if told is None else {name: entry.value for name, entry in told.metadata.items()}


@dg.asset_check(asset=enriched_leads, blocking=True)
def every_row_is_back(context: dg.AssetCheckExecutionContext, tables: TablesResource) -> dg.AssetCheckResult:
    """The table has the rows that were read from ``leads``, in their order, each with a status."""
    told = _latest(context)
    after = tables.scan("enriched_leads")
    without_status = after.select(pl.col(f"{DEFAULT_PREFIX}status").null_count()).collect().item()
    counted = rows_of(after)
    return dg.AssetCheckResult(
        passed=str(counted) == told.get("rows_in") and not without_status,
        metadata={"rows": counted.rows, "without_status": without_status},
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
def nobody_is_charged_twice(enrichment_store: EnrichmentStoreResource) -> dg.AssetCheckResult:
    """The store is whole: nobody charged sooner than runs may buy again, nothing paid for missing."""
    with failing_at_once():
        found = enrichment_store.store().check()
    broken = found.filter(~pl.col("ok"))
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        metadata={"checks": found.height, **dict(broken.select("check", "detail").iter_rows())},
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
    told = _latest(context)
    people = int(told.get("people", 0))
    share = int(told.get("failed", 0)) / people if people else 0.0
    return dg.AssetCheckResult(
        passed=share <= _FAILED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": round(share, 4), "most": _FAILED},
    )


@dg.asset_check(asset=enriched_leads)
def budget_is_kept(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The run spent no more than it was allowed to, also if all that is of unknown outcome was charged."""
    told = _latest(context)
    budget = told.get("max_credits")
    most = float(told.get("credits_at_most", 0.0))
    return dg.AssetCheckResult(
        passed=budget is None or most <= float(budget),
        metadata={"credits_at_most": most, "max_credits": "none" if budget is None else float(budget)},
    )
