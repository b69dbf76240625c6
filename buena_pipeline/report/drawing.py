"""The charts that people ask for by name: each takes a report, a plan or an enriched frame."""

from __future__ import annotations

import altair as alt
import polars as pl

from buena_pipeline.report import charts, figures
from buena_pipeline.report.charts import stacked, styled
from buena_pipeline.report.figures import Frame, Told
from buena_pipeline.schema import DEFAULT_PREFIX


def funnel(told: Told) -> alt.LayerChart:
    """Draws how the rows of a table come down to people with data.

    Rows, those that say who they are, different people; those served from the store, those bought, and both
    together: enriched.

    Args:
        told: an ``EnrichmentReport``, or an ``EnrichmentPlan`` for what would be.

    Returns:
        The chart, with six numbers in it.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import plan_frame
        >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
        >>> funnel(plan).title.text
        'From rows to enriched people'
    """
    return styled(charts.funnel_chart(figures.funnel_figures(told)))


def credits(told: Told) -> alt.LayerChart:  # noqa: A001 - what they are called
    """Draws what a table costs and what it does not: thanks to duplicates, the store, remembered failures.

    Args:
        told: an ``EnrichmentReport``, or an ``EnrichmentPlan`` for what would be.

    Returns:
        The chart, with four numbers in it.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import plan_frame
        >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
        >>> credits(plan).title.text
        'Credits used and avoided'
    """
    return styled(charts.credits_chart(figures.credit_figures(told)))


def fill_rates(frame: Frame, *, prefix: str = DEFAULT_PREFIX) -> alt.LayerChart:
    """Draws for each column how many of the people have a value.

    Args:
        frame: what ``enrich_frame`` returned, or ``store.sql("from leads")`` with ``prefix=""``. Of each
            person one row counts, and only people whom the vendor knows. A LazyFrame is collected.
        prefix: what the names of the enriched columns begin with.

    Returns:
        The chart, with a share for each column.

    Raises:
        ColumnError: if the frame has none of the columns.
        InputError: if it is no polars frame.

    Example:
        >>> fill_rates(pl.DataFrame({"buena_title": ["Buyer", None]})).title.subtitle
        'share of 2 people'
    """
    return styled(charts.fill_chart(figures.fill_figures(frame, prefix=prefix)))


def confidence(frame: Frame, *, prefix: str = DEFAULT_PREFIX) -> alt.Chart:
    """Draws how sure the vendor is of people: how many have which confidence, in steps of 0.05.

    Args:
        frame: as for ``fill_rates``.
        prefix: what the names of the enriched columns begin with.

    Returns:
        The chart, with twenty counts in it.

    Raises:
        ColumnError: if the frame has no such column, or no numbers in it.
        InputError: if it is no polars frame.

    Example:
        >>> confidence(pl.DataFrame({"buena_confidence": [0.9, 0.95, None]})).title.subtitle
        '2 people'
    """
    values = figures.values_of(frame, "confidence", prefix=prefix)
    return styled(confidence_chart(values))


def scores(frame: Frame, *, prefix: str = DEFAULT_PREFIX) -> alt.Chart:
    """Draws how many people have which score.

    Args:
        frame: what ``score_frame`` returned; of each person one row counts. A LazyFrame is collected.
        prefix: what the names of the scored columns begin with.

    Returns:
        The chart, with at most thirty counts in it.

    Raises:
        ColumnError: if the frame was not scored.
        InputError: if it is no polars frame.

    Example:
        >>> scores(pl.DataFrame({"buena_score": [17.0, 4.0, 4.0]})).title.subtitle
        '3 people'
    """
    values = figures.values_of(frame, "score", prefix=prefix)
    return styled(score_chart(values))


def overview(told: Told, frame: Frame | None = None, *, prefix: str = DEFAULT_PREFIX) -> alt.VConcatChart:
    """All charts of a run, one under the other; what the methods ``chart()`` draw.

    Args:
        told: an ``EnrichmentReport`` or an ``EnrichmentPlan``: funnel and credits.
        frame: what came back: fill rates and confidence and, if it was scored, scores.
        prefix: what the names of the enriched columns begin with.

    Raises:
        ColumnError: if the frame was not enriched, or with another prefix.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import plan_frame
        >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
        >>> len(overview(plan).vconcat)
        2
    """
    drawn: list[alt.Chart | alt.LayerChart] = [
        charts.funnel_chart(figures.funnel_figures(told)),
        charts.credits_chart(figures.credit_figures(told)),
    ]
    if frame is not None:
        drawn += [
            charts.fill_chart(figures.fill_figures(frame, prefix=prefix)),
            confidence_chart(figures.values_of(frame, "confidence", prefix=prefix)),
        ]
        if f"{prefix}score" in frame.collect_schema():
            drawn.append(score_chart(figures.values_of(frame, "score", prefix=prefix)))
    return styled(stacked(*drawn))


def confidence_chart(values: pl.DataFrame) -> alt.Chart:
    """The chart of ``confidence``, not yet styled, of ``figures.values_of``."""
    bins = figures.histogram(values, width=figures.CONFIDENCE_WIDTH, end=1.0)
    return charts.histogram_chart(bins, title="Confidence", axis="confidence, as the vendor gives it")


def score_chart(values: pl.DataFrame) -> alt.Chart:
    """The chart of ``scores``, not yet styled, of ``figures.values_of``."""
    return charts.histogram_chart(figures.histogram(values), title="Scores", axis="score")
