"""One measured piece: ``python -m bench.worker MODULE.FUNCTION ARGUMENTS`` runs it and prints what it took.

Imports only what Python brings, because the pieces say themselves when their imports are done.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

from bench.confining import confine

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


class Watch:
    """Started by a piece when its imports and inputs are there, stopped when its work is done."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self._began = 0.0

    def start(self) -> None:
        """From here on it counts."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.figures["before_cpu"] = usage.ru_utime + usage.ru_stime
        self.figures["before_peak"] = usage.ru_maxrss * _UNIT
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Up to here."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.figures["wall"] = time.perf_counter() - self._began
        self.figures["cpu"] = usage.ru_utime + usage.ru_stime - self.figures["before_cpu"]


def main() -> None:
    """Runs the piece that the command line names."""
    module, _, function = sys.argv[1].rpartition(".")
    arguments = json.loads(sys.argv[2])
    room = arguments.pop("room", None)
    confined = {"confined": confine(room)} if room else {}
    watch = Watch()
    piece = getattr(importlib.import_module(f"bench.pieces.{module}"), function)
    told = {**(piece(watch, **arguments) or {}), **confined}
    print(json.dumps({**watch.figures, "told": told}))


if __name__ == "__main__":
    main()
