"""The people who are enriched under torture: numbered, so that every process knows them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

import polars as pl


def address(number: int) -> str:
    """The e-mail address of a person, who shares it and its domain with nobody."""
    return f"person{number}@acme{number}.example"


def table_of(numbers: Iterable[int]) -> pl.DataFrame:
    """A table with one row per number, in that order, and a column that tells whether rows moved."""
    numbers = list(numbers)
    return pl.DataFrame(
        {"row": range(len(numbers)), "email": [address(number) for number in numbers]},
        schema={"row": pl.Int64, "email": pl.String},
    )


def person_id(email: str) -> str:
    """The id that the store gives to somebody of whom only this address is known."""
    return str(uuid.UUID(hashlib.md5(f"email\x1f{email}".encode()).hexdigest()))
