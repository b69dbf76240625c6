"""The vendor's wire format without any I/O: leads become request bytes, an answer becomes a verdict.

Takes a status, headers and bytes, never a response object, and ``now`` instead of a clock. Reads
tolerantly: unknown fields stay in the raw text of each item, missing and null ones are no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from buena_pipeline.envelope import open_envelope, read_result
from buena_pipeline.errors import AuthenticationError, PermissionDeniedError, VendorError
from buena_pipeline.lenient_json import as_number, as_object, as_text, decode, load
from buena_pipeline.pace import Quota
from buena_pipeline.settings import EnrichmentOptions

_LONGEST_WAIT: Final = timedelta(days=1)
"""The vendor's longest window. What is told beyond it is a mistake, which would shut an account out for that
long, with no way back; asking again after a day costs one refused request."""

_OUR_TIMES: Final = timedelta(days=366)
"""A moment further from now than this tells nothing; a file or a calendar may not even hold it."""

_MILLISECONDS: Final = 1e11
"""No Unix time in seconds is as big before the year 5138; in milliseconds every one since 1973 is."""

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


class Item(msgspec.Struct, frozen=True, gc=False):
    """One entry of ``enriched`` or ``failed``: the echoed input and the raw text exactly as it came."""

    found: bool
    input: Mapping[str, Any]
    body: str
    reason: str | None = None

    def __repr__(self) -> str:
        return f"Item(found={self.found})"


@dataclass(frozen=True, slots=True)
class Answer:
    """200: some leads found, some not. ``rest`` is the raw text of envelope fields nobody knows.

    ``seconds`` is how long the vendor took for it.
    """

    items: tuple[Item, ...]
    credits_used: float | None = None
    credits_remaining: float | None = None
    rest: str | None = field(default=None, repr=False)
    quota: Quota | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """400 of the vendor's own: nothing was enriched. ``leads`` maps the index of a lead to its reason.

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
    """429: wait so many seconds (None: not told), and expect no success before ``resets_at``.

    Neither is more than a day ahead, whatever was told.
    """

    wait: float | None
    resets_at: datetime | None = None
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class ServerFault:
    """500, 502, 503 and the like, or a proxy's own refusal: it did not work; worth another try."""

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
    if 200 <= status < 300:
        return _read_answer(status, body, read_quota(headers, now=now))
    error = as_object(load(decode(body)))
    details = as_object(error.get("details"))
    match status:
        case 400 | 413 | 422:
            return _read_refusal(status, error, details)
        case 401:
            return Halt(
                AuthenticationError(
                    "The vendor does not know the API key (401): check BUENA_API_KEY; "
                    "keys expire and can be deactivated in the vendor's settings. Nothing was charged."
                )
            )
        case 402:
            return OutOfCredits(
                remaining=max(as_number(details.get("remaining")) or 0.0, 0.0),
                required=max(as_number(details.get("required")) or 0.0, 0.0) or None,
            )
        case 403:
            return Halt(permission_denied(error))
        case 429:
            return _read_rate_limit(headers, error, details, now)
        case 408 | 504 | 520 | 524:
            return Unknown(f"a gateway lost the vendor's answer ({status})")
    if status >= 500:
        return ServerFault(f"the vendor answered {status}")
    if 300 <= status < 400:
        return Halt(
            VendorError(
                f"The API answered {status}, a redirect, which is not followed: the key would go with it. "
                "Put the address it leads to, with https://, into BUENA_BASE_URL. Nothing was charged."
            )
        )
    return Halt(
        VendorError(
            f"The API answered {status}, which no enrichment request should get: "
            "is the base URL right (BUENA_BASE_URL)? Nothing was charged."
        )
    )


def permission_denied(error: Mapping[str, Any]) -> PermissionDeniedError:
    """The error for a 403 body: names the permission that is missing and those the key has."""
    hint = as_object(error.get("permissionHelp"))
    required = as_text(hint.get("required"))
    given = hint.get("available")
    available = tuple(str(name) for name in given) if isinstance(given, list) else ()
    return PermissionDeniedError(
        f"The API key lacks the permission {required or 'for this request'} (403); "
        f"it has {', '.join(available) or 'none that the vendor names'}. "
        "Grant it in the vendor's settings, or use another key. Nothing was charged.",
        required=required,
        available=available,
    )


def read_quota(headers: Mapping[str, str], *, now: datetime) -> Quota | None:
    """What the ``X-RateLimit-*`` headers say of the window they are about; None if they do not say it all.

    Example:
        >>> headers = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "12",
        ...            "x-ratelimit-reset": "1640995245", "x-ratelimit-window": "minute"}
        >>> read_quota(headers, now=datetime(2022, 1, 1, tzinfo=UTC)).remaining
        12.0
    """
    limit, remaining = (as_number(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
    resets_at = _moment(headers.get("x-ratelimit-reset"), now)
    if limit is None or remaining is None or resets_at is None:
        return None
    window = headers.get("x-ratelimit-window", "").strip().lower()
    return Quota(now, window, float(limit), float(remaining), resets_at)


def _read_answer(status: int, body: bytes, quota: Quota | None) -> Answer | Unknown:
    text = decode(body)
    if not text.strip():
        return Unknown(f"the vendor answered {status} with an empty body")
    told = open_envelope(text)
    if told.unreadable or (told.found is None and told.not_found is None):
        why = "that is not JSON" if load(text) is None else "without any results"
        return Unknown(f"the vendor answered {status} with a body {why}", body=text)
    items = tuple(
        _read_item(item, found=found)
        for found, items in ((True, told.found), (False, told.not_found))
        for item in items or ()
    )
    if not told.success and not items:
        return Unknown(f"the vendor answered {status} without success", body=text)
    # a negative use of credits is none, and no reason to spend more
    used = None if told.used is not None and told.used < 0 else told.used
    return Answer(items, used, told.remaining, told.rest, quota)


def _read_item(text: str, *, found: bool) -> Item:
    given, reason = read_result(text)
    return Item(found, given, text, None if reason is None else as_text(reason))


def _read_refusal(status: int, error: Mapping[str, Any], details: Mapping[str, Any]) -> Refused | ServerFault:
    # a proxy that refuses in the vendor's place says nothing about the leads
    if error.get("error") is not True and not isinstance(error.get("code"), str) and "details" not in error:
        return ServerFault(f"the vendor answered {status} with a body that is not its own")
    message = as_text(error.get("message")) or "the vendor refused the request"
    if error.get("code") == "INVALID_LINKEDIN_URL":
        return Refused(message, profile_url=as_text(details.get("providedUrl")))
    named = details.get("errors")
    leads: dict[int, str] = {}
    for entry in map(as_object, named if isinstance(named, list) else ()):
        index = as_number(entry.get("index"))
        if index is not None and 0 <= index < MAX_LEADS and index == int(index):
            leads[int(index)] = as_text(entry.get("message")) or message
    return Refused(message, leads)


def _read_rate_limit(
    headers: Mapping[str, str], error: Mapping[str, Any], details: Mapping[str, Any], now: datetime
) -> RateLimited:
    header = headers.get("retry-after")
    told = [
        _http_date(header, now),
        _moment(as_object(error.get("rateLimitInfo")).get("reset"), now),
        _moment(details.get("resetTime"), now),
        _moment(headers.get("x-ratelimit-reset"), now),
    ]
    moments = [min(moment, now + _LONGEST_WAIT) for moment in told if moment is not None and moment > now]
    waits = [
        *(as_number(given) for given in (error.get("retryAfter"), header)),
        *((moment - now).total_seconds() for moment in moments),
    ]
    most = _LONGEST_WAIT.total_seconds()
    wait = next((min(max(seconds, 0.0), most) for seconds in waits if seconds is not None), None)
    return RateLimited(wait, max(moments, default=None), read_quota(headers, now=now))


def _http_date(value: str | None, now: datetime) -> datetime | None:
    try:
        return _of_our_times(parsedate_to_datetime(value or ""), now)
    except (ValueError, OverflowError):
        return None


def _moment(value: Any, now: datetime) -> datetime | None:
    """A point in time, as a Unix time in seconds or milliseconds, or as ISO 8601 text."""
    number = as_number(value)
    try:
        if number is not None:
            seconds = number / 1_000 if abs(number) >= _MILLISECONDS else number
            return _of_our_times(datetime.fromtimestamp(seconds, UTC), now)
        return _of_our_times(datetime.fromisoformat(value), now)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _of_our_times(moment: datetime, now: datetime) -> datetime | None:
    """The moment in UTC, which is what it is without a time zone; None if nobody can mean it.

    Raises:
        OverflowError, ValueError: if no calendar holds it in UTC.
    """
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return in_utc if abs(in_utc - now) <= _OUR_TIMES else None
