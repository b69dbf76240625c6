"""Which sent lead a result belongs to: by the echoed input's keys, never by its position.

Takes the leads of one request and the inputs that came back; at most 50 of each, so plain Python will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl

from buena_pipeline.normalize import company_key, email_key, linkedin_slug, person_name_key
from buena_pipeline.schema import LEAD_FIELDS
from buena_pipeline.wire import WIRE_NAMES, Item, Lead, encode_lead

_Key = TypeVar("_Key")


def match_items(leads: Sequence[Lead], items: Sequence[Item]) -> list[int | None]:
    """The index of the lead each item answers, None for an item that answers none.

    An echo that equals what was sent decides at once; else the LinkedIn profile, the e-mail address, or
    the name with the company, normalised, provided that only one sent lead has it. A lead takes one item:
    one of ``enriched`` before one of ``failed``, and the first of several.

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
    sent = [frozenset(encode_lead(lead).items()) for lead in leads]
    echoed = [_echo(item.input) for item in items]
    exact = _unique((fingerprint, index) for index, fingerprint in enumerate(sent))
    found = [exact.get(fingerprint) for fingerprint in echoed]
    if any(index is None for index in found):
        found = [
            loose if index is None else index
            for index, loose in zip(found, _match_normalised(sent, echoed), strict=True)
        ]
    taken: set[int] = set()
    order = sorted(range(len(items)), key=lambda position: not items[position].found)
    for position in order:
        index = found[position]
        if index is not None and index in taken:
            found[position] = None
        elif index is not None:
            taken.add(index)
    return found


def _echo(given: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    names = WIRE_NAMES.values()
    return frozenset((name, value) for name in names if isinstance(value := given.get(name), str) and value)


def _match_normalised(
    sent: Sequence[frozenset[tuple[str, str]]], echoed: Sequence[frozenset[tuple[str, str]]]
) -> list[int | None]:
    """The match by normalised keys, the strongest key first."""
    sent_keys, echoed_keys = _keys(sent), _keys(echoed)
    indexes = [
        _unique((key[kind], index) for index, key in enumerate(sent_keys) if key[kind] is not None)
        for kind in range(3)
    ]
    return [
        next((index[value] for index, value in zip(indexes, key, strict=True) if value in index), None)
        for key in echoed_keys
    ]


def _keys(leads: Sequence[frozenset[tuple[str, str]]]) -> list[tuple[str | None, ...]]:
    """Per lead: profile slug, e-mail address, name with company."""
    columns = {ours: [dict(lead).get(name) for lead in leads] for ours, name in WIRE_NAMES.items()}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(LEAD_FIELDS, pl.String))
    return frame.select(
        linkedin_slug(pl.col("linkedin_url")),
        email_key(pl.col("email")),
        pl.concat_str(
            person_name_key(pl.col("first_name"), pl.col("last_name")),
            company_key(pl.col("company")),
            separator="\x1f",
        ).alias("name"),
    ).rows()


def _unique(pairs: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    """The keys that stand for exactly one index."""
    pairs = list(pairs)
    often = Counter(key for key, _ in pairs)
    return {key: index for key, index in pairs if often[key] == 1}
