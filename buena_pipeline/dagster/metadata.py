"""What Dagster shows of a table: its columns, where they come from, a few rows, and the numbers of a run.

No personal data gets in: everything readable in a preview is covered but the columns of ``_PLAIN``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import polars as pl
import polars.selectors as cs

from buena_pipeline.descriptions import DESCRIPTIONS
from buena_pipeline.result import EnrichmentReport
from buena_pipeline.schema import DEFAULT_PREFIX

_PLAIN: Final = ("status", "error", "company_industry", "company_size")
"""Columns of text that say nothing of who somebody is."""

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


def preview(frame: pl.DataFrame | pl.LazyFrame, *, prefix: str = DEFAULT_PREFIX) -> dg.MarkdownMetadataValue:
    """The first rows as a table in Markdown, with texts covered but for their first letter.

    Args:
        frame: any table; only its first rows are read.
        prefix: of the library's columns.

    Example:
        >>> print(preview(pl.DataFrame({"email": ["jane@acme.example"], "buena_score": [7.5]})).value)
        | email | buena_score |
        |-------|-------------|
        | j•••  | 7.5         |
    """
    plain = {prefix + name for name in _PLAIN}
    schema = frame.lazy().collect_schema()
    telling = {prefix + name for name in _TELLING}
    own = [name for name in schema.names() if not name.startswith(prefix)]
    columns = [name for name in schema.names() if name in {*own[:_SHOWN], *telling}]
    rows = frame.lazy().select(columns).head(_ROWS).collect()
    covered = rows.select(
        pl.when(pl.col(name).is_not_null()).then(pl.lit(_COVER)).alias(name)
        if dtype.is_nested() or dtype == pl.Binary
        else pl.col(name).str.slice(0, 1) + _COVER
        if dtype == pl.String and name not in plain
        else pl.col(name).dt.to_string("%Y-%m-%d %H:%M")
        if dtype == pl.Datetime
        else pl.col(name).cast(pl.String)
        for name, dtype in rows.schema.items()
    ).select(cs.string().fill_null(""))
    return _markdown(covered)


def reasons(frame: pl.DataFrame | pl.LazyFrame, *, prefix: str = DEFAULT_PREFIX) -> dg.MarkdownMetadataValue:
    """How many rows have each status, and why: a table in Markdown, the most frequent first.

    Args:
        frame: an enriched table.
        prefix: of the library's columns.

    Example:
        >>> print(reasons(pl.DataFrame({"buena_status": ["cached"], "buena_error": [None]})).value)
        | status | why | rows |
        |--------|-----|------|
        | cached |     | 1    |
    """
    counts = (
        frame.lazy()
        .group_by(status=f"{prefix}status", why=f"{prefix}error")
        .agg(rows=pl.len())
        .sort("rows", "status", "why", descending=[True, False, False])
        .head(_REASONS)
        .select(pl.col("status", "why", "rows").cast(pl.String).fill_null(""))
        .collect(engine="streaming")
    )
    return _markdown(counts)


def _markdown(table: pl.DataFrame) -> dg.MarkdownMetadataValue:
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_cols=-1,
        tbl_rows=-1,
        tbl_width_chars=10_000,
        fmt_str_lengths=100,
    ):
        return dg.MetadataValue.md(str(table))


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
