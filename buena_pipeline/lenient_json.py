"""Reads JSON as leniently as it can be read: what was paid for is not lost to a NaN or half an emoji.

Text enters; values, or the raw texts of members and entries, leave. What cannot be read is None or empty;
nothing here raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_DECODER: Final = json.JSONDecoder(strict=False)
_GAP: Final = re.compile(r"[ \t\r\n]*")

UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""What a reader of JSON raises."""


def decode(body: bytes) -> str:
    """Bytes as text, without a byte order mark; what is no UTF-8 becomes a replacement character."""
    return body.decode("utf-8", "replace").removeprefix("\ufeff")


def load(text: str) -> Any:
    """Any JSON value, also with NaN, control characters or halves of surrogate pairs; else None.

    Example:
        >>> load('{"share": NaN, "name": "Jo"}')["name"], load("<html>")
        ('Jo', None)
    """
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        pass
    try:
        value = json.loads(text, strict=False)
        # halves of surrogate pairs fit into no file and no table
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except UNREADABLE:
        return None


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each as its raw text; empty if it is no object.

    Example:
        >>> members('{"a": [1,  2], "b": NaN}')
        {'a': '[1,  2]', 'b': 'NaN'}
    """
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: bytes(value).decode("utf-8", "replace") for name, value in raw.items()}
    except UNREADABLE:
        return dict(_scan(text, "{", "}") or ())


def entries(text: str) -> list[str] | None:
    """The entries of a JSON array, each as its raw text; None if it is no array.

    Example:
        >>> entries('[1, {"b":  NaN}]'), entries("{}")
        (['1', '{"b":  NaN}'], None)
    """
    try:
        raw = msgspec.json.decode(text, type=list[msgspec.Raw])
        return [bytes(value).decode("utf-8", "replace") for value in raw]
    except UNREADABLE:
        scanned = _scan(text, "[", "]")
        return None if scanned is None else [value for _, value in scanned]


def as_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str | None:
    """Text without white space around it, also from a number; None for anything else and for nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return value.strip() or None if isinstance(value, str) else None


def as_number(value: Any) -> float | None:
    """A finite number, also one that came as text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _scan(text: str, opening: str, closing: str) -> list[tuple[str, str]] | None:
    """Names and raw texts of what stands between two brackets; None if the text is not just that."""
    found: list[tuple[str, str]] = []
    try:
        at = _expect(text, 0, opening)
        while text[at] != closing:
            if found:
                at = _expect(text, at, ",")
            name = ""
            if opening == "{":
                name, at = _DECODER.raw_decode(text, at)
                if not isinstance(name, str):
                    return None
                at = _expect(text, at, ":")
            _, end = _DECODER.raw_decode(text, at)
            found.append((name, text[at:end]))
            at = _skip(text, end)
        return found if _skip(text, at + 1) == len(text) else None
    except (IndexError, *UNREADABLE):
        return None


def _expect(text: str, at: int, character: str) -> int:
    """Where the next token begins behind this character; raises ValueError if it is not there."""
    at = _skip(text, at)
    if text[at] != character:
        raise ValueError
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at
