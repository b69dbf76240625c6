"""What a run says of itself: frozen counts, and the frame they belong to.

How they look in notebooks, charts and terminals is the business of ``report`` and ``cli``, which are loaded
when somebody looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import polars as pl

from buena_pipeline.errors import InputError, MissingExtraError, VendorError
from buena_pipeline.schema import DEFAULT_PREFIX

if TYPE_CHECKING:
    from altair import VConcatChart

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True, slots=True)
class EnrichmentPlan:
    """What enriching a table would do and cost; nothing was sent.

    Attributes:
        rows: rows of the table.
        invalid: rows without a usable identifier.
        duplicates: rows that are a person whom an earlier row is already.
        people: different people in the table.
        cached: people the store can serve.
        failed: people the vendor did not find lately; they are not asked for again yet.
        suppressed: people on the do-not-enrich list.
        stale: people to be bought again because what is known is too old.
        deferred: people beyond the budgets, and those of unknown outcome.
        unknown: people whom an earlier request asked for whose outcome is unknown; see ``retry_unknown``.
        elsewhere: people whom another run is buying right now.
        to_buy: people to be bought, within the budgets; whoever of them is not found makes room for one more.
        requests: requests that takes.
        max_credits: credits it costs at most, at the price of the last answers; before the first one, at the
            vendor's documented example of one a lead.
        shortest_time: the shortest time the rate limits allow for it.
        decisions: what would become of each row of the table, in its order: ``person_id``, ``decision``
            (cached, failed, buy, wait, deferred, suppressed or invalid) and ``reason``.
        columns: which column was read as what, as ``columns=`` takes it: ``{"email": "E-Mail"}``.
        unread: columns that were not read although their names look as if they said who a lead is, with the
            field each may be; if it is, give it to ``columns=``.
    """

    rows: int
    invalid: int
    duplicates: int
    people: int
    cached: int
    failed: int
    suppressed: int
    stale: int
    deferred: int
    unknown: int
    elsewhere: int
    to_buy: int
    requests: int
    max_credits: float
    shortest_time: timedelta
    decisions: pl.DataFrame = field(repr=False, compare=False)
    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict, hash=False)
    unread: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows, {self.people:,} people: {self.cached:,} from the store, "
            f"{self.failed:,} not found lately, {self.to_buy:,} to buy in {self.requests:,} requests "
            f"for at most {_amount(self.max_credits)} credits, in {self.shortest_time} or more"
        )

    def chart(self) -> VConcatChart:
        """Draws how the rows come down to people, and what buying them would cost at most.

        Returns:
            An altair chart of a few counts; ``buena_pipeline.report`` has its parts, and others.

        Raises:
            MissingExtraError: without the extra ``report``.

        Example:
            >>> import tempfile
            >>> from buena_pipeline import plan_frame
            >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
            >>> [part.title.text for part in plan.chart().vconcat]
            ['From rows to enriched people', 'Credits used and avoided']
        """
        from buena_pipeline.report import overview

        return overview(self)

    def _repr_html_(self) -> str:
        return _as_html(self)

    def __rich__(self) -> Any:
        from buena_pipeline.cli.display import describe_plan, facts

        return facts(describe_plan(self))


@dataclass(frozen=True, slots=True)
class EnrichmentReport:
    """What a run did and cost.

    Attributes:
        run_id: the run in the store's ledger.
        rows: rows of the table.
        invalid: rows without a usable identifier, or refused by the vendor.
        duplicates: rows that are a person whom an earlier row is already.
        people: different people in the table.
        cached: people served from the store.
        enriched: people bought.
        failed: people the vendor does not know, by this run's answers or remembered.
        failed_remembered: those among them who were not asked for again.
        suppressed: people on the do-not-enrich list.
        deferred: people not bought this time.
        requests: requests that were sent.
        credits_used: what the vendor says they cost, summed up; estimated where it does not say.
        credits_avoided: credits not spent thanks to duplicates, the store and remembered failures, at the
            vendor's documented example of one a lead.
        credits_remaining: what the vendor said last; None if nothing was sent.
        unknown: people of requests, now or earlier, whose outcome is unknown: perhaps charged.
        deferred_reason: why people were deferred; None if nobody was.
        resume_at: when to run again if a rate limit deferred the rest.
        credits_unknown: what requests of this run whose outcome is unknown may have cost on top; a budget
            counts it as spent.
    """

    run_id: str
    rows: int
    invalid: int
    duplicates: int
    people: int
    cached: int
    enriched: int
    failed: int
    failed_remembered: int
    suppressed: int
    deferred: int
    requests: int
    credits_used: float
    credits_avoided: int
    credits_remaining: float | None
    unknown: int
    deferred_reason: str | None
    resume_at: datetime | None
    credits_unknown: float = 0.0

    def to_json(self) -> str:
        """The report as one JSON object; times as ISO 8601."""
        return json.dumps(asdict(self), default=lambda moment: moment.isoformat())

    @classmethod
    def from_json(cls, text: str) -> EnrichmentReport:
        """The report that ``to_json`` wrote, as in ``summary`` of ``EnrichmentStore.runs``.

        Args:
            text: one JSON object.

        Raises:
            InputError: if it is something else, or of another release.

        Example:
            >>> EnrichmentReport.from_json("{}")
            Traceback (most recent call last):
            buena_pipeline.errors.InputError: This is no report as to_json() writes it.
        """
        try:
            fields = json.loads(text)
            resume_at = fields.pop("resume_at")
            return cls(**fields, resume_at=datetime.fromisoformat(resume_at) if resume_at else None)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError("This is no report as to_json() writes it.") from None

    def __str__(self) -> str:
        lines = [
            (
                f"{self.rows:,} rows, {self.people:,} people: {self.cached:,} from the store, "
                f"{self.enriched:,} bought, {self.failed:,} not found, {self.deferred:,} deferred, "
                f"{self.invalid:,} invalid rows"
            ),
            f"{_amount(self.credits_used)} credits used, {self.credits_avoided:,} avoided",
        ]
        if self.deferred_reason:
            resume = f"; run again after {self.resume_at:%Y-%m-%d %H:%M:%S %Z}" if self.resume_at else ""
            lines.append(f"deferred: {self.deferred_reason}{resume}")
        return "\n".join(lines)

    def chart(self) -> VConcatChart:
        """Draws how the rows came down to people with data, and the credits used and avoided.

        Returns:
            An altair chart of a few counts; ``buena_pipeline.report`` has its parts, and others.

        Raises:
            MissingExtraError: without the extra ``report``.

        Example:
            >>> counts = dict.fromkeys(EnrichmentReport.__dataclass_fields__, 0)
            >>> texts = {"run_id": "", "deferred_reason": None, "resume_at": None}
            >>> report = EnrichmentReport(**counts | texts)
            >>> [part.title.text for part in report.chart().vconcat]
            ['From rows to enriched people', 'Credits used and avoided']
        """
        from buena_pipeline.report import overview

        return overview(self)

    def _repr_html_(self) -> str:
        return _as_html(self)

    def __rich__(self) -> Any:
        from buena_pipeline.cli.display import describe_report, facts

        return facts(describe_report(self))


def _as_html(told: EnrichmentPlan | EnrichmentReport) -> str:
    """A table for notebooks; as plain text where the extra is missing, because a look at it must not fail."""
    try:
        from buena_pipeline.report import table
    except MissingExtraError:
        return f"<pre>{escape(str(told))}</pre>"
    return table(told)


def _amount(credits_used: float) -> str:
    """Credits as people write them: whole where they are."""
    return f"{credits_used:,.0f}" if credits_used.is_integer() else f"{credits_used:,.2f}"


@dataclass(frozen=True, slots=True)
class EnrichmentResult(Generic[Frame]):
    """An enriched table, and the report of the run that made it.

    Attributes:
        frame: a LazyFrame if a LazyFrame was enriched, else a DataFrame.
        report: what was done and what it cost.
    """

    frame: Frame
    report: EnrichmentReport

    def __repr__(self) -> str:
        return f"EnrichmentResult({self.report.rows} rows, run {self.report.run_id})"

    def chart(self, *, prefix: str = DEFAULT_PREFIX) -> VConcatChart:
        """Draws what the report's chart shows, then fill rates, confidence and, if there are any, scores.

        Args:
            prefix: what the names of the enriched columns begin with.

        Returns:
            An altair chart of counts and shares. A LazyFrame is collected for it, once a part.

        Raises:
            ColumnError: if the table was enriched with another prefix.
            MissingExtraError: without the extra ``report``.

        Example:
            >>> import tempfile
            >>> from buena_pipeline import BuenaClient, Enricher, Sandbox
            >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
            >>> with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
            ...     with BuenaClient(sandbox.api_key, sandbox.url) as client:
            ...         result = Enricher(client, f"{folder}/buena.duckdb").run(leads)
            >>> len(result.chart().vconcat)
            4
        """
        from buena_pipeline.report import overview

        return overview(self.report, self.frame, prefix=prefix)

    def _repr_html_(self) -> str:
        return _as_html(self.report)


@dataclass(frozen=True, slots=True)
class EnrichmentProgress:
    """Where a run stands.

    Attributes:
        done: people settled.
        total: people to be bought.
        credits_used: credits used so far.
        waiting_until: the rate limits let nothing leave before; None if nobody waits for them.
        stopping: the run was asked to stop, and waits for the answers on their way.
        estimated_end: when everybody can be bought, in UTC: by the rate limits, which it is never before, and
            by how fast answers have come; None as long as nobody can tell, and in the end. A run that would
            have to wait for longer than its ``max_wait`` ends before, and defers the rest.

    Example:
        >>> progress = EnrichmentProgress(done=50, total=200, credits_used=46.0)
        >>> f"{progress.done / progress.total:.0%}"
        '25%'
    """

    done: int
    total: int
    credits_used: float
    waiting_until: datetime | None = None
    stopping: bool = False
    estimated_end: datetime | None = None


Progress: TypeAlias = Callable[[EnrichmentProgress], None]
"""What is called after each answer."""


@dataclass(slots=True)
class Bill:
    """What buying has come to so far, and why it stopped if it did.

    Attributes:
        requests: requests sent.
        credits_used: what answers say they cost.
        credits_remaining: what they say is left.
        unknown: people of requests whose outcome is unknown.
        credits_unknown: what was reserved for these requests.
        stopped: why nothing more is sent.
        resume_at: when to go on, if a rate limit stopped it.
        halted: the vendor's answer that no request survives.
    """

    requests: int = 0
    credits_used: float = 0.0
    credits_remaining: float | None = None
    unknown: int = 0
    credits_unknown: float = 0.0
    stopped: str | None = None
    resume_at: datetime | None = None
    halted: VendorError | None = None
