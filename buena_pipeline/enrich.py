"""The orchestrator: identity, people, look-up, plan, purchase, and the records back beside the rows.

Read this module first: ``Enricher.run`` is the product in one page.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, overload

import polars as pl

from buena_pipeline.client import BuenaClient
from buena_pipeline.columns import LeadColumns, find_columns
from buena_pipeline.draft import Draft
from buena_pipeline.entries import Account
from buena_pipeline.errors import ColumnError, InputError, SettingsError, StoreError
from buena_pipeline.identity import identify
from buena_pipeline.interrupt import Interrupted, Stop, Terminated, apart, stop_on_signals
from buena_pipeline.join_back import JoinBack
from buena_pipeline.lazy import as_lazy_frame
from buena_pipeline.lead_table import LeadTable
from buena_pipeline.ledger import Ledger
from buena_pipeline.lookup import Lookup
from buena_pipeline.on_demand import ClientOnDemand
from buena_pipeline.one_lead import SingleLeads
from buena_pipeline.pace import time_for
from buena_pipeline.plan import batches, decide, resolve_people
from buena_pipeline.purchase import Buyer
from buena_pipeline.result import Bill, EnrichmentPlan, EnrichmentProgress, EnrichmentReport, EnrichmentResult
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED, RUN_ROWS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore, Transaction, digest_columns
from buena_pipeline.summary import make_plan, make_report
from buena_pipeline.survey import Survey
from buena_pipeline.terms import MAX_AGE, MAX_WAIT, RETRY_FAILED_AFTER, Terms, affordable

Columns = Mapping[str, str | Sequence[str] | None]
Progress = Callable[[EnrichmentProgress], None]

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at what another run is buying; the last one from then on."""

_processes: Final[list[int]] = []
"""The process in which polars was first put to work from here, and started its threads."""


class Enricher:
    """Enriches tables, and single leads, through one client and one store; threads may share it.

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
        daily_credits: credits that all runs of the store may spend on one day (UTC); None for no limit.
        priority: a numeric expression over the table; the highest is bought first.
        max_wait: how long to wait for a rate limit before the rest is deferred.
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
        max_age: timedelta | None = MAX_AGE,
        retry_failed_after: timedelta | None = RETRY_FAILED_AFTER,
        retry_unknown: bool = False,
        max_credits: float | None = None,
        daily_credits: float | None = None,
        priority: pl.Expr | None = None,
        max_wait: timedelta | float = MAX_WAIT,
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
        self.terms = Terms.of(
            max_age=max_age,
            retry_failed_after=retry_failed_after,
            retry_unknown=retry_unknown,
            max_credits=max_credits,
            daily_credits=daily_credits,
            max_wait=max_wait,
        )
        self.priority = priority
        self.prefix = prefix
        self.progress = progress
        self._client = ClientOnDemand(client)
        self._single_leads = self._for_single_leads()

    def __repr__(self) -> str:
        return f"Enricher({self.store!r}, blocks={'+'.join(self.options.blocks)})"

    def __enter__(self) -> Enricher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client, if the enricher made it itself; whoever wants to buy then gets an error.

        Answers on their way, to other threads as well, are waited for and kept.
        """
        self._client.close()

    @overload
    def run(self, frame: pl.LazyFrame) -> EnrichmentResult[pl.LazyFrame]: ...
    @overload
    def run(self, frame: Any) -> EnrichmentResult[pl.DataFrame]: ...
    def run(self, frame: Any) -> EnrichmentResult[Any]:
        """Enriches a table: buys what is not known, and gives every row back.

        Args:
            frame: a polars DataFrame or LazyFrame, or any table with the Arrow PyCapsule interface. A
                LazyFrame is read twice, a chunk of rows at a time: now, the columns that say who the leads
                are, and when the result is collected or sunk.

        Returns:
            The table with the columns of ``schema.ENRICHED`` added, same rows, same order, and the report.
            The table is a LazyFrame for a LazyFrame, else a DataFrame.

        Raises:
            ColumnError: if a column is missing, ambiguous, nested, or would be overwritten; before any cost.
            SettingsError: if something is to be bought and there is no API key; before any cost. Also in a
                process that was forked, in which polars would hang.
            VendorError: if the vendor stops the run (401, 403); what came before is in the store.
            StoreError: if the store cannot be used.
            Interrupted, Terminated: after Ctrl-C (a KeyboardInterrupt) or SIGTERM (a SystemExit), when the
                answers on their way are in the store; ``report`` says how far the run came.
        """
        table = LeadTable(frame, priority=self.priority)
        joined, report = self._bought(table)
        if isinstance(table.frame, pl.DataFrame):
            added = pl.concat([joined.schema.to_frame(), *joined.read(table, joined.schema.names())])
            return EnrichmentResult(table.frame.hstack(added), report)
        schema = pl.Schema({**table.schema, **joined.schema})

        def read(names: Sequence[str], rows: int | None, _: pl.Expr | None) -> Iterator[pl.DataFrame]:
            return joined.read(table.head(rows), names)

        return EnrichmentResult(as_lazy_frame(read, schema), report)

    def stream(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Enriches a LazyFrame when it is collected or sunk, a chunk of rows at a time.

        What the query does not need is not bought: ``head`` reads only so many rows, people all of whose rows
        a filter on columns of the table leaves out are not bought, and nobody is if no column that enrichment
        adds is asked for.

        Args:
            frame: as for ``run``.

        Returns:
            What ``run`` would; its schema is known without running it. It raises what ``run`` would.

        Raises:
            ColumnError: as ``run`` would.
        """
        whole = LeadTable(frame, priority=self.priority)
        self.check(whole.schema)
        schema = pl.Schema({**whole.schema, **self._added()})

        def read(names: Sequence[str], rows: int | None, predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
            table = whole.head(rows)
            if all(name in whole.schema for name in names):
                yield from table.chunks(names)
                return
            if predicate is not None and any(
                name not in whole.schema for name in predicate.meta.root_names()
            ):
                predicate = None
            yield from apart(partial(self._bought_once, table, predicate)).read(table, names)

        return as_lazy_frame(read, schema)

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
        draft, _ = self._prepare(LeadTable(frame, priority=self.priority))
        limits = self._client.limits
        requests = draft.count_requests()
        wait = time_for(requests, [], limits, now=datetime.now(UTC)) if limits else timedelta(0)
        return make_plan(draft, requests=requests, time=wait)

    def lookup(self, lead: Mapping[str, str | None]) -> dict[str, Any] | None:
        """What the store knows of one lead, without buying anything.

        Any number of threads may ask. What was found lately comes from memory, unless the store or its
        journal has changed since.

        Args:
            lead: any of ``email``, ``linkedin_url``, ``first_name``, ``last_name`` and ``company``.

        Returns:
            The columns of ``schema.ENRICHED`` without the prefix, or None if the lead is not known, or on
            the do-not-enrich list.

        Raises:
            InputError: if a field has another name, or none identifies the lead.
            StoreError: if the store cannot be read.
        """
        _require_own_process()
        return self._single_leads.lookup(lead)

    def enrich_one(self, lead: Mapping[str, str | None]) -> dict[str, Any]:
        """Enriches one lead: from memory or the store, as ``lookup`` does, else bought.

        Threads that ask for the same lead at the same time, however it is spelled, pay once and get the same
        answer, or the same error; different leads share a request of up to 50, unless there is a budget for
        each (``max_credits``). What was not bought leaves no run in the ledger.

        Args:
            lead: as for ``lookup``.

        Returns:
            The columns of ``schema.ENRICHED`` without the prefix.

        Raises:
            InputError: if it is no lead. One that nothing identifies is ``invalid``.
            SettingsError, VendorError, StoreError: as for ``run``.
            Interrupted, Terminated: as for ``run``; in the main thread, if it was the one that was buying.
        """
        _require_own_process()
        return self._single_leads.enrich(lead)

    def _for_single_leads(self) -> SingleLeads:
        """What answers for single leads, whatever the columns of tables are called."""
        buyer = copy(self)
        buyer.columns, buyer.priority, buyer.prefix = None, None, DEFAULT_PREFIX
        return SingleLeads(
            self.store, options=self.options, terms=self.terms, run=lambda table: buyer.run(table).frame
        )

    # --- the steps --------------------------------------------------------------------------------------

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

    def _bought(
        self, table: LeadTable, *, wanted: pl.Expr | None = None
    ) -> tuple[JoinBack, EnrichmentReport]:
        """Buys what is not known of a table, and says what became of its people."""
        run_id = str(uuid.uuid4())
        draft, marks = self._prepare(table, run_id, wanted=wanted)
        outcomes, bill = self._buy(table, draft, marks, run_id)
        statuses = draft.statuses(outcomes)
        report = make_report(draft, statuses, run_id=run_id, bill=bill)
        self._log_run(report, "finished")
        draft.settle()
        return self._joined(draft, statuses), report

    def _bought_once(self, table: LeadTable, wanted: pl.Expr | None) -> JoinBack:
        """The same with a client of its own: one LazyFrame may be collected twice at once."""
        buyer = copy(self)
        buyer._client = self._client.another()  # noqa: SLF001
        with buyer:
            joined, _ = buyer._bought(table, wanted=wanted)  # noqa: SLF001
            return joined

    def _joined(self, draft: Draft, statuses: pl.DataFrame) -> JoinBack:
        return JoinBack(self.store, draft, statuses, blocks=self.options.blocks, prefix=self.prefix)

    def _prepare(
        self, table: LeadTable, run_id: str = "", *, wanted: pl.Expr | None = None
    ) -> tuple[Draft, tuple[object, ...]]:
        """Who is in the table, what is to be done, and the ledger's marks at that moment. Costs nothing."""
        _require_own_process()
        began = datetime.now(UTC)
        columns = self.check(table.schema)
        survey = Survey(columns.names, movable=table.is_lazy)
        for chunk in table.chunks(columns.names, with_priority=True, wanted=wanted):
            read = identify(chunk, columns)
            keys = digest_columns(read)
            survey.add(chunk, keys)
        draft = Draft.of(survey, columns, began=began)
        if survey.rows and survey.rows == chunk.height:
            draft.only_chunk = read, keys
        with self.store.consult() as turn:
            if run_id and not self.store.read_only:
                turn.settle_unknown(now=datetime.now(UTC))
            return draft, self._decide(draft, turn, run_id)

    def _describe(self, table: LeadTable, draft: Draft) -> None:
        """Reads what can be sent of the people who are to be bought."""
        wanted = draft.undescribed()
        only_chunk, draft.only_chunk = draft.only_chunk, None
        if wanted is None:
            return
        if only_chunk is not None:
            some = wanted.gather(draft.person).fill_null(value=False)
            read, keys_read = only_chunk
            draft.describe(read.filter(some), keys_read.filter(some), draft.person.filter(some))
            return
        offset = 0
        rows, keys, people = [], [], []
        for chunk in table.chunks(draft.columns.names):
            person, _ = draft.person_of(chunk, offset=offset)
            offset += chunk.height
            some = wanted.gather(person).fill_null(value=False)
            if some.any():
                rows.append(identify(chunk.filter(some), draft.columns))
                keys.append(digest_columns(rows[-1]))
                people.append(person.filter(some))
        if people:
            draft.describe(
                pl.concat(rows, how="diagonal"), pl.concat(keys, how="diagonal"), pl.concat(people)
            )

    def _decide(
        self,
        draft: Draft,
        turn: Transaction,
        run_id: str,
        *,
        again: pl.Series | None = None,
        spent: float = 0.0,
        price: float | None = None,
    ) -> tuple[object, ...]:
        """Decides about the people of a table, or some of them again, within what the budgets leave."""
        marks = turn.marks(run_id or str(uuid.UUID(int=0)))
        draft.price = draft.price if price is None else price
        if draft.price is None:
            draft.price = turn.price()
        today = turn.spent_today(now=datetime.now(UTC)) if self.terms.daily_credits is not None else 0.0
        left, reason = self.terms.credits_left(spent=spent, today=today)
        most = affordable(left, draft.price or 1.0) if self.terms.limited else None

        def decided(keys: pl.DataFrame) -> pl.DataFrame:
            parts = []
            for found in turn.lookups(keys):
                parts.append(self._decided(found, began=draft.began))
                if again is None and run_id:
                    draft.learn(found, parts[-1])
            return pl.concat(parts)

        draft.file_id = turn.file_id() if again is None else draft.file_id
        draft.decide(decided, max_people=most, reason=reason, again=again)
        return marks

    def _decided(self, found: Lookup, *, began: datetime) -> pl.DataFrame:
        """What is to be done for people of whom this is known, by the terms of a run that began then."""
        return decide(
            resolve_people(found.own_id, found.known, found.keys),
            wanted=self.options.blocks,
            began=began,
            now=datetime.now(UTC),
            max_age=self.terms.max_age,
            retry_failed_after=self.terms.retry_failed_after,
            retry_unknown=self.terms.retry_unknown,
        )

    def _buy(
        self, table: LeadTable, draft: Draft, marks: tuple[object, ...], run_id: str
    ) -> tuple[pl.DataFrame, Bill]:
        """Buys what the plan says; what was bought is in the store when this returns or raises."""
        if not draft.decisions["decision"].is_in(["buy", "wait"]).any():
            self._learn(draft)
            return Ledger.no_outcomes(), Bill()
        client = self._client.get()
        account = Account(client.account, client.limits, timedelta(seconds=client.longest))
        decided = partial(self._decided, began=draft.began)
        ledger = Ledger(self.store, run_id=run_id, account=account, decide=decided)
        self._log(run_id, "started", draft.rows)
        with self.store.living(run_id), stop_on_signals() as stop:
            buyer = Buyer(
                client, ledger, terms=self.terms, stop=stop, price=draft.price, progress=self.progress
            )
            try:
                self._settle(table, draft, marks=marks, ledger=ledger, buyer=buyer, stop=stop)
            except BaseException:
                with contextlib.suppress(StoreError):
                    self._log(run_id, "stopped", draft.rows)
                raise
        outcomes = ledger.outcomes()
        if stop.is_set() or buyer.bill.halted is not None:
            report = make_report(draft, draft.statuses(outcomes), run_id=run_id, bill=buyer.bill)
            self._log_run(report, "stopped")
            raise buyer.bill.halted or _stopped(stop, report)
        self._learn(draft)
        return outcomes, buyer.bill

    def _settle(
        self,
        table: LeadTable,
        draft: Draft,
        *,
        marks: tuple[object, ...],
        ledger: Ledger,
        buyer: Buyer,
        stop: Stop,
    ) -> None:
        """Buys, and waits for what other runs are buying of the same people, until nobody is left."""
        guessed = draft.price is None
        pauses = iter(_PAUSES)
        while True:
            self._describe(table, draft)
            bought = draft.to_buy()
            if bought.height:
                ledger.is_for(draft.keys_to_buy(), marks=marks)
                buyer.buy(batches(bought), people=bought.height)
                pauses = iter(_PAUSES)
            # leads that turn out cheaper than was assumed leave room for more
            cheaper = guessed and buyer.price < 1.0
            again = draft.undecided(ledger.elsewhere, with_budget=cheaper)
            if again.is_empty() or stop.is_set() or buyer.bill.halted is not None:
                return
            if not bought.height:
                _pause(next(pauses, _PAUSES[-1]), stop)
            guessed = guessed and not cheaper
            ledger.elsewhere.clear()
            with self.store.transaction() as turn:
                turn.settle_unknown(now=datetime.now(UTC))
                marks = self._decide(
                    draft,
                    turn,
                    ledger.run_id,
                    again=again,
                    spent=buyer.spent,
                    price=buyer.price if buyer.knows_price else None,
                )

    def _learn(self, draft: Draft) -> None:
        """Keys that the table brought for people who did not have to be bought: known from now on."""
        if not self.store.read_only and draft.unlearned.height:
            self.store.learn(draft.unlearned, now=datetime.now(UTC))

    def _log_run(self, report: EnrichmentReport, state: str) -> None:
        """The receipt of a run, also of one that cost nothing."""
        if self.store.read_only:
            return
        # everything paid for is in the store: a full disk or a held file must not cost the user the table
        with contextlib.suppress(StoreError):
            self._log(report.run_id, state, report.rows, report.to_json())
            if report.requests:
                self.store.checkpoint()

    def _log(self, run_id: str, state: str, rows: int, summary: str | None = None) -> None:
        row = {
            "run_id": run_id,
            "state": state,
            "happened_at": datetime.now(UTC),
            "rows": rows,
            "summary": summary,
        }
        self.store.commit(new_run=pl.DataFrame([row], schema=RUN_ROWS))

    def _added(self) -> pl.Schema:
        return pl.Schema({self.prefix + name: dtype for name, dtype in ENRICHED.items()})


def _require_own_process() -> None:
    """Refuses to hang: the threads of polars do not survive a fork, and it waits for them."""
    if not _processes:
        _processes.append(os.getpid())
    if os.getpid() not in _processes:
        raise SettingsError(
            "This process was forked from one that had put polars to work, which hangs after a fork. Start "
            'processes with multiprocessing.get_context("spawn") instead.'
        )


def _stopped(stop: Stop, report: EnrichmentReport) -> BaseException:
    return Terminated(report) if stop.signum == signal.SIGTERM else Interrupted(report)


def _pause(seconds: float, stop: Stop) -> None:
    """Waits a moment; less if the run is asked to stop."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
