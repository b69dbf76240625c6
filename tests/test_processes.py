"""Several processes and one store: they pay for everybody once, and nobody who looks in is shut out."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox
from buena_pipeline.errors import StoreError, StoreLockedError
from buena_pipeline.sandbox import Fault
from buena_pipeline.store import JournalWarning
from tests.torture.people import table_of
from tests.torture.processes import holder, reader, wait_until, worker
from tests.torture.verdict import UNKNOWN, Memory, Verdict, judge


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


def test_three_processes_that_insist_buy_once_more(tmp_path: Path) -> None:
    """With retry_unknown people of unknown outcome are bought again, by one process and not by all."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox, ExitStack() as stack:
        sandbox.inject(Fault("reset_after", times=2))
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=2, limits=None) as client:
            assert Enricher(client, store).run(table_of(range(100))).report.unknown == 100
        runs = [
            stack.enter_context(worker(sandbox, store.path, range(100), retry_unknown=True)) for _ in range(3)
        ]
        for run in runs:
            run.go()
        reports = [run.finish() for run in runs]
        assert set(sandbox.charges()["count"]) == {2}
    assert sum(report["enriched"] for report in reports) == 100
    assert sum(report["cached"] for report in reports) == 200


def test_processes_share_a_daily_budget(tmp_path: Path) -> None:
    """It is used up, and not by one credit more, whoever asks first."""
    with Sandbox(limits=None, not_found=0.0, latency=0.1) as sandbox, ExitStack() as stack:
        tables = [range(first, first + 120) for first in (0, 120, 240)]
        runs = [
            stack.enter_context(worker(sandbox, tmp_path / "buena.duckdb", table, daily_credits=200))
            for table in tables
        ]
        for run in runs:
            run.go()
        reports = [run.finish() for run in runs]
        assert sandbox.credits_used == sum(report["enriched"] for report in reports) == 200
    assert sum(report["deferred"] for report in reports) == 160


class Shell:
    """Somebody who opens the store as soon as a run has written its first answer, and then has it open."""

    def __init__(self, store: EnrichmentStore, stack: ExitStack) -> None:
        self._process = stack.enter_context(holder(store.path))
        self._open = Event()

    def open(self, _: EnrichmentProgress) -> None:
        """A progress callback."""
        if not self._open.is_set():
            self._process.go()
            self._process.wait_for("open")
            self._open.set()

    def close(self) -> None:
        """Lets go of the file."""
        assert self._open.wait(60)
        self._process.end()


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


def leave_a_journal(sandbox: Sandbox, store: EnrichmentStore, people: int) -> None:
    """A run whose answers the store cannot take, because somebody has it open."""
    impatient = EnrichmentStore(store.path, lock_timeout=0.1)
    with (
        ExitStack() as stack,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=3, limits=None) as client,
    ):
        shell = Shell(store, stack)
        with contextlib.suppress(StoreLockedError):
            Enricher(client, impatient, progress=shell.open).run(table_of(range(people)))
        shell.close()


def finish(sandbox: Sandbox, store: EnrichmentStore, people: int) -> Verdict:
    """Another run, to its end."""
    with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
        result = Enricher(client, store).run(table_of(range(people)))
    return judge(sandbox, store, table_of(range(people)), result)


def journal(store: EnrichmentStore) -> Path:
    """The folder of answers that wait for the store."""
    return store.path.with_name(f"{store.path.name}.journal")


def test_answers_that_the_store_cannot_take_are_taken_in_later_and_once(tmp_path: Path) -> None:
    """A run does not wait for ever; a crash between the two steps, and a copy, make nothing double."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    memory = Memory(store)
    with Sandbox(limits=None, latency=0.05) as sandbox:
        leave_a_journal(sandbox, store, 300)
        kept = list(journal(store).glob("*.json"))
        assert len(kept) > 0
        shutil.copytree(journal(store), tmp_path / "copy")
        shutil.copy(kept[0], kept[0].with_name(f"0{kept[0].name}"))
        verdict = finish(sandbox, store, 300)
        assert verdict.complaints == []
        assert (verdict.answered, verdict.unknown) == (300, 0)
        memory.look()
        assert list(journal(store).glob("*.json")) == []
        shutil.copytree(tmp_path / "copy", journal(store), dirs_exist_ok=True)
        assert finish(sandbox, store, 300) == verdict
        memory.look()
        assert list(journal(store).glob("*.json")) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"half"], ids=["empty", "something else", "half"])
def test_a_damaged_journal_entry_is_set_aside(damage: bytes, tmp_path: Path) -> None:
    """It warns and is kept; its people are of unknown outcome, and nobody else is."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, latency=0.05) as sandbox:
        leave_a_journal(sandbox, store, 300)
        entry = min(journal(store).glob("*.json"))
        whole = entry.read_bytes()
        damaged = whole[: len(whole) // 2] if damage == b"half" else damage
        entry.write_bytes(damaged)
        with pytest.warns(JournalWarning, match="damaged"):
            verdict = finish(sandbox, store, 300)
        (aside,) = journal(store).glob("*.corrupt")
        assert aside.read_bytes() == damaged
    assert replace(verdict, damaged=[]).complaints == []
    assert verdict.damaged == ["journal_is_readable"]
    assert verdict.unknown > 0


def test_a_link_to_a_store_is_the_store(tmp_path: Path) -> None:
    """Two processes that name it differently wait for each other, too."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    store.stats()
    link = tmp_path / "link.duckdb"
    link.symlink_to(store.path)
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox, ExitStack() as stack:
        runs = [stack.enter_context(worker(sandbox, path, range(100))) for path in (store.path, link)]
        for run in runs:
            run.go()
        reports = [run.finish() for run in runs]
        assert sandbox.credits_used == sum(report["enriched"] for report in reports) == 100
        assert sum(report["cached"] for report in reports) == 100


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the working folder still has the same store."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = EnrichmentStore("buena.duckdb")
    with Sandbox(limits=None) as sandbox:
        assert finish(sandbox, store, 10).complaints == []
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert finish(sandbox, store, 10).complaints == []
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_store_that_is_deleted_during_a_run(tmp_path: Path) -> None:
    """What came before it went is gone with it; what comes afterwards is in the new one."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")

    def delete(step: EnrichmentProgress) -> None:
        if step.done <= 50:
            store.path.unlink(missing_ok=True)

    with Sandbox(limits=None, not_found=0.0, latency=0.05) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=1, limits=None) as client:
            # whoever deletes the file only leaves its log behind
            with pytest.warns(JournalWarning, match="left behind"), contextlib.suppress(StoreError):
                Enricher(client, store, progress=delete).run(table_of(range(150)))
            paid = sandbox.credits_used
            assert (
                Enricher(client, EnrichmentStore(store.path)).run(table_of(range(150))).report.deferred == 0
            )
        assert sandbox.credits_used - paid == 150 - (paid - 50)
