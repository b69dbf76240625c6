"""What a lead costs: learned from a run's answers, because the vendor documents no more than an example."""

from __future__ import annotations

from typing import Final

from buena_pipeline.wire import MAX_LEADS, Answer

_EXAMPLE: Final = 1.0
"""Credits a lead costs in the vendor's documentation."""

_ROUNDING: Final = 1e-9


class Price:
    """Credits a lead costs.

    Args:
        known: what it has cost lately; None if nobody knows.

    Attributes:
        probe: how many leads to ask with while nobody knows.

    Example:
        >>> price = Price(None)
        >>> price.learn(("company",), found=10, used=20.0)
        >>> price.of_a_lead, price.is_known
        (2.0, True)

    Rests on ``creditsUsed`` of ``POST /enrich``.
    """

    def __init__(self, known: float | None) -> None:
        self.probe = 1
        self._known = known
        self._cheapest: dict[tuple[str, ...], float] = {}

    @property
    def of_a_lead(self) -> float:
        """The dearest that answers have told, else the vendor's documented example."""
        return _EXAMPLE if self._known is None else self._known

    @property
    def is_known(self) -> bool:
        """Whether an answer has told it."""
        return self._known is not None

    def learn(self, blocks: tuple[str, ...], *, found: int, used: float) -> None:
        """From an answer that mentions everybody it was asked for.

        Args:
            blocks: what was asked for.
            found: how many people were found.
            used: what the answer cost.
        """
        if found == 0:
            self.probe = min(2 * self.probe, MAX_LEADS)
            return
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
