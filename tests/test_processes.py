"""Several processes and one store: they pay for everybody once, and nobody who looks in is shut out."""

from __future__ import annotations

import contextlib
import random
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import polars as pl

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox
from buena_pipeline.errors import StoreLockedError
from tests.torture.people import table_of
from tests.torture.processes import Process, holder, reader, wait_until, worker
from tests.torture.verdict import UNKNOWN, Memory, judge


def test_four_processes_a_reader_and_a_killed_one(tmp_path: Path) -> None:
    """Overlapping tables: everybody is paid once, tables come back whole, the reader always gets in."""
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
            doubtful = enriched["buena_error"].str.contains(UNKNOWN).fill_null(value=False)
            assert set(enriched.filter(~doubtful)["buena_status"]) <= {"enriched", "cached", "failed"}
        table = table_of(range(400))
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
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
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            began = time.monotonic()
            result = Enricher(client, store).run(table_of(range(60)))
            assert time.monotonic() - began < 4
        assert judge(sandbox, store, table_of(range(60)), result).complaints == []
        assert result.report.unknown == 60
        assert set(store.ledger()["state"]) == {"unknown"}


class Shell:
    """Somebody who opens the store as soon as a run has written its first answer, and then has it open."""

    def __init__(self, store: EnrichmentStore, stack: ExitStack) -> None:
        self._store, self._stack = store, stack
        self._holder: Process | None = None

    def open(self, _: EnrichmentProgress) -> None:
        """A progress callback."""
        if self._holder is None:
            self._holder = self._stack.enter_context(holder(self._store.path)).go()
            self._holder.wait_for("open")

    def close(self) -> None:
        """Lets go of the file."""
        wait_until(lambda: self._holder)
        assert self._holder is not None
        self._holder.end()


def test_a_run_waits_for_somebody_who_has_the_store_open(tmp_path: Path) -> None:
    """It takes up where it was, and everybody is served."""
    store, table = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=30), table_of(range(300))
    with Sandbox(limits=None, latency=0.05) as sandbox, ExitStack() as stack:
        shell = Shell(store, stack)
        closing = Timer(1.0, shell.close)
        stack.callback(closing.cancel)
        closing.start()
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=3, limits=None) as client:
            result = Enricher(client, store, progress=shell.open).run(table)
        assert judge(sandbox, store, table, result).complaints == []


def test_a_run_does_not_wait_for_ever_and_loses_nothing(tmp_path: Path) -> None:
    """Answers that the store cannot take are there, once, when it can be opened again."""
    store, table = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.1), table_of(range(300))
    memory = Memory(store)
    with Sandbox(limits=None, latency=0.05) as sandbox, ExitStack() as stack:
        shell = Shell(store, stack)
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=3, limits=None) as client:
            with contextlib.suppress(StoreLockedError):
                Enricher(client, store, progress=shell.open).run(table)
            shell.close()
            store = EnrichmentStore(store.path)
            result = Enricher(client, store).run(table)
        memory.look()
        verdict = judge(sandbox, store, table, result)
    assert verdict.complaints == []
    assert (verdict.answered, verdict.unknown) == (300, 0)
