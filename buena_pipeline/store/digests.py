"""Keys as the store knows them: the MD5 digest of kind and value, so that no value is kept.

DuckDB computes them, over whole columns and in an instance of its own: no file is opened. What it computes is
``md5(concat(kind, chr(31), value))::uuid``, by which anybody finds a key in the table ``identity``. A member
id of LinkedIn's is digested as a profile is: whoever has a URL need not know which of the two it holds.
"""

from __future__ import annotations

import os
from hashlib import md5
from typing import Final

import duckdb
import polars as pl

from buena_pipeline.schema import KEY_KIND, UUID
from buena_pipeline.store.exchange import from_query, to_arrow

_instances: Final[dict[int, duckdb.DuckDBPyConnection]] = {}
"""The instance of this process: one does not survive a fork."""

_FEW: Final = 20_000
"""Keys that Python has made digests of by the time that DuckDB would have begun."""

_DIGESTED_AS: Final = {"member": "linkedin"}

_DIGEST: Final = "md5_number({kind} || chr(31) || {value})::uuid"
"""As a number it is made in half the time; its bytes come in the opposite order."""


def digested_kind(kind: str) -> str:
    """The kind that goes into the digest of a key.

    Args:
        kind: one of ``schema.KEY_KINDS``.

    Example:
        >>> digested_kind("member"), digested_kind("email")
        ('linkedin', 'email')
    """
    return _DIGESTED_AS.get(kind, kind)


def digest_columns(identified: pl.DataFrame) -> pl.DataFrame:
    """The key columns of identified rows with a digest in place of each value.

    Args:
        identified: as ``identity.identify`` returns it.

    Returns:
        Its columns ``key_*``, ``schema.UUID``, null where they are.

    Example:
        >>> rows = pl.DataFrame({"email": ["j@x.example"], "key_email_0": ["j@x.example"]})
        >>> f"{digest_columns(rows)['key_email_0'].item():032x}"
        'd96f62a98690f6e05c14b9a59ffbf196'
    """
    keys = identified.select(pl.col("^key_.*$"))
    held = [name for name in keys.columns if keys[name].null_count() < keys.height]
    nothing = [pl.lit(None, UUID).alias(name) for name in keys.columns if name not in held]
    if not held:
        return keys.with_columns(nothing)
    kinds = {name: f"'{digested_kind(name.split('_')[1])}'" for name in held}
    digests = [f"{_DIGEST.format(kind=kind, value=name)} as {name}" for name, kind in kinds.items()]
    query = f"select {', '.join(digests)} from given"  # noqa: S608 - our own names
    return _digested(keys.select(held), query).with_columns(nothing).select(keys.columns)


def digest_keys(keys: pl.DataFrame) -> pl.DataFrame:
    """Keys with a digest in place of each value.

    Args:
        keys: ``kind`` and ``value`` (String, not null), and any other columns.

    Returns:
        The same rows in their order, with ``key`` (``schema.UUID``) instead of ``value``, ``kind`` an Enum.
    """
    given = keys.select(pl.col("kind").cast(pl.String).replace(_DIGESTED_AS), "value")
    if keys.height <= _FEW:
        texts = given.select(pl.concat_str("kind", "value", separator="\x1f")).to_series()
        binary = [md5(text.encode(), usedforsecurity=False).digest() for text in texts]
        digests = pl.DataFrame(
            {"key": pl.Series(binary, dtype=pl.Binary).bin.reinterpret(dtype=UUID, endianness="big")}
        )
    else:
        query = f"select {_DIGEST.format(kind='kind', value='value')} as key from given"  # noqa: S608
        digests = _digested(given, query)
    return keys.drop("value").with_columns(pl.col("kind").cast(KEY_KIND)).hstack(digests)


def _digested(given: pl.DataFrame, query: str) -> pl.DataFrame:
    if os.getpid() not in _instances:
        _instances[os.getpid()] = duckdb.connect()
    with _instances[os.getpid()].cursor() as connection:
        connection.register("given", to_arrow(given))
        return from_query(connection, query, endianness="little")
