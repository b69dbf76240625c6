"""When the next request may leave: a pure decision from what the ledger says. Reads no clock, sleeps nothing.

Every process asks the same ledger, so all of them together keep the limits of the one key they share.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.settings import RateLimits

WINDOWS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
"""How long each window of the vendor's request limits lasts."""

_SLOWEST_ANSWER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Quota:
    """What the headers of an answer said of one window.

    Args:
        observed_at: when the request left whose answer it was: ``remaining`` does not count later ones yet.
        window: its name; the contract has ``minute``, ``hour`` and ``day``.
        limit: requests it allows.
        remaining: requests left in it.
        resets_at: when it begins anew.

    Rests on the headers ``X-RateLimit-*``.
    """

    observed_at: datetime
    window: str
    limit: float
    remaining: float
    resets_at: datetime


def next_slot(
    sent: Sequence[datetime] | pl.Series,
    limits: RateLimits,
    *,
    now: datetime,
    quota: Quota | None = None,
    blocked_until: datetime | None = None,
) -> datetime:
    """The first moment at which every window lets one more request pass.

    A window that has passed fewer than four fifths of its requests lets the next one pass at once. The last
    fifth is spread evenly over the time until the window gives places back, so that a fast caller slows down
    instead of standing still.

    Args:
        sent: when requests left during the last day, whichever process sent them, ascending; a list or a
            Series (Datetime, UTC). Moments after ``now``, by another clock, count as now.
        limits: requests in any minute, hour and day.
        now: the time; like all moments in UTC.
        quota: what the vendor said last. Until its window begins anew it stands in for our own count and
            limit of that window; from then on for the limit only. A window of another name holds back when
            nothing remains in it, and does nothing else.
        blocked_until: nothing leaves before, as after a 429.

    Returns:
        ``now`` or a later moment. Without further requests it stays the same however often it is asked for.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        >>> sent = [noon + timedelta(seconds=second) for second in (0, 1, 2, 3)]
        >>> five_a_minute = RateLimits(minute=5)
        >>> f"{next_slot(sent[:3], five_a_minute, now=sent[-1]):%X}"  # there is room
        '12:00:03'
        >>> f"{next_slot(sent, five_a_minute, now=sent[-1]):%X}"  # the last one, half way to 12:01:00
        '12:00:31'

    Rests on the vendor's request limits per key: a minute, an hour and a day, all at once.
    """
    slot = now if blocked_until is None else max(now, blocked_until)
    # a window that is full now may have room by the time another one lets the request pass, and the other way
    while (later := _held_until(sent, limits, quota, now, slot)) > slot:
        slot = later
    return slot


def time_for(
    requests: int,
    sent: Sequence[datetime] | pl.Series,
    limits: RateLimits,
    *,
    now: datetime,
    quota: Quota | None = None,
    blocked_until: datetime | None = None,
) -> timedelta:
    """The shortest time in which so many requests can leave.

    Args:
        requests: how many.
        sent: as for ``next_slot``.
        limits: as for ``next_slot``.
        now: the time, in UTC.
        quota: as for ``next_slot``.
        blocked_until: as for ``next_slot``.

    Returns:
        The time from now until the last one leaves, if each leaves at its ``next_slot``.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        >>> time_for(10_001, [], RateLimits(), now=noon)
        datetime.timedelta(days=1)
    """
    allowed: dict[str, int] = {
        name: limit
        for name in WINDOWS
        if (limit := _limit_of(name, limits, quota)) is not None and len(sent) + requests > limit * 4 // 5
    }
    if requests < 1:
        return timedelta(0)
    history = [min(moment, now) for moment in sent]
    slot = next_slot(history, limits, now=now, quota=quota, blocked_until=blocked_until)
    if not allowed:
        return slot - now
    # of the windows that matter, the slowest repeats itself: one round of it tells all others
    slowest = max(allowed, key=lambda name: WINDOWS[name] / allowed[name])
    rounds, rest = divmod(requests - 1, allowed[slowest])
    if rounds and history:  # what others sent may have been closer together than a round of ours can be
        rounds, rest = rounds - 1, rest + allowed[slowest]
    for _ in range(rest):
        history.append(slot)
        slot = next_slot(history, limits, now=slot, quota=quota)
    return slot - now + rounds * WINDOWS[slowest]


def _limit_of(window: str, limits: RateLimits, quota: Quota | None) -> int | None:
    """How many requests a window allows: by what the vendor said of it, else by what was agreed."""
    if quota is not None and quota.window == window and 1 <= quota.limit < math.inf:
        return int(quota.limit)
    limit: int | None = getattr(limits, window)
    return limit


def _held_until(
    sent: Sequence[datetime] | pl.Series,
    limits: RateLimits,
    quota: Quota | None,
    now: datetime,
    slot: datetime,
) -> datetime:
    """Until when the windows, as they stand at ``slot``, hold a request back; ``slot`` if none does."""
    held = [slot]
    for name, length in WINDOWS.items():
        limit = _limit_of(name, limits, quota)
        if quota is not None and quota.window == name:
            # no window outlasts its length, however far the vendor's clock is from ours
            resets_at = min(quota.resets_at, min(quota.observed_at, now) + _SLOWEST_ANSWER + length)
            if slot < resets_at:
                held.append(_held_by_quota(sent, quota, resets_at, now))
                continue
        if limit is not None:
            held.append(_held_by_count(sent, limit, length, now, slot))
    if quota is not None and quota.window not in WINDOWS and not quota.remaining - _since(sent, quota) >= 1:
        held.append(quota.resets_at)
    return max(held)


def _held_by_count(
    sent: Sequence[datetime] | pl.Series, limit: int, length: timedelta, now: datetime, slot: datetime
) -> datetime:
    """By our own count of the window that ends with ``slot``."""
    nearly = -(-limit * 4 // 5)
    if len(sent) < nearly or min(sent[-nearly], now) <= slot - length:
        return slot
    if len(sent) >= limit and (gives_back := min(sent[-limit], now) + length) > slot:
        return gives_back
    # between these two bounds, and so with a place left, even where moments are out of order
    first = bisect_right(sent, slot - length, max(len(sent) - limit + 1, 0), len(sent) - nearly)
    left = limit - (len(sent) - first)
    return _spread(min(sent[-1], now), min(sent[first], now) + length, left)


def _held_by_quota(
    sent: Sequence[datetime] | pl.Series, quota: Quota, resets_at: datetime, now: datetime
) -> datetime:
    """By what the vendor said of a window that has not begun anew."""
    left = quota.remaining - _since(sent, quota)
    if not left >= 1:
        return resets_at
    if left <= quota.limit / 5 < math.inf:
        return _spread(min(sent[-1] if len(sent) else quota.observed_at, now), resets_at, left)
    return now


def _since(sent: Sequence[datetime] | pl.Series, quota: Quota) -> int:
    """How many requests left after the one whose answer gave the quota."""
    return len(sent) - bisect_right(sent, quota.observed_at)


def _spread(last: datetime, until: datetime, left: float) -> datetime:
    """When the next of the places left is due, if they lie evenly between the last request and ``until``."""
    return last + (until - last) / (left + 1)
