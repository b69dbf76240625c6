"""Requests on their way: sent, waited for, called off, given up on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, overload

from buena_pipeline.client import CALLED_OFF, BuenaClient
from buena_pipeline.entries import Request
from buena_pipeline.interrupt import Stop
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.wire import Answer, Lead, Verdict

_TICK: Final = 0.1
"""Seconds after which a wait looks whether it was asked to stop."""

_GROUP: Final = 0.25
"""Seconds for which an answer may wait for others, to be written with them."""


@dataclass(frozen=True, slots=True)
class _Leash:
    """Holds a request back that did not leave in time: after its lease others take it for lost."""

    stop: Stop
    until: datetime

    def is_set(self) -> bool:
        return self.stop.is_set() or datetime.now(UTC) > self.until


class _Leads(Sequence[Lead]):
    """The leads of a request, put into plain Python by the thread that sends them."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __len__(self) -> int:
        return self._request.batch.people.height

    @overload
    def __getitem__(self, place: int) -> Lead: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Lead]: ...
    def __getitem__(self, place: int | slice) -> Lead | Sequence[Lead]:
        return self._request.leads[place]

    def __iter__(self) -> Iterator[Lead]:
        return iter(self._request.leads)


class Flights:
    """The requests of a run that are on their way.

    Args:
        client: what they are sent through.
        stop: whether the run was asked to stop; then nothing leaves any more.
        lease: how long a request may take at most.
        leaves: told the id of each request just before it leaves, in any thread; if that fails it stays.
    """

    def __init__(
        self,
        client: BuenaClient,
        stop: Stop,
        *,
        lease: timedelta,
        leaves: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._stop = stop
        self._lease = lease
        self._leaves = leaves
        self._flying: dict[Future[Verdict], Request] = {}
        self._landed: deque[Future[Verdict]] = deque()
        self._wanted = 1
        self._bell = threading.Event()

    def __len__(self) -> int:
        return len(self._flying)

    @property
    def reserved(self) -> float:
        """Credits they may cost."""
        return sum(request.reserved for request in self._flying.values())

    @property
    def people(self) -> int:
        """How many people they ask for."""
        return sum(request.batch.people.height for request in self._flying.values())

    def send(self, request: Request) -> None:
        """Sends a request, as soon as there is a connection for it."""
        options = EnrichmentOptions.of(request.batch.blocks)
        leash = _Leash(self._stop, request.row["happened_at"] + self._lease / 2)
        # rate limits are waited for by the run, where everybody who shares them learns of it
        future = self._client.submit(
            _Leads(request),
            options,
            max_wait=0,
            called_off=leash,
            leaves=partial(self._leaves, request.row["request_id"]),
        )
        self._flying[future] = request
        future.add_done_callback(partial(self._lands, request))

    def call_off(self) -> None:
        """What has not left does not leave; it lands without a verdict."""
        for future in self._flying:
            future.cancel()

    def wait(self, held: Callable[[], float], *, spare: int = 0) -> None:
        """Until an answer is there, the run is asked to stop, or something else may leave.

        Args:
            held: seconds until the next request may leave; 0 if none waits for that.
            spare: while more requests than this wait for a connection, answers wait for one another; less
                than 0 for connections that may have none.
        """
        noticed = self._stop.is_set()
        while not self._stop.gave_up:
            seconds = held()
            pause = min(_TICK, seconds) or _TICK
            if self._flying:
                if self._wait_for(1, pause):
                    self._gather(spare)
                    return
            elif seconds:
                time.sleep(pause)
            else:
                return
            if (seconds and not held()) or (self._stop.is_set() and not noticed):
                return

    def landed(self) -> Iterator[tuple[Request, Verdict | None]]:
        """The requests that are answered, or were called off (None), each once."""
        for _ in range(len(self._landed)):
            future = self._landed.popleft()
            request = self._flying.pop(future, None)
            if request is not None:
                verdict = None if future.cancelled() else future.result()
                # a thread may have taken it just before it was cancelled
                yield request, None if verdict is CALLED_OFF else verdict

    def abandoned(self) -> Iterator[Request]:
        """The requests that are on their way, each once: nobody waits for them any longer."""
        if self._flying:
            self._client.lose_patience()
        while self._flying:
            yield self._flying.popitem()[1]

    def _gather(self, spare: int) -> None:
        """For a moment waits for more answers, while enough requests are ahead."""
        until = time.monotonic() + _GROUP
        worth_it = len(self._flying) - self._client.concurrency - spare
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
            if self._wait_for(worth_it, min(left, _TICK)):
                return

    def _wait_for(self, answers: int, seconds: float) -> bool:
        """Whether so many requests have landed; waits so long for that, and is not woken up before."""
        self._wanted = answers
        self._bell.clear()
        return len(self._landed) >= answers or (self._bell.wait(seconds) and len(self._landed) >= answers)

    def _lands(self, request: Request, future: Future[Verdict]) -> None:
        """A request is answered, or called off; in any thread."""
        # here is time for it; if it fails, it fails once more where the answer is entered
        with suppress(Exception):
            if not future.cancelled() and isinstance(verdict := future.result(), Answer):
                request.match(verdict)
        self._landed.append(future)
        if len(self._landed) >= self._wanted:
            self._bell.set()
