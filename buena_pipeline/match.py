"""Which sent lead a result belongs to: by the echoed input's keys, never by its position.

Takes the leads of one request and the inputs that came back; at most 50 of each, so plain Python will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import polars as pl

from buena_pipeline.lenient_json import as_text
from buena_pipeline.normalize import company_key, email_key, linkedin_slug, person_name_key
from buena_pipeline.schema import LEAD_FIELDS
from buena_pipeline.wire import WIRE_NAMES, Item, Lead, encode_lead

_Key = TypeVar("_Key")

_WIRE_NAMES: Final = tuple(WIRE_NAMES.values())


def match_items(leads: Sequence[Lead], items: Sequence[Item]) -> list[int | None]:
    """The index of the lead each item answers, None for an item that answers none.

    An echo that equals what was sent decides at once; else the LinkedIn profile, the e-mail address, the
    address with the name, or the name with the company, normalised, provided that only one sent lead has
    it. A lead takes one item: one of ``enriched`` before one of ``failed``, an exact echo before one that
    only resembles it, the first of several.

    Args:
        leads: the leads of one request, as they were sent.
        items: the entries of ``enriched`` and ``failed`` of its answer.

    Returns:
        One entry per item, in the order of the items.

    Example:
        >>> sent = [{"email": "jane@acme.example"}, {"email": "omar@acme.example"}]
        >>> match_items(sent, [Item(True, {"email": "Omar@acme.example"}, "{}"), Item(True, {}, "{}")])
        [1, None]

    Rests on ``EnrichResponse``: each result echoes its ``input``, the order is undocumented.
    """
    verbatim = _match_verbatim(leads, items)
    if verbatim is not None:
        return verbatim
    sent = [frozenset(encode_lead(lead).items()) for lead in leads]
    echoed = [_echo(item.input) for item in items]
    indexes = _unique((fingerprint, index) for index, fingerprint in enumerate(sent))
    exact = [indexes.get(fingerprint) for fingerprint in echoed]
    found = exact if None not in exact else _match_normalised(sent, echoed, exact)
    taken: set[int] = set()
    for place in sorted(range(len(items)), key=lambda place: (not items[place].found, exact[place] is None)):
        index = found[place]
        if index is not None and index in taken:
            found[place] = None
        elif index is not None:
            taken.add(index)
    return found


def _match_verbatim(leads: Sequence[Lead], items: Sequence[Item]) -> list[int | None] | None:
    """The match where every echo is what was sent, to the letter, and nobody was sent or answered twice."""
    sent = [tuple(lead.get(name) or None for name in WIRE_NAMES) for lead in leads]  # "" is not sent
    indexes = {values: index for index, values in enumerate(sent)}
    try:
        found = [indexes.get(tuple(map(item.input.get, _WIRE_NAMES))) for item in items]
    except TypeError:  # a value that is no text
        return None
    places = [index for index in found if index is not None]
    if not len(places) == len(items) == len(set(places)) or len(indexes) < len(sent):
        return None
    said = [len(values) - values.count(None) for values in sent]
    nothing_more = all(len(item.input) == said[index] for item, index in zip(items, places, strict=True))
    return found if nothing_more else None


def _echo(given: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """What an echo says, in the vendor's names; its specification has them in snake_case as well."""
    told = {name: as_text(given.get(name)) or as_text(given.get(ours)) for ours, name in WIRE_NAMES.items()}
    return frozenset((name, value) for name, value in told.items() if value)


def _match_normalised(
    sent: Sequence[frozenset[tuple[str, str]]],
    echoed: Sequence[frozenset[tuple[str, str]]],
    exact: Sequence[int | None],
) -> list[int | None]:
    """The match by normalised keys, the strongest key first, where none is exact."""
    sent_keys, echoed_keys = _keys(sent), _keys(echoed)
    indexes = [
        _unique((key[kind], index) for index, key in enumerate(sent_keys) if key[kind] is not None)
        for kind in range(4)
    ]
    return [
        next((index[value] for index, value in zip(indexes, key, strict=True) if value in index), None)
        if known is None
        else known
        for known, key in zip(exact, echoed_keys, strict=True)
    ]


def _keys(leads: Sequence[frozenset[tuple[str, str]]]) -> list[tuple[str | None, ...]]:
    """Per lead: profile slug, address, address with name, name with company."""
    columns = {ours: [dict(lead).get(name) for lead in leads] for ours, name in WIRE_NAMES.items()}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(LEAD_FIELDS, pl.String))
    address = email_key(pl.col("email"))
    name = person_name_key(pl.col("first_name"), pl.col("last_name"))
    return frame.select(
        linkedin_slug(pl.col("linkedin_url")),
        address,
        pl.concat_str(address, name, separator="\x1f").alias("mailbox"),
        pl.concat_str(name, company_key(pl.col("company")), separator="\x1f").alias("name"),
    ).rows()


def _unique(pairs: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    """The keys that stand for exactly one index."""
    pairs = list(pairs)
    often = Counter(key for key, _ in pairs)
    return {key: index for key, index in pairs if often[key] == 1}
