"""What every column of the store means, said in the file itself, where any DuckDB client shows it.

Tables have their comments from the migrations, views from ``views.sql``. Here come those that would otherwise
be written twice: columns that enrichment adds, and columns that a view has from its table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import duckdb

from buena_pipeline.descriptions import DESCRIPTIONS

_ENRICHED: Final = ("answer", "leads")
"""Relations with columns that come back in a user's table."""

_TABLE_OF: Final = {
    "person_answer": "answer",
    "person_key": "identity",
    "known_key": "identity",
    "newest_request": "request",
}
"""Views and the table whose columns they have."""

_COLUMNS: Final = """
    select table_name, column_name, comment from duckdb_columns()
    where database_name = current_database() and schema_name = 'main' order by all
"""


def describe_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """Gives columns without a comment the one that they share with others.

    Args:
        connection: to the store, writing, with tables and views as they are to be.
    """
    comments: dict[tuple[str, str], str | None] = {
        (relation, column): comment for relation, column, comment in connection.execute(_COLUMNS).fetchall()
    }
    connection.execute(";".join(_shared(comments)))


def _shared(comments: dict[tuple[str, str], str | None]) -> Iterator[str]:
    for (relation, column), comment in comments.items():
        if comment is None and (text := _text(comments, relation, column)):
            yield f"comment on column {relation}.{column} is '{text.replace(chr(39), chr(39) * 2)}'"


def _text(comments: dict[tuple[str, str], str | None], relation: str, column: str) -> str | None:
    table = _TABLE_OF.get(relation, relation)
    described = DESCRIPTIONS.get(column) if table in _ENRICHED else None
    return comments.get((table, column)) or described
