"""The books of a run: requests and outcomes, entered in the store in one turn at the file after the other.

Knows what the ledger allows, not what to do next; ``purchase`` decides that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from buena_pipeline.entries import Account, Entries, Request
from buena_pipeline.errors import StoreError, StoreLockedError
from buena_pipeline.key_index import KeyIndex
from buena_pipeline.lookup import Lookup
from buena_pipeline.pace import next_slot
from buena_pipeline.plan import Batch
from buena_pipeline.postings import Postings
from buena_pipeline.rows import frame_of
from buena_pipeline.schema import BLOCKS, IDENTITY_ROWS, REQUEST_ROWS, STATUS
from buena_pipeline.store import EnrichmentStore, Extent, Traffic, Transaction, digest_keys
from buena_pipeline.uuids import as_text

Decide = Callable[[Lookup], pl.DataFrame]
"""From what the store knows of people to ``plan.decide`` of them."""

_COLUMNS: Final = IDENTITY_ROWS.names()

_STATUS: Final = (
    pl.when("found").then(pl.lit("enriched", STATUS)).otherwise(pl.lit("failed", STATUS)).alias("status")
)
"""What becomes of somebody who is answered."""

_PATIENCE: Final = 2.0
"""Seconds for which paid answers wait in memory for the file, before the journal keeps them."""


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
            blocked = self._ledger.blocked_until(self._transaction, now=self.now)
            return (0, blocked) if blocked else (places, self.now)
        traffic = self._ledger.traffic = self._transaction.traffic(account.name, now=self.now)
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
        """The batches without those whom somebody bought, or is buying, since they were looked up."""
        if not batches or not self._ledger.must_look_again(batches):
            return list(batches)
        self.enter()
        return self._ledger.without_others(batches, self._transaction)

    def spent_today(self) -> float:
        """Credits of this day (UTC), of all runs, with those that what is under way may cost."""
        self.enter()
        opened = sum(request.reserved for request in self.opened)
        return self._transaction.spent_today(now=self.now) + opened

    def price(self) -> float | None:
        """Credits a lead has cost lately, whoever bought it; None if nobody has."""
        self.enter()
        return self._transaction.price()

    def open(self, batch: Batch, *, price: float) -> None:
        """Enters a request for a batch at so many credits a lead."""
        self.opened.append(self._ledger.draft(batch, price=price, now=self.now))

    def enter(self, **more: pl.DataFrame) -> None:
        """Writes what has happened, as far as it is not written, and more with it."""
        names = self._frames.keys() | more.keys()
        parts = {name: [frames[name] for frames in (self._frames, more) if name in frames] for name in names}
        if parts:
            # a commit without acknowledgement may have been one: then the file goes further than was thought
            written = {name: pl.concat(frames) for name, frames in parts.items()}
            self._transaction.write(written, unseen=self._ledger.is_alone)
        self._frames = {}


@dataclass(frozen=True, slots=True)
class _Flying:
    """The requests of a turn that are on their way, and when it asked; ``file_id`` names the file it used."""

    file_id: str | None
    asked_at: datetime
    requests: set[str]


class Ledger(Entries):
    """The books of one run, and the store in which they are kept.

    Args:
        store: where they are written.
        run_id: the run.
        account: whose credits are spent.
        decide: what is to be done for people, by the terms of the run.

    Attributes:
        elsewhere: people whom somebody else turned out to be buying, or to have bought.
        is_alone: whether nobody has written anything to the file since the last turn.
        traffic: what counted towards the rate limits at the last turn that asked; None before.
    """

    def __init__(self, store: EnrichmentStore, *, run_id: str, account: Account, decide: Decide) -> None:
        super().__init__(run_id=run_id, account=account)
        self.elsewhere: set[str] = set()
        self._store = store
        self._decide = decide
        self._keys = KeyIndex()
        self._marks: tuple[object, ...] = ()
        self._extent: Extent | None = None
        self.is_alone = False
        self.traffic: Traffic | None = None
        self._others_acted = False
        self._blocked: datetime | None = None
        self._flying: list[_Flying] = []
        self._kept_in: dict[Path, None] = {}
        self._revealed: set[str] = set()

    def is_for(self, keys: pl.DataFrame, *, marks: tuple[object, ...]) -> None:
        """Who is to be bought from now on.

        Args:
            keys: ``person``, ``person_id``, ``kind`` and ``key``.
            marks: ``Transaction.marks`` from when they were looked up.
        """
        self._keys = KeyIndex(keys)
        self._marks = marks
        self._extent = None
        self._revealed = set()

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
        if frames:
            # of those that people were asked with, none: they are in the store
            confirmed = digest_keys(frames["new_identity"]).select(_COLUMNS)
            frames["new_identity"], others = self._keys.compare(confirmed)
            self._revealed.update(others)
        with ExitStack() as stack:
            transaction = self._enter(stack, postings)
            extent = transaction.extent()
            self.is_alone = extent == self._extent
            if not self.is_alone:
                self._others_acted = transaction.marks(self.run_id) != self._marks
            file_id = extent.file_id
            # what went to the journal was taken in when the turn began
            due = self._with_lost_keys(frames, file_id) if frames and self._postings else {}
            turn = Turn(transaction, self, due)
            yield turn
            if turn.opened:
                self._store.require_room()
            turn.enter(**(self._leaving(turn, file_id) if turn.opened else {}))
            extent = transaction.extent()
        self._extent = extent
        self._postings = Postings()
        self._kept_in.clear()
        if frames:
            self._confirm(postings, frames["new_answer"])

    def write(self) -> None:
        """Enters everything since the last turn.

        Raises:
            StoreError: as ``turn`` does.
        """
        if self._postings:
            with self.turn():
                pass

    def write_or_keep(self) -> None:
        """Enters everything since the last turn, or keeps it in the journal, whatever comes in between.

        Raises:
            StoreError: if it is in the journal, or nowhere; says so.
        """
        try:
            self.write()
        except StoreError as error:
            raise self.rescue(error) from None
        except BaseException:
            self.rescue(StoreError("The run was broken off.", path=str(self._store.path)))
            raise

    def rescue(self, error: StoreError) -> StoreError:
        """Keeps in the journal what could not be entered; adds to the error where it is, and what is lost."""
        self._keep()
        told = [str(error)]
        if self._kept_in:
            folders = " and ".join(map(str, self._kept_in))
            told.append(
                f"Paid answers that came meanwhile are safe in {folders}; the next run takes them in."
            )
        if self._postings.paid:
            rows = [*self._postings.answer, *self._postings.response]
            lost = ", ".join(dict.fromkeys(row["request_id"] for row in rows))
            told.append(
                f"The journal cannot be written either, so the answers to requests {lost} are lost; "
                "the store lists their people as of unknown outcome."
            )
        return error if len(told) == 1 else type(error)(" ".join(told), path=error.path)

    def blocked_until(self, transaction: Transaction, *, now: datetime) -> datetime | None:
        """What a 429 has asked for, if that is still to come; nothing new while nobody has written of one."""
        if not self.is_alone or self._blocked or self.heard_of_limits():
            self._blocked = transaction.blocked_until(self.account.name, now=now)
        return self._blocked

    def must_look_again(self, batches: Sequence[Batch]) -> bool:
        """Whether something has come that bears on whom to buy, from others or in an answer of this run."""
        return self._others_acted or (
            bool(self._revealed)
            and any(not self._revealed.isdisjoint(batch.people["person_id"]) for batch in batches)
        )

    def without_others(self, batches: Sequence[Batch], transaction: Transaction) -> list[Batch]:
        """Batches without people whom somebody else has taken on, who go to ``elsewhere``."""
        keys = self._keys.of(pl.concat(batch.people.select("person_id") for batch in batches))
        was = keys.select("person", was="person_id").unique()
        now = self._decide(transaction.lookup(keys.select("person", "kind", "key")))
        same = (
            now.with_columns(as_text(now["person_id"]))
            .join(was, on="person")
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

    def _enter(self, stack: ExitStack, postings: Postings) -> Transaction:
        """The turn itself. What was paid for does not wait in memory for a file that others hold."""
        if not postings.paid:
            return stack.enter_context(self._store.transaction())
        try:
            return stack.enter_context(
                self._store.transaction(lock_timeout=min(_PATIENCE, self._store.lock_timeout))
            )
        except StoreLockedError:
            self._keep()
        return stack.enter_context(self._store.transaction())

    def _keep(self) -> None:
        """Puts in the journal what waits, in parts where it does not fit; what fits nowhere waits on."""
        parts = [self._postings] if self._postings else []
        left = Postings()
        while parts:
            part = parts.pop()
            try:
                self._kept_in[self._store.keep(part).parent] = None
            except OSError:
                if halves := part.halves():
                    parts += reversed(halves)
                else:
                    left.extend(part)
            except StoreError:  # none of it can be sealed
                left.extend(part)
        self._postings = left  # not before: if something strikes, all of it is kept once more

    def _leaving(self, turn: Turn, file_id: str | None) -> dict[str, pl.DataFrame]:
        """The rows of requests about to leave, with the keys of their people, so that others know of them."""
        rows = [request.row for request in turn.opened]
        self._flying.append(_Flying(file_id, turn.now, {row["request_id"] for row in rows}))
        asked = [(person, row["request_id"]) for row in rows for person in row["people"]]
        return {"new_request": frame_of(rows, REQUEST_ROWS), "new_identity": self._keys_of(asked, turn.now)}

    def _keys_of(self, asked: Sequence[tuple[str, str]], at: datetime) -> pl.DataFrame:
        """The keys of people who were asked for at a moment, each person with the request."""
        people, requests = zip(*asked, strict=True)
        frame = pl.DataFrame({"person_id": people, "request_id": requests})
        keys = self._keys.of(frame.with_columns(known_at=pl.lit(at, IDENTITY_ROWS["known_at"])))
        return keys.select(_COLUMNS)

    def _with_lost_keys(
        self, frames: dict[str, pl.DataFrame], file_id: str | None
    ) -> dict[str, pl.DataFrame]:
        """Also the keys that people were asked with, if the file was written anew or replaced since then."""
        lost = [
            self._keys_of(asked, flying.asked_at)
            for flying in self._flying
            if flying.file_id != file_id and (asked := _asked(frames["new_request"], flying.requests))
        ]
        if not lost:
            return frames
        keys = pl.concat([frames["new_identity"], *lost]).unique(["person_id", "key", "request_id"])
        return {**frames, "new_identity": keys}

    def _confirm(self, postings: Postings, answers: pl.DataFrame) -> None:
        """What was entered is true now: the outcome of those who were answered."""
        closed = [row["request_id"] for row in postings.request if row["state"] != "in flight"]
        for flying in self._flying:
            flying.requests.difference_update(closed)
        self._flying = [flying for flying in self._flying if flying.requests]
        self._settle(answers.select("person_id", _STATUS, error="reason"))


def _asked(requests: pl.DataFrame, ids: set[str]) -> list[tuple[str, str]]:
    """The people of some requests among these, each with the request."""
    rows = requests.select("request_id", "people").iter_rows()
    return [(person, request) for request, people in rows if request in ids for person in people]
