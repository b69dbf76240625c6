"""Draws that depend on words alone: the same in every process, on every machine, in every Python version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A sequence of draws that follows from the words it was made with.

    Only ``random.random()`` is drawn from, because it alone is promised to stay the same between Python
    versions.

    Args:
        words: what the draws follow from, such as a seed and a person's identity.

    Example:
        >>> Dice(0, "jane@acme.com").pick("abcdef") == Dice(0, "jane@acme.com").pick("abcdef")
        True
    """

    def __init__(self, *words: object) -> None:
        self._random = random.Random(int(digest(*words, size=16), 16))  # noqa: S311 - nothing here is a secret

    def chance(self, share: float) -> bool:
        """True in this share of the draws."""
        return self._random.random() < share

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.number(0, len(choices) - 1)]

    def some(self, choices: Sequence[T], low: int, high: int) -> list[T]:
        """From low to high different ones of the choices, in drawn order."""
        return self.shuffled(choices)[: self.number(low, high)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All the items in drawn order; two or more never stay in the order they came in."""
        order = sorted(range(len(items)), key=lambda _: self._random.random())
        if order == list(range(len(items))):
            order.reverse()
        return [items[position] for position in order]


def digest(*words: object, size: int = 4) -> str:
    """The words as a hexadecimal digest of ``2 * size`` digits.

    Example:
        >>> digest("jane", "acme")
        'd7732fed'
    """
    text = "\x1f".join(map(str, words))
    # A lead may hold a lone surrogate, which is valid JSON and must not fall over here.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
