"""Ctrl-C and SIGTERM while money is on its way: noted at once, acted on when what was paid for is written."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

import polars as pl

from buena_pipeline.result import EnrichmentReport

Outcome = TypeVar("Outcome")

_TICK: Final = 0.1
"""Seconds after which a wait looks whether polars breaks off."""

_PATIENCE: Final = 5.0
"""Seconds for which polars may go on breaking off."""

_USUAL: Final = {
    signal.SIGINT: (signal.default_int_handler,),
    # Dagster turns SIGTERM into Ctrl-C for the rest of the process that materialized something
    signal.SIGTERM: (signal.SIG_DFL, signal.default_int_handler),
}


class Stop:
    """Whether a run was asked to stop. Plain attributes, since a signal strikes between any two instructions.

    Attributes:
        signum: the signal that asked, SIGINT for each that would have been a KeyboardInterrupt; None if
            nobody did, or it was not a signal.
        gave_up: whether a second one came: answers on their way are not waited for either.
    """

    __slots__ = ("_asked", "gave_up", "signum")

    def __init__(self) -> None:
        self._asked = False
        self.signum: int | None = None
        self.gave_up = False

    def __repr__(self) -> str:
        return f"Stop(asked={self._asked}, gave_up={self.gave_up})"

    def set(self) -> None:
        """Asks to stop."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether anybody asked."""
        return self._asked


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run: what was paid for is in the store. ``report`` says how far the run came."""

    def __init__(self, report: EnrichmentReport) -> None:
        super().__init__(str(report))
        self.report = report


class Terminated(SystemExit):
    """SIGTERM during a run, likewise; ends the program with the usual exit code 143."""

    def __init__(self, report: EnrichmentReport) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.report = report


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turns Ctrl-C and SIGTERM in the block into a request to stop; the caller looks at it and ends soon.

    The second signal asks not to wait for anything, the third does what it always does. Outside the main
    thread, and where the program handles a signal in its own way, nothing is changed.

    Yields:
        What the caller looks at.

    Example:
        >>> with stop_on_signals() as stop:
        ...     signal.raise_signal(signal.SIGINT)
        ...     print("the block goes on", stop.is_set(), stop.gave_up)
        the block goes on True False
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    found = [(int(number), signal.getsignal(number), usual) for number, usual in _USUAL.items()]
    ours = {number: handler for number, handler, usual in found if handler in usual}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            stop.gave_up = True
            for handled, usual in ours.items():
                signal.signal(handled, usual)
        else:
            stop.signum = signal.SIGINT if ours[number] is signal.default_int_handler else number
            stop.set()

    for number in ours:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, usual in ours.items():
            signal.signal(number, usual)


# --- in a query of polars --------------------------------------------------------------------------------

# After Ctrl-C polars breaks off, with a KeyboardInterrupt, whatever it computes for anybody, until the query
# that the main thread waits for has unwound. So nobody could write down what was paid for, while that query
# waits for the one who should.


def apart(function: Callable[[], Outcome]) -> Outcome:
    """Runs a function that spends money, for a worker thread of polars.

    Args:
        function: runs in a thread of its own, to its end also if the query is interrupted: the program does
            not exit before.

    Returns:
        What the function does.

    Raises:
        KeyboardInterrupt: if polars breaks off; the function meets that, too.

    Example:
        >>> apart(lambda: 6 * 7)
        42
    """
    if threading.current_thread() is threading.main_thread():
        return function()
    pool = ThreadPoolExecutor(1, thread_name_prefix="buena_run")
    running = pool.submit(function)
    pool.shutdown(wait=False)
    while not wait([running], _TICK).done:
        pl.select(1)
    return running.result()


def recover() -> None:
    """Waits until polars computes again."""
    if threading.current_thread() is threading.main_thread():
        return
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            pl.select(1)
        except KeyboardInterrupt:
            time.sleep(_TICK)
        else:
            return
