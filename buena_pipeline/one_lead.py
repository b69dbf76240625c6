"""One lead at a time, for forms and services: found lately, known to the store, or bought.

Leads enter as mappings and leave as mappings; tables go another way. Any number of threads may ask at once.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import polars as pl

from buena_pipeline.coalescing import Coalescing
from buena_pipeline.columns import LEAD_COLUMNS
from buena_pipeline.errors import InputError
from buena_pipeline.identity import identify
from buena_pipeline.plan import decide
from buena_pipeline.recent import Recent
from buena_pipeline.schema import BLOCK_OF, DEFAULT_PREFIX, ENRICHED, KEY_KINDS, KNOWN, LEAD_FIELDS, RECORD
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore, Finding, Key, digested_kind
from buena_pipeline.summary import NO_IDENTIFIER
from buena_pipeline.tables import lead_fields
from buena_pipeline.terms import Terms
from buena_pipeline.wire import MAX_LEADS

_KEPT: Final = 1_024
"""Leads whose findings are kept in memory."""

_LONGEST: Final = 4_096
"""Characters of a lead that is kept: forms are filled in by robots, too."""

_TURNS: Final = 2
"""Purchases at the same time: whoever comes during one need not wait for its end, and thousands who come at
once still go fifty to a request."""

_TURNS_ALONE: Final = 8
"""Likewise where everybody has a budget of their own, and so a request of their own."""

_ALWAYS: Final = datetime.max.replace(tzinfo=UTC)

_LISTS: Final = tuple(name for name, dtype in RECORD.items() if isinstance(dtype, pl.List))

Lead: TypeAlias = Mapping[str, str | None]
Fields: TypeAlias = tuple[str | None, ...]
"""What a lead says, in the order of ``schema.LEAD_FIELDS``."""

Row: TypeAlias = dict[str, Any]
"""The columns of ``schema.ENRICHED`` of one lead."""


@dataclass(frozen=True, slots=True, repr=False)
class _Verdict:
    """What a lead is told without buying, as long as it is so; no status if that takes a purchase."""

    status: str | None
    error: str | None
    since: datetime
    until: datetime


class _Known:
    """What is known of a lead: its keys, and what the store says if there are any."""

    __slots__ = ("finding", "keys", "verdict")

    def __init__(self, keys: tuple[Key, ...], finding: Finding | None) -> None:
        self.keys = keys
        self.finding = finding
        self.verdict: _Verdict | None = None


class SingleLeads:
    """Answers for single leads.

    Args:
        store: where they are known, or not.
        options: the blocks they want.
        terms: how old these may be, and what may be spent.
        run: enriches a table with the columns ``schema.LEAD_FIELDS``, in the way of tables.
    """

    def __init__(
        self,
        store: EnrichmentStore,
        *,
        options: EnrichmentOptions,
        terms: Terms,
        run: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> None:
        self._store = store
        self._wanted = options.blocks
        self._unwanted = [name for name in RECORD if BLOCK_OF.get(name, self._wanted[0]) not in self._wanted]
        self._terms = terms
        self._run = run
        self._recent = Recent[Fields, _Known](_KEPT)
        self._reading = Coalescing[Fields, tuple[_Known, object]](self._read, most=MAX_LEADS)
        # a budget is one run's: who shares a run would share it
        alone = terms.max_credits is not None
        self._buying = Coalescing[Fields, Row](
            self._buy,
            most=1 if alone else MAX_LEADS,
            turns=_TURNS_ALONE if alone else _TURNS,
            joins_late=True,
        )

    def lookup(self, lead: Lead) -> Row | None:
        """What the store knows of a lead; ``Enricher.lookup`` says more."""
        known = self._known(lead)
        if known.finding is None:
            raise InputError(f"The lead has {NO_IDENTIFIER}.")
        if known.finding.suppressed or known.finding.record is None:
            return None
        # whether a run would buy something of them again is a question for ``plan``
        return self._row(known.finding, "cached", None)

    def enrich(self, lead: Lead) -> Row:
        """What a run would say of a lead; ``Enricher.enrich_one`` says more."""
        known = self._known(lead)
        if known.finding is None:
            return dict.fromkeys(ENRICHED) | {"status": "invalid", "error": NO_IDENTIFIER}
        now = datetime.now(UTC)
        verdict = known.verdict
        if verdict is None or not verdict.since <= now <= verdict.until:
            verdict = known.verdict = self._judge(known.finding, now)
        if verdict.status is not None:
            return self._row(known.finding, verdict.status, verdict.error)
        return _copied(self._buying(frozenset(known.keys), lead_fields(lead)))

    # --- what is known --------------------------------------------------------------------------------------

    def _known(self, lead: Lead) -> _Known:
        """What is known of a lead at this moment.

        Raises:
            InputError: if it is no lead.
        """
        fields = lead_fields(lead)
        state = self._store.fingerprint()
        known = self._recent.get(fields, state=state)
        if known is None:
            known, state_read = self._reading(fields, fields)
            if state_read is not None and sum(len(text) for text in fields if text) <= _LONGEST:
                self._recent.keep(fields, known, state=state_read)
        return known

    def _read(self, leads: list[Fields]) -> list[tuple[_Known, object]]:
        """What is known of some leads, and the state of the store that says so, if that can be told."""
        keys = lead_keys(leads)
        identified = [of_lead for of_lead in keys if of_lead]
        findings, state = self._store.read_leads(identified) if identified else ([], None)
        said = iter(findings)
        return [(_Known(of_lead, next(said) if of_lead else None), state) for of_lead in keys]

    def _judge(self, finding: Finding, now: datetime) -> _Verdict:
        """What a lead is told without buying, and until when."""
        terms, bought = self._terms, finding.bought
        moments = [(bought[f"{block}_at"], terms.max_age) for block in self._wanted]
        if not finding.suppressed and all(_is_fresh(moment, age, now) for moment, age in moments):
            decision, error = "cached", None
        else:
            decision, error = self._decide(finding, now)
        learns = decision != "suppressed" and not finding.complete and not self._store.read_only
        served = decision in ("cached", "failed", "suppressed") and not learns
        failed = [bought[f"{block}_failed_at"] for block in self._wanted] + [bought["failed_at"]]
        moments += [(moment, terms.retry_failed_after) for moment in failed]
        ends = [moment + age for moment, age in moments if moment is not None and age is not None]
        until = min((end for end in ends if end >= now), default=_ALWAYS)
        return _Verdict(decision if served else None, error, since=now, until=until)

    def _decide(self, finding: Finding, now: datetime) -> tuple[str, str | None]:
        """What a run would decide, were nobody buying this person."""
        facts = dict(finding.bought) | {
            "row": None,
            "pending_since": None,
            "charged": False,
            "in_flight_until": None,
        }
        person = {"person": 0, "person_id": finding.person_id, "suppressed": finding.suppressed}
        dtypes = {"person": pl.UInt32, "person_id": pl.String, "suppressed": pl.Boolean}
        decided = decide(
            pl.DataFrame([person | facts], schema=dtypes | {name: KNOWN[name] for name in facts}),
            wanted=self._wanted,
            began=now,
            now=now,
            max_age=self._terms.max_age,
            retry_failed_after=self._terms.retry_failed_after,
        )
        return decided.row(0, named=True)["decision"], decided.row(0, named=True)["error"]

    # --- what is bought -------------------------------------------------------------------------------------

    def _buy(self, leads: list[Fields]) -> list[Row]:
        """The way of a table, for all who wait."""
        rows = self._run(_table(leads)).select(pl.col(DEFAULT_PREFIX + name).alias(name) for name in ENRICHED)
        return rows.to_dicts()

    def _row(self, finding: Finding, status: str, error: str | None) -> Row:
        """What goes back for a lead that is not bought."""
        row = dict.fromkeys(ENRICHED) | {"status": status, "error": error, "person_id": finding.person_id}
        if finding.record is not None and not finding.suppressed:
            row |= finding.record
            row |= dict.fromkeys(self._unwanted)
        return _copied(row)


def lead_keys(leads: Sequence[Fields]) -> list[tuple[Key, ...]]:
    """The identity keys of some leads, each for itself.

    Args:
        leads: what they say.

    Returns:
        The keys of each, strongest first; none where nothing identifies it.

    Example:
        >>> (keys,) = lead_keys([("Jane+web@acme.example", None, "Jane", "Doe", "Acme Inc.")])
        >>> [key.kind for key in keys]
        ['email', 'name']
    """
    identified = identify(_table(leads), LEAD_COLUMNS)
    columns = [(kind, name) for kind in KEY_KINDS for name in identified.columns if _holds(name, kind)]
    kinds = [kind for kind, _ in columns]
    rows = identified.select(name for _, name in columns).iter_rows()
    return [
        tuple(dict.fromkeys(_key(kind, value) for kind, value in zip(kinds, row, strict=True) if value))
        for row in rows
    ]


def _holds(column: str, kind: str) -> bool:
    return column == f"key_{kind}" or column.startswith(f"key_{kind}_")


def _key(kind: str, value: str) -> Key:
    digest = hashlib.md5(f"{digested_kind(kind)}\x1f{value}".encode(), usedforsecurity=False)
    return Key(kind, str(uuid.UUID(bytes=digest.digest())))


def _table(leads: Sequence[Fields]) -> pl.DataFrame:
    return pl.DataFrame(leads, schema=dict.fromkeys(LEAD_FIELDS, pl.String), orient="row")


def _is_fresh(moment: datetime | None, age: timedelta | None, now: datetime) -> bool:
    """Whether something that was bought then is young enough."""
    return moment is not None and (age is None or moment >= now - age)


def _copied(row: Row) -> Row:
    """A row that shares nothing with another one that its owner could change."""
    return row | {
        name: [dict(item) if isinstance(item, dict) else item for item in items]
        for name in _LISTS
        if (items := row[name]) is not None
    }
