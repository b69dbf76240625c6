"""Keys as the store keeps them, made by Python's own MD5: what DuckDB makes is held against it."""

from __future__ import annotations

import hashlib
import uuid

import polars as pl

from buena_pipeline.schema import PERSON_KEYS


def key_of(kind: str, value: str) -> int:
    """The digest of a key; of a member id it is that of a profile."""
    digested = "linkedin" if kind == "member" else kind
    return uuid.UUID(bytes=hashlib.md5(f"{digested}\x1f{value}".encode()).digest()).int


def keys_of(*rows: tuple[int, str, str]) -> pl.DataFrame:
    """Keys of the people of a table: person, kind and value of each."""
    keys = [(person, kind, key_of(kind, value)) for person, kind, value in rows]
    return pl.DataFrame(keys, schema=PERSON_KEYS, orient="row")
