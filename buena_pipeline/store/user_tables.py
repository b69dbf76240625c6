"""Tables of a user's own DuckDB files: read whole, and written anew. Never the store's."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl

from buena_pipeline.errors import InputError

_WITH: str = "create or replace table {} as select * from written"


def read_user_table(database: Path, table: str) -> pl.DataFrame:
    """All rows of a table or view.

    Args:
        database: the DuckDB file.
        table: its name, with a schema or without.

    Raises:
        InputError: if the file or the table is not there, or the file is in use.
    """
    if not database.is_file():
        raise InputError(f"There is no DuckDB file {database}: is the path right?")
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            rows: pl.DataFrame = connection.table(table).pl()
            return rows
    except duckdb.Error as error:
        raise _unusable(error, database, table) from None


def write_user_table(frame: pl.DataFrame, database: Path, table: str) -> None:
    """Writes a table; an old one of that name is replaced, or stays if it fails.

    Args:
        frame: the table.
        database: the DuckDB file; created if it is not there.
        table: its name, with a schema or without.

    Raises:
        InputError: if the file is in use, or the table cannot be written.
    """
    quoted = ".".join(f'"{part.strip(chr(34))}"' for part in table.split("."))
    try:
        with duckdb.connect(str(database)) as connection:
            connection.register("written", frame.to_arrow())
            connection.execute(_WITH.format(quoted))
    except duckdb.Error as error:
        raise _unusable(error, database, table) from None


def _unusable(error: duckdb.Error, database: Path, table: str) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"The table {table} of {database} cannot be used: {reason}")
