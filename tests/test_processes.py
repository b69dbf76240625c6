"""Several processes and one store: they pay for everybody once, and nobody who looks in is shut out."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox
from buena_pipeline.errors import StoreError
from tests.torture.people import UNLIMITED, table_of
from tests.torture.processes import Process, holder, reader, wait_until, worker
from tests.torture.verdict import UNKNOWN, Memory, judge


def test_four_processes_a_reader_and_a_killed_one(tmp_path: Path) -> None:
    """Overlapping tables at once: everybody is paid once, each table comes back whole, the reader always got in."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    store.stats()  # the reader needs a file
    dice = random.Random(3)
    tables = [dice.sample(range(400), 240) for _ in range(5)]
    outputs = [tmp_path / f"{number}.parquet" for number in range(5)]
    with Sandbox(limits=None, latency=0.1) as sandbox, ExitStack() as stack:
        runs = [
            stack.enter_context(worker(sandbox, store.path, people, concurrency=2, output=output))
            for people, output in zip(tables, outputs, strict=True)
        ]
        looking = stack.enter_context(reader(store.path)).go()
        for run in reversed(runs):  # the one to be killed first, that it has something under way
            run.go()
        wait_until(lambda: sandbox.requests >= 3)
        time.sleep(0.05)
        assert runs.pop().kill()
        reports = [run.finish() for run in runs]
        saw = looking.finish()
        for people, output in zip(tables, outputs[:4], strict=False):
            enriched, table = pl.read_parquet(output), table_of(people)
            assert enriched.select(table.columns).equals(table)
            doubtful = enriched["buena_error"].str.starts_with(UNKNOWN).fill_null(value=False)
            assert set(enriched.filter(~doubtful)["buena_status"]) <= {"enriched", "cached", "failed"}
        table = table_of(range(400))
        with BuenaClient(sandbox.api_key, sandbox.url, **UNLIMITED) as client:
            result = Enricher(client, store).run(table)
        verdict = judge(sandbox, store, table, result)
        assert verdict.complaints == []
    assert sum(report["enriched"] for report in reports) <= verdict.answered
    assert saw["failures"] == []
    assert saw["seen"] == sorted(saw["seen"])
    assert len(saw["seen"]) > 3


def test_whoever_is_on_the_way_elsewhere_is_waited_for(tmp_path: Path) -> None:
    """Two processes with the same table: one buys, and the other serves what it bought."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox, ExitStack() as stack:
        first, second = (stack.enter_context(worker(sandbox, store.path, range(100))) for _ in range(2))
        first.go()
        second.go()
        reports = [first.finish(), second.finish()]
        assert sandbox.credits_used == sum(report["enriched"] for report in reports) == 100
        assert sum(report["cached"] for report in reports) == 100
        assert sum(report["deferred"] for report in reports) == 0


def test_a_process_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    """Its requests are of unknown outcome at once, not when their lease is over."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, not_found=0.0, latency=5.0) as sandbox:
        with worker(sandbox, store.path, range(60)) as dying:
            dying.go()
            wait_until(lambda: sandbox.requests == 2)
            dying.kill()
        with BuenaClient(sandbox.api_key, sandbox.url, **UNLIMITED) as client:
            began = time.monotonic()
            result = Enricher(client, store).run(table_of(range(60)))
            assert time.monotonic() - began < 4
        assert judge(sandbox, store, table_of(range(60)), result).complaints == []
        assert result.report.unknown == 60
        assert set(store.ledger()["state"]) == {"unknown"}


def hold_when_the_first_answer_is_written(
    store: EnrichmentStore, stack: ExitStack, holders: list[Process]
) -> object:
    """A progress callback that lets somebody else take the file."""

    def hold(_: EnrichmentProgress) -> None:
        if not holders:
            holders.append(stack.enter_context(holder(store.path)).go())

    return hold


@pytest.mark.parametrize("patience", [0.1, 30.0])
def test_somebody_else_takes_the_file_while_answers_come(patience: float, tmp_path: Path) -> None:
    """A run that waits for the file and one that does not: in the end every answer is in the store, once."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=patience)
    memory = Memory(store)
    holders: list[Process] = []
    table = table_of(range(300))
    with Sandbox(limits=None, latency=0.05) as sandbox, ExitStack() as stack:
        hold = hold_when_the_first_answer_is_written(store, stack, holders)
        lets_go = stack.enter_context(ExitStack())
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=3, **UNLIMITED) as client:
            if patience > 1:
                from threading import Timer

                timer = Timer(1.0, lambda: wait_until(lambda: holders) or holders[0].end())
                timer.start()
                lets_go.callback(timer.join)
            try:
                Enricher(client, store, progress=hold).run(table)
            except StoreError as error:
                assert patience < 1, error
            if patience < 1:
                holders[0].end()
            memory.look()
            result = Enricher(client, store, max_wait=timedelta(seconds=5)).run(table)
        memory.look()
        verdict = judge(sandbox, store, table, result)
    assert verdict.complaints == []
    assert verdict.unknown == 0
    assert verdict.answered == 300
