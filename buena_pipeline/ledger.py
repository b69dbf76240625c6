"""The books of a run: requests, answers and outcomes, collected and written to the store in one transaction.

Knows what an answer holds, not what to do next; ``purchase`` decides that.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from buena_pipeline.aliases import answer_keys
from buena_pipeline.errors import StoreError
from buena_pipeline.flatten import flatten
from buena_pipeline.match import match_items
from buena_pipeline.plan import Batch
from buena_pipeline.schema import ANSWER_ROWS, BLOCKS, IDENTITY_ROWS, REQUEST_ROWS, RESPONSE_ROWS, STATUS
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.wire import Answer

OUTCOME: Final = pl.Schema({"person_id": pl.String(), "status": STATUS, "error": pl.String()})
"""What became of each person that was to be bought."""

_SLACK: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Request:
    """A batch under way, and its row in the ledger."""

    batch: Batch
    row: dict[str, Any]

    @property
    def reserved(self) -> float:
        """Credits it may cost."""
        return float(self.row["credits_reserved"])


class Ledger:
    """The books of one run.

    Args:
        store: where they are written.
        run_id: the run.
        keys: ``person_id``, ``kind`` and ``value`` of the people to be bought.
        max_wait: seconds a request may wait for rate limits before it is answered.
    """

    def __init__(self, store: EnrichmentStore, *, run_id: str, keys: pl.DataFrame, max_wait: float) -> None:
        self._store = store
        self._run_id = run_id
        self._keys = keys
        self._lease = timedelta(seconds=max_wait) + _SLACK
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._flying = IDENTITY_ROWS.to_frame()
        self._outcomes: list[pl.DataFrame] = []
        self.settled = 0

    def draft(self, batch: Batch, *, price: float) -> Request:
        """A request for a batch at so many credits a lead; not written yet."""
        now = datetime.now(UTC)
        return Request(
            batch,
            row={
                "request_id": str(uuid.uuid4()),
                "run_id": self._run_id,
                "state": "in flight",
                "happened_at": now,
                "lease_until": now + self._lease,
                "blocks": list(batch.blocks),
                "people": batch.people["person_id"].to_list(),
                "credits_reserved": batch.people.height * price,
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
    ) -> None:
        """What became of a request: one of ``schema.REQUEST_STATES``, and what it cost."""
        change = {"state": state, "reason": reason, "credits_used": used, "credits_remaining": remaining}
        self._add("request", **request.row | change | {"happened_at": datetime.now(UTC)})

    def settle(self, people: pl.DataFrame, status: str, error: str | None) -> None:
        """The outcome of some people."""
        self._settle(
            people.select("person_id", status=pl.lit(status, STATUS), error=pl.lit(error, pl.String))
        )

    def keep(self, request: Request, text: str) -> None:
        """Text that came for a request and belongs to nobody, or cannot be read."""
        self._add("response", request_id=request.row["request_id"], received_at=datetime.now(UTC), body=text)

    def answer(self, request: Request, answer: Answer) -> None:
        """An answer: each item to its person; people it does not mention are failed, until the next run."""
        people, now = request.batch.people, datetime.now(UTC)
        ids, request_id = people["person_id"], request.row["request_id"]
        answered: set[int] = set()
        # at most 50 leads
        for item, index in zip(answer.items, match_items(people.to_dicts(), answer.items), strict=True):
            if index is None:
                self.keep(request, item.body)
                continue
            answered.add(index)
            self._add(
                "answer",
                person_id=ids[index],
                request_id=request_id,
                answered_at=now,
                found=item.found,
                reason=None if item.found else item.reason or "not found",
                body=item.body,
                **{f"has_{block}": block in request.batch.blocks for block in BLOCKS},
            )
        if answer.rest is not None:
            self.keep(request, answer.rest)
        if missing := sorted(set(range(people.height)) - answered):
            self.settle(people[missing], "failed", "no answer for this lead")
        self.close(request, "answered", used=answer.credits_used, remaining=answer.credits_remaining)

    def write(self, opening: Sequence[Request] = ()) -> None:
        """One transaction: everything since the last one, and the requests that are about to leave.

        Raises:
            StoreError: if the store cannot be written; then nothing was.
        """
        for request in opening:
            self._add("request", **request.row)
        if not self._rows:
            return
        requests = pl.DataFrame(self._rows.get("request", []), schema=REQUEST_ROWS)
        leaving = self._keys_of(opening)
        answers = pl.DataFrame(self._rows.get("answer", []), schema={**ANSWER_ROWS, "body": pl.String})
        bodies = answers.select("request_id", "person_id", pl.col("answered_at").alias("received_at"), "body")
        records = flatten(answers.select(pl.when("found").then("body"))["body"])
        answers = answers.drop(records.columns, "body").hstack(records).select(ANSWER_ROWS.names())
        self._store.commit(
            new_request=requests,
            new_response=pl.concat(
                [bodies, pl.DataFrame(self._rows.get("response", []), schema=RESPONSE_ROWS)]
            ),
            new_answer=answers,
            new_identity=pl.concat([leaving, self._confirmed(answers)]),
        )
        self._rows = {}
        closed = requests.filter(pl.col("state") != "in flight")
        self._flying = pl.concat([self._flying, leaving]).join(closed, on="request_id", how="anti")
        status = pl.when("found").then(pl.lit("enriched", STATUS)).otherwise(pl.lit("failed", STATUS))
        self._settle(answers.select("person_id", status=status, error="reason"))

    def rescue(self, error: StoreError) -> StoreError:
        """Keeps what could not be written in a file of its own, and adds to the error where that is."""
        paid = [table for table in ("answer", "response") if self._rows.get(table)]
        if not paid:
            return error
        path = self._store.keep_aside(self._run_id, self._rows)
        return type(error)(
            f"{error} Paid answers that came meanwhile are kept in {path}; do not delete it.",
            path=error.path,
        )

    def outcomes(self) -> pl.DataFrame:
        """The outcome of everybody so far (schema ``OUTCOME``)."""
        return pl.concat([OUTCOME.to_frame(), *self._outcomes])

    @staticmethod
    def no_outcomes() -> pl.DataFrame:
        """The outcomes where nothing was bought."""
        return OUTCOME.to_frame()

    def _settle(self, outcome: pl.DataFrame) -> None:
        if outcome.height:
            self._outcomes.append(outcome)
            self.settled += outcome.height

    def _add(self, table: str, **row: Any) -> None:
        self._rows.setdefault(table, []).append(row)

    def _keys_of(self, opening: Sequence[Request]) -> pl.DataFrame:
        """The keys of the people who are about to be bought: written first, so that others know of them."""
        if not opening:
            return IDENTITY_ROWS.to_frame()
        asked = pl.concat(
            request.batch.people.select(
                "person_id",
                request_id=pl.lit(request.row["request_id"]),
                known_at=pl.lit(request.row["happened_at"]),
            )
            for request in opening
        )
        keys = self._keys.cast({"kind": pl.String}).join(asked, on="person_id")
        return keys.select(IDENTITY_ROWS.names()).cast(IDENTITY_ROWS)

    def _confirmed(self, answers: pl.DataFrame) -> pl.DataFrame:
        """The keys that answers confirm and that are not those they were asked with."""
        found = answers.filter("found")
        return (
            answer_keys(found)
            .cast({"kind": pl.String})
            .join(self._flying, on=["person_id", "kind", "value"], how="anti")
            .join(found.select("person_id", "request_id", known_at="answered_at"), on="person_id")
            .select(IDENTITY_ROWS.names())
            .cast(IDENTITY_ROWS)
        )
