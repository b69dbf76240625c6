"""Full disks and folders nobody may write to: a clear error before any cost, or the answers are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from buena_pipeline import EnrichmentStore
from tests.torture.disks import (
    Outcome,
    full_disk,
    limited,
    own_mounts,
    quota,
    read_only,
    where_nothing_can_be_written,
)
from tests.torture.worker import GAVE_UP

needs_mounts = pytest.mark.skipif(not own_mounts(), reason="a process may have no mounts of its own here")


def says_what_happened(outcome: Outcome) -> bool:
    """Whether it ended well, or with an error of the library's, which is no traceback."""
    gave_up = outcome.complaint.startswith("StoreError: ") and "Traceback" not in outcome.complaint
    return outcome.code == 0 or (outcome.code == GAVE_UP and gave_up)


@needs_mounts
@pytest.mark.parametrize("left", [0, 60, 150, 400, 800, 1600], ids="{} kB".format)
def test_a_disk_that_fills_up(left: int, tmp_path: Path) -> None:
    """Whenever there is no room left, everybody who was charged has an answer or is listed as unknown."""
    outcome = full_disk(tmp_path, 64_000, leave=left)
    assert says_what_happened(outcome), outcome
    assert outcome.requests > 0
    assert outcome.verdict is not None
    assert outcome.verdict.complaints == []


@needs_mounts
@pytest.mark.parametrize("size", [100, 2_000], ids="{} kB".format)
def test_a_disk_without_room(size: int, tmp_path: Path) -> None:
    """Nothing is sent that could not be kept, and the store is whole when there is room."""
    outcome = full_disk(tmp_path, size)
    assert outcome.code == GAVE_UP
    assert says_what_happened(outcome), outcome
    assert outcome.requests == 0
    assert outcome.verdict is not None
    assert outcome.verdict.complaints == []


@pytest.mark.parametrize("size", [100, 540, 700, 1200], ids="{} kB".format)
def test_a_file_that_may_not_grow(size: int, tmp_path: Path) -> None:
    """The same under a quota, where the folder takes new files when the store does not grow any more."""
    outcome = quota(tmp_path, size)
    assert says_what_happened(outcome), outcome
    assert outcome.verdict is not None
    assert outcome.verdict.complaints == []
    assert outcome.requests > 0


@pytest.mark.parametrize("size", [100, 700, 20_000], ids="{} kB".format)
def test_a_file_that_may_not_grow_enough(size: int, tmp_path: Path) -> None:
    """A limit on file sizes counts as room that is missing: nothing is sent."""
    outcome = limited(tmp_path, size)
    assert outcome.code == GAVE_UP
    assert says_what_happened(outcome), outcome
    assert "ulimit -f" in outcome.complaint
    assert outcome.requests == 0
    assert outcome.verdict is not None
    assert outcome.verdict.complaints == []


@needs_mounts
@pytest.mark.parametrize("begun", [False, True], ids=["no store yet", "a store"])
def test_a_folder_that_cannot_be_written(begun: bool, tmp_path: Path) -> None:
    """The error names the store, and nothing was sent."""
    if begun:
        EnrichmentStore(tmp_path / "buena.duckdb").stats()
    outcome = read_only(tmp_path)
    assert outcome.code == GAVE_UP
    assert says_what_happened(outcome), outcome
    assert str(tmp_path / "buena.duckdb") in outcome.complaint
    assert outcome.requests == 0


READ = """
import sys
import polars as pl
from buena_pipeline import EnrichmentStore, plan_frame
from buena_pipeline.store import engine
engine._MEMORY = 40_000_000
store = EnrichmentStore(sys.argv[1], read_only=True)
spilled = "select count(distinct i) from (select range::varchar || repeat('x', 90) as i from range(600_000))"
plan = plan_frame(pl.DataFrame({"email": ["jane@acme.example", "bo@x.example"]}), store=sys.argv[1])
print(plan.suppressed, plan.to_buy, store.suppressed(), store.check()["ok"].all(), store.ledger().height)
print(store.sql(spilled).item())
"""


@needs_mounts
@pytest.mark.parametrize("locked", [True, False], ids=["a lock file", "no lock file"])
def test_a_store_is_read_where_nothing_can_be_written(
    locked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what only its log has, and with more than fits in memory; nothing stays behind anywhere."""
    folder, spare = tmp_path / "disk", tmp_path / "spare"
    folder.mkdir()
    spare.mkdir()
    monkeypatch.setenv("TMPDIR", str(spare))
    store = EnrichmentStore(folder / "buena.duckdb")
    store.suppress("jane@acme.example")
    assert Path(f"{store.path}.wal").exists()
    if not locked:
        Path(f"{store.path}.lock").unlink()
    there = sorted(folder.iterdir())
    assert where_nothing_can_be_written(folder, "-c", READ, str(store.path)) == "1 1 1 True 0\n600000\n"
    assert sorted(folder.iterdir()) == there
    assert not list(spare.iterdir())
