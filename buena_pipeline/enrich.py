"""The orchestrator: identity, people, look-up, plan, purchase, and the records back beside the rows.

Read this module first: ``Enricher.run`` is the product in one page.
"""

from __future__ import annotations

import contextlib
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from buena_pipeline.client import BuenaClient
from buena_pipeline.columns import LeadColumns, find_columns
from buena_pipeline.errors import ColumnError, InputError, StoreError
from buena_pipeline.identity import identify
from buena_pipeline.ledger import Ledger
from buena_pipeline.people import describe_people, group_people, person_keys
from buena_pipeline.plan import (
    UNKNOWN_OUTCOME,
    batches,
    count_requests,
    decide,
    limit_people,
    purchases,
    resolve_people,
    shortest_time,
)
from buena_pipeline.purchase import Bill, Buyer
from buena_pipeline.result import EnrichmentPlan, EnrichmentProgress, EnrichmentReport, EnrichmentResult
from buena_pipeline.schema import BLOCK_OF, DEFAULT_PREFIX, ENRICHED, RECORD, RUN_ROWS, STATUS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.tables import as_frame, as_lead_table

Columns = Mapping[str, str | Sequence[str] | None]
Progress = Callable[[EnrichmentProgress], None]

_LONGEST: Final = timedelta(days=36_500)

_NO_IDENTIFIER: Final = (
    "no usable identifier: an e-mail address, a LinkedIn profile, or first and last name with a company"
)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A table up to the point where it would cost something: its people, and what is to be done."""

    frame: pl.DataFrame
    person: pl.Series
    people: pl.DataFrame
    keys: pl.DataFrame
    matched: pl.DataFrame
    decisions: pl.DataFrame
    bought: pl.DataFrame


class Enricher:
    """Enriches tables through one client and one store.

    Args:
        client: the vendor's API; default: one made when the first lead has to be bought, from
            ``BUENA_API_KEY`` and ``BUENA_BASE_URL``.
        store: the store, or the path of its file; default ``BUENA_STORE``, else ``buena.duckdb``.
        columns: which column says what, where the names do not tell: ``email`` (a name or a list),
            ``linkedin_url``, ``first_name``, ``last_name``, ``full_name``, ``company``.
        options: the blocks to buy.
        max_age: how old a block may be before it is bought again; None for any age.
        retry_failed_after: how long a "not found" is remembered; None for ever.
        retry_unknown: buy people, too, whom a request of unknown outcome asked for; it may cost them twice.
        max_credits: credits one run may spend; None for no limit.
        priority: a numeric expression over the table; the highest is bought first.
        max_wait: how long a request waits for rate limits before the rest is deferred.
        prefix: of the columns that are added.
        progress: called with an ``EnrichmentProgress`` after each answer.

    Raises:
        InputError: if an argument makes no sense.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import BuenaClient, Sandbox
        >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example", "n/a"]})
        >>> with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        ...     with BuenaClient(sandbox.api_key, sandbox.url) as client:
        ...         result = Enricher(client, f"{folder}/buena.duckdb").run(leads)
        >>> result.frame["buena_status"].to_list(), result.report.credits_used
        (['enriched', 'invalid'], 1.0)
    """

    def __init__(
        self,
        client: BuenaClient | None = None,
        store: EnrichmentStore | str | os.PathLike[str] | None = None,
        *,
        columns: Columns | None = None,
        options: EnrichmentOptions | None = None,
        max_age: timedelta | None = timedelta(days=90),
        retry_failed_after: timedelta | None = timedelta(days=30),
        retry_unknown: bool = False,
        max_credits: float | None = None,
        priority: pl.Expr | None = None,
        max_wait: timedelta | float = timedelta(minutes=5),
        prefix: str = DEFAULT_PREFIX,
        progress: Progress | None = None,
    ) -> None:
        if not isinstance(store, EnrichmentStore | str | os.PathLike | None):
            raise InputError("store takes an EnrichmentStore, or the path of its file.")
        if not isinstance(client, BuenaClient | None):
            raise InputError("client takes a BuenaClient, such as BuenaClient(api_key=...).")
        if not isinstance(options, EnrichmentOptions | None):
            raise InputError("options takes EnrichmentOptions, such as EnrichmentOptions(social=True).")
        if not isinstance(priority, pl.Expr | None):
            raise InputError('priority takes a polars expression, such as pl.col("deal_size").')
        if not isinstance(prefix, str):
            raise InputError('prefix takes text, such as "buena_".')
        self.store = store if isinstance(store, EnrichmentStore) else EnrichmentStore(store)
        self.columns = columns
        self.options = options or EnrichmentOptions()
        self.max_age = _duration("max_age", max_age)
        self.retry_failed_after = _duration("retry_failed_after", retry_failed_after)
        self.retry_unknown = retry_unknown
        self.max_credits = _budget(max_credits)
        self.priority = priority
        self.prefix = prefix
        self.progress = progress
        self._max_wait = _seconds(max_wait)
        self._client = client
        self._owns_client = client is None

    def __repr__(self) -> str:
        return f"Enricher({self.store!r}, blocks={'+'.join(self.options.blocks)})"

    def __enter__(self) -> Enricher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client, if the enricher made it itself."""
        if self._owns_client and self._client is not None:
            self._client.close()
            self._client = None

    def run(self, frame: Any) -> EnrichmentResult:
        """Enriches a table: buys what is not known, and gives every row back.

        Args:
            frame: a polars DataFrame or LazyFrame, or any table with the Arrow PyCapsule interface.

        Returns:
            The table with the columns of ``schema.ENRICHED`` added, same rows, same order, and the report.

        Raises:
            ColumnError: if a column is missing, ambiguous, nested, or would be overwritten; before any cost.
            SettingsError: if something is to be bought and there is no API key; before any cost.
            VendorError: if the vendor stops the run (401, 403); what came before is in the store.
            StoreError: if the store cannot be used.
        """
        table = as_frame(frame)
        run_id = str(uuid.uuid4())
        # one run of this process after the other: the next one finds what this one bought
        with self.store.one_buyer():
            draft = self._prepare(table)
            outcomes, bill = self._buy(draft, run_id)
            self._learn(draft)
        enriched, statuses = self._join_back(draft, outcomes)
        report = _report(draft, run_id, bill, statuses)
        if bill.requests:
            self._log_run(report.run_id, "finished", draft.frame.height, report.to_json())
        return EnrichmentResult(enriched, report)

    def plan(self, frame: Any) -> EnrichmentPlan:
        """What ``run`` would do and cost; sends nothing.

        Args:
            frame: as for ``run``.

        Returns:
            The counts, the requests, the credits at most and the shortest time.

        Raises:
            ColumnError: as ``run`` would.
            StoreError: if the store cannot be read.
        """
        draft = self._prepare(as_frame(frame))
        people = _decided(draft)
        counts = dict(people["decision"].value_counts().cast({"decision": pl.String}).iter_rows())
        invalid = draft.person.null_count()
        requests = count_requests(draft.bought)
        return EnrichmentPlan(
            rows=draft.frame.height,
            invalid=invalid,
            duplicates=draft.frame.height - invalid - people.height,
            people=people.height,
            cached=counts.get("cached", 0),
            failed=counts.get("failed", 0),
            stale=people.filter(pl.col("stale") & (pl.col("decision") == "buy")).height,
            deferred=counts.get("deferred", 0),
            unknown=_count_unknown(draft),
            to_buy=draft.bought.height,
            requests=requests,
            max_credits=draft.bought.height,
            shortest_time=shortest_time(requests),
        )

    def lookup(self, lead: Mapping[str, str | None]) -> dict[str, Any] | None:
        """What the store knows of one lead, without buying anything.

        Args:
            lead: any of ``email``, ``linkedin_url``, ``first_name``, ``last_name`` and ``company``.

        Returns:
            The columns of ``schema.ENRICHED`` without the prefix, or None if the lead is not known.

        Raises:
            InputError: if a field has another name, or none identifies the lead.
        """
        draft = self._prepare(as_lead_table(lead))
        row = self._join_back(draft, Ledger.no_outcomes())[0].row(0, named=True)
        known = self._unprefixed(row)
        return known if known["enriched_at"] is not None else None

    def enrich_one(self, lead: Mapping[str, str | None]) -> dict[str, Any]:
        """Enriches one lead: from the store, else bought.

        Args:
            lead: as for ``lookup``.

        Returns:
            The columns of ``schema.ENRICHED`` without the prefix.

        Raises:
            InputError: as for ``lookup``.
            VendorError: as for ``run``.
        """
        return self._unprefixed(self.run(as_lead_table(lead)).frame.row(0, named=True))

    # --- the steps --------------------------------------------------------------------------------------

    def _prepare(self, frame: pl.DataFrame) -> _Draft:
        """Who is in the table, what is known of them, and what is to be done. Costs nothing."""
        columns = self.check(frame.schema)
        identified = identify(frame, columns)
        person = group_people(identified)
        people = describe_people(identified, person)
        keys = person_keys(identified, person)
        own_id, known = self.store.lookup(keys)
        decisions = decide(
            resolve_people(own_id, known, keys),
            wanted=self.options.blocks,
            now=datetime.now(UTC),
            max_age=self.max_age,
            retry_failed_after=self.retry_failed_after,
            retry_unknown=self.retry_unknown,
        )
        limited = limit_people(
            decisions,
            priority=self._priority_of(frame, person),
            max_people=None if self.max_credits is None else int(self.max_credits),
        )
        return _Draft(frame, person, people, keys, known, limited, purchases(limited, people))

    def check(self, schema: pl.Schema) -> LeadColumns:
        """Finds the columns of a table, and refuses one whose columns would be overwritten.

        Args:
            schema: the table's names and dtypes.

        Raises:
            ColumnError: if ``run`` would raise it.
        """
        if clashes := [name for name in ENRICHED if self.prefix + name in schema]:
            names = tuple(self.prefix + name for name in clashes)
            raise ColumnError(
                f"The table has columns that enrichment would overwrite: {', '.join(names[:5])}"
                f"{' ...' if len(names) > 5 else ''}. Drop or rename them, or choose another prefix=...",
                columns=names,
            )
        return find_columns(schema, self.columns)

    def _priority_of(self, frame: pl.DataFrame, person: pl.Series) -> pl.Series | None:
        """The highest priority among the rows of each person."""
        if self.priority is None or frame.is_empty():
            return None
        try:
            value = frame.select(self.priority.cast(pl.Float64).alias("priority"))["priority"].fill_nan(None)
        except pl.exceptions.PolarsError as error:
            # not the error's own text: it quotes the table
            raise InputError(
                f"The priority cannot be computed as one number per row ({type(error).__name__}): "
                'it takes an expression over columns of the table, such as pl.col("deal_size").'
            ) from None
        if len(value) != frame.height:
            raise InputError("The priority must be one number per row; an aggregate is one for all.")
        ranked = pl.DataFrame({"person": person, "priority": value}).drop_nulls("person")
        return ranked.group_by("person").agg(pl.col("priority").max()).sort("person")["priority"]

    def _buy(self, draft: _Draft, run_id: str) -> tuple[pl.DataFrame, Bill]:
        """Buys what the plan says; what was bought is in the store when this returns or raises."""
        if draft.bought.is_empty():
            return Ledger.no_outcomes(), Bill()
        if self._client is None:
            self._client = BuenaClient()
        self._log_run(run_id, "started", draft.frame.height)
        ids = draft.decisions.select("person", "person_id")
        keys = draft.keys.join(ids, on="person").select("person_id", "kind", "value")
        ledger = Ledger(self.store, run_id=run_id, keys=keys, max_wait=self._max_wait)
        buyer = Buyer(
            self._client,
            ledger,
            max_credits=self.max_credits,
            max_wait=self._max_wait,
            progress=self.progress,
        )
        try:
            bill = buyer.buy(batches(draft.bought), people=draft.bought.height)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._log_run(run_id, "stopped", draft.frame.height)
            raise
        if bill.halted is not None:
            self._log_run(run_id, "stopped", draft.frame.height)
            raise bill.halted
        return ledger.outcomes(), bill

    def _learn(self, draft: _Draft) -> None:
        """Keys that the table brought for people who did not have to be bought: known from now on."""
        if self.store.read_only:
            return
        served = draft.decisions.filter(pl.col("decision").is_in(["cached", "failed"]))
        keys = draft.keys.join(served.select("person", "person_id"), on="person")
        if keys.height > draft.matched.join(served, on=["person", "person_id"], how="semi").height:
            self.store.learn(keys.select("person_id", "kind", "value"), now=datetime.now(UTC))

    def _join_back(self, draft: _Draft, outcomes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The table with its new columns, and the status of each person."""
        statuses = (
            draft.decisions.select("person", "person_id", "decision", "error")
            .join(outcomes, on="person_id", how="left", suffix="_now", maintain_order="left")
            .select(
                "person",
                "person_id",
                status=pl.coalesce(
                    "status", pl.col("decision").cast(pl.String).replace({"buy": "deferred"}).cast(STATUS)
                ),
                error=pl.coalesce("error_now", "error"),
            )
        )
        records = self._only_wanted(self.store.fetch(statuses["person_id"].unique()))
        by_person = (
            statuses.join(
                records, left_on="person_id", right_on="asked_id", how="left", maintain_order="left"
            )
            .with_columns(pl.coalesce("current_id", "person_id").alias("person_id"))
            .select(ENRICHED.names())
            .cast(ENRICHED)
        )
        # a gather, not a join: people are numbered in the order of their rows
        added = by_person.select(pl.all().gather(draft.person)).with_columns(
            status=pl.col("status").fill_null(pl.lit("invalid", STATUS)),
            error=pl.when(pl.lit(draft.person).is_null()).then(pl.lit(_NO_IDENTIFIER)).otherwise("error"),
        )
        return draft.frame.hstack(added.rename(lambda name: self.prefix + name)), statuses

    def _only_wanted(self, records: pl.DataFrame) -> pl.DataFrame:
        """Blocks that were not asked for stay empty, whatever the store knows: same call, same columns."""
        unwanted = [
            name for name in RECORD if BLOCK_OF.get(name, self.options.blocks[0]) not in self.options.blocks
        ]
        return records.rename({"person_id": "current_id"}).with_columns(
            pl.lit(None, RECORD[name]).alias(name) for name in unwanted
        )

    def _log_run(self, run_id: str, state: str, rows: int, summary: str | None = None) -> None:
        row = {
            "run_id": run_id,
            "state": state,
            "happened_at": datetime.now(UTC),
            "rows": rows,
            "summary": summary,
        }
        self.store.commit(new_run=pl.DataFrame([row], schema=RUN_ROWS))
        if state != "started":
            self.store.checkpoint()

    def _unprefixed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[self.prefix + name] for name in ENRICHED}


def _report(draft: _Draft, run_id: str, bill: Bill, statuses: pl.DataFrame) -> EnrichmentReport:
    # two people of the table whom the store knows to be one are one
    people = statuses.unique("person_id", maintain_order=True)
    counts = dict(people["status"].value_counts().cast({"status": pl.String}).iter_rows())
    unusable = draft.person.null_count()
    refused = draft.people.join(statuses.filter(pl.col("status") == "invalid"), on="person", how="semi")[
        "rows"
    ]
    duplicates = draft.frame.height - unusable - people.height
    remembered = _decided(draft).filter(pl.col("decision") == "failed").height
    return EnrichmentReport(
        run_id=run_id,
        rows=draft.frame.height,
        invalid=unusable + int(refused.sum()),
        duplicates=duplicates,
        people=people.height,
        cached=counts.get("cached", 0),
        enriched=counts.get("enriched", 0),
        failed=counts.get("failed", 0),
        failed_remembered=remembered,
        deferred=counts.get("deferred", 0),
        requests=bill.requests,
        credits_used=bill.credits_used,
        credits_avoided=duplicates + counts.get("cached", 0) + remembered,
        credits_remaining=bill.credits_remaining,
        unknown=bill.unknown + _count_unknown(draft),
        deferred_reason=_first_reason(statuses, bill),
        resume_at=bill.resume_at,
    )


def _count_unknown(draft: _Draft) -> int:
    """People whom an earlier request of unknown outcome asked for."""
    return _decided(draft).filter(pl.col("error").str.starts_with(UNKNOWN_OUTCOME)).height


def _decided(draft: _Draft) -> pl.DataFrame:
    """The decisions, one per person of the store."""
    return draft.decisions.unique("person_id", maintain_order=True)


def _first_reason(statuses: pl.DataFrame, bill: Bill) -> str | None:
    deferred = statuses.filter(pl.col("status") == "deferred")["error"]
    return None if deferred.is_empty() else bill.stopped or deferred[0]


def _budget(value: object) -> float | None:
    if value is None or value == math.inf:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InputError("max_credits takes a number from 0 on, or None for no limit.")
    return value


def _seconds(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InputError("max_wait takes a timedelta, or seconds, from 0 on.")
    return min(float(seconds), _LONGEST.total_seconds())


def _duration(name: str, value: object) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, timedelta) and value > _LONGEST:
        return None  # older than any answer can be
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise InputError(f"{name} takes a datetime.timedelta from 0 on, such as timedelta(days=90), or None.")
    return value
