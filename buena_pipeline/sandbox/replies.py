"""What the vendor answers, as status, headers and bytes. Pure; knows the shape of every error body."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, Literal

from buena_pipeline.sandbox.faults import Fault
from buena_pipeline.sandbox.limits import Quota

VERSION: Final = "2.0"
UPGRADE_URL: Final = "https://app.buena.ai/billing"
DOCUMENTATION_URL: Final = "https://docs.buena.ai/authentication"
NO_IDENTIFIER: Final = "At least one identifier (email, LinkedIn URL, or name + company) is required"

_HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and how it goes over the wire.

    Args:
        status: the HTTP status.
        body: the body in full.
        headers: headers beside content type and length.
        media_type: the content type.
        delay: seconds to wait before it is sent.
        ending: ``whole``; ``truncated``: the connection ends after half the body; ``reset``: the connection
            is reset and nothing is sent.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    delay: float = 0.0
    ending: Literal["whole", "truncated", "reset"] = "whole"


def json_reply(content: object, *, status: int = 200, quota: Quota | None = None) -> Reply:
    """A JSON body, with the headers that tell where the rate limit stands.

    Example:
        >>> json_reply({"success": True}).body
        b'{"success":true}'
    """
    headers = {}
    if quota is not None:
        headers = {
            "X-RateLimit-Limit": str(quota.limit),
            "X-RateLimit-Remaining": str(quota.remaining),
            "X-RateLimit-Reset": str(quota.reset),
            "X-RateLimit-Window": quota.window,
        }
    # Escaped to ASCII, because an echoed lead may hold a lone surrogate, which UTF-8 cannot carry.
    return Reply(status, json.dumps(content, separators=(",", ":")).encode("ascii"), headers)


def iso(moment: float) -> str:
    """A Unix time as the vendor writes times: UTC, whole seconds unless there is a fraction.

    Example:
        >>> iso(0), iso(1.5)
        ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z')
    """
    precision = "seconds" if float(moment).is_integer() else "milliseconds"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def error_reply(status: int, code: str, message: str, *, now: float, **more: object) -> Reply:
    """An error in the vendor's form.

    Args:
        status: the HTTP status.
        code: the vendor's code, such as ``VALIDATION_ERROR``.
        message: for people.
        now: Unix time in seconds.
        more: further keys of the body, such as ``details``.

    Rests on ``Error`` of the contract.
    """
    timestamp = iso(math.floor(now))
    body = {"error": True, "code": code, "message": message, "version": VERSION, "timestamp": timestamp}
    return json_reply(body | more, status=status)


def unauthorized(*, now: float) -> Reply:
    """401: the key is missing or wrong."""
    return error_reply(401, "UNAUTHORIZED", "Invalid API key", now=now)


def forbidden(required: str, available: Sequence[str], *, now: float) -> Reply:
    """403: the key lacks a permission."""
    permissions = {"required": required, "available": list(available), "documentation": DOCUMENTATION_URL}
    return error_reply(
        403, "PERMISSION_DENIED", "Insufficient permissions", now=now, permissionHelp=permissions
    )


def not_found(message: str, *, now: float) -> Reply:
    """404: no such lead, or no such address."""
    return error_reply(404, "NOT_FOUND", message, now=now)


def invalid(message: str, *, now: float, **details: object) -> Reply:
    """400: the request cannot be understood; no lead is named."""
    return error_reply(
        400, "VALIDATION_ERROR", message, now=now, details={"errors": [{"message": message}]} | details
    )


def invalid_leads(errors: Mapping[int, str], *, now: float) -> Reply:
    """400: these leads, by index, cannot be enriched."""
    listed = [{"index": index, "message": message} for index, message in errors.items()]
    message = "Invalid lead data for enrichment"
    return error_reply(400, "VALIDATION_ERROR", message, now=now, details={"errors": listed})


def invalid_linkedin_url(url: str, *, now: float) -> Reply:
    """400: a LinkedIn URL is no profile URL."""
    details = {"providedUrl": url, "expectedFormat": "https://linkedin.com/in/username"}
    message = "Invalid LinkedIn profile URL format"
    return error_reply(400, "INVALID_LINKEDIN_URL", message, now=now, details=details)


def no_credits(remaining: float, required: float, *, now: float) -> Reply:
    """402: the credits do not suffice; nothing was done."""
    details = {"remaining": remaining, "required": required, "upgradeUrl": UPGRADE_URL}
    message = "Insufficient enrichment credits"
    return error_reply(402, "ENRICHMENT_CREDITS_EXHAUSTED", message, now=now, details=details)


def too_many_requests(quota: Quota, *, now: float) -> Reply:
    """429: a window of the request limits is used up."""
    wait = quota.wait(now)
    info = {"limit": quota.limit, "remaining": 0, "reset": quota.reset, "window": quota.window}
    message = f"Rate limit exceeded. Try again in {wait} seconds."
    reply = error_reply(429, "RATE_LIMIT_EXCEEDED", message, now=now, retryAfter=wait, rateLimitInfo=info)
    return replace(reply, headers={"Retry-After": str(wait)})


def too_many_enrichments(quota: Quota, *, now: float) -> Reply:
    """429: the hour's enrichments are used up."""
    wait = quota.wait(now)
    details = {"limit": f"{quota.limit} enrichments per hour", "resetTime": iso(quota.reset)}
    message = "Enrichment rate limit exceeded"
    reply = error_reply(429, "RATE_LIMIT_EXCEEDED", message, now=now, retryAfter=wait, details=details)
    return replace(reply, headers={"Retry-After": str(wait)})


def instead_of_work(
    fault: Fault, leads: Sequence[Mapping[str, Any]], required: float, *, now: float
) -> Reply:
    """The answer of a fault that strikes before anything is charged.

    Args:
        fault: one of ``faults.KINDS_BEFORE``.
        leads: the leads of the request.
        required: the credits the request would need.
        now: Unix time in seconds.
    """
    at = fault.position(leads)
    index = fault.index if at is None else at
    urls = [lead.get("linkedinUrl") for lead in (leads if at is None else [leads[at]])]
    page = b"<!doctype html><title>Sign in</title><p>Please sign in.</p>"
    answers: dict[str, Callable[[], Reply]] = {
        "status": lambda: _failed(fault.status, now=now),
        "rate_limited": lambda: _told_to_wait(fault, now=now),
        "no_credits": lambda: no_credits(fault.remaining, required, now=now),
        "unauthorized": lambda: unauthorized(now=now),
        "forbidden": lambda: forbidden("leads:enrich", ["leads:read"], now=now),
        "invalid_lead": lambda: invalid_leads({index: NO_IDENTIFIER}, now=now),
        "invalid_request": lambda: invalid("Invalid lead data for enrichment", now=now),
        "invalid_linkedin_url": lambda: invalid_linkedin_url(next(filter(None, urls), ""), now=now),
        "reset_before": lambda: Reply(0, ending="reset"),
        "success_false": lambda: json_reply({"success": False}),
        "not_json": lambda: Reply(200, page, media_type=_HTML),
    }
    return answers[fault.kind]()


def damaged(reply: Reply, fault: Fault | None) -> Reply:
    """A good answer after a fault on its way back; ``drop`` and ``extra`` have done theirs before."""
    match fault.kind if fault else None:
        case "reset_after":
            return replace(reply, ending="reset")
        case "truncate":
            return replace(reply, ending="truncated")
        case "cut_json":
            return replace(reply, body=reply.body[: len(reply.body) // 2])
        case "empty":
            return replace(reply, body=b"")
    return reply


def _failed(status: int, *, now: float) -> Reply:
    """500 and 503 in the vendor's form; else a proxy before it, with HTML or with nothing."""
    if status == 500:
        return error_reply(500, "INTERNAL_SERVER_ERROR", "Internal server error", now=now)
    if status == 503:
        return error_reply(503, "SERVICE_UNAVAILABLE", "Service temporarily unavailable", now=now)
    if status == 422:
        return Reply(422, media_type=_HTML)
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, page.encode(), media_type=_HTML)


def _told_to_wait(fault: Fault, *, now: float) -> Reply:
    """A 429 that tells the wait in exactly one way."""
    until = now + fault.wait
    # Where the vendor writes whole seconds, a whole wait is rounded up: never tell too short a one.
    moment: float = round(until, 3) if fault.wait % 1 else math.ceil(until)
    more: dict[str, object] = {}
    headers: dict[str, str] = {}
    match fault.tell:
        case "body":
            more = {"retryAfter": int(fault.wait) if float(fault.wait).is_integer() else fault.wait}
        case "header":
            headers = {"Retry-After": str(math.ceil(fault.wait))}
        case "date":
            headers = {"Retry-After": formatdate(math.ceil(until), usegmt=True)}
        case "reset":
            more = {"rateLimitInfo": {"limit": 60, "remaining": 0, "reset": moment, "window": "minute"}}
        case "reset_time":
            more = {"details": {"limit": "100 enrichments per hour", "resetTime": iso(moment)}}
    reply = error_reply(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded.", now=now, **more)
    return replace(reply, headers=headers)
