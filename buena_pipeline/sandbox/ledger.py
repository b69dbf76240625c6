"""What the sandbox charged whom, and what it was asked: the independent count behind "nobody paid twice"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Charge:
    """What one person was charged.

    Args:
        lead: the person's canonical identity, such as ``email:jane@acme.com``.
        input: the lead as it was sent first.
        count: how often it was charged.
        blocks: the blocks of each time.
        repeated: the blocks that were charged more than once.
        credits: the credits in sum.
    """

    lead: str
    input: Mapping[str, Any]
    count: int = 0
    blocks: list[list[str]] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    credits: float = 0


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One request to ``POST /enrich``.

    Args:
        number: from 1 on, in the order they came.
        status: the status answered, or None if the connection was reset instead.
        leads: how many leads it held.
        blocks: the blocks it asked for.
        credits: the credits it was charged.
        fault: the kind of the fault that struck it, or None.
    """

    number: int
    status: int | None
    leads: int
    blocks: tuple[str, ...]
    credits: float
    fault: str | None


@dataclass(slots=True)
class Ledger:
    """Charges by person and requests by number.

    Example:
        >>> ledger = Ledger()
        >>> ledger.charge("email:a@b.co", {"email": "a@b.co"}, ["contact"], 1)
        >>> ledger.charge("email:a@b.co", {"email": "A@b.co"}, ["contact", "social"], 1)
        >>> (charge,) = ledger.charges()
        >>> charge["count"], charge["repeated"], charge["input"]
        (2, ['contact'], {'email': 'a@b.co'})
    """

    _charges: dict[str, Charge] = field(default_factory=dict)
    _requests: list[RequestEntry] = field(default_factory=list)

    def charge(self, lead: str, sent: Mapping[str, Any], blocks: Sequence[str], credits: float) -> None:  # noqa: A002
        """Note that a person was charged for these blocks."""
        entry = self._charges.setdefault(lead, Charge(lead, sent))
        before = {block for bought in entry.blocks for block in bought}
        entry.repeated.extend(block for block in blocks if block in before and block not in entry.repeated)
        entry.blocks.append(list(blocks))
        entry.count += 1
        entry.credits += credits

    def note(self, entry: RequestEntry) -> None:
        """Note a request."""
        self._requests.append(entry)

    def charges(self) -> list[dict[str, Any]]:
        """One entry per person charged, in the order of the first charge."""
        return [asdict(charge) for charge in self._charges.values()]

    def requests(self) -> list[dict[str, Any]]:
        """One entry per request, in the order they came."""
        return [asdict(entry) for entry in self._requests]

    @property
    def credits_used(self) -> float:
        """All credits charged."""
        return sum(charge.credits for charge in self._charges.values())

    @property
    def request_count(self) -> int:
        """How many requests came."""
        return len(self._requests)
