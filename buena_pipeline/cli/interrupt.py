"""Ctrl-C in the middle of a run: what is under way is paid for, so it is waited for; nothing new is sent.

A flag and no exception, which could strike between an answer and its record.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import Final

from buena_pipeline.cli.exits import INTERRUPTED
from buena_pipeline.client import BuenaClient
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.wire import Lead, Unreachable, Verdict

_NOTICE: Final = b"\nstopping: waiting for the answers that are under way (press again to give up on them)\n"


class StoppableClient(BuenaClient):
    """A client that, once ``stop`` is set, sends nothing more; the run then ends as if nobody answered.

    Args:
        api_key: as for ``BuenaClient``.
        base_url: likewise.
        concurrency: likewise.

    Example:
        >>> with StoppableClient(api_key="bna_secret") as client:
        ...     client.stop.set()
        ...     client.submit([{"email": "jane@acme.example"}], EnrichmentOptions()).result()
        Unreachable(reason='interrupted')
    """

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, *, concurrency: int = 8
    ) -> None:
        super().__init__(api_key, base_url, concurrency=concurrency)
        self.stop = threading.Event()

    def submit(
        self,
        leads: Sequence[Lead],
        options: EnrichmentOptions,
        *,
        max_wait: float = 300.0,
        called_off: threading.Event | None = None,
    ) -> Future[Verdict]:
        """Like that of ``BuenaClient``, until ``stop`` is set."""
        if not self.stop.is_set():
            return super().submit(leads, options, max_wait=max_wait, called_off=called_off or self.stop)
        refused: Future[Verdict] = Future()
        refused.set_result(Unreachable("interrupted"))
        return refused


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Sets ``stop`` at the first Ctrl-C or SIGTERM in the block, and ends the process at the second.

    Raises:
        KeyboardInterrupt: at the end of the block, if it was stopped.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)  # the store is safe at any moment; threads that wait would hold exit up
        stop.set()
        os.write(2, _NOTICE)  # print could be what was interrupted

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.is_set():
        raise KeyboardInterrupt
