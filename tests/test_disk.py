"""Disks that are full and folders that nobody may write to: a clear error before any cost, or the answers are kept."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from tests.torture.people import UNLIMITED, table_of
from tests.torture.processes import worker
from tests.torture.verdict import Verdict, judge
from tests.torture.worker import GAVE_UP

PEOPLE: Final = range(300)

_FULL: Final = 'mount -t tmpfs -o size=$1k tmpfs "$0" && out=$2 && shift 2 && "$@"; code=$?; cp -a "$0/." "$out"; exit $code'
_READ_ONLY: Final = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def own_mounts() -> bool:
    """Whether a process may have mounts of its own here."""
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return bool(tried) and tried.returncode == 0


needs_mounts = pytest.mark.skipif(not own_mounts(), reason="a process may have no mounts of its own here")


def finish(sandbox: Sandbox, folder: Path) -> Verdict:
    """A run to the end over what is left in a folder, where there is room again."""
    store, table = EnrichmentStore(folder / "buena.duckdb"), table_of(PEOPLE)
    with BuenaClient(sandbox.api_key, sandbox.url, **UNLIMITED) as client:
        result = Enricher(client, store).run(table)
    return judge(sandbox, store, table, result)


def clear(complaint: str) -> bool:
    """Whether an error is one of the library's, with no traceback."""
    return complaint.startswith("StoreError: ") and "Traceback" not in complaint


@needs_mounts
@pytest.mark.parametrize("size", [200, 560, 640, 720, 850, 1000, 1200, 1600, 2400], ids="{} kB".format)
def test_a_full_disk(size: int, tmp_path: Path) -> None:
    """Whenever the disk is full, everybody who was charged has an answer or is listed as unknown."""
    folder, out = tmp_path / "disk", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    wrapper = ["unshare", "-rm", "sh", "-c", _FULL, str(folder), str(size), str(out)]
    with Sandbox(limits=None, latency=0.02) as sandbox:
        with worker(sandbox, folder / "buena.duckdb", PEOPLE, wrapper=wrapper) as run:
            code, said, complaint = run.go().end()
        spent = sandbox.credits_used
        if code:
            assert (code, clear(complaint)) == (GAVE_UP, True), complaint
        else:
            assert json.loads(said)["credits_used"] == spent
        if size < 500:
            assert (code, sandbox.requests) == (GAVE_UP, 0)
        verdict = finish(sandbox, out)
    assert verdict.complaints == []


@pytest.mark.parametrize("size", [100, 540, 600, 700, 1000, 1500], ids="{} kB".format)
def test_a_file_that_may_not_grow(size: int, tmp_path: Path) -> None:
    """A quota, from which the operating system takes back nothing that was written."""
    script = f'ulimit -f {size * 2}; exec "$@"'  # dash counts blocks of 512 bytes
    with Sandbox(limits=None, latency=0.02) as sandbox:
        with worker(
            sandbox, tmp_path / "buena.duckdb", PEOPLE, wrapper=["sh", "-c", script, "sh"]
        ) as run:
            code, _, complaint = run.go().end()
        assert code in (0, GAVE_UP), complaint
        assert code == 0 or clear(complaint)
        if size < 500:
            assert (code, sandbox.requests) == (GAVE_UP, 0)
        verdict = finish(sandbox, tmp_path)
    assert verdict.complaints == []


@needs_mounts
@pytest.mark.parametrize("begun", [False, True], ids=["no store yet", "a store"])
def test_a_folder_that_cannot_be_written(begun: bool, tmp_path: Path) -> None:
    """The error says so, and nothing was sent."""
    if begun:
        EnrichmentStore(tmp_path / "buena.duckdb").stats()
    with Sandbox(limits=None) as sandbox:
        wrapper = ["unshare", "-rm", "sh", "-c", _READ_ONLY, str(tmp_path)]
        with worker(sandbox, tmp_path / "buena.duckdb", PEOPLE, wrapper=wrapper) as run:
            code, _, complaint = run.go().end()
        assert (code, clear(complaint)) == (GAVE_UP, True), complaint
        assert str(tmp_path / "buena.duckdb") in complaint
        assert sandbox.requests == 0
