"""Invented people: an identity and a lead go in, what the vendor knows of that person comes out. Pure.

A person follows from the seed and the identity alone, so the same e-mail address gives the same person in
every process. What the lead itself says (names, company, addresses) is kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from buena_pipeline.sandbox.dice import Dice, digest
from buena_pipeline.sandbox.identity import profile_slug
from buena_pipeline.sandbox.vocabulary import (
    COMPANIES,
    EXPERIENCES,
    FIRST_NAMES,
    FREE_MAIL,
    INDUSTRIES,
    LAST_NAMES,
    LOCATIONS,
    ODD_SIZES,
    ROLE_MAILBOXES,
    SIZES,
    SKILLS,
    SOURCES,
    TITLES,
)

BLOCK_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "personal": ("firstName", "lastName", "location", "experience", "skills", "bio"),
    "company": ("companyInfo",),
    "social": ("socialProfiles",),
    "contact": ("phone", "alternativeEmails"),
}
"""The fields of ``enrichedData`` that each block brings; every other field comes with every answer."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Profile:
    """What the vendor knows of one person, all blocks of it.

    Args:
        data: the ``enrichedData`` with all four blocks.
        confidence: from 0 to 1.
        sources: where the vendor says it has it from.
    """

    data: Mapping[str, Any]
    confidence: float
    sources: tuple[str, ...]


def invent(identity: str, lead: Mapping[str, Any], *, seed: int = 0, quirks: bool = True) -> Profile:
    """The person behind an identity that nobody has asked for before.

    Args:
        identity: the key the person follows from, such as ``email:jane.doe@acme.com``.
        lead: the lead as sent; what it says is kept.
        seed: another seed, other people.
        quirks: whether some values break the published schema, as real answers do: ``founded`` and
            ``experience`` as numbers instead of text.

    Returns:
        The whole profile, with the gaps real data has: a value nobody knows is null or missing.

    Example:
        >>> jane = invent("email:jane.doe@acme.com", {"email": "jane.doe@acme.com"})
        >>> jane.data["firstName"], jane.data["lastName"], jane.data["company"]
        ('Jane', 'Doe', 'Acme')

    Rests on ``EnrichedData`` of ``POST /enrich``.
    """
    dice = Dice(seed, identity)
    mark = digest(seed, identity)
    first, last = _names(identity, lead, seed)
    handle = ".".join(filter(None, (_ascii(first), _ascii(last)))) or "person"
    company, domain = _employer(lead, Dice(seed, identity, "employer"))
    title, location = dice.pick(TITLES), dice.pick(LOCATIONS)
    skills = dice.some(SKILLS, 2, 7)
    # Every draw is made whether it is needed or not: what a lead says must not shift the draws after it.
    drawn: dict[str, Any] = {
        "firstName": first,
        "lastName": last,
        "email": _text(lead, "email") or f"{handle}.{mark[:6]}@{domain}",
        "alternativeEmails": _unless(dice.chance(0.35), _alternatives(handle, mark, dice)),
        "phone": _unless(dice.chance(0.35), f"+1-555-{dice.number(100, 999)}-{dice.number(1000, 9999)}"),
        "linkedinUrl": _unless(dice.chance(0.25), profile_url(f"{handle.replace('.', '-')}-{mark}")),
        "company": company,
        "title": _unless(dice.chance(0.05), title),
        "location": _unless(dice.chance(0.15), location),
        "experience": _unless(dice.chance(0.2), dice.pick(EXPERIENCES)),
        "skills": _unless(dice.chance(0.25), skills),
        "bio": _unless(
            dice.chance(0.4), f"{title} based in {location}, works with {' and '.join(skills[:2])}."
        ),
        "companyInfo": _company_info(company, domain, seed, quirks=quirks),
        "socialProfiles": _social_profiles(handle, mark, dice),
    }
    if slug := profile_slug(lead.get("linkedinUrl")):
        drawn["linkedinUrl"] = profile_url(slug)
    if quirks and dice.chance(0.05):
        drawn["experience"] = dice.number(1, 30)
    if dice.chance(0.1):
        drawn["seniority"] = dice.pick(("junior", "senior", "executive"))
    if dice.chance(0.05):
        drawn["lastJobChange"] = {"year": dice.number(2012, 2024), "confirmed": dice.chance(0.5)}
    # What is unknown is now null, now missing: clients meet both.
    data = {field: value for field, value in drawn.items() if value is not None or dice.chance(0.5)}
    return Profile(data, dice.number(50, 99) / 100, tuple(dice.some(SOURCES, 1, 4)))


def cut_to_blocks(data: Mapping[str, Any], blocks: Collection[str], *, identity: str) -> dict[str, Any]:
    """The part of a profile that an answer with these blocks shows.

    Args:
        data: ``enrichedData`` with all blocks.
        blocks: the blocks that were asked for.
        identity: whose profile it is; decides whether a block not asked for is null or missing.

    Returns:
        The fields of the blocks asked for, and the fields that belong to no block.

    Example:
        >>> cut_to_blocks({"email": "a@b.co", "phone": "1", "companyInfo": {}}, {"contact"}, identity="x")
        {'email': 'a@b.co', 'phone': '1', 'companyInfo': None}
    """
    hidden: dict[str, bool] = {}
    for block, names in BLOCK_FIELDS.items():
        if block not in blocks:
            hidden.update(dict.fromkeys(names, Dice(identity, block).chance(0.5)))
    shown = {}
    for field, value in data.items():
        if field not in hidden:
            shown[field] = value
        elif hidden[field]:
            shown[field] = None
    return shown


def profile_url(slug: str) -> str:
    """The profile URL the vendor writes for a slug."""
    return f"https://linkedin.com/in/{slug}"


def _names(identity: str, lead: Mapping[str, Any], seed: int) -> tuple[str, str]:
    """First and last name: as sent, else read out of the address or the slug, else drawn."""
    dice = Dice(seed, identity, "name")
    first, last = dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES)
    handle = _text(lead, "email").rpartition("@")[0].split("+")[0]
    if not handle or handle.lower() in ROLE_MAILBOXES:
        handle = profile_slug(lead.get("linkedinUrl")) or ""
    words = [word.capitalize() for word in re.split(r"[\W_]+", handle) if word.isalpha()]
    if words and len(words[0]) > 1:
        first = words[0]
    if len(words) > 1 and len(words[-1]) > 1:
        last = words[-1]
    return _text(lead, "firstName") or first, _text(lead, "lastName") or last


def _employer(lead: Mapping[str, Any], dice: Dice) -> tuple[str, str]:
    """Company and its domain: as sent, else read out of the address, else drawn."""
    company, domain = dice.pick(COMPANIES), _text(lead, "email").rpartition("@")[2].lower()
    if domain in FREE_MAIL or "." not in domain:
        company = _text(lead, "company") or company
        return company, f"{_ascii(company) or 'company'}.example"
    label = re.sub(r"(\.com?)?\.[^.]*$", "", domain).rpartition(".")[2]
    return _text(lead, "company") or label.replace("-", " ").title() or company, domain


def _company_info(company: str, domain: str, seed: int, *, quirks: bool) -> dict[str, Any] | None:
    """The company, the same for all who work there; now and then unknown as a whole."""
    dice = Dice(seed, "company", company.casefold(), domain)
    industry, year = dice.pick(INDUSTRIES), dice.number(1950, 2022)
    info: dict[str, Any] = {
        "name": company,
        "website": _unless(dice.chance(0.1), f"https://{domain}"),
        "industry": _unless(dice.chance(0.1), industry),
        "size": _unless(dice.chance(0.1), dice.pick(ODD_SIZES if dice.chance(0.1) else SIZES)),
        "description": _unless(dice.chance(0.3), f"{company} is a company in {industry.lower()}."),
        "founded": _unless(dice.chance(0.25), year if dice.chance(0.15) and quirks else str(year)),
        "headquarters": _unless(dice.chance(0.2), dice.pick(LOCATIONS)),
    }
    info = {field: value for field, value in info.items() if value is not None or dice.chance(0.5)}
    return _unless(dice.chance(0.08), info)


def _social_profiles(handle: str, mark: str, dice: Dice) -> dict[str, str | None] | None:
    """Profiles on other networks; some null, sometimes one on a network the contract does not name."""
    name = handle.replace(".", "") + mark[:4]
    profiles = {
        network: _unless(dice.chance(0.3), f"https://{network}.com/{name}")
        for network in ("twitter", "github", "facebook")
        if not dice.chance(0.2)
    }
    if dice.chance(0.15):
        profiles["mastodon"] = f"https://mastodon.example/@{name}"
    return _unless(dice.chance(0.15), profiles)


def _alternatives(handle: str, mark: str, dice: Dice) -> list[str]:
    """One or two more addresses; the digest in them keeps two people of one name apart."""
    addresses = [f"{handle}.{mark}@mail.example", f"{mark}.{handle}@post.example"]
    return addresses[: dice.number(1, 2)]


def _unless(unknown: bool, value: T) -> T | None:  # noqa: FBT001 - reads as a sentence
    """The value, or None where it is unknown."""
    return None if unknown else value


def _text(lead: Mapping[str, Any], field: str) -> str:
    """A field of a lead as trimmed text, empty if it was not given."""
    value = lead.get(field)
    return value.strip() if isinstance(value, str) else ""


def _ascii(text: str) -> str:
    """Text as it may stand in an address: plain lower-case letters and digits."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "", plain)
