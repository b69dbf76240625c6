"""The public face: what is asked for, checked and put together from a run and what it adds to the rows.

What a run does is in ``run``, which is the product in one page.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, overload

import polars as pl

from buena_pipeline.client import BuenaClient
from buena_pipeline.columns import LeadColumns, find_columns, unread_columns
from buena_pipeline.errors import ColumnError, InputError, SettingsError
from buena_pipeline.interrupt import apart
from buena_pipeline.join_back import JoinBack
from buena_pipeline.lazy import as_lazy_frame, part_on
from buena_pipeline.lead_table import LeadTable
from buena_pipeline.on_demand import ClientOnDemand
from buena_pipeline.one_lead import SingleLeads
from buena_pipeline.pace import time_for
from buena_pipeline.progress import require_display
from buena_pipeline.result import EnrichmentPlan, EnrichmentReport, EnrichmentResult, Progress
from buena_pipeline.run import Run
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.summary import make_plan
from buena_pipeline.terms import MAX_AGE, MAX_WAIT, RETRY_FAILED_AFTER, Meter, Terms

Columns = Mapping[str, str | Sequence[str] | None]

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
        progress: True for a bar in a notebook or on a terminal, and lines in the log (``buena_pipeline``,
            level INFO) anywhere else; or what is called with an ``EnrichmentProgress`` after each answer. If
            that raises, the run ends with its error, when the answers on their way are in the store.

    Raises:
        InputError: if an argument makes no sense.
        MissingExtraError: if ``progress`` is True where a bar would be drawn, and rich is not installed.

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
        progress: Progress | bool | None = None,
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
        if not (isinstance(progress, bool | None) or callable(progress)):
            raise InputError("progress takes True, or a function of an EnrichmentProgress, such as print.")
        if progress is True:
            require_display()
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
        self.progress = None if progress is False else progress
        self._client = ClientOnDemand(client)
        self.meter: Meter | None = None
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
        joined, report = self._run(table, self._client)
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
            wanted = None if predicate is None else part_on(predicate, whole.schema)
            yield from apart(partial(self._run_apart, table, wanted)).read(table, names)

        return as_lazy_frame(read, schema)

    def plan(self, frame: Any) -> EnrichmentPlan:
        """What ``run`` would do and cost; sends nothing, and makes no store where none is.

        Args:
            frame: as for ``run``.

        Returns:
            The counts, the requests, the credits at most and the shortest time.

        Raises:
            ColumnError: as ``run`` would.
            StoreError: if the store cannot be read.
        """
        _require_own_process()
        table = LeadTable(frame, priority=self.priority)
        columns = self.check(table.schema)
        draft = self._new_run(self._client).plan(table, columns)
        limits = self._client.limits
        requests = draft.count_requests()
        wait = time_for(requests, [], limits, now=datetime.now(UTC)) if limits else timedelta(0)
        unread = unread_columns(table.schema, columns, self.columns)
        return make_plan(draft, requests=requests, time=wait, unread=unread)

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

    def sharing(self, meter: Meter) -> Enricher:
        """The same for one of several tables that share ``max_credits``, whose columns have our names.

        Args:
            meter: what the tables before it have spent; what this one spends is added, also if it fails.
        """
        part = copy(self)
        part.columns, part.priority, part.prefix = None, None, DEFAULT_PREFIX
        part.terms, part.meter = self.terms.after(meter.spent), meter
        return part

    def _for_single_leads(self) -> SingleLeads:
        """What answers for single leads, whatever the columns of tables are called."""
        buyer = copy(self)
        buyer.columns, buyer.priority, buyer.prefix = None, None, DEFAULT_PREFIX
        if self.progress is True:  # threads buy a lead each, all the time: nothing to look at
            buyer.progress = None
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
                f"{' and more' if len(names) > 5 else ''}. {_cure(names)}",
                columns=names,
            )
        return find_columns(schema, self.columns)

    def _run_apart(self, table: LeadTable, wanted: pl.Expr | None) -> JoinBack:
        """A run with a client of its own: one LazyFrame may be collected twice at once."""
        with contextlib.closing(self._client.another()) as client:
            joined, _ = self._run(table, client, wanted=wanted)
            return joined

    def _run(
        self, table: LeadTable, client: ClientOnDemand, *, wanted: pl.Expr | None = None
    ) -> tuple[JoinBack, EnrichmentReport]:
        """One run of the table, and what adds the columns to its rows."""
        _require_own_process()
        columns = self.check(table.schema)
        draft, statuses, report = self._new_run(client).carry_out(table, columns, wanted=wanted)
        joined = JoinBack(self.store, draft, statuses, blocks=self.options.blocks, prefix=self.prefix)
        return joined, report

    def _new_run(self, client: ClientOnDemand) -> Run:
        return Run(
            client,
            self.store,
            options=self.options,
            terms=self.terms,
            progress=self.progress,
            meter=self.meter,
        )

    def _added(self) -> pl.Schema:
        return pl.Schema({self.prefix + name: dtype for name, dtype in ENRICHED.items()})


def _cure(clashes: Sequence[str]) -> str:
    """What to do about columns that are in the way."""
    enriched = len(clashes) == len(ENRICHED)
    before = "It was enriched before: start from the table as it was then, or drop" if enriched else "Drop"
    return f'{before} or rename them, or choose another prefix, such as prefix="again_".'


def _require_own_process() -> None:
    """Refuses to hang: the threads of polars do not survive a fork, and it waits for them."""
    if not _processes:
        _processes.append(os.getpid())
    if os.getpid() not in _processes:
        raise SettingsError(
            "This process was forked from one that had put polars to work, which hangs after a fork. Start "
            'processes with multiprocessing.get_context("spawn") instead.'
        )
