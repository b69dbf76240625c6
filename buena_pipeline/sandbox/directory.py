"""Who is known to the sandbox: every person it was asked for, under all of that person's identifiers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from buena_pipeline.sandbox.dice import Dice
from buena_pipeline.sandbox.identity import Keys, keys_of, profile_slug
from buena_pipeline.sandbox.people import Profile, cut_to_blocks, invent, profile_url


@dataclass(frozen=True, slots=True)
class Person:
    """One person of the directory.

    Args:
        identity: the canonical key, under which charges are counted.
        profile: what the vendor knows, or None if it knows nobody of that identity.
        fixed: whether the profile was given and is answered as it stands.
    """

    identity: str
    profile: Profile | None
    fixed: bool = False


class Directory:
    """People by their identifiers.

    A person answered once is found again under every identifier of the answer: the e-mail address, the
    alternative ones, the LinkedIn profile. The memory lasts as long as the directory.

    Args:
        not_found: share of identities nobody is found for, from 0 to 1.
        seed: another seed, other people.
        quirks: see ``people.invent``.
        people: fixed people by e-mail address or LinkedIn slug: an ``enrichedData``, or a whole item with
            ``enrichedData``, ``confidence`` and ``sources``, or None for somebody who is not found.

    Example:
        >>> directory = Directory(not_found=0.0)
        >>> jane = directory.find({"email": "jane.doe@acme.com"})
        >>> directory.find({"linkedinUrl": jane.profile.data["linkedinUrl"]}) is jane
        True
    """

    def __init__(
        self,
        *,
        not_found: float = 0.08,
        seed: int = 0,
        quirks: bool = True,
        people: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        self._not_found = not_found
        self._seed = seed
        self._quirks = quirks
        self._people: dict[str, Person] = {}
        self._aliases: dict[str, str | None] = {}
        self._told_profiles: dict[str, str] = {}
        for identifier, known in (people or {}).items():
            identity = _identity_of(identifier)
            self._enter(Person(identity, None if known is None else _fixed_profile(known), fixed=True))

    def find(self, lead: Mapping[str, Any]) -> Person:
        """The person behind a lead, who is known from now on under all the lead's identifiers.

        Args:
            lead: a lead with at least one identifier.

        Returns:
            The person; its profile is None if the vendor knows nobody of that identity.
        """
        keys = keys_of(lead)
        identity = self._known_identity(keys)
        if identity is None:
            identity = next(key for key in keys.given() if self._aliases.get(key) is None)
            found = not Dice(self._seed, identity, "found").chance(self._not_found)
            profile = invent(identity, lead, seed=self._seed, quirks=self._quirks) if found else None
            self._enter(Person(identity, profile))
        self._remember(identity, keys)
        return self._people[identity]

    def _known_identity(self, keys: Keys) -> str | None:
        """The identity these keys lead to: the LinkedIn profile decides, then the address, then the name."""
        if keys.linkedin and (identity := self._aliases.get(keys.linkedin)):
            return identity
        if keys.email and (identity := self._aliases.get(keys.email)):
            # Two profiles behind one address are two people who share it.
            told = self._told_profiles.get(identity)
            return identity if not (keys.linkedin and told) else None
        return self._aliases.get(keys.name) if keys.name and not (keys.linkedin or keys.email) else None

    def _enter(self, person: Person) -> None:
        """Add a person, under the identifiers that the answer will name."""
        self._people[person.identity] = person
        self._aliases[person.identity] = person.identity
        if person.profile is not None:
            for key in _answered_keys(person.profile.data):
                self._aliases.setdefault(key, person.identity)

    def _remember(self, identity: str, keys: Keys) -> None:
        """Know the person under the keys of the lead, too; a name two people bear points to nobody."""
        if keys.linkedin:
            self._told_profiles.setdefault(identity, keys.linkedin)
            self._aliases.setdefault(keys.linkedin, identity)
        if keys.email:
            self._aliases.setdefault(keys.email, identity)
        if keys.name and self._aliases.setdefault(keys.name, identity) != identity:
            self._aliases[keys.name] = keys.name if keys.name in self._people else None


def answer(person: Person, lead: Mapping[str, Any], blocks: Collection[str]) -> dict[str, Any]:
    """The item of ``enriched`` for a lead, or of ``failed`` if nobody was found.

    What the lead says is kept: names, company and profile come back as sent, and so does the e-mail address,
    unless it is one of the person's alternative ones.

    Args:
        person: whom the lead stands for.
        lead: the lead as sent, echoed unchanged as ``input``.
        blocks: the blocks that were asked for.

    Example:
        >>> answer(Person("email:a@b.co", None), {"email": "a@b.co"}, ["contact"])
        {'input': {'email': 'a@b.co'}, 'reason': 'Person not found'}

    Rests on ``EnrichResponse`` of ``POST /enrich``.
    """
    if person.profile is None:
        return {"input": lead, "reason": "Person not found"}
    data = dict(person.profile.data)
    if not person.fixed:
        told = {field: str(lead.get(field) or "").strip() for field in ("firstName", "lastName", "company")}
        data.update({field: value for field, value in told.items() if value})
        if slug := profile_slug(lead.get("linkedinUrl")):
            data["linkedinUrl"] = profile_url(slug)
        alternatives = {keys_of({"email": address}).email for address in data.get("alternativeEmails") or ()}
        if (key := keys_of(lead).email) and key not in alternatives:
            data["email"] = lead["email"].strip()
    return {
        "input": lead,
        "enrichedData": cut_to_blocks(data, blocks, identity=person.identity),
        "confidence": person.profile.confidence,
        "sources": list(person.profile.sources),
    }


def _answered_keys(data: Mapping[str, Any]) -> list[str]:
    """The identity keys that an answer names."""
    addresses = [data.get("email"), *(data.get("alternativeEmails") or ())]
    keys = [keys_of({"email": address}).email for address in addresses]
    return [key for key in (*keys, keys_of({"linkedinUrl": data.get("linkedinUrl")}).linkedin) if key]


def _identity_of(identifier: str) -> str:
    """The identity key of an e-mail address, a profile URL or a slug."""
    keys = keys_of({"email": identifier, "linkedinUrl": identifier})
    return keys.email or keys.linkedin or f"linkedin:{identifier.casefold()}"


def _fixed_profile(known: Mapping[str, Any]) -> Profile:
    """A profile as a user gave it: an ``enrichedData``, or a whole item around one."""
    sources = tuple(known.get("sources", ("linkedin",)))
    return Profile(known.get("enrichedData", known), known.get("confidence", 0.9), sources)
