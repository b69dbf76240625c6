"""When a run will have bought everybody: pure, from what is left, the rate limits and the pace so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from buena_pipeline.pace import Quota, time_for
from buena_pipeline.settings import RateLimits


def estimated_end(
    people: int,
    requests: int,
    *,
    now: datetime,
    limits: RateLimits | None,
    sent: Sequence[datetime] | pl.Series = (),
    quota: Quota | None = None,
    blocked_until: datetime | None = None,
    seconds_each: float | None = None,
    answer_takes: float = 0.0,
) -> datetime | None:
    """When everybody who is left can be bought, if nothing comes in between.

    Args:
        people: who is left, those of requests under way included.
        requests: how many still have to leave for them.
        now: the time, in UTC.
        limits: requests in any minute, hour and day; None for no limits.
        sent: when requests left during the last day, ascending.
        quota: what the vendor said last.
        blocked_until: nothing leaves before, as after a 429.
        seconds_each: how long a person has taken so far, waits for the rate limits left out; None as long as
            nobody has been bought.
        answer_takes: seconds that an answer has taken.

    Returns:
        A moment that is never before the one at which the limits let the last request go; None if nobody is
        left, if there is neither a limit nor a pace to tell it by, or if no calendar reaches that far.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        >>> two_thousand = dict(people=100_000, requests=2_000, now=noon)
        >>> f"{estimated_end(**two_thousand, limits=RateLimits()):%X}"  # the second thousand an hour later
        '13:59:45'
        >>> f"{estimated_end(**two_thousand, limits=None, seconds_each=0.005):%X}"
        '12:08:20'

    Rests on the vendor's request limits per key.
    """
    if people < 1:
        return None
    try:
        last = now
        if requests > 0:
            unlimited = RateLimits(minute=None, hour=None, day=None)
            last += time_for(
                requests, sent, limits or unlimited, now=now, quota=quota, blocked_until=blocked_until
            )
        if seconds_each is None:
            return last if last > now else None
        by_pace = now + timedelta(seconds=people * seconds_each)
        return max(by_pace, last + timedelta(seconds=answer_takes))
    except OverflowError:
        return None
