"""One known lead at a time, and what it takes before the first one."""

from __future__ import annotations

from statistics import median
from typing import Final

from bench.figures import Figure, Target
from bench.measuring import Side
from bench.session import Session

_LEADS: Final = 20
_AGAIN: Final = 2_000


def imports(session: Session) -> list[Figure]:
    """The library's import against that of what it could not do without."""
    sides = [
        Side("import buena_pipeline", "onelead.import_ours"),
        Side("import polars, duckdb, httpx", "onelead.import_bare"),
    ]
    session.warm_up(sides)
    ours, bare = session.compare("imports", sides, repeats=session.sizes.imports)
    return [
        Figure(
            "import.time",
            "Import of the library: time",
            [1000 * wall for wall in ours.of("wall")],
            "`import polars, duckdb, httpx`",
            [1000 * wall for wall in bare.of("wall")],
            unit="ms",
            target=Target(1.25),
            note=f"by CPU: {median(ours.of('cpu')) / median(bare.of('cpu')):.2f}",
        )
    ]


def lookup(session: Session) -> list[Figure]:
    """``Enricher.lookup`` against one query by hand; then of a lead that was looked up just now."""
    rows = session.sizes.main
    store = session.store(rows)
    sample = session.sample(rows, _LEADS)
    ours, by_hand = session.compare(
        "lookup",
        [
            Side(
                "Enricher.lookup", "onelead.ours", {"store": store, "sample": sample, "again": _AGAIN}, _LEADS
            ),
            Side("one query by hand", "onelead.by_hand", {"store": store, "sample": sample}, _LEADS),
        ],
        repeats=session.sizes.repeats,
    )
    first = [1000 * sample["told"]["seconds"][0] for sample in ours.samples]
    first_by_hand = [1000 * sample["told"]["seconds"][0] for sample in by_hand.samples]
    people = rows - rows // 10
    return [
        Figure(
            "lookup.cold",
            f"Enricher.lookup of a known lead, {people:,} people in the store: time",
            [1000 * median(sample["told"]["seconds"]) for sample in ours.samples],
            "DuckDB by hand: connect, one query by key, close",
            [1000 * median(sample["told"]["seconds"]) for sample in by_hand.samples],
            unit="ms",
            target=Target(1.2),
            note=(
                f"medians of {_LEADS} leads, each for the first time; the first one of a process: "
                f"{median(first):.0f} ms against {median(first_by_hand):.0f} ms"
            ),
        ),
        Figure(
            "lookup.again",
            "The same lead again, from memory: median",
            [1000 * median(sample["told"]["repeated"]) for sample in ours.samples],
            unit="ms",
            target=Target(0.1),
        ),
    ]
