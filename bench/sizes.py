"""How much is measured, and how often: all of it for ``make bench``, little for ``make bench-quick``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


def people_in(rows: int) -> int:
    """How many people stand in so many rows of the invented table: every tenth repeats an earlier one."""
    return rows - rows // 10


def rows_for(people: int) -> int:
    """How many rows have so many people."""
    return people + (people - 1) // 9


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows, people and repetitions.

    Attributes:
        name: what the results call it.
        main: rows of the warm path in memory, of the scores, and people of the store for one lead.
        large: rows of the identity keys and of the grouping.
        scaling: rows of the warm path from file to file.
        sample: rows of what plain Python is measured on, which is scaled to the rest.
        script: rows of what the pandas script is measured on, which is scaled to the rest.
        ideal_people: people bought at 16 in flight.
        wide_people: people bought at 64 in flight.
        busy_people: people bought without latency.
        paid: people whose charges are counted in runs that are only for that.
        once: rows from which on things are measured once or twice only.
        repeats: how often anything is measured.
        imports: how often imports are.
        loop_rows: rows of the vendor's example loop.
        peer_rows: rows of the other peers.
    """

    name: str
    main: int
    large: int
    scaling: tuple[int, ...]
    sample: int
    script: int
    ideal_people: int
    wide_people: int
    busy_people: int
    paid: tuple[int, ...]
    once: int
    repeats: int
    imports: int
    loop_rows: int
    peer_rows: int

    def times(self, rows: int) -> int:
        """How often something of so many rows is measured."""
        return self.repeats if rows < self.once else 1

    @property
    def room(self) -> int:
        """Bytes of disk that all inputs and outputs may take."""
        return 1_200 * max(self.main, self.large, *self.scaling)

    def up_to(self, rows: int) -> Sizes:
        """The same, with no table larger than that."""
        return replace(
            self,
            main=min(self.main, rows),
            large=min(self.large, rows),
            scaling=tuple(size for size in self.scaling if size <= rows),
        )


FULL: Final = Sizes(
    name="full",
    main=1_000_000,
    large=10_000_000,
    scaling=(10_000, 100_000, 1_000_000, 10_000_000),
    sample=200_000,
    script=100_000,
    ideal_people=50_000,
    wide_people=100_000,
    busy_people=50_000,
    paid=(10_000, 100_000, 1_000_000),
    once=5_000_000,
    repeats=3,
    imports=15,
    loop_rows=1_000,
    peer_rows=5_000,
)

QUICK: Final = Sizes(
    name="quick",
    main=100_000,
    large=100_000,
    scaling=(1_000, 10_000, 100_000),
    sample=20_000,
    script=20_000,
    ideal_people=10_000,
    wide_people=20_000,
    busy_people=10_000,
    paid=(1_000, 10_000),
    once=5_000_000,
    repeats=2,
    imports=5,
    loop_rows=150,
    peer_rows=1_000,
)
