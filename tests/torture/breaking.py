"""Vendors that break: runs against a sandbox with faults, at moments that a seed decides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import polars as pl

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from buena_pipeline.errors import VendorError
from buena_pipeline.sandbox import Fault
from buena_pipeline.sandbox.faults import TELLS
from tests.torture.clock import let_time_pass
from tests.torture.people import table_of
from tests.torture.verdict import Memory, Verdict, judge

_FIRST: Final = 210
_CROWD: Final = 330

_UNTOLD: Final = timedelta(seconds=61)
"""How long to wait after a 429 that does not tell, and a little more."""

_LEASES: Final = timedelta(hours=1)
"""How long a request may take, and more."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way in which the vendor breaks.

    Args:
        faults: what goes wrong; when and how often is left to the dice.
        doubt: whether a caller cannot know what was charged.
        timeout: the client's, in seconds.
        max_wait: how long rate limits are waited for, in seconds.
        most: how many requests each fault hits at most in one run.
        credits: whether the vendor's credits run out.
    """

    faults: tuple[Fault, ...] = ()
    doubt: bool = False
    timeout: float = 30.0
    max_wait: float = 30.0
    most: int = 4
    credits: bool = False


SCENARIOS: Final[dict[str, Scenario]] = {
    "500": Scenario((Fault("status", status=500),)),
    "502 with an HTML page": Scenario((Fault("status", status=502),)),
    "503": Scenario((Fault("status", status=503),)),
    "413 with an HTML page": Scenario((Fault("status", status=413),)),
    "reset before the charge": Scenario((Fault("reset_before"),), doubt=True),
    "reset after the charge": Scenario((Fault("reset_after"),), doubt=True),
    "truncated body": Scenario((Fault("truncate"),), doubt=True),
    "cut JSON": Scenario((Fault("cut_json"),), doubt=True),
    "empty body": Scenario((Fault("empty"),), doubt=True),
    "200 with an HTML page": Scenario((Fault("not_json"),), doubt=True),
    "slower than the timeout": Scenario((Fault("latency", wait=1.0),), doubt=True, timeout=0.4),
    "leads that the answer leaves out": Scenario((Fault("drop", count=4),), doubt=True),
    "strangers in the answer": Scenario((Fault("extra", count=2),)),
    "credits run out": Scenario(credits=True),
    "402 that leaves a few": Scenario((Fault("no_credits", remaining=7),)),
    "402 that leaves nothing": Scenario((Fault("no_credits"),)),
    "401": Scenario((Fault("unauthorized"),)),
    "403": Scenario((Fault("forbidden"),)),
    **{
        f"429, wait told by {tell}": Scenario(
            (Fault("rate_limited", wait=0.15, tell=tell),), max_wait=5.0, most=2
        )
        for tell in TELLS
        if tell != "nothing"
    },
    **{
        f"429 beyond max_wait, told by {tell}": Scenario(
            (Fault("rate_limited", wait=0.15, tell=tell),), max_wait=0.02
        )
        for tell in ("body", "nothing")
    },
    "all at once": Scenario(
        (
            Fault("status", status=500),
            Fault("status", status=502),
            Fault("reset_before"),
            Fault("reset_after"),
            Fault("truncate"),
            Fault("cut_json"),
            Fault("rate_limited", wait=0.05, tell="reset"),
            Fault("no_credits", remaining=30),
            Fault("latency", wait=1.0),
        ),
        doubt=True,
        timeout=0.4,
        credits=True,
    ),
}
"""Every way a vendor breaks, by the name that reports give it."""


class StartsLate(httpx.HTTPTransport):
    """A transport during one of whose tries the vendor comes up.

    Args:
        sandbox: the vendor, who is not up yet.
        at: the number of that try, from 1 on.
    """

    def __init__(self, sandbox: Sandbox, *, at: int) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.tries = 0
        self._at = at

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends it, to whoever is there by then."""
        self.tries += 1
        if self.tries == self._at:
            self.sandbox.start()
        return super().handle_request(request)


@dataclass(frozen=True, slots=True)
class Broken:
    """What came of some runs: how many there were, how many requests were hit, and the verdict after each."""

    runs: int
    injected: int
    verdicts: tuple[Verdict, ...]

    @property
    def complaints(self) -> list[str]:
        """What was wrong after any of the runs; only the last has to have served everybody."""
        *early, last = self.verdicts
        return [
            said for verdict in early for said in replace(verdict, unserved=[]).complaints
        ] + last.complaints


def break_runs(folder: Path, scenario: Scenario, *, seed: int) -> Broken:
    """Two runs while the vendor breaks, the second over more people, and another when all is well again.

    Where outcomes are unknown there are two more when their leases are over: one whose answers tell the
    balance afterwards, and one in which that has settled what it can.

    Args:
        folder: where the store is to be.
        scenario: how it breaks.
        seed: decides when, how often, and for how many of the requests.
    """
    dice = random.Random(seed)
    store = EnrichmentStore(folder / "buena.duckdb")
    memory = Memory(store)
    verdicts = []
    price = dice.choice([1, 1, 2, 0.5])
    with Sandbox(limits=None, seed=seed, latency=0.01, credits_per_lead=price) as sandbox:
        steps = [(_FIRST, _UNTOLD), (_CROWD, _UNTOLD), (_CROWD, _UNTOLD)]
        steps += [(_CROWD + 30, _LEASES), (_CROWD + 30, _UNTOLD)] * scenario.doubt
        for number, (height, time) in enumerate(steps):
            table = table_of(dice.sample(range(height), height))
            let_time_pass(store, time)
            sandbox.clear_faults()
            sandbox.credits = 100_000
            if number < 2:
                break_vendor(sandbox, scenario.faults, dice, most=scenario.most)
                if scenario.credits:
                    sandbox.credits = dice.randint(20, 180)
            verdicts.append(_run(sandbox, store, table, scenario, concurrency=dice.randint(1, 6)))
            memory.look()
        injected = sum(
            entry["fault"] is not None or entry["status"] == 402 for entry in sandbox.request_log()
        )
    return Broken(len(steps), injected, tuple(verdict for verdict in verdicts if verdict is not None))


def break_vendor(sandbox: Sandbox, faults: Sequence[Fault], dice: random.Random, *, most: int) -> None:
    """Switches the faults on, in any order, each for some requests and from a moment of its own."""
    for fault in dice.sample(faults, len(faults)):
        sandbox.inject(replace(fault, after=dice.randint(0, 3), times=dice.randint(1, most)))


def _run(
    sandbox: Sandbox, store: EnrichmentStore, table: pl.DataFrame, scenario: Scenario, *, concurrency: int
) -> Verdict | None:
    """One run; None where the vendor ended it."""
    client = BuenaClient(
        sandbox.api_key,
        sandbox.url,
        concurrency=concurrency,
        timeout=scenario.timeout,
        backoff=0.01,
        limits=None,
    )
    with client:
        try:
            result = Enricher(client, store, max_wait=scenario.max_wait).run(table)
        except VendorError:
            return None
    return judge(sandbox, store, table, result)
