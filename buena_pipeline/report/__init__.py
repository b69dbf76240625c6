"""What an enrichment came to, as people look at it: tables for notebooks, charts, and a page over a store.

Needs the extra ``report``. Counts and shares only: no value of a person gets into a chart or a page.

    from buena_pipeline import report

    report.fill_rates(enriched)
    report.scores(scored)
    Path("report.html").write_text(report.page(EnrichmentStore("buena.duckdb")))
"""

from buena_pipeline.errors import MissingExtraError

try:
    from buena_pipeline.report.drawing import confidence, credits, fill_rates, funnel, overview, scores  # noqa: A004
    from buena_pipeline.report.notebook import table
    from buena_pipeline.report.page import page, table_page
except ImportError as error:
    if (error.name or "").partition(".")[0] not in {"altair", "great_tables", "vl_convert"}:
        raise
    raise MissingExtraError.for_extra("A report", "report") from error

__all__ = [
    "confidence",
    "credits",
    "fill_rates",
    "funnel",
    "overview",
    "page",
    "scores",
    "table",
    "table_page",
]
