"""What the store knows of single leads, read with a few narrow queries: for forms, which ask one at a time.

Says what ``lookup.sql`` with ``plan.resolve_people`` and ``fetch.sql`` say of a whole table, but for requests
on their way or of unknown outcome: whoever has to be bought takes the way of a table anyhow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import duckdb

from buena_pipeline.schema import BLOCKS, KEY_KINDS, RECORD
from buena_pipeline.store.statements import statement

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))

_MOMENTS: Final = frozenset({"answered_at", "enriched_at"})

_OF_BLOCKS: Final = tuple(f"{block}{fact}" for block in BLOCKS for fact in ("_at", "_failed_at"))

_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One identity key of a lead: its kind, one of ``schema.KEY_KINDS``, and the id it has in the store."""

    kind: str
    id: str


Keys: TypeAlias = Sequence[Key]
"""The keys of one lead, strongest first; at least one."""


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """What the store says of one lead.

    Attributes:
        person_id: the person that the lead is, or the id it would get.
        suppressed: whether that person is on the do-not-enrich list.
        complete: whether all keys of the lead point to that person; the store can learn the others.
        bought: when what was bought or not found, as in ``schema.KNOWN``; all None for somebody new.
        record: ``person_id``, ``enriched_at`` and the columns of ``schema.RECORD``; None if never found.
    """

    person_id: str
    suppressed: bool
    complete: bool
    bought: Mapping[str, Any]
    record: Mapping[str, Any] | None


class _Match(NamedTuple):
    """A person that a key points to; ``own`` if the key gave that person its id."""

    person_id: str
    own: bool


class _Holder(NamedTuple):
    """What other keys a person has: none but names, which profiles, and whether one is on the list."""

    weak_only: bool
    profiles: frozenset[str]
    listed: bool


_Matches: TypeAlias = Mapping[str, Sequence[_Match]]
_Holders: TypeAlias = Mapping[str, _Holder]


def read_leads(connection: duckdb.DuckDBPyConnection, leads: Sequence[Keys]) -> list[Finding]:
    """What the store says of some leads, each for itself.

    Args:
        connection: to the store.
        leads: the keys of each of them.
    """
    matches: dict[str, list[_Match]] = defaultdict(list)
    keys = sorted({key.id for lead in leads for key in lead})
    for key, person, own in connection.execute(statement("single/matches.sql"), {"keys": keys}).fetchall():
        matches[key].append(_Match(person, own))
    with_list = connection.execute("select exists (from suppression)").fetchall() == [(True,)]
    listed: set[str] = set()
    if with_list:
        hits = connection.execute(statement("single/listed.sql"), {"keys": keys}).fetchall()
        listed.update(key for (key,) in hits)
    doubtful = {
        person
        for lead in leads
        for person in (_everybody(lead, matches) if with_list else _doubtful(lead, matches))
    }
    holders = _holders(connection, doubtful)
    found = [_resolve(lead, matches, holders) for lead in leads]
    ids = [person or lead[0].id for person, lead in zip(found, leads, strict=True)]
    answers, records = _answers(connection, ids)
    return [
        Finding(
            person_id,
            suppressed=_is_suppressed(lead, matches, holders, listed),
            complete=person is not None
            and all(person in {match.person_id for match in matches[key.id]} for key in lead),
            bought=_bought(answers[person_id] if person else ()),
            record=records.get(person_id),
        )
        for lead, person, person_id in zip(leads, found, ids, strict=True)
    ]


# --- who it is -------------------------------------------------------------------------------------------


def _everybody(lead: Keys, matches: _Matches) -> set[str]:
    """All whom a key of the lead points to."""
    return {match.person_id for key in lead for match in matches[key.id]}


def _doubtful(lead: Keys, matches: _Matches) -> set[str]:
    """Those among them of whom other keys than the lead's decide whether they can be the lead.

    Somebody with the lead's profile has no other that would contradict it, and somebody with its address has
    more than a name.
    """
    strong = [key for key in lead if key.kind != "name"]
    confirming = [key for key in strong if key.kind == "linkedin"] or strong
    return _everybody(lead, matches) - _everybody(confirming, matches) if strong else set()


def _resolve(lead: Keys, matches: _Matches, holders: _Holders) -> str | None:
    """The person that a lead is, by the rules of ``plan.resolve_people``."""
    profiles = {key.id for key in lead if key.kind == "linkedin"}
    has_strong = any(key.kind != "name" for key in lead)

    def may_be(person: str) -> bool:
        """Somebody with another profile is somebody else."""
        others = holders[person].profiles if person in holders else None
        return not profiles or not others or not profiles.isdisjoint(others)

    candidates = []
    for key in lead:
        possible = [match for match in matches[key.id] if may_be(match.person_id)]
        for match in possible:
            holder = holders.get(match.person_id)
            weak_only = holder is not None and holder.weak_only
            if (match.own or len(possible) == 1) and (key.kind != "name" or not has_strong or weak_only):
                candidates.append((KEY_KINDS.index(key.kind), not match.own, match.person_id))
    return min(candidates)[-1] if candidates else None


def _is_suppressed(lead: Keys, matches: _Matches, holders: _Holders, listed: set[str]) -> bool:
    """Whether a key of the lead is on the list, or one of somebody whom a key that counts points to."""
    counting = [key for key in lead if key.kind != "name"] or lead
    return any(key.id in listed for key in lead) or any(
        holders[person].listed for person in _everybody(counting, matches) if person in holders
    )


def _holders(connection: duckdb.DuckDBPyConnection, people: Iterable[str]) -> dict[str, _Holder]:
    if not (asked := sorted(people)):
        return {}
    rows = connection.execute(statement("single/holders.sql"), {"people": asked}).fetchall()
    return {
        person: _Holder(weak_only, frozenset(profiles), listed)
        for person, weak_only, profiles, listed in rows
    }


# --- what is known of them -------------------------------------------------------------------------------


def _answers(
    connection: duckdb.DuckDBPyConnection, people: Iterable[str]
) -> tuple[Mapping[str, Sequence[_Row]], Mapping[str, _Row]]:
    """All answers about each of some people, and the records they make."""
    connection.execute(statement("single/answers.sql"), {"people": sorted(set(people))})
    answers: dict[str, list[_Row]] = defaultdict(list)
    for row in _rows(connection.execute("from known_answer")):
        answers[row["person_id"]].append(row)
    found = {person: [row for row in rows if row["found"]] for person, rows in answers.items()}
    newest = {
        person: {**rows[0], "enriched_at": rows[0]["answered_at"]} for person, rows in found.items() if rows
    }
    if any(len(rows) > 1 for rows in found.values()):  # else there is nothing to merge
        newest = {
            row["person_id"]: row for row in _rows(connection.execute("from newest_answers('known_answer')"))
        }
    records = {
        person: {
            "person_id": answers[person][0]["current_id"],
            **{name: row[name] for name in ("enriched_at", *RECORD)},
        }
        for person, row in newest.items()
    }
    return answers, records


def _rows(result: duckdb.DuckDBPyConnection) -> list[_Row]:
    """The rows of a result; moments, which are microseconds in it, as ``polars`` gives them."""
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    for row in rows:
        for name in _MOMENTS & row.keys():
            row[name] = _EPOCH + timedelta(microseconds=row[name])
    return rows


def _bought(answers: Iterable[_Row]) -> dict[str, Any]:
    """When which block was bought, and where the vendor found nothing."""
    bought: dict[str, Any] = dict.fromkeys(("found_at", "failed_at", "failed_reason", *_OF_BLOCKS))
    for row in sorted(answers, key=lambda row: row["answered_at"]):
        fact = "at" if row["found"] else "failed_at"
        bought |= {f"{block}_{fact}": row["answered_at"] for block in BLOCKS if row[f"has_{block}"]}
        bought["found_at" if row["found"] else "failed_at"] = row["answered_at"]
        if not row["found"] and row["reason"] is not None:
            bought["failed_reason"] = row["reason"]
    return bought
