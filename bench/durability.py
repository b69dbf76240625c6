"""What it costs that the store knows of every request before it leaves, and of every answer when it comes.

The same table is enriched by the library as it is, and with a ledger that keeps everything in memory and
writes once at the end, in turn, each time into a new store, against a sandbox in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

import buena_pipeline.ledger
from buena_pipeline import BuenaClient, EnrichmentStore, enrich_frame
from buena_pipeline.entries import Request
from buena_pipeline.ledger import Ledger
from buena_pipeline.plan import Batch
from buena_pipeline.postings import Postings
from buena_pipeline.purchase import Buyer
from buena_pipeline.wire import MAX_LEADS

VENDOR = """
import sys
from buena_pipeline import Sandbox
with Sandbox(limits=None, latency=float(sys.argv[1]), credits=1e12) as sandbox:
    print(sandbox.url, sandbox.api_key, flush=True)
    sys.stdin.read()
"""


class FreeTurn:
    """What buying asks of a turn, without a file: no rate limits, no other runs."""

    def __init__(self, ledger: Ledger) -> None:
        self.now = datetime.now(UTC)
        self.opened: list[Request] = []
        self._ledger = ledger

    def slots(self, places: int) -> tuple[int, datetime]:
        """All of them, now."""
        return places, self.now

    def still_open(self, batches: Sequence[Batch]) -> list[Batch]:
        """All of them."""
        return list(batches)

    def open(self, batch: Batch, *, price: float) -> None:
        """Opens a request of which the store learns at the end."""
        self.opened.append(self._ledger.draft(batch, price=price, now=self.now))


class ForgetfulLedger(Ledger):
    """The baseline: a crash before the end of the run loses every answer, and who was asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unwritten: list[Request] = []

    @contextlib.contextmanager
    def turn(self) -> Iterator[Any]:
        """Writes nothing."""
        turn = FreeTurn(self)
        yield turn
        self._unwritten += turn.opened

    def outcomes(self) -> pl.DataFrame:
        """Asked for once, when everything is bought: writes the requests, then the answers."""
        answers, self._postings = self._postings, Postings()
        with super().turn() as turn:
            turn.opened += self._unwritten
        self._postings = answers
        with super().turn():
            pass
        return super().outcomes()


LEDGERS: dict[str, type[Ledger]] = {"as it is": Ledger, "durability off": ForgetfulLedger}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run: wall and CPU seconds, and the peak of its memory in bytes (None where it cannot be told)."""

    wall: float
    cpu: float
    peak: int | None


def leads(people: int) -> pl.DataFrame:
    """As many different people, with e-mail address, name and company."""
    number = pl.int_range(people).cast(pl.String)
    return pl.select(
        email=pl.format("person{}@company{}.example", number, pl.int_range(people) % 997),
        first_name=pl.format("First{}", number),
        last_name=pl.format("Last{}", number),
        company=pl.format("Company {}", pl.int_range(people) % 997),
    )


@contextlib.contextmanager
def vendor(latency: float) -> Iterator[tuple[str, str]]:
    """URL and key of a sandbox in another process, which ends with this one."""
    command = [sys.executable, "-c", VENDOR, str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url, _, key = process.stdout.readline().strip().partition(" ")  # type: ignore[union-attr]
        try:
            yield url, key
        finally:
            process.stdin.close()  # type: ignore[union-attr]


def measure(ledger: type[Ledger], table: pl.DataFrame, client: BuenaClient) -> tuple[Measurement, Any]:
    """One run into a new store; what came of it, so that both ledgers can be held to the same."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(mock.patch.object(buena_pipeline.ledger, "Ledger", ledger))
        if ledger is ForgetfulLedger:  # its turns take no time, so the library would ask for nothing ahead
            ahead = 2 * client.concurrency
            stack.enter_context(mock.patch.object(Buyer, "_ahead", return_value=ahead))
        store = EnrichmentStore(Path(folder) / "buena.duckdb")
        forget_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        enriched = enrich_frame(table, store=store, client=client)
        measured = Measurement(time.perf_counter() - wall, time.process_time() - cpu, peak())
        counts = store.sql("select state, count(*) as n from request group by state order by state")
        statuses = enriched["buena_status"].value_counts().sort("buena_status")
        return measured, (statuses.rows(), counts.rows(), store.stats().people)


def forget_peak() -> None:
    """Lets the peak of the memory start again from here (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int | None:
    """The peak of the memory since then."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("people", nargs="?", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each ledger")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds by which each answer is late")
    parser.add_argument("--in-flight", type=int, default=8, help="requests at the same time")
    asked = parser.parse_args()
    table, names = leads(asked.people), list(LEDGERS)
    runs: dict[str, list[Measurement]] = {name: [] for name in names}
    with (
        vendor(asked.latency) as (url, key),
        BuenaClient(key, url, concurrency=asked.in_flight, limits=None) as client,
    ):
        _, expected = measure(Ledger, table, client)  # the vendor has invented everybody from now on
        for number in range(asked.repeat):
            for name in names if number % 2 == 0 else reversed(names):
                measured, outcome = measure(LEDGERS[name], table, client)
                if outcome != expected:
                    raise SystemExit(f"not the same work: {name} gave {outcome}, expected {expected}")
                runs[name].append(measured)
                print(f"  run {number + 1}, {name}: {measured.wall:.2f} s", file=sys.stderr)
    report(runs, asked)


def report(runs: dict[str, list[Measurement]], asked: argparse.Namespace) -> None:
    """The medians as a table, and their ratio."""
    requests = -(-asked.people // MAX_LEADS)
    ideal = -(-requests // asked.in_flight) * asked.latency
    print(
        f"{asked.people:,} people, {requests:,} requests, {asked.in_flight} in flight, answers "
        f"{asked.latency:g} s late: {ideal:.2f} s at best; medians of {asked.repeat}\n"
    )
    print(f"{'ledger':<16}{'leads/s':>10}{'wall s':>10}{'range':>16}{'CPU s':>8}{'peak MB':>9}")
    rates = []
    for name, measured in runs.items():
        walls = [run.wall for run in measured]
        wall, cpu = statistics.median(walls), statistics.median(run.cpu for run in measured)
        peaks = [run.peak for run in measured if run.peak is not None]
        rates.append(asked.people / wall)
        told = f"{statistics.median(peaks) / 1e6:,.0f}" if peaks else "?"
        span = f"{min(walls):.2f}-{max(walls):.2f}"
        print(f"{name:<16}{rates[-1]:>10,.0f}{wall:>10.2f}{span:>16}{cpu:>8.2f}{told:>9}")
    print(f"{'ratio':<16}{rates[0] / rates[1]:>10.2f}")


if __name__ == "__main__":
    main()
