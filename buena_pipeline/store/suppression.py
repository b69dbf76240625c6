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
        keys: ``kind`` and ``value``, as ``subjects.subject_keys`` gives them.
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
        gained = connection.execute(
            "insert into suppression by name select hash, ?::timestamptz as added_at from hashed"
            " where hash not in (select hash from suppression)",
            [now],
        )
        return _changed(gained)


def unsuppress(database: Database, keys: pl.DataFrame) -> int:
    """Takes off the list what ``suppress`` would put on it, and says how many hashes that were."""
    with database.transaction() as connection:
        _hash(connection, keys)
        return _changed(connection.execute("delete from suppression where hash in (select hash from hashed)"))


def _hash(connection: duckdb.DuckDBPyConnection, keys: pl.DataFrame) -> None:
    connection.register("subject_key", to_arrow(digest_keys(keys)))
    connection.execute(statement("erasure_by_key.sql"))
    connection.execute(statement("suppression.sql"))


def _changed(connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows a statement has inserted or deleted."""
    (rows,) = connection.fetchone() or (0,)
    return int(rows)
