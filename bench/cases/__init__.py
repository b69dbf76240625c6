"""The cases: each measures its sides in a session and says what comes of it, as figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bench.cases import cold, columns, onelead, peers, warm
from bench.figures import Figure
from bench.session import Session

CASES: Final[Mapping[str, Callable[[Session], list[Figure]]]] = {
    "imports": onelead.imports,
    "warm": warm.in_memory,
    "files": warm.from_file_to_file,
    "lookup": onelead.lookup,
    "score": columns.score,
    "people": columns.people,
    "identity": columns.identity,
    "ideal": cold.against_the_ideal,
    "wide": cold.against_bare_httpx,
    "busy": cold.without_latency,
    "charges": cold.charges,
    "peers": peers.cold,
}
"""In the order in which they are measured."""
