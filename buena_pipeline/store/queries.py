"""What a user's SQL is, before it runs: a query, or something that would write or outlive the call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import duckdb
from duckdb.sqltypes import DuckDBPyType

from buena_pipeline.errors import QueryError

_ALLOWED: Final = "SELECT, FROM, WITH, VALUES, PIVOT, EXPLAIN, SHOW, DESCRIBE or SUMMARIZE"

# DuckDB makes several statements of a PIVOT, and of what stores one
_PIVOT: Final = re.compile(r"[\s(]*(pivot|pivot_wider|from|select|with|describe|summarize)\b", re.IGNORECASE)

_EXPLAIN: Final = re.compile(r"explain\b(\s+analyze\b)?(?P<options>\s*\([^)]*\))?", re.IGNORECASE)

# the others set something, or write
_PRAGMA: Final = re.compile(
    r"pragma\s+(collations|database_list|database_size|extension_versions|functions|metadata_info|platform"
    r"|show|show_databases|show_tables|show_tables_expanded|storage_info|table_info|user_agent|version)\b",
    re.IGNORECASE,
)


def require_query(connection: duckdb.DuckDBPyConnection, text: str, path: Path) -> None:
    """Makes sure that a text is one query, which reads and leaves nothing behind.

    Raises:
        QueryError: if it is none, or more than one.
        duckdb.ParserException: if it is no SQL.
    """
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise QueryError(
            f"One query at a time: this text has {len(statements)} statements.",
            path=str(path),
        )
    if not _is_query(connection, statements[0]):
        raise QueryError(
            f"This is no query ({statements[0].type.name}): the store is read-only here, and nothing may "
            f"outlive the call. Ask with {_ALLOWED}; for anything else open the file with DuckDB.",
            path=str(path),
        )


def require_holdable(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Makes sure that polars does not panic over a result.

    Raises:
        QueryError: if a column has an INTERVAL or a UNION on the inside; of others polars says what they are.
    """
    for name, dtype in zip(relation.columns, relation.types, strict=True):
        if any(_has_none_in_polars(part) for part in _parts(dtype)):
            raise QueryError(
                "The result has a type that no table here holds; cast it, such as x::varchar: "
                f'column "{name}" is {dtype}.',
                path=str(path),
            )


def _has_none_in_polars(dtype: DuckDBPyType) -> bool:
    """Whether there is one that polars lacks in it, or it is one."""
    return dtype.id in {"interval", "union"} or any(map(_has_none_in_polars, _parts(dtype)))


def _parts(dtype: DuckDBPyType) -> list[DuckDBPyType]:
    """The types that a nested type is made of."""
    if dtype.id not in {"array", "list", "map", "struct"}:
        return []
    return [part for _, part in dtype.children if isinstance(part, DuckDBPyType)]  # an array has a size, too


def _is_query(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    match statement.type:
        case duckdb.StatementType.SELECT:
            return True
        case duckdb.StatementType.MULTI:
            text = statement.query
            return _PIVOT.match(text) is not None or _explains_query(connection, text)
        case duckdb.StatementType.PRAGMA:
            return _PRAGMA.match(statement.query) is not None
        case duckdb.StatementType.EXPLAIN:
            return _explains_query(connection, statement.query)
        case _:
            return False


def _explains_query(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    """Whether a query is explained: EXPLAIN ANALYZE runs what it explains."""
    if (head := _EXPLAIN.match(text)) is None:
        return False
    # what looks like options may be a query in brackets
    starts = {head.end(), head.start("options") if head["options"] else head.end()}
    return any(_is_one_query(connection, text[start:]) for start in starts)


def _is_one_query(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    try:
        statements = connection.extract_statements(text)
    except duckdb.ParserException:
        return False
    return len(statements) == 1 and _is_query(connection, statements[0])
