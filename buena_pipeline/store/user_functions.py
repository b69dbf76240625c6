"""Functions of this library on a user's own DuckDB connection: called in SQL, a vector of rows at a time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb
import polars as pl
from duckdb.func import FunctionNullHandling, PythonUDFType

from buena_pipeline.errors import InputError, StoreLockedError

UserConnection: TypeAlias = duckdb.DuckDBPyConnection

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)

_number: Final = itertools.count(1)
"""DuckDB keeps a function for all cursors of a database, and lets only the one that made it take it away."""


def register_function(
    connection: UserConnection,
    name: str,
    *,
    fields: Sequence[str],
    returns: pl.Schema,
    function: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Makes a function of this connection's SQL out of a function of a table.

    Args:
        connection: the user's; what is made lasts as long as it, and writes to no file.
        name: of the function; one of that name made here before is replaced.
        fields: its arguments, each text, each may be left out, those after the first by name only.
        returns: the fields of the STRUCT that it returns.
        function: from a table of ``fields`` to one of ``returns``, with as many rows in the same order. It
            is called with up to 2,048 rows at a time, perhaps by several threads at once, and never by the
            optimiser.

    Raises:
        InputError: if the name is none, or the connection takes no function.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a function in SQL: letters, digits and _ make one.")

    def of_vector(leads: Any) -> Any:
        rows: Any = pl.from_arrow(leads)
        result = function(rows.struct.unnest())
        return result.cast({pl.Enum: pl.String}).to_struct().to_arrow()

    takes = ", ".join(f"{field} VARCHAR" for field in fields)
    gives = ", ".join(f"{field} {_sql_type(dtype)}" for field, dtype in returns.items())
    inner = f"{name}_of_struct_{next(_number)}"
    given = ", ".join(f"'{field}': {field}::varchar" for field in fields)
    try:
        connection.create_function(
            inner,
            of_vector,
            [f"STRUCT({takes})"],
            f"STRUCT({gives})",
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
            side_effects=True,
        )
        connection.execute(
            f"create or replace temp macro {name}({', '.join(f'{field} := null' for field in fields)}) "
            f"as {inner}({{{given}}})"
        )
    except duckdb.Error as error:
        raise InputError(f"The connection takes no function: {str(error).splitlines()[0]}") from None


def require_apart(connection: UserConnection, path: Path) -> None:
    """Makes sure that a connection does not hold the store's file, which nobody else could write then.

    Raises:
        InputError: if it is no connection, or closed.
        StoreLockedError: if it does.
    """
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        raise InputError(
            f"A DuckDB connection is needed, such as duckdb.connect(); not {type(connection).__name__}."
        )
    try:
        rows = connection.execute("select database_name, path from duckdb_databases()").fetchall()
    except duckdb.Error as error:
        raise InputError(f"The connection cannot be used: {str(error).splitlines()[0]}") from None
    held = {Path(place).resolve(): name for name, place in rows if place}
    if (name := held.get(path.resolve())) is not None:
        raise StoreLockedError(
            f'The connection has the store {path} open itself, as "{name}", so that what is bought could not '
            "be written. Detach it there, or call the function on another connection.",
            path=str(path),
        )


def _sql_type(dtype: pl.DataType) -> str:
    """The type in DuckDB's SQL for a dtype that enriched columns have."""
    match dtype:
        case pl.Enum():
            return f"ENUM({', '.join(repr(category) for category in dtype.categories)})"
        case pl.List():
            return f"{_sql_type(dtype.inner)}[]"  # type: ignore[arg-type]
        case pl.Struct():
            return f"STRUCT({', '.join(f'{field.name} {_sql_type(field.dtype)}' for field in dtype.fields)})"  # type: ignore[arg-type]
        case _:
            return _PLAIN[dtype]


_PLAIN: Final[dict[pl.DataType, str]] = {
    pl.String(): "VARCHAR",
    pl.Float64(): "DOUBLE",
    pl.Int16(): "SMALLINT",
    pl.Int32(): "INTEGER",
    pl.Datetime("us", "UTC"): "TIMESTAMPTZ",
}
