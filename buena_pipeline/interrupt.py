"""Ctrl-C while money is on its way: noted at once, raised when what was paid for has been written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Calls ``stop`` at the first Ctrl-C in the block, and raises when the block has ended.

    A second Ctrl-C raises at once. Does nothing outside the main thread, where no signal arrives, and
    where the program handles Ctrl-C in its own way.

    Args:
        stop: makes the block end soon; called between two instructions, so it may only set something.

    Raises:
        KeyboardInterrupt: at the end of the block, if there was a Ctrl-C.

    Example:
        >>> stopped = []
        >>> try:
        ...     with held_back_interrupt(lambda: stopped.append(True)):
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("the block goes on")
        ... except KeyboardInterrupt:
        ...     print("raised behind it", stopped)
        the block goes on
        raised behind it [True]
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    seen = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if seen:
        raise KeyboardInterrupt
