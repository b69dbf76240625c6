"""The leads of the sandbox's account: a query or a change goes in, a page or a lead comes out. No clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from buena_pipeline.sandbox.dice import Dice
from buena_pipeline.sandbox.people import invent
from buena_pipeline.sandbox.replies import iso
from buena_pipeline.sandbox.vocabulary import COMPANIES, FIRST_NAMES, LAST_NAMES

STATUSES: Final = ("new", "contacted", "replied", "converted", "cold")
ORIGINS: Final = ("linkedin", "website", "referral", "import", "api")
SORT_FIELDS: Final = ("createdAt", "updatedAt", "firstName", "lastName", "company", "lastContactedAt")

UPDATABLE: Final[dict[str, type]] = {
    **dict.fromkeys(("firstName", "lastName", "email", "company", "title", "status"), str),
    "tags": list,
    "customFields": dict,
}
"""What ``PUT /leads/{leadId}`` changes, and the type of each."""

_FIRST_DAY: Final = 1_704_067_200  # 2024-01-01
_DAY: Final = 86_400
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)

Lead = dict[str, Any]
Test = Callable[[Lead], bool]


class Account:
    """A small account with leads that follow from the seed.

    Args:
        seed: another seed, other leads.
        size: how many leads there are.

    Example:
        >>> page = Account(size=3).page({"limit": "2", "sortBy": "createdAt", "sortOrder": "asc"})
        >>> [lead["id"] for lead in page["leads"]], page["pagination"]["pages"]
        (['lead_0001', 'lead_0002'], 2)

    Rests on ``GET /leads`` and ``PUT /leads/{leadId}``.
    """

    def __init__(self, *, seed: int = 0, size: int = 120) -> None:
        self._leads = {lead["id"]: lead for lead in (_lead(number, seed) for number in range(1, size + 1))}

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of the leads that a query asks for.

        Args:
            query: the query parameters, as text.

        Returns:
            ``leads`` and ``pagination``; ties in the sort order stand by id, leads without a value last.

        Raises:
            ValueError: if a parameter has a value the contract does not allow; the message is for the caller.
        """
        page, limit = _whole(query, "page", 1, None), _whole(query, "limit", 50, 100)
        field = _choice(query, "sortBy", SORT_FIELDS) or "createdAt"
        order = _choice(query, "sortOrder", ("asc", "desc")) or "desc"
        tests = _tests(query)
        found = [lead for lead in self._leads.values() if all(test(lead) for test in tests)]
        known = [lead for lead in found if lead[field] is not None]
        known.sort(key=lambda lead: str(lead[field]).casefold(), reverse=order == "desc")
        found = known + [lead for lead in found if lead[field] is None]
        pages = -(-len(found) // limit)
        return {
            "leads": found[(page - 1) * limit : page * limit],
            "pagination": {
                "page": page,
                "limit": limit,
                "total": len(found),
                "pages": pages,
                "hasNextPage": page < pages,
                "hasPrevPage": 1 < page <= pages + 1,
            },
        }

    def update(self, lead_id: str, changes: object, *, now: float) -> Lead | None:
        """Change a lead.

        Args:
            lead_id: which lead.
            changes: the fields to change; what the contract does not name is ignored.
            now: Unix time in seconds.

        Returns:
            The lead after the change, or None if there is no such lead.

        Raises:
            ValueError: if the changes are no object or a value has the wrong type; told to the caller.
        """
        if lead_id not in self._leads:
            return None
        if not isinstance(changes, dict):
            raise ValueError("the body must be an object")  # noqa: TRY004 - one error for all that is malformed
        named = {field: value for field, value in changes.items() if field in UPDATABLE}
        for field, value in named.items():
            texts = field != "tags" or all(isinstance(tag, str) for tag in value if isinstance(value, list))
            if not isinstance(value, UPDATABLE[field]) or not texts:
                raise ValueError(f"{field} has the wrong type")
        self._leads[lead_id] = self._leads[lead_id] | named | {"updatedAt": iso(int(now))}
        return self._leads[lead_id]


def _lead(number: int, seed: int) -> Lead:
    """One invented lead; a higher number is a younger lead."""
    dice = Dice(seed, "account", number)
    first, last, company = dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES), dice.pick(COMPANIES)
    sent = {"firstName": first, "lastName": last, "company": company}
    known = invent(f"account:{number}", sent, seed=seed, quirks=False).data
    created = _FIRST_DAY + number * _DAY // 2 + dice.number(0, _DAY // 3)
    status = dice.pick(STATUSES)
    updated = created + dice.number(0, 20) * _DAY
    return {
        "id": f"lead_{number:04}",
        **{name: known.get(name) for name in ("firstName", "lastName", "email", "linkedinUrl", "company")},
        **{name: known.get(name) for name in ("title", "phone", "location")},
        "status": status,
        "source": dice.pick(ORIGINS),
        "notes": "Met at a fair" if dice.chance(0.2) else None,
        "tags": dice.some(("fair", "newsletter", "partner", "vip"), 0, 2),
        "customFields": {},
        "createdAt": iso(created),
        "updatedAt": iso(updated),
        "lastContactedAt": None if status == "new" else iso(updated),
    }


def _tests(query: Mapping[str, str]) -> list[Test]:
    """What a lead must satisfy to be on the list."""
    tests: list[Test] = []
    for field, choices in (("status", STATUSES), ("source", ORIGINS)):
        if wanted := _choice(query, field, choices):
            tests.append(_equals(field, wanted))
    if "search" in query:
        if len(query["search"]) < 2:
            raise ValueError("search must have at least 2 characters")
        tests.append(_holds(query["search"], "firstName", "lastName", "email", "company", "title"))
    tests += [_holds(query[field], field) for field in ("company", "title") if field in query]
    for field, name in (("createdAt", "created"), ("lastContactedAt", "lastContacted")):
        if after := _moment(query, f"{name}After"):
            tests.append(_between(field, after, _END))
        if before := _moment(query, f"{name}Before"):
            tests.append(_between(field, _BEGINNING, before))
    return tests


def _equals(field: str, wanted: str) -> Test:
    """A test for one value."""
    return lambda lead: bool(lead[field] == wanted)


def _between(field: str, after: datetime, before: datetime) -> Test:
    """A test for a time after one moment and before another; a lead without the time fails it."""
    return lambda lead: lead[field] is not None and after < _read(lead[field]) < before


def _holds(text: str, *fields: str) -> Test:
    """A test for text anywhere in one of the fields, in any case."""
    return lambda lead: any(text.casefold() in (lead[field] or "").casefold() for field in fields)


def _whole(query: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    """A whole number from 1 on."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"0*[1-9][0-9]{0,999}", text) or (most is not None and int(text) > most):
        raise ValueError(f"{name} must be a whole number from 1 {f'to {most}' if most else 'on'}")
    return int(text)


def _choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    """One of the choices, or None if the parameter was not given."""
    value = query.get(name)
    if value is not None and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}")
    return value


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """A date and time, or None if the parameter was not given."""
    if name not in query:
        return None
    try:
        return _read(query[name])
    except ValueError:
        raise ValueError(f"{name} must be a date and time such as 2024-01-20T15:30:00Z") from None


def _read(text: str) -> datetime:
    """A date and time in ISO 8601; UTC where no zone is given."""
    moment = datetime.fromisoformat(text.upper())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
