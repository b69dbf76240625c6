"""Ctrl-C while the store is in use: wherever it strikes it is heard, and the file is free afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import filelock
import polars as pl
import pytest

from buena_pipeline import Enricher, EnrichmentStore, enrich
from buena_pipeline.errors import SettingsError
from buena_pipeline.store import database, rewriting
from buena_pipeline.store.signals import Watch
from tests.torture.processes import ROOT, Process, wait_until

ENDLESS = "select count(*) from range(100000000000) a where hash(a.range) = 0"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def store(tmp_path: Path) -> EnrichmentStore:
    """A store that is there already."""
    made = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=30)
    made.stats()
    return made


@contextmanager
def ctrl_c_soon() -> Iterator[None]:
    """A block that a real SIGINT ends in a moment, such as while an endless query runs."""
    usual = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        # not in a fixture: it must not strike outside of the block, however long anything else takes
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the clock starts inside
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def assert_free(store: EnrichmentStore) -> None:
    """Neither DuckDB nor the sidecar holds the file, and the store can be used again."""
    with filelock.FileLock(f"{store.path}.lock").acquire(timeout=0), duckdb.connect(str(store.path)):
        pass
    assert store.suppress("free@acme.example") == 1
    assert store.unsuppress("free@acme.example") == 1


# --- at every line ---------------------------------------------------------------------------------------

AT_EVERY_LINE = """
import contextlib, json, os, signal, sys
import duckdb, filelock
from buena_pipeline import EnrichmentStore
import buena_pipeline.store.database as database

store = EnrichmentStore(sys.argv[1], lock_timeout=5)


def live():
    with store.living("f2a0c2a0-0000-4000-8000-000000000000"):
        pass


calls = {
    "read": lambda: store.sql("select 1"),
    "write": lambda: store.commit(),
    "rewrite": lambda: store.forget("jane@acme.example"),
    "live": live,
}
where = (os.path.dirname(database.__file__), contextlib.__file__, os.path.dirname(filelock.__file__))
left, at = 0, ""


def in_finalizer(frame):
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True  # what is raised there Python itself swallows
        frame = frame.f_back
    return False


def trace(frame, event, _):
    global left, at
    # a signal in there is handled by what it finds in the frame, which would be this one
    if frame.f_code.co_name == "__exit__" or not frame.f_code.co_filename.startswith(where):
        return trace if event == "call" else None
    if event == "line" and not in_finalizer(frame):
        left -= 1
        if left == 0:
            at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            signal.raise_signal(signal.SIGINT)
    return trace


kept, failures, strikes = [], [], 0
step, name = int(sys.argv[3]), sys.argv[2]
store.suppress("jane@acme.example")
first = 1
while True:
    left, at, heard = first, "", False
    first += step
    try:
        sys.settrace(trace)
        calls[name]()
        sys.settrace(None)
    except KeyboardInterrupt as error:
        kept = [error]  # as a notebook keeps the last traceback
        heard = True
    sys.settrace(None)
    if not at:
        break
    strikes += 1
    if not heard:
        failures.append(f"not heard: {at}")
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        failures.append(f"handler: {at}")
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with filelock.FileLock(store.path.with_name(store.path.name + ".lock")).acquire(timeout=0):
            duckdb.connect(str(store.path)).close()
        if name == "live":
            left_behind = list(store.journals[0].glob("*.run"))
            assert not left_behind, left_behind
    except Exception as error:
        failures.append(f"{error!r}: {at}")
        kept, error = [], None
        store = EnrichmentStore(sys.argv[1], lock_timeout=5)
print(json.dumps({"strikes": strikes, "failures": failures}))
"""


@pytest.mark.parametrize(("call", "step"), [("read", 3), ("write", 5), ("rewrite", 29), ("live", 3)])
def test_wherever_ctrl_c_strikes_the_file_is_free_afterwards(call: str, step: int, tmp_path: Path) -> None:
    """At one line after the other of the store, and of what it takes its turns with; and it is heard."""
    script = [sys.executable, "-c", AT_EVERY_LINE, str(tmp_path / "buena.duckdb"), call, str(step)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["strikes"] > 10


def test_ctrl_c_right_after_the_file_was_attached(
    store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is let go of, even if what raises is no signal that can be held back."""
    from buena_pipeline.store import engine

    attach = engine.attach

    def interrupted(*args: object, **options: object) -> None:
        attach(*args, **options)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine, "attach", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            store.suppress("jane@acme.example")
    assert_free(store)
    assert caught.value.__traceback__ is not None  # which is kept that long, as in a notebook


def test_ctrl_c_is_heard_while_others_hold_the_store(store: EnrichmentStore) -> None:
    """Whether it is a process or a thread that is waited for."""

    def call() -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        store.stats()

    for lock in (filelock.FileLock(f"{store.path}.lock"), store._database._turn):
        waiting = threading.Event()
        done = threading.Event()

        def hold(lock: object, waiting: threading.Event, done: threading.Event) -> None:
            with lock:  # type: ignore[attr-defined]
                waiting.set()
                assert done.wait(60)

        holder = threading.Thread(target=hold, args=(lock, waiting, done))
        holder.start()
        assert waiting.wait(60)
        with pytest.raises(KeyboardInterrupt):
            call()
        done.set()
        holder.join()
        assert_free(store)


# --- while DuckDB works ----------------------------------------------------------------------------------


def test_ctrl_c_during_a_query_is_ctrl_c(store: EnrichmentStore) -> None:
    """Not an error of DuckDB's, and nothing is held."""
    with ctrl_c_soon():
        store.sql(ENDLESS)
    assert_free(store)


def test_ctrl_c_during_a_transaction_rolls_it_back(store: EnrichmentStore) -> None:
    """Nothing of it is written."""
    with ctrl_c_soon(), store._database.transaction() as connection:
        connection.execute("insert into meta values ('mine', 'x')")
        connection.execute(ENDLESS)
    assert store.sql("select count(*) from meta where name = 'mine'").item() == 0
    assert_free(store)


def test_what_a_signal_raises_of_its_own_comes_out_of_a_query(store: EnrichmentStore) -> None:
    """Such as the time limit of a program; the handler is there again afterwards."""

    def too_late(*_: object) -> None:
        raise TimeoutError("that took too long")

    usual = signal.signal(signal.SIGALRM, too_late)
    try:
        with pytest.raises(TimeoutError, match="too long"):  # noqa: PT012 - the clock starts inside
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            store.sql(ENDLESS)
        assert signal.getsignal(signal.SIGALRM) is too_late
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
    assert_free(store)


def test_ctrl_c_during_a_query_of_the_command_line(store: EnrichmentStore) -> None:
    """One line, no traceback, and the exit code of an interrupted command."""

    def is_taken() -> bool:
        try:
            filelock.FileLock(f"{store.path}.lock").acquire(timeout=0).lock.release()
        except filelock.Timeout:
            return True
        return False

    with Process("-m", "buena_pipeline.cli", "sql", ENDLESS, "--store", str(store.path)) as command:
        wait_until(is_taken)
        began = command.cpu_seconds()
        wait_until(lambda: command.cpu_seconds() > began + 0.3)  # nothing but the query takes so long
        command.signal(signal.SIGINT)
        assert command.end() == (130, "", "interrupted\n")
    assert_free(store)


# --- the handlers ----------------------------------------------------------------------------------------


def test_signals_that_are_held_back_all_strike_in_the_end() -> None:
    """With the program's own handlers, in their order, though the first raises."""
    seen: list[int] = []
    usual = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    ours = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with Watch():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == []

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert seen == [signal.SIGTERM] * 2
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_a_handler_that_the_block_sets_stays() -> None:
    """It is the program's will; and what is not held back strikes at once."""
    usual = signal.getsignal(signal.SIGINT)
    try:
        with Watch() as watch:
            watch.holding = False
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            raised = watch._raised
            watch._raised = None
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert isinstance(raised, KeyboardInterrupt)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_in_other_threads_there_is_nothing_to_watch(store: EnrichmentStore) -> None:
    """No signal arrives there, and no handler may be set; the store works as ever."""
    seen: list[object] = []

    def work() -> None:
        with Watch():
            seen.append(signal.getsignal(signal.SIGINT))
        seen.append(store.stats().people)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT), 0]


# --- forks -----------------------------------------------------------------------------------------------

FORK = """
import os, sys
import polars as pl
from buena_pipeline import Enricher, EnrichmentStore
from buena_pipeline.errors import SettingsError

store = EnrichmentStore(sys.argv[1], lock_timeout=30)
store.suppress("jane@acme.example")
Enricher(store=store).plan(pl.DataFrame({"email": ["a@b.example"]}))
if child := os.fork():
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert store.suppressed() == 1
    sys.exit(code)
code = 1
try:
    assert store.sql("select 41 + 1 as n").rows() == [(42,)]
    with store.transaction():
        pass
    refused = []
    for ask in (Enricher(store=store).run, Enricher(store=store).plan):
        try:
            ask(pl.DataFrame({"email": ["a@b.example"]}))
        except SettingsError as error:
            refused.append("spawn" in str(error))
    assert refused == [True, True]
    code = 0
finally:
    sys.stderr.flush()
    os._exit(code)
"""


def test_locks_and_instance_are_made_anew_for_a_child(store: EnrichmentStore) -> None:
    """What a fork does, step by step in one process: the parent's are neither used nor ended."""
    with store.transaction():
        database._after_fork()
        store._database._engine._process = 0
        store._database._engine._depth = 7
    child = EnrichmentStore(store.path)
    child._database._engine._instance = duckdb.connect()
    child._database._engine._process = 0
    assert child.sql("select 1").item() == 1
    assert_free(child)


def test_a_run_in_the_child_of_a_process_with_runs_is_refused(
    store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how to start processes instead."""
    monkeypatch.setattr(enrich, "_processes", [os.getppid()])
    with pytest.raises(SettingsError, match="spawn"):
        Enricher(store=store).plan(pl.DataFrame({"email": ["a@b.example"]}))


def test_handlers_are_put_back_where_one_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block does not begin, and the signals are heard as before."""
    usual, real = signal.getsignal(signal.SIGINT), signal.signal
    calls = iter([True, False])

    def set_handler(number: int, handler: object) -> object:
        if not next(calls, True):
            raise KeyboardInterrupt
        return real(number, handler)

    real(signal.SIGTERM, lambda *_: None)
    try:
        monkeypatch.setattr(signal, "signal", set_handler)
        with pytest.raises(KeyboardInterrupt), Watch():
            pass
    finally:
        real(signal.SIGTERM, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGINT) is usual


def test_an_interrupt_is_not_taken_for_a_view_that_does_not_work() -> None:
    """While the file is written anew: the view must not be left behind."""

    class Interrupted:
        """A connection whose query is interrupted."""

        def execute(self, _: str) -> None:
            raise duckdb.InterruptException

    with pytest.raises(duckdb.InterruptException):
        rewriting._made(Interrupted(), "create view v as select 1")


PRELOADED = """
import os, sys
import polars as pl
from buena_pipeline import plan_frame

if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
plan = plan_frame(pl.DataFrame({"email": ["a@b.example"]}), store=sys.argv[1])
os._exit(0 if plan.to_buy == 1 else 1)
"""


def test_a_worker_may_be_forked_from_a_process_that_only_imported(tmp_path: Path) -> None:
    """As application servers do that load everything first: no threads were started yet."""
    script = [sys.executable, "-c", PRELOADED, str(tmp_path / "buena.duckdb")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_store_can_be_used_after_a_fork(tmp_path: Path) -> None:
    """By the child with locks of its own; a run, for which polars would hang, is refused at once."""
    script = [sys.executable, "-c", FORK, str(tmp_path / "buena.duckdb")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
