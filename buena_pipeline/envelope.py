"""The body of a 200, taken apart: the raw text of each result, the credits, and whatever nobody knows.

A body as the vendor documents it is read once. Any other is looked at piece by piece, as leniently as
``lenient_json`` can; what it holds is told in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from buena_pipeline.lenient_json import UNREADABLE, as_number, as_object, entries, load, members

_RESULTS: Final = ("enriched", "failed")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the results.

    Attributes:
        found: the raw text of each entry of ``enriched``; None where there is no such list.
        not_found: those of ``failed``.
        used: ``creditsUsed``.
        remaining: ``remainingCredits``.
        success: whether it does not say otherwise.
        unreadable: whether there is something in place of ``enriched`` that is no list.
        rest: the fields nobody knows, as JSON.
    """

    found: list[str] | None = field(repr=False)
    not_found: list[str] | None = field(repr=False)
    used: float | None = None
    remaining: float | None = None
    success: bool = True
    unreadable: bool = False
    rest: str | None = field(default=None, repr=False)


class _Data(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    enriched: list[msgspec.Raw]
    failed: list[msgspec.Raw]
    credits_used: Any = None
    remaining_credits: Any = None


class _Documented(msgspec.Struct, forbid_unknown_fields=True):
    data: _Data
    success: Any = None


class _Result(msgspec.Struct):
    input: Any = None
    reason: Any = None


_read_documented: Final = msgspec.json.Decoder(_Documented).decode
_read_result: Final = msgspec.json.Decoder(_Result).decode


def open_envelope(text: str) -> Envelope:
    """Takes a body apart.

    Example:
        >>> envelope = open_envelope('{"data": {"enriched": [{"id":  1}], "creditsUsed": "1", "note": 5}}')
        >>> envelope.found, envelope.not_found, envelope.used, envelope.rest
        (['{"id":  1}'], None, 1.0, '{"data.note": "5"}')
    """
    try:
        told = _read_documented(text)
    except UNREADABLE:
        return _open_any(text)
    return Envelope(
        _texts(told.data.enriched),
        _texts(told.data.failed),
        as_number(told.data.credits_used),
        as_number(told.data.remaining_credits),
        success=told.success is not False,
    )


def read_result(text: str) -> tuple[Mapping[str, Any], Any]:
    """The echoed input of a result, empty if it has none, and the reason that it gives.

    Example:
        >>> read_result('{"input": {"email": "jane@acme.example"}, "enrichedData": {}}')
        ({'email': 'jane@acme.example'}, None)
    """
    try:
        result = _read_result(text)
    except UNREADABLE:
        given = as_object(load(text))
        return as_object(given.get("input")), given.get("reason")
    return as_object(result.input), result.reason


def _open_any(text: str) -> Envelope:
    """The same of a body that differs from what is documented, be it in a field more."""
    envelope = members(text)
    data = members(envelope.pop("data", "null"))
    told = {name: (data[name], entries(data[name])) for name in _RESULTS if name in data}
    lists = {name: texts for name, (raw, texts) in told.items() if texts is not None or load(raw) is not None}
    used, remaining = (
        as_number(load(data.pop(name, "null"))) for name in ("creditsUsed", "remainingCredits")
    )
    success = load(envelope.pop("success", "null")) is not False
    # a list that is none stays among the fields nobody knows
    known = {name for name in _RESULTS if name not in lists or lists[name] is not None}
    unknown = envelope | {f"data.{name}": raw for name, raw in data.items() if name not in known}
    return Envelope(
        lists.get("enriched"),
        lists.get("failed"),
        used,
        remaining,
        success=success,
        unreadable="enriched" in lists and lists["enriched"] is None,
        rest=json.dumps(unknown) if unknown else None,
    )


def _texts(raw: list[msgspec.Raw]) -> list[str]:
    return [bytes(entry).decode("utf-8", "replace") for entry in raw]
