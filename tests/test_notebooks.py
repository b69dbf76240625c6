"""The notebooks run as a reader runs them, in a kernel, and what they tell is true."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import vl_convert
from nbclient import NotebookClient

import buena_pipeline
from buena_pipeline import report
from tests.loopback import ROOT, watched
from tests.notebook_files import FOLDER, cleaned, notebooks

_PATIENCE = 90
"""Seconds that a cell may take on a machine with other things to do."""

# The kernel says things of its own, in which a reader has no part.
_STRICT = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")
"""

_EVERYWHERE = """
import asyncio, pathlib
assert asyncio.get_running_loop().is_running()
assert not pathlib.Path(folder.name).exists(), "the folder is still there"
"""

# What each notebook says of its numbers, once more as a condition.
CLAIMS = {
    "01_quickstart": """
assert (plan.rows, plan.people, plan.invalid) == (399, 239, 18)
assert result.frame.height == leads.height
assert result.report.credits_used == spent == sandbox.credits_used <= 300
assert (sandbox.charges()["count"] == 1).all()
assert set(again["buena_status"]) == {"cached", "failed", "invalid"}
assert people.height == sandbox.charges().height
""",
    "02_paid_once": """
assert charges.height == result.report.enriched == result.report.credits_used
assert (charges["count"] == 1).all()
assert sandbox.requests == before + 1 and sandbox.credits_used > charges.height
assert sandbox.charges()["repeated"].list.len().sum() == 0
assert met_again.report.cached == others.height > 100 and met_again.report.credits_used == 0
second = sandbox.charges().filter(pl.col("count") == 2)["blocks"].list.last()
assert set(second.list.first()) == {"social"} and (second.list.len() == 1).all()

assert frugal_runs["credits_used"].max() <= 60 < frugal_runs["credits_used"].sum() == vendor.credits_used
assert (vendor.charges()["count"] == 1).all() and capped.report.deferred == 0

assert buyer.returncode == -9
assert after.report.deferred >= after.report.unknown > 0 and after.report.cached > 0
assert (proven["count"] == 1).all()
assert proven.height > after.report.cached + after.report.enriched  # of those in flight some were charged
assert insisted.report.deferred == 0
twice = slow.charges().filter(pl.col("count") > 1)
assert 0 < twice.height <= after.report.unknown and (twice["count"] == 2).all()

assert runs["credits_used"].sum() == sandbox.credits_used
assert checks["ok"].all()
""",
    "03_sql_over_the_store": """
# an answer of the first run named another LinkedIn profile than a row of the last one: two people, to be safe
assert sandbox.charges().filter(pl.col("count") > 1).height <= 1
assert goran.rows() == [("Goran", "Haldorsen", "VP of Sales", "+1-555-385-4363")]
assert views.height >= 10 and deciders.height == 8
assert lead_sources["rows"].sum() == leads.height and 0.7 < lead_sources["found"].sum() / leads.height < 1
assert abs(cost["credits"].sum() - (sandbox.credits_used - 1)) <= 2
assert vendor_sources["people"].min() > 10
assert cohorts["state"].to_list() == ["stale", "stale", "fresh", "fresh"]
assert due_plan.rows == due_plan.stale == due_plan.to_buy == cohorts.filter(state="stale")["people"].sum()
assert sandbox.credits_used - before == 1
assert visitors["status"].to_list() == ["cached", "cached", "enriched", "invalid"]
""",
    "04_scoring": """
assert people.height == 215
parts = people.select(pl.sum_horizontal(pl.selectors.starts_with("buena_score_")).clip(upper_bound=25))
assert parts.to_series().equals(people["buena_score"], check_names=False)
assert ScoringModel.from_toml.__name__ and own.cap == 26
assert bands["people"].sum() == people.height and bands["bought"].sum() == compared["bought"].sum()
assert (bands["low"] < bands["precision"]).all() and (bands["precision"] < bands["high"]).all()
assert by_model.group_by("model").agg(pl.col("people").sum())["people"].unique().to_list() == [people.height]
assert by_model.group_by("model").agg(pl.col("bought").sum())["bought"].n_unique() == 1
assert lifts.height == 200
assert (lifts["default"] > 1).mean() > 0.9
assert (lifts["own"] > lifts["default"]).mean() > 0.8
assert (lifts["developers"] > lifts["default"]).mean() < 0.2
""",
}


PICTURES = {
    "02_paid_once": ("60 credits, spent on the best sources first", "notebook-budget.png"),
    "04_scoring": ("What the best scores are made of", "notebook-scores.png"),
}
"""Charts for the documentation, by their titles; ``make pictures`` takes them anew."""


def _read(path: Path) -> Any:
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def _code(path: Path) -> str:
    """All that a notebook runs."""
    return "\n\n".join(cell.source for cell in _read(path).cells if cell.cell_type == "code")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a kernel: what Jupyter and the notebook write goes into the test's folder."""
    places = {
        name: str(tmp_path / name.lower())
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "TMPDIR")
    }
    Path(places["TMPDIR"]).mkdir()
    for name, place in places.items():
        if name.startswith("JUPYTER_"):  # the side that starts the kernel writes, too
            monkeypatch.setenv(name, place)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**watched(outside, tmp_path / "strangers"), **places}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_and_tells_the_truth(
    path: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    """From top to bottom, without a warning, a complaint, a file left behind or a word to a stranger."""
    notebook = _read(path)
    before = {place: place.stat().st_mtime_ns for place in FOLDER.iterdir()}
    notebook.cells.insert(0, nbformat.v4.new_code_cell(_STRICT))
    notebook.cells.append(nbformat.v4.new_code_cell(_EVERYWHERE + CLAIMS[path.stem]))
    NotebookClient(
        notebook, timeout=_PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute(env=surroundings)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    drawn = [output for output in outputs if "image/svg+xml" in output.get("data", {})]
    assert len(drawn) >= 3
    if path.stem in PICTURES:
        title, picture = PICTURES[path.stem]
        (chart,) = [output.data["image/svg+xml"] for output in drawn if title in output.data["image/svg+xml"]]
        if folder := os.environ.get("PICTURES"):
            (ROOT / folder / picture).write_bytes(vl_convert.svg_to_png(chart, scale=1.5))
    assert {place: place.stat().st_mtime_ns for place in FOLDER.iterdir()} == before
    assert [place.name for place in (tmp_path / "tmpdir").iterdir()] == []
    assert not (tmp_path / "strangers").exists()


def test_there_are_claims_about_each_notebook() -> None:
    """And none about one that is not there."""
    assert [path.stem for path in notebooks()] == sorted(CLAIMS)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_running_it_leaves(path: Path) -> None:
    """No outputs, no counts, nothing of a machine."""
    text = path.read_text(encoding="utf-8")
    assert text == cleaned(text), "make format puts it right"
    for cell in _read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_uses_what_is_public(path: Path) -> None:
    """Names of the package itself and of its reports; no test's, and nothing with an underscore."""
    tree = ast.parse(_code(path))
    public = {*buena_pipeline.__all__, "report"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "buena_pipeline":
            assert node.module == "buena_pipeline"
            assert {alias.name for alias in node.names} <= public
        elif isinstance(node, ast.Import):
            assert not {"buena_pipeline", "tests"} & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id == "report":
                assert node.attr in report.__all__


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    """To a page of the repository, and to a heading of it."""
    texts = [cell.source for cell in _read(path).cells if cell.cell_type == "markdown"]
    links = [link for text in texts for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert len(links) >= 3
    for link in links:
        page, _, heading = link.partition("#")
        target = (FOLDER / page).resolve()
        assert target.is_relative_to(ROOT)
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_reads_as_an_article(path: Path) -> None:
    """It begins with what its reader will know, ends with what to read next, and explains between."""
    cells = _read(path).cells
    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    assert "At the end of this page you" in cells[0].source
    assert cells[-1].source.startswith("## What next")
    in_a_row = 0
    for cell in cells:
        in_a_row = in_a_row + 1 if cell.cell_type == "code" else 0
        assert in_a_row <= 2, cell.source


def test_cleaning_takes_away_what_a_run_leaves() -> None:
    """Outputs, counts, metadata and identifiers of cells; the sources stay."""
    path = notebooks()[0]
    clean = path.read_text(encoding="utf-8")
    used = _read(path)
    used.metadata["language_info"]["version"] = "3.99.1"
    used.metadata["kernelspec"]["display_name"] = "somebody's"
    for number, cell in enumerate(used.cells):
        cell.metadata["collapsed"] = True
        cell.id = f"other-{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text="hello")]
    assert cleaned(nbformat.writes(used)) == clean
