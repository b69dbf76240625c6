"""Disks that are full, files that may not grow, folders nobody may write to; for one process only."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from tests.torture.people import table_of
from tests.torture.processes import worker
from tests.torture.verdict import Verdict, judge

_PEOPLE: Final = range(300)
_MANY: Final = range(700)  # whose answers need more than an empty store, wherever they are written

_OWN_MOUNTS: Final = ("unshare", "-rm", "sh", "-c")

_SMALL: Final = """
mount -t tmpfs -o size=${1}k none "$0" || exit 99
out=$2; shift 2; "$@"; code=$?
rm -f "$0/filler"; cp -a "$0/." "$out"; exit $code
"""

_READ_ONLY: Final = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99; exec "$@"'

_LIMITED: Final = 'ulimit -f "$0"; exec "$@"'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run where it could not write as it wanted.

    Attributes:
        code: its exit code.
        said: its standard output.
        complaint: its standard error.
        requests: how many requests it sent.
        verdict: after another run, over what it left, where there was room.
    """

    code: int
    said: str
    complaint: str
    requests: int
    verdict: Verdict | None = None


@cache
def own_mounts() -> bool:
    """Whether a process may have mounts of its own here."""
    if not shutil.which("unshare"):
        return False
    tried = subprocess.run([*_OWN_MOUNTS, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return tried.returncode == 0


def full_disk(folder: Path, kilobytes: int, *, leave: int | None = None) -> Outcome:
    """A run on a disk of its own, where ``leave`` kilobytes are left after the first answer."""
    disk, left = folder / "disk", folder / "left"
    disk.mkdir()
    left.mkdir()
    wrapper = [*_OWN_MOUNTS, _SMALL, str(disk), str(kilobytes), str(left)]
    return _run(disk, left, wrapper, **({} if leave is None else {"leave": leave}))


def quota(folder: Path, kilobytes: int) -> Outcome:
    """A run that may make no file larger than this after the first answer."""
    return _run(folder, folder, [], people=_MANY, quota=kilobytes)


def limited(folder: Path, kilobytes: int) -> Outcome:
    """A run that may make no file larger than this."""
    blocks = str(kilobytes * 2)  # of 512 bytes
    return _run(folder, folder, ["sh", "-c", _LIMITED, blocks])


def read_only(folder: Path) -> Outcome:
    """A run in a folder that cannot be written to."""
    return _run(folder, None, [*_OWN_MOUNTS, _READ_ONLY, str(folder)])


def where_nothing_can_be_written(folder: Path, *command: str) -> str:
    """What a Python command says, run while nothing can be written to one folder."""
    done = subprocess.run(
        [*_OWN_MOUNTS, _READ_ONLY, str(folder), sys.executable, *command],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes while the block lasts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _run(
    folder: Path, left: Path | None, wrapper: list[str], *, people: range = _PEOPLE, **options: int
) -> Outcome:
    """A run in one folder, and one to the end over what is in another afterwards."""
    spare = (left or folder) / "spare"  # where answers go that find no room beside the store
    spare.mkdir()
    with Sandbox(limits=None, latency=0.02) as sandbox:
        with worker(
            sandbox, folder / "buena.duckdb", people, wrapper=wrapper, spare=spare, concurrency=2, **options
        ) as run:
            code, said, complaint = run.go().end()
        requests = sandbox.requests
        if left is None:
            return Outcome(code, said, complaint, requests)
        store, table = EnrichmentStore(left / "buena.duckdb"), table_of(people)
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client:
            result = Enricher(client, store).run(table)
        return Outcome(code, said, complaint, requests, judge(sandbox, store, table, result))
