"""Erasure: people, or all that is older than some age, leave the store down to the bytes of its file.

What goes is decided by the SQL in ``sql/erasure_*.sql`` on temporary tables; the file itself is never changed
in place, see ``rewriting``. The ledger keeps its requests, counts and credits; ids in it become the nil UUID.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import duckdb
import polars as pl

from buena_pipeline.errors import InputError
from buena_pipeline.normalize import linkedin_slug
from buena_pipeline.schema import TIMESTAMP
from buena_pipeline.store.database import Database
from buena_pipeline.store.digests import digest_keys
from buena_pipeline.store.exchange import to_arrow
from buena_pipeline.store.mentions import keys_in, name_any, plain
from buena_pipeline.store.rewriting import rewrite
from buena_pipeline.store.statements import statement

_KEPT: Final = {table: f"kept_{table}" for table in ("answer", "response", "identity", "link", "request")}


def forget(database: Database, keys: pl.DataFrame) -> int:
    """Erases the people whom some keys point to, and everybody who turned out to be one of them.

    Args:
        database: the store's file.
        keys: ``kind`` and ``value``, as ``subjects.subject_keys`` gives them.

    Returns:
        How many people there were.
    """
    with database.exclusive() as connection:
        connection.register("subject_key", to_arrow(digest_keys(keys)))
        connection.execute(statement("erasure_by_key.sql"))
        return _erase(database, connection, keys, before=None)


def retain(database: Database, *, since: datetime) -> int:
    """Erases what is older than a moment, and people of whom nothing younger is there.

    Args:
        database: the store's file.
        since: the moment; what came then or later stays.

    Returns:
        How many people lost an answer, or everything.
    """
    with database.exclusive() as connection:
        connection.register("cutoff", _moment(since))
        connection.execute(statement("erasure_by_age.sql"))
        nobody = pl.DataFrame(schema={"kind": pl.String, "value": pl.String})
        return _erase(database, connection, nobody, before=since)


def moment_before(now: datetime, age: Any) -> datetime:
    """The moment that lies an age before another; raises InputError if that is no age."""
    if not isinstance(age, timedelta) or age < timedelta():
        raise InputError("older_than takes an age, such as timedelta(days=365).")
    try:
        return now - age
    except OverflowError:
        raise InputError("older_than is an age that nothing reaches; name a shorter one.") from None


def _erase(
    database: Database, connection: duckdb.DuckDBPyConnection, keys: pl.DataFrame, *, before: datetime | None
) -> int:
    """Writes the file anew without the people in the temporary table ``erased``, if that changes anything."""
    connection.execute(statement("erasure_text.sql"))
    texts = connection.sql("select * from loose_text").pl().with_columns(plain(pl.col("text")))
    trace = pl.concat([keys.select("kind", "value"), connection.sql("select kind, value from trace").pl()])
    connection.register("cutoff", _moment(before))
    connection.register("found_key", to_arrow(digest_keys(keys_in(texts))))
    connection.register(
        "named",
        name_any(
            texts,
            addresses=trace.filter(pl.col("kind").is_in(["email", "address"]))["value"],
            slugs=trace.select(
                pl.when(pl.col("kind").is_in(["linkedin", "member"]))
                .then("value")
                .when(pl.col("kind") == "profile")
                .then(linkedin_slug(pl.col("value")))
            )["value"].drop_nulls(),
        ).to_arrow(),
    )
    connection.execute(statement("erasure_kept.sql"))
    people, changes = connection.execute("select people, changes from affected").fetchone() or (0, 0)
    if changes:
        rewrite(database, connection, _KEPT)
    return int(people)


def _moment(moment: datetime | None) -> object:
    """A table of one moment, or of none."""
    return pl.DataFrame({"moment": [moment]}, schema={"moment": TIMESTAMP}).to_arrow()
