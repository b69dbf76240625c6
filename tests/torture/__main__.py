"""The long torture: ``python -m tests.torture`` prints what came of every fault, as a table in Markdown.

``TORTURE_ROUNDS`` says how many rounds of kill -9 there are (default 300); other faults come in proportion.
Ends with 1 if anybody paid twice, anything was lost, or any other promise was not kept.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.torture.tallies import Tally, tortures


def main() -> int:
    """Prints the table; the exit code."""
    rounds, began = int(os.environ.get("TORTURE_ROUNDS", "300")), time.monotonic()
    total, complaints = Tally(), []
    print("| fault | runs | faults injected | people charged | unknown | paid twice | lost |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        planned = [(name, [pool.submit(torture) for torture in some]) for name, some in tortures(rounds)]
        for name, futures in planned:
            tally = Tally()
            for future in futures:
                error = future.exception()
                tally.add(
                    Tally(complaints=[f"{type(error).__name__}: {error}"]) if error else future.result()
                )
            total.add(tally)
            complaints += [f"- {name}: {complaint}" for complaint in tally.complaints]
            print(row(name, tally), flush=True)
    print(row("**all**", total))
    print(f"\nIn {time.monotonic() - began:.0f} s.", "Not kept:" if complaints else "Every promise was kept.")
    print("\n".join(complaints))
    return bool(complaints)


def row(name: str, tally: Tally) -> str:
    """A line of the table."""
    counts = (tally.runs, tally.injected, tally.charged, tally.unknown, tally.paid_twice, tally.lost)
    return f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |"


if __name__ == "__main__":
    sys.exit(main())
