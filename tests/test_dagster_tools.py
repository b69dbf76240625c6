"""The project and the component as Dagster's own tools meet them: checked, listed and launched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from buena_pipeline import EnrichmentStore, Sandbox
from buena_pipeline.store.user_tables import read_user_table
from tests.loopback import watched

pytest.importorskip("dagster")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "dagster_component"


def tool(*arguments: str, cwd: Path, strangers: Path | None = None, **settings: str) -> str:
    """What a command of Dagster says; nothing but this machine may be asked."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BUENA_", "DAGSTER_"))
    }
    environment |= {"DAGSTER_DISABLE_TELEMETRY": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)} | settings
    if strangers is not None:
        environment = watched(environment, strangers)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dg")), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3_000:]
    return said


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example project, copied to where it may write."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example"))


def test_who_asks_a_stranger_is_seen(tmp_path: Path) -> None:
    """Else the tests below could not fail."""
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('{}', 9))"
    strangers = tmp_path / "strangers"
    for host in ("127.0.0.1", "192.0.2.1"):
        subprocess.run(
            [sys.executable, "-c", code.format(host)], env=watched(os.environ, strangers), check=False
        )
    assert strangers.read_text(encoding="utf-8").splitlines() == ["socket.connect 192.0.2.1"]


def test_the_project_is_sound(tmp_path: Path) -> None:
    """``dg check defs`` and ``dg check yaml`` pass without a key, and ask nobody outside."""
    strangers = tmp_path / "strangers"
    assert "loaded successfully" in tool("check", "defs", cwd=ROOT, strangers=strangers)
    assert "validated" in tool("check", "yaml", cwd=ROOT, strangers=strangers)
    assert not strangers.exists()


def test_the_component_is_listed() -> None:
    """``dg list components`` shows it, with what it is for."""
    said = tool("list", "components", cwd=ROOT)
    assert "buena_pipeline.BuenaEnrichmentComponent" in said
    assert "Leads in, enriched" in said


def test_ten_lines_of_yaml(example: Path, tmp_path: Path) -> None:
    """The example is checked and launched twice: the table is whole, and the second time costs nothing."""
    strangers = tmp_path / "strangers"
    assert len((example / "lead_warehouse/defs/enriched_leads/defs.yaml").read_text().splitlines()) <= 12
    assert "validated" in tool("check", "yaml", cwd=example)
    for _ in range(2):
        said = tool("launch", "--assets", "enriched_leads", cwd=example, strangers=strangers)
        assert "RUN_SUCCESS" in said
    assert not strangers.exists()
    table = read_user_table(example / "warehouse.duckdb", "enriched_leads")
    assert table["Work Email"].to_list() == pl.read_csv(example / "leads.csv")["Work Email"].to_list()
    assert table["buena_status"].to_list() == ["cached"] * 4 + ["invalid"]
    assert table["buena_score"].null_count() == 1
    store = EnrichmentStore(example / "sandbox-buena.duckdb")  # never the one that real people are in
    assert not (example / "buena.duckdb").exists()
    assert store.stats().people == 3
    assert store.stats().credits_used == 3


def test_two_launches_at_once(example: Path, tmp_path: Path) -> None:
    """Dagster's default executor, a process for each step, twice over one store: everybody is paid once."""
    path = example / "lead_warehouse/defs/enriched_leads/defs.yaml"
    text = path.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines(keepends=True) if "sandbox: true" in line]
    path.write_text(text.replace(line, ""), encoding="utf-8")
    addresses = [f"person{number}@acme.example" for number in range(200)]
    pl.DataFrame({"Email": addresses}).write_csv(example / "leads.csv")
    with Sandbox(limits=None, not_found=0.0, latency=0.2) as sandbox, ThreadPoolExecutor(2) as both:
        launch = partial(
            tool,
            *("launch", "--assets", "enriched_leads"),
            cwd=example,
            BUENA_API_KEY=sandbox.api_key,
            BUENA_BASE_URL=sandbox.url,
        )
        strangers = [tmp_path / "one" / "strangers", tmp_path / "other" / "strangers"]
        for folder in strangers:
            folder.parent.mkdir()
        for said in both.map(lambda place: launch(strangers=place), strangers):
            assert "RUN_SUCCESS" in said
            assert sandbox.api_key not in said
        assert sandbox.charges()["count"].to_list() == [1] * 200
    assert not [place for place in strangers if place.exists()]
    table = read_user_table(example / "warehouse.duckdb", "enriched_leads")
    assert table["Email"].to_list() == addresses
    assert set(table["buena_status"]) <= {"enriched", "cached"}


@pytest.mark.parametrize(
    ("line", "replaced", "said"),
    [
        ("  source: {file: leads.csv}", "  source: {database: crm.duckdb}", "name one place"),
        ("  score: true", "  blocks: [salary]", "No such block: salary"),
        ("  score: true", "  scores: true", "scores"),
    ],
)
def test_wrong_yaml_says_what_is_wrong(example: Path, line: str, replaced: str, said: str) -> None:
    """A place that is none, a block that is none, an attribute that is none: the message names it."""
    path = example / "lead_warehouse/defs/enriched_leads/defs.yaml"
    text = path.read_text(encoding="utf-8")
    assert line in text
    path.write_text(text.replace(line, replaced), encoding="utf-8")
    with pytest.raises(AssertionError, match=said):
        tool("check", "defs", cwd=example)


def test_a_table_that_is_not_there(example: Path) -> None:
    """A source that is missing fails the run with a message, not with a traceback of DuckDB alone."""
    path = example / "lead_warehouse/defs/enriched_leads/defs.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("{file: leads.csv}", "{database: crm.duckdb, table: leads}"), encoding="utf-8"
    )
    with pytest.raises(AssertionError, match="There is no DuckDB file"):
        tool("launch", "--assets", "enriched_leads", cwd=example)
