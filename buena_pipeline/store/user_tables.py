"""Tables of a user's own DuckDB files: read whole, and written anew. Never the store's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from buena_pipeline.errors import BuenaError, InputError, StoreLockedError
from buena_pipeline.store.diagnosis import TELLING, is_locked
from buena_pipeline.tables import as_frame

_PATIENCE = 60.0
"""Seconds to wait while another program has the file open."""

_HUGE: Final[dict[pl.DataType, str]] = {pl.Int128(): "hugeint", pl.UInt128(): "uhugeint"}
"""Whole numbers that DuckDB has, but Arrow does not: they go there as text."""


def read_user_table(database: Path, table: str) -> pl.DataFrame:
    """All rows of a table or view.

    Args:
        database: the DuckDB file.
        table: its name, with a schema or without.

    Raises:
        InputError: if the file or the table is not there, or cannot be read; names columns of types that
            polars lacks.
        StoreLockedError: if another program holds the file for a minute.
    """
    if not database.is_file():
        raise InputError(f"There is no DuckDB file {database}: is the path right?")
    with _opened(database, table, read_only=True) as connection:
        relation = connection.table(table)
        try:
            return as_frame(relation)
        except InputError as error:
            raise InputError(f"The table {table} of {database} cannot be used: {error}") from None


def write_user_table(frame: pl.DataFrame, database: Path, table: str) -> None:
    """Writes a table; an old one of that name is replaced, or stays if it fails.

    Args:
        frame: the table.
        database: the DuckDB file; created if it is not there.
        table: its name, with a schema or without.

    Raises:
        InputError: if the table cannot be written; names the columns that are the cause.
        StoreLockedError: if another program holds the file for a minute.
    """
    with _opened(database, table) as connection:
        _put(frame, connection, database, table)
        connection.commit()


def check_user_table(schema: pl.Schema, database: Path, table: str) -> None:
    """Finds out whether a table can be written there, before it costs anything. Changes nothing.

    Args:
        schema: the columns that it is going to have.
        database: the DuckDB file.
        table: its name, with a schema or without.

    Raises:
        InputError, StoreLockedError: if ``write_user_table`` would raise it.
    """
    with _opened(database, table) as connection:
        _put(schema.to_frame(), connection, database, table)
        connection.rollback()


def _put(frame: pl.DataFrame, connection: duckdb.DuckDBPyConnection, database: Path, table: str) -> None:
    """Makes the table, in a transaction that is left open."""
    if lacking := [name for name in frame.columns if not _is_taken(connection, frame.schema, name)]:
        raise InputError(
            f"The table {table} of {database} cannot be written: DuckDB takes no "
            f"columns of the type of {_listed(lacking)}. Make it text first."
        )
    quoted = ".".join(f'"{part.strip(chr(34))}"' for part in table.split("."))
    connection.begin()
    connection.register("written", _as_arrow(frame))
    connection.execute(f"create or replace table {quoted} as {_select(frame.schema)}")
    # of two names that it does not tell apart DuckDB changes the second one, and says nothing
    columns = connection.table(quoted).columns
    if changed := [name for name, column in zip(frame.columns, columns, strict=True) if name != column]:
        raise InputError(
            f"The table {table} of {database} cannot be written: to DuckDB, names that differ in capital "
            f"letters are one, and {_listed(changed)} is there twice. Rename one of them."
        )


def _is_taken(connection: duckdb.DuckDBPyConnection, schema: pl.Schema, name: str) -> bool:
    """Whether DuckDB takes a column of this type."""
    column = pl.Schema({name: schema[name]})
    try:
        connection.register("written", _as_arrow(column.to_frame()))
        connection.execute(_select(column))
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - of Arrow, polars or DuckDB
        return False
    return schema[name] != pl.Object()  # of which Arrow makes bytes that mean nothing


def _as_arrow(frame: pl.DataFrame) -> Any:
    """The table in types that go through Arrow to DuckDB, without loss."""
    return frame.cast({pl.Float16: pl.Float32, pl.Int128: pl.String, pl.UInt128: pl.String}).to_arrow()


def _select(schema: pl.Schema) -> str:
    """The query for what was registered: very large numbers are text there."""
    huge = ", ".join(
        f"{_quoted(name)}::{_HUGE[dtype]} as {_quoted(name)}"
        for name, dtype in schema.items()
        if dtype in _HUGE
    )
    return f"select *{f' replace ({huge})' if huge else ''} from written"  # noqa: S608


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names[:5]) + (" and more" if len(names) > 5 else "")


@contextmanager
def _opened(database: Path, table: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, as soon as no other program has it open; errors of DuckDB in this library's words."""
    import tenacity

    try:
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_locked),
            stop=tenacity.stop_after_delay(_PATIENCE),
            wait=tenacity.wait_exponential(0.05, max=1.0) + tenacity.wait_random(0, 0.1),
            reraise=True,
        ):
            with attempt:
                connection = duckdb.connect(str(database), read_only=read_only)
        with connection:
            yield connection
    except duckdb.Error as error:
        raise _unusable(error, database, table) from None


def _unusable(error: duckdb.Error, database: Path, table: str) -> BuenaError:
    if is_locked(error):
        return StoreLockedError(
            f"{database} is in use by another program. Try again when that is done.", path=str(database)
        )
    # other messages may quote what is in the table
    told = (str(error).splitlines() or [""])[0] if isinstance(error, TELLING) else type(error).__name__
    return InputError(f"The table {table} of {database} cannot be used: {told}")
