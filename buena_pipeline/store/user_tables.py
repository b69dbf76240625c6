"""Tables of a user's own DuckDB files: read whole, and written anew. Never the store's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from buena_pipeline.errors import BuenaError, InputError, StoreLockedError
from buena_pipeline.store.diagnosis import TELLING, is_locked

_PATIENCE = 60.0
"""Seconds to wait while another program has the file open."""


def read_user_table(database: Path, table: str) -> pl.DataFrame:
    """All rows of a table or view.

    Args:
        database: the DuckDB file.
        table: its name, with a schema or without.

    Raises:
        InputError: if the file or the table is not there, or cannot be read.
        StoreLockedError: if another program holds the file for a minute.
    """
    if not database.is_file():
        raise InputError(f"There is no DuckDB file {database}: is the path right?")
    with _opened(database, table, read_only=True) as connection:
        rows: pl.DataFrame = connection.table(table).pl()
        return rows


def write_user_table(frame: pl.DataFrame, database: Path, table: str) -> None:
    """Writes a table; an old one of that name is replaced, or stays if it fails.

    Args:
        frame: the table.
        database: the DuckDB file; created if it is not there.
        table: its name, with a schema or without.

    Raises:
        InputError: if the table cannot be written.
        StoreLockedError: if another program holds the file for a minute.
    """
    with _opened(database, table) as connection:
        connection.register("written", frame.to_arrow())
        connection.execute(_replace(table))


def check_user_table(database: Path, table: str) -> None:
    """Finds out whether a table can be written there, before it costs anything. Changes nothing.

    Raises:
        InputError, StoreLockedError: if ``write_user_table`` would raise it.
    """
    with _opened(database, table) as connection:
        connection.begin()
        connection.register("written", pl.DataFrame({"nothing": [0]}).to_arrow())
        connection.execute(_replace(table))
        connection.rollback()


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


def _replace(table: str) -> str:
    quoted = ".".join(f'"{part.strip(chr(34))}"' for part in table.split("."))
    return f"create or replace table {quoted} as select * from written"  # noqa: S608


def _unusable(error: duckdb.Error, database: Path, table: str) -> BuenaError:
    if is_locked(error):
        return StoreLockedError(
            f"{database} is in use by another program. Try again when that is done.", path=str(database)
        )
    # other messages may quote what is in the table
    told = (str(error).splitlines() or [""])[0] if isinstance(error, TELLING) else type(error).__name__
    return InputError(f"The table {table} of {database} cannot be used: {told}")
