"""Buying: batches go out through the client, and each answer decides what happens next.

Every turn enters the answers that have come and the requests about to leave together, so the store always
knows more than the vendor has been asked.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.backlog import Backlog
from buena_pipeline.backoff import UNTOLD_WAIT
from buena_pipeline.client import BuenaClient
from buena_pipeline.entries import Request
from buena_pipeline.errors import SettingsError, StoreError
from buena_pipeline.flights import Flights
from buena_pipeline.forecast import Forecast
from buena_pipeline.interrupt import Stop, recover
from buena_pipeline.ledger import Ledger, Turn
from buena_pipeline.plan import Batch
from buena_pipeline.price import Price
from buena_pipeline.result import Bill, EnrichmentProgress
from buena_pipeline.terms import Terms
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

_TURNS_AHEAD: Final = 5
"""Turns whose answers are asked for ahead: one may pass while the other four make the next one worth it."""

_MOST_AHEAD: Final = 2
"""Requests ahead for each connection at most: of unknown outcome, too, if the machine goes down."""

_IN_VAIN: Final = _MOST_AHEAD + 2
"""Answers that each connection could bring during a turn, from which on requests ahead do not help."""

_LEAST_WAIT: Final = 0.025
"""Seconds to wait after a 429 that asks for less; doubles with each."""

_INTERRUPTED: Final = "the run was interrupted"


class Buyer:
    """Buys batches on the terms of a run.

    Args:
        client: what to send through.
        ledger: the books of the run.
        terms: what may be spent, and how long to wait.
        stop: whether the run was asked to stop.
        price: what a lead has cost lately; None if nobody knows.
        leaves: told the id of each request just before it leaves.
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
        leaves: Callable[[str], object] = lambda _: None,
        progress: Callable[[EnrichmentProgress], None] | None = None,
    ) -> None:
        self.bill = Bill()
        self._concurrency = client.concurrency
        self._ledger = ledger
        self._terms = terms
        self._stop = stop
        self._progress = progress
        self._total = 0
        self._backlog = Backlog()
        self._flights = Flights(client, stop, lease=ledger.account.lease, leaves=leaves)
        self._price = Price(price)
        self._turn_takes = 0.0
        self._answer_takes = 0.0
        self._unknown_in_a_row = 0
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._waited = 0.0
        self._limited_in_a_row = 0
        self._limited_at = self._not_before
        self._resets_at: datetime | None = None
        self._told: tuple[datetime | None, bool] = (None, False)
        self._forecast = Forecast()

    @property
    def price(self) -> float:
        """Credits a lead costs: what answers have told, else the vendor's documented example."""
        return self._price.of_a_lead

    @property
    def knows_price(self) -> bool:
        """Whether an answer has told what a lead costs."""
        return self._price.is_known

    @property
    def spent(self) -> float:
        """Credits of this run, with those that lost answers may have cost."""
        return self.bill.credits_used + self.bill.credits_unknown

    def buy(self, batches: Iterable[Batch], *, people: int, requests: int = 0) -> None:
        """Buys the batches, in their order as far as answers allow.

        What became of them is in the ledger and in ``bill``: every person of the batches has an outcome
        there, or turned out to be somebody else's to buy (``Ledger.elsewhere``).

        Args:
            batches: from ``plan.batches``.
            people: how many people are in them, for progress.
            requests: how many batches there are, likewise.

        Raises:
            StoreError: if the store cannot be written; what was paid for is in the journal.
        """
        self._backlog.add(batches)
        self._total += people
        self._forecast.expect(requests)
        try:
            while self._send():
                with self._forecast.idle(not self._flights):
                    self._flights.wait(self._held, spare=self._spare())
                self._land()
        except StoreError as error:
            self._break_off()
            raise self._ledger.rescue(error) from None
        except BaseException:
            try:
                self._break_off()
            finally:  # also if somebody insists on stopping: what came is paid for
                self._ledger.write_or_keep()
            raise
        for batch in self._backlog.rest():
            self._ledger.settle(batch.people, "deferred", self.bill.stopped)

    def _send(self) -> bool:
        """Enters what has come, sends what may leave; False if nothing is on its way or waits."""
        if self._stop.is_set():
            self._halt(_INTERRUPTED)
        places = self._concurrency + self._ahead() - len(self._flights)
        due = self.bill.stopped is None and datetime.now(UTC) >= self._not_before
        batches = self._backlog.take(places) if due else []
        settled = self._ledger.settled
        if batches or self._ledger.waiting:
            began = time.monotonic()
            with self._ledger.turn() as turn:
                self._open(turn, batches)
            self._turn_takes = time.monotonic() - began
            self._dispatch(turn.opened)
        self._tell(settled=self._ledger.settled > settled)
        return bool(self._flights) or (bool(self._backlog) and self.bill.stopped is None)

    def _dispatch(self, opened: Sequence[Request]) -> None:
        """Sends what a turn has opened; what cannot be sent is entered as called off."""
        unsent = deque(opened)
        try:
            while unsent:
                self._flights.send(unsent[0])
                self.bill.requests += 1
                self._forecast.sent()
                unsent.popleft()
        except BaseException as error:
            # an interrupt may strike when the first of them has left; a closed client takes nothing
            sure = list(unsent) if isinstance(error, SettingsError) else list(unsent)[1:]
            for request in sure:
                self._call_off(request)
            raise

    def _ahead(self) -> int:
        """Requests entered before there is a connection for them."""
        return math.ceil(self._concurrency * min(_TURNS_AHEAD * self._rounds, _MOST_AHEAD))

    def _spare(self) -> int:
        """How many of them must be left when a turn begins, so that no connection stands idle during it.

        Less than 0 where connections stand idle anyway, so that more answers share a turn: when nothing is
        left to send, and when all that is ahead would be answered before the turn ends.
        """
        if not self._backlog or self.bill.stopped is not None:
            # while the last answers are on their way, those before are entered
            last = math.ceil(self._concurrency * self._rounds)
            return last - self._concurrency if last < len(self._flights) else -self._concurrency
        if self._rounds > _IN_VAIN:
            return -(self._concurrency * 3 // 4)
        return math.ceil(self._concurrency * min(self._rounds, _MOST_AHEAD))

    @property
    def _rounds(self) -> float:
        """How often each connection brings an answer during a turn."""
        return self._turn_takes / self._answer_takes if self._answer_takes else 0.0

    # --- sending ----------------------------------------------------------------------------------------

    def _open(self, turn: Turn, batches: list[Batch]) -> None:
        """Opens requests for the batches, as far as limits and budgets reach; the others wait."""
        people = sum(batch.people.height for batch in batches)
        batches = turn.still_open(batches)
        self._total -= people - sum(batch.people.height for batch in batches)
        if self._terms.limited and not self._price.is_known:
            self._price.hear(turn.price())
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
        for batch in reversed(waiting):
            self._backlog.put_back(batch)

    def _affordable(self, turn: Turn) -> int:
        """How many leads the budgets pay for, next to what is on its way."""
        if not self._terms.limited:
            return MAX_LEADS
        flying = bool(self._flights or turn.opened)
        left, reason = self._terms.credits_left(
            spent=self.spent + self._flights.reserved + sum(request.reserved for request in turn.opened),
            today=turn.spent_today() if self._terms.daily_credits is not None else 0.0,
        )
        if flying and not self._price.is_confirmed:
            return 0  # what a lead costs is told by the answer to come
        leads = self._price.most_leads(left)
        if leads == 0 and not flying:
            # what is on its way may cost less than is reserved for it
            self._halt(reason)
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

    def _held(self) -> float:
        """Seconds until the rate limits let the next batch go; 0 if none waits for that."""
        if self.bill.stopped is not None or not self._backlog:
            return 0.0
        return max((self._not_before - datetime.now(UTC)).total_seconds(), 0.0)

    # --- landing ----------------------------------------------------------------------------------------

    def _land(self) -> None:
        """Takes every answer that is there; after a second interrupt waits for no other."""
        for request, verdict in self._flights.landed():
            if verdict is None:
                self._call_off(request)
            else:
                self._take(request, verdict)
        if self._stop.gave_up:
            for request in self._flights.abandoned():
                self._lose(request, "nobody waited for the answer after a second interrupt")

    def _call_off(self, request: Request) -> None:
        """A request that did not leave: nobody was charged, and its batch waits with the rest."""
        self._ledger.close(request, "failed", "called off before it was sent")
        self._backlog.put_back(request.batch)

    def _break_off(self) -> None:
        """The run fails: what waits stays, what is on its way is paid for, and each answer counts."""
        self._stop.set()
        self._flights.call_off()
        recover()
        while self._flights:
            self._flights.wait(self._held)
            with contextlib.suppress(Exception):  # one that cannot be used must not cost the others
                self._land()

    def _tell(self, *, settled: bool) -> None:
        """Progress, where there is some, and when a wait begins or the end does."""
        if self._progress is None:
            return
        waiting = self._not_before if self._held() else None
        stopping = self._stop.is_set() and bool(self._flights)
        news = (waiting, stopping)
        if settled or (any(news) and news != self._told):
            done = self._ledger.settled
            self._progress(
                EnrichmentProgress(
                    done,
                    self._total,
                    self.bill.credits_used,
                    waiting,
                    stopping=stopping,
                    estimated_end=self._estimated_end(done),
                )
            )
        self._told = news

    def _estimated_end(self, done: int) -> datetime | None:
        """When everybody can be bought; of those who will not be any more, nobody counts."""
        flying = self._flights.people
        return self._forecast.end(
            now=datetime.now(UTC),
            done=done,
            flying=flying,
            waiting=0 if self.bill.stopped is not None else self._total - done - flying,
            limits=self._ledger.account.limits,
            traffic=self._ledger.traffic,
            blocked_until=self._not_before,
            answer_takes=self._answer_takes,
        )

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
                for people, reason in self._backlog.sort_out(request.batch, verdict):
                    self._ledger.settle(people, "invalid", reason)
            case OutOfCredits(remaining=remaining):
                self._ledger.close(request, "refused", "out of credits", remaining=remaining)
                if not self._backlog.shrink(request.batch, verdict, price=self.price):
                    self.bill.credits_remaining = remaining
                    self._halt("the vendor's credits are used up")
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
        self._backlog.put_back(request.batch)
        self._flights.call_off()

    def _end(self, request: Request, verdict: Halt | ServerFault | Unreachable) -> None:
        """An answer after which nothing more is sent; the batch waits with the rest."""
        self._backlog.put_back(request.batch)
        if isinstance(verdict, Halt):
            self._ledger.close(request, "refused", type(verdict.error).__name__)
            self.bill.halted = verdict.error
            self._halt("the run was stopped")
        else:
            self._ledger.close(request, "failed", verdict.reason)
            self._halt(verdict.reason)

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
        self.bill.credits_unknown += request.reserved

    def _pay(self, request: Request, answer: Answer, missing: pl.DataFrame) -> None:
        """What an answer cost, and what became of people it does not mention."""
        found = sum(item.found for item in answer.items)
        used = found * self.price if answer.credits_used is None else answer.credits_used
        self.bill.credits_used += used
        left = [told for told in (self.bill.credits_remaining, answer.credits_remaining) if told is not None]
        # answers overtake each other; the smallest is the one the vendor wrote last
        self.bill.credits_remaining = min(left, default=None)
        blocks = request.batch.blocks
        if missing.height and self._price.is_exceeded(blocks, answer, found=found):
            self._ledger.charged_without_answer(request, missing)
            self._ledger.settle(missing, "deferred", "charged, but the answer does not mention this lead")
            self.bill.unknown += missing.height
        elif missing.height:
            self._ledger.settle(missing, "failed", "no answer for this lead")
        else:
            self._price.learn(blocks, found=found, used=used)

    def _halt(self, reason: str) -> None:
        if self.bill.stopped is None:
            self.bill.stopped = _INTERRUPTED if self._stop.is_set() else reason
            self._flights.call_off()
