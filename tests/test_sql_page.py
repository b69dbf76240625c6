"""docs/sql.md: its reference is the store's, and everything on it runs, in both version lines of DuckDB."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.files import read_table
from buena_pipeline.schema import REQUEST_ROWS
from tests.sql_page import PAGE, reference, with_reference
from tests.test_store import bought, frame, person

ROOT = PAGE.parents[1]
BIN = Path(sys.executable).parent
TEXT = PAGE.read_text(encoding="utf-8")

ATTACH = "attach 'buena.duckdb' as buena (read_only); use buena;\n"


def blocks(language: str) -> list[str]:
    """The code of one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example leads and a store in which every recipe finds something."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "examples" / "leads.csv", folder)
    store = EnrichmentStore(folder / "buena.duckdb")
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        leads = read_table(folder / "leads.csv")
        for part in (leads[:40], leads[20:-5]):
            enrich_frame(part, client=client, store=store)
    jane = ("email", "jane.doe@acme.example")
    bought(store, "by-mail", day=-900, keys=(jane,), company="Acme", title="CTO")
    bought(store, "by-profile", day=-800, keys=(jane, ("linkedin", "jane-doe")), company="Navy", title="CEO")
    bought(store, "nobody", found=False)
    lost = {"request_id": str(uuid.uuid4()), "people": [person("lost")], "credits_reserved": 1.0}
    moment = datetime.now(UTC)
    store.commit(
        new_request=frame(
            REQUEST_ROWS,
            *({**lost, "state": state, "happened_at": moment} for state in ("in flight", "unknown")),
        )
    )
    return folder


def test_the_reference_is_what_the_store_says(store: EnrichmentStore) -> None:
    """After a change: python -m tests.sql_page."""
    assert with_reference(TEXT, reference(store)) == TEXT


@pytest.mark.parametrize("query", blocks("sql"), ids=lambda query: query[:50].replace("\n", " "))
def test_every_query_finds_something(filled: Path, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """The same number of rows in this version line and in the other one, also while somebody else reads."""
    monkeypatch.chdir(filled)
    script = query if query.startswith("attach") else ATTACH + query
    with duckdb.connect() as connection:
        rows = connection.execute(script).fetchall()
    # its own statement comes last
    told = subprocess.run(
        [BIN / "duckdb", "-json", "-bail", "-c", script], capture_output=True, text=True, check=True
    )
    last = json.loads(told.stdout[told.stdout.rindex("\n[") if "\n[" in told.stdout else 0 :] or "[]")
    assert not told.stderr
    if "copy (" in query:
        assert rows[-1][0] > 0
    else:
        assert len(rows) == len(last) > 0


@pytest.mark.parametrize("query", [query for query in blocks("sql") if re.match("from|select|with", query)])
def test_every_recipe_runs_through_the_library(
    filled: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """One query at a time, as EnrichmentStore.sql takes them."""
    monkeypatch.chdir(filled)
    assert EnrichmentStore("buena.duckdb", read_only=True).sql(query.strip()).height > 0


def test_every_command_runs(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there."""
    monkeypatch.chdir(filled)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks("sh"):
        for command in block.strip().splitlines():
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, env=environment, check=False
            )
            assert done.returncode == 0, done.stderr
            assert not done.stderr


def test_the_python_of_the_page_runs(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Block after block, in one session, against a sandbox; in a folder of its own, since it buys."""
    monkeypatch.chdir(shutil.copytree(filled, tmp_path / "page"))
    names: dict[str, object] = {}
    with Sandbox(limits=None) as vendor:
        monkeypatch.setenv("BUENA_API_KEY", vendor.api_key)
        monkeypatch.setenv("BUENA_BASE_URL", vendor.url)
        for block in blocks("python"):
            exec(compile(block, "docs/sql.md", "exec"), names)
        bought_by_function = vendor.credits_used
        statuses = names["connection"].execute("select distinct buena_status from enriched").fetchall()
        names["connection"].close()
    assert names["jane"]["title"].to_list() == ["CEO"]
    assert bought_by_function > 0
    assert ("cached",) in statuses
    assert "from the store" in capsys.readouterr().out
