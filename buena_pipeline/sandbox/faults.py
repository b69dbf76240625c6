"""Switchable faults: what can go wrong between a caller and the vendor, and when it is its turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from buena_pipeline.errors import SettingsError
from buena_pipeline.sandbox.identity import keys_of

KINDS_BEFORE: Final = (
    "status",
    "rate_limited",
    "no_credits",
    "unauthorized",
    "forbidden",
    "invalid_lead",
    "invalid_request",
    "invalid_linkedin_url",
    "reset_before",
    "success_false",
    "not_json",
)
"""Faults in place of any work: nothing is charged."""

KINDS_AFTER: Final = ("reset_after", "truncate", "cut_json", "empty", "drop", "extra")
"""Faults on the way back: the leads are charged, then the answer is lost or damaged."""

KINDS: Final = (*KINDS_BEFORE, *KINDS_AFTER, "latency")

TELLS: Final = ("body", "header", "date", "reset", "reset_time", "nothing")
"""Where a ``rate_limited`` fault tells the wait: ``retryAfter`` in the body; a ``Retry-After`` header in
seconds, or as an HTTP date; ``rateLimitInfo.reset``; ``details.resetTime``; nowhere."""

STATUSES: Final = (400, 413, 422, 500, 502, 503)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with ``POST /enrich``.

    ======================== ========= ====================================================================
    kind                     charged   what the caller gets
    ======================== ========= ====================================================================
    ``status``               no        ``status``: 500 or 503; 400, 413 or 502 with a proxy's HTML page; 422
                                       with an empty body
    ``rate_limited``         no        429 that tells to wait ``wait`` seconds in the way ``tell`` says
    ``no_credits``           no        402 with ``remaining``
    ``unauthorized``         no        401
    ``forbidden``            no        403
    ``invalid_lead``         no        400 that names one lead by its index: that of ``lead``, else ``index``
    ``invalid_request``      no        400 in the vendor's form that names no lead
    ``invalid_linkedin_url`` no        400 that names the LinkedIn URL of ``lead``, else of the first with one
    ``reset_before``         no        the connection is reset before any work
    ``success_false``        no        200 with ``{"success": false}``
    ``not_json``             no        200 with an HTML page
    ``reset_after``          yes       the connection is reset instead of an answer
    ``truncate``             yes       half the body, then the connection ends: an HTTP protocol error
    ``cut_json``             yes       half the body as if it were whole: invalid JSON
    ``empty``                yes       200 with an empty body
    ``drop``                 yes       ``count`` leads (or ``lead``) are in neither list
    ``extra``                yes       ``count`` more items, of people nobody asked for
    ``latency``              yes       the usual answer, ``wait`` seconds late
    ======================== ========= ====================================================================

    Args:
        kind: what goes wrong.
        times: how often; None for until the faults are cleared.
        after: how many requests pass before it begins.
        lead: only requests with this lead are hit: its e-mail address, LinkedIn URL or slug. Requests
            without it are not counted by ``times`` and ``after``.
        status: the status of a ``status`` fault.
        wait: seconds; fractions are told where the vendor's field can hold them.
        tell: how a ``rate_limited`` fault tells the wait, one of ``TELLS``.
        remaining: the credits a ``no_credits`` fault says are left.
        index: the lead an ``invalid_lead`` fault names.
        count: how many items are dropped or added.

    Raises:
        SettingsError: if a value is not one that the sandbox knows.

    Example:
        >>> Fault("rate_limited", wait=2.5, tell="body").kind
        'rate_limited'
    """

    kind: str
    times: int | None = 1
    after: int = 0
    lead: str | None = None
    status: int = 500
    wait: float = 1.0
    tell: str = "body"
    remaining: int = 0
    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("status", STATUSES), ("tell", TELLS)):
            if getattr(self, name) not in allowed:
                choices = ", ".join(map(str, allowed))
                raise SettingsError(
                    f"Fault({name}={getattr(self, name)!r}) is unknown: choose one of {choices}."
                )
        for name, least in (
            ("after", 0),
            ("wait", 0),
            ("remaining", 0),
            ("index", 0),
            ("count", 1),
            ("times", 1),
        ):
            number = getattr(self, name)
            kinds = (int, float) if name == "wait" else (int,)
            unlimited = name == "times" and number is None
            if not unlimited and (
                isinstance(number, bool) or not isinstance(number, kinds) or not number >= least
            ):
                raise SettingsError(f"Fault({name}={number!r}) must be a number from {least} on.")
        if self.lead is not None and not isinstance(self.lead, str):
            raise SettingsError("Fault(lead=...) takes an e-mail address, a LinkedIn URL or a slug.")

    @classmethod
    def from_json(cls, values: object) -> Fault:
        """The fault that a JSON object describes.

        Args:
            values: the object, decoded; its keys are the arguments of ``Fault``.

        Raises:
            SettingsError: if it is no object, or a key or value is unknown.
        """
        if not isinstance(values, dict) or "kind" not in values:
            raise SettingsError('A fault is a JSON object with at least a "kind".')
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise SettingsError(f"A fault has no {', '.join(unknown)}.")
        return cls(**values)

    def position(self, leads: Sequence[Any]) -> int | None:
        """Where the lead stands that this fault is about, or None if it is not there or not named."""
        return next((at for at, lead in enumerate(leads) if self.lead and _is_lead(lead, self.lead)), None)

    def concerns(self, leads: Sequence[Any]) -> bool:
        """Whether a request with these leads can be hit."""
        return self.lead is None or self.position(leads) is not None


@dataclass(slots=True)
class _Turn:
    """A fault and how far it has come."""

    fault: Fault
    seen: int = 0
    hits: int = 0

    def is_due(self) -> bool:
        """Whether the next request is hit."""
        return self.seen >= self.fault.after and (self.fault.times is None or self.hits < self.fault.times)


@dataclass(slots=True)
class Faults:
    """The faults that are switched on, and whose turn it is.

    Example:
        >>> faults = Faults()
        >>> faults.inject(Fault("empty", after=1))
        >>> [fault and fault.kind for fault in (faults.take(KINDS_AFTER, [{}]) for _ in range(3))]
        [None, 'empty', None]
    """

    _turns: list[_Turn] = field(default_factory=list)

    def inject(self, fault: Fault) -> None:
        """Switch a fault on, behind those that are on already."""
        self._turns.append(_Turn(fault))

    def clear(self) -> None:
        """Switch all faults off."""
        self._turns.clear()

    def take(self, kinds: Sequence[str], leads: Sequence[Any]) -> Fault | None:
        """The fault that hits a request, if any.

        A request counts for every fault it concerns; where several are due, the one switched on first hits
        and the others keep their turn.

        Args:
            kinds: the kinds that can hit at this point of the work.
            leads: the leads of the request.
        """
        hit: _Turn | None = None
        for turn in self._turns:
            if turn.fault.kind in kinds and turn.fault.concerns(leads):
                if hit is None and turn.is_due():
                    hit = turn
                    turn.hits += 1
                turn.seen += 1
        return hit.fault if hit else None


def _is_lead(lead: object, identifier: str) -> bool:
    """Whether an identifier is one of a lead's."""
    if not isinstance(lead, Mapping):
        return False
    keys = keys_of(lead)
    wanted = keys_of({"email": identifier, "linkedinUrl": identifier})
    email = keys.email.partition(" ")[0] if keys.email else None
    slug = wanted.linkedin or f"linkedin:{identifier.casefold()}"
    return email == wanted.email if wanted.email else keys.linkedin == slug
