"""The project as somebody meets it who types ``make dagster`` and opens a browser: no key, no network.

Needs Chromium and Playwright, so it is not among the tests of ``make test``: run ``make test-ui``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import FloatRect, Page, expect, sync_playwright

from tests.loopback import ROOT, watched

CONTENT: FloatRect = {"x": 240, "y": 0, "width": 1260, "height": 900}  # without the menu at the left
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project keeps its tables."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go: those of the documentation only for ``make pictures``."""
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def ui(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Dagster's UI, over the example leads."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    shutil.copy(ROOT / "dagster.yaml", home)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("BUENA_")}
    settings |= {"DAGSTER_HOME": str(home), "DATA_DIR": str(data), "DAGSTER_DISABLE_TELEMETRY": "1"}
    settings = watched(settings, home / "strangers")
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until = time.monotonic() + 90
            while not answers(url):
                assert server.poll() is None, (home / "log").read_text()[-2_000:]
                assert time.monotonic() < until, (home / "log").read_text()[-2_000:]
                time.sleep(0.5)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
    assert not (home / "strangers").exists(), (home / "strangers").read_text()


def answers(url: str) -> bool:
    """Whether the server is there."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=2):
        return True
    return False


@pytest.fixture(scope="module")
def page(ui: str) -> Iterator[Page]:
    """A page of a browser that may talk to nobody but this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        strangers: list[str] = []
        page.on(
            "request", lambda request: None if request.url.startswith(ui) else strangers.append(request.url)
        )
        page.set_default_timeout(30_000)
        yield page
        browser.close()
        assert not [url for url in strangers if url.startswith("http")]


def test_materialize_everything(page: Page, ui: str, data: Path, pictures: Path) -> None:
    """The graph is there, a click materializes all of it, and the paid asset says what it cost."""
    page.goto(f"{ui}/locations/lead_enrichment/asset-groups/lead_enrichment/lineage")
    for asset in ("raw_leads", "leads", "enriched_leads", "scored_leads", "credit_ledger", "lead_coverage"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    # the sensor has read the example files
    expect(page.get_by_text("3 partitions")).to_be_visible(timeout=90_000)

    page.get_by_role("button", name="Materialize all").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Launch backfill").click()
    expect(page.get_by_text("Created backfill")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("7 / 7 Passed")).to_be_visible(timeout=180_000)
    expect(page.get_by_text("Materialized", exact=True)).to_have_count(5, timeout=180_000)
    expect(page.get_by_text("Never materialized")).to_have_count(0)
    page.screenshot(path=pictures / "dagster-graph.png", clip=CONTENT)

    enriched = pl.read_parquet(data / "sandbox" / "enriched_leads.parquet")
    page.goto(f"{ui}/assets/enriched_leads?view=events")
    expect(page.get_by_text("credits_used").first).to_be_visible()
    expect(page.get_by_text("credits_avoided").first).to_be_visible()
    shown = page.locator("body").inner_text()
    assert f"{enriched.height}" in shown
    page.screenshot(path=pictures / "dagster-credits.png", clip=CONTENT)
    assert not ADDRESS.search(shown)
    page.get_by_text("Show Markdown", exact=False).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("buena_status").first).to_be_visible()
    expect(dialog.get_by_text("•••").first).to_be_visible()
    assert not ADDRESS.search(dialog.inner_text())
    page.keyboard.press("Escape")

    page.goto(f"{ui}/assets/enriched_leads?view=checks")
    for check in ("every_row_is_back", "nobody_is_charged_twice", "fully_enriched"):
        expect(page.get_by_text(check).first).to_be_visible()
    page.goto(f"{ui}/assets/enriched_leads")
    expect(page.get_by_text("Latest materialization")).to_be_visible()
    page.screenshot(path=pictures / "dagster-enriched-leads.png")
