"""What a header of a lead table says about a lead. Pure: a name enters, the field it means leaves.

Known are the headers of exports from HubSpot, Salesforce, Apollo, LinkedIn, Sales Navigator tools, Pipedrive,
Outlook and Google in English, and what the same programs write in German, French and Spanish. A header that
is not known, or could mean several things, is left alone rather than guessed at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class _Words:
    """One way to say a field, once case, accents, spaces and punctuation of a header are gone.

    Attributes:
        says: a regular expression for the whole header.
        beside: what another header of the table must be for this one to be trusted; None for nothing.
        without: what no header of the table may be.
    """

    says: str
    beside: str | None = None
    without: str | None = None


_PERSON = "(?:hs|contact|lead|person|personal|prospect|candidate|attendee|member|kontakt|contacto)?"
_WHOSE = (
    "(?:work|business|professional|corporate|office|personal|private|home|primary|main|preferred|secondary"
    "|second|tertiary|third|additional|alternate|alternative|other|verified"
    "|gesch(?:ae?)ftlich(?:e[rs]?)?|beruflich(?:e[rs]?)?|dienstlich(?:e[rs]?)?|privat(?:e[rs]?)?"
    "|pro|professionnel(?:le)?|personnel(?:le)?|privee?|principale?|secondaire"
    "|trabajo|laboral|profesional|corporativo|particular|principal|secundario|alternativo)"
)
_FIRM = "(?:company|employer|organi[sz]ation|account)"
_MAILBOX = (
    rf"(?:direccion(?:de)?)?correo(?:electronico)?(?:del?)?{_WHOSE}?\d*"
    rf"|(?:adresse(?:de|d)?|direccion(?:de)?)?(?:courriel|e?mail)(?:del?)?{_WHOSE}?\d*"
    rf"|adresse(?:demessagerie|electronique){_WHOSE}?\d*"
)
_PROFILE = (
    r"(?:(?:url|link|lien|enlace)(?:zum|du|de|del|al?|versle)?)?(?:(?:profil|profile|perfil)(?:de|en|sur|auf)?)?"
    r"linkedin(?:profil|perfil|profile)?(?:url|link|lien|enlace|adresse)?"
)
_SPANISH = r"nombres?|apellidos?|empresa|correo(?:electronico)?|cargo|telefono"

# In tiers, best first: a lower tier counts only where no column says it as a higher one does, because one
# export may bring both. Other languages come after English, so that they change nothing where that is there.
_HEADERS: Final[dict[str, tuple[tuple[_Words, ...], ...]]] = {
    "email": (
        (
            _Words(
                rf"{_PERSON}{_WHOSE}*e?mails?(?:id|address(?:es)?|adressen?)?\d*(?:value|address|adresse)?{_WHOSE}?\d*"
            ),
            _Words(rf"{_PERSON}(?:{_MAILBOX})"),
        ),
    ),
    "linkedin_url": (
        (
            _Words(
                rf"{_PERSON}(?:public)?linkedin(?:public|member|user|personal)?(?:profile)?(?:url|link|address)?"
                "(?:public)?"
            ),
        ),
        (_Words("(?:default|public)profile(?:url|link)"),),
        (_Words(rf"{_PERSON}profile(?:url|link)"),),
        (_Words(rf"{_PERSON}(?:{_PROFILE})"),),
        (_Words("url", beside="connectedon"),),  # LinkedIn's own export of connections
    ),
    "first_name": (
        (_Words(rf"{_PERSON}(?:first|given|fore)name|fname"),),
        (
            _Words(rf"{_PERSON}(?:vornamen?|prenoms?|nombredepila)"),
            _Words(rf"{_PERSON}nombres?", beside=rf"{_PERSON}apellidos?"),
        ),
        (_Words("first", beside="last|lastname|surname"),),
    ),
    "last_name": (
        (_Words(rf"{_PERSON}(?:last|family|sur)name|lname"),),
        (_Words(rf"{_PERSON}(?:nachname|familienname|nomdefamille|apellidos?)"),),
        # alone it may be anybody's or anything's; beside the first name it is what is left of the whole one
        (_Words(rf"{_PERSON}nom", beside=rf"{_PERSON}prenoms?"),),
        (_Words("last", beside="first|firstname|givenname"),),
    ),
    "full_name": (
        (
            _Words(
                rf"{_PERSON}fullname|(?:contact|lead|person|prospect|candidate|attendee|member|kontakt)name"
            ),
        ),
        (
            _Words(
                r"vollst(?:ae?)ndigername|vor(?:name)?(?:und)?nachname|prenom(?:et)?nom|nomcomplet|nombrecompleto"
                r"|nombres?y?apellidos?|nomducontact|nombredel?contacto"
            ),
        ),
        (_Words("name"),),  # read only where a row has neither first nor last name
    ),
    "company": (
        (
            _Words(
                rf"{_PERSON}(?:current)?(?:{_FIRM}1?name|company|employer|organi[sz]ation)"
                "|companyaccount|accountaccountname"
            ),
        ),
        (_Words("(?:primary)?associatedcompany(?:names?)?(?:primary)?"),),
        (_Words("companynameforemails|companynamecleaned"),),
        (
            _Words(
                rf"{_PERSON}(?:firmenname|unternehmen|unternehmensname|name(?:derfirma|desunternehmens)|arbeitgeber)"
            ),
            _Words(rf"{_PERSON}firma", without=_SPANISH),  # a signature, in Spanish
            _Words(rf"{_PERSON}(?:nom(?:de)?(?:la|l)?)?(?:societe|entreprise)|raisonsociale|nomducompte"),
            _Words(
                rf"{_PERSON}(?:nombre(?:de)?(?:la)?)?(?:empresa|compania|organizacion)|razonsocial"
                "|nombredelacuenta"
            ),
        ),
    ),
}

_FIRMS: Final = r"company|firma|firmen|unternehmen|societe|entreprise|empresa|account|organi[sz]a[tc]ion"

_HINTS: Final[dict[str, str]] = {
    "linkedin_url": r"linkedin|profile?url|profile?link|^url$",
    "email": r"mail|courriel|correo|messagerie",
    "first_name": r"firstname|givenname|vorname|prenom",
    "last_name": r"lastname|surname|familyname|nachname|familienname|apellido",
    "company": rf"{_FIRMS}|arbeitgeber|employer",
    "full_name": r"name|^nom$|nombre",
}
"""What is somewhere in headers that may well say a field, but are not known to; the first counts."""

_ABOUT: Final = (
    r"size|status|state|domain|owner|type|source|dates?$|created|updated|count$|phone|city|country|industry|website|score|confidence"
    r"|verified|verification|sent|open|bounce|title|connections|bio$|street|display|user|filename|middle|nick"
    r"|phonetic|yomi|campaign|product|list|deal|project|assistant|manager|spouse|parent|gr(?:oe?)(?:ss)e|branche"
    r"|land$|ort$|strasse|telefon|secteur|taille|ville|pays|ciudad|pais|sector|ids?$"
)
"""What is in headers about an address or a company, rather than of one."""


def folded(name: str) -> str:
    """A header without case, accents, spaces, punctuation and the affixes of Salesforce API names.

    Args:
        name: the header.

    Example:
        >>> folded("E-Mail (geschäftlich)"), folded("npe01__WorkEmail__c")
        ('emailgeschaftlich', 'workemail')
    """
    plain = re.sub(r"^(?:[A-Za-z0-9]+__)?(\w+?)__[a-z]$", r"\1", name.strip("\ufeff \t"))
    return "".join(char for char in unicodedata.normalize("NFKD", plain).casefold() if char.isalnum())


def candidates(field: str, names: Iterable[str]) -> tuple[str, ...]:
    """The columns whose header says a field, in table order, from the best tier that has any.

    Args:
        field: such as ``email``.
        names: the headers of the table. One such as ``Firma / Company`` counts if its parts say the same.

    Example:
        >>> candidates("company", ["Firma / Company", "Stadt"]), candidates("company", ["Company", "Firma"])
        (('Firma / Company',), ('Company',))
        >>> candidates("last_name", ["Nom", "Prénom"]), candidates("last_name", ["Nom"])
        (('Nom',), ())
    """
    parts = {name: _parts(name) for name in names}
    table = {part for own in parts.values() for part in own}
    tiers = {name: tier for name, own in parts.items() if (tier := _tier(field, own, table)) is not None}
    best = min(tiers.values(), default=None)
    return tuple(name for name, tier in tiers.items() if tier == best)


def likely(
    names: Iterable[str], *, read: Collection[str], missing: Collection[str], found: Collection[str] = ()
) -> dict[str, str]:
    """The headers that may well say who somebody is, but were not read so.

    Args:
        names: the headers of the table.
        read: those that were read.
        missing: fields that no column was found for.
        found: fields that one was found for, where another may say it, too.

    Returns:
        The field that each may be, in table order.

    Example:
        >>> likely(["Mail", "Li-URL (LinkedIn)", "Company Size"], read=["Mail"], missing=["linkedin_url"])
        {'Li-URL (LinkedIn)': 'linkedin_url'}
    """
    parts = {name: _parts(name) for name in names}
    table = {part for own in parts.values() for part in own}
    return {
        name: field
        for name, own in parts.items()
        if (field := _likely_field(own, table, missing, () if name in read else found)) is not None
        and (name not in read or own == ["name"])
    }


def _likely_field(
    header: list[str], table: Collection[str], missing: Collection[str], found: Collection[str]
) -> str | None:
    """The field that a header may be."""
    if header == ["name"] and "last_name" in missing and "first_name" not in missing:
        return "last_name"  # as in Germany; it is read as a full name only where there is no first name
    known = [field for field in found if _tier(field, header, table) is not None]
    about_a_firm = "linkedin" in header[0] and re.search(_FIRMS, header[0])
    if known or about_a_firm or re.search(_ABOUT, header[0]):
        return next(iter(known), None)
    field = next((field for field, words in _HINTS.items() if re.search(words, header[0])), None)
    if field == "full_name" and "first_name" not in missing:
        field = "last_name"
    return field if field in missing else None


def _parts(name: str) -> list[str]:
    """A header as it is compared; then, for one such as ``Firma / Company``, each of its parts."""
    parts = [part for text in re.split(r"[/|]", name) if (part := folded(text))]
    return [folded(name), *parts] if len(parts) > 1 else [folded(name)]


def _tier(field: str, header: list[str], table: Collection[str]) -> int | None:
    """In which tier a header says a field, by itself or with all its parts; None if it does not."""
    whole, *parts = (_tier_of(field, part, table) for part in header)
    if whole is not None or not parts:
        return whole
    said = [tier for tier in parts if tier is not None]
    return max(said) if len(said) == len(parts) else None


def _tier_of(field: str, header: str, table: Collection[str]) -> int | None:
    return next(
        (
            nth
            for nth, tier in enumerate(_HEADERS[field])
            if any(re.fullmatch(words.says, header) and _is_trusted(words, header, table) for words in tier)
        ),
        None,
    )


def _is_trusted(words: _Words, header: str, table: Collection[str]) -> bool:
    """Whether the other headers of the table are as these words need them."""
    others = [other for other in table if other != header]
    return (words.beside is None or any(re.fullmatch(words.beside, other) for other in others)) and not (
        words.without is not None and any(re.fullmatch(words.without, other) for other in others)
    )
