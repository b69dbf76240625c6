"""The list of people who must never be enriched: keyed hashes of their keys, nothing else."""

from __future__ import annotations

import secrets
from datetime import datetime

import duckdb
import polars as pl

from buena_pipeline.store.database import Database
from buena_pipeline.store.digests import digest_keys
from buena_pipeline.store.exchange import to_arrow
from buena_pipeline.store.statements import statement


def suppress(database: Database, keys: pl.DataFrame, *, now: datetime) -> int:
    """Puts keys on the list, with all strong keys that the store knows of the people they point to.

    Args:
        database: the store's file; created if it is not there.
        keys: ``row``, ``kind`` and ``value``, as ``subjects.subjects`` gives them.
        now: when.

    Returns:
        How many hashes the list has gained.
    """
    with database.transaction() as connection:
        connection.execute(
            "insert into meta select 'suppression_secret', ?"
            " where not exists (select * from meta where name = 'suppression_secret')",
            [secrets.token_hex(32)],
        )
        _hash(connection, keys)
        before = _length(connection)
        connection.execute(statement("suppress.sql"), {"now": now})
        return _length(connection) - before


def unsuppress(database: Database, keys: pl.DataFrame) -> int:
    """Takes people off the list, each with all that ``suppress`` put there for them at once.

    Args:
        database: as for ``suppress``.
        keys: likewise.

    Returns:
        How many hashes the list has lost.
    """
    with database.transaction() as connection:
        _hash(connection, keys)
        before = _length(connection)
        connection.execute(statement("unsuppress.sql"))
        return before - _length(connection)


def _hash(connection: duckdb.DuckDBPyConnection, keys: pl.DataFrame) -> None:
    connection.register("subject_key", to_arrow(digest_keys(keys)))
    connection.execute(statement("suppression.sql"))


def _length(connection: duckdb.DuckDBPyConnection) -> int:
    """How many hashes are on the list."""
    (hashes,) = connection.execute("select count(distinct hash) from suppression").fetchone() or (0,)
    return int(hashes)
