"""The report as somebody sees it who opens the file: light and dark, wide and narrow, without a network.

Needs Chromium and Playwright, as the test of the Dagster project does: ``make test-ui``. ``make pictures``
takes the pictures of the documentation.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import vl_convert
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from buena_pipeline import EnrichmentReport, EnrichmentStore, Sandbox, report, score_frame
from buena_pipeline.report import charts
from buena_pipeline.report.readings import read_store
from buena_pipeline.scoring_model import ScoringModel
from tests.history import spend_months

WIDE, NARROW = 1240, 390
TOP: FloatRect = {"x": 0, "y": 0, "width": WIDE, "height": 1380}  # without the list of runs
MOST_BYTES = 200_000

# texts of charts that stick out of their pictures, or lie over one another
TROUBLE = """
() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const shown = text => text.textContent.trim() && text.getAttribute('opacity') !== '0';
  const texts = [...svg.querySelectorAll('text')].filter(shown);
  const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  const out = boxes.filter(([, box]) =>
    box.left < frame.left - 1 || box.right > frame.right + 1 ||
    box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
  const over = boxes.filter(([, a], i) => boxes.some(([, b], j) => j > i &&
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3));
  return [...out, ...over].map(([text]) => svg.getAttribute('aria-label') + ': ' + text);
})
"""

# of each text on the page, the contrast with what is behind it
CONTRAST = """
() => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const elements = [...document.querySelectorAll('h1, h2, p, dt, dd, td, th, summary, svg text')];
  return Math.min(...elements.filter(element => element.textContent.trim()).map(element => {
    const style = getComputedStyle(element);
    const [a, b] = [light(element.ownerSVGElement ? style.fill : style.color), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}
"""


@dataclass(frozen=True)
class Drawn:
    """A page, and what it was made of."""

    page: Path
    store: EnrichmentStore
    told: EnrichmentReport


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: into the documentation only for ``make pictures``."""
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The report over a store that was used for months."""
    folder = tmp_path_factory.mktemp("report")
    with Sandbox(limits=None, credits=1_000) as sandbox:
        result = spend_months(folder / "buena.duckdb", sandbox)
    store = EnrichmentStore(folder / "buena.duckdb", read_only=True)
    page = folder / "report.html"
    page.write_text(report.page(store), encoding="utf-8")
    return Drawn(page, store, result.report)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, *, width: int, scheme: str) -> Page:
    """The page in a window; it may ask for nothing but itself, and has nothing to complain about."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert not told
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_report_can_be_read(
    browser: Browser, drawn: Drawn, pictures: Path, scheme: str, width: int
) -> None:
    """Nothing is cut off or written over, all of it stands out from what is behind, light and dark."""
    page = opened(browser, drawn.page, width=width, scheme=scheme)
    assert page.evaluate(TROUBLE) == []
    assert page.evaluate(CONTRAST) >= 4.5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, background[4:-1].split(","))) < 64) == (scheme == "dark")
    page.locator("summary").first.click()
    assert page.get_by_role("cell", name="from the store").first.is_visible()
    page.locator("summary").first.click()
    if width == WIDE:
        picture = pictures / f"report-{scheme}.png"
        page.screenshot(path=picture, full_page=True, clip=TOP)
        assert picture.stat().st_size < MOST_BYTES
    page.close()


def test_the_report_can_be_printed(browser: Browser, drawn: Drawn) -> None:
    """On white, whatever the screen is like, and nothing sticks out of the sheet."""
    page = opened(browser, drawn.page, width=700, scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(31, 41, 51)"
    assert page.evaluate(
        "[...document.querySelectorAll('section')].every(part => part.scrollWidth <= part.clientWidth)"
    )
    assert page.evaluate(TROUBLE) == []
    page.close()


def test_what_a_notebook_shows_can_be_read(
    browser: Browser, drawn: Drawn, pictures: Path, tmp_path: Path
) -> None:
    """The table of a report, in a page as dark as some notebooks are."""
    path = tmp_path / "notebook.html"
    head = '<!doctype html><meta charset="utf-8"><body style="background: #111; color: #eee">'
    path.write_text(head + drawn.told._repr_html_(), encoding="utf-8")
    page = opened(browser, path, width=700, scheme="dark")
    assert page.evaluate(CONTRAST) >= 4.5
    page.locator("table").screenshot(path=pictures / "report-notebook.png")
    page.close()


def test_charts_are_drawn(drawn: Drawn, pictures: Path) -> None:
    """Each by the function that people call."""
    leads = drawn.store.sql("from leads")
    scored = score_frame(leads, prefix="")
    days = read_store(drawn.store, model=ScoringModel(), now=datetime.now(UTC)).days
    for name, chart in {
        "funnel": report.funnel(drawn.told),
        "credits": report.credits(drawn.told),
        "credits-by-week": charts.styled(charts.days_chart(days)),
        "fill-rates": report.fill_rates(leads, prefix=""),
        "confidence": report.confidence(leads, prefix=""),
        "scores": report.scores(scored, prefix=""),
    }.items():
        picture = pictures / f"chart-{name}.png"
        picture.write_bytes(vl_convert.vegalite_to_png(chart.to_dict(), scale=1.25, allowed_base_urls=[]))
        assert 2_000 < picture.stat().st_size < MOST_BYTES
