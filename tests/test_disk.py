"""Full disks and folders nobody may write to: a clear error before any cost, or the answers are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from buena_pipeline import EnrichmentStore
from tests.torture.disks import Outcome, full_disk, limited, own_mounts, quota, read_only
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
