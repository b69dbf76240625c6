"""What others take for people they do not know, beside the library's numbers. Nobody has a target for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench.figures import Figure
from bench.measuring import PieceError, Side
from bench.session import Session
from bench.sizes import people_in

OPENAIVEC: Final = Path(sys.prefix + "-openaivec") / "bin" / "python"
"""The interpreter of the environment that the make target keeps for openaivec."""

_IN_FLIGHT: Final = 16


def cold(session: Session) -> list[Figure]:
    """The vendor's example loop, the pandas script and openaivec's batch cache, each on a few rows."""
    few, more = session.sizes.loop_rows, session.sizes.peer_rows
    leads = session.leads(more)
    with session.vendor(0.2) as vendor:
        at = {"leads": leads, "url": vendor.url, "key": vendor.key}
        sides = [
            Side("the vendor's example loop", "peers.example_loop", {**at, "rows": few}, few, people_in(few)),
            Side(
                "pandas + requests + SQLite", "peers.script_cold", {**at, "rows": more}, more, people_in(more)
            ),
            Side(
                f"openaivec, {_IN_FLIGHT} in flight",
                "peers.openaivec",
                {**at, "rows": more, "in_flight": _IN_FLIGHT},
                more,
                people_in(more),
                python=str(OPENAIVEC),
            ),
            Side(
                f"enrich_frame, {_IN_FLIGHT} in flight",
                "cold.ours",
                {**at, "in_flight": _IN_FLIGHT},
                more,
                people_in(more),
                ours=True,
            ),
        ]
        for side in sides:
            try:
                session.compare("cold, 200 ms, beside others", [side], repeats=1, vendor=vendor)
            except (PieceError, OSError) as error:
                if side.python == sys.executable:
                    raise
                vendor.tally()
                session.results.remarks.append(
                    f"openaivec is not measured: {str(error).strip().splitlines()[-1]}"
                )
    return []
