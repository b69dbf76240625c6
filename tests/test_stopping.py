"""Runs that are told to stop: what is on its way is paid for and kept, and the exit code tells."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from tests.torture.people import table_of
from tests.torture.processes import Process, wait_until
from tests.torture.verdict import judge

PEOPLE = 400


def command(folder: Path, sandbox: Sandbox) -> Process:
    """The command line, which enriches a table."""
    table_of(range(PEOPLE)).write_csv(folder / "leads.csv")
    settings = {
        "BUENA_API_KEY": sandbox.api_key,
        "BUENA_BASE_URL": sandbox.url,
        "BUENA_STORE": str(folder / "buena.duckdb"),
    }
    words = ["enrich", str(folder / "leads.csv"), "-o", str(folder / "enriched.csv"), "--concurrency", "2"]
    return Process("-m", "buena_pipeline.cli", *words, settings=settings)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("requests", [1, 3, 5])
def test_a_signal_stops_a_command(number: int, code: int, requests: int, tmp_path: Path) -> None:
    """Nothing more is sent, what is on its way is written, and the next run pays nobody again."""
    store, table = EnrichmentStore(tmp_path / "buena.duckdb"), table_of(range(PEOPLE))
    with Sandbox(limits=None, latency=0.2) as sandbox:
        with command(tmp_path, sandbox) as run:
            wait_until(lambda: sandbox.requests >= requests)
            run.signal(number)
            sent = sandbox.requests
            assert run.end()[0] == code
        assert sandbox.requests <= sent + 1  # one may have been leaving just then
        assert 0 < sandbox.credits_used < PEOPLE * 0.9
        assert store.stats().people == sandbox.credits_used
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            result = Enricher(client, store).run(table)
        verdict = judge(sandbox, store, table, result)
    assert verdict.complaints == []
    assert verdict.unknown == 0


def test_a_second_signal_gives_up_waiting(tmp_path: Path) -> None:
    """It ends at once, says how many people are of unknown outcome, and nobody buys them again."""
    store, table = EnrichmentStore(tmp_path / "buena.duckdb"), table_of(range(PEOPLE))
    with Sandbox(limits=None, latency=10.0) as sandbox:
        with command(tmp_path, sandbox) as run:
            wait_until(lambda: sandbox.requests == 2)
            run.signal(signal.SIGINT)
            time.sleep(0.5)
            assert run.running
            began = time.monotonic()
            run.signal(signal.SIGINT)
            code, _, complaint = run.end()
            assert time.monotonic() - began < 5
        assert code == 130
        assert re.search(r"perhaps charged +100 people", complaint), complaint
        sandbox.stop()
        states = store.ledger()["state"].to_list()
        assert states == ["unknown"] * 2
        result = Enricher(BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01), store).run(table[:100])
        verdict = judge(sandbox, store, table[:100], result)
    assert verdict.complaints == []
    assert verdict.unknown == 100
