"""What a caller sent: the bytes of a request go in, checked leads and blocks or a refusal come out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from buena_pipeline.sandbox import replies
from buena_pipeline.sandbox.identity import keys_of, profile_slug
from buena_pipeline.sandbox.replies import Reply

MAX_LEADS: Final = 50
LEAD_FIELDS: Final = ("email", "linkedinUrl", "firstName", "lastName", "company")

OPTIONS: Final[dict[str, tuple[str, bool]]] = {
    "includePersonalInfo": ("personal", True),
    "includeCompanyInfo": ("company", True),
    "includeSocialProfiles": ("social", False),
    "includeContactInfo": ("contact", True),
}
"""The vendor's flags: the block each chooses, and its default."""


@dataclass(frozen=True, slots=True)
class EnrichRequest:
    """A request that can be worked on.

    Args:
        leads: from 1 to 50 leads, as sent.
        blocks: the blocks asked for.
    """

    leads: list[dict[str, Any]]
    blocks: tuple[str, ...]


def parse_json(body: bytes) -> Any:
    """The JSON value of a body; raises ValueError if it holds none, or numbers that are not JSON's."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_enrich(body: bytes, *, now: float) -> EnrichRequest | Reply:
    """The request in a body of ``POST /enrich``, or the vendor's refusal.

    Args:
        body: the bytes as they came.
        now: Unix time in seconds.

    Returns:
        The request, or a 400: of the whole (no JSON, too few or many leads, wrong options), else of leads by
        index, else of the first LinkedIn URL that is no profile URL.

    Example:
        >>> parse_enrich(b'{"leads": [{"email": "jane@acme.com"}]}', now=0.0)
        EnrichRequest(leads=[{'email': 'jane@acme.com'}], blocks=('personal', 'company', 'contact'))
        >>> parse_enrich(b'{"leads": []}', now=0.0).status
        400

    Rests on ``EnrichRequest`` of ``POST /enrich``.
    """
    try:
        sent = parse_json(body)
    except ValueError:
        return replies.invalid("Request body is not valid JSON", now=now)
    if message := _malformed(sent):
        return replies.invalid(message, now=now)
    leads, options = sent["leads"], sent.get("enrichmentOptions", {})
    if wrong := {index: message for index, lead in enumerate(leads) if (message := _wrong_with(lead))}:
        return replies.invalid_leads(wrong, now=now)
    for lead in leads:
        if (url := lead.get("linkedinUrl")) and not profile_slug(url):
            return replies.invalid_linkedin_url(url, now=now)
    blocks = tuple(block for name, (block, default) in OPTIONS.items() if options.get(name, default))
    return EnrichRequest(leads, blocks)


def _malformed(sent: Any) -> str | None:
    """What is wrong with a request as a whole, or None."""
    if not isinstance(sent, dict) or not isinstance(sent.get("leads"), list):
        return "leads must be an array"
    if not 1 <= len(sent["leads"]) <= MAX_LEADS:
        return f"leads must hold between 1 and {MAX_LEADS} leads"
    options = sent.get("enrichmentOptions", {})
    if not isinstance(options, dict) or any(
        not isinstance(options.get(name, True), bool) for name in OPTIONS
    ):
        return "enrichmentOptions must be an object of booleans"
    return None


def _wrong_with(lead: object) -> str | None:
    """Why a lead cannot be enriched, or None; a bad LinkedIn URL counts as given, it is another error."""
    if not isinstance(lead, Mapping):
        return "Lead must be an object"
    for name in LEAD_FIELDS:
        if not isinstance(lead.get(name, ""), str):
            return f"{name} must be a string"
    return None if lead.get("linkedinUrl") or keys_of(lead).given() else replies.NO_IDENTIFIER


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError(f"{name} is not JSON")
