"""What Dagster shows of a table: its columns, where they come from, a few rows, and the numbers of a run.

No personal data gets in: every value of a preview is covered but those of columns that say nothing of who
somebody is, and a vendor's words of a single lead are not shown (``reasons``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import dagster as dg
import polars as pl

from buena_pipeline.descriptions import DESCRIPTIONS
from buena_pipeline.files.markdown import markdown_table
from buena_pipeline.reasons import OTHER, is_common, is_own
from buena_pipeline.result import EnrichmentReport
from buena_pipeline.schema import DEFAULT_PREFIX

_PLAIN: Final = (
    *("status", "enriched_at", "confidence", "company_industry", "company_size", "experience_years"),
    *(name for name in DESCRIPTIONS if name.startswith("score")),
)
"""Columns of the library that say nothing of who somebody is."""

_TELLING: Final = (
    *("status", "error", "enriched_at", "confidence", "email", "phone", "title"),
    *("company_industry", "company_size", "experience_years", "score"),
)
"""Columns of the library by which a few rows say most."""

_COVER: Final = "•••"
_ROWS: Final = 5
_REASONS: Final = 20
_SHOWN: Final = 8
"""Columns of the table's own."""


def table_schema(
    schema: pl.Schema, *, prefix: str = DEFAULT_PREFIX, descriptions: Mapping[str, str] | None = None
) -> dg.TableSchema:
    """The columns of a table with their types and, where they are the library's, what they mean.

    Args:
        schema: names and dtypes.
        prefix: of the library's columns.
        descriptions: of other columns, by name.

    Example:
        >>> columns = table_schema(pl.Schema({"buena_title": pl.String})).columns
        >>> columns[0].name, columns[0].type, columns[0].description
        ('buena_title', 'String', 'Job title.')
    """
    known = {f"{prefix}{name}": text for name, text in DESCRIPTIONS.items()} | dict(descriptions or {})
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=str(dtype), description=known.get(name))
            for name, dtype in schema.items()
        ]
    )


def lineage(
    schema: pl.Schema,
    upstream: dg.AssetKey,
    own: Sequence[str],
    *,
    added_from: Sequence[str],
) -> dg.TableColumnLineage:
    """Which columns of the table before each column comes from.

    Args:
        schema: of the table.
        upstream: the asset it is made of.
        own: the columns of that, which come through unchanged.
        added_from: those that all others are found or computed by.
    """
    through = set(own)
    return dg.TableColumnLineage(
        {
            name: [
                dg.TableColumnDep(upstream, column) for column in ([name] if name in through else added_from)
            ]
            for name in schema.names()
        }
    )


def preview(
    frame: pl.DataFrame | pl.LazyFrame, *, prefix: str = DEFAULT_PREFIX, plain: Collection[str] = ()
) -> dg.MarkdownMetadataValue:
    """The first rows as a table in Markdown, with values covered; of texts the first letter is shown.

    Args:
        frame: any table; only its first rows are read.
        prefix: of the library's columns.
        plain: further columns that are shown as they are.

    Example:
        >>> print(preview(pl.DataFrame({"email": ["jane@acme.example"], "buena_score": [7.5]})).value)
        | email | buena_score |
        | --- | --- |
        | j••• | 7.5 |
    """
    shown = {prefix + name for name in _PLAIN} | set(plain)
    schema = frame.lazy().collect_schema()
    telling = {prefix + name for name in _TELLING}
    own = [name for name in schema.names() if not name.startswith(prefix)]
    columns = [name for name in schema.names() if name in {*own[:_SHOWN], *telling}]
    rows = frame.lazy().select(columns).head(_ROWS).collect()
    if {prefix + "status", prefix + "error"} <= set(columns):
        rows = rows.with_columns(_own_reason(prefix))
        shown.add(prefix + "error")
    covered = rows.select(
        _readable(pl.col(name), dtype) if name in shown else _covered(pl.col(name), dtype)
        for name, dtype in rows.schema.items()
    )
    return dg.MetadataValue.md(markdown_table(covered))


def _covered(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """That there is something, and the first letter of a text."""
    first = value.str.slice(0, 1) if dtype == pl.String else pl.lit("")
    return pl.when(value.is_not_null()).then(first + _COVER).alias(value.meta.output_name())


def _own_reason(prefix: str) -> pl.Expr:
    """The reason of a row; covered if it is in a vendor's words."""
    reason = pl.col(f"{prefix}error").cast(pl.String)
    shown = reason.is_null() | is_own(pl.col(f"{prefix}status"), reason)
    return pl.when(shown).then(reason).otherwise(pl.lit(_COVER))


def _readable(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as people read it."""
    return value.dt.to_string("%Y-%m-%d %H:%M") if dtype == pl.Datetime else value.cast(pl.String)


def reasons(frame: pl.DataFrame | pl.LazyFrame, *, prefix: str = DEFAULT_PREFIX) -> dg.MarkdownMetadataValue:
    """How many rows have each status, and why: a table in Markdown, the most frequent first.

    What a vendor says of fewer than three people is "other reasons": it could name them.

    Args:
        frame: an enriched table.
        prefix: of the library's columns.

    Example:
        >>> print(reasons(pl.DataFrame({"buena_status": ["cached"], "buena_error": [None]})).value)
        | status | why | rows |
        | --- | --- | ---: |
        | cached |  | 1 |
    """
    rows = frame.lazy()
    person = f"{prefix}person_id" if f"{prefix}person_id" in rows.collect_schema() else None
    own = pl.col("why").is_null() | is_own(pl.col("status"), pl.col("why"))
    counts = (
        rows.select(
            status=f"{prefix}status",
            why=pl.col(f"{prefix}error").cast(pl.String),
            person=pl.row_index() if person is None else person,
        )
        .group_by("status", "why")
        .agg(rows=pl.len(), people=pl.col("person").filter(~own).n_unique())
        .with_columns(
            why=pl.when(own | is_common(pl.col("why"), pl.col("people"))).then("why").otherwise(pl.lit(OTHER))
        )
        .group_by("status", "why")
        .agg(pl.col("rows").sum())
        .sort("rows", "status", "why", descending=[True, False, False])
        .head(_REASONS)
        .select("status", "why", "rows")
        .collect(engine="streaming")
    )
    return dg.MetadataValue.md(markdown_table(counts))


def of_report(report: EnrichmentReport) -> dict[str, Any]:
    """The numbers of a run, which Dagster plots over time, and when to resume."""
    told: dict[str, Any] = {
        "credits_used": report.credits_used,
        "credits_avoided": report.credits_avoided,
        "people": report.people,
        "bought": report.enriched,
        "cached": report.cached,
        "failed": report.failed,
        "deferred": report.deferred,
        "suppressed": report.suppressed,
        "invalid_rows": report.invalid,
        "duplicate_rows": report.duplicates,
        "requests": report.requests,
        "unknown_outcome": report.unknown,
        "credits_unknown": report.credits_unknown,
        "coverage": round((report.enriched + report.cached) / report.people, 4) if report.people else 1.0,
        "buena_run_id": report.run_id,
    }
    if report.credits_remaining is not None:
        told["credits_remaining"] = report.credits_remaining
    if report.deferred_reason is not None:
        told["deferred_reason"] = report.deferred_reason
    if report.resume_at is not None:
        told["resume_at"] = dg.MetadataValue.timestamp(report.resume_at)
    return told
