"""A few rows of figures in, a chart out; how charts look is decided here. Needs the extra ``report``."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import altair as alt
import polars as pl

from buena_pipeline.report.figures import by_period

Drawn = TypeVar("Drawn", alt.Chart, alt.LayerChart, alt.VConcatChart)

MAIN: Final = "#1b7f79"
SOFT: Final = "#9db8c9"
ALERT: Final = "#c8553d"
INK: Final = "#1f2933"
MUTED: Final = "#52606d"
LINES: Final = "#e1e6eb"

_WIDTH: Final = 360
"""Of bars that lie, without their names at the left."""

_WIDE: Final = 470
"""Of bars that stand."""

_STEP: Final = 26
_PLOT: Final = 190
_BAR: Final = 26


def styled(chart: Drawn) -> Drawn:
    """The chart as it is shown: fonts, lines and colours set."""
    shown: Drawn = chart.configure(
        font="sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            domain=False,
            ticks=False,
            gridColor=LINES,
            labelColor=INK,
            labelFontSize=12,
            labelLimit=260,
            labelPadding=6,
            titleColor=MUTED,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
        ),
        legend=alt.LegendConfig(
            labelColor=INK, labelFontSize=12, orient="top", title=None, symbolType="square"
        ),
        title=alt.TitleConfig(
            anchor="start",
            color=INK,
            fontSize=15,
            frame="group",
            offset=12,
            subtitleColor=MUTED,
            subtitleFontSize=12,
            subtitlePadding=5,
        ),
        text=alt.MarkConfig(color=INK, fontSize=12),
    )
    return shown


def stacked(*charts: alt.Chart | alt.LayerChart) -> alt.VConcatChart:
    """Charts one under the other, each with colours of its own."""
    column: alt.VConcatChart = alt.vconcat(*charts, spacing=32).resolve_scale(color="independent")
    return column


def funnel_chart(figures: pl.DataFrame, *, title: str = "From rows to enriched people") -> alt.LayerChart:
    """Bars that get shorter; "from the store" and "bought" stand one after the other and make up the last."""
    marks = figures.with_columns(end=pl.col("start") + pl.col("count"))
    base = (
        alt.Chart(marks)
        .transform_calculate(told="format(datum.count, ',') + (datum.note ? ', without ' + datum.note : '')")
        .encode(y=alt.Y("stage:N", sort=None, title=None))
    )
    bars = base.mark_bar(height=16).encode(
        x=alt.X("start:Q", title=None, axis=None, scale=_from_zero(marks["end"])),
        x2="end:Q",
        color=_colours("counts", {"rows": SOFT, "people": MAIN}),
        tooltip=["stage:N", alt.Tooltip("count:Q", format=","), "counts:N", "note:N"],
    )
    texts = base.mark_text(align="left", dx=6).encode(x="end:Q", text="told:N")
    layers: alt.LayerChart = bars + texts
    return _sized(layers, title)


def credits_chart(figures: pl.DataFrame, *, title: str = "Credits used and avoided") -> alt.LayerChart:
    """One bar for each reason."""
    return _bars(
        figures,
        "what",
        "credits",
        title,
        color=_colours("kind", {"used": MAIN, "avoided": SOFT}),
        tooltip=["what:N", "kind:N", alt.Tooltip("credits:Q", format=",")],
    )


def fill_chart(figures: pl.DataFrame, *, title: str = "Fill rate of each column") -> alt.LayerChart:
    """One bar a column, the fullest first."""
    shares = figures.with_columns(pl.col("share").fill_null(0))
    marks = shares.sort("share", descending=True, maintain_order=True)
    return _bars(
        marks,
        "column",
        "share",
        title,
        subtitle=f"share of {_people(figures['people'].max())}",
        form=".0%",
        step=19,
        tooltip=[
            "column:N",
            "block:N",
            alt.Tooltip("filled:Q", format=","),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    )


def histogram_chart(figures: pl.DataFrame, *, title: str, axis: str) -> alt.Chart:
    """Bars that touch, over an axis of values."""
    bins = alt.Chart(figures).mark_bar(color=MAIN, binSpacing=1)
    low = alt.X(
        "low:Q",
        title=axis,
        axis=alt.Axis(grid=False, tickCount=10, labelFlush=False, labelPadding=10),
        bin="binned",
        scale=alt.Scale(nice=False),
    )
    chart: alt.Chart = bins.encode(
        x=low,
        x2="high:Q",
        y=alt.Y("people:Q", axis=_few_ticks(), scale=_from_zero(figures["people"], 4)),
        tooltip=[
            alt.Tooltip("low:Q", title="from"),
            alt.Tooltip("high:Q", title="to"),
            alt.Tooltip("people:Q", format=","),
        ],
    )
    return _sized(chart, title, subtitle=_people(figures["people"].sum()), height=_PLOT)


def days_chart(figures: pl.DataFrame, *, title: str = "Credits by {}") -> alt.Chart:
    """Bars of credits over time, used ones on the axis and avoided ones on top.

    Args:
        figures: ``day``, ``kind`` and ``credits``.
        title: with a place for day, week or month, whichever makes bars that can be told apart.
    """
    period, marks = by_period(figures)
    stacks = marks.group_by("begins").agg(pl.col("credits").sum())["credits"]
    width = max(2, min(_BAR, int(_WIDE / max(marks.height // 2, 1) * 0.8)))
    chart: alt.Chart = (
        alt.Chart(marks)
        .mark_bar(width=width)
        .encode(
            x=alt.X(
                "begins:O",
                sort=None,
                title=None,
                axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=8),
            ),
            y=alt.Y("credits:Q", title="credits", axis=_few_ticks(), scale=_from_zero(stacks, 4)),
            color=_colours("kind", {"used": MAIN, "avoided": SOFT}),
            order="order:Q",
            tooltip=[alt.Tooltip("begins:N", title=period), "kind:N", alt.Tooltip("credits:Q", format=",")],
        )
    )
    first, last = (figures["day"].min(), figures["day"].max()) if figures.height else (None, None)
    return _sized(chart, title.format(period), subtitle=_between(first, last), height=_PLOT)


def statuses_chart(figures: pl.DataFrame, *, title: str = "Rows by status") -> alt.LayerChart:
    """One bar for each ``status``, of so many ``rows``."""
    return _bars(figures, "status", "rows", title, tooltip=["status:N", alt.Tooltip("rows:Q", format=",")])


def reasons_chart(figures: pl.DataFrame, *, title: str = "Why people were not found") -> alt.LayerChart:
    """One bar for each ``reason``, of so many ``people``."""
    return _bars(
        figures,
        "reason",
        "people",
        title,
        color=alt.value(SOFT),
        tooltip=["reason:N", alt.Tooltip("people:Q", format=",")],
    )


def ages_chart(figures: pl.DataFrame, *, title: str = "Age of what is known") -> alt.LayerChart:
    """One bar for each ``age``, of so many ``people``; what is ``stale`` stands out."""
    colour = _colours("state", {"fresh": MAIN, "stale": ALERT})
    return _bars(
        figures,
        "age",
        "people",
        title,
        color=colour,
        tooltip=["age:N", alt.Tooltip("people:Q", format=","), "state:N"],
    )


# --- what they have in common ----------------------------------------------------------------------------


def _bars(
    marks: pl.DataFrame,
    name: str,
    value: str,
    title: str,
    *,
    tooltip: list[Any],
    color: Any = None,
    subtitle: str | None = None,
    form: str = ",.2~f",
    step: int = _STEP,
) -> alt.LayerChart:
    """Bars that lie, each with its name at the left and its number at its end."""
    scale = alt.Scale(domain=[0, 1]) if form.endswith("%") else _from_zero(marks[value])
    base = alt.Chart(marks).encode(
        y=alt.Y(f"{name}:N", sort=None, title=None), x=alt.X(f"{value}:Q", title=None, axis=None, scale=scale)
    )
    bars = base.mark_bar(height=step - 8).encode(color=color or alt.value(MAIN), tooltip=tooltip)
    texts = base.mark_text(align="left", dx=6).encode(text=alt.Text(f"{value}:Q", format=form))
    layers: alt.LayerChart = bars + texts
    return _sized(layers, title, subtitle=subtitle, height=alt.Step(step))


def _sized(chart: Drawn, title: str, *, subtitle: str | None = None, height: Any = None) -> Drawn:
    params = alt.TitleParams(title, subtitle=subtitle) if subtitle else alt.TitleParams(title)
    width = _WIDE if height == _PLOT else _WIDTH
    sized: Drawn = chart.properties(width=width, height=height or alt.Step(_STEP), title=params)
    return sized


def _colours(field: str, by: dict[str, str]) -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(by), range=list(by.values())))


def _from_zero(values: pl.Series, ticks: int | None = None) -> alt.Scale:
    """From 0 to the greatest value, or to a round number for so many ticks; never from 0 to 0."""
    greatest: Any = values.max()
    return alt.Scale(domain=[0, max(greatest or 0, ticks or 1)], nice=ticks or False)


def _few_ticks() -> alt.Axis:
    return alt.Axis(tickCount=4, tickMinStep=1, format=",~r")


def _between(first: Any, last: Any) -> str | None:
    """The days as people write them."""
    if first is None or last is None:
        return None
    begins, ends = f"{first.day} {first:%B %Y}", f"{last.day} {last:%B %Y}"
    return begins if first == last else f"{begins} to {ends}"


def _people(count: Any) -> str:
    return f"{count or 0:,} people"
