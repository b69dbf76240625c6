"""Vendors that break: nobody is paid twice, nothing is lost, and what nobody can know is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from buena_pipeline.sandbox import Fault
from tests.torture.breaking import SCENARIOS, break_runs
from tests.torture.clock import let_time_pass
from tests.torture.people import table_of
from tests.torture.verdict import judge


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_vendor_that_breaks(name: str, tmp_path: Path) -> None:
    """Runs while it breaks and when it is well again, each compared with the vendor's own count."""
    scenario = SCENARIOS[name]
    broken = break_runs(tmp_path, scenario, seed=len(name))
    assert broken.complaints == []
    assert broken.injected > 0
    assert broken.verdicts[-1].answered > 0
    assert any(verdict.unknown for verdict in broken.verdicts) == scenario.doubt


@pytest.mark.parametrize(
    ("kind", "state", "unknown"), [("reset_before", "not charged", 0), ("reset_after", "charged", 50)]
)
def test_the_balance_tells_what_a_lost_answer_cost(
    kind: str, state: str, unknown: int, tmp_path: Path
) -> None:
    """With an answer before and one after its lease: who was not charged is bought, who was is not."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None) as sandbox:
        sandbox.inject(Fault(kind, after=1))
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=1, limits=None) as client:
            enricher = Enricher(client, store)
            assert enricher.run(table_of(range(150))).report.unknown == 50
            let_time_pass(store, timedelta(hours=1))
            enricher.run(table_of(range(200)))
            result = enricher.run(table_of(range(200)))
        verdict = judge(sandbox, store, table_of(range(200)), result)
    assert verdict.complaints == []
    assert verdict.unknown == unknown
    assert store.ledger()["state"].to_list().count(state) == 1
