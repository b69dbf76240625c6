"""The vendor's limits: what a plan allows, and the counters that hold a caller to it. No clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from buena_pipeline import settings


@dataclass(frozen=True, slots=True)
class RateLimits(settings.RateLimits):
    """What an API key may do in which time; None lifts a limit.

    Args:
        minute: requests a minute.
        hour: requests an hour.
        day: requests a day.
        enrichments_per_hour: leads an hour, as some plans have it. A request is let through while any are
            left, so a batch larger than the whole allowance is not refused for ever.

    Raises:
        SettingsError: if a limit is not a positive number.

    Example:
        >>> RateLimits(minute=10)
        RateLimits(minute=10, hour=1000, day=10000, enrichments_per_hour=None)

    Rests on the vendor's request limits per key.
    """

    enrichments_per_hour: int | None = None


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
        limits: what the key may do.

    Example:
        >>> limiter = RateLimiter(RateLimits(minute=1))
        >>> limiter.exceeded(now=0.0)
        >>> limiter.count(now=0.0).window
        'minute'
        >>> limiter.exceeded(now=15.0).wait(15.0)
        45
    """

    def __init__(self, limits: RateLimits) -> None:
        sizes = (("minute", limits.minute, 60), ("hour", limits.hour, 3_600), ("day", limits.day, 86_400))
        self._windows = [
            FixedWindow(name, limit, seconds) for name, limit, seconds in sizes if limit is not None
        ]
        per_hour = limits.enrichments_per_hour
        self._enrichments = None if per_hour is None else FixedWindow("hour", per_hour, 3_600)

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
