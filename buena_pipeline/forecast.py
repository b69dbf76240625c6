"""What a run remembers of its own pace, to say when it will be done. Reads a clock; decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from buena_pipeline.estimate import estimated_end
from buena_pipeline.settings import RateLimits
from buena_pipeline.store import Traffic
from buena_pipeline.wire import MAX_LEADS

_LEAST: Final = 0.5
"""Seconds for which an estimate is good enough."""

_SHARE: Final = 20
"""Estimating takes at most one of so many seconds: it walks through a window of the limits."""


class Forecast:
    """The pace of a run so far.

    Example:
        >>> forecast = Forecast()
        >>> forecast.expect(3)
        >>> forecast.sent()
    """

    def __init__(self) -> None:
        self._requests = 0
        self._began: float | None = None
        self._idle = 0.0
        self._due = 0.0
        self._blocked: datetime | None = None
        self._end: datetime | None = None

    def expect(self, requests: int) -> None:
        """So many more requests are to be sent."""
        self._requests += requests

    def sent(self) -> None:
        """One of them has left."""
        self._requests -= 1
        self._began = time.monotonic() if self._began is None else self._began

    @contextmanager
    def idle(self, is_idle: bool) -> Iterator[None]:  # noqa: FBT001 - reads as a sentence
        """Time in which nothing is under way says nothing of how fast answers come."""
        began = time.monotonic()
        yield
        if is_idle and self._began is not None:
            self._idle += time.monotonic() - began

    def end(
        self,
        *,
        now: datetime,
        done: int,
        flying: int,
        waiting: int,
        limits: RateLimits | None,
        traffic: Traffic | None,
        blocked_until: datetime,
        answer_takes: float,
    ) -> datetime | None:
        """When everybody can be bought, as ``estimate.estimated_end`` has it.

        Args:
            now: the time, in UTC.
            done: people settled.
            flying: people of requests under way.
            waiting: people of requests that still have to leave.
            limits: the account's rate limits.
            traffic: what counted towards them lately.
            blocked_until: nothing leaves before.
            answer_takes: seconds an answer has taken lately.
        """
        clock = time.monotonic()
        overtaken = self._end is not None and self._end <= now
        if flying + waiting and clock < self._due and blocked_until == self._blocked and not overtaken:
            return self._end
        busy = 0.0 if self._began is None else clock - self._began - self._idle
        self._end = estimated_end(
            flying + waiting,
            max(self._requests, -(-waiting // MAX_LEADS)) if waiting else 0,
            now=now,
            limits=limits,
            sent=() if traffic is None else traffic.sent,
            quota=None if traffic is None else traffic.quota,
            blocked_until=blocked_until,
            seconds_each=busy / done if done else None,
            answer_takes=answer_takes,
        )
        self._blocked = blocked_until
        self._due = clock + max(_LEAST, (time.monotonic() - clock) * _SHARE)
        return self._end
