"""What was measured, as numbers that can be told: medians, spreads, ratios, and whether a target was met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a figure.

    Attributes:
        bound: the number.
        at_least: whether it is a lower bound; else an upper one.
    """

    bound: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def share(self, value: float) -> float:
        """How much of the bound a value takes; 1 and less is within it."""
        if not self.at_least:
            return value / self.bound
        return self.bound / value if value else math.inf


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison.

    Attributes:
        key: names it in the results, such as ``warm.cpu``.
        what: what was measured, as people read it.
        ours: the library's numbers, one for each repetition.
        baseline: the numbers of what it is compared with, in step; or one number for an ideal.
        against: what it is compared with.
        unit: of both: ``s``, ``ms``, ``GB``, ``leads/s``; or ``runs`` for 1 where it runs and 0 where not.
        turned: the ratio is the baseline's number divided by ours: "so many times as fast".
        target: what is asked of the ratio, or of our number where there is none; None for what is only shown.
        note: what a reader has to know.
    """

    key: str
    what: str
    ours: Sequence[float]
    against: str = ""
    baseline: Sequence[float] = ()
    unit: str = "s"
    target: Target | None = None
    turned: bool = False
    note: str = ""

    @property
    def alone(self) -> bool:
        """Whether there is nothing that it is compared with."""
        return not self.baseline

    @property
    def ratios(self) -> list[float]:
        """The ratio in each repetition."""
        others = list(self.baseline) * (len(self.ours) if len(self.baseline) == 1 else 1)
        pairs = zip(self.ours, others, strict=True)
        return [other / own if self.turned else own / other for own, other in pairs]

    @property
    def value(self) -> float:
        """What the target is about: the ratio of the medians, or the median itself."""
        if self.alone:
            return median(self.ours)
        own, other = median(self.ours), median(self.baseline)
        return other / own if self.turned else own / other

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most of what ``value`` is."""
        values = self.ours if self.alone else self.ratios
        return min(values), max(values)

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        return None if self.target is None else self.target.met(self.value)


@dataclass(frozen=True, slots=True)
class Measurement:
    """All repetitions of one side of a comparison.

    Attributes:
        case: what it belongs to.
        side: who was measured.
        size: rows, people or calls.
        samples: figures of ``measuring.Sample``, as a mapping each.
    """

    case: str
    side: str
    size: int
    samples: list[dict[str, Any]] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        """One figure of all repetitions."""
        return [sample[name] for sample in self.samples]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a run was charged, by the vendor's own count.

    Attributes:
        who: what bought.
        people: different people in the table, by the way it was made.
        charged: leads that were charged.
        most: how often one person was charged at most.
        ours: whether it was the library, which must charge everybody exactly once.
    """

    who: str
    people: int
    charged: int
    most: int
    ours: bool = True

    @property
    def per_person(self) -> float:
        """Charges a person."""
        return self.charged / self.people

    @property
    def exact(self) -> bool:
        """Whether everybody was charged once."""
        return self.charged == self.people and self.most == 1


@dataclass(slots=True)
class Results:
    """Everything that a run of the benchmarks found out."""

    machine: dict[str, str]
    sizes: str
    figures: list[Figure] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing broke, and the library charged everybody exactly once."""
        return not self.failures and all(charge.exact for charge in self.charges if charge.ours)
