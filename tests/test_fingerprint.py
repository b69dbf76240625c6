"""Whatever changes a store shows in its fingerprint, and whatever does not, does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore
from buena_pipeline.postings import Postings
from buena_pipeline.store.fingerprint import fingerprint, is_settled
from tests.torture.people import table_of


@pytest.fixture
def filled(client: BuenaClient, store: EnrichmentStore) -> EnrichmentStore:
    """A store that knows some people."""
    Enricher(client, store).run(table_of(range(3)))
    return store


def by_another_process(store: EnrichmentStore) -> None:
    """Somebody else writes, who knows nothing of this library."""
    script = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('delete from answer')"
    subprocess.run([sys.executable, "-c", script, str(store.path)], check=True)


def by_another_program(store: EnrichmentStore) -> None:
    """Likewise in this process, and the change stays in the log."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("pragma disable_checkpoint_on_shutdown")
        connection.execute("insert into meta values ('seen', 'yes')")


def restore(store: EnrichmentStore) -> None:
    """A backup of the same size and time takes the file's place."""
    backup = store.path.with_suffix(".backup")
    shutil.copy2(store.path, backup)
    backup.replace(store.path)


CHANGES: list[Callable[[EnrichmentStore], object]] = [
    lambda store: store.suppress("nobody@acme.example"),
    lambda store: store.forget(table_of([1])),
    lambda store: store.retention(timedelta(0)),
    lambda store: store.keep(Postings()),
    lambda store: store.path.unlink(),
    by_another_process,
    by_another_program,
    restore,
]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_show(filled: EnrichmentStore, change: Callable[[EnrichmentStore], object]) -> None:
    """Whoever makes them."""
    before = filled.fingerprint()
    time.sleep(0.02)
    change(filled)
    assert filled.fingerprint() != before


READINGS: list[Callable[[EnrichmentStore], object]] = [
    lambda store: store.stats(),
    lambda store: store.check(),
    lambda store: Enricher(store=store).lookup({"email": "nobody@acme.example"}),
    lambda store: Enricher(store=store).plan(table_of([1])),
    lambda store: store.suppressed(),
]


@pytest.mark.parametrize("read", READINGS)
def test_reading_does_not_show(filled: EnrichmentStore, read: Callable[[EnrichmentStore], object]) -> None:
    """Neither does a turn in which nothing is written."""
    before = filled.fingerprint()
    time.sleep(0.02)
    read(filled)
    assert filled.fingerprint() == before


def test_what_has_just_changed_is_not_settled(tmp_path: Path) -> None:
    """Where times are whole seconds, it takes longer."""
    path = tmp_path / "file"
    path.touch()
    second = 1_000_000_000
    changed = 1_700_000_000 * second
    for part, moment in ((0, 2 * second), (second // 3, second // 10)):
        os.utime(path, ns=(changed, changed + part))
        taken = fingerprint([str(path), str(tmp_path / "missing")])
        assert taken[1] is None
        assert not is_settled(taken, now=changed + part + moment)
        assert is_settled(taken, now=changed + part + moment + 1)


def test_what_cannot_be_asked_is_never_the_same(tmp_path: Path) -> None:
    """A file in place of a folder, say."""
    (tmp_path / "file").touch()
    paths = [str(tmp_path / "file" / "in it")]
    assert fingerprint(paths) != fingerprint(paths)
