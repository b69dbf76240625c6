"""A backup is whole and of one moment, whatever goes on meanwhile, and takes the place of a lost store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.errors import (
    InputError,
    NotAStoreError,
    StoreLockedError,
)
from buena_pipeline.postings import Postings
from tests.torture.processes import ROOT

LEADS = pl.DataFrame({"email": [f"p{i}@acme.example" for i in range(120)]})


def folder_of(store: EnrichmentStore) -> set[str]:
    """What lies beside the store."""
    return {path.name for path in store.path.parent.iterdir()}


def test_a_backup_is_a_store_of_its_own(client: BuenaClient, store: EnrichmentStore, tmp_path: Path) -> None:
    """Everything is in it, its owner alone reads it, and what happens to one is nothing to the other."""
    enrich_frame(LEADS, client=client, store=store)
    written = store.backup(tmp_path / "monday.duckdb")
    copy = EnrichmentStore(written)
    assert written.stat().st_mode & 0o777 == 0o600
    assert copy.sql("from answer order by all").equals(store.sql("from answer order by all"))
    assert copy.ledger().equals(store.ledger())
    assert copy.check()["ok"].all()
    store.forget(LEADS["email"].to_list())
    assert (store.stats().people, copy.stats().people > 100) == (0, True)


def test_what_somebody_else_keeps_in_the_file_is_in_the_backup(
    store: EnrichmentStore, tmp_path: Path
) -> None:
    """Tables and views of the users' own, which erasure would refuse to write anew."""
    store.stats()
    with duckdb.connect(str(store.path)) as shell:
        shell.execute("create table mine as select 42 as n; create view yours as from mine")
    written = store.backup(str(tmp_path / "monday.duckdb"))
    assert EnrichmentStore(written).sql("from yours").item() == 42


def test_a_lost_store_is_restored_and_nobody_in_the_backup_is_paid_again(
    client: BuenaClient, sandbox: Sandbox, store: EnrichmentStore, tmp_path: Path
) -> None:
    """By the sandbox's count; who came after the backup is bought once more, and only they."""
    enrich_frame(LEADS[:100], client=client, store=store)
    written = store.backup(tmp_path / "monday.duckdb")
    enrich_frame(LEADS[100:], client=client, store=store)
    shutil.copy(written, store.path)
    enrich_frame(LEADS, client=client, store=store)
    charges = sandbox.charges()
    twice = charges.filter(pl.col("count") > 1)["lead"].to_list()
    found = set(LEADS["email"][100:].to_list())
    assert twice
    assert all(any(address in lead for address in found) for lead in twice)
    assert store.check()["ok"].all()


def test_a_backup_is_of_one_moment_while_a_run_writes(store: EnrichmentStore, tmp_path: Path) -> None:
    """Each of many, taken between the answers of a run, is sound, and holds no half of a transaction."""
    leads = pl.DataFrame({"email": [f"p{i}@acme.example" for i in range(1500)]})
    store.stats()
    with Sandbox(limits=None, latency=0.02) as vendor, BuenaClient(vendor.api_key, vendor.url) as client:
        run = threading.Thread(target=lambda: enrich_frame(leads, client=client, store=store))
        run.start()
        backups = []
        while run.is_alive():
            backups.append(store.backup(tmp_path / f"{len(backups)}.duckdb"))
        run.join()
        assert sorted(set(vendor.charges()["count"])) == [1]
    people = [EnrichmentStore(backup).stats().people for backup in backups]
    assert people == sorted(people)
    for backup in backups[:: max(len(backups) // 5, 1)]:
        assert EnrichmentStore(backup).check()["ok"].all()


def test_what_waits_in_the_journal_is_in_the_backup(store: EnrichmentStore, tmp_path: Path) -> None:
    """Answers that came while somebody else held the file."""
    store.stats()
    now, request, person = datetime.now(UTC), str(uuid.uuid4()), str(uuid.uuid4())
    told = {"request_id": request, "state": "answered", "happened_at": now, "people": [person]}
    body = '{"enrichedData": {"email": "jane@acme.example"}}'
    answer = {"person_id": person, "request_id": request, "answered_at": now, "found": True, "body": body}
    entry = store.keep(Postings(request=[told], answer=[answer]))
    copy = EnrichmentStore(store.backup(tmp_path / "monday.duckdb"))
    assert copy.sql("select email from leads").item() == "jane@acme.example"
    assert not entry.exists()


# --- what can go wrong -----------------------------------------------------------------------------------


def test_nothing_is_replaced(store: EnrichmentStore, tmp_path: Path) -> None:
    """Neither a file nor a link that leads nowhere, and least of all the store."""
    store.stats()
    (tmp_path / "monday.duckdb").write_text("precious")
    (tmp_path / "dangling.duckdb").symlink_to(tmp_path / "nowhere")
    for there in (tmp_path / "monday.duckdb", tmp_path / "dangling.duckdb", store.path):
        with pytest.raises(InputError, match="replaces nothing"):
            store.backup(there)
    assert (tmp_path / "monday.duckdb").read_text() == "precious"
    assert store.check()["ok"].all()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no/such/folder.duckdb", "no/such for the backup does not exist"),
        (7, "not int"),
        ("a\0b", "takes the path of a file"),
        (":memory:", "takes the path of a file"),
        ("monday.csv", "monday.csv is a table by its name; a backup is a DuckDB file"),
        (Path("monday.XLSX"), "is a table by its name"),
    ],
)
def test_a_place_that_is_none(
    store: EnrichmentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, says: str
) -> None:
    """Is said before anything is done, as before the journal is taken in."""
    monkeypatch.chdir(tmp_path)
    store.stats()
    entry = store.keep(Postings())
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=says):
        store.backup(target)  # type: ignore[arg-type]
    assert entry.exists()
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_log_of_another_store(store: EnrichmentStore, tmp_path: Path) -> None:
    """Which DuckDB would take for the backup's, and call the backup damaged."""
    store.stats()
    log = tmp_path / "monday.duckdb.wal"
    log.write_bytes(b"left behind")
    with pytest.raises(InputError, match=r"monday\.duckdb\.wal is there.* Remove it"):
        store.backup(tmp_path / "monday.duckdb")
    log.unlink()
    assert EnrichmentStore(store.backup(tmp_path / "monday.duckdb")).check()["ok"].all()


def test_there_must_be_a_store(store: EnrichmentStore, tmp_path: Path) -> None:
    """No empty one is made for it, as by a mistyped path."""
    with pytest.raises(NotAStoreError, match="is the path right"):
        store.backup(tmp_path / "monday.duckdb")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".duckdb"]


def test_a_store_that_a_shell_holds(store: EnrichmentStore, tmp_path: Path) -> None:
    """Whoever has it open may be writing: it is waited for, and then said."""
    store.stats()
    holder = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError):
            EnrichmentStore(store.path, lock_timeout=0.2).backup(tmp_path / "monday.duckdb")
        shell.communicate()
    assert "monday.duckdb" not in folder_of(store)


NO_ROOM = """
import resource, signal, sys
from buena_pipeline import EnrichmentStore
from buena_pipeline.errors import StoreError

store = EnrichmentStore(sys.argv[1])
store.stats()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.backup(sys.argv[2])
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_copy_for_which_there_is_no_room(store: EnrichmentStore, tmp_path: Path) -> None:
    """Leaves nothing behind, and the store as it was."""
    store.stats()
    before = folder_of(store)
    script = [sys.executable, "-c", NO_ROOM, str(store.path), str(tmp_path / "monday.duckdb")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "monday.duckdb cannot be written: File too large. Nothing is left" in done.stdout, done.stderr
    assert folder_of(store) - before <= {f"{store.path.name}.lock"}
    assert store.check()["ok"].all()
