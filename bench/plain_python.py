"""What a competent script would write instead of expressions: identity keys and the score, row by row.

``tests/test_bench.py`` holds both to what the library says of the same rows.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final
from urllib.parse import unquote

SCORED_FIELDS: Final = ("company_size", "title", "skills", "phone", "linkedin_url")

_DISPLAYED: Final = re.compile(r"<([^<>]*)>")
_ADDRESS: Final = re.compile(
    r"[a-z0-9_][a-z0-9._%+'-]*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
)
_ROLES: Final = frozenset((
    "abuse", "accounting", "accounts", "admin", "billing", "booking", "career", "careers", "contact",
    "events", "feedback", "finance", "hello", "help", "helpdesk", "hr", "info", "invoice", "invoices", "it",
    "jobs", "kontakt", "legal", "mail", "marketing", "media", "news", "newsletter", "noreply", "no-reply",
    "office", "orders", "payroll", "post", "postmaster", "press", "privacy", "purchasing", "reception",
    "recruiting", "sales", "security", "service", "shop", "support", "team", "tech", "test", "webmaster",
    "welcome",
))  # fmt: skip
_GOOGLE: Final = ("gmail.com", "googlemail.com")
_PROFILE: Final = re.compile(
    r"(?:https?://)?(?:[a-z0-9-]+\.)*linkedin\.com/(?:mwlite/)?in/([^/?#\s]+)", re.IGNORECASE
)
_NOT_WORD: Final = re.compile(r"[^\w]+|_+")
_JOINING: Final = re.compile("[.'’‘`´]")
_REMARK: Final = re.compile(r"\([^()]*\)")
_TITLE: Final = re.compile(r"^(?:(?:dr|prof|mr|mrs|ms|mx) )+")
_DEGREE: Final = re.compile(r"(?: (?:phd|mba))+$")
_LEGAL_FORM: Final = re.compile(
    r"(?: (?:inc|incorporated|llc|llp|lp|ltd|limited|plc|corp|corporation|company|co|gmbh|ggmbh|mbh|ag|kg"
    r"|kgaa|ohg|gbr|ug|se|bv|b v|nv|n v|sa|s a|sas|sarl|spa|srl|sl|ab|as|a s|asa|aps|oy|oyj|sp z oo|sro|kft"
    r"|doo|pty|pte|pvt|private limited|sdn bhd|kk|jsc))+$"
)
_NOTHING: Final = frozenset(("", "n/a", "na", "none", "null", "-", "unknown", "nan", "nil", "tbd"))
_LETTERS: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
)


def identity_keys(
    email: str | None, linkedin_url: str | None, first: str | None, last: str | None, company: str | None
) -> tuple[str | None, str | None, str | None, str | None]:
    """The keys of one row: profile, address, role mailbox with name, name with company."""
    address, name = _mailbox(email), _name(first, last)
    role = address is not None and address.partition("@")[0] in _ROLES and name is not None
    firm = _company(company)
    whole = bool(first and last and name and " " in name and firm)
    return (
        _slug(linkedin_url),
        None if role else address,
        f"{address}\x1f{name}" if role else None,
        f"{name}\x1f{firm}" if whole else None,
    )


def score(row: dict[str, Any], prefix: str = "buena_") -> float:
    """The vendor's example score of one enriched lead."""
    points = {"1000+": 10, "500-1000": 8, "100-500": 6, "50-100": 4, "10-50": 2}.get(
        row[f"{prefix}company_size"], 0
    )
    title = (row[f"{prefix}title"] or "").lower()
    if any(word in title for word in ("ceo", "cto", "vp", "director", "head", "senior", "lead")):
        points += 5
    wanted = ("python", "javascript", "aws", "machine learning", "api")
    for skill in row[f"{prefix}skills"] or ():
        lower = skill.lower()
        if any(word in lower for word in wanted):
            points += 2
    if row[f"{prefix}phone"]:
        points += 2
    if row[f"{prefix}linkedin_url"]:
        points += 2
    return min(points, 25)


def _mailbox(email: str | None) -> str | None:
    if not email:
        return None
    text = email.lower()
    if displayed := _DISPLAYED.search(text):
        text = displayed[1]
    text = text.strip().removeprefix("mailto:")
    if not _ADDRESS.fullmatch(text):
        return None
    local, _, domain = text.partition("@")
    local = local.partition("+")[0] or local
    if domain in _GOOGLE:
        return local.replace(".", "") + "@gmail.com"
    return f"{local}@{domain}"


def _slug(url: str | None) -> str | None:
    if not url or not (found := _PROFILE.match(url.strip())):
        return None
    slug = found[1]
    if "%" in slug:
        slug = unquote(slug)
    slug = slug.lower()
    return slug if slug.isascii() else unicodedata.normalize("NFC", slug)


def _name(first: str | None, last: str | None) -> str | None:
    told = " ".join(part.strip() for part in (first, last) if part and part.strip().lower() not in _NOTHING)
    words = _words(_REMARK.sub(" ", told) if "(" in told else told)
    return _DEGREE.sub("", _TITLE.sub("", words)) or None


def _company(company: str | None) -> str | None:
    if not company or company.strip().lower() in _NOTHING:
        return None
    return _LEGAL_FORM.sub("", _words(company)) or None


def _words(text: str) -> str:
    text = text.lower()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char)).translate(_LETTERS)
    return _NOT_WORD.sub(" ", _JOINING.sub("", text)).strip()
