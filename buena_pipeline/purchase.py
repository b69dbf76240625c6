"""Buying: batches go out through the client, and each answer decides what happens next.

Every round writes the answers that have come and the requests about to leave in one transaction, so the
store always knows more than the vendor has been asked.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final

import polars as pl

from buena_pipeline.backoff import UNTOLD_WAIT
from buena_pipeline.client import BuenaClient
from buena_pipeline.errors import StoreError, VendorError
from buena_pipeline.interrupt import held_back_interrupt
from buena_pipeline.ledger import Ledger, Request
from buena_pipeline.normalize import linkedin_slug
from buena_pipeline.plan import BEYOND_BUDGET, Batch
from buena_pipeline.result import EnrichmentProgress
from buena_pipeline.settings import EnrichmentOptions
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

_UNKNOWN_IN_A_ROW: Final = 3
"""Unreadable answers after which buying stops: each may cost a full batch."""


@dataclass(slots=True)
class Bill:
    """What buying came to, and why it stopped if it did."""

    requests: int = 0
    credits_used: float = 0.0
    credits_remaining: float | None = None
    unknown: int = 0
    stopped: str | None = None
    resume_at: datetime | None = None
    halted: VendorError | None = None


class Buyer:
    """Buys batches within a budget.

    Args:
        client: what to send through.
        ledger: the books of the run.
        max_credits: credits that may be spent; None for no limit.
        max_wait: seconds of rate-limit waits that one request may bear.
        progress: called after each transaction that settled somebody.
    """

    def __init__(
        self,
        client: BuenaClient,
        ledger: Ledger,
        *,
        max_credits: float | None,
        max_wait: float,
        progress: Callable[[EnrichmentProgress], None] | None = None,
    ) -> None:
        self.bill = Bill()
        self._client = client
        self._ledger = ledger
        self._max_credits = max_credits
        self._max_wait = max_wait
        self._progress = progress
        self._again: deque[Batch] = deque()
        self._price = 1.0
        self._unknown_in_a_row = 0
        self._called_off = Event()

    def buy(self, batches: Iterable[Batch], *, people: int) -> Bill:
        """Buys the batches, in their order as far as answers allow.

        Args:
            batches: from ``plan.batches``.
            people: how many people are in them, for progress.

        Returns:
            What it came to. In the ledger every person of the batches has exactly one outcome.

        Raises:
            StoreError: if an answer cannot be written.
            KeyboardInterrupt: after Ctrl-C, when the answers on their way are in the store.
        """
        queue = iter(batches)
        flying: dict[Future[Verdict], Request] = {}
        # what is on its way is paid for: after Ctrl-C it is waited for and kept, but nothing more is sent
        with held_back_interrupt(self._interrupt):
            try:
                while self._send(queue, flying, people):
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        self._take(flying.pop(future), future.result())
            except StoreError as error:
                self._land(flying)
                raise self._ledger.rescue(error) from None
            except BaseException:
                self._land(flying)
                try:
                    self._ledger.write()
                except StoreError as error:
                    raise self._ledger.rescue(error) from None
                raise
        for batch in (*self._again, *queue):
            self._ledger.settle(batch.people, "deferred", self.bill.stopped)
        return self.bill

    def _send(self, queue: Iterator[Batch], flying: dict[Future[Verdict], Request], people: int) -> bool:
        """Writes what has come, sends what there are places for; False if nothing is on its way."""
        opening = list(self._open(queue, list(flying.values())))
        self._ledger.write(opening)
        for request in opening:
            flying[self._submit(request)] = request
        if self._progress is not None and self._ledger.settled:
            self._progress(EnrichmentProgress(self._ledger.settled, people, self.bill.credits_used))
        return bool(flying)

    # --- sending ----------------------------------------------------------------------------------------

    def _open(self, queue: Iterator[Batch], flying: list[Request]) -> Iterator[Request]:
        """The next requests, as far as there are places and credits."""
        reserved = sum(request.reserved for request in flying)
        for _ in range(self._client.concurrency - len(flying)):
            batch = None if self.bill.stopped else self._again.popleft() if self._again else next(queue, None)
            if batch is None:
                return
            affordable = self._affordable(reserved)
            if affordable < batch.people.height:
                self._requeue(batch, since=affordable)
                if affordable == 0:
                    # what is on its way may cost less than is reserved for it
                    if not reserved:
                        self._stop(BEYOND_BUDGET)
                    return
                batch = Batch(batch.blocks, batch.people[:affordable])
            request = self._ledger.draft(batch, price=self._price)
            reserved += request.reserved
            yield request

    def _affordable(self, reserved: float) -> int:
        if self._max_credits is None:
            return 2**31
        return max(int((self._max_credits - self.bill.credits_used - reserved) / self._price), 0)

    def _interrupt(self) -> None:
        self._called_off.set()
        self._stop("the run was interrupted")

    def _land(self, flying: dict[Future[Verdict], Request]) -> None:
        """The run breaks off: what waits stays, what is on its way is paid for, and each answer counts."""
        self._called_off.set()
        for future in wait(flying).done:
            with contextlib.suppress(Exception):  # one that cannot be used must not cost the others
                self._take(flying.pop(future), future.result())

    def _submit(self, request: Request) -> Future[Verdict]:
        self.bill.requests += 1
        leads = request.batch.people.to_dicts()  # at most 50
        return self._client.submit(
            leads,
            EnrichmentOptions.of(request.batch.blocks),
            max_wait=self._max_wait,
            called_off=self._called_off,
        )

    # --- what came back ---------------------------------------------------------------------------------

    def _take(self, request: Request, verdict: Verdict) -> None:
        """What an answer means for the books, the people and the rest of the run."""
        if isinstance(verdict, Unknown):
            self._give_up_on(request, verdict)
            return
        self._unknown_in_a_row = 0
        match verdict:
            case Answer():
                self._ledger.answer(request, verdict)
                self._pay(verdict)
            case Refused(message=message):
                self._ledger.close(request, "refused", message)
                self._sort_out(request.batch, verdict)
            case OutOfCredits(remaining=remaining):
                self._ledger.close(request, "refused", "out of credits", remaining=remaining)
                self._shrink(request.batch, verdict)
            case _:
                self._end(request, verdict)

    def _end(self, request: Request, verdict: Verdict) -> None:
        """An answer after which nothing more is sent; the batch waits with the rest."""
        self._requeue(request.batch)
        match verdict:
            case RateLimited(wait=seconds, resets_at=resets_at):
                self._ledger.close(request, "refused", "rate limit")
                untold = UNTOLD_WAIT if seconds is None else seconds
                self.bill.resume_at = resets_at or datetime.now(UTC) + timedelta(seconds=untold)
                self._stop("the vendor's rate limit is used up")
            case Halt(error=error):
                self._ledger.close(request, "refused", type(error).__name__)
                self.bill.halted = error
                self._stop("the run was stopped")
            case ServerFault(reason=reason) | Unreachable(reason=reason):
                self._ledger.close(request, "failed", reason)
                self._stop(reason)

    def _give_up_on(self, request: Request, verdict: Unknown) -> None:
        """An outcome nobody knows: not sent again, and three in a row are enough."""
        people = request.batch.people
        self._ledger.close(request, "unknown", verdict.reason)
        if verdict.body is not None:
            self._ledger.keep(request, verdict.body)
        self._ledger.settle(people, "deferred", f"{verdict.reason}; perhaps charged, see the ledger")
        self.bill.unknown += people.height
        self._unknown_in_a_row += 1
        if self._unknown_in_a_row >= _UNKNOWN_IN_A_ROW:
            self._stop(f"{_UNKNOWN_IN_A_ROW} unusable answers in a row: {verdict.reason}")

    def _pay(self, answer: Answer) -> None:
        found = sum(item.found for item in answer.items)
        used = found * self._price if answer.credits_used is None else answer.credits_used
        self.bill.credits_used += used
        left = [told for told in (self.bill.credits_remaining, answer.credits_remaining) if told is not None]
        # answers overtake each other; the smallest is the one the vendor wrote last
        self.bill.credits_remaining = min(left, default=None)
        if found:
            self._price = max(self._price, used / found)

    def _sort_out(self, batch: Batch, refused: Refused) -> None:
        """A refused batch: the leads it names are invalid, the rest goes out again."""
        people = batch.people
        named = pl.Series(range(people.height), dtype=pl.UInt32).is_in(list(refused.leads))
        if refused.profile_url is not None:
            slug = linkedin_slug(pl.lit(refused.profile_url))
            same = (pl.col("linkedin_url") == refused.profile_url) | (
                linkedin_slug(pl.col("linkedin_url")) == slug
            )
            named = people.select(same.fill_null(value=False)).to_series()
        if not named.any():
            self._halve(batch, refused.message)
        elif refused.profile_url is not None:
            self._drop_profile(batch, named)
        else:
            for index in named.arg_true():
                self._ledger.settle(people[index : index + 1], "invalid", refused.leads[index])
            self._requeue(Batch(batch.blocks, people.filter(~named)))

    def _drop_profile(self, batch: Batch, named: pl.Series) -> None:
        """A refused LinkedIn URL: the lead goes out without it if something else identifies it."""
        people = batch.people.with_columns(
            linkedin_url=pl.when(~named).then("linkedin_url"),
            sendable=~named
            | pl.col("email").is_not_null()
            | pl.all_horizontal(pl.col("first_name", "last_name", "company").is_not_null()),
        )
        self._ledger.settle(
            people.filter(~pl.col("sendable")), "invalid", "the vendor refused the LinkedIn URL"
        )
        self._requeue(Batch(batch.blocks, people.filter("sendable").drop("sendable")))

    def _halve(self, batch: Batch, message: str) -> None:
        """A refusal that names nobody: the bad lead is found by halving."""
        middle = batch.people.height // 2
        if middle == 0:
            self._ledger.settle(batch.people, "invalid", message)
            return
        self._requeue(batch, since=middle)
        self._requeue(Batch(batch.blocks, batch.people[:middle]))

    def _shrink(self, batch: Batch, verdict: OutOfCredits) -> None:
        """Out of credits: as many people as the rest pays for; if it pays for nobody, the run is over."""
        height = batch.people.height
        price = verdict.required / height if verdict.required else self._price
        affordable = int(min(verdict.remaining / price, height - 1))
        self._requeue(batch, since=affordable)
        if affordable:
            self._requeue(Batch(batch.blocks, batch.people[:affordable]))
        else:
            self.bill.credits_remaining = verdict.remaining
            self._stop("the vendor's credits are used up")

    def _requeue(self, batch: Batch, *, since: int = 0) -> None:
        if since < batch.people.height:
            self._again.appendleft(Batch(batch.blocks, batch.people[since:]))

    def _stop(self, reason: str) -> None:
        self.bill.stopped = self.bill.stopped or reason
