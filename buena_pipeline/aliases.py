"""What an answer says about who somebody is: more keys of a person, and two people who turn out to be one.

Pure functions of frames; the store keeps what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from buena_pipeline.normalize import email_key, is_member_id, is_role_mailbox, linkedin_slug
from buena_pipeline.schema import KEY_KIND

ALIAS_KEYS: Final = pl.Schema({"person_id": pl.String(), "kind": KEY_KIND, "value": pl.String()})

_SLUG: Final = linkedin_slug(pl.col("linkedin_url")).alias("value")

_KIND_OF_SLUG: Final = (
    pl.when(is_member_id(pl.col("value"))).then(pl.lit("member")).otherwise(pl.lit("linkedin"))
)

_PERSONAL: Final = ~is_role_mailbox(pl.col("address")).fill_null(value=True)

_MAILBOX: Final = email_key(pl.col("address")).alias("value")


def answer_keys(records: pl.DataFrame, *, along: Sequence[str] = ()) -> pl.DataFrame:
    """The keys that answers confirm: LinkedIn profile or member id, e-mail address, alternative addresses.

    Role mailboxes are left out: ``sales@`` is in the answers of many.

    Args:
        records: ``person_id`` with the columns of ``schema.RECORD``.
        along: columns that go along with each key.

    Returns:
        ``person_id``, ``kind`` and ``value``, each pair once, in the order of the records; then the others.

    Example:
        >>> answer_keys(pl.DataFrame({
        ...     "person_id": ["p1"], "linkedin_url": ["https://linkedin.com/in/Jane-Doe/"],
        ...     "email": ["Jane@acme.example"], "alternative_emails": [["sales@acme.example"]],
        ... })).rows()
        [('p1', 'linkedin', 'jane-doe'), ('p1', 'email', 'jane@acme.example')]

    Rests on ``EnrichedData``: ``email``, ``alternativeEmails`` and ``linkedinUrl``.
    """
    person = ["person_id", *along]
    linkedin = records.select(*person, _SLUG).select(
        *person, _KIND_OF_SLUG.cast(KEY_KIND).alias("kind"), "value"
    )
    addresses = pl.concat(
        [
            records.select(*person, address="email"),
            records.select(*person, address="alternative_emails").explode("address"),
        ]
    )
    email = addresses.filter(_PERSONAL).select(*person, pl.lit("email", KEY_KIND).alias("kind"), _MAILBOX)
    keys = pl.concat([linkedin, email]).filter(pl.col("value").is_not_null())
    return keys.select(*ALIAS_KEYS.names(), *along).unique(maintain_order=True)


def link_people(shared: pl.DataFrame) -> pl.DataFrame:
    """Who is the same person, among people that share a key.

    Two people are one unless both have LinkedIn profiles, or names, and none in common. The one known longest
    gives the id, so that ids in older tables stay true.

    Args:
        shared: ``key``, ``person_id``, ``known_since``, ``profiles`` and ``names`` (lists; the latter empty
            where names do not matter), one row per key and person.
            A handful of rows: only keys that one commit brought and that somebody else has, too.

    Returns:
        ``person_id`` and ``same_as`` of everybody who is no longer their own person.

    Example:
        >>> from datetime import date
        >>> link_people(pl.DataFrame({
        ...     "key": ["k", "k"], "person_id": ["new", "old"],
        ...     "known_since": [date(2026, 2, 1), date(2026, 1, 1)], "profiles": [["a"], []],
        ...     "names": [["jo doe"], []],
        ... }, schema_overrides={"profiles": pl.List(pl.String)})).rows()
        [('new', 'old')]
    """
    seniority = shared.sort("known_since", "person_id").unique("person_id", maintain_order=True)
    rank = {person: number for number, person in enumerate(seniority["person_id"])}
    profiles = dict(zip(seniority["person_id"], map(set, seniority["profiles"]), strict=True))
    parent = {person: person for person in rank}

    def root(person: str) -> str:
        while parent[person] != person:
            person = parent[person]
        return person

    by_key = shared.sort("key", "known_since", "person_id").group_by("key", maintain_order=True)
    for people, names in by_key.agg("person_id", "names").select("person_id", "names").iter_rows():
        # an address in the answers of people with different names is a front desk's
        named = [set(said) for said in names if said]
        if named and not set.intersection(*named):
            continue
        # a key between two profiles says nothing about either, so it links nobody
        known = [profiles[root(person)] for person in people if profiles[root(person)]]
        if known and not set.intersection(*known):
            continue
        for person in people:
            elder, younger = sorted((root(people[0]), root(person)), key=rank.__getitem__)
            if elder != younger:
                parent[younger] = elder
                profiles[elder] |= profiles[younger]
    links = [(person, root(person)) for person in rank if root(person) != person]
    return pl.DataFrame(links, schema={"person_id": pl.String, "same_as": pl.String}, orient="row")
