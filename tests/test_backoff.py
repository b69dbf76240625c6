"""When a request is tried again: bounded patience, whatever the vendor says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.backoff import UNTOLD_WAIT, Patience
from buena_pipeline.errors import VendorError
from buena_pipeline.wire import (
    Answer,
    Halt,
    OutOfCredits,
    RateLimited,
    Refused,
    ServerFault,
    Unknown,
    Unreachable,
    Verdict,
)

FAULT = ServerFault("the vendor answered 503")
NOBODY = Unreachable("no connection")


@pytest.mark.parametrize(
    "verdict",
    [Answer(()), Refused("no"), Halt(VendorError("stop")), OutOfCredits(0), Unknown("lost")],
    ids=lambda verdict: type(verdict).__name__,
)
def test_final_verdicts_are_final(verdict: Verdict) -> None:
    """What settles a request, or may have been charged, is never tried again."""
    assert Patience(attempts=9, max_wait=999).bears(verdict) is False


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
@pytest.mark.parametrize("verdict", [FAULT, NOBODY], ids=["5xx", "no connection"])
def test_as_many_failures_as_attempts(attempts: int, verdict: Verdict) -> None:
    """The last allowed failure gives up; those before it back off in the usual way."""
    patience = Patience(attempts=attempts, max_wait=0)
    assert [patience.bears(verdict) for _ in range(attempts)] == [True] * (attempts - 1) + [False]


def test_failures_of_both_kinds_count_together() -> None:
    """A vendor that goes down while it fails is still the same failure in a row."""
    patience = Patience(attempts=3, max_wait=0)
    assert [patience.bears(verdict) for verdict in (FAULT, NOBODY, FAULT)] == [True, True, False]


def test_a_rate_limit_ends_a_row_of_failures() -> None:
    """A 429 shows a vendor at work, so failures are counted from the beginning."""
    patience = Patience(attempts=2, max_wait=60)
    given_up = [patience.bears(verdict) is False for verdict in (FAULT, RateLimited(1.0), FAULT, FAULT)]
    assert given_up == [False, False, False, True]


def test_a_told_wait_is_kept_exactly() -> None:
    """Neither shortened nor rounded: asking early only costs another refusal."""
    assert Patience(attempts=1, max_wait=60).bears(RateLimited(wait=12.25)) == 12.25


def test_an_untold_wait_is_the_shortest_window() -> None:
    """A 429 that tells nothing is waited for as long as the vendor's shortest window lasts."""
    assert Patience(attempts=1, max_wait=UNTOLD_WAIT).bears(RateLimited(wait=None)) == UNTOLD_WAIT
    assert Patience(attempts=1, max_wait=UNTOLD_WAIT - 1).bears(RateLimited(wait=None)) is False


def test_waits_add_up() -> None:
    """max_wait is for all waits of a request together, and may be used up to the last second."""
    patience = Patience(attempts=1, max_wait=100)
    assert [patience.bears(RateLimited(wait=50)) for _ in range(3)] == [50, 50, False]


def test_a_wait_of_zero_is_no_tight_loop() -> None:
    """A vendor that says 0 over and over is asked at a bearable pace, and not for ever."""
    patience = Patience(attempts=1, max_wait=1)
    waits = [patience.bears(RateLimited(wait=0)) for _ in range(100)]
    assert all(wait >= 0.05 for wait in waits if wait is not False)
    assert waits[-1] is False


def test_no_wait_is_borne_where_none_is_allowed() -> None:
    """max_wait=0 means never to wait, however short the wait."""
    assert Patience(attempts=3, max_wait=0).bears(RateLimited(wait=0)) is False


@given(
    attempts=st.integers(1, 5),
    max_wait=st.floats(0, 500),
    verdicts=st.lists(
        st.sampled_from([FAULT, NOBODY])
        | st.builds(RateLimited, st.none() | st.floats(0, 1e9, allow_nan=False)),
        max_size=60,
    ),
)
def test_patience_is_bounded(attempts: int, max_wait: float, verdicts: list[Verdict]) -> None:
    """Until it gives up, the waits stay within max_wait and failures in a row below the attempts."""
    patience, waits, row = Patience(attempts, max_wait), 0.0, 0
    for verdict in verdicts:
        decision = patience.bears(verdict)
        if decision is False:
            break
        row = row + 1 if decision is True else 0
        waits += 0.0 if decision is True else decision
        assert row < attempts
        assert waits <= max_wait + 0.05 + 1e-9  # the floor of one short wait
