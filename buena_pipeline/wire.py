"""The vendor's wire format without any I/O: leads become request bytes, an answer becomes a verdict.

Takes a status, headers and bytes, never a response object, and ``now`` instead of a clock. Reads
tolerantly: unknown fields stay in the raw text of each item, missing and null ones are no error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from buena_pipeline.errors import AuthenticationError, PermissionDeniedError, VendorError
from buena_pipeline.settings import EnrichmentOptions

MAX_LEADS: Final = 50
"""Leads the vendor takes in one request."""

WIRE_NAMES: Final = {
    "email": "email",
    "linkedin_url": "linkedinUrl",
    "first_name": "firstName",
    "last_name": "lastName",
    "company": "company",
}

_FLAGS: Final = {
    "personal": "includePersonalInfo",
    "company": "includeCompanyInfo",
    "social": "includeSocialProfiles",
    "contact": "includeContactInfo",
}

Lead = Mapping[str, str | None]
"""One lead in our names (``schema.LEAD_FIELDS``); empty fields are left out on the wire."""


# --- verdicts: what an answer means ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of ``enriched`` or ``failed``: the echoed input and the raw text exactly as it came."""

    found: bool
    input: Mapping[str, Any] = field(repr=False)
    body: str = field(repr=False)
    reason: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """200: some leads found, some not. ``rest`` is the raw text of envelope fields nobody knows."""

    items: tuple[Item, ...]
    credits_used: float | None = None
    credits_remaining: float | None = None
    rest: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """400: nothing was enriched. ``leads`` maps the index of a refused lead to the vendor's reason.

    Without indexes the request has to be halved until the bad lead stands alone. ``profile_url`` is set
    where the vendor refused one LinkedIn URL instead.
    """

    message: str = field(repr=False)
    leads: Mapping[int, str] = field(default_factory=dict, repr=False)
    profile_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Halt:
    """401, 403 and anything else that no other request would survive: the run stops with this error."""

    error: VendorError


@dataclass(frozen=True, slots=True)
class OutOfCredits:
    """402: the request did nothing; so many credits are left, and it would have taken so many."""

    remaining: float
    required: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429: wait so many seconds (None: not told), and expect no success before ``resets_at``."""

    wait: float | None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerFault:
    """500, 502, 503 and the like: the vendor says that it did not work; worth another try."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection: nothing was sent; worth another try."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, but no readable answer: the leads may have been charged. Never sent again silently."""

    reason: str
    body: str | None = field(default=None, repr=False)


Verdict = Answer | Refused | Halt | OutOfCredits | RateLimited | ServerFault | Unreachable | Unknown


# --- out -------------------------------------------------------------------------------------------------


def encode_lead(lead: Lead) -> dict[str, str]:
    """One lead in the vendor's names, without empty fields.

    Example:
        >>> encode_lead({"email": "jane@acme.example", "first_name": None, "company": ""})
        {'email': 'jane@acme.example'}
    """
    return {name: value for ours, name in WIRE_NAMES.items() if (value := lead.get(ours))}


def encode_request(leads: Sequence[Lead], options: EnrichmentOptions) -> bytes:
    """The body of ``POST /enrich``; raises ValueError for no leads or more than 50.

    Example:
        >>> encode_request([{"email": "jane@acme.example"}], EnrichmentOptions.of("company")).decode()
        '{"leads":[{"email":"jane@acme.example"}],"enrichmentOptions":{"includePersonalInfo":false,...}}'
    """
    if not 1 <= len(leads) <= MAX_LEADS:
        raise ValueError(f"A request takes 1 to {MAX_LEADS} leads, not {len(leads)}.")
    flags = {flag: block in options.blocks for block, flag in _FLAGS.items()}
    return msgspec.json.encode(
        {"leads": [encode_lead(lead) for lead in leads], "enrichmentOptions": flags},
    )


# --- in --------------------------------------------------------------------------------------------------


def interpret(  # noqa: PLR0911 - the vendor's table of answers, one return a row
    status: int, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> Verdict:
    """What an answer to ``POST /enrich`` means.

    Args:
        status: the HTTP status.
        headers: the answer's headers; names are looked up in lower case.
        body: the answer's bytes, however broken.
        now: the time, with a time zone; waits given as a point in time are measured from it.

    Returns:
        One of the verdicts. Never raises, whatever the bytes are.

    Example:
        >>> interpret(503, {}, b"<html>", now=datetime.now(UTC))
        ServerFault(reason='the vendor answered 503')
        >>> interpret(200, {}, b"", now=datetime.now(UTC))
        Unknown(reason='the vendor answered 200 with an empty body')

    Rests on the responses of ``POST /enrich``.
    """
    if status == 200:
        return _read_answer(body)
    error = _read_object(body)
    details = _object(error.get("details"))
    match status:
        case 400 | 413 | 422:
            return _read_refusal(error, details)
        case 401:
            return Halt(
                AuthenticationError(
                    "The vendor does not know the API key (401): check BUENA_API_KEY; "
                    "keys expire and can be deactivated in the vendor's settings. Nothing was charged."
                )
            )
        case 402:
            return OutOfCredits(
                remaining=max(_number(details.get("remaining")) or 0.0, 0.0),
                required=_number(details.get("required")),
            )
        case 403:
            return Halt(permission_denied(error))
        case 429:
            return _read_rate_limit(headers, error, details, now)
        case 408 | 504 | 524:
            return Unknown(f"a gateway gave up waiting for the vendor ({status})")
    if status >= 500:
        return ServerFault(f"the vendor answered {status}")
    return Halt(
        VendorError(
            f"The API answered {status}, which no enrichment request should get: "
            "is the base URL right (BUENA_BASE_URL)? Nothing was charged."
        )
    )


def permission_denied(error: Mapping[str, Any]) -> PermissionDeniedError:
    """The error for a 403 body: names the permission that is missing and those the key has."""
    hint = _object(error.get("permissionHelp"))
    required = _text(hint.get("required"))
    given = hint.get("available")
    available = tuple(str(name) for name in given) if isinstance(given, list) else ()
    return PermissionDeniedError(
        f"The API key lacks the permission {required or 'for this request'} (403); "
        f"it has {', '.join(available) or 'none that the vendor names'}. "
        "Grant it in the vendor's settings, or use another key. Nothing was charged.",
        required=required,
        available=available,
    )


def _read_answer(body: bytes) -> Answer | Unknown:
    text = body.decode("utf-8", "replace")
    if not text.strip():
        return Unknown("the vendor answered 200 with an empty body")
    envelope = _split(text)
    data = _split(envelope.pop("data", "null"))
    lists = {name: _split_list(data.pop(name)) for name in ("enriched", "failed") if name in data}
    if not any(entries is not None for entries in lists.values()):
        why = "without any results" if envelope else "that is not JSON"
        return Unknown(f"the vendor answered 200 with a body {why}", body=text)
    items = tuple(
        _read_item(entry, found=name == "enriched")
        for name, entries in lists.items()
        for entry in entries or ()
    )
    used, remaining = (_number(_load(data.pop(name, "null"))) for name in ("creditsUsed", "remainingCredits"))
    envelope.pop("success", None)
    unknown_fields = {**envelope, **{f"data.{name}": raw for name, raw in data.items()}}
    return Answer(items, used, remaining, rest=json.dumps(unknown_fields) if unknown_fields else None)


def _read_item(text: str, *, found: bool) -> Item:
    entry = _object(_load(text))
    return Item(found, input=_object(entry.get("input")), body=text, reason=_text(entry.get("reason")))


def _read_refusal(error: Mapping[str, Any], details: Mapping[str, Any]) -> Refused:
    message = _text(error.get("message")) or "the vendor refused the request"
    if error.get("code") == "INVALID_LINKEDIN_URL":
        return Refused(message, profile_url=_text(details.get("providedUrl")))
    entries = details.get("errors")
    leads: dict[int, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        index = _number(_object(entry).get("index"))
        if index is not None and index >= 0 and index == int(index):
            leads[int(index)] = _text(entry.get("message")) or message
    return Refused(message, leads)


def _read_rate_limit(
    headers: Mapping[str, str], error: Mapping[str, Any], details: Mapping[str, Any], now: datetime
) -> RateLimited:
    header = headers.get("retry-after")
    info = _object(error.get("rateLimitInfo"))
    reset = _number(info.get("reset")) or _number(headers.get("x-ratelimit-reset"))
    moments = [
        moment
        for moment in (_http_date(header), _from_unix(reset), _from_iso(details.get("resetTime")))
        if moment is not None and moment > now
    ]
    waits = [
        *(_number(given) for given in (error.get("retryAfter"), header)),
        *((moment - now).total_seconds() for moment in moments),
    ]
    wait = next((max(seconds, 0.0) for seconds in waits if seconds is not None), None)
    return RateLimited(wait, max(moments, default=None))


# --- tolerant reading ------------------------------------------------------------------------------------


def _split(text: str) -> dict[str, str]:
    """The members of a JSON object, each as its raw text; empty if it is no object."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: bytes(raw).decode("utf-8", "replace") for name, raw in members.items()}
    except (msgspec.DecodeError, UnicodeEncodeError):
        # NaN, lone surrogates and the like: paid for all the same, so the lenient parser has a go
        return {name: json.dumps(value) for name, value in _object(_load(text)).items()}


def _split_list(text: str) -> list[str] | None:
    """The entries of a JSON array, each as its raw text; None if it is no array."""
    try:
        return [
            bytes(raw).decode("utf-8", "replace") for raw in msgspec.json.decode(text, type=list[msgspec.Raw])
        ]
    except (msgspec.DecodeError, UnicodeEncodeError):
        entries = _load(text)
        return [json.dumps(entry) for entry in entries] if isinstance(entries, list) else None


def _load(text: str) -> Any:
    """Any JSON value, read as leniently as Python can; None where that fails."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _read_object(body: bytes) -> Mapping[str, Any]:
    return _object(_load(body.decode("utf-8", "replace")))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """A finite number, also one that came as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _http_date(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_unix(value: float | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _from_iso(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
