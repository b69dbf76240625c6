"""One run of the benchmarks: its inputs, made when first asked for, its vendor, and what it has found out."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.figures import Charge, Measurement, Results
from bench.measuring import ROOT, PieceError, Side, in_turn, run
from bench.sizes import Sizes, people_in


@dataclass(frozen=True, slots=True)
class Vendor:
    """A running server: its API's URL, the key that it takes, and its own count."""

    root: str
    url: str
    key: str

    def tally(self) -> dict[str, int]:
        """What it has charged since it was asked last."""
        with urlopen(f"{self.root}/charges") as answer:  # noqa: S310 - a loopback address
            tally: dict[str, int] = json.load(answer)
        with urlopen(Request(f"{self.root}/forget", method="POST", data=b"")):  # noqa: S310
            return tally


class Session:
    """What the cases share.

    Args:
        folder: where inputs are kept while it lasts.
        sizes: how much is measured.
        results: what everything goes to.
    """

    def __init__(self, folder: Path, sizes: Sizes, results: Results) -> None:
        self.folder = folder
        self.sizes = sizes
        self.results = results
        self._began = time.monotonic()

    # --- inputs -----------------------------------------------------------------------------------------

    def leads(self, rows: int, *, spelling: int = 0) -> str:
        """The file of a lead table."""
        path = self.folder / f"leads-{rows}-{spelling}.parquet"
        return self._made(path, "building.leads", path=str(path), rows=rows, spelling=spelling)

    def keys(self, rows: int) -> str:
        """The file of identity keys with chains."""
        path = self.folder / f"keys-{rows}.parquet"
        return self._made(path, "building.keys", path=str(path), rows=rows)

    def store(self, rows: int) -> str:
        """The store that knows everybody in a lead table of so many rows."""
        path = self.folder / f"store-{rows}.duckdb"
        answers = str(self.folder / f"answers-{rows}.parquet")
        return self._made(path, "building.store", path=str(path), people=people_in(rows), answers=answers)

    def answers(self, rows: int) -> str:
        """The file with what that store knows."""
        self.store(rows)
        return str(self.folder / f"answers-{rows}.parquet")

    def sample(self, rows: int, count: int) -> str:
        """The file with some leads that a store knows, and the keys under which it has them."""
        path = self.folder / f"sample-{rows}-{count}.json"
        return self._made(path, "onelead.sample", store=self.store(rows), out=str(path), count=count)

    def cache(self, rows: int, first: int) -> str:
        """The cache of the pandas script with everybody in the first rows of a table."""
        path = self.folder / f"cache-{rows}-{first}.sqlite"
        arguments = {"leads": self.leads(rows), "answers": self.answers(rows)}
        return self._made(path, "peers.script_cache", path=str(path), rows=first, **arguments)

    def enriched(self, rows: int) -> str:
        """The enriched table as a file."""
        path = self.folder / f"ours-{rows}.parquet"
        arguments = {"leads": self.leads(rows), "store": self.store(rows), "out": str(path)}
        return self._made(path, "warm.ours_files", **arguments)

    def _made(self, path: Path, piece: str, /, **arguments: Any) -> str:
        if not path.exists():
            try:
                sample = run(Side(f"making {path.name}", piece, arguments))
            except PieceError:
                path.unlink(missing_ok=True)  # half a file would be taken for a whole one
                raise
            self.say(f"made {path.name}: {path.stat().st_size / 1e6:,.1f} MB in {sample.wall:.1f} s")
        return str(path)

    # --- measuring --------------------------------------------------------------------------------------

    def compare(
        self, case: str, sides: Sequence[Side], *, repeats: int, vendor: Vendor | None = None
    ) -> list[Measurement]:
        """Measures sides in turn.

        Args:
            case: what they belong to.
            sides: who is measured.
            repeats: how often.
            vendor: whom they buy from; then what they were charged is counted.

        Returns:
            The measurements of each side, which are in the results, too.

        Raises:
            PieceError: if one of them fails.
        """
        measured = {side.name: Measurement(case, side.name, side.size) for side in sides}
        for side in in_turn(sides, repeats):
            sample = run(side)
            self.say(
                f"{case}, {side.name}: {sample.wall:.2f} s, CPU {sample.cpu:.2f} s, "
                f"peak {sample.peak / 1e9:.2f} GB"
            )
            measured[side.name].samples.append(asdict(sample))
            if vendor is not None and side.people is not None:
                tally = vendor.tally()
                who = f"{side.name}, {case}"
                charge = Charge(who, side.people, tally["leads"], tally["most"], ours=side.ours)
                self.results.charges.append(charge)
        self.results.measurements += measured.values()
        return list(measured.values())

    def warm_up(self, sides: Sequence[Side]) -> None:
        """Runs sides once without telling: files are read, and Python has compiled them."""
        for side in sides:
            run(side)

    @contextlib.contextmanager
    def vendor(self, latency: float) -> Iterator[Vendor]:
        """A vendor in a process of its own, which ends with the block."""
        command = [sys.executable, "-m", "bench.server", "--latency", str(latency)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            try:
                root, _, key = process.stdout.readline().strip().partition(" ")  # type: ignore[union-attr]
                yield Vendor(root, f"{root}/api/v2", key)
            finally:
                process.stdin.close()  # type: ignore[union-attr]

    def say(self, what: str) -> None:
        """Tells how far the run has come."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"[{minutes:2}:{seconds:02}] {what}", flush=True)
