"""The parts of the command line: options, exit codes, progress, display, interruption and doctor."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from buena_pipeline import EnrichmentReport, EnrichmentStore, Sandbox, errors
from buena_pipeline.cli.display import amount, console, describe_report, frame_table
from buena_pipeline.cli.doctor import Check, examine
from buena_pipeline.cli.exits import EXIT_CODES, exit_code
from buena_pipeline.cli.options import parse_columns, parse_duration, parse_priority
from buena_pipeline.cli.progress import show_progress
from buena_pipeline.errors import BuenaError, ColumnError, InputError
from buena_pipeline.progress import ProgressLines
from buena_pipeline.result import EnrichmentProgress


def printed(thing: object, *, width: int = 100) -> str:
    """What a console that is no terminal shows."""
    file = io.StringIO()
    Console(file=file, width=width).print(thing)
    return file.getvalue()


# --- options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90d", timedelta(days=90)),
        ("2W", timedelta(weeks=2)),
        (" 1.5 h ", timedelta(minutes=90)),
        ("5m", timedelta(minutes=5)),
        ("0s", timedelta(0)),
        ("none", None),
        ("None", None),
    ],
)
def test_durations(text: str, duration: timedelta | None) -> None:
    """A number and a unit is a length of time."""
    assert parse_duration(text, option="--max-age") == duration


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1y", "1d2h", "9" * 30 + "w", "٣x"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused with the option's name and an example."""
    with pytest.raises(InputError, match="--max-wait takes a number with s, m, h, d or w, such as 90d"):
        parse_duration(text, option="--max-wait")


def test_columns() -> None:
    """Fields may come again for several columns, names may hold equals signs, no name means none."""
    assert parse_columns([]) is None
    assert parse_columns(["email=a", "company=x=y", "email=b", "full_name="]) == {
        "email": ["a", "b"],
        "company": "x=y",
        "full_name": None,
    }
    with pytest.raises(InputError, match="FIELD=NAME"):
        parse_columns(["work_mail"])


def test_priority() -> None:
    """Numbers rank, also as text; a column without any is refused, and one that is not there."""
    frame = pl.LazyFrame({"size": ["10", "9", "n/a"], "name": ["a", "b", "c"], "tags": [[1], [2], [3]]})
    rank = parse_priority(frame, "size")
    assert rank is not None
    assert frame.select(rank).collect()["size"].to_list() == [10.0, 9.0, None]
    assert parse_priority(frame, None) is None
    assert parse_priority(frame.clear(), "name") is not None
    for name in ("name", "tags"):
        with pytest.raises(ColumnError, match="no numbers"):
            parse_priority(frame, name)
    with pytest.raises(ColumnError, match=r'asks .*"sice".*mean "size"\?.*"size", "name", "tags"'):
        parse_priority(frame, "sice")


def test_every_error_has_an_exit_code() -> None:
    """No error of the library ends with a code that --help does not explain."""
    made = {
        errors.AuthenticationError("x"): 3,
        errors.PermissionDeniedError("x", required=None, available=()): 3,
        errors.UnreachableError("x"): 3,
        errors.StoreLockedError("x"): 4,
        errors.NotAStoreError("x"): 4,
        errors.QueryError("x"): 2,
        errors.ColumnError("x"): 2,
        errors.FileFormatError("x"): 2,
        errors.MissingExtraError("x"): 2,
        errors.SettingsError("x"): 2,
        BuenaError("x"): 2,
    }
    assert {error: exit_code(error) for error in made} == made
    assert set(made.values()) < set(EXIT_CODES)


# --- progress and display --------------------------------------------------------------------------------


def test_plain_progress_tells_tenths_and_minutes() -> None:
    """A line for each tenth, however fast; while a tenth takes long, a line a minute."""
    now, file = 0.0, io.StringIO()
    tell = ProgressLines(partial(print, file=file), clock=lambda: now)
    for done in range(0, 1001, 5):
        tell(EnrichmentProgress(done, 1000, done * 0.5))
    lines = file.getvalue().splitlines()
    assert lines == [
        f"{done:,} of 1,000 people ({done // 10}%), {done // 2} credits, 0:00:00"
        for done in range(100, 1001, 100)
    ]

    file.truncate(0)
    tell = ProgressLines(partial(print, file=file), clock=lambda: now)
    for minute in range(5):
        now = minute * 40.0
        tell(EnrichmentProgress(minute, 1000, 0))
    assert [line.split()[-1] for line in file.getvalue().splitlines()] == ["0:01:20", "0:02:40"]


def test_progress_of_an_empty_run_and_a_quiet_one() -> None:
    """Nobody to buy is no division by zero, and quiet is quiet."""
    file = io.StringIO()
    with show_progress(Console(file=file)) as tell:
        assert tell is not None
        tell(EnrichmentProgress(0, 0, 0))
    with show_progress(Console(file=file), quiet=True) as tell:
        assert tell is None
    assert file.getvalue() == ""


def test_progress_on_a_terminal_is_a_bar() -> None:
    """A terminal gets a bar with people and credits, a dumb one gets lines."""
    state, file = EnrichmentProgress(50, 200, 46.0), io.StringIO()
    with show_progress(Console(file=file, force_terminal=True, width=100)) as tell:
        assert tell is not None
        tell(state)
    assert "people" in file.getvalue()
    assert "━" in file.getvalue()
    file = io.StringIO()
    dumb = {"TERM": "dumb"}
    with show_progress(Console(file=file, force_terminal=True, _environ=dumb, width=100)) as tell:
        assert tell is not None
        tell(state)
    assert file.getvalue() == "50 of 200 people (25%), 46 credits, 0:00:00\n"


@pytest.mark.parametrize(
    ("credit", "text"), [(0, "0"), (100, "100"), (1.5, "1.5"), (2e6, "2,000,000"), (0.25, "0.25")]
)
def test_amounts(credit: float, text: str) -> None:
    """Credits are written out, without zeros that say nothing."""
    assert amount(credit) == text


def test_tables_say_what_they_leave_out() -> None:
    """No more rows and columns than can be read, and a line about the rest."""
    frame = pl.DataFrame({f"c{index}": range(60) for index in range(20)})
    text = printed(frame_table(frame, width=100))
    assert "... and 10 more rows, 12 more columns" in text
    assert "c7" in text
    assert "c8" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "..." not in printed(frame_table(frame[:3, :3], width=100))


def test_tables_show_data_as_data() -> None:
    """Markup and control characters in the vendor's data are neither obeyed nor sent to the terminal."""
    frame = pl.DataFrame({"[red]x": ["[bold]a[/bold]", "\x1b[31mb\x07\nc"]})
    text = printed(frame_table(frame, width=100))
    assert "[red]x" in text
    assert "[bold]a[/bold]" in text
    assert " [31mb c" in text
    assert "\x1b" not in text


def test_a_report_tells_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may have been charged for nothing, why people wait and until when, is said."""
    report = EnrichmentReport(
        run_id="r", rows=10, invalid=1, duplicates=2, people=7, cached=1, enriched=2, failed=2,
        failed_remembered=1, suppressed=0, deferred=2, requests=3, credits_used=2.0, credits_avoided=4,
        credits_remaining=98.0, unknown=2, deferred_reason="no answer", resume_at=None,
        credits_unknown=1.5,
    )  # fmt: skip
    lines = dict(describe_report(report))
    assert lines["rows"] == "10 (2 duplicates, 1 invalid)"
    assert lines["not found"] == "2 (1 known before)"
    assert lines["deferred"] == "2: no answer"
    assert lines["credits"] == "2 used, 4 avoided, 98 left"
    assert lines["perhaps charged"].startswith(
        "2 people, 1.5 credits at most in this run; another run buys them only when the balance"
    )
    assert "buena-pipeline ledger" in lines["perhaps charged"]
    assert "retry_unknown=True buys them at once, and may pay twice" in lines["perhaps charged"]
    assert "run again after" not in lines


def test_width_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets 100 columns, unless COLUMNS says otherwise."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == 100
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


# --- doctor ----------------------------------------------------------------------------------------------


def findings(store: Path) -> dict[str, Check]:
    """The doctor's checks by name."""
    return {check.name: check for check in examine(store, lock_timeout=0.2)}


def test_doctor_finds_all_well(
    sandbox: Sandbox, store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key that may enrich and a store, everything is ok, and the key is nowhere in it."""
    monkeypatch.setenv("BUENA_API_KEY", sandbox.api_key)
    monkeypatch.setenv("BUENA_BASE_URL", sandbox.url)
    store.sql("select 1")
    checks = findings(store.path)
    assert {check.level for check in checks.values()} == {"ok"}
    assert checks["key"].finding == "set, of the form bna_ + 64 hex digits"
    assert "leads:enrich" in checks["permissions"].finding
    assert "schema version 5, 0 people" in checks["store"].finding
    assert sandbox.api_key[4:] not in str(checks)
    assert sandbox.requests == 0


def test_doctor_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing key, unknown key, missing permission, nobody there, plain HTTP, a file that is no store."""
    no_store = tmp_path / "text.duckdb"
    no_store.write_text("no database, but long enough to look like one" * 100)
    checks = findings(no_store)
    assert (checks["key"].level, checks["store"].level) == ("fail", "fail")
    assert "BUENA_API_KEY" in checks["key"].advice
    assert "not a DuckDB database" in checks["store"].finding
    assert "API" not in checks
    assert findings(tmp_path / "missing" / "x.duckdb")["store"].level == "fail"
    assert findings(tmp_path / "new.duckdb")["store"].level == "ok"
    assert not (tmp_path / "new.duckdb").exists()

    with Sandbox(limits=None, permissions=("leads:read",)) as poor:
        monkeypatch.setenv("BUENA_BASE_URL", poor.url)
        monkeypatch.setenv("BUENA_API_KEY", poor.api_key)
        checks = findings(tmp_path / "new.duckdb")
        assert (checks["API"].level, checks["permissions"].level) == ("ok", "fail")
        monkeypatch.setenv("BUENA_API_KEY", "old-key")
        checks = findings(tmp_path / "new.duckdb")
        assert checks["key"].finding == "set, of an older form"
        assert (checks["API"].level, "401" in checks["API"].finding) == ("fail", True)
        port = poor.url.rpartition(":")[2].partition("/")[0]
    assert "Nobody answers" in findings(tmp_path / "new.duckdb")["API"].finding
    monkeypatch.setenv("BUENA_BASE_URL", f"http://127.0.0.2.invalid:{port}")
    assert findings(tmp_path / "new.duckdb")["base URL"].level == "warn"
    monkeypatch.setenv("BUENA_BASE_URL", "ftp://x")
    assert findings(tmp_path / "new.duckdb")["API"].level == "fail"


@pytest.mark.parametrize(("seconds", "told"), [(5, False), (120, True)])
def test_only_a_long_wait_is_worth_a_line(seconds: int, told: bool) -> None:
    """Requests that are spread over a minute wait all the time."""
    out = io.StringIO()
    with show_progress(Console(file=out, width=120)) as progress:
        assert progress is not None
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        progress(EnrichmentProgress(1, 100, 1.0, waiting_until=until))
        progress(EnrichmentProgress(1, 100, 1.0, stopping=True))
    lines = out.getvalue().splitlines()
    assert any("waiting for the rate limit until" in line for line in lines) == told
    assert lines[-1].startswith("stopping: waiting for the answers")
