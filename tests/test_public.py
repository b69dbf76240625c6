"""What the package shows the world: exported, documented, importable without its extras."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import buena_pipeline
from buena_pipeline import errors, sandbox
from buena_pipeline.cli.exits import EXIT_CODES

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", buena_pipeline.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """With a docstring of its own, and an example that runs where there is something to call."""
    thing = getattr(buena_pipeline, name)
    assert inspect.getdoc(thing)
    frozen = hasattr(thing, "__dataclass_fields__")
    if not frozen and thing is not buena_pipeline.BuenaError:
        assert ">>>" in inspect.getdoc(thing), f"{name} has no example"


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy Sandbox does not hide typos."""
    with pytest.raises(AttributeError, match="no attribute 'Sandbax'"):
        _ = buena_pipeline.Sandbax  # type: ignore[attr-defined]


def test_the_library_imports_without_its_extras() -> None:
    """No Starlette, no Typer, no pandas: only what `dependencies` names, and a clear word about the rest."""
    script = """
import sys
for name in ("starlette", "uvicorn", "typer", "rich", "pandas", "dagster"):
    sys.modules[name] = None
import buena_pipeline
try:
    buena_pipeline.Sandbox
except buena_pipeline.BuenaError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert 'pip install "buena-pipeline[sandbox]"' in told.stdout
    assert not told.stderr


def test_the_import_brings_nothing_that_not_every_process_needs() -> None:
    """A command that prints its help, or a form that waits for its first lead, starts without numpy."""
    script = """
import sys
import polars, duckdb, httpx
before = set(sys.modules)
from buena_pipeline import Enricher, enrich_frame, plan_frame, score_frame
print(*{name.partition(".")[0] for name in sys.modules.keys() - before})
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    brought = set(told.stdout.split())
    assert "buena_pipeline" in brought
    late = {"numpy", "pyarrow", "tenacity", "filelock", "tomllib", "difflib", "starlette", "typer"}
    assert not brought & late


def test_every_error_is_in_the_one_tree() -> None:
    """``except BuenaError`` is enough."""
    raised = [thing for _, thing in inspect.getmembers(errors, inspect.isclass)]
    assert all(issubclass(thing, errors.BuenaError) for thing in raised)


def python_blocks(page: str) -> list[str]:
    """The Python code of a page, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block, in one session, against a sandbox as the API."""
    leads = (ROOT / "examples" / "leads.csv").read_text(encoding="utf-8")
    (tmp_path / "leads.csv").write_text(leads, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pl.read_csv("leads.csv").with_columns(Country=pl.lit("Germany")).write_parquet("leads.parquet")
    names: dict[str, object] = {}
    blocks = python_blocks("README.md")
    assert len(blocks) == 5
    with buena_pipeline.Sandbox() as vendor:
        monkeypatch.setenv("BUENA_API_KEY", vendor.api_key)
        monkeypatch.setenv("BUENA_BASE_URL", vendor.url)
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
        assert vendor.requests > 0
    assert names["scored"]["buena_score"].max() > 0
    assert pl.read_parquet("enriched.parquet").height == names["leads"].height


def test_what_the_readme_calls_can_be_imported() -> None:
    """Every class that stands in a sentence or a table of it with its arguments, from the package itself."""
    page = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    called = {
        name for code in re.findall(r"`([^`]+)`", page) for name in re.findall(r"\b([A-Z]\w+)[(.]", code)
    }
    assert called >= {"BuenaClient", "EnrichmentOptions", "EnrichmentStore", "RateLimits", "ScoringModel"}
    assert called <= set(buena_pipeline.__all__)


def test_the_warning_of_the_readme_can_be_filtered() -> None:
    """It is where the page says."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"`buena_pipeline\.store\.(\w+Warning)`", page)
    assert issubclass(getattr(buena_pipeline.store, name), UserWarning)


def test_client_and_sandbox_take_the_same_limits() -> None:
    """One class for what a key may do, whoever keeps it to that."""
    limits = buena_pipeline.RateLimits(minute=1)
    assert type(limits) is sandbox.RateLimits
    with (
        buena_pipeline.Sandbox(limits=limits, now=lambda: 0.0) as vendor,
        buena_pipeline.BuenaClient(vendor.api_key, vendor.url, limits=limits) as client,
    ):
        assert client.limits == limits
        for _ in range(2):
            client.enrich([{"email": "jane@acme.example"}], buena_pipeline.EnrichmentOptions(), max_wait=0)
        assert [entry["status"] for entry in vendor.request_log()] == [200, 429]


def test_the_queries_of_the_readme_run(tmp_path: Path) -> None:
    """Each on an empty store."""
    store = buena_pipeline.EnrichmentStore(tmp_path / "buena.duckdb")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL)
    queries = [query for query in block.split(";") if re.sub(r"--.*", "", query).strip()]
    assert len(queries) == 4
    for query in queries:
        assert store.sql(query) is not None


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/sql.md"]
)
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    """Relative links only; the web is not asked."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}, which is not there"


def test_the_layers_of_the_architecture_page_name_every_module() -> None:
    """A reader finds a thing by the page; a new module is put on it."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "buena_pipeline"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    missing = {name for name in modules - {"__init__"} if f"`{name}`" not in page}
    assert not missing


def test_the_exit_codes_of_the_readme_are_those_of_the_command_line() -> None:
    """One table, told twice."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning.replace('doctor', '`doctor`')} |" in page
