"""One run of a table: who is in it, what is to be done about them, and the doing. The product in one page.

Knows nothing of what the table looks like in the end; ``enrich`` does.
"""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from buena_pipeline.columns import LeadColumns
from buena_pipeline.draft import Draft
from buena_pipeline.errors import StoreError
from buena_pipeline.identity import identify
from buena_pipeline.interrupt import Interrupted, Stop, Terminated, stop_on_signals
from buena_pipeline.lead_table import LeadTable
from buena_pipeline.lookup import Lookup
from buena_pipeline.on_demand import ClientOnDemand
from buena_pipeline.plan import batches, decide, resolve_people
from buena_pipeline.progress import shown
from buena_pipeline.result import Bill, EnrichmentReport, Progress
from buena_pipeline.schema import OUTCOME, RUN_ROWS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore, Transaction, digest_columns
from buena_pipeline.summary import make_report
from buena_pipeline.survey import Survey
from buena_pipeline.terms import Meter, Terms, affordable

if TYPE_CHECKING:
    from buena_pipeline.ledger import Ledger
    from buena_pipeline.purchase import Buyer

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at what another run is buying; the last one from then on."""


class Run:
    """One run of a table.

    Args:
        client: what to buy through.
        store: where what is known is, and what is bought goes.
        options: the blocks that are wanted.
        terms: what may be spent, how old a block may be, how long to wait.
        progress: called after each answer; True for a display.
        meter: to which what it spends is added, where it shares a budget.
    """

    def __init__(
        self,
        client: ClientOnDemand,
        store: EnrichmentStore,
        *,
        options: EnrichmentOptions,
        terms: Terms,
        progress: Progress | bool | None,
        meter: Meter | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._options = options
        self._terms = terms
        self._progress = progress
        self._meter = meter
        self._id = str(uuid.uuid4())

    def plan(self, table: LeadTable, columns: LeadColumns) -> Draft:
        """Who is in the table, and what is to be done about them. Costs nothing, and changes nothing.

        Args:
            table: the leads.
            columns: which of its columns say what.

        Raises:
            StoreError: if the store cannot be read.
        """
        draft = _survey(table, columns, None)
        with self._store.preview() as turn:
            self._decide(draft, turn)
        return draft

    def carry_out(
        self, table: LeadTable, columns: LeadColumns, *, wanted: pl.Expr | None = None
    ) -> tuple[Draft, pl.DataFrame, EnrichmentReport]:
        """Buys what is not known, and says what became of everybody.

        Args:
            table: the leads.
            columns: which of its columns say what.
            wanted: of which rows the people may be bought; None for all.

        Returns:
            Who the rows are, ``Draft.statuses``, and the report.

        Raises:
            SettingsError, VendorError, StoreError, Interrupted, Terminated: as ``Enricher.run`` does.
        """
        draft = _survey(table, columns, wanted)
        with self._store.consult() as turn:
            if not self._store.read_only:
                turn.settle_unknown(now=datetime.now(UTC))
            marks = self._decide(draft, turn, learn=True)
        outcomes, bill = self._buy(table, draft, marks)
        statuses = draft.statuses(outcomes)
        report = make_report(draft, statuses, run_id=self._id, bill=bill)
        self._log_run(report, "finished")
        draft.settle()
        return draft, statuses, report

    # --- the steps --------------------------------------------------------------------------------------

    def _describe(self, table: LeadTable, draft: Draft) -> None:
        """Reads what can be sent of the people who are to be bought."""
        wanted = draft.undescribed()
        only_chunk, draft.only_chunk = draft.only_chunk, None
        if wanted is None:
            return
        if only_chunk is not None:
            some = wanted.gather(draft.person).fill_null(value=False)
            read, digests = (part.filter(some) for part in only_chunk)
            draft.describe(read, digests, draft.person.filter(some))
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
        *,
        learn: bool = False,
        again: pl.Series | None = None,
        spent: float = 0.0,
        price: float | None = None,
    ) -> tuple[object, ...]:
        """Decides about the people of a table, or some of them again, within what the budgets leave.

        Returns:
            The ledger's marks at that moment.
        """
        marks = turn.marks(self._id)
        draft.price = draft.price if price is None else price
        if draft.price is None:
            draft.price = turn.price()
        today = turn.spent_today(now=datetime.now(UTC)) if self._terms.daily_credits is not None else 0.0
        left, reason = self._terms.credits_left(spent=spent, today=today)
        most = affordable(left, draft.price or 1.0) if self._terms.limited else None

        def decided(keys: pl.DataFrame) -> pl.DataFrame:
            parts = []
            for found in turn.lookups(keys):
                part = self._decided(found, began=draft.began)
                if learn:
                    draft.learn(found, part)
                # of millions of people who need no reason, none is kept while others are looked up
                reasons = part["error"].null_count() < part.height
                parts.append(part if reasons else part.with_columns(error=pl.lit(None, pl.String)))
            return pl.concat(parts)

        draft.file_id = turn.file_id() if again is None else draft.file_id
        draft.decide(decided, max_people=most, reason=reason, again=again)
        return marks

    def _decided(self, found: Lookup, *, began: datetime) -> pl.DataFrame:
        """What is to be done for people of whom this is known, by the terms of a run that began then."""
        return decide(
            resolve_people(found.own_id, found.known, found.keys),
            wanted=self._options.blocks,
            began=began,
            now=datetime.now(UTC),
            max_age=self._terms.max_age,
            retry_failed_after=self._terms.retry_failed_after,
            retry_unknown=self._terms.retry_unknown,
        )

    def _buy(self, table: LeadTable, draft: Draft, marks: tuple[object, ...]) -> tuple[pl.DataFrame, Bill]:
        """Buys what is to be bought; it is in the store when this returns or raises."""
        if not draft.decisions["decision"].is_in(["buy", "wait"]).any():
            self._learn(draft)
            return OUTCOME.to_frame(), Bill()
        from buena_pipeline.entries import Account  # what buys is only loaded by those who do
        from buena_pipeline.ledger import Ledger
        from buena_pipeline.purchase import Buyer

        client = self._client.get()
        account = Account(client.account, client.limits, timedelta(seconds=client.longest))
        decided = partial(self._decided, began=draft.began)
        ledger = Ledger(self._store, run_id=self._id, account=account, decide=decided)
        self._log("started", draft.rows, self._terms.to_json())
        with (
            self._store.living(self._id) as departures,
            stop_on_signals() as stop,
            shown(self._progress) as progress,
        ):
            buyer = Buyer(
                client,
                ledger,
                terms=self._terms,
                stop=stop,
                price=draft.price,
                leaves=departures.note,
                progress=progress,
            )
            try:
                self._settle(table, draft, marks=marks, ledger=ledger, buyer=buyer, stop=stop)
            except BaseException:
                with contextlib.suppress(StoreError):
                    self._log("stopped", draft.rows)
                raise
            finally:
                if self._meter is not None:
                    self._meter.spent += buyer.spent
        outcomes = ledger.outcomes()
        if stop.is_set() or buyer.bill.halted is not None:
            report = make_report(draft, draft.statuses(outcomes), run_id=self._id, bill=buyer.bill)
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
        pauses = iter(_PAUSES)
        while True:
            self._describe(table, draft)
            bought = draft.to_buy()
            if bought.height:
                ledger.is_for(draft.keys_to_buy(), marks=marks)
                requests = 0 if self._progress is None else draft.count_requests()
                buyer.buy(batches(bought), people=bought.height, requests=requests)
                pauses = iter(_PAUSES)
            again = draft.undecided(ledger.elsewhere, room=self._room(buyer) if bought.height else 0)
            if again.is_empty() or stop.is_set() or buyer.bill.halted is not None:
                return
            if not bought.height:
                _pause(next(pauses, _PAUSES[-1]), stop)
            ledger.elsewhere.clear()
            with self._store.transaction() as turn:
                turn.settle_unknown(now=datetime.now(UTC))
                marks = self._decide(
                    draft,
                    turn,
                    again=again,
                    spent=buyer.spent,
                    price=buyer.price if buyer.knows_price else None,
                )

    def _room(self, buyer: Buyer) -> int:
        """How many more people the budgets pay for: who was cheaper than thought, or not found, left some."""
        if not self._terms.limited or buyer.bill.stopped is not None:
            return 0
        today = 0.0
        if self._terms.daily_credits is not None:
            with self._store.consult() as turn:
                today = turn.spent_today(now=datetime.now(UTC))
        left, _ = self._terms.credits_left(spent=buyer.spent, today=today)
        return affordable(left, buyer.price or 1.0)

    def _learn(self, draft: Draft) -> None:
        """Keys that the table brought for people who did not have to be bought: known from now on."""
        if not self._store.read_only and draft.unlearned.height:
            self._store.learn(draft.unlearned, now=datetime.now(UTC))

    def _log_run(self, report: EnrichmentReport, state: str) -> None:
        """The receipt of a run, also of one that cost nothing."""
        if self._store.read_only:
            return
        # everything paid for is in the store: a full disk or a held file must not cost the user the table
        with contextlib.suppress(StoreError):
            self._log(state, report.rows, report.to_json())
            if report.requests:
                self._store.checkpoint()

    def _log(self, state: str, rows: int, summary: str | None = None) -> None:
        row = {
            "run_id": self._id,
            "state": state,
            "happened_at": datetime.now(UTC),
            "rows": rows,
            "summary": summary,
        }
        self._store.commit(new_run=pl.DataFrame([row], schema=RUN_ROWS))


def _survey(table: LeadTable, columns: LeadColumns, wanted: pl.Expr | None) -> Draft:
    """Takes down who the rows are, and whose each is."""
    began = datetime.now(UTC)
    survey = Survey(columns.names, movable=table.is_lazy)
    chunks = 0
    for chunk in table.chunks(columns.names, with_priority=True, wanted=wanted):
        read = identify(chunk, columns)
        digests = digest_columns(read)
        survey.add(chunk, digests)
        chunks += 1
    draft = Draft.of(survey, columns, began=began)
    if chunks == 1:
        draft.only_chunk = read, digests
    return draft


def _stopped(stop: Stop, report: EnrichmentReport) -> BaseException:
    return Terminated(report) if stop.signum == signal.SIGTERM else Interrupted(report)


def _pause(seconds: float, stop: Stop) -> None:
    """Waits a moment; less if the run is asked to stop."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
