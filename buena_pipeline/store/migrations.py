"""The version of a store's schema: read from a file, and raised to that of this release.

The migrations themselves are the numbered files in ``sql/migrations``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.errors import StoreVersionError
from buena_pipeline.store.comments import describe_columns
from buena_pipeline.store.diagnosis import foreign, is_damage
from buena_pipeline.store.statements import statement

SCHEMA_VERSION: Final = 5
"""The schema this release writes; an older file is migrated, a newer one refused."""


FILE_ID: Final = "file_id"
"""The row of ``meta`` that tells a file from what it was before it was written anew."""


def schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The file's schema version; None for a database that is not ours."""
    try:
        found = connection.execute(
            "select max(value::int) from meta where name = 'schema_version'"
        ).fetchone()
    except duckdb.Error as error:
        if is_damage(error):
            raise
        return None
    return found[0] if found else None


def known_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The file's schema version, which this release can read or migrate.

    Raises:
        NotAStoreError: if the database is not ours.
        StoreVersionError: if a newer release wrote it.
    """
    version = schema_version(connection)
    if version is None:
        raise foreign(path, "is a DuckDB database, but not a store of buena_pipeline")
    if version > SCHEMA_VERSION:
        raise StoreVersionError(
            f"The store {path} has schema version {version}; this release knows {SCHEMA_VERSION}. "
            "Upgrade: pip install --upgrade buena-pipeline",
            path=str(path),
        )
    return version


def apply_migrations(connection: duckdb.DuckDBPyConnection, *, since: int) -> None:
    """Runs the migrations after ``since`` in order, then rebuilds views, macros and comments."""
    migrations = resources.files(__package__).joinpath("sql", "migrations")
    for script in sorted(migrations.iterdir(), key=lambda entry: entry.name):
        version = int(script.name.split("_")[0])
        if version > since:
            connection.execute(script.read_text(encoding="utf-8"))
            connection.execute("insert into meta values ('schema_version', ?)", [str(version)])
    if since == 0:
        connection.execute("insert into meta values (?, uuid()::varchar)", [FILE_ID])
    connection.execute(statement("views.sql"))
    connection.execute(statement("macros.sql"))
    describe_columns(connection)
