"""What a lead costs: learned from a run's answers, because the vendor documents no more than an example."""

from __future__ import annotations

from typing import Final

from buena_pipeline.terms import affordable
from buena_pipeline.wire import Answer

_EXAMPLE: Final = 1.0
"""Credits a lead costs in the vendor's documentation."""

_DEAREST: Final = 10.0
"""Credits a lead is thought to cost at most while no answer of a run has told."""

_ROUNDING: Final = 1e-9


class Price:
    """Credits a lead costs.

    Args:
        known: what it has cost lately; None if nobody knows.

    Example:
        >>> price = Price(None)
        >>> price.learn(("company",), found=10, used=20.0)
        >>> price.of_a_lead, price.is_known
        (2.0, True)

    Rests on ``creditsUsed`` of ``POST /enrich``.
    """

    def __init__(self, known: float | None) -> None:
        self._known = known
        self._confirmed = False
        self._cheapest: dict[tuple[str, ...], float] = {}

    @property
    def of_a_lead(self) -> float:
        """The dearest that answers have told, else the vendor's documented example."""
        return _EXAMPLE if self._known is None else self._known

    @property
    def is_known(self) -> bool:
        """Whether an answer has told it, of this run or of another one."""
        return self._known is not None

    def hear(self, known: float | None) -> None:
        """What other runs have learned, as long as this one knows nothing."""
        if self._known is None:
            self._known = known

    def most_leads(self, left: float) -> int:
        """How many leads may be asked for with so many credits left.

        Until an answer of this run has told the price, which may have risen since it was learned, no more
        than the credits would pay for if a lead were dear; one lead at least, or nobody would ever know.
        """
        leads = affordable(left, self.of_a_lead)
        return leads if self._confirmed else min(leads, max(affordable(left, _DEAREST), 1))

    @property
    def is_confirmed(self) -> bool:
        """Whether an answer of this run has told it."""
        return self._confirmed

    def learn(self, blocks: tuple[str, ...], *, found: int, used: float) -> None:
        """From an answer that mentions everybody it was asked for.

        Args:
            blocks: what was asked for.
            found: how many people were found.
            used: what the answer cost.
        """
        if found == 0:
            return
        self._confirmed = True
        price = used / found
        self._known = max(self._known or 0.0, price)
        self._cheapest[blocks] = min(self._cheapest.get(blocks, price), price)

    def is_exceeded(self, blocks: tuple[str, ...], answer: Answer, *, found: int) -> bool:
        """Whether an answer may have charged more people than it has found; rather yes than no."""
        if not answer.credits_used:
            return False
        # before a complete answer has told the price of this kind, only the documented one clears the others
        price = self._cheapest.get(blocks)
        if price is None:
            return answer.credits_used != found * _EXAMPLE
        return answer.credits_used > found * price + _ROUNDING
