"""The books of a run: requests and outcomes, entered in the store in one turn at the file after the other.

Knows what an answer holds and what the ledger allows, not what to do next; ``purchase`` decides that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from buena_pipeline.errors import StoreError, StoreLockedError
from buena_pipeline.match import match_items
from buena_pipeline.pace import Quota, next_slot
from buena_pipeline.plan import Batch
from buena_pipeline.postings import Postings
from buena_pipeline.schema import BLOCKS, IDENTITY_ROWS, REQUEST_ROWS, STATUS
from buena_pipeline.settings import RateLimits
from buena_pipeline.store import EnrichmentStore, Transaction
from buena_pipeline.wire import Answer

OUTCOME: Final = pl.Schema({"person_id": pl.String(), "status": STATUS, "error": pl.String()})
"""What became of each person that was to be bought."""

Decide = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""From what the store knows of people (``own_id``, ``known``) and their keys to ``plan.decide`` of them."""

_PATIENCE: Final = 2.0
"""Seconds for which paid answers wait in memory for the file, before the journal keeps them."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose credits and rate limits a run uses.

    Attributes:
        name: tells accounts apart in the ledger.
        limits: its rate limits; None for none.
        lease: how long a request may take at most.
    """

    name: str
    limits: RateLimits | None
    lease: timedelta


@dataclass(frozen=True, slots=True)
class Request:
    """A batch under way, and its row in the ledger."""

    batch: Batch
    row: dict[str, Any] = field(repr=False)

    @property
    def reserved(self) -> float:
        """Credits it may cost."""
        return float(self.row["credits_reserved"])


class Turn:
    """What can be asked of the ledger, and entered in it, while nobody else can.

    Args:
        transaction: the turn at the file.
        ledger: the books it is for.
        frames: what has happened since the last turn.

    Attributes:
        now: when it began.
        opened: the requests that may leave once it has ended.
    """

    def __init__(self, transaction: Transaction, ledger: Ledger, frames: dict[str, pl.DataFrame]) -> None:
        self.now = datetime.now(UTC)
        self.opened: list[Request] = []
        self._transaction = transaction
        self._ledger = ledger
        self._frames = frames

    def slots(self, places: int) -> tuple[int, datetime]:
        """How many of so many requests the rate limits let leave now, and when the next one may."""
        account = self._ledger.account
        if self._frames and self._ledger.heard_of_limits():
            self.enter()
        if account.limits is None:
            blocked = self._transaction.blocked_until(account.name, now=self.now)
            return (0, blocked) if blocked else (places, self.now)
        traffic = self._transaction.traffic(account.name, now=self.now)
        sent, limits = traffic.sent, account.limits
        for free in range(places):
            slot = next_slot(
                sent, limits, now=self.now, quota=traffic.quota, blocked_until=traffic.blocked_until
            )
            if slot > self.now:
                return free, slot
            sent.append(self.now)
        return places, self.now

    def still_open(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches without those whom somebody else bought, or is buying, since they were looked up."""
        if not batches or not self._ledger.others_acted(self._transaction):
            return list(batches)
        self.enter()
        return self._ledger.without_others(batches, self._transaction)

    def spent_today(self) -> float:
        """Credits of this day (UTC), of all runs, with those that what is under way may cost."""
        self.enter()
        opened = sum(request.reserved for request in self.opened)
        return self._transaction.spent_today(now=self.now) + opened

    def open(self, batch: Batch, *, price: float) -> None:
        """Enters a request for a batch at so many credits a lead."""
        self.opened.append(self._ledger.draft(batch, price=price, now=self.now))

    def enter(self, **more: pl.DataFrame) -> None:
        """Writes what has happened, as far as it is not written, and more with it."""
        names = self._frames.keys() | more.keys()
        parts = {name: [frames[name] for frames in (self._frames, more) if name in frames] for name in names}
        if parts:
            self._transaction.write(**{name: pl.concat(frames) for name, frames in parts.items()})
        self._frames = {}


class Ledger:
    """The books of one run.

    Args:
        store: where they are written.
        run_id: the run.
        account: whose credits are spent.
        decide: what is to be done for people, by the terms of the run.

    Attributes:
        settled: how many people have an outcome.
        elsewhere: people whom somebody else turned out to be buying, or to have bought.
    """

    def __init__(self, store: EnrichmentStore, *, run_id: str, account: Account, decide: Decide) -> None:
        self.account = account
        self.settled = 0
        self.elsewhere: set[str] = set()
        self._store = store
        self.run_id = run_id
        self._decide = decide
        self._keys = pl.DataFrame()
        self._postings = Postings()
        self._marks: tuple[int, ...] = ()
        self._flying = IDENTITY_ROWS.to_frame()
        self._outcomes: list[pl.DataFrame] = []

    def is_for(self, keys: pl.DataFrame, *, marks: tuple[int, ...]) -> None:
        """Who is to be bought from now on.

        Args:
            keys: ``person``, ``person_id``, ``kind`` and ``value``.
            marks: ``Transaction.marks`` from when they were looked up.
        """
        self._keys = keys
        self._marks = marks

    @property
    def waiting(self) -> bool:
        """Whether something is to be entered."""
        return bool(self._postings)

    # --- what happened ----------------------------------------------------------------------------------

    def draft(self, batch: Batch, *, price: float, now: datetime) -> Request:
        """A request for a batch at so many credits a lead; not entered yet."""
        return Request(
            batch,
            row={
                "request_id": str(uuid.uuid4()),
                "run_id": self.run_id,
                "state": "in flight",
                "happened_at": now,
                "lease_until": now + self.account.lease,
                "blocks": list(batch.blocks),
                "people": batch.people["person_id"].to_list(),
                "credits_reserved": batch.people.height * price,
                "account": self.account.name,
            },
        )

    def close(
        self,
        request: Request,
        state: str,
        reason: str | None = None,
        *,
        used: float | None = None,
        remaining: float | None = None,
        quota: Quota | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        """What became of a request: one of ``schema.REQUEST_STATES``, its cost, what it said of limits."""
        told = (
            {
                "quota_window": quota.window,
                "quota_limit": quota.limit,
                "quota_remaining": quota.remaining,
                "quota_resets_at": quota.resets_at,
            }
            if quota
            else {}
        )
        self._postings.request.append(
            {
                **request.row,
                "state": state,
                "happened_at": datetime.now(UTC),
                "reason": reason,
                "credits_used": used,
                "credits_remaining": remaining,
                "retry_at": retry_at,
                **told,
            }
        )

    def settle(self, people: pl.DataFrame, status: str, error: str | None) -> None:
        """The outcome of some people."""
        self._settle(
            people.select("person_id", status=pl.lit(status, STATUS), error=pl.lit(error, pl.String))
        )

    def keep(self, request: Request, text: str) -> None:
        """Text that came for a request and belongs to nobody, or cannot be read."""
        self._postings.response.append(
            {"request_id": request.row["request_id"], "received_at": datetime.now(UTC), "body": text}
        )

    def answer(self, request: Request, answer: Answer) -> pl.DataFrame:
        """Enters an answer, each item for its person, and returns the people it does not mention."""
        people, now = request.batch.people, datetime.now(UTC)
        ids, request_id = people["person_id"], request.row["request_id"]
        answered: set[int] = set()
        # at most 50 leads
        for item, index in zip(answer.items, match_items(people.to_dicts(), answer.items), strict=True):
            if index is None:
                self.keep(request, item.body)
                continue
            answered.add(index)
            self._postings.answer.append(
                {
                    "person_id": ids[index],
                    "request_id": request_id,
                    "answered_at": now,
                    "found": item.found,
                    "reason": None if item.found else item.reason or "not found",
                    "body": item.body,
                    **{f"has_{block}": block in request.batch.blocks for block in BLOCKS},
                }
            )
        if answer.rest is not None:
            self.keep(request, answer.rest)
        self.close(
            request,
            "answered",
            used=answer.credits_used,
            remaining=answer.credits_remaining,
            quota=answer.quota,
        )
        return people[sorted(set(range(people.height)) - answered)]

    def charged_without_answer(self, request: Request, people: pl.DataFrame) -> None:
        """People whom an answer charged without a word about them: entered, so that nobody pays again."""
        lost = self.draft(Batch(request.batch.blocks, people), price=0.0, now=datetime.now(UTC))
        self._postings.request.append(lost.row)
        reason = f"charged with request {request.row['request_id']}, whose answer does not mention them"
        self.close(lost, "charged", reason, used=0.0)

    # --- turns ------------------------------------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """A turn at the store, in which everything since the last one is entered first.

        Requests that are opened in the block may leave when it has ended.

        Raises:
            StoreError: if the store cannot be written; then no request may leave, and the answers so far are
                in the journal, or in ``rescue``.
        """
        postings = self._postings
        frames = postings.frames() if postings else {}
        with ExitStack() as stack:
            transaction = self._enter(stack, postings)
            # what went to the journal was taken in when the turn began
            due = frames if self._postings else {}
            if due and transaction.knows_run(self.run_id):
                due = self._without_known_keys(due)
            turn = Turn(transaction, self, due)
            yield turn
            if turn.opened:
                self._store.require_room()
            turn.enter(**(self._leaving(turn.opened) if turn.opened else {}))
        self._postings = Postings()
        if frames:
            self._confirm(frames)

    def write(self) -> None:
        """Enters everything since the last turn.

        Raises:
            StoreError: as ``turn`` does.
        """
        if self._postings:
            with self.turn():
                pass

    def rescue(self, error: StoreError) -> StoreError:
        """Keeps in the journal what could not be entered, and adds to the error where it is."""
        if not self._postings:
            return error
        try:
            entry = self._store.keep(self._postings)
        except (OSError, StoreError) as trouble:
            lost = ", ".join({row["request_id"] for row in self._postings.answer})
            return type(error)(
                f"{error} The journal cannot be written either ({type(trouble).__name__}), so the answers to "
                f"requests {lost} are lost; the store lists their people as of unknown outcome.",
                path=error.path,
            )
        self._postings = Postings()
        return _kept(error, entry.parent)

    def heard_of_limits(self) -> bool:
        """Whether an answer since the last turn says something about rate limits."""
        return any(row.get("retry_at") or row.get("quota_window") for row in self._postings.request)

    def others_acted(self, transaction: Transaction) -> bool:
        """Whether anybody entered something that bears on whom to buy since they were looked up."""
        return transaction.marks(self.run_id) != self._marks

    def without_others(self, batches: Sequence[Batch], transaction: Transaction) -> list[Batch]:
        """Batches without people whom somebody else has taken on, who go to ``elsewhere``."""
        asked = pl.concat(batch.people.select("person_id") for batch in batches)
        keys = self._keys.join(asked, on="person_id", how="semi", maintain_order="left")
        was = keys.select("person", was="person_id").unique()
        keys = keys.select("person", "kind", "value")
        now = self._decide(*transaction.lookup(keys), keys)
        same = (
            now.join(was, on="person")
            .group_by("was")
            .agg(
                ours=((pl.col("decision") == "buy") & (pl.col("person_id") == pl.col("was"))).all(),
                mask=pl.col("blocks").bitwise_or(),
            )
        )
        ours = dict(zip(same["was"], same["mask"].to_list(), strict=True))
        taken = set(same.filter(~pl.col("ours"))["was"])
        kept = []
        for batch in batches:
            mask = sum(1 << BLOCKS.index(block) for block in batch.blocks)
            free = [person not in taken and ours.get(person) == mask for person in batch.people["person_id"]]
            kept.append(Batch(batch.blocks, batch.people.filter(pl.Series(free, dtype=pl.Boolean))))
            self.elsewhere |= set(batch.people["person_id"]) - set(kept[-1].people["person_id"])
        return [batch for batch in kept if batch.people.height]

    def outcomes(self) -> pl.DataFrame:
        """The outcome of everybody so far (schema ``OUTCOME``), the last one of each."""
        return pl.concat([OUTCOME.to_frame(), *self._outcomes]).unique("person_id", keep="last")

    @staticmethod
    def no_outcomes() -> pl.DataFrame:
        """The outcomes where nothing was bought."""
        return OUTCOME.to_frame()

    def _enter(self, stack: ExitStack, postings: Postings) -> Transaction:
        """The turn itself. What was paid for does not wait in memory for a file that others hold."""
        if not postings.paid:
            return stack.enter_context(self._store.transaction())
        try:
            return stack.enter_context(
                self._store.transaction(lock_timeout=min(_PATIENCE, self._store.lock_timeout))
            )
        except StoreLockedError as error:
            kept = self.rescue(error)
        try:
            return stack.enter_context(self._store.transaction())
        except StoreError:
            raise kept from None

    def _leaving(self, opened: Sequence[Request]) -> dict[str, pl.DataFrame]:
        """The rows of requests about to leave, with the keys of their people, so that others know of them."""
        asked = pl.concat(
            request.batch.people.select(
                "person_id",
                request_id=pl.lit(request.row["request_id"]),
                known_at=pl.lit(request.row["happened_at"]),
            )
            for request in opened
        )
        keys = self._keys.cast({"kind": pl.String}).join(asked, on="person_id")
        keys = keys.select(IDENTITY_ROWS.names()).cast(IDENTITY_ROWS)
        self._flying = pl.concat([self._flying, keys])
        rows = pl.DataFrame([request.row for request in opened], schema=REQUEST_ROWS)
        return {"new_request": rows, "new_identity": keys}

    def _without_known_keys(self, frames: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Without the keys that people were asked with: those are in the store since their request left.

        Unless somebody deleted the file meanwhile, and this is a new one.
        """
        fresh = frames["new_identity"].join(self._flying, on=["person_id", "kind", "value"], how="anti")
        return {**frames, "new_identity": fresh}

    def _confirm(self, frames: dict[str, pl.DataFrame]) -> None:
        """What was entered is true now: the outcome of those who were answered."""
        closed = frames["new_request"].filter(pl.col("state") != "in flight")
        self._flying = self._flying.join(closed, on="request_id", how="anti")
        status = pl.when("found").then(pl.lit("enriched", STATUS)).otherwise(pl.lit("failed", STATUS))
        self._settle(frames["new_answer"].select("person_id", status=status, error="reason"))

    def _settle(self, outcome: pl.DataFrame) -> None:
        if outcome.height:
            self._outcomes.append(outcome)
            self.settled += outcome.height


def _kept(error: StoreError, folder: Path) -> StoreError:
    if str(folder) in str(error):
        return error  # it says so already
    return type(error)(
        f"{error} Paid answers that came meanwhile are safe in {folder}; the next run takes them in.",
        path=error.path,
    )
