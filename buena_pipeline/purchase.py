"""Buying: batches go out through the client, and each answer decides what happens next.

Every turn enters the answers that have come and the requests about to leave together, so the store always
knows more than the vendor has been asked.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.backoff import UNTOLD_WAIT
from buena_pipeline.client import BuenaClient
from buena_pipeline.errors import StoreError
from buena_pipeline.interrupt import Stop
from buena_pipeline.ledger import Ledger, Request, Turn
from buena_pipeline.normalize import linkedin_slug
from buena_pipeline.plan import Batch
from buena_pipeline.result import Bill, EnrichmentProgress
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.terms import Terms, affordable
from buena_pipeline.wire import (
    MAX_LEADS,
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

_LEAST_WAIT: Final = 0.025
"""Seconds to wait after a 429 that asks for less; doubles with each."""

_TICK: Final = 0.1
"""Seconds after which a wait looks whether it was asked to stop."""

_INTERRUPTED: Final = "the run was interrupted"


@dataclass(frozen=True, slots=True)
class _Leash:
    """Holds a request back that did not leave in time: after its lease others take it for lost."""

    stop: Stop
    until: datetime

    def is_set(self) -> bool:
        return self.stop.is_set() or datetime.now(UTC) > self.until


class Buyer:
    """Buys batches on the terms of a run.

    Args:
        client: what to send through.
        ledger: the books of the run.
        terms: what may be spent, and how long to wait.
        stop: whether the run was asked to stop.
        price: what a lead has cost lately; None if nobody knows.
        progress: called after each turn that settled somebody, and before a longer wait.
    """

    def __init__(
        self,
        client: BuenaClient,
        ledger: Ledger,
        *,
        terms: Terms,
        stop: Stop,
        price: float | None = None,
        progress: Callable[[EnrichmentProgress], None] | None = None,
    ) -> None:
        self.bill = Bill()
        self._client = client
        self._ledger = ledger
        self._terms = terms
        self._stop = stop
        self._progress = progress
        self._total = 0
        self._flying: dict[Future[Verdict], Request] = {}
        self._queue: Iterator[Batch] = iter(())
        self._again: deque[Batch] = deque()
        self._price = price
        self._probe = 1
        self._turn_takes = 0.0
        self._answer_takes = 0.0
        self._perhaps = 0.0
        self._unknown_in_a_row = 0
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._waited = 0.0
        self._limited_in_a_row = 0
        self._limited_at = self._not_before
        self._resets_at: datetime | None = None
        self._told: tuple[datetime | None, bool] = (None, False)

    @property
    def price(self) -> float:
        """Credits a lead costs: what answers have told, else the vendor's documented example."""
        return 1.0 if self._price is None else self._price

    @property
    def knows_price(self) -> bool:
        """Whether an answer has told what a lead costs."""
        return self._price is not None

    @property
    def spent(self) -> float:
        """Credits of this run, with those that lost answers may have cost."""
        return self.bill.credits_used + self._perhaps

    def buy(self, batches: Iterable[Batch], *, people: int) -> None:
        """Buys the batches, in their order as far as answers allow.

        What became of them is in the ledger and in ``bill``: every person of the batches has an outcome
        there, or turned out to be somebody else's to buy (``Ledger.elsewhere``).

        Args:
            batches: from ``plan.batches``.
            people: how many people are in them, for progress.

        Raises:
            StoreError: if the store cannot be written; what was paid for is in the journal.
        """
        self._queue = iter(batches)
        self._total += people
        try:
            while self._send():
                for future in self._wait():
                    self._land_one(future)
        except StoreError as error:
            self._land()
            raise self._ledger.rescue(error) from None
        except BaseException:
            self._land()
            try:
                self._ledger.write()
            except StoreError as error:
                raise self._ledger.rescue(error) from None
            raise
        for batch in (*self._again, *self._queue):
            self._ledger.settle(batch.people, "deferred", self.bill.stopped)
        self._again.clear()

    def _send(self) -> bool:
        """Enters what has come, sends what may leave; False if nothing is on its way or waits."""
        if self._stop.is_set():
            self._halt(_INTERRUPTED)
        places = self._client.concurrency + self._ahead() - len(self._flying)
        due = places > 0 and datetime.now(UTC) >= self._not_before
        batches = self._next(places) if due else []
        settled = self._ledger.settled
        if batches or self._ledger.waiting:
            began = time.monotonic()
            with self._ledger.turn() as turn:
                self._open(turn, batches)
            self._turn_takes = time.monotonic() - began
            for request in turn.opened:
                self._flying[self._submit(request)] = request
        self._tell(settled=self._ledger.settled > settled)
        return bool(self._flying or (self._again and not self.bill.stopped))

    def _ahead(self) -> int:
        """Requests entered before there is a connection for them, so that none stands idle during a turn."""
        rounds = self._turn_takes / self._answer_takes if self._answer_takes else 0.0
        return math.ceil(self._client.concurrency * min(rounds, 1.0))

    # --- sending ----------------------------------------------------------------------------------------

    def _next(self, places: int) -> list[Batch]:
        """The next batches, as many as there are places for."""
        batches: list[Batch] = []
        while len(batches) < places and not self.bill.stopped:
            batch = self._again.popleft() if self._again else next(self._queue, None)
            if batch is None:
                break
            batches.append(batch)
        return batches

    def _open(self, turn: Turn, batches: list[Batch]) -> None:
        """Opens requests for the batches, as far as limits and budgets reach; the others wait."""
        batches = turn.still_open(batches)
        slots, slot = turn.slots(len(batches))
        if slots < len(batches):
            self._wait_for(slot)
        waiting = deque(batches)
        while waiting and len(turn.opened) < slots:
            batch = waiting.popleft()
            affordable = self._affordable(turn)
            if affordable < batch.people.height:
                waiting.appendleft(Batch(batch.blocks, batch.people[affordable:]))
                if affordable == 0:
                    break
            turn.open(Batch(batch.blocks, batch.people[:affordable]), price=self.price)
            if self._price is None and affordable < batch.people.height:
                break
        self._again.extendleft(reversed(waiting))

    def _affordable(self, turn: Turn) -> int:
        """How many leads the budgets pay for, next to what is on its way."""
        if not self._terms.limited:
            return MAX_LEADS
        flying = [*self._flying.values(), *turn.opened]
        left, reason = self._terms.credits_left(
            spent=self.spent + sum(request.reserved for request in flying),
            today=turn.spent_today() if self._terms.daily_credits is not None else 0.0,
        )
        leads = affordable(left, self.price)
        if leads == 0 and not flying:
            # what is on its way may cost less than is reserved for it
            self._halt(reason)
        if self._price is None:
            # nobody knows yet what a lead costs: ask with few before the budget is at stake
            return 0 if flying else min(leads, self._probe)
        return leads

    def _wait_for(self, slot: datetime) -> None:
        """The rate limits have no room before: waited for, as long as the terms allow."""
        seconds = (slot - datetime.now(UTC)).total_seconds()
        if self._waited + seconds > self._terms.max_wait:
            self.bill.resume_at = max(slot, self._resets_at or slot)
            self._halt("the vendor's rate limit is used up")
            return
        self._waited += seconds
        self._not_before = slot

    def _submit(self, request: Request) -> Future[Verdict]:
        self.bill.requests += 1
        leads = request.batch.people.to_dicts()  # at most 50
        options = EnrichmentOptions.of(request.batch.blocks)
        # rate limits are waited for here, where everybody who shares them learns of it
        leash = _Leash(self._stop, request.row["happened_at"] + self._ledger.account.lease / 2)
        return self._client.submit(leads, options, max_wait=0, called_off=leash)

    # --- waiting ----------------------------------------------------------------------------------------

    def _wait(self) -> list[Future[Verdict]]:
        """Waits for an answer, for the next slot or for a request to stop, whichever comes first."""
        noticed = self._stop.is_set()
        while True:
            if self._stop.gave_up:
                self._abandon()
                return []
            held = self._held()
            pause = min(_TICK, held) or _TICK
            if self._flying:
                if done := list(wait(self._flying, pause, FIRST_COMPLETED).done):
                    return done
            elif held:
                time.sleep(pause)
            else:
                return []
            if (held and not self._held()) or (self._stop.is_set() and not noticed):
                return []

    def _held(self) -> float:
        """Seconds until the rate limits let the next batch go; 0 if none waits for that."""
        if self.bill.stopped or not self._again:
            return 0.0
        return max((self._not_before - datetime.now(UTC)).total_seconds(), 0.0)

    def _land_one(self, future: Future[Verdict]) -> None:
        request = self._flying.pop(future)
        if not future.cancelled():
            self._take(request, future.result())
            return
        self._ledger.close(request, "failed", "called off before it was sent")
        self._requeue(request.batch)

    def _call_off(self) -> None:
        """What was entered ahead, and has not left, does not leave."""
        for future in self._flying:
            future.cancel()

    def _land(self) -> None:
        """The run breaks off: what waits stays, what is on its way is paid for, and each answer counts."""
        self._stop.set()
        while self._flying and not self._stop.gave_up:
            for future in wait(self._flying, _TICK, FIRST_COMPLETED).done:
                with contextlib.suppress(Exception):  # one that cannot be used must not cost the others
                    self._land_one(future)
        self._abandon()

    def _abandon(self) -> None:
        """Nobody waits any longer: what has left is of unknown outcome, what has not is called off."""
        self._call_off()
        for future in list(self._flying):
            if future.done():
                self._land_one(future)
            else:
                self._client.lose_patience()
                self._lose(self._flying.pop(future), "nobody waited for the answer after a second interrupt")

    def _tell(self, *, settled: bool) -> None:
        """Progress, where there is some, and when a wait begins or the end does."""
        if self._progress is None:
            return
        waiting = self._not_before if self._held() else None
        stopping = self._stop.is_set() and bool(self._flying)
        news = (waiting, stopping)
        if settled or (any(news) and news != self._told):
            self._progress(
                EnrichmentProgress(
                    self._ledger.settled, self._total, self.bill.credits_used, waiting, stopping=stopping
                )
            )
        self._told = news

    # --- what came back ---------------------------------------------------------------------------------

    def _take(self, request: Request, verdict: Verdict) -> None:
        """What an answer means for the books, the people and the rest of the run."""
        if isinstance(verdict, Unknown):
            self._give_up_on(request, verdict)
            return
        self._unknown_in_a_row = 0
        match verdict:
            case Answer(seconds=seconds):
                self._waited, self._limited_in_a_row, self._answer_takes = 0.0, 0, seconds
                missing = self._ledger.answer(request, verdict)
                self._pay(request, verdict, missing)
            case RateLimited():
                self._hold_back(request, verdict)
            case Refused(message=message):
                self._ledger.close(request, "refused", message)
                self._sort_out(request.batch, verdict)
            case OutOfCredits(remaining=remaining):
                self._ledger.close(request, "refused", "out of credits", remaining=remaining)
                self._shrink(request.batch, verdict)
            case _:
                self._end(request, verdict)

    def _hold_back(self, request: Request, verdict: RateLimited) -> None:
        """429: entered for everybody who shares the limit; the batch waits for its next turn."""
        now = datetime.now(UTC)
        if request.row["happened_at"] > self._limited_at:  # a new one, not one more of the same moment
            self._limited_in_a_row += 1
            self._limited_at = now
        # a vendor that says "0" over and over must not be asked in a tight loop
        least = min(_LEAST_WAIT * 2**self._limited_in_a_row, UNTOLD_WAIT)
        seconds = UNTOLD_WAIT if verdict.wait is None else max(verdict.wait, least)
        self._resets_at = verdict.resets_at
        self._ledger.close(
            request, "refused", "rate limit", quota=verdict.quota, retry_at=now + timedelta(seconds=seconds)
        )
        self._requeue(request.batch)
        self._call_off()

    def _end(self, request: Request, verdict: Verdict) -> None:
        """An answer after which nothing more is sent; the batch waits with the rest."""
        self._requeue(request.batch)
        match verdict:
            case Halt(error=error):
                self._ledger.close(request, "refused", type(error).__name__)
                self.bill.halted = error
                self._halt("the run was stopped")
            case ServerFault(reason=reason) | Unreachable(reason=reason):
                self._ledger.close(request, "failed", reason)
                self._halt(reason)

    def _give_up_on(self, request: Request, verdict: Unknown) -> None:
        """An outcome nobody knows: not sent again, and three in a row are enough."""
        if verdict.body is not None:
            self._ledger.keep(request, verdict.body)
        self._lose(request, verdict.reason)
        self._unknown_in_a_row += 1
        if self._unknown_in_a_row >= _UNKNOWN_IN_A_ROW:
            self._halt(f"{_UNKNOWN_IN_A_ROW} unusable answers in a row: {verdict.reason}")

    def _lose(self, request: Request, reason: str) -> None:
        people = request.batch.people
        self._ledger.close(request, "unknown", reason)
        self._ledger.settle(people, "deferred", f"perhaps charged, see the ledger: {reason}")
        self.bill.unknown += people.height
        self._perhaps += request.reserved

    def _pay(self, request: Request, answer: Answer, missing: pl.DataFrame) -> None:
        """What an answer cost, and what became of people it does not mention."""
        found = sum(item.found for item in answer.items)
        used = found * self.price if answer.credits_used is None else answer.credits_used
        self.bill.credits_used += used
        left = [told for told in (self.bill.credits_remaining, answer.credits_remaining) if told is not None]
        # answers overtake each other; the smallest is the one the vendor wrote last
        self.bill.credits_remaining = min(left, default=None)
        if missing.height and used > found * self.price:
            self._ledger.charged_without_answer(request, missing)
            self._ledger.settle(missing, "deferred", "charged, but the answer does not mention this lead")
            self.bill.unknown += missing.height
        elif missing.height:
            self._ledger.settle(missing, "failed", "no answer for this lead")
        elif found:
            self._price = max(self._price or 0.0, used / found)
        else:
            self._probe = min(2 * self._probe, MAX_LEADS)

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
        price = verdict.required / height if verdict.required else self.price
        affordable = int(min(verdict.remaining / price, height - 1))
        self._requeue(batch, since=affordable)
        if affordable:
            self._requeue(Batch(batch.blocks, batch.people[:affordable]))
        else:
            self.bill.credits_remaining = verdict.remaining
            self._halt("the vendor's credits are used up")

    def _requeue(self, batch: Batch, *, since: int = 0) -> None:
        if since < batch.people.height:
            self._again.appendleft(Batch(batch.blocks, batch.people[since:]))

    def _halt(self, reason: str) -> None:
        if self.bill.stopped is None:
            self.bill.stopped = _INTERRUPTED if self._stop.is_set() else reason
            self._call_off()
