"""The tables, from files of leads to scored ones, and what they cost.

No ``from __future__ import annotations`` here: Dagster reads the annotation of ``context`` as it stands.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import dagster as dg
import polars as pl

from buena_pipeline import Enricher, score_frame
from buena_pipeline.columns import find_columns
from buena_pipeline.dagster import (
    BuenaResource,
    EnrichmentStoreResource,
    enrich_asset,
    failing_at_once,
    fully_enriched,
    progress_in,
)
from buena_pipeline.dagster.metadata import lineage, preview, table_schema
from buena_pipeline.errors import BuenaError
from buena_pipeline.files.markdown import markdown_table
from buena_pipeline.schema import DEFAULT_PREFIX
from buena_pipeline.score import SCORED_COLUMNS
from dagster_project.lead_files import (
    DESCRIPTIONS,
    FILE,
    PERSON,
    ROW,
    LeadFilesResource,
    rows_of,
    together,
    with_people,
)
from dagster_project.settings import GROUP, OWNERS
from dagster_project.tables import TablesResource
from dagster_project.terms import Terms, days

lead_files = dg.DynamicPartitionsDefinition(name="lead_file")

_WHEN_SOUND: Final = (
    dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
).with_label("when enriched_leads is new, and its rows and columns are as they should be")

_OF_A_DAY: Final = {
    "day": "The day, in UTC.",
    "requests": "Requests that were answered, refused or failed.",
    "unknown_requests": "Requests that may have been charged: nobody knows what became of them.",
    "people": "People that the answers are about.",
    "credits_used": "Credits that the vendor charged.",
    "credits_remaining": "Credits that were left, as the vendor said last.",
}
_OF_A_COLUMN: Final = {
    "column": "A column that enrichment adds.",
    "filled": "Rows in which there is something.",
    "share": "Their share of all rows.",
}
_SCORE: Final = f"{DEFAULT_PREFIX}score"
"""The score; no column of a file is called so (``with_common_names``)."""

_PERCENT: Final = pl.format("{}%", (pl.col("share") * 100).round().cast(pl.Int64)).alias("share")


def _told(frame: pl.LazyFrame, rows: int, **more: Any) -> dict[str, Any]:
    """What Dagster shows of a table."""
    return {
        "dagster/row_count": rows,
        "dagster/column_schema": table_schema(frame.collect_schema(), descriptions=DESCRIPTIONS),
        "preview": preview(frame, plain=(FILE, ROW, PERSON)),
        **more,
    }


@dg.asset(
    partitions_def=lead_files,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    tags={"data": "personal", "cost": "free"},
)
def raw_leads(
    context: dg.AssetExecutionContext, lead_folder: LeadFilesResource, tables: TablesResource
) -> dg.MaterializeResult:
    """One file of leads as it was dropped, with the columns that say who they are named as in all files."""
    with failing_at_once():
        return dg.MaterializeResult(metadata=_read(context.partition_key, lead_folder, tables))


def _read(file: str, lead_folder: LeadFilesResource, tables: TablesResource) -> dict[str, Any]:
    """Reads one file; returns what Dagster shows of it."""
    written = tables.write(lead_folder.scan(file), "raw_leads", partition=file)
    return _told(written, written.select(pl.len()).collect().item())


@dg.asset(
    deps=[dg.AssetDep(raw_leads, partition_mapping=dg.AllPartitionMapping())],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    tags={"data": "personal", "cost": "free"},
    check_specs=[
        dg.AssetCheckSpec(
            "every_file_is_read",
            asset="leads",
            description="All files of the folder are in the table, as they are now.",
        )
    ],
)
def leads(
    context: dg.AssetExecutionContext, lead_folder: LeadFilesResource, tables: TablesResource
) -> dg.MaterializeResult:
    """All files in one table, with who each row is: whoever comes twice is seen before anybody is paid."""
    known = context.instance.get_dynamic_partitions("lead_file")
    tables.keep_partitions("raw_leads", known)
    unread = _catch_up(context, known, lead_folder, tables)
    files = tables.scan_partitions("raw_leads", known)
    if not files:
        raise dg.Failure(
            f"No file of leads was read yet: put one into {lead_folder.folder} and materialize raw_leads for "
            "it, or switch on the sensor new_lead_files.",
            allow_retries=False,
        )
    with failing_at_once():
        written = tables.write(with_people(together(files)), "leads")
    counts = written.select(
        rows=pl.len(),
        people=pl.col(PERSON).n_unique() - pl.col(PERSON).has_nulls(),
        files=pl.col(FILE).n_unique(),
    ).collect()
    rows, people, files_read = counts.row(0)
    schema = written.collect_schema()
    names, own = find_columns(schema).names, [name for name in schema if name != PERSON]
    told = _told(written, rows, people=people, files=files_read)
    told["dagster/column_lineage"] = lineage(schema, raw_leads.key, own, added_from=names)
    every = dg.AssetCheckResult(
        passed=not unread,
        check_name="every_file_is_read",
        severity=dg.AssetCheckSeverity.WARN,
        metadata=dict(unread),
    )
    return dg.MaterializeResult(metadata=told, check_results=[every])


def _catch_up(
    context: dg.AssetExecutionContext,
    files: Sequence[str],
    lead_folder: LeadFilesResource,
    tables: TablesResource,
) -> dict[str, str]:
    """Reads the files that were not read the last time, or whose table is gone; why, for those that fail."""
    status = context.instance.get_status_by_partition(raw_leads.key, files, lead_files) or {}
    unread = {}
    for file in sorted(files):
        last = status.get(file)
        if last is not None and last.value == "MATERIALIZED" and tables.has("raw_leads", partition=file):
            continue
        try:
            told = _read(file, lead_folder, tables)
        except BuenaError as error:
            context.log.warning("%s could not be read: %s", file, error)
            unread[file] = str(error)
        else:
            context.log_event(dg.AssetMaterialization(raw_leads.key, partition=file, metadata=told))
    return unread


@dg.asset(
    deps=[leads],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"buena", "polars", "duckdb"},
    tags={"data": "personal", "cost": "paid"},
    pool="buena_api",
    check_specs=[fully_enriched(dg.AssetKey("enriched_leads"))],
)
def enriched_leads(
    context: dg.AssetExecutionContext,
    config: Terms,
    buena: BuenaResource,
    enrichment_store: EnrichmentStoreResource,
    tables: TablesResource,
) -> dg.MaterializeResult:
    """Every lead with what the vendor knows of them. Bought is only who is not in the store yet.

    What a rate limit, a budget or used up credits leave out is deferred: the rows say so, the check
    fully_enriched warns, and the sensor resume_enrichment goes on at resume_at.
    """
    with failing_at_once(), tables.snapshot("leads") as table, buena.client() as client:
        enricher = partial(
            Enricher,
            client,
            enrichment_store.store(),
            max_credits=config.max_credits,
            daily_credits=config.daily_credits,
            max_wait=config.max_wait_seconds,
            progress=progress_in(context.log),
        )
        refreshed = None
        if config.refresh_after_days is not None and not tables.has("scored_leads"):
            context.log.warning("Nobody is scored yet, so nothing is bought again: who would be first?")
        elif config.refresh_after_days is not None:
            scores = tables.scan("scored_leads").select(FILE, ROW, _SCORE)
            ranked = table.join(scores, on=[FILE, ROW], how="left", maintain_order="left")
            older = enricher(max_age=days(config.refresh_after_days), priority=pl.col(_SCORE))
            refreshed = older.run(ranked).report
        return enrich_asset(
            enricher(max_age=days(config.max_age_days)),
            table,
            lambda frame: tables.write(frame, "enriched_leads"),
            asset=context.asset_key,
            upstream=leads.key,
            descriptions=DESCRIPTIONS,
            plain=(FILE, ROW, PERSON),
            before=refreshed,
            more={"rows_in": str(rows_of(table))},
        )


@dg.asset(
    deps=[enriched_leads],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    tags={"data": "personal", "cost": "free"},
    automation_condition=_WHEN_SOUND,
)
def scored_leads(tables: TablesResource) -> dg.MaterializeResult:
    """Every lead with a score and its parts: whom to call first."""
    enriched = tables.scan("enriched_leads")
    with failing_at_once():
        written = tables.write(score_frame(enriched), "scored_leads")
    rows, mean, scored = (
        written.select(pl.len(), mean=pl.col("buena_score").mean(), scored=pl.col("buena_score").count())
        .collect()
        .row(0)
    )
    told = _told(written, rows, mean_score=float(mean or 0.0), scored_rows=scored)
    told["dagster/column_lineage"] = lineage(
        written.collect_schema(),
        enriched_leads.key,
        enriched.collect_schema().names(),
        added_from=[DEFAULT_PREFIX + name for name in ("status", *SCORED_COLUMNS)],
    )
    return dg.MaterializeResult(metadata=told)


@dg.asset(
    deps=[enriched_leads],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    tags={"data": "counts", "cost": "free"},
    automation_condition=_WHEN_SOUND,
)
def credit_ledger(enrichment_store: EnrichmentStoreResource, tables: TablesResource) -> dg.MaterializeResult:
    """What was spent on each day (UTC), and what the vendor said was left."""
    with failing_at_once():
        days = enrichment_store.store().sql("from credits_by_day order by day")
    tables.write(days, "credit_ledger")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": days.height,
            "dagster/column_schema": table_schema(days.schema, descriptions=_OF_A_DAY),
            "credits_used_in_all": float(days["credits_used"].sum()),
            "credits_used_on_last_day": float(days["credits_used"][-1]) if days.height else 0.0,
            "days": preview(days.reverse(), plain=days.columns),
        }
    )


@dg.asset(
    deps=[enriched_leads],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars"},
    tags={"data": "counts", "cost": "free"},
    automation_condition=_WHEN_SOUND,
)
def lead_coverage(tables: TablesResource) -> dg.MaterializeResult:
    """For each column that was bought: in how many rows there is something."""
    enriched = tables.scan("enriched_leads").select(pl.col("^buena_.*$"))
    counts = enriched.select(pl.all().count(), pl.len().alias("rows")).collect()
    rows = counts["rows"].item()
    filled = (
        counts.drop("rows")
        .unpivot(variable_name="column", value_name="filled")
        .with_columns(share=(pl.col("filled") / max(rows, 1)).round(4))
        .sort("share", "column", descending=[True, False])
    )
    tables.write(filled, "lead_coverage")
    shares = dict(filled.select("column", "share").iter_rows())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": filled.height,
            "dagster/column_schema": table_schema(filled.schema, descriptions=_OF_A_COLUMN),
            "dagster/column_lineage": lineage(
                filled.schema, enriched_leads.key, [], added_from=filled["column"].to_list()
            ),
            **{f"share/{name}": shares[f"buena_{name}"] for name in ("title", "phone", "company_size")},
            "columns": dg.MetadataValue.md(markdown_table(filled.select("column", _PERCENT))),
        }
    )
