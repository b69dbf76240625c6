"""What is to be entered in the ledger: rows as they come, frames for the store, text for the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import polars as pl

from buena_pipeline.aliases import answer_keys
from buena_pipeline.flatten import flatten
from buena_pipeline.rows import frame_of
from buena_pipeline.schema import ANSWER_ROWS, RECORD, REQUEST_ROWS, RESPONSE_ROWS

_ANSWERED: Final = pl.Schema(
    {**{name: dtype for name, dtype in ANSWER_ROWS.items() if name not in RECORD}, "body": pl.String()}
)
"""An answer before it is read."""

_READ: Final = pl.when("found").then("body")
"""The raw text of those who were found; nothing is read out of the others'."""

_CONFIRMED: Final = ("person_id", "request_id", "linkedin_url", "email", "alternative_emails")
"""What tells who somebody is."""


@dataclass(slots=True)
class Postings:
    """State changes of requests, and what their answers brought. A batch holds 50 leads, so rows are few.

    Attributes:
        request: rows of ``schema.REQUEST_ROWS``.
        answer: rows of ``schema.ANSWER_ROWS`` without the record, with the raw ``body`` it is read from.
        response: rows of ``schema.RESPONSE_ROWS``: text that belongs to nobody.

    Example:
        >>> postings = Postings()
        >>> bool(postings), Postings.from_json(postings.to_json()) == postings
        (False, True)
    """

    request: list[dict[str, Any]] = field(default_factory=list)
    answer: list[dict[str, Any]] = field(default_factory=list)
    response: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.request or self.answer or self.response)

    def __repr__(self) -> str:
        return f"Postings({len(self.request)} requests, {len(self.answer)} answers)"

    @property
    def paid(self) -> bool:
        """Whether anything among them cost money and cannot be had again."""
        return bool(self.answer or self.response)

    @property
    def tables(self) -> tuple[list[dict[str, Any]], ...]:
        """The rows themselves: requests, answers, responses."""
        return self.request, self.answer, self.response

    def frames(self) -> dict[str, pl.DataFrame]:
        """The rows for the store: raw bodies, typed records, and the keys that answers confirm, by value."""
        answers = frame_of(self.answer, _ANSWERED)
        bodies = answers.select("request_id", "person_id", received_at="answered_at", body="body")
        all_found = answers["found"].all(ignore_nulls=False)
        read = answers["body"] if all_found else answers.select(_READ).to_series()
        answers = answers.drop("body").hstack(flatten(read))
        found = answers.select(*_CONFIRMED, "found", known_at="answered_at").filter("found")
        return {
            "new_request": frame_of(self.request, REQUEST_ROWS),
            "new_response": pl.concat([bodies, frame_of(self.response, RESPONSE_ROWS)]),
            "new_answer": answers,
            "new_identity": answer_keys(found, along=("request_id", "known_at")),
        }

    def halves(self) -> tuple[Postings, Postings] | None:
        """Two parts of it, each with whole requests and all they brought; None where it is one request.

        Where nothing takes all of it, a part may still fit.
        """
        first: dict[str, int] = {}
        for place, row in enumerate(self.request):
            first.setdefault(row["request_id"], place)
        # who was charged without an answer is entered in flight, right after the answer that charged them:
        # one without the other would buy them again
        cuts = [place for place in first.values() if place and self.request[place]["state"] != "in flight"]
        if not cuts:
            return None
        later = {request for request, place in first.items() if place >= cuts[len(cuts) // 2]}
        halves = Postings(), Postings()
        for rows, *parts in zip(*(part.tables for part in (self, *halves)), strict=True):
            for row in rows:
                parts[row["request_id"] in later].append(row)
        return halves

    def extend(self, other: Postings) -> None:
        """Adds what another one holds."""
        for rows, more in zip(self.tables, other.tables, strict=True):
            rows.extend(more)

    def to_json(self) -> str:
        """All of it as one JSON object; times as ISO 8601."""
        return msgspec.json.encode(
            {"request": self.request, "answer": self.answer, "response": self.response}
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> Postings:
        """The postings of ``to_json``.

        Raises:
            ValueError: for any other text.
        """
        rows = msgspec.json.decode(text, type=dict[str, list[dict[str, Any]]])
        if rows.keys() != {"request", "answer", "response"}:
            raise ValueError("not postings of this library")
        moments = {
            "request": ("happened_at", "lease_until", "quota_resets_at", "retry_at"),
            "answer": ("answered_at",),
            "response": ("received_at",),
        }
        for table, columns in moments.items():
            for row in rows[table]:
                for column in columns:
                    if row.get(column) is not None:
                        row[column] = datetime.fromisoformat(row[column])
                for name in ("request_id", "run_id", "person_id"):
                    if row.get(name) is not None:
                        UUID(row[name])  # what is none would fail in the store, and with it all that is there
        return cls(**rows)
