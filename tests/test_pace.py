"""When the next request may leave: limits kept in every window, and no time lost over it."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.pace import WINDOWS, Quota, next_slot, time_for
from buena_pipeline.schema import TIMESTAMP
from buena_pipeline.settings import RateLimits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NONE = RateLimits(minute=None, hour=None, day=None)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def seconds(moment: datetime) -> float:
    """The seconds after noon of a moment."""
    return (moment - NOON).total_seconds()


def a_minute(limit: int | None) -> RateLimits:
    """A limit a minute and no other."""
    return RateLimits(minute=limit, hour=None, day=None)


def most_in_a_window(sent: Sequence[datetime], length: timedelta) -> int:
    """The most requests that any window of that length holds."""
    return max(place + 1 - bisect_right(sent, moment - length) for place, moment in enumerate(sent))


def send(limits: RateLimits, *, until: datetime, pause: Callable[[], float] = lambda: 0.0) -> list[datetime]:
    """All requests of a caller who pauses so many seconds after each, from noon on."""
    sent: list[datetime] = []
    slot = next_slot(sent, limits, now=NOON)
    while slot < until:
        sent.append(slot)
        slot = next_slot(sent, limits, now=slot + timedelta(seconds=pause()))
    return sent


# --- our own count ---------------------------------------------------------------------------------------


def test_the_first_request_leaves_at_once() -> None:
    """An empty ledger holds nobody back."""
    assert next_slot([], RateLimits(), now=NOON) == NOON


def test_four_fifths_of_a_window_leave_at_once() -> None:
    """The 48th of 60 requests a minute still goes without a wait, the 49th does not."""
    assert next_slot([NOON] * 47, RateLimits(), now=NOON) == NOON
    assert next_slot([NOON] * 48, RateLimits(), now=NOON) > NOON


def test_the_last_fifth_is_spread_until_places_come_back() -> None:
    """Twelve places left for a minute: one every thirteenth of it."""
    sent = [NOON] * 48
    for number in range(1, 13):
        sent.append(next_slot(sent, RateLimits(), now=sent[-1]))
        assert seconds(sent[-1]) == pytest.approx(number * 60 / 13)
    assert next_slot(sent, RateLimits(), now=sent[-1]) == at(60)


def test_a_full_window_waits_for_its_oldest_request_to_leave_it() -> None:
    """Exactly one length later, because then no window of that length holds both."""
    assert next_slot([at(number) for number in range(60)], RateLimits(), now=at(59)) == at(60)
    assert next_slot([NOON] * 2, a_minute(2), now=at(59.999)) == at(60)
    assert next_slot([NOON] * 2, a_minute(2), now=at(60)) == at(60)


@pytest.mark.parametrize(
    ("limits", "waits"),
    [
        (RateLimits(minute=1, hour=None, day=None), 60),
        (RateLimits(minute=None, hour=1, day=None), 3_600),
        (RateLimits(minute=None, hour=None, day=1), 86_400),
        (RateLimits(minute=1, hour=1, day=1), 86_400),
        (NONE, 0),
    ],
)
def test_the_strictest_window_decides(limits: RateLimits, waits: int) -> None:
    """All windows at once; a lifted one is not looked at."""
    assert next_slot([NOON], limits, now=NOON) == at(waits)


def test_more_sent_than_allowed_is_waited_out() -> None:
    """After a plan has become smaller, the window must first fall below the new limit."""
    assert next_slot([at(0), at(10), at(20), at(30)], a_minute(2), now=at(30)) == at(80)


def test_a_slot_is_judged_as_the_windows_stand_then() -> None:
    """The place that comes back at 12:01:00 is itself the last until 12:01:40, and lies half way to it."""
    sent = [at(0), at(40), at(50), at(59), at(59.5)]
    for now in (59.5, 60, 79):
        assert next_slot(sent, a_minute(5), now=at(now)) == at((59.5 + 100) / 2)


def test_requests_of_the_future_count_as_now() -> None:
    """Another process's clock is ahead: its requests are counted, and wait no longer than a window."""
    ahead = [at(500), at(7_200)]
    assert next_slot(ahead, a_minute(2), now=NOON) == at(60)
    assert next_slot(ahead, a_minute(3), now=NOON) == NOON
    assert next_slot([at(-10)] * 3 + [at(500)], a_minute(5), now=NOON) == at(50 / 2)
    assert next_slot([at(500)] * 4, a_minute(5), now=NOON) == at(60 / 2)
    assert next_slot([at(7_200)] * 6, a_minute(5), now=NOON, blocked_until=at(600)) == at(600)


def test_a_block_is_a_floor() -> None:
    """After a 429 nothing leaves before; a block that has passed, or a later slot, decides nothing."""
    assert next_slot([], RateLimits(), now=NOON, blocked_until=at(7)) == at(7)
    assert next_slot([], RateLimits(), now=NOON, blocked_until=at(-7)) == NOON
    assert next_slot([NOON], a_minute(1), now=NOON, blocked_until=at(7)) == at(60)


# --- what the vendor says --------------------------------------------------------------------------------


def quota(
    *, remaining: float, limit: float = 60, resets: float = 30, observed: float = 0, window: str = "minute"
) -> Quota:
    """A quota of the minute that began half a minute before noon, unless told otherwise."""
    return Quota(at(observed), window, limit, remaining, at(resets))


def test_a_quota_with_nothing_left_waits_for_the_reset() -> None:
    """The vendor counts requests of which the ledger knows nothing."""
    assert next_slot([], RateLimits(), now=NOON, quota=quota(remaining=0)) == at(30)


@pytest.mark.parametrize("remaining", [-3, 0.5, float("nan"), float("-inf")])
def test_a_quota_that_makes_no_sense_leaves_nothing(remaining: float) -> None:
    """Less than one request is none, and nothing raises."""
    assert next_slot([], RateLimits(), now=NOON, quota=quota(remaining=remaining)) == at(30)


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0, -1])
def test_a_quota_without_a_sensible_limit_still_tells_what_remains(limit: float) -> None:
    """Nothing raises, before the reset or after it."""
    told = quota(remaining=5, limit=limit)
    assert next_slot([], RateLimits(), now=NOON, quota=told) == NOON
    assert next_slot([at(31)], a_minute(1), now=at(31), quota=told) == at(91)


def test_requests_since_a_quota_use_it_up() -> None:
    """Those that left after the one whose answer told it are not yet in ``remaining``; that one is."""
    told = quota(remaining=2, limit=4)
    assert next_slot([at(0), at(1)], a_minute(4), now=at(1), quota=told) == at(1)
    assert next_slot([at(0), at(1), at(2)], a_minute(4), now=at(2), quota=told) == at(30)


def test_a_quota_stands_in_for_our_own_count() -> None:
    """A larger plan is used although our own limit is reached, and other windows still hold back."""
    sent = [at(-1)] * 60
    assert next_slot(sent, RateLimits(), now=NOON, quota=quota(remaining=540, limit=600)) == NOON
    assert next_slot(sent, RateLimits(), now=NOON, quota=quota(remaining=59)) == NOON
    other = quota(remaining=540, limit=600, window="hour")
    assert next_slot(sent, RateLimits(), now=NOON, quota=other) == at(59)


def test_a_quota_counts_where_the_limit_was_lifted() -> None:
    """The vendor refuses whatever our settings say."""
    assert next_slot([], NONE, now=NOON, quota=quota(remaining=0)) == at(30)


def test_the_last_fifth_of_a_quota_is_spread_until_the_reset() -> None:
    """As with our own count, a fast caller slows down instead of standing still."""
    assert next_slot([NOON], RateLimits(), now=NOON, quota=quota(remaining=13)) == NOON
    assert next_slot([NOON], RateLimits(), now=NOON, quota=quota(remaining=11)) == at(30 / 12)
    earlier = quota(remaining=11, observed=-6)
    assert next_slot([], RateLimits(), now=at(-6), quota=earlier) == at(-6 + 36 / 12)
    assert next_slot([], RateLimits(), now=at(-5), quota=earlier) == at(-6 + 36 / 12)


def test_a_quota_that_has_reset_tells_the_limit_only() -> None:
    """What remained is no longer true; how large the plan is still holds, be it larger or smaller."""
    sent = [at(20)] * 60
    assert next_slot(sent, RateLimits(), now=at(30), quota=quota(remaining=0, limit=600)) == at(30)
    smaller = quota(remaining=9, limit=10)
    assert next_slot(sent[:10], RateLimits(), now=at(30), quota=smaller) == at(80)
    assert next_slot(sent[:10], RateLimits(), now=at(21), quota=smaller, blocked_until=at(40)) == at(80)


def test_a_reset_beyond_the_window_is_a_clock_that_differs() -> None:
    """A minute does not last an hour: the wait is the window and the time an answer may take."""
    assert next_slot([], RateLimits(), now=NOON, quota=quota(remaining=0, resets=3_600)) == at(120)
    ahead = quota(remaining=0, resets=9_999, observed=9_000)
    assert next_slot([], RateLimits(), now=NOON, quota=ahead) == at(120)


def test_a_quota_of_the_future_never_holds_back_beyond_its_reset() -> None:
    """Observed by a clock that is ahead: places are spread from now on, not from then."""
    ahead = quota(remaining=1, limit=5, resets=1, observed=2)
    assert next_slot([], NONE, now=NOON, quota=ahead) == at(0.5)


def test_a_window_of_another_name_only_holds_back() -> None:
    """Used up, it is waited for however long it lasts; else it changes nothing."""
    month = 2_592_000.0
    used_up = quota(remaining=0, window="month", resets=month)
    assert next_slot([], RateLimits(), now=NOON, quota=used_up) == at(month)
    nearly = quota(remaining=1, window="month", resets=month)
    assert next_slot([], RateLimits(), now=NOON, quota=nearly) == NOON
    assert next_slot([NOON], a_minute(1), now=NOON, quota=nearly) == at(60)
    assert next_slot([at(1)], RateLimits(), now=at(1), quota=nearly) == at(month)
    assert next_slot([at(1)], RateLimits(), now=at(month), quota=nearly) == at(month)


# --- any history -----------------------------------------------------------------------------------------

a_limit = st.none() | st.integers(1, 12)
any_limits = st.builds(RateLimits, a_limit, a_limit, a_limit)
any_seconds = st.floats(-86_400, 0) | st.floats(-4_000, 0) | st.floats(-90, 0) | st.sampled_from([0, -60, -1])
any_history = (st.lists(any_seconds, max_size=30) | st.lists(st.floats(-70, 0), max_size=14)).map(
    lambda past: sorted(map(at, past))
)
skewed_history = st.lists(any_seconds | st.floats(0, 90_000), max_size=30).map(
    lambda moments: sorted(map(at, moments))
)
any_number = st.integers(-5, 30) | st.floats()
any_moment = st.floats(-90_000, 90_000) | st.floats(-90, 90) | st.integers(-2, 5)
any_quota = st.none() | st.builds(
    Quota,
    observed_at=any_moment.map(at),
    window=st.sampled_from([*WINDOWS, "month", ""]),
    limit=any_number,
    remaining=any_number,
    resets_at=any_moment.map(at),
)
any_block = st.none() | any_moment.map(at)


@given(any_history, any_limits, st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_no_window_ever_holds_more_than_its_limit(
    sent: list[datetime], limits: RateLimits, pauses: list[float]
) -> None:
    """Whatever was sent before, and however long the caller pauses."""
    slot = next_slot(sent, limits, now=NOON)
    for pause in pauses:
        sent = [*sent, slot]
        for name, length in WINDOWS.items():
            limit = getattr(limits, name)
            assert limit is None or len(sent) - bisect_right(sent, slot - length) <= limit
        slot = next_slot(sent, limits, now=slot + timedelta(seconds=pause))


@given(skewed_history, any_limits, any_quota, any_block)
def test_a_slot_is_neither_past_nor_far(
    sent: list[datetime], limits: RateLimits, told: Quota | None, block: datetime | None
) -> None:
    """Not before now or the block, and never further off than a window, its reset or the block."""
    slot = next_slot(sent, limits, now=NOON, quota=told, blocked_until=block)
    start = max(NOON, block or NOON)
    assert slot >= start
    ends = [start, at(86_400 + 60)]
    if told is not None and told.window not in WINDOWS:
        ends.append(told.resets_at)
    assert slot <= max(ends)


def test_moments_out_of_order_are_counted_from_the_end() -> None:
    """A stray old moment does not hide the last fifth of the window."""
    sent = [at(50)] * 8 + [at(10)] + [at(50)] * 3 + [at(95)]
    assert next_slot(sent, a_minute(5), now=at(100)) == at(95 + (110 - 95) / 2)


@given(
    st.lists(any_moment, max_size=30).map(lambda moments: [at(moment) for moment in moments]),
    any_limits,
    any_quota,
    any_block,
    st.integers(0, 20),
)
def test_moments_out_of_order_raise_nothing(
    sent: list[datetime],
    limits: RateLimits,
    told: Quota | None,
    block: datetime | None,
    requests: int,
) -> None:
    """Several clocks do not agree: there is a slot all the same, and a time."""
    assert next_slot(sent, limits, now=NOON, quota=told, blocked_until=block) >= NOON
    assert time_for(requests, sent, limits, now=NOON) >= timedelta(0)


@given(skewed_history, any_limits, st.integers(1, 3))
def test_a_request_of_now_goes_behind_those_of_the_future(
    sent: list[datetime], limits: RateLimits, more: int
) -> None:
    """What a process appends as it sends need not be sorted in: all of it counts as now."""
    as_now = [min(moment, NOON) for moment in sent] + [NOON] * more
    assert next_slot(sent + [NOON] * more, limits, now=NOON) == next_slot(as_now, limits, now=NOON)


@given(any_history, any_limits, any_quota, any_block)
def test_a_slot_stays_what_it_is(
    sent: list[datetime], limits: RateLimits, told: Quota | None, block: datetime | None
) -> None:
    """Whoever has waited for it, or asks again on the way, is not sent away once more."""
    slot = next_slot(sent, limits, now=NOON, quota=told, blocked_until=block)
    if told is None or told.observed_at <= NOON:
        for now in (NOON + (slot - NOON) / 2, slot):
            assert next_slot(sent, limits, now=now, quota=told, blocked_until=block) == slot


@given(skewed_history, any_limits, any_quota, any_block, any_block)
def test_a_longer_block_never_brings_a_request_forward(
    sent: list[datetime],
    limits: RateLimits,
    told: Quota | None,
    one: datetime | None,
    other: datetime | None,
) -> None:
    """The slot grows with the block."""
    shorter, longer = sorted(block or NOON for block in (one, other))
    slots = [
        next_slot(sent, limits, now=NOON, quota=told, blocked_until=block) for block in (shorter, longer)
    ]
    assert slots == sorted(slots)


@given(skewed_history, any_limits, any_quota)
def test_a_series_says_what_a_list_says(sent: list[datetime], limits: RateLimits, told: Quota | None) -> None:
    """The ledger's own column is taken as it is."""
    column = pl.Series("happened_at", sent, TIMESTAMP)
    slot = next_slot(column, limits, now=NOON, quota=told)
    assert slot == next_slot(column.to_list(), limits, now=NOON, quota=told)
    assert time_for(9, column, limits, now=NOON) == time_for(9, column.to_list(), limits, now=NOON)


# --- a long run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pause",
    [
        lambda _: 0.0,
        lambda _: 0.01,
        lambda dice: dice.uniform(0, 0.4),
        lambda dice: dice.choice([0.0, 0.0, 0.0, 0.0, 2.0]),
        lambda _: 0.99,
    ],
    ids=["at once", "fast", "uneven", "in bursts", "just as fast"],
)
def test_an_hour_at_the_limit_loses_nothing(pause: Callable[[Random], float]) -> None:
    """At 60 a minute, at least 95% of what could go does, never more, and nobody stands still for long."""
    dice = Random(0)
    sent = send(a_minute(60), until=at(3_600), pause=lambda: pause(dice))
    assert 0.95 * 3_600 <= len(sent) <= 3_600
    assert most_in_a_window(sent, timedelta(minutes=1)) <= 60
    assert max(later - earlier for earlier, later in pairwise(sent)) < timedelta(seconds=5)


def test_two_days_under_all_limits() -> None:
    """The vendor's three windows together: two full days, every window kept, no pause of a minute."""
    sent = send(RateLimits(), until=at(2 * 86_400))
    assert 0.95 * 20_000 <= len(sent) <= 20_000
    for name, length in WINDOWS.items():
        assert most_in_a_window(sent, length) <= getattr(RateLimits(), name)
    assert max(later - earlier for earlier, later in pairwise(sent)) < timedelta(minutes=1)


class FixedMinutes:
    """A vendor whose minutes are those of the clock: counts what arrives, and says what is left."""

    def __init__(self, limit: int, *, used: int = 0) -> None:
        self.limit = limit
        self.counts = {NOON: used}

    def take(self, left_at: datetime, arrived_at: datetime) -> Quota:
        """A request; what its answer says, however far beyond the limit."""
        minute = arrived_at.replace(second=0, microsecond=0)
        self.counts[minute] = self.counts.get(minute, 0) + 1
        remaining = max(0, self.limit - self.counts[minute])
        return Quota(left_at, "minute", self.limit, remaining, minute + timedelta(minutes=1))


@pytest.mark.parametrize("limit", [10, 60, 600])
def test_the_plan_that_the_vendor_tells_of_is_used_up_and_respected(limit: int) -> None:
    """Ten minutes of a plan of another size than ours: nothing is refused, and nearly everything is used."""
    vendor, sent, told = FixedMinutes(limit), [NOON], None
    while sent[-1] < at(600):
        told = vendor.take(sent[-1], sent[-1])
        sent.append(next_slot(sent, RateLimits(hour=None, day=None), now=sent[-1], quota=told))
    assert max(vendor.counts.values()) <= limit
    assert len(sent) - 1 >= 0.95 * 10 * limit


def test_answers_on_their_way_are_reckoned_with() -> None:
    """Sixteen in flight, answers late, half the minute used up by somebody else: still nothing is refused."""
    vendor = FixedMinutes(60, used=30)
    sent: list[datetime] = []
    answers: list[tuple[datetime, datetime, Quota]] = []
    told, now = None, NOON
    while now < at(180):
        slot = next_slot(sent, a_minute(60), now=now, quota=told)
        if answers and (len(answers) == 16 or answers[0][0] <= slot):
            now, _, told = heapq.heappop(answers)
            continue
        now = max(now, slot)
        sent.append(now)
        answer = vendor.take(now, now + timedelta(milliseconds=100))
        heapq.heappush(answers, (now + timedelta(milliseconds=200), now, answer))
        now += timedelta(microseconds=1)
    assert max(vendor.counts.values()) <= 60
    assert len(sent) >= 0.9 * (30 + 60 + 60)


# --- how long it takes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "shortest"),
    [(0, 0), (-1, 0), (1, 0), (48, 0), (61, 60), (601, 600), (1_001, 3_600), (10_001, 86_400)],
)
def test_time_from_an_empty_ledger(requests: int, shortest: int) -> None:
    """The windows' own lengths, as often as they are used up."""
    assert time_for(requests, [], RateLimits(), now=NOON) == timedelta(seconds=shortest)


def test_time_without_limits_is_none() -> None:
    """Whatever has been sent."""
    assert time_for(10**9, [NOON] * 100, NONE, now=NOON) == timedelta(0)


def test_time_after_a_day_that_is_used_up() -> None:
    """The ledger is reckoned with: what was sent six hours ago comes back in eighteen."""
    sent = [at(-6 * 3_600)] * 10_000
    assert time_for(1, sent, RateLimits(), now=NOON) == timedelta(hours=18)


def test_time_with_requests_of_the_future() -> None:
    """They count as now here, too."""
    ahead = time_for(3, [at(500)] * 4, a_minute(5), now=NOON)
    assert ahead == time_for(3, [NOON] * 4, a_minute(5), now=NOON) == timedelta(minutes=1)


@pytest.mark.parametrize("requests", [5, 55, 70, 999, 1_500, 4_000, 12_000])
@pytest.mark.parametrize("limits", [RateLimits(), RateLimits(minute=600, hour=300), a_minute(10)], ids=str)
def test_time_is_that_of_sending(requests: int, limits: RateLimits) -> None:
    """What is promised is what sending one after the other takes, give or take a tenth."""
    sent: list[datetime] = [at(-number) for number in range(30, 0, -1)]
    told = time_for(requests, sent, limits, now=NOON).total_seconds()
    slot = NOON
    for _ in range(requests):
        slot = next_slot(sent, limits, now=slot)
        sent.append(slot)
    assert told == pytest.approx(seconds(slot), rel=0.1, abs=5)


@given(skewed_history, any_limits, st.integers(0, 40))
def test_time_is_finite(sent: list[datetime], limits: RateLimits, requests: int) -> None:
    """At the worst each request waits for a day of its own."""
    told = time_for(requests, sent, limits, now=NOON)
    assert timedelta(0) <= told <= timedelta(days=requests)
