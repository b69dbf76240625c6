"""Tortures by the dozen, each over a store of its own, and what they come to. Runs in any process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tests.torture.breaking import SCENARIOS, break_runs
from tests.torture.disks import Outcome, full_disk, own_mounts, quota
from tests.torture.killing import kill_rounds
from tests.torture.verdict import Verdict

_ROUNDS_A_STORE: Final = 25
_ROUNDS_A_SEED: Final = 30


Torture = Callable[[], "Tally"]


@dataclass(slots=True)
class Tally:
    """What one kind of torture came to, on one store or on many."""

    runs: int = 0
    injected: int = 0
    charged: int = 0
    unknown: int = 0
    paid_twice: int = 0
    lost: int = 0
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, runs: int, injected: int, verdict: Verdict, complaints: list[str]) -> Tally:
        """What came of the runs over one store."""
        counts = (verdict.charged, verdict.unknown, len(verdict.paid_twice), len(verdict.lost))
        return cls(runs, injected, *counts, complaints)

    def add(self, other: Tally) -> None:
        """Takes in what came of other runs."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def kill(seed: int, rounds: int, *, held: bool = False, broken: bool = False) -> Tally:
    """Rounds of kill -9 over one store."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_rounds(Path(folder), seed=seed, rounds=rounds, held=held, broken=broken)
    return Tally.of(outcome.runs, outcome.killed, outcome.verdict, outcome.verdict.complaints)


def vendor(name: str, seed: int) -> Tally:
    """Three runs against a vendor that breaks."""
    with tempfile.TemporaryDirectory() as folder:
        broken = break_runs(Path(folder), SCENARIOS[name], seed=seed)
    return Tally.of(broken.runs, broken.injected, broken.verdicts[-1], broken.complaints)


def disk(left: int) -> Tally:
    """A run whose disk is full after the first answer, but for so many kilobytes, and one after it."""
    with tempfile.TemporaryDirectory() as folder:
        return _tally(full_disk(Path(folder), 64_000, leave=left))


def file(kilobytes: int) -> Tally:
    """A run that may make no file larger than this after the first answer, and one after it."""
    with tempfile.TemporaryDirectory() as folder:
        return _tally(quota(Path(folder), kilobytes))


def _tally(outcome: Outcome) -> Tally:
    assert outcome.verdict is not None
    hit = int(outcome.code != 0)  # one that went on as if nothing were does not count
    return Tally.of(2, hit, outcome.verdict, outcome.verdict.complaints)


def tortures(rounds: int) -> Iterator[tuple[str, list[Torture]]]:
    """The rows of the table, and what is to be done for each."""
    stores = [min(_ROUNDS_A_STORE, rounds - done) for done in range(0, rounds, _ROUNDS_A_STORE)]
    yield "kill -9", [partial(kill, 1000 + seed, some) for seed, some in enumerate(stores)]
    few = [partial(kill, 1500 + seed, max(some // 4, 1)) for seed, some in enumerate(stores)]
    yield "kill -9 while the vendor breaks", [partial(some, broken=True) for some in few]
    yield "kill -9 while a shell holds the store", [partial(some, held=True) for some in few]
    times = max(rounds // _ROUNDS_A_SEED, 1)
    for number, name in enumerate(SCENARIOS, 2):
        yield name, [partial(vendor, name, 1000 * number + time) for time in range(times)]
    sizes = range(540, 1340, max(800 // times, 1))
    left = range(0, 400, max(400 // times, 1))
    if own_mounts():
        yield "disk full", [partial(disk, size) for size in left]
    yield "file may not grow", [partial(file, size) for size in sizes]
