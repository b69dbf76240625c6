"""The SQL of the store, in ``sql/*.sql`` files that a person can read and run: a name in, its text out."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement(name: str) -> str:
    """The text of one of these files."""
    return resources.files(__package__).joinpath("sql", name).read_text(encoding="utf-8")
