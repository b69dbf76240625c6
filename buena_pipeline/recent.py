"""What was found out lately, for as long as nothing it was found in has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """The values asked for last, all from one state of their source. Thread-safe.

    Args:
        most: how many are kept; the one that was not asked for longest goes first.

    Example:
        >>> recent = Recent(most=2)
        >>> recent.keep("jane", 1, state="before")
        >>> recent.get("jane", state="before"), recent.get("jane", state="after"), len(recent)
        (1, None, 0)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._state: object = None
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: _Key, *, state: object) -> _Value | None:
        """The value of a key; None where none is kept from this state of the source."""
        with self._lock:
            self._turn_to(state)
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def keep(self, key: _Key, value: _Value, *, state: object) -> None:
        """Keeps a value that was found in this state of the source."""
        with self._lock:
            self._turn_to(state)
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)

    def _turn_to(self, state: object) -> None:
        """Lets go of what was found in another state: some of it may have been erased since."""
        if self._state != state:
            self._values.clear()
            self._state = state
