"""One self-contained HTML page over a store or an enriched table: no script, no network, nobody's data.

Charts are drawn here already, as SVG whose colours are those of the page, light or dark.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

import polars as pl
import vl_convert

from buena_pipeline.errors import ColumnError, InputError
from buena_pipeline.report import charts, figures
from buena_pipeline.report.drawing import confidence_chart, score_chart
from buena_pipeline.report.figures import Frame
from buena_pipeline.report.readings import StoreFigures, read_store
from buena_pipeline.schema import DEFAULT_PREFIX
from buena_pipeline.score import SCORED_COLUMNS, score_frame
from buena_pipeline.scoring_model import ScoringModel
from buena_pipeline.store import EnrichmentStore

_VARIABLES: Final = {
    charts.MAIN: "var(--main)",
    charts.SOFT: "var(--soft)",
    charts.ALERT: "var(--alert)",
    charts.INK: "var(--ink)",
    charts.MUTED: "var(--muted)",
    charts.LINES: "var(--lines)",
}
_SVG: Final = re.compile(r"<svg[^>]*?(?P<size>width=\S+ height=\S+ viewBox=\"[^\"]*\")[^>]*>")
_RUNS: Final = 10
_DEFAULT_MODEL: Final = ScoringModel()


def page(store: EnrichmentStore, *, model: ScoringModel = _DEFAULT_MODEL, now: datetime | None = None) -> str:
    """The report over a store: the last run, credits by day, coverage, confidence, scores, failures and age.

    Args:
        store: the store; it is read, and not changed.
        model: by which its people are scored.
        now: when the page is made, with a time zone; default the time.

    Returns:
        The page as HTML. It holds counts and sums, and nothing of anybody.

    Raises:
        InputError: if ``now`` has no time zone.
        StoreError: if the store cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = page(EnrichmentStore(f"{folder}/buena.duckdb"))
        >>> "Nothing has been bought yet." in text, "<script" in text
        (True, False)
    """
    now = _moment(now)
    told = read_store(store, model=model, now=now)
    sections = [*_last_run(told), *_over_time(told)]
    if told.people:
        sections += _of_values(told.confidence, told.scores)
        sections.append(_section(charts.fill_chart(told.filled), told.filled))
    if told.failures.height:
        sections.append(_section(charts.reasons_chart(told.failures), told.failures))
    if told.people:
        stale = int(told.ages.filter(state="stale")["people"].sum())
        note = f"Of each person, that of the oldest block. {stale:,} people are stale: more than 90 days old."
        sections.append(_section(charts.ages_chart(told.ages), told.ages, note))
    cards = f'<div class="cards">{"".join(sections)}</div>' if sections else _nothing(told)
    return _page(
        "Enrichment report",
        f"The store {store.path.name}",
        _tiles(told),
        cards + _runs(told.runs),
        now=now,
    )


def table_page(
    frame: Frame,
    *,
    name: str = "",
    prefix: str = DEFAULT_PREFIX,
    model: ScoringModel = _DEFAULT_MODEL,
    now: datetime | None = None,
) -> str:
    """The report over an enriched table: its rows by status, coverage, confidence and scores.

    Args:
        frame: what ``enrich_frame`` returned, scored or not.
        name: what the page calls it.
        prefix: what the names of the enriched columns begin with.
        model: by which people are scored, if they are not.
        now: what the page says of when it was made, with a time zone; default the time.

    Returns:
        The page as HTML. It holds counts and sums, and nothing of anybody.

    Raises:
        InputError: if ``now`` has no time zone.
        ColumnError: if the frame was not enriched, or with another prefix.

    Example:
        >>> enriched = {"buena_status": ["cached"], "buena_title": ["Buyer"], "buena_confidence": [0.9]}
        >>> "Fill rate of each column" in table_page(pl.DataFrame(enriched))
        True
    """
    now = _moment(now)
    status = f"{prefix}status"
    schema = figures.schema_of(frame)
    if status not in schema:
        raise ColumnError(figures.missing(status), columns=(status,))
    statuses = figures.status_figures(frame, prefix=prefix)
    filled = figures.fill_figures(frame, prefix=prefix)
    if f"{prefix}score" not in schema and all(prefix + column in schema for column in SCORED_COLUMNS):
        frame = score_frame(frame.lazy(), model=model, prefix=prefix)
    values = (
        figures.values_of(frame, column, prefix=prefix) if prefix + column in frame.collect_schema() else None
        for column in ("confidence", "score")
    )
    sections = [
        _section(charts.statuses_chart(statuses), statuses),
        *_of_values(*values),
        _section(charts.fill_chart(filled), filled),
    ]
    by_status = dict(statuses.rows())
    tiles = [
        ("rows", sum(by_status.values())),
        *((what, count) for what, count in by_status.items() if count),
    ]
    body = f'<div class="cards">{"".join(sections)}</div>'
    about = f"The table {name}" if name else "An enriched table"
    return _page("Enrichment report", about, [(what, f"{count:,}") for what, count in tiles], body, now=now)


# --- the parts of a page ---------------------------------------------------------------------------------


def _moment(now: datetime | None) -> datetime:
    """When the page is made."""
    if now is None:
        return datetime.now(UTC)
    given: object = now
    if not isinstance(given, datetime) or given.utcoffset() is None:
        raise InputError("now takes a datetime with a time zone, such as datetime.now(UTC), or None for now.")
    return now


def _page(heading: str, about: str, tiles: list[tuple[str, str]], sections: str, *, now: datetime) -> str:
    made = f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    template = Template(files("buena_pipeline.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{heading}: {about}"),
        heading=escape(heading),
        about=escape(f"{about}, as of {made}"),
        tiles="\n".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in tiles),
        sections=sections,
        footer="Counts and sums only: nothing here says who somebody is. All times are UTC.",
    )


def _tiles(told: StoreFigures) -> list[tuple[str, str]]:
    avoided = float(told.days.filter(kind="avoided")["credits"].sum())
    return [
        ("people known", f"{told.people:,}"),
        ("not found", f"{told.not_found:,}"),
        ("runs", f"{told.runs.height:,}"),
        ("requests", f"{told.requests:,}"),
        ("credits used", _amount(told.credits_used)),
        ("credits avoided", _amount(avoided)),
        *([("credits left", _amount(told.credits_left))] if told.credits_left is not None else []),
        *([("people perhaps charged", f"{told.unknown:,}")] if told.unknown else []),
    ]


def _last_run(told: StoreFigures) -> list[str]:
    if told.last is None:
        return []
    began, report = told.last
    funnel, spent = figures.funnel_figures(report), figures.credit_figures(report)
    when = f"{began.astimezone(UTC):%Y-%m-%d %H:%M}"
    return [
        _section(
            charts.funnel_chart(funnel, title="The last run, from rows to enriched people"),
            funnel.drop("start"),
            f"It began on {when}.",
        ),
        _section(charts.credits_chart(spent, title="Credits the last run used and avoided"), spent),
    ]


def _over_time(told: StoreFigures) -> list[str]:
    if not told.days["credits"].sum():
        return []
    by_day = told.days.pivot("kind", index="day", values="credits").sort("day")
    return [_section(charts.days_chart(told.days), by_day)]


def _of_values(confidence: pl.DataFrame | None, scores: pl.DataFrame | None) -> list[str]:
    """The two histograms, where there are values."""
    sections = []
    if confidence is not None and confidence.height:
        bins = figures.histogram(confidence, width=figures.CONFIDENCE_WIDTH, end=1.0)
        sections.append(_section(confidence_chart(confidence), bins))
    if scores is not None and scores.height:
        sections.append(_section(score_chart(scores), figures.histogram(scores)))
    return sections


def _nothing(told: StoreFigures) -> str:
    text = "Nothing has been bought yet." if not told.requests else "Nobody is known yet."
    return (
        f"<section><h2>{text}</h2><p>Enrich a table with this store, and make the report again.</p></section>"
    )


def _runs(runs: pl.DataFrame) -> str:
    """The newest runs as a table."""
    if runs.is_empty():
        return ""
    avoided = pl.sum_horizontal("avoided_by_duplicates", "avoided_by_store", "avoided_by_failures")
    shown = (
        runs.reverse()
        .head(_RUNS)
        .select(
            began=pl.col("started_at").dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%d %H:%M"),
            state="state",
            rows="rows",
            people="people",
            from_the_store="cached",
            bought="enriched",
            not_found="failed",
            deferred="deferred",
            credits_used="credits_used",
            avoided=avoided,
        )
    )
    title = "The last runs" if runs.height > _RUNS else "Runs"
    return f'<section class="wide"><h2>{title}</h2>{_table(shown)}</section>'


def _section(chart: Any, numbers: pl.DataFrame, note: str = "") -> str:
    """A chart with its title above, and its numbers below for whoever cannot or does not want to look."""
    spec = charts.styled(chart).to_dict()
    title = spec.pop("title")
    subtitle = note or title.get("subtitle", "")
    sub = f'<p class="muted">{escape(subtitle[:1].upper() + subtitle[1:])}</p>' if subtitle else ""
    return (
        f"<section><h2>{escape(title['text'])}</h2>{sub}"
        f"<figure>{_svg(spec, title['text'])}</figure>"
        f"<details><summary>The numbers</summary>{_table(numbers)}</details></section>"
    )


def _svg(spec: dict[str, Any], title: str) -> str:
    """The chart as SVG that stands in a page: named for those who do not see it, in the page's colours."""
    spec["background"] = "transparent"
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    name = escape(f"Chart: {title}. Its numbers are in the table below it.")
    return _SVG.sub(rf'<svg role="img" aria-label="{name}" \g<size>>', svg, count=1)


def _table(numbers: pl.DataFrame) -> str:
    """A table of a few rows."""
    names = "".join(
        f'<th scope="col"{_aligned(dtype)}>{escape(name.replace("_", " "))}</th>'
        for name, dtype in numbers.schema.items()
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_aligned(dtype)}>{escape(_cell(value))}</td>"
            for value, dtype in zip(row, numbers.dtypes, strict=True)
        )
        + "</tr>"
        for row in numbers.iter_rows()
    )
    return f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"


def _aligned(dtype: pl.DataType) -> str:
    return ' class="number"' if dtype.is_numeric() else ""


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return _amount(value) if isinstance(value, int | float) else str(value)


def _amount(number: float) -> str:
    return f"{number:,.4f}".rstrip("0").rstrip(".")
