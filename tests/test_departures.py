"""What a run writes down of the requests that leave, and what others make of it when the run is gone."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from buena_pipeline.errors import StoreError
from buena_pipeline.schema import REQUEST_ROWS
from buena_pipeline.store import departures
from buena_pipeline.store.departures import Departures, departed
from buena_pipeline.store.journal import Journal
from tests.torture.processes import wait_until, worker

pytestmark = pytest.mark.skipif(departures._boot() is None, reason="no boot can be told from another")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The list of a run that was killed when two requests had left."""
    begun = Departures(tmp_path / "run.sent")
    begun.open()
    begun.note("a")
    begun.note("b")
    begun.close()
    return begun.path


def test_a_list_tells_what_has_left(written: Path) -> None:
    """Its owner alone reads it."""
    assert departed(written) == {"a", "b"}
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_list_of_another_boot_proves_nothing(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may have gone down before its last lines were on disk."""
    monkeypatch.setattr(departures, "_boot", lambda: "another")
    assert departed(written) is None


def test_a_copy_proves_nothing(written: Path) -> None:
    """The store beside it may be newer than what was copied."""
    assert departed(shutil.copy2(written, written.with_name("copy.sent"))) is None


def test_no_list_proves_nothing(tmp_path: Path) -> None:
    """Nor does anything else in its place."""
    assert departed(tmp_path / "run.sent") is None
    (tmp_path / "run.sent").write_bytes(b"\xff\n")
    assert departed(tmp_path / "run.sent") is None
    (tmp_path / "empty.sent").touch()
    assert departed(tmp_path / "empty.sent") is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_list_that_cannot_be_gone_on_with_is_given_up(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What left afterwards is not on it. If it cannot be given up either, nothing leaves."""
    begun = Departures(written)
    begun._descriptor = os.open("/dev/full", os.O_WRONLY)
    begun.note("c")
    assert departed(written) is None

    def refused(_self: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StoreError, match="Permission denied"):
        begun.note("d")
    begun.close()


def test_nothing_leaves_when_the_list_has_ended(written: Path) -> None:
    """A thread may have taken a request just before everybody gave up on the run."""
    begun = Departures(written)
    begun.open()
    begun.close()
    with pytest.raises(StoreError, match="run is over"):
        begun.note("c")
    assert departed(written) == frozenset()


def test_without_boots_there_is_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on other systems: everything in flight is then of unknown outcome."""
    monkeypatch.setattr(departures, "_boot", lambda: None)
    begun = Departures(tmp_path / "run.sent")
    begun.open()
    begun.note("a")
    begun.close()
    assert list(tmp_path.iterdir()) == []


# --- in the ledger ---------------------------------------------------------------------------------------


def in_flight(run_id: str, request_id: str) -> pl.DataFrame:
    """A request that a run has entered."""
    now = datetime.now(UTC)
    row = {
        "request_id": request_id,
        "run_id": run_id,
        "state": "in flight",
        "happened_at": now,
        "lease_until": now + timedelta(hours=1),
        "people": [str(uuid.uuid4())],
        "credits_reserved": 1.0,
    }
    return pl.DataFrame([row], schema=REQUEST_ROWS)


def test_what_never_left_has_failed_and_the_rest_is_unknown(store: EnrichmentStore) -> None:
    """Of a run that is gone; the list goes when that is entered."""
    run, sent, kept = (str(uuid.uuid4()) for _ in range(3))
    with pytest.raises(ZeroDivisionError), store.living(run) as departing:  # noqa: PT012 - a life in it
        for request in (sent, kept):
            store.commit(new_request=in_flight(run, request))
        departing.note(sent)
        with store.transaction() as turn:
            turn.settle_unknown(now=datetime.now(UTC))
        assert set(store.ledger()["state"]) == {"in flight"}
        raise ZeroDivisionError
    path = store.journals[0] / f"{run}.sent"
    assert departed(path) == {sent}
    with store.transaction() as turn:
        turn.settle_unknown(now=datetime.now(UTC))
    told = {
        request: (state, reason)
        for request, state, reason in store.ledger()
        .select(pl.col("request_id").cast(pl.String), "state", "reason")
        .iter_rows()
    }
    assert told[sent] == ("unknown", "the process ended before the answer was stored")
    assert told[kept] == ("failed", "the process ended before it was sent")
    assert not path.exists()


def test_a_run_that_ends_well_leaves_no_list(client: BuenaClient, store: EnrichmentStore) -> None:
    """Nor a lock."""
    Enricher(client, store).run(pl.DataFrame({"email": ["jane@acme.example"]}))
    assert [path.name for path in store.journals[0].iterdir()] == []


def test_the_lists_of_the_living_stay(tmp_path: Path) -> None:
    """Whoever settles removes only those of runs that are gone."""
    journal = Journal(tmp_path / "b.journal")
    with journal.living("here") as departing:
        departing.note("a")
        (journal.folder / "gone.sent").touch()
        journal.sweep()
        assert [path.name for path in journal.folder.glob("*.sent")] == ["here.sent"]


def test_after_kill_9_whoever_was_not_asked_for_is_bought(tmp_path: Path) -> None:
    """By the sandbox's count: nobody twice, and of unknown outcome is only what it has got."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=30)
    store.stats()
    leads = pl.DataFrame({"email": [f"person{n}@acme{n}.example" for n in range(1_000)]})
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox:
        with worker(sandbox, store.path, range(1_000), concurrency=4) as run:
            run.go()
            wait_until(lambda: sandbox.requests >= 8)
            run.kill()
        kept = store.stats().people
        with BuenaClient(sandbox.api_key, sandbox.url) as client:
            report = Enricher(client, store).run(leads).report
        assert report.unknown <= 50 * (sandbox.requests - report.requests) - kept
        assert report.enriched + report.cached + report.unknown == 1_000
        assert report.cached >= kept
        assert sandbox.charges()["count"].max() == 1
        assert store.check()["ok"].all()
