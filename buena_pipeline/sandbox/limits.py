"""The vendor's limits: the counters that hold a caller to what a plan allows. No clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from buena_pipeline.settings import RateLimits


@dataclass(frozen=True, slots=True)
class Quota:
    """Where a window stands.

    Args:
        limit: how many it allows.
        remaining: how many are left.
        reset: Unix time in seconds at which the next window begins.
        window: its name.
    """

    limit: int
    remaining: int
    reset: int
    window: str

    def wait(self, now: float) -> int:
        """Whole seconds until the next window begins, at least one."""
        return max(1, math.ceil(self.reset - now))


class FixedWindow:
    """A counter that starts again at every full window of the clock.

    Args:
        name: what the vendor calls the window.
        limit: how many it allows.
        seconds: how long it lasts.

    Example:
        >>> window = FixedWindow("minute", 60, 60)
        >>> window.count(now=90.0)
        >>> window.quota(now=100.0)
        Quota(limit=60, remaining=59, reset=120, window='minute')
        >>> window.quota(now=120.0).remaining
        60
    """

    def __init__(self, name: str, limit: int, seconds: int) -> None:
        self._name = name
        self._limit = limit
        self._seconds = seconds
        self._number = -1
        self._used = 0

    def count(self, *, now: float, amount: int = 1) -> None:
        """Count something that happened now."""
        self._roll(now)
        self._used += amount

    def quota(self, *, now: float) -> Quota:
        """Where the window of now stands."""
        self._roll(now)
        remaining = max(0, self._limit - self._used)
        return Quota(self._limit, remaining, (self._number + 1) * self._seconds, self._name)

    def _roll(self, now: float) -> None:
        """Start again if now lies in another window."""
        number = int(now // self._seconds)
        if number != self._number:
            self._number, self._used = number, 0


class RateLimiter:
    """Holds one API key to its limits.

    Args:
        limits: requests it may send in which time.
        enrichments_per_hour: leads an hour, as some plans have it; None for no limit. A request passes while
            any are left, so a batch larger than the whole allowance is not refused for ever.

    Example:
        >>> limiter = RateLimiter(RateLimits(minute=1))
        >>> limiter.exceeded(now=0.0)
        >>> limiter.count(now=0.0).window
        'minute'
        >>> limiter.exceeded(now=15.0).wait(15.0)
        45
    """

    def __init__(self, limits: RateLimits, *, enrichments_per_hour: int | None = None) -> None:
        sizes = (("minute", limits.minute, 60), ("hour", limits.hour, 3_600), ("day", limits.day, 86_400))
        self._windows = [
            FixedWindow(name, limit, seconds) for name, limit, seconds in sizes if limit is not None
        ]
        self._enrichments = (
            None if enrichments_per_hour is None else FixedWindow("hour", enrichments_per_hour, 3_600)
        )

    def exceeded(self, *, now: float) -> Quota | None:
        """The used-up window that ends last, or None if a request may pass."""
        quotas = [window.quota(now=now) for window in self._windows]
        return max(
            (quota for quota in quotas if not quota.remaining), key=lambda quota: quota.reset, default=None
        )

    def count(self, *, now: float) -> Quota | None:
        """Count a request; returns where its tightest window stands, or None without limits."""
        for window in self._windows:
            window.count(now=now)
        quotas = [window.quota(now=now) for window in self._windows]
        return min(quotas, key=lambda quota: quota.remaining, default=None)

    def enrichments_exceeded(self, *, now: float) -> Quota | None:
        """The hour's enrichments if they are used up, else None."""
        quota = self._enrichments.quota(now=now) if self._enrichments else None
        return quota if quota is not None and not quota.remaining else None

    def count_enrichments(self, amount: int, *, now: float) -> None:
        """Count leads that were enriched."""
        if self._enrichments:
            self._enrichments.count(now=now, amount=amount)
