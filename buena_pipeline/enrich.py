"""The orchestrator: identity, people, look-up, plan, purchase, and the records back beside the rows.

Read this module first: ``Enricher.run`` is the product in one page.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from buena_pipeline.client import BuenaClient
from buena_pipeline.columns import LeadColumns, find_columns
from buena_pipeline.draft import Draft
from buena_pipeline.entries import Account
from buena_pipeline.errors import ColumnError, InputError, SettingsError, StoreError
from buena_pipeline.interrupt import Interrupted, Stop, Terminated, stop_on_signals
from buena_pipeline.ledger import Ledger
from buena_pipeline.on_demand import ClientOnDemand
from buena_pipeline.one_lead import SingleLeads
from buena_pipeline.pace import time_for
from buena_pipeline.plan import batches, count_requests, decide, resolve_people
from buena_pipeline.purchase import Buyer
from buena_pipeline.result import Bill, EnrichmentPlan, EnrichmentProgress, EnrichmentReport, EnrichmentResult
from buena_pipeline.schema import BLOCK_OF, DEFAULT_PREFIX, ENRICHED, RECORD, RUN_ROWS, STATUS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore, Transaction
from buena_pipeline.summary import NO_IDENTIFIER, make_plan, make_report
from buena_pipeline.tables import as_frame
from buena_pipeline.terms import MAX_AGE, MAX_WAIT, RETRY_FAILED_AFTER, Terms, affordable

Columns = Mapping[str, str | Sequence[str] | None]
Progress = Callable[[EnrichmentProgress], None]

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at what another run is buying; the last one from then on."""

_processes: Final[list[int]] = []
"""The process in which polars was first put to work from here, and started its threads."""


_ERASED: Final = "erased from the store while the run went on; run again"
"""Why somebody is deferred of whom nothing is there any more."""


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

    def run(self, frame: Any) -> EnrichmentResult:
        """Enriches a table: buys what is not known, and gives every row back.

        Args:
            frame: a polars DataFrame or LazyFrame, or any table with the Arrow PyCapsule interface.

        Returns:
            The table with the columns of ``schema.ENRICHED`` added, same rows, same order, and the report.

        Raises:
            ColumnError: if a column is missing, ambiguous, nested, or would be overwritten; before any cost.
            SettingsError: if something is to be bought and there is no API key; before any cost. Also in a
                process that was forked, in which polars would hang.
            VendorError: if the vendor stops the run (401, 403); what came before is in the store.
            StoreError: if the store cannot be used.
            Interrupted, Terminated: after Ctrl-C (a KeyboardInterrupt) or SIGTERM (a SystemExit), when the
                answers on their way are in the store; ``report`` says how far the run came.
        """
        _require_own_process()
        table = as_frame(frame)
        run_id = str(uuid.uuid4())
        draft, marks = self._prepare(table, run_id)
        outcomes, bill = self._buy(draft, marks, run_id)
        self._learn(draft)
        statuses = draft.statuses(outcomes)
        enriched = self._join_back(draft, statuses)
        report = make_report(draft, statuses, run_id=run_id, bill=bill)
        self._log_run(report, "finished")
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
        _require_own_process()
        draft, _ = self._prepare(as_frame(frame))
        limits = self._client.limits
        requests = count_requests(draft.to_buy())
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

    def _prepare(self, frame: pl.DataFrame, run_id: str = "") -> tuple[Draft, tuple[object, ...]]:
        """Who is in the table, what is to be done, and the ledger's marks at that moment. Costs nothing."""
        draft = Draft.of(frame, self.check(frame.schema), self.priority, began=datetime.now(UTC))
        with self.store.consult() as turn:
            if run_id and not self.store.read_only:
                turn.settle_unknown(now=datetime.now(UTC))
            return draft, self._decide(draft, turn, run_id)

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
            own_id, known = turn.lookup(keys)
            if again is None:
                draft.known = known.select("person", "person_id")
            return self._decided(own_id, known, keys, began=draft.began)

        draft.decide(decided, max_people=most, reason=reason, again=again)
        return marks

    def _decided(
        self, own_id: pl.DataFrame, known: pl.DataFrame, keys: pl.DataFrame, *, began: datetime
    ) -> pl.DataFrame:
        """What is to be done for people with these keys, by the terms of a run that began then."""
        return decide(
            resolve_people(own_id, known, keys),
            wanted=self.options.blocks,
            began=began,
            now=datetime.now(UTC),
            max_age=self.terms.max_age,
            retry_failed_after=self.terms.retry_failed_after,
            retry_unknown=self.terms.retry_unknown,
        )

    def _buy(self, draft: Draft, marks: tuple[object, ...], run_id: str) -> tuple[pl.DataFrame, Bill]:
        """Buys what the plan says; what was bought is in the store when this returns or raises."""
        if not draft.decisions["decision"].is_in(["buy", "wait"]).any():
            return Ledger.no_outcomes(), Bill()
        client = self._client.get()
        account = Account(client.account, client.limits, timedelta(seconds=client.longest))
        decided = partial(self._decided, began=draft.began)
        ledger = Ledger(self.store, run_id=run_id, account=account, decide=decided)
        self._log(run_id, "started", draft.frame.height)
        with self.store.living(run_id), stop_on_signals() as stop:
            buyer = Buyer(
                client, ledger, terms=self.terms, stop=stop, price=draft.price, progress=self.progress
            )
            try:
                self._settle(draft, marks, ledger, buyer, stop)
            except BaseException:
                with contextlib.suppress(StoreError):
                    self._log(run_id, "stopped", draft.frame.height)
                raise
        outcomes = ledger.outcomes()
        if stop.is_set() or buyer.bill.halted is not None:
            report = make_report(draft, draft.statuses(outcomes), run_id=run_id, bill=buyer.bill)
            self._log_run(report, "stopped")
            raise buyer.bill.halted or _stopped(stop, report)
        return outcomes, buyer.bill

    def _settle(
        self, draft: Draft, marks: tuple[object, ...], ledger: Ledger, buyer: Buyer, stop: Stop
    ) -> None:
        """Buys, and waits for what other runs are buying of the same people, until nobody is left."""
        guessed = draft.price is None
        pauses = iter(_PAUSES)
        while True:
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
        if self.store.read_only:
            return
        served = draft.decisions.filter(pl.col("decision").is_in(["cached", "failed"]))
        keys = draft.keys.join(served.select("person", "person_id"), on="person")
        if keys.height > draft.known.join(served, on=["person", "person_id"], how="semi").height:
            self.store.learn(keys.select("person_id", "kind", "value"), now=datetime.now(UTC))

    def _join_back(self, draft: Draft, statuses: pl.DataFrame) -> pl.DataFrame:
        """The table with its new columns."""
        served = statuses.filter(pl.col("status") != "suppressed")["person_id"].unique()
        records = self._only_wanted(self.store.fetch(served))
        erased = pl.col("status").is_in(["enriched", "cached"]) & pl.col("current_id").is_null()
        by_person = (
            statuses.join(
                records, left_on="person_id", right_on="asked_id", how="left", maintain_order="left"
            )
            .with_columns(
                pl.coalesce("current_id", "person_id").alias("person_id"),
                status=pl.when(erased).then(pl.lit("deferred", STATUS)).otherwise("status"),
                error=pl.when(erased).then(pl.lit(_ERASED)).otherwise("error"),
            )
            .select(ENRICHED.names())
            .cast(ENRICHED)
        )
        # a gather, not a join: people are numbered in the order of their rows
        added = by_person.select(pl.all().gather(draft.person)).with_columns(
            status=pl.col("status").fill_null(pl.lit("invalid", STATUS)),
            error=pl.when(pl.lit(draft.person).is_null()).then(pl.lit(NO_IDENTIFIER)).otherwise("error"),
        )
        return draft.frame.hstack(added.rename(lambda name: self.prefix + name))

    def _only_wanted(self, records: pl.DataFrame) -> pl.DataFrame:
        """Blocks that were not asked for stay empty, whatever the store knows: same call, same columns."""
        unwanted = [
            name for name in RECORD if BLOCK_OF.get(name, self.options.blocks[0]) not in self.options.blocks
        ]
        return records.rename({"person_id": "current_id"}).with_columns(
            pl.lit(None, RECORD[name]).alias(name) for name in unwanted
        )

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
