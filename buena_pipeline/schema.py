"""Column names and dtypes of every stage: the one place that knows them. Holds values, does nothing.

The stages are frames: a user's table becomes *identified* rows (what each row says about who it is), then
*people* (one row per person), *known* (what the store knows of them), *decisions* (what is to be done) and
at last the *enriched* columns that go back beside the user's own.
"""

from __future__ import annotations

from typing import Final

import polars as pl

# --- who a lead is ---------------------------------------------------------------------------------------

LEAD_FIELDS: Final = ("email", "linkedin_url", "first_name", "last_name", "company")
"""What can be sent about a lead, in our names; ``wire`` knows the vendor's."""

KEY_KINDS: Final = ("linkedin", "member", "email", "mailbox", "name")
"""The kinds of identity keys, strongest first.

``linkedin`` is the slug that names a profile, ``member`` an internal id of LinkedIn's in its place (a person
has several), ``email`` a personal address, ``mailbox`` a role address together with a name, ``name`` a name
together with a company. All but ``name`` are strong.
"""

KEY_KIND: Final = pl.Enum(KEY_KINDS)

UUID: Final = pl.UInt128()
"""A UUID as a number: keys, and the ids of people."""

PERSON_KEYS: Final = pl.Schema({"person": pl.UInt32(), "kind": KEY_KIND, "key": UUID})
"""The keys of the people of one table, each key with the one person it points to.

A key is the MD5 digest of its kind and its value, which ``store.digests`` makes, so that no value travels.
"""

PEOPLE: Final = pl.Schema(
    [("person", pl.UInt32), *((name, pl.String()) for name in LEAD_FIELDS), ("rows", pl.UInt32())]
)
"""One row per person of one table, in the order of first appearance: the lead to send, and how many rows."""

# --- what can be bought ----------------------------------------------------------------------------------

BLOCKS: Final = ("personal", "company", "social", "contact")
"""What the vendor's four flags choose: the units in which knowledge is bought and gets old."""

SOCIAL_PROFILE: Final = pl.Struct({"network": pl.String(), "url": pl.String()})

RECORD: Final = pl.Schema(
    {
        "confidence": pl.Float64(),
        "sources": pl.List(pl.String()),
        "first_name": pl.String(),
        "last_name": pl.String(),
        "email": pl.String(),
        "alternative_emails": pl.List(pl.String()),
        "phone": pl.String(),
        "linkedin_url": pl.String(),
        "company": pl.String(),
        "title": pl.String(),
        "location": pl.String(),
        "experience": pl.String(),
        "experience_years": pl.Int16(),
        "skills": pl.List(pl.String()),
        "bio": pl.String(),
        "company_name": pl.String(),
        "company_website": pl.String(),
        "company_domain": pl.String(),
        "company_industry": pl.String(),
        "company_size": pl.String(),
        "company_size_min": pl.Int32(),
        "company_size_max": pl.Int32(),
        "company_description": pl.String(),
        "company_founded": pl.Int16(),
        "company_headquarters": pl.String(),
        "social_twitter": pl.String(),
        "social_github": pl.String(),
        "social_facebook": pl.String(),
        "social_profiles": pl.List(SOCIAL_PROFILE),
    }
)
"""One person as the vendor describes them, flat and typed. The same for every answer, full or empty."""

BLOCK_OF: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("first_name", "last_name", "location", "experience", "experience_years", "skills", "bio"), "personal"
    ),
    **dict.fromkeys([name for name in RECORD if name.startswith("company_")], "company"),
    **dict.fromkeys([name for name in RECORD if name.startswith("social_")], "social"),
    **dict.fromkeys(("phone", "alternative_emails"), "contact"),
}
"""The block each column comes with; a column that is not here comes with every answer."""

# --- what the store takes and gives ----------------------------------------------------------------------

TIMESTAMP: Final = pl.Datetime("us", "UTC")

REQUEST_STATES: Final = ("in flight", "answered", "refused", "failed", "unknown", "charged", "not charged")
"""The life of a request: written before it is sent, then closed by one of the others. The last two settle an
unknown outcome by the credits that are left; an answer that comes after all counts more."""

RUN_ROWS: Final = pl.Schema(
    {
        "run_id": pl.String(),
        "state": pl.String(),
        "happened_at": TIMESTAMP,
        "rows": pl.UInt64(),
        "summary": pl.String(),
    }
)

REQUEST_ROWS: Final = pl.Schema(
    {
        "request_id": pl.String(),
        "run_id": pl.String(),
        "state": pl.String(),
        "happened_at": TIMESTAMP,
        "lease_until": TIMESTAMP,
        "blocks": pl.List(pl.String()),
        "people": pl.List(pl.String()),
        "credits_reserved": pl.Float64(),
        "credits_used": pl.Float64(),
        "credits_remaining": pl.Float64(),
        "reason": pl.String(),
        "account": pl.String(),
        "quota_window": pl.String(),
        "quota_limit": pl.Float64(),
        "quota_remaining": pl.Float64(),
        "quota_resets_at": TIMESTAMP,
        "retry_at": TIMESTAMP,
    }
)

RESPONSE_ROWS: Final = pl.Schema(
    {"request_id": pl.String(), "person_id": pl.String(), "received_at": TIMESTAMP, "body": pl.String()}
)

ANSWER_ROWS: Final = pl.Schema(
    {
        "person_id": pl.String(),
        "request_id": pl.String(),
        "answered_at": TIMESTAMP,
        "found": pl.Boolean(),
        "reason": pl.String(),
        **{f"has_{block}": pl.Boolean() for block in BLOCKS},
        **RECORD,
    }
)

IDENTITY_ROWS: Final = pl.Schema(
    {
        "person_id": pl.String(),
        "kind": pl.String(),
        "key": UUID,
        "request_id": pl.String(),
        "known_at": TIMESTAMP,
    }
)

KNOWN: Final = pl.Schema(
    {
        "person": pl.UInt32(),
        "kind": KEY_KIND,
        "person_id": UUID,
        "own": pl.Boolean(),
        "candidates": pl.Int64(),
        "weak_only": pl.Boolean(),
        "row": pl.Int64(),
        "found_at": TIMESTAMP,
        **{f"{block}_at": TIMESTAMP for block in BLOCKS},
        "failed_at": TIMESTAMP,
        **{f"{block}_failed_at": TIMESTAMP for block in BLOCKS},
        "failed_reason": pl.String(),
        "pending_since": TIMESTAMP,
        "charged": pl.Boolean(),
        "in_flight_until": TIMESTAMP,
    }
)
"""One row per person of the table, kind of key and person of the store it points to: where the record stands,
if it is one row, what was bought when, the last request of unknown outcome and whether it was charged, until
when one of another run may travel."""

OWN_ID: Final = pl.Schema({"person": pl.UInt32(), "person_id": UUID, "suppressed": pl.Boolean()})
"""The id each person of the table gets if it is new, and whether it is on the do-not-enrich list."""

CHECKS: Final = pl.Schema(
    {"check": pl.String(), "ok": pl.Boolean(), "found": pl.Int64(), "detail": pl.String()}
)
"""One row per check of a store: how many rows or files are not as they should be, and what that means."""

# --- what goes back to the user --------------------------------------------------------------------------

STATUSES: Final = ("enriched", "cached", "failed", "invalid", "deferred", "suppressed")
"""What happened to a row: bought now; served from the store; not found by the vendor; no usable identifier;
not bought this time, try again; on the do-not-enrich list."""

STATUS: Final = pl.Enum(STATUSES)

OUTCOME: Final = pl.Schema({"person_id": pl.String(), "status": STATUS, "error": pl.String()})
"""What became of each person that was to be bought."""

ENRICHED: Final = pl.Schema(
    {"status": STATUS, "error": pl.String(), "person_id": pl.String(), "enriched_at": TIMESTAMP, **RECORD}
)
"""The columns that enrichment adds, without the prefix."""

SCORE_PARTS: Final = ("score_company_size", "score_title", "score_skills", "score_phone", "score_linkedin")

SCORED: Final = pl.Schema([("score", pl.Float64()), *((name, pl.Float64()) for name in SCORE_PARTS)])
"""The columns that scoring adds, without the prefix."""

DEFAULT_PREFIX: Final = "buena_"
