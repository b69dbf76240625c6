"""Time that passes for a store without anybody waiting: all it remembers happened that much earlier."""

from __future__ import annotations

from datetime import timedelta

import duckdb

from buena_pipeline import EnrichmentStore


def let_time_pass(store: EnrichmentStore, time: timedelta) -> None:
    """Moves every moment in a store back, if there is a store."""
    if not store.path.exists():
        return
    with duckdb.connect(str(store.path)) as connection:
        moments = connection.execute(
            """
            select table_name, column_name from duckdb_columns()
            where not internal and table_oid in (select table_oid from duckdb_tables())
              and data_type = 'TIMESTAMP WITH TIME ZONE'
            """
        ).fetchall()
        for table, column in moments:
            connection.execute(f"update {table} set {column} = {column} - $time", {"time": time})
