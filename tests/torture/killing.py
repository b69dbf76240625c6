"""Rounds of ``kill -9``: runs over slices of one crowd, each killed at a moment that a seed decides."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from buena_pipeline.sandbox import Fault
from tests.torture.breaking import break_vendor
from tests.torture.people import table_of
from tests.torture.processes import Process, holder, wait_until, worker
from tests.torture.verdict import Memory, Verdict, judge
from tests.torture.worker import GAVE_UP

_KNOWN: Final = 100
_FRESH: Final = 350

_FAULTS: Final = (
    Fault("status", status=502),
    Fault("reset_before"),
    Fault("reset_after"),
    Fault("truncate"),
    Fault("rate_limited", wait=0.05),
)


@dataclass(frozen=True, slots=True)
class Rounds:
    """What came of some rounds: runs that began, runs that were killed, and the verdict at the end."""

    runs: int
    killed: int
    verdict: Verdict


def kill_rounds(folder: Path, *, seed: int, rounds: int, held: bool = False, broken: bool = False) -> Rounds:
    """Kills runs over one store at random moments, then lets a last one go to its end.

    Each run asks for some people whom earlier ones asked for and for more who are new. In every third round
    two processes run at once, for partly the same people, and one of them or both are killed.

    Args:
        folder: where the store is to be.
        seed: decides people, moments, latency and concurrency.
        rounds: how many.
        held: whether, in each round, another program has the store open for a while, and the runs are too
            impatient to wait for that: their answers go to the journal.
        broken: whether the vendor breaks, too.
    """
    dice = random.Random(seed)
    crowd = range(_FRESH * rounds)
    store = EnrichmentStore(folder / "buena.duckdb")
    store.stats()  # the other program needs a file
    memory = Memory(store)
    fine = (0, GAVE_UP) if held else (0,)
    runs = killed = 0
    with Sandbox(limits=None, seed=seed, latency=dice.uniform(0.02, 0.1)) as sandbox, ExitStack() as stack:

        def team(number: int) -> list[Process]:
            seen, fresh = range(_FRESH * number), range(_FRESH * number, _FRESH * (number + 1))
            slices = [
                dice.sample(seen, min(_KNOWN, len(seen))) + dice.sample(fresh, dice.randint(250, _FRESH))
                for _ in range(2 if number % 3 == 2 else 1)
            ]
            patience = 0.2 if held else 60
            team = [
                worker(sandbox, store.path, some, concurrency=dice.randint(3, 6), lock_timeout=patience)
                for some in slices
            ]
            if held:
                team.append(holder(store.path))
            return [stack.enter_context(process) for process in team]

        coming = team(0)
        for number in range(1, rounds + 1):
            workers, coming = coming, team(number) if number < rounds else []  # these get ready meanwhile
            shell = workers.pop() if held else None
            runs += len(workers)
            sandbox.clear_faults()
            if broken:
                break_vendor(sandbox, _FAULTS, dice, most=3)
            moment = sandbox.requests + dice.randint(0, 8)
            for process in workers:
                process.go()
            _wait_for_request(moment, sandbox, workers)
            if shell:
                shell.go()
            time.sleep(dice.uniform(0, 0.3 if held else 0.15))
            victims = dice.randint(1, len(workers))
            killed += sum(process.kill(fine=fine) for process in workers[:victims])
            for process in workers[victims:]:
                code, _, complaint = process.end()
                assert code in fine, complaint
            if shell:
                shell.end()
            memory.look()
        sandbox.clear_faults()
        table = table_of(dice.sample(crowd, len(crowd)))
        with BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01, limits=None) as client:
            result = Enricher(client, store).run(table)
        memory.look()
        return Rounds(runs, killed, judge(sandbox, store, table, result))


def _wait_for_request(number: int, sandbox: Sandbox, workers: list[Process]) -> None:
    wait_until(lambda: sandbox.requests >= number or not any(process.running for process in workers))
