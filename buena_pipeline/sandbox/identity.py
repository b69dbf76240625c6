"""Who a lead is, as the sandbox reads it: a lead as sent goes in, its identity keys come out.

Deliberately not the library's own identity rules. The sandbox counts what each person was charged, and a
count made with the rules under test would prove nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from buena_pipeline.sandbox.vocabulary import ROLE_MAILBOXES

_PROFILE_URL: Final = re.compile(
    r"(?:https?://)?(?:[a-z0-9-]+\.)*linkedin\.com/(?:mwlite/)?in/(?P<slug>[^/?#\s]+)(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_LEGAL_SUFFIX: Final = re.compile(r"\b(?:inc|llc|ltd|plc|corp|co|gmbh|ag|sa|bv|srl|pty)\b")


@dataclass(frozen=True, slots=True)
class Keys:
    """The identity keys of one lead, each with its kind in front, null where the lead does not say.

    Args:
        email: such as ``email:jane@acme.com``.
        linkedin: such as ``linkedin:jane-doe``.
        name: such as ``name:jane doe@acme``.
    """

    email: str | None = None
    linkedin: str | None = None
    name: str | None = None

    def given(self) -> tuple[str, ...]:
        """The keys there are, in the order in which they name a person nobody has seen before."""
        return tuple(key for key in (self.email, self.linkedin, self.name) if key is not None)


def keys_of(lead: Mapping[str, Any]) -> Keys:
    """The identity keys of a lead as it was sent.

    Args:
        lead: a ``LeadInput``; values that are no text count as not given.

    Returns:
        The keys; none is set where the lead identifies nobody.

    Example:
        >>> keys_of({"email": " Jane+fair@Acme.com ", "linkedinUrl": "linkedin.com/in/Jane-Doe/"})
        Keys(email='email:jane@acme.com', linkedin='linkedin:jane-doe', name=None)
        >>> keys_of({"firstName": "Zoë", "lastName": "Lang", "company": "Acme, Inc."}).name
        'name:zoe lang@acme'

    Rests on ``LeadInput`` of ``POST /enrich``.
    """
    first, last, company = (_words(lead.get(field)) for field in ("firstName", "lastName", "company"))
    company = " ".join(_LEGAL_SUFFIX.sub(" ", company).split()) or company
    slug = profile_slug(lead.get("linkedinUrl"))
    return Keys(
        email=_email_key(lead.get("email"), name=f"{first} {last}".strip()),
        linkedin=f"linkedin:{slug.casefold()}" if slug else None,
        name=f"name:{first} {last}@{company}" if first and last and company else None,
    )


def profile_slug(url: object) -> str | None:
    """The slug of a LinkedIn profile URL as it is written there, or None if it is no profile URL.

    Example:
        >>> profile_slug("https://de.linkedin.com/in/Jane-Doe?trk=x"), profile_slug("https://example.com/profile")
        ('Jane-Doe', None)
    """
    match = _PROFILE_URL.fullmatch(url.strip()) if isinstance(url, str) else None
    return unquote(match["slug"]) if match else None


def _email_key(email: object, *, name: str) -> str | None:
    """The mailbox behind an address: plus tags dropped, gmail's dots dropped, role mailboxes told by name."""
    local, at, domain = email.strip().lower().rpartition("@") if isinstance(email, str) else ("", "", "")
    local = local.split("+")[0]
    if not (local and at and domain):
        return None
    if domain in {"gmail.com", "googlemail.com"}:
        local, domain = local.replace(".", "") or local, "gmail.com"
    if local in ROLE_MAILBOXES and name:
        return f"email:{local}@{domain} ({name})"
    return f"email:{local}@{domain}"


def _words(value: object) -> str:
    """Text reduced to its plain words, so that accents, case and punctuation make no difference."""
    if not isinstance(value, str) or not value:
        return ""
    text = unicodedata.normalize("NFKD", value).casefold()
    letters = "".join(char if char.isalnum() else " " for char in text if not unicodedata.combining(char))
    return " ".join(letters.split())
