"""Somebody who looks into a store while others write, with nothing but DuckDB.

``python -m tests.torture.reader FILE`` begins at a line on standard input, and counts the people every 100 ms
until that ends, with a short retry of its own. Says as one JSON object every count it saw, every failure, and
how long it tried.
"""

from __future__ import annotations

import json
import select
import sys
import time
from typing import Final

import duckdb

_EVERY: Final = 0.1
_PATIENCE: Final = 5.0


def count(path: str) -> int:
    """How many people are in the store; tries for some seconds to get in."""
    latest = time.monotonic() + _PATIENCE
    while True:
        try:
            with duckdb.connect(path, read_only=True) as connection:
                return connection.sql("select count(*) from leads").fetchall()[0][0]
        except duckdb.IOException:
            if time.monotonic() > latest:
                raise
            time.sleep(0.01)


def main() -> None:
    """Looks, and says what it saw."""
    path = sys.argv[1]
    seen: list[int] = []
    failures: list[str] = []
    longest = 0.0
    print("ready", flush=True)
    sys.stdin.readline()
    while not select.select([sys.stdin], [], [], _EVERY)[0]:
        began = time.monotonic()
        try:
            seen.append(count(path))
        except duckdb.Error as error:
            failures.append(str(error))
        longest = max(longest, time.monotonic() - began)
    print(json.dumps({"seen": seen, "failures": failures, "longest": longest}))


if __name__ == "__main__":
    main()
