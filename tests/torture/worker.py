"""A run in a process of its own, which somebody else may kill: ``python -m tests.torture.worker --help``.

Says ``ready`` when everything is imported, begins when a line comes on standard input, and says what it did
as one JSON object. Key and address of the vendor come from the environment. Ends with 4 and the message on
standard error if the library says that it cannot go on.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore
from buena_pipeline.errors import BuenaError
from tests.torture.people import table_of

GAVE_UP: Final = 4
"""The exit code after an error of the library."""


def options() -> argparse.Namespace:
    """What is on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", help="the file of the store")
    parser.add_argument("people", help="numbers of the people, with commas between them")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=30.0, help="of the client, in seconds")
    parser.add_argument("--lock-timeout", type=float, default=60.0, help="of the store, in seconds")
    parser.add_argument("--max-wait", type=float, default=30.0, help="seconds to wait for rate limits")
    parser.add_argument("--retry-unknown", type=bool, default=False, help="as for the Enricher")
    parser.add_argument("--daily-credits", type=float, help="as for the Enricher")
    parser.add_argument("--leave", type=int, help="kilobytes to leave on the disk after the first answer")
    parser.add_argument("--quota", type=int, help="kilobytes that a file may have after the first answer")
    parser.add_argument("--output", help="a Parquet file for the enriched table")
    return parser.parse_args()


def fill_disk(folder: Path, leave: int, _: EnrichmentProgress) -> None:
    """Takes all the room that a disk has, but for some kilobytes; the next times it takes nothing."""
    filler = folder / "filler"
    if not filler.exists():
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(folder).free - 1024 * leave, 1))


def limit_files(kilobytes: int, _: EnrichmentProgress) -> None:
    """No file grows beyond so many kilobytes from now on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, resource.RLIM_INFINITY))


def main() -> None:
    """Enriches the people it was told to."""
    told = options()
    table = table_of(int(number) for number in told.people.split(","))
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever started it is gone
    client = BuenaClient(concurrency=told.concurrency, timeout=told.timeout, backoff=0.01, limits=None)
    store = EnrichmentStore(told.store, lock_timeout=told.lock_timeout)
    progress = None
    if told.leave is not None:
        progress = partial(fill_disk, Path(told.store).parent, told.leave)
    elif told.quota is not None:
        progress = partial(limit_files, told.quota)
    terms = {
        "max_wait": timedelta(seconds=told.max_wait),
        "retry_unknown": told.retry_unknown,
        "daily_credits": told.daily_credits,
    }
    try:
        with client:
            result = Enricher(client, store, progress=progress, **terms).run(table)
    except BuenaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(GAVE_UP)
    if told.output:
        result.frame.write_parquet(told.output)
    print(result.report.to_json(), flush=True)


if __name__ == "__main__":
    main()
