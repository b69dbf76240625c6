"""How far a run is: when it will be done, and where that is shown."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbclient
import nbformat
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import buena_pipeline.progress as progress_module
from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentProgress,
    EnrichmentStore,
    RateLimits,
    Sandbox,
    enrich_frame,
)
from buena_pipeline.errors import InputError, MissingExtraError
from buena_pipeline.estimate import estimated_end
from buena_pipeline.pace import WINDOWS, Quota, next_slot
from buena_pipeline.progress import ProgressLines, in_words, outlook, shown

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = Path(progress_module.__file__).parents[1]


def addresses(count: int) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in range(count)]})


# --- when it will be done --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "requests", "seconds_each", "expected"),
    [
        (0, 0, 0.1, None),  # nobody is left
        (100, 2, None, None),  # no limit holds anything back, and nobody has been bought yet
        (100, 2, 0.1, timedelta(seconds=10)),  # by the pace alone
        (50, 0, None, None),  # the last request is under way
        (60 * 50, 60, 0.0, timedelta(seconds=56)),  # the minute is spread, whatever the pace
        (60 * 50, 60, 1.0, timedelta(seconds=3000)),  # answers are slower than the limits
        (3_000 * 50, 3_000, None, timedelta(hours=2, minutes=56)),
    ],
)
def test_the_end_is_that_of_the_limits_or_of_the_pace_whichever_is_later(
    people: int, requests: int, seconds_each: float | None, expected: timedelta | None
) -> None:
    """With the limits of 60 a minute and 1,000 an hour."""
    limits = RateLimits(day=None)
    end = estimated_end(people, requests, now=NOON, limits=limits, seconds_each=seconds_each)
    if expected is None:
        assert end is None
    else:
        assert end is not None
        assert abs(end - NOON - expected) <= expected / 15


def test_what_the_vendor_asked_for_counts() -> None:
    """A 429, a window that is used up, and requests of others that count towards the same limits."""
    limits, soon = RateLimits(minute=10, hour=None, day=None), NOON + timedelta(seconds=90)
    assert estimated_end(1, 1, now=NOON, limits=None, blocked_until=soon) == soon
    used_up = Quota(NOON - timedelta(seconds=1), "hour", 1000, 0, NOON + timedelta(minutes=20))
    assert estimated_end(1, 1, now=NOON, limits=limits, quota=used_up) == used_up.resets_at
    others = [NOON - timedelta(seconds=20)] * 10
    assert estimated_end(1, 1, now=NOON, limits=limits, sent=others) == NOON + timedelta(seconds=40)


def test_an_end_that_no_calendar_reaches_is_not_told() -> None:
    """The forecast is for the eye: it must not end a run that pays."""
    assert estimated_end(10**7, 1, now=NOON, limits=None, seconds_each=30_000) is None
    last_day = datetime.max.replace(tzinfo=UTC)
    never = Quota(observed_at=NOON, window="eon", limit=1, remaining=0, resets_at=last_day)
    end = estimated_end(1, 1, now=NOON, limits=RateLimits(), quota=never, seconds_each=1, answer_takes=9)
    assert end is None


def allowed_at(sent: Sequence[datetime], requests: int, limits: RateLimits, now: datetime) -> datetime:
    """When the last of so many requests may leave by the limits alone, which spread nothing."""
    moments = sorted(min(moment, now) for moment in sent)
    for _ in range(requests):
        moments.append(
            max(
                [
                    max(now, moments[-1]) if moments else now,
                    *(
                        moments[-limit] + WINDOWS[name]
                        for name in WINDOWS
                        if (limit := getattr(limits, name)) is not None and len(moments) >= limit
                    ),
                ]
            )
        )
    return moments[-1]


@example(requests=5, minute=1, hour=4, ages=[0, 0], blocked=None, seconds_each=None)
@given(
    requests=st.integers(1, 120),
    minute=st.one_of(st.none(), st.integers(1, 12)),
    hour=st.one_of(st.none(), st.integers(1, 60)),
    ages=st.lists(st.integers(0, 7200), max_size=30),
    blocked=st.one_of(st.none(), st.integers(0, 900)),
    seconds_each=st.one_of(st.none(), st.floats(0, 0.01)),
)
def test_no_end_is_promised_before_the_limits_allow_it(  # noqa: PLR0917
    requests: int,
    minute: int | None,
    hour: int | None,
    ages: list[int],
    blocked: int | None,
    seconds_each: float | None,
) -> None:
    """Neither by the limits themselves, nor by the pace that runs keep because of them."""
    limits = RateLimits(minute=minute, hour=hour, day=None)
    sent = sorted(NOON - timedelta(seconds=age) for age in ages)
    until = None if blocked is None else NOON + timedelta(seconds=blocked)
    end = estimated_end(
        requests * 50,
        requests,
        now=NOON,
        limits=limits,
        sent=sent,
        blocked_until=until,
        seconds_each=seconds_each,
    )
    earliest = max(allowed_at(sent, requests, limits, NOON), until or NOON)
    assert (end or NOON) >= earliest
    if requests <= min(minute or 120, hour or 120):
        history = list(sent)
        slot = NOON
        for _ in range(requests):
            slot = next_slot(history, limits, now=slot, blocked_until=until)
            history.append(slot)
        assert (end or NOON) >= slot


def test_a_run_says_when_it_will_be_done(store: EnrichmentStore) -> None:
    """From its first answer on, and about right; in the end there is nothing to say."""
    seen: list[tuple[datetime, EnrichmentProgress]] = []
    limits = RateLimits(minute=None, hour=None, day=None)
    with (
        Sandbox(limits=None, latency=0.05) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1, limits=limits) as client,
    ):
        tell = lambda step: seen.append((datetime.now(UTC), step))  # noqa: E731
        Enricher(client, store, progress=tell).run(addresses(500))
    ended = datetime.now(UTC)
    assert seen[-1][1].estimated_end is None
    assert len(seen) > 3
    for told, step in seen[:-1]:
        assert step.estimated_end is not None
        assert step.estimated_end > told - timedelta(seconds=1)
        assert step.estimated_end < ended + timedelta(seconds=30)


def test_people_whom_others_took_on_do_not_count(store: EnrichmentStore) -> None:
    """Whoever turns out to be bought already is not waited for: the bar comes to its end."""
    seen: list[EnrichmentProgress] = []
    with Sandbox(limits=None, not_found=0) as sandbox:

        def tell(step: EnrichmentProgress) -> None:
            if not seen:
                with BuenaClient(sandbox.api_key, sandbox.url) as other:
                    Enricher(other, store.path).run(addresses(400)[-50:])
            seen.append(step)

        with BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client:
            report = Enricher(client, store, progress=tell).run(addresses(400)).report
        assert (report.enriched + report.cached, sandbox.credits_used) == (400, 400)
    assert (seen[-1].done, seen[-1].total) == (report.enriched, report.enriched)


# --- in words --------------------------------------------------------------------------------------------


def test_words_for_a_wait_a_stop_and_another_day() -> None:
    """The time a wait ends is told as it will be read later: with its date, if that is another one."""
    state = EnrichmentProgress(1, 3, 1.5, NOON + timedelta(minutes=1), estimated_end=NOON + timedelta(days=2))
    assert in_words(state) == "1 of 3 people (33%), 1.5 credits"
    assert outlook(state, now=NOON) == (
        "waiting for the rate limit until 12:01:00 UTC; done about 2026-03-04 12:00 UTC"
    )
    late = EnrichmentProgress(1, 3, 1.5, estimated_end=NOON - timedelta(seconds=5))
    assert outlook(late, now=NOON) == "done about 12:00:00 UTC"  # never a time that has passed
    assert outlook(EnrichmentProgress(1, 3, 1.5, stopping=True), now=NOON).startswith("stopping: ")
    assert outlook(EnrichmentProgress(3, 3, 3.0), now=NOON) == ""


def test_lines_say_when_it_will_be_done() -> None:
    """Each line of a log has the estimate, if there is one."""
    lines: list[str] = []
    ends = datetime.now(UTC) + timedelta(days=3)
    ProgressLines(lines.append)(EnrichmentProgress(500, 1000, 450, estimated_end=ends))
    assert lines == [f"500 of 1,000 people (50%), 450 credits, 0:00:00, done about {ends:%Y-%m-%d %H:%M} UTC"]


# --- where it is shown -----------------------------------------------------------------------------------


def test_without_a_terminal_there_are_lines_in_the_log_and_nothing_else(
    client: BuenaClient,
    store: EnrichmentStore,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A job of the night leaves no escape codes behind; whoever wants the lines switches them on."""
    caplog.set_level(logging.INFO, "buena_pipeline")
    enrich_frame(addresses(120), client=client, store=store, progress=True)
    assert any("120 of 120 people (100%)" in record.getMessage() for record in caplog.records)
    assert capfd.readouterr() == ("", "")


def test_true_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """With warnings as errors, also for a LazyFrame, whose run is in another thread; NO_COLOR is kept."""
    pty = pytest.importorskip("pty")
    script = """
import sys
import polars as pl
from buena_pipeline import BuenaClient, Sandbox, enrich_frame
leads = pl.DataFrame({"email": [f"person{n}@acme{n}.example" for n in range(120)]})
with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
    enrich_frame(leads[:60], client=client, store=sys.argv[1], progress=True)
    enrich_frame(leads.lazy(), client=client, store=sys.argv[1], progress=True).collect()
"""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "buena.duckdb")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    with subprocess.Popen(command, env=env, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        drawn = b""
        try:
            while part := os.read(ours, 4096):
                drawn += part
        except OSError:  # how Linux says that the other side is gone
            pass
        printed = process.stdout.read() if process.stdout else b""
    os.close(ours)
    text = drawn.decode()
    assert process.returncode == 0, text
    assert text.count("60/60 people · ") >= 2
    assert "━" in text
    assert "\x1b[3" not in text
    assert printed == b""


def test_true_is_a_bar_in_a_notebook(tmp_path: Path) -> None:
    """In a kernel whose loop runs, with warnings as errors, without widgets, from any thread."""
    setup = """
import warnings
warnings.simplefilter("error")
import asyncio, threading
import polars as pl
from buena_pipeline import BuenaClient, Sandbox, enrich_frame
assert asyncio.get_running_loop().is_running()
sandbox = Sandbox(limits=None).__enter__()
client = BuenaClient(sandbox.api_key, sandbox.url)
leads = pl.DataFrame({"email": [f"person{n}@acme{n}.example" for n in range(180)]})
def enrich(table):
    return enrich_frame(table, client=client, store="buena.duckdb", progress=True)
"""
    thread = """
worker = threading.Thread(target=lambda: enrich(leads[:120]))
worker.start()
worker.join()
"""
    cells = [
        setup,
        "enrich(leads[:60]);",
        thread,
        "enrich(leads.lazy()).collect();",
        "enrich(leads);",
        "client.close(); sandbox.__exit__(None, None, None); warnings.resetwarnings()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    shown_in = [[output["data"] for output in cell["outputs"]] for cell in notebook.cells]
    for outputs in shown_in[1:4]:
        assert [sorted(data) for data in outputs] == [["text/html", "text/plain"]]
        assert "60/60 people · " in outputs[0]["text/plain"]
        assert "\x1b" not in outputs[0]["text/plain"]
        assert outputs[0]["text/html"].startswith("<pre")
    assert shown_in[4] == []  # nobody had to be bought: nothing to show


def test_a_display_that_breaks_costs_the_display(
    client: BuenaClient,
    store: EnrichmentStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is drawn for the eye never stops a run that costs money; the log says so once."""

    class Broken(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Broken())
    enriched = enrich_frame(addresses(300), client=client, store=store, progress=True)
    assert set(enriched["buena_status"]) <= {"enriched", "failed"}
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("cannot be shown" in line for line in told)
    assert len(told) <= 2


def test_a_single_lead_has_no_bar(
    client: BuenaClient, store: EnrichmentStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Threads buy one each, all the time; a callable of the user's own is still called."""
    caplog.set_level(logging.INFO, "buena_pipeline")
    Enricher(client, store, progress=True).enrich_one({"email": "a@acme.example"})
    assert not caplog.records
    seen: list[EnrichmentProgress] = []
    Enricher(client, store, progress=seen.append).enrich_one({"email": "b@acme.example"})
    assert seen


def test_false_and_none_show_nothing_and_what_is_no_display_is_refused(store: EnrichmentStore) -> None:
    """Told where it is asked for, not when the money is on its way."""
    for nothing in (False, None):
        with shown(nothing) as tell:
            assert tell is None
    with pytest.raises(InputError, match="progress takes True"):
        Enricher(store=store, progress="yes")  # type: ignore[arg-type]


def test_a_bar_needs_the_extra_before_anything_is_spent(
    store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there would be a bar, and rich is not installed."""
    monkeypatch.setattr(progress_module, "find_spec", lambda name: None)
    Enricher(store=store, progress=True)  # lines in a log need nothing
    monkeypatch.setattr(progress_module, "_is_terminal", lambda: True)
    with pytest.raises(MissingExtraError, match=r"buena-pipeline\[cli\]"):
        Enricher(store=store, progress=True)


def test_a_process_without_stderr_has_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service on Windows, or a daemon that has closed it."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress_module._is_terminal()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert not progress_module._is_terminal()


def test_displays_of_two_threads_do_not_meet(client: BuenaClient, tmp_path: Path) -> None:
    """Two runs at once, each with lines of its own."""
    results: list[pl.DataFrame] = []

    def run(number: int) -> None:
        store = tmp_path / f"{number}.duckdb"
        results.append(enrich_frame(addresses(60), client=client, store=store, progress=True))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [frame.height for frame in results] == [60, 60]
