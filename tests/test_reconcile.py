"""Unknown outcomes against a vendor whose books are known: no false word, and a word where there is proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.balances import REQUESTS
from buena_pipeline.drift import DRIFT, drift
from buena_pipeline.reconcile import SETTLED, reconcile

START = datetime(2026, 5, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
LEASE = 600


def at(second: float) -> datetime:
    """A moment of the history."""
    return START + timedelta(seconds=second)


def request(name: str, sent: float, state: str = "answered", **told: Any) -> dict[str, Any]:
    """A row of the ledger: a request for 10 people that took 5 seconds, unless told otherwise."""
    closed = None if state == "in flight" else at(sent + told.pop("took", 5))
    return {
        "request_id": name,
        "account": "main",
        "sent_at": at(sent),
        "closed_at": closed,
        "lease_until": at(sent + LEASE),
        "state": state,
        "people": 10,
        "credits_reserved": 10.0,
        **told,
    }


def answer(name: str, sent: float, used: float, left: float, **told: Any) -> dict[str, Any]:
    """A request that was answered with both numbers."""
    return request(name, sent, credits_used=used, credits_remaining=left, **told)


def settled(*rows: dict[str, Any], now: datetime = LATER) -> dict[str, tuple[str, float]]:
    """The verdicts: state and credits by request."""
    out = reconcile(pl.DataFrame(list(rows), schema=REQUESTS), now=now)
    assert out.schema == SETTLED
    return {name: (state, used) for name, state, used, _ in out.rows()}


BEFORE = answer("before", 0, 10, 990)
LOST = request("lost", 10, "unknown")
CHARGED, NOT_CHARGED = "charged", "not charged"
WENT = "the balance went from 990 to"


# --- plain histories -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "verdict", "reason"),
    [
        (980, (NOT_CHARGED, 0), f"{WENT} 980 around it; answers explain 10, which is all of it"),
        (
            973.5,
            (CHARGED, 6.5),
            f"{WENT} 973.5 around it; answers explain 10, and 6.5 are left for this request",
        ),
        (970, (CHARGED, 10), None),
        (969.9, None, None),  # more than it may cost
        (981, None, None),  # a top-up
    ],
)
def test_the_balance_around_a_lost_answer_settles_it(
    left: float, verdict: tuple[str, float] | None, reason: str | None
) -> None:
    """What is missing between two answers was charged by the one request in between."""
    rows = (BEFORE, LOST, answer("after", 1000, 10, left))
    assert settled(*rows).get("lost") == verdict
    if reason is not None:
        assert reconcile(pl.DataFrame(rows, schema=REQUESTS), now=LATER)["reason"].item() == reason


def test_a_request_that_died_with_its_process_is_settled_once_its_lease_is_over() -> None:
    """In flight is not unknown until then, and whoever is still in flight may explain a fall."""
    died, after = request("died", 10, "in flight"), answer("after", 1000, 0, 990)
    assert settled(BEFORE, died, after, now=at(10 + LEASE)) == {}
    assert settled(BEFORE, died, after, now=at(11 + LEASE)) == {"died": (NOT_CHARGED, 0)}
    lasting = request("lasting", 10, "in flight") | {"lease_until": at(5000)}
    rows = (BEFORE, LOST, lasting, answer("after", 1000, 0, 980), answer("last", 6000, 0, 980))
    assert settled(*rows, now=at(4000)) == {}
    assert settled(BEFORE, LOST, lasting, after, now=at(4000)) == {"lost": (NOT_CHARGED, 0)}


@pytest.mark.parametrize(
    "rows",
    [
        (LOST, answer("after", 1000, 10, 980)),
        (BEFORE, LOST),
        (BEFORE, LOST, answer("within the lease", 600, 10, 980)),
        (answer("overlapping", 0, 10, 990, took=11), LOST, answer("after", 1000, 10, 980)),
        (BEFORE, LOST | {"lease_until": None}, answer("after", 1000, 10, 980)),
        (BEFORE, LOST, answer("a", 1000, 10, None), request("b", 1010, credits_remaining=980.0)),
        (BEFORE, LOST, request("failed", 1000, "failed"), request("refused", 1010, "refused")),
        (BEFORE | {"credits_remaining": 5.0}, LOST, request("402", 1000, "refused", credits_remaining=0.0)),
        (answer("touching", 0, 10, 990, took=10), LOST, answer("after", 1000, 10, 980)),
        (BEFORE, LOST, answer("as the lease ends", 610, 10, 980)),
        tuple(row | {"account": None} for row in (BEFORE, LOST, answer("after", 1000, 10, 980))),
        (BEFORE, LOST, answer("other account", 1000, 10, 980, account="other")),
    ],
)
def test_without_an_answer_on_either_side_it_stays_unknown(rows: tuple[dict[str, Any], ...]) -> None:
    """Closed before it was sent, and sent after its lease, by the same account, with both numbers."""
    assert settled(*rows) == {}


def test_a_402_tells_the_balance() -> None:
    """It costs nothing itself."""
    refused = request("402", 1000, "refused", credits_remaining=984.0)
    assert settled(BEFORE, LOST, refused) == {"lost": (CHARGED, 6)}


def test_answers_that_overtake_each_other_are_put_in_order() -> None:
    """Eight at once: the balance tells the vendor's order, whatever order they were closed in."""
    many = [
        answer(f"many {n}", 20 + n, 10, left, took=60 - n) for n, left in enumerate((930, 970, 940, 980, 960))
    ]
    after = answer("after", 1000, 10, 920)
    assert settled(BEFORE, LOST, *many, after) == {"lost": (CHARGED, 10)}
    assert settled(BEFORE, LOST, *many, answer("950", 27, 10, 950), after) == {"lost": (NOT_CHARGED, 0)}


def test_a_lost_answer_is_settled_although_another_one_is_not() -> None:
    """Only requests that may be behind the same fall are judged together."""
    early, late = request("early", 10, "unknown"), request("late", 2000, "unknown")
    rows = (BEFORE, early, answer("middle", 1000, 10, 980), late, answer("after", 3000, 10, 965))
    assert settled(*rows) == {"early": (NOT_CHARGED, 0), "late": (CHARGED, 5)}


@pytest.mark.parametrize(
    ("left", "verdicts"),
    [
        (990, {"lost": (NOT_CHARGED, 0), "two": (NOT_CHARGED, 0)}),
        (960, {"lost": (CHARGED, 10), "two": (CHARGED, 20)}),
        (980, {}),
        (950, {}),
    ],
)
def test_two_that_share_a_fall_are_both_charged_or_neither(left: float, verdicts: dict[str, Any]) -> None:
    """In full, or not at all; what is in between may be either's."""
    two = request("two", 11, "unknown", people=20, credits_reserved=20.0)
    assert settled(BEFORE, LOST, two, answer("after", 1000, 0, left)) == verdicts


def test_two_of_which_one_has_no_bound_are_not_settled_by_the_other() -> None:
    """Nothing reserved, nobody counted: nobody knows what it may cost."""
    two = request("two", 11, "unknown", people=None, credits_reserved=None)
    assert settled(BEFORE, LOST, two, answer("after", 1000, 0, 980)) == {}


def test_a_higher_price_that_was_seen_counts_for_what_was_reserved_lower() -> None:
    """Reserved at one credit a lead, while the answers say two."""
    dear = answer("before", 0, 20, 980)
    assert settled(dear, LOST, answer("after", 1000, 20, 940)) == {"lost": (CHARGED, 20)}
    assert settled(dear, LOST, answer("after", 1000, 20, 939)) == {}


def test_charges_settled_before_explain_their_part() -> None:
    """What is left is the other's."""
    known = request("known", 12, "charged", credits_used=7.0) | {"closed_at": at(90_000)}
    after = answer("after", 1000, 0, 983)
    assert settled(BEFORE, LOST, known, after) == {"lost": (NOT_CHARGED, 0)}
    assert settled(BEFORE, LOST, known, answer("after", 1000, 0, 980)) == {"lost": (CHARGED, 3)}
    untold = known | {"credits_used": None}
    assert settled(BEFORE, LOST, untold, after) == {}


def test_an_answer_that_does_not_say_what_it_cost_explains_anything() -> None:
    """Unless nothing fell, or it says it cost nothing."""
    untold = request("untold", 12)
    assert settled(BEFORE, LOST, untold, answer("after", 1000, 0, 983)) == {}
    assert settled(BEFORE, LOST, untold, answer("after", 1000, 0, 990)) == {"lost": (NOT_CHARGED, 0)}
    free = untold | {"credits_used": 0.0}
    assert settled(BEFORE, LOST, free, answer("after", 1000, 0, 983)) == {"lost": (CHARGED, 7)}


def test_where_somebody_else_uses_the_account_nothing_is_called_charged() -> None:
    """A fall that no request explains, on the same day; a day later it is another matter."""
    stranger = answer("stranger before", 2000, 0, 977)
    rows = (BEFORE, LOST, answer("after", 1000, 0, 980), stranger)
    assert settled(*rows) == {}
    rows = (BEFORE, LOST, answer("after", 1000, 0, 990), stranger | {"credits_remaining": 987.0})
    assert settled(*rows) == {"lost": (NOT_CHARGED, 0)}
    distant = [answer(f"day {day}", day * 86_400, 0, left) for day, left in ((3, 980), (4, 977))]
    assert settled(BEFORE, LOST, answer("after", 1000, 0, 980), *distant) == {"lost": (CHARGED, 10)}


def test_one_request_does_not_explain_two_falls() -> None:
    """Somebody else is behind one of them, and nobody knows which."""
    rows = (BEFORE, LOST, answer("a", 100, 0, 985), answer("b", 200, 0, 985), answer("c", 1000, 0, 980))
    assert settled(*rows) == {}


@pytest.mark.parametrize("before", [990, 9500])
@pytest.mark.parametrize("again", [9500, 99_000])
def test_a_top_up_elsewhere_is_in_nobodys_way(before: float, again: float) -> None:
    """Before or after a run whose requests overlap, whether or not the balance was there already."""
    run = [answer(f"run {n}", 5000 + 20 * n, 10, 9970 - 10 * n, took=45) for n in range(80)]
    lost = request("lost", 5101, "unknown")
    less = run[:7] + [row | {"credits_remaining": row["credits_remaining"] - 10} for row in run[7:]]
    around = (BEFORE | {"credits_remaining": before}, lost, answer("again", 90_000, 0, again))
    assert settled(*run, *around) == {"lost": (NOT_CHARGED, 0)}
    assert settled(*less, *around) == {"lost": (CHARGED, 10)}


@pytest.mark.parametrize("size", [5, 5000])
def test_a_top_up_in_the_middle_of_a_busy_period_makes_its_order_doubtful(size: float) -> None:
    """Sorted by balance, what came after it would stand before what came first."""
    run = [answer(f"run {n}", 5000 + 20 * n, 10, 980 - 10 * n, took=45) for n in range(80)]
    more = [
        row | {"credits_remaining": row["credits_remaining"] + size * (n > 60)} for n, row in enumerate(run)
    ]
    lost = request("lost", 5101, "unknown")
    assert settled(BEFORE, *run, lost) == {"lost": (NOT_CHARGED, 0)}
    assert settled(BEFORE, *more, lost) == {}
    if size > 1000:  # nothing before or after it: only the times contradict the balances
        assert settled(*more, lost) == {}


def test_a_doubtful_period_brackets_nobody_before_it() -> None:
    """Its first answer by balance came after a top-up that hides what the lost request cost."""
    rows = (
        answer("start", 0, 10, 200),
        request("lost", 10, "unknown", credits_reserved=50.0),  # 50
        answer("early", 1000, 10, 140, took=100),  # then +60
        answer("late", 1010, 50, 150, took=100),
        answer("end", 2000, 0, 150),
    )
    assert settled(*rows) == {}


def test_of_two_with_one_balance_the_one_that_cost_something_is_first() -> None:
    """The other one found nobody."""
    rows = (answer("paid", 20, 10, 980, took=60), answer("free", 30, 0, 980, took=20))
    assert settled(BEFORE, LOST, *rows, answer("after", 1000, 0, 980)) == {"lost": (NOT_CHARGED, 0)}


@pytest.mark.parametrize(
    ("start", "first", "slow", "last", "end"),
    [
        (100, (70, 100), (30, 70), (10, 10), (10, 0)),  # slow, then +100, first, 80 for the lost one, last
        (200, (10, 190), (50, 140), (10, 100), (10, 130)),  # first, 80 for the lost one, last, +90, slow
    ],
)
def test_a_slow_answer_from_beyond_a_top_up_does_not_hide_a_charge(
    start: float,
    first: tuple[float, float],
    slow: tuple[float, float],
    last: tuple[float, float],
    end: tuple[float, float],
) -> None:
    """Its balance fits between two others, no time says otherwise, and it would explain a lost charge."""
    rows = (
        answer("start", 0, 10, start),
        answer("slow", 20, *slow, took=980),
        answer("first", 21, *first),
        request("lost", 40, "unknown", people=100, credits_reserved=100.0),
        answer("last", 700, *last),
        answer("end", 2000, *end),
    )
    assert settled(*rows) == {}


def test_fractions_of_credits_are_no_charge() -> None:
    """Tenths and thirds do not add up in binary."""
    rows, left = [BEFORE], 990.0
    for number in range(300):
        left -= 1 / 3
        rows.append(answer(f"third {number}", 100 + 10 * number, 1 / 3, left))
    assert settled(*rows, request("lost", 1003, "unknown")) == {"lost": (NOT_CHARGED, 0)}


def test_empty_ledgers_and_odd_numbers() -> None:
    """Nothing to settle, nothing to compare; numbers that are none count as not told."""
    assert settled() == {}
    assert settled(LOST) == {}
    assert drift(REQUESTS.to_frame()).schema == DRIFT
    odd = answer("odd", 500, float("nan"), float("inf"))
    assert settled(BEFORE, LOST, odd, answer("after", 1000, 0, 990)) == {"lost": (NOT_CHARGED, 0)}


# --- drift -----------------------------------------------------------------------------------------------


def drifted(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The receipt's line of each account."""
    return drift(pl.DataFrame(list(rows), schema=REQUESTS)).rows()


def test_drift_is_what_neither_answers_nor_settled_charges_explain() -> None:
    """Per account; nothing if all agrees."""
    after = answer("after", 1000, 10, 973)
    known = request("known", 12, "charged", credits_used=7.0)
    assert drifted(BEFORE, after) == [("main", 20, 17, 7, 0)]
    assert drifted(BEFORE, after, known) == [("main", 20, 17, 0, 0)]
    other = answer("other", 5, 3, 500, account="other")
    assert drifted(BEFORE, other, after, known) == [("main", 20, 17, 0, 0), ("other", 3, None, None, None)]


def test_a_top_up_is_no_drift() -> None:
    """Also where it came in the middle of a busy period."""
    assert drifted(BEFORE, answer("after", 1000, 10, 1980)) == [("main", 20, 10, 0, 1000)]
    left = (980, 970, 1960, 1950)
    busy = [answer(f"busy {n}", 100 + n, 10, balance, took=60) for n, balance in enumerate(left)]
    assert drifted(BEFORE, *busy, answer("after", 1000, 10, 1940)) == [("main", 60, 50, 0, 1000)]


# --- a vendor whose books are known ----------------------------------------------------------------------

History = tuple[pl.DataFrame, dict[str, float]]
MOMENTS = st.integers(0, 10_000).map(lambda second: second + 0.5)
FATES = st.sampled_from(["answered"] * 5 + ["unknown", "in flight", "refused"])


@st.composite
def asked(draw: st.DrawFn, number: int, price: float, spread: int) -> tuple[dict[str, Any], float, float]:
    """A request, what it costs, and when; the first finds everybody, so that the price is known."""
    fate = draw(FATES) if number else "answered"
    sent = draw(st.integers(100, 100 + spread)) if number else 0
    took, people = draw(st.integers(1, 60)), draw(st.sampled_from([1, 5, 10]))
    lease = took + draw(st.sampled_from([0, 30, 600]))
    lost = fate in ("unknown", "in flight")
    found = draw(st.integers(0, people)) if number and draw(st.booleans()) else people
    cost = 0.0 if fate == "refused" or (lost and draw(st.booleans())) else found * price
    happened = sent + draw(st.integers(1, 999)) / 1000 * (lease if lost else took)
    told = {"lease_until": at(sent + lease), "credits_reserved": people * draw(st.sampled_from([1.0, price]))}
    return request(str(number), sent, fate, took=took, people=people) | told, cost, happened


@st.composite
def histories(draw: st.DrawFn, *, topped_up: bool = True, strangers: bool = False) -> History:
    """A ledger, and what each request cost in truth. A top-up is bigger than all charges together."""
    price, spread = draw(st.sampled_from([1.0, 2.0, 0.1, 1 / 3])), draw(st.sampled_from([20, 300, 4000]))
    requests = [draw(asked(number, price, spread)) for number in range(draw(st.integers(3, 14)))]
    events = [(happened, number, cost) for number, (_, cost, happened) in enumerate(requests)]
    if topped_up:
        size = sum(cost for _, cost, _ in requests) + 100
        events += [(moment, -1, -size) for moment in draw(st.lists(MOMENTS, max_size=2))]
    if strangers:
        events += [(moment, -1, 5 * price) for moment in draw(st.lists(MOMENTS, min_size=1, max_size=3))]
    balance = 1000.0
    for _, number, cost in sorted(events):
        balance -= cost
        row = requests[number][0] if number >= 0 else {}
        if row.get("state") in ("answered", "refused"):
            row["credits_used"] = cost if row["state"] == "answered" else None
            row["credits_remaining"] = balance
            if number and draw(st.integers(0, 19)) == 0:
                row[draw(st.sampled_from(["credits_used", "credits_remaining"]))] = None
        elif row.get("state") == "unknown" and cost and draw(st.integers(0, 4)) == 0:
            row |= {"state": "charged", "credits_used": cost}
    rows = draw(st.permutations([row for row, _, _ in requests]))
    return pl.DataFrame(rows, schema=REQUESTS), {row["request_id"]: cost for row, cost, _ in requests}


@given(histories())
def test_it_never_says_something_false(history: History) -> None:
    """Whether charged, and how much, whatever overlapped, got lost or was topped up."""
    requests, truth = history
    for name, state, used, _ in reconcile(requests, now=LATER).rows():
        assert used == pytest.approx(truth[name], abs=1e-5)
        assert state == (CHARGED if truth[name] else NOT_CHARGED)


@given(histories(strangers=True))
def test_nobody_is_called_uncharged_because_of_somebody_else(history: History) -> None:
    """Others only make the balance fall further: nobody is bought twice for that."""
    requests, truth = history
    for name, state, _, _ in reconcile(requests, now=LATER).rows():
        assert state == CHARGED or truth[name] == 0


@given(histories(topped_up=False))
def test_drift_is_the_charges_nobody_told_of(history: History) -> None:
    """Between the first and the last answer, and never less than nothing."""
    requests, truth = history
    (line,) = drift(requests).rows()
    told = requests.filter(pl.col("state") == "answered").drop_nulls("credits_used")
    assert line[1] == pytest.approx(told["credits_used"].sum(), abs=1e-4)
    if line[3] is not None:
        hidden = sum(truth.values()) - told["credits_used"].sum()
        untold = requests.filter(pl.col("credits_used").is_not_null() & pl.col("credits_remaining").is_null())
        assert -1e-4 <= line[3] <= hidden + untold["credits_used"].sum() + 1e-4
        assert line[4] == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.sampled_from(["answered", "charged", "not charged"])), max_size=12
    ),
    st.sampled_from([1.0, 0.1, 1 / 3]),
)
def test_lone_lost_answers_between_others_are_always_settled(
    fates: list[tuple[int, str]], price: float
) -> None:
    """One request after the other, each lost one bracketed: there is always a verdict, and the right one."""
    rows, expected, balance = [answer("first", 0, 10 * price, 1000)], {}, 1000.0
    for number, (found, fate) in enumerate(fates):
        moment, name = 2000 * (number + 1), str(number)
        cost = 0.0 if fate == "not charged" else found * price
        balance -= cost
        if fate == "answered":
            rows.append(answer(name, moment, cost, balance))
        else:
            rows += [request(name, moment, "unknown"), answer(f"after {name}", moment + 1000, 0, balance)]
            expected[name] = (CHARGED if cost else NOT_CHARGED, pytest.approx(cost, abs=1e-5))
    assert settled(*rows) == expected
