"""What happened in a run, row by row as it comes: its requests, their answers, and who has an outcome.

Knows what an answer holds, neither a file nor what to do next; ``ledger`` takes the rows to the store.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from buena_pipeline.match import match_items
from buena_pipeline.pace import Quota
from buena_pipeline.plan import Batch
from buena_pipeline.postings import Postings
from buena_pipeline.schema import BLOCKS, OUTCOME, STATUS
from buena_pipeline.settings import RateLimits
from buena_pipeline.wire import Answer, Lead


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


@dataclass(eq=False)
class Request:
    """A batch under way, and its row in the ledger."""

    batch: Batch
    row: dict[str, Any] = field(repr=False)

    @cached_property
    def leads(self) -> Sequence[Lead]:
        """Its people as they are sent; at most 50."""
        people = self.batch.people
        columns = [column.to_list() for column in people]
        return [dict(zip(people.columns, values, strict=True)) for values in zip(*columns, strict=True)]

    def match(self, answer: Answer) -> list[int | None]:
        """The place in the batch of whom each item of its answer is about; found by whoever asks first."""
        if self._matched is None:
            self._matched = match_items(self.leads, answer.items)
        return self._matched

    _matched: list[int | None] | None = field(default=None, init=False, repr=False)

    @property
    def reserved(self) -> float:
        """Credits it may cost."""
        return float(self.row["credits_reserved"])


class Entries:
    """What is to be entered in the books of one run.

    Args:
        run_id: the run.
        account: whose credits are spent.

    Attributes:
        settled: how many people have an outcome.
    """

    def __init__(self, *, run_id: str, account: Account) -> None:
        self.account = account
        self.run_id = run_id
        self.settled = 0
        self._postings = Postings()
        self._outcomes: list[pl.DataFrame] = []

    @property
    def waiting(self) -> bool:
        """Whether something is to be entered."""
        return bool(self._postings)

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
        ids, request_id = people["person_id"].to_list(), request.row["request_id"]
        asked = {f"has_{block}": block in request.batch.blocks for block in BLOCKS}
        answered: set[int] = set()
        # at most 50 leads
        for item, index in zip(answer.items, request.match(answer), strict=True):
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
                    **asked,
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
        missing = [index for index in range(people.height) if index not in answered]
        return people[missing] if missing else people.head(0)

    def charged_without_answer(self, request: Request, people: pl.DataFrame) -> None:
        """People whom an answer charged without a word about them: entered, so that nobody pays again."""
        lost = self.draft(Batch(request.batch.blocks, people), price=0.0, now=datetime.now(UTC))
        self._postings.request.append(lost.row)
        reason = f"charged with request {request.row['request_id']}, whose answer does not mention them"
        self.close(lost, "charged", reason, used=0.0)

    def heard_of_limits(self) -> bool:
        """Whether an answer since the last turn says something about rate limits."""
        return any(row.get("retry_at") or row.get("quota_window") for row in self._postings.request)

    def outcomes(self) -> pl.DataFrame:
        """The outcome of everybody so far (schema ``OUTCOME``), the last one of each."""
        return pl.concat([OUTCOME.to_frame(), *self._outcomes]).unique("person_id", keep="last")

    def _settle(self, outcome: pl.DataFrame) -> None:
        if outcome.height:
            self._outcomes.append(outcome)
            self.settled += outcome.height
