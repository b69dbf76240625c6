"""The results as a picture: how much of each target is used, and how the warm path grows; drawn offline."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

import altair as alt
import polars as pl
import vl_convert

from bench.figures import Figure, Results
from bench.report import number

_OURS: Final = "#1b7f79"
_OTHER: Final = "#9aa5b1"
_MISSED: Final = "#c8553d"

_FAR: Final = 4.0
"""Where bars are cut off, so that one that is far beyond its target does not hide the others."""


def draw(results: Results) -> str:
    """The picture as SVG."""
    parts = alt.vconcat(_targets(results), _growth(results), spacing=36)
    chart = parts.resolve_scale(color="independent").configure(
        font="sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(labelLimit=420, gridColor="#e6e9ed", domain=False, tickColor="#e6e9ed"),
        title=alt.TitleConfig(
            anchor="start", fontSize=15, subtitleColor="#5b6670", subtitlePadding=6, offset=14
        ),
    )
    svg: str = vl_convert.vegalite_to_svg(chart.to_json())
    return svg


def _targets(results: Results) -> Any:
    """One bar a target: how much of it is used; up to the line it is met."""
    rows = [
        {
            "what": figure.what.replace("`", ""),
            "share": min(figure.target.share(figure.value), _FAR),
            "met": "met" if figure.met else "missed",
            "told": _told(figure),
        }
        for figure in results.figures
        if figure.target is not None
    ]
    bars = alt.Chart(_table(rows, what=pl.String, share=pl.Float64, met=pl.String, told=pl.String))
    what = alt.Y("what:N", sort=None, title=None)
    share = alt.X("share:Q", title="share of the target that is used; 1 and less is within it")
    share = share.scale(domain=[0, max([1.6, *(row["share"] for row in rows)])])
    colour = alt.Color("met:N", title=None, scale=alt.Scale(domain=["met", "missed"], range=[_OURS, _MISSED]))
    return (
        alt.Chart(_table([{"one": 1.0}], one=pl.Float64)).mark_rule(strokeDash=[4, 3]).encode(x="one:Q")
        + bars.mark_bar(height=14).encode(x=share, y=what, color=colour.legend(orient="top"))
        + bars.mark_text(align="left", dx=6, fontSize=11).encode(x=share, y=what, text="told:N")
    ).properties(
        width=460,
        height=alt.Step(22),
        title=alt.TitleParams(
            "Measured against target", subtitle=f"{results.machine['processor']}, {results.machine['memory']}"
        ),
    )


def _told(figure: Figure) -> str:
    """The number and its bound."""
    if figure.target is None or figure.unit == "runs":
        return "runs" if figure.met else "fails"
    unit = f" {figure.unit}" if figure.alone else ""
    return f"{number(figure.value)}{unit} ({'≥' if figure.target.at_least else '≤'} {figure.target.bound:g})"


def _growth(results: Results) -> Any:
    """Time and memory of the warm path by rows, on logarithmic axes."""
    rows = [
        {
            "rows": one.size,
            "who": one.side,
            "time": median(one.of("wall")),
            "memory": median(one.of("peak")) / 1e9,
        }
        for one in results.measurements
        if one.case == "warm, file to file"
    ]
    data = _table(rows, rows=pl.Int64, who=pl.String, time=pl.Float64, memory=pl.Float64)
    names: list[Any] = list(dict.fromkeys(row["who"] for row in rows))
    colour = alt.Color("who:N", title=None, scale=alt.Scale(domain=names, range=[_OURS, _OTHER])).legend(
        orient="top"
    )
    panels = [
        alt.Chart(data)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("rows:Q", title="rows").scale(type="log").axis(format="~s", tickCount=4),
            y=alt.Y(f"{field}:Q", title=title).scale(type="log"),
            color=colour,
        )
        .properties(
            width=290, height=220, title=alt.TitleParams(heading, subtitle="warm path, Parquet to Parquet")
        )
        for field, title, heading in (("time", "seconds", "Time"), ("memory", "GB at the peak", "Memory"))
    ]
    return alt.hconcat(*panels, spacing=40)


def _table(rows: list[dict[str, Any]], /, **schema: Any) -> Any:
    """Rows as altair takes them, also none."""
    return alt.InlineData(values=pl.DataFrame(rows, schema=schema).to_dicts())
