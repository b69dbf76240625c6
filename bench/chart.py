"""The results as a picture: how much of each target is used, and how the warm path grows; drawn offline."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

import altair as alt
import polars as pl
import vl_convert

from bench.figures import Results
from bench.report import number

_OURS: Final = "#1b7f79"
_OTHER: Final = "#9aa5b1"
_MISSED: Final = "#c8553d"


def draw(results: Results) -> str:
    """The picture as SVG."""
    chart = alt.vconcat(_targets(results), _growth(results), spacing=36).configure(
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
            "share": figure.target.share(figure.value),
            "met": "met" if figure.met else "missed",
            "told": f"{number(figure.value)} of {figure.target.bound:g}",
        }
        for figure in results.figures
        if figure.target is not None and figure.value > 0
    ]
    bars = alt.Chart(_table(rows, what=pl.String, share=pl.Float64, met=pl.String, told=pl.String))
    what = alt.Y("what:N", sort=None, title=None)
    share = alt.X("share:Q", title="share of the target that is used; 1 and less is within it")
    colour = alt.Color(
        "met:N", title=None, scale=alt.Scale(domain=["met", "missed"], range=[_OURS, _MISSED])
    ).legend(orient="top-right")
    return (
        bars.mark_bar(height=14).encode(x=share.scale(domainMax=_far(rows), clamp=True), y=what, color=colour)
        + bars.mark_text(align="left", dx=6, fontSize=11).encode(
            x=alt.X("share:Q").scale(domainMax=_far(rows), clamp=True), y=what, text="told:N"
        )
        + alt.Chart(_table([{"one": 1.0}], one=pl.Float64)).mark_rule(strokeDash=[4, 3]).encode(x="one:Q")
    ).properties(
        width=460,
        height=alt.Step(22),
        title=alt.TitleParams(
            "Measured against target", subtitle=f"{results.machine['processor']}, {results.machine['memory']}"
        ),
    )


def _far(rows: list[dict[str, Any]]) -> float:
    """Where bars are cut off, so that one that is far beyond its target does not hide the others."""
    return min(max([1.6, *(row["share"] * 1.15 for row in rows)]), 4.0)


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
    names = list(dict.fromkeys(row["who"] for row in rows))
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


def _table(rows: list[dict[str, Any]], /, **schema: Any) -> alt.Data:
    """Rows as altair takes them, also none."""
    return alt.Data(values=pl.DataFrame(rows, schema=schema).to_dicts())
