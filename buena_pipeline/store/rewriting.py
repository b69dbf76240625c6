"""The store's file written anew: what is not copied is gone, down to the bytes.

A deleted row stays in a DuckDB file until its place is needed: so rows are not deleted, but left behind.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from buena_pipeline.errors import StoreError
from buena_pipeline.store.database import Database
from buena_pipeline.store.migrations import FILE_ID


def rewrite(database: Database, connection: duckdb.DuckDBPyConnection, sources: Mapping[str, str]) -> None:
    """Replaces the file by a new one, with all rows of all tables but for those that have another source.

    At any moment the old file is there or the whole new one. The connection sees the old one to its end.

    Args:
        database: the file.
        connection: one of ``Database.exclusive`` that has written nothing but temporary tables.
        sources: by table, the relation to copy in place of it.

    Raises:
        StoreError: if there is no room for a second file, or tables of somebody else are in this one; then it
            is as before.
    """
    try:
        with database.draft() as draft:
            database.attach(connection, draft, name="draft")
            try:
                _copy_tables(database, connection, sources)
                _copy_views(connection)
                connection.execute("checkpoint draft")
            finally:
                connection.execute("detach draft")
    except (duckdb.Error, OSError) as error:
        # the text of other errors may quote what was copied
        told = str(error).splitlines()[0] if isinstance(error, duckdb.IOException | OSError) else ""
        raise StoreError(
            f"The store {database.path} could not be written anew and is as before: "
            f"{told or type(error).__name__}. Its folder needs room for a second file of its size.",
            path=str(database.path),
        ) from None


def _copy_tables(
    database: Database, connection: duckdb.DuckDBPyConnection, sources: Mapping[str, str]
) -> None:
    tables = "select table_name from duckdb_tables() where database_name = {} and not internal order by all"
    ours = [name for (name,) in connection.execute(tables.format("'draft'")).fetchall()]
    present = [name for (name,) in connection.execute(tables.format("current_database()")).fetchall()]
    if others := [name for name in present if name not in ours]:
        raise StoreError(
            f"The store {database.path} holds tables that are not the library's, and nobody knows whose data "
            f"is in them: {', '.join(others)}. Move them to another file, drop them here, then try again.",
            path=str(database.path),
        )
    # a new file has rows in meta: all but its id come from the old one
    connection.execute("delete from draft.main.meta where name <> ?", [FILE_ID])
    for table in ours:
        source = sources.get(table, table)
        where = f"where name <> '{FILE_ID}'" if table == "meta" else ""
        connection.execute(f"insert into draft.main.{table} by name from {source} {where}")


def _copy_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Views that users made in the file, which hold no data; those that do not work are left behind."""
    (store,) = connection.execute("select current_database()").fetchone() or ("",)
    query = """
        select sql from duckdb_views()
        where database_name = current_database() and not internal
          and view_name not in (select view_name from duckdb_views() where database_name = 'draft')
    """
    waiting = [sql for (sql,) in connection.execute(query).fetchall()]
    connection.execute("use draft")
    try:
        # nothing tells in which order they were made, and one may need another
        while (left := [view for view in waiting if not _made(connection, view)]) != waiting:
            waiting = left
    finally:
        connection.execute(f'use "{store.replace(chr(34), chr(34) * 2)}"')


def _made(connection: duckdb.DuckDBPyConnection, view: str) -> bool:
    """Whether a view could be made."""
    try:
        connection.execute(view)
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return False
    return True
