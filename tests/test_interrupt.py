"""Signals while money is on its way: noted, not raised, and handlers put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from buena_pipeline.interrupt import Stop, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_the_second_to_give_up(number: int) -> None:
    """The block goes on to its end; then every handler is the usual one again."""
    before = {handled: signal.getsignal(handled) for handled in (signal.SIGINT, signal.SIGTERM)}
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert (stop.is_set(), stop.signum, stop.gave_up) == (True, number, False)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.signum, stop.gave_up) == (number, True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert {handled: signal.getsignal(handled) for handled in before} == before


def test_sigterm_that_was_made_a_ctrl_c_asks_to_stop_as_ctrl_c_does() -> None:
    """As Dagster leaves it behind in a process that materialized an asset."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.is_set(), stop.signum) == (True, signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_a_program_that_handles_signals_itself_is_left_alone() -> None:
    """A web server's or an orchestrator's own handler stays."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
        assert (seen, stop.is_set()) == ([signal.SIGTERM], False)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_only_get_something_to_look_at() -> None:
    """Signals arrive in the main thread only."""
    seen: list[Stop] = []

    def work() -> None:
        with stop_on_signals() as stop:
            seen.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not seen[0].is_set()


def test_a_stop_shows_whether_it_was_asked() -> None:
    """What a debugger or a log shows of it."""
    stop = Stop()
    stop.set()
    assert repr(stop) == "Stop(asked=True, gave_up=False)"
