"""Reports: what charts, notebooks and the page say, that it is true, and that it is about nobody."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import buena_pipeline
from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentReport,
    EnrichmentResult,
    EnrichmentStore,
    Sandbox,
    plan_frame,
    report,
    score_frame,
)
from buena_pipeline.cli import main
from buena_pipeline.errors import ColumnError, InputError, MissingExtraError, StoreError
from buena_pipeline.report import figures, readings
from buena_pipeline.scoring_model import ScoringModel
from tests.history import make_older, spend_months

PERSONAL = ("first_name", "last_name", "email", "phone", "linkedin_url", "location", "bio", "company_name")


class Page(HTMLParser):
    """What a browser, and somebody who does not see it, gets of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tiles: dict[str, str] = {}
        self.sections: dict[str, list[list[str]]] = {}
        self.images: list[dict[str, str | None]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._name = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what may load something, and where text goes."""
        self.tags.append((tag, dict(attrs)))
        if tag == "svg":
            self.images.append(dict(attrs))
        if tag not in {"meta", "path", "br", "link"}:
            self._open.append(tag)
        if tag == "tr" and "svg" not in self._open:
            self.sections[self._name].append([])

    def handle_endtag(self, tag: str) -> None:
        """Leaves an element."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Sorts text by where it stands."""
        match self._open[-1:]:
            case ["dt"]:
                self._name = data
            case ["dd"]:
                self.tiles[self._name] = data
            case ["h2"]:
                self._name = data
                self.sections[data] = []
            case ["td" | "th"]:
                self.sections[self._name][-1].append(data)

    def numbers(self, title: str) -> dict[str, list[str]]:
        """The rows below a title by their first cell, without the header."""
        return {row[0]: row[1:] for row in self.sections[title][1:]}


@pytest.fixture(scope="module")
def history(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, EnrichmentResult[pl.DataFrame]]:
    """A store that was used for months, and what came of the last run."""
    path = tmp_path_factory.mktemp("history") / "months.duckdb"
    with Sandbox(limits=None) as sandbox:
        result = spend_months(path, sandbox)
    return path, result


@pytest.fixture
def months(history: tuple[Path, EnrichmentResult[pl.DataFrame]]) -> EnrichmentStore:
    """That store."""
    return EnrichmentStore(history[0], read_only=True)


@pytest.fixture
def result(history: tuple[Path, EnrichmentResult[pl.DataFrame]]) -> EnrichmentResult[pl.DataFrame]:
    """That run."""
    return history[1]


def drawn(chart: Any) -> list[dict[str, Any]]:
    """The rows of data in a chart."""
    (rows,) = chart.to_dict()["datasets"].values()
    return list(rows)


def assert_about_nobody(text: str, people: pl.DataFrame) -> None:
    """No value of anybody stands in a text, as a word of its own."""
    values = {
        str(value)
        for name in PERSONAL
        for value in people[name].drop_nulls().unique().to_list()
        if len(str(value)) > 2
    }
    assert len(values) > 100
    words = set(re.findall(r"[^\s<>\"'=;,()]+", text))
    assert not values & words
    assert not [value for value in values if " " in value and value in text]
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", text)


def a_report(**counts: Any) -> EnrichmentReport:
    """A report with these counts, and nothing else."""
    texts = {
        "credits_used": 0.0,
        "credits_unknown": 0.0,
        "run_id": "r",
        "deferred_reason": None,
        "resume_at": None,
        "credits_remaining": None,
    }
    return EnrichmentReport(**dict.fromkeys(EnrichmentReport.__dataclass_fields__, 0) | texts | counts)


# --- the page over a store -------------------------------------------------------------------------------


def test_the_numbers_of_the_page_are_those_of_the_store(
    months: EnrichmentStore, result: EnrichmentResult[pl.DataFrame]
) -> None:
    """Everything that is drawn stands in a table below it, and each agrees with a query."""
    page = Page(report.page(months))
    stats = months.stats()
    assert page.tiles["people known"] == f"{stats.people:,}"
    assert page.tiles["not found"] == f"{stats.failures:,}"
    assert page.tiles["requests"] == f"{stats.requests:,}"
    assert page.tiles["credits used"] == f"{stats.credits_used:,.0f}"
    assert page.tiles["credits left"] == f"{result.report.credits_remaining:,.0f}"
    avoided = months.runs().select(
        pl.sum_horizontal("avoided_by_duplicates", "avoided_by_store", "avoided_by_failures").sum()
    )
    assert page.tiles["credits avoided"] == f"{avoided.item():,}"

    last = page.numbers("The last run, from rows to enriched people")
    assert [int(last[stage][1]) for stage in ("rows", "people", "from the store", "bought", "enriched")] == [
        result.report.rows,
        result.report.people,
        result.report.cached,
        result.report.enriched,
        result.report.cached + result.report.enriched,
    ]
    spent = page.numbers("Credits the last run used and avoided")
    assert int(spent["used"][1]) == result.report.credits_used
    assert sum(int(row[1]) for row in spent.values() if row[0] == "avoided") == result.report.credits_avoided

    by_day = months.sql("select day::varchar, credits_used from credits_by_day where credits_used > 0")
    column = page.sections["Credits by week"][0].index("used") - 1
    used = {day: row[column] for day, row in page.numbers("Credits by week").items()}
    assert {day: float(spent) for day, spent in used.items() if spent not in {"–", "0"}} == dict(
        by_day.rows()
    )

    coverage = months.sql("select column_name, filled, people from coverage")
    filled = page.numbers("Fill rate of each column")
    assert {name: (int(row[1]), int(row[2])) for name, row in filled.items()} == {
        name: (filled, people) for name, filled, people in coverage.rows()
    }
    for title in ("Confidence", "Scores"):
        assert sum(int(row[1]) for row in page.numbers(title).values()) == stats.people
    scored = score_frame(months.sql("from leads"), prefix="")["score"]
    bins = page.numbers("Scores")
    assert int(bins["12"][1]) == scored.is_between(12, 13, closed="left").sum()

    reasons = page.numbers("Why people were not found")
    assert sum(int(row[0]) for row in reasons.values()) == stats.failures
    ages = page.numbers("Age of what is known")
    stale = months.sql("select count(*) from stale").item()
    assert stale > 0
    assert sum(int(row[1]) for row in ages.values() if row[0] == "stale") == stale
    assert sum(int(row[1]) for row in ages.values()) == stats.people
    assert [row[2] for row in page.sections["Runs"][1:]] == [
        f"{rows:,}" for rows in months.runs().reverse()["rows"].to_list()
    ]


def test_the_page_is_about_nobody_and_loads_nothing(months: EnrichmentStore) -> None:
    """No address, no name, no script, nothing from elsewhere; each chart has a name."""
    text = report.page(months)
    assert_about_nobody(text, months.sql("from leads"))
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    page = Page(text)
    assert {"script", "link", "img", "iframe", "object", "image"}.isdisjoint(tag for tag, _ in page.tags)
    assert {"src", "href", "xlink:href", "srcset", "data"}.isdisjoint(
        name for _, attributes in page.tags for name in attributes
    )
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    policy = dict(page.tags)["meta"]
    assert any(
        attributes.get("content", "").startswith("default-src 'none'")
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ), policy
    assert len(page.images) == 8
    for image in page.images:
        assert image["role"] == "img"
        assert image["aria-label"].startswith("Chart: ")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    # every colour is the page's own, so that light and dark differ
    assert not re.findall(r'(?:fill|stroke)="#\w+"', text)


@pytest.mark.parametrize("now", [datetime(2026, 5, 1), date(2026, 5, 1), "2026-05-01"])  # noqa: DTZ001
def test_a_page_is_of_a_moment_with_a_time_zone(store: EnrichmentStore, now: Any) -> None:
    """Without one nobody knows which of requests in flight are past their lease."""
    enriched = pl.DataFrame({"buena_status": ["cached"]})
    with pytest.raises(InputError, match="now takes a datetime with a time zone"):
        report.page(store, now=now)
    with pytest.raises(InputError, match="now takes a datetime with a time zone"):
        report.table_page(enriched, now=now)


def test_a_page_of_an_empty_store(store: EnrichmentStore) -> None:
    """It says that there is nothing, and holds no chart."""
    text = report.page(store, now=datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
    page = Page(text)
    assert list(page.sections) == ["Nothing has been bought yet."]
    assert "as of 2026-05-01 12:30 UTC" in text
    assert set(page.tiles.values()) == {"0"}
    assert not page.images


def test_a_page_of_a_store_that_knows_nobody(store: EnrichmentStore) -> None:
    """All were asked for and none was found: a page without coverage, scores or ages."""
    with Sandbox(limits=None, not_found=1.0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        Enricher(client, store).run(pl.DataFrame({"email": ["a@acme.example", "b@acme.example"]}))
    page = Page(report.page(store))
    assert page.tiles["not found"] == "2"
    assert "Why people were not found" in page.sections
    assert {"Scores", "Confidence", "Fill rate of each column", "Age of what is known"}.isdisjoint(
        page.sections
    )


def test_a_reason_that_could_name_somebody_is_not_shown(store: EnrichmentStore) -> None:
    """What the vendor says of few, or with an address, a link or a number in it, counts among the others."""
    leads = pl.DataFrame({"email": [f"lead.{number}@acme.example" for number in range(12)]})
    with Sandbox(limits=None, not_found=1.0) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        Enricher(client, store).run(leads)
    with duckdb.connect(str(store.path)) as connection:
        for reason, first, last in (
            ("No consent on file", 0, 3),
            ("Jane Roe has left", 3, 5),
            ("jane@acme.example bounced", 5, 9),
            ("call 5550100", 9, 12),
        ):
            connection.execute(
                "update answer set reason = ? where person_id in "
                "(select person_id from answer order by person_id limit ? offset ?)",
                [reason, last - first, first],
            )
    text = report.page(store)
    assert Page(text).numbers("Why people were not found") == {
        "No consent on file": ["3"],
        "other reasons": ["9"],
    }
    for word in ("Jane", "jane@", "5550100"):
        assert word not in text


def test_names_from_outside_are_text(months: EnrichmentStore, tmp_path: Path) -> None:
    """A store or a table may be called as one likes."""
    with duckdb.connect() as connection:
        target = tmp_path / "<b>&.duckdb"
        target.write_bytes(months.path.read_bytes())
        connection.close()
    assert "The store &lt;b&gt;&amp;.duckdb" in report.page(EnrichmentStore(target))
    frame = pl.DataFrame({"buena_status": ["<i>"], "buena_title": [None]})
    assert "<i>" not in report.table_page(frame, name="<i>")


def test_the_page_scores_by_another_model(months: EnrichmentStore) -> None:
    """A model that gives nothing gives one bin."""
    nothing = ScoringModel(
        company_sizes={}, title_weight=0, skill_weight=0, phone_weight=0, linkedin_weight=0
    )
    assert list(Page(report.page(months, model=nothing)).numbers("Scores")) == ["0"]


def test_a_last_run_of_another_release_is_left_out(months: EnrichmentStore, tmp_path: Path) -> None:
    """A report that cannot be read is no reason for no page."""
    path = tmp_path / "older.duckdb"
    path.write_bytes(months.path.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute("""update run set summary = '{"rows": 1}' where summary is not null""")
    page = Page(report.page(EnrichmentStore(path)))
    assert not [title for title in page.sections if "last run" in title and title != "The last runs"]
    assert "Scores" in page.sections


# --- the page over a table -------------------------------------------------------------------------------


def test_a_page_of_an_enriched_table(result: EnrichmentResult[pl.DataFrame]) -> None:
    """Statuses by rows, everything else by people; scored if it was not."""
    text = report.table_page(result.frame, name="enriched.parquet")
    page = Page(text)
    statuses = result.frame["buena_status"].cast(pl.String).value_counts()
    shown = {status: int(row[0]) for status, row in page.numbers("Rows by status").items() if row[0] != "0"}
    assert shown == dict(statuses.rows())
    assert page.tiles["rows"] == str(result.frame.height)
    assert page.sections["Scores"]
    scored = report.table_page(score_frame(result.frame.lazy()), name="enriched.parquet")
    assert Page(scored).sections == page.sections
    people = result.frame.rename(
        lambda name: name.removeprefix("buena_") if name.startswith("buena_") else f"own_{name}"
    )
    assert_about_nobody(text, people)


def test_a_table_that_was_not_enriched_is_refused() -> None:
    """The message names the column, and says what to do."""
    leads = pl.DataFrame({"email": ["a@acme.example"]})
    with pytest.raises(ColumnError, match="buena_status"):
        report.table_page(leads)
    for draw in (report.fill_rates, report.confidence, report.scores):
        with pytest.raises(ColumnError, match="Enrich it first"):
            draw(leads)
    for draw in (report.fill_rates, report.table_page):
        with pytest.raises(InputError, match=r"not dict: .*pl\.DataFrame\(table\)"):
            draw({"buena_title": ["Buyer"]})
    with pytest.raises(ColumnError, match="x_score is String, no numbers"):
        report.scores(pl.DataFrame({"x_score": ["high"]}), prefix="x_")


# --- charts ----------------------------------------------------------------------------------------------


def test_charts_of_a_report(result: EnrichmentResult[pl.DataFrame]) -> None:
    """Funnel and credits hold the counts of the report."""
    told = result.report
    assert [(row["stage"], row["count"]) for row in drawn(report.funnel(told))] == [
        ("rows", told.rows),
        ("usable", told.rows - told.invalid),
        ("people", told.people),
        ("from the store", told.cached),
        ("bought", told.enriched),
        ("enriched", told.cached + told.enriched),
    ]
    told_credits = drawn(report.credits(told))
    assert sum(row["credits"] for row in told_credits if row["kind"] == "avoided") == told.credits_avoided
    assert told_credits[0] == {"what": "used", "kind": "used", "credits": told.credits_used}


def test_charts_of_a_plan(tmp_path: Path) -> None:
    """They say what would be."""
    leads = pl.DataFrame({"email": ["a@acme.example", "A@acme.example", "b@acme.example", "n/a"]})
    plan = plan_frame(leads, store=tmp_path / "buena.duckdb", max_credits=10)
    stages = {row["stage"]: (row["count"], row["note"]) for row in drawn(report.funnel(plan))}
    assert stages["usable"] == (3, "1 unidentified")
    assert stages["people"] == (2, "1 duplicates")
    assert stages["to buy"][0] + plan.deferred == 2
    assert drawn(report.credits(plan))[0]["what"] == "used at most"
    assert len(plan.chart().vconcat) == 2


counts = st.integers(0, 10_000)


@given(st.tuples(*[counts] * 8))
def test_nobody_is_lost_in_the_funnel(numbers: tuple[int, ...]) -> None:
    """Each stage is the one before, less those whom its note counts."""
    unusable, duplicates, cached, bought, failed, deferred, suppressed, refused = numbers
    people = cached + bought + failed + deferred + suppressed + refused
    told = a_report(
        rows=people + duplicates + unusable,
        people=people,
        duplicates=duplicates,
        cached=cached,
        enriched=bought,
        failed=failed,
        deferred=deferred,
        suppressed=suppressed,
        invalid=unusable + refused,
    )
    rows = {row["stage"]: row for row in figures.funnel_figures(told).rows(named=True)}
    assert rows["usable"]["count"] == rows["rows"]["count"] - unusable
    assert rows["people"]["count"] == rows["usable"]["count"] - duplicates
    assert rows["bought"]["start"] == rows["from the store"]["count"]
    assert rows["enriched"]["count"] == rows["bought"]["start"] + rows["bought"]["count"]
    noted = rows["enriched"]["note"]
    for count, what in (
        (failed, "not found"),
        (deferred, "deferred"),
        (suppressed, "suppressed"),
        (refused, "refused"),
    ):
        assert (f"{count:,} {what}" in noted) == (count > 0)


@pytest.mark.parametrize("lazy", [False, True])
def test_charts_of_a_frame(result: EnrichmentResult[pl.DataFrame], *, lazy: bool) -> None:
    """Of each person one row counts, and only of those whom the vendor knows; eager and lazy alike."""
    scored = score_frame(result.frame)
    frame: Any = scored.lazy() if lazy else scored
    people = scored.filter(pl.col("buena_status").is_in(["enriched", "cached"])).unique("buena_person_id")
    shares = {row["column"]: row["filled"] for row in drawn(report.fill_rates(frame))}
    assert shares["phone"] == people["buena_phone"].count()
    assert sum(row["people"] for row in drawn(report.confidence(frame))) == people["buena_confidence"].count()
    assert sum(row["people"] for row in drawn(report.scores(frame))) == people.height
    text = json.dumps(
        [draw(frame).to_dict() for draw in (report.fill_rates, report.confidence, report.scores)]
    )
    leads = people.rename(
        lambda name: name.removeprefix("buena_") if name.startswith("buena_") else f"own_{name}"
    )
    assert_about_nobody(text, leads)


def test_charts_of_the_view_leads(months: EnrichmentStore) -> None:
    """The same functions, with no prefix."""
    leads = months.sql("from leads")
    assert {row["column"]: row["filled"] for row in drawn(report.fill_rates(leads, prefix=""))} == dict(
        months.sql("select column_name, filled from coverage").rows()
    )
    assert len(drawn(report.confidence(leads, prefix=""))) == 20


def test_charts_of_an_empty_frame(result: EnrichmentResult[pl.DataFrame]) -> None:
    """Nobody is no error."""
    empty = score_frame(result.frame.clear())
    assert {row["filled"] for row in drawn(report.fill_rates(empty))} == {0}
    for draw in (report.confidence, report.scores):
        assert draw(empty).to_dict()["title"]["subtitle"] == "0 people"


def test_the_chart_of_a_result(result: EnrichmentResult[pl.DataFrame]) -> None:
    """Everything there is; the scores once there are any."""
    assert len(result.chart().vconcat) == 4
    scored = replace(result, frame=score_frame(result.frame))
    assert [part.title.text for part in scored.chart().vconcat][-1] == "Scores"
    lazy = replace(result, frame=result.frame.lazy())
    assert lazy.chart().to_dict() == result.chart().to_dict()
    assert len(result.report.chart().vconcat) == 2
    with pytest.raises(ColumnError):
        result.chart(prefix="other_")


@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 0.15, 0.3, 1.0, 25.0]), max_size=60),
)
def test_a_histogram_counts_everybody_once(values: list[float]) -> None:
    """At most thirty bins of a round width, in order, without gaps, and each value in its own."""
    people = (
        pl.DataFrame({"value": values}, schema={"value": pl.Float64}).group_by("value").agg(people=pl.len())
    )
    bins = figures.histogram(people)
    assert bins["people"].sum() == len(values)
    if not values:
        return
    assert bins.height <= 62  # as many as thirty, on either side of 0
    width = bins["high"][0] - bins["low"][0]
    assert bins["low"][0] <= min(0.0, *values) + width * 1e-6
    assert bins["high"][-1] >= max(values) - width * 1e-6
    assert bins["low"][1:].to_list() == bins["high"][:-1].to_list()
    for low, high, count in bins.rows():
        slack = width * 1e-6
        assert count >= sum(low + slack <= value < high - slack for value in values)


def test_the_confidence_of_one_is_in_the_last_bin() -> None:
    """And one on a border begins its bin, whatever its binary fraction."""
    frame = pl.DataFrame({"buena_confidence": [1.0, 0.15, 0.35, 0.95, 0.0]})
    bins = {row["low"]: row["people"] for row in drawn(report.confidence(frame)) if row["people"]}
    assert bins == {0.95: 2, 0.15: 1, 0.35: 1, 0.0: 1}


@pytest.mark.parametrize(
    ("days", "period", "first"),
    [(5, "day", "1 May"), (200, "week", "27 Apr"), (2_000, "month", "May 2026")],
)
def test_credits_by_day_week_or_month(days: int, period: str, first: str) -> None:
    """Whatever makes few enough bars; none is left out, and nothing is lost."""
    start = date(2026, 5, 1)
    spent = pl.DataFrame(
        {"day": [start, start + timedelta(days)], "kind": ["used", "avoided"], "credits": [3.0, 4.0]}
    )
    name, table = figures.by_period(spent)
    assert (name, table["begins"][0]) == (period, first)
    assert table["credits"].sum() == 7
    assert table.height < 150
    assert table.select("begins", "kind").is_unique().all()


# --- in notebooks and terminals --------------------------------------------------------------------------


def test_what_a_notebook_shows(result: EnrichmentResult[pl.DataFrame], tmp_path: Path) -> None:
    """A table with the counts, without scripts; of a result that of its report."""
    html = result.report._repr_html_()
    assert result._repr_html_() == html
    assert f"{result.report.cached:,}" in html
    assert "<table" in html
    assert "<script" not in html
    assert "http" not in html
    assert html == result.report._repr_html_(), "the same every time, so that notebooks do not change"
    plan = plan_frame(pl.DataFrame({"email": ["a@acme.example"]}), store=tmp_path / "buena.duckdb")
    assert "What enriching would do" in plan._repr_html_()


def test_what_a_notebook_says_of_a_run_that_was_cut_short() -> None:
    """Why, until when, and what is perhaps charged; texts are text."""
    told = a_report(
        rows=5,
        people=5,
        deferred=5,
        unknown=2,
        deferred_reason="<wait>",
        resume_at=datetime(2026, 5, 1, 12, 30, tzinfo=UTC),
        credits_remaining=7.5,
    )
    html = told._repr_html_()
    for text in ("&lt;wait&gt;; run again after 2026-05-01 12:30:00 UTC", "perhaps charged", ">7.5<"):
        assert text in html
    assert "<wait>" not in html


def test_a_notebook_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, cli: Callable[..., tuple[int, str]]
) -> None:
    """It shows the text; whoever asks for a chart or a page is told what to install."""
    for name in [name for name in sys.modules if name.startswith("buena_pipeline.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(buena_pipeline, "report")
    monkeypatch.setitem(sys.modules, "great_tables", None)
    monkeypatch.setitem(sys.modules, "altair", None)
    told = a_report(rows=1, deferred=1, deferred_reason="<b>")
    assert told._repr_html_().startswith("<pre>1 rows, 0 people")
    assert "&lt;b&gt;" in told._repr_html_()
    with pytest.raises(MissingExtraError, match=r'pip install "buena-pipeline\[report\]"'):
        told.chart()
    with pytest.raises(MissingExtraError):
        EnrichmentResult(pl.DataFrame(), told).chart()
    code, err = cli("report", "-o", "report.html")
    assert (code, "buena-pipeline[report]" in err) == (2, True)
    monkeypatch.delitem(sys.modules, "altair")
    monkeypatch.delitem(sys.modules, "great_tables")


def test_what_a_terminal_shows(result: EnrichmentResult[pl.DataFrame], tmp_path: Path) -> None:
    """The lines of the command line."""
    plan = plan_frame(pl.DataFrame({"email": ["a@acme.example"]}), store=tmp_path / "buena.duckdb")
    file = io.StringIO()
    console = Console(file=file, width=100)
    console.print(result.report)
    console.print(plan)
    assert re.search(rf"^from the store +{result.report.cached}", file.getvalue(), re.MULTILINE)
    assert re.search(r"^to buy +1", file.getvalue(), re.MULTILINE)


def test_a_report_comes_back_from_json(result: EnrichmentResult[pl.DataFrame]) -> None:
    """What the ledger keeps is the report."""
    for told in (result.report, a_report(resume_at=datetime(2026, 5, 1, tzinfo=UTC))):
        assert EnrichmentReport.from_json(told.to_json()) == told
    for text in ("", "[]", "{}", '{"rows": 1, "resume_at": null}', "null", '{"resume_at": 5}'):
        with pytest.raises(InputError, match="no report"):
            EnrichmentReport.from_json(text)


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command in a folder of its own; its exit code and what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> tuple[int, str]:
        code = main(args)
        out, err = capfd.readouterr()
        assert not out
        return code, err

    return run


def test_the_command_writes_the_page(cli: Callable[..., tuple[int, str]], months: EnrichmentStore) -> None:
    """Of the store, and again over the old one."""
    for _ in range(2):
        code, err = cli("report", "--store", str(months.path), "-o", "report.html")
        assert (code, err) == (0, "the report is in report.html\n")
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    assert page.tiles["people known"] == str(months.stats().people)
    assert not list(Path().glob(".buena-*"))


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_the_command_over_a_table(
    cli: Callable[..., tuple[int, str]], result: EnrichmentResult[pl.DataFrame], ending: str
) -> None:
    """Also one whose lists were joined to be written."""
    from buena_pipeline.files import write_table

    write_table(result.frame, Path(f"enriched{ending}"))
    assert cli("report", f"enriched{ending}", "-o", "report.html")[0] == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert f"The table enriched{ending}" in text
    assert Page(text).sections == Page(report.table_page(result.frame)).sections


def test_what_the_command_refuses(cli: Callable[..., tuple[int, str]], months: EnrichmentStore) -> None:
    """With the exit codes of all commands, and nothing is written, or written over."""
    store = str(months.path)
    Path("report.html").write_text("precious", encoding="utf-8")
    Path("leads.csv").write_text("email\na@acme.example\n", encoding="utf-8")
    for code, words, args in (
        (2, "a report is an .html file", ("--store", store, "-o", "leads.csv")),
        (2, "leave out IN, or --store", ("leads.csv", "--store", store, "-o", "report.html")),
        (2, "buena_status", ("leads.csv", "-o", "report.html")),
        (2, "does not exist", ("none.csv", "-o", "report.html")),
        (2, "folder", ("--store", store, "-o", "nowhere/report.html")),
        (4, "There is no store", ("--store", "none.duckdb", "-o", "report.html")),
    ):
        ended, err = cli("report", *args)
        assert ended == code, err
        assert err.startswith("error: ")
        assert words in err
    assert Path("report.html").read_text(encoding="utf-8") == "precious"
    assert Path("leads.csv").read_text(encoding="utf-8").startswith("email")


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    """The page raises what the store raises."""
    path = tmp_path / "text.duckdb"
    path.write_text("no database", encoding="utf-8")
    with pytest.raises(StoreError):
        report.page(EnrichmentStore(path))


def test_people_bought_more_than_a_year_ago(store: EnrichmentStore, client: BuenaClient) -> None:
    """Every age has a bar, and the stale ones are those of the view."""
    for days, mail in ((400, "a"), (200, "b"), (91, "c"), (31, "d"), (0, "e")):
        Enricher(client, store).run(pl.DataFrame({"email": [f"{mail}.person@acme.example"]}))
        if days:
            make_older(store.path, days)
    ages = readings.read_store(store, model=ScoringModel(), now=datetime.now(UTC)).ages
    known = store.stats().people
    assert ages["people"].sum() == known
    assert ages["people"].max() == 1
    assert ages.filter(state="stale")["people"].sum() == store.sql("from stale").height
