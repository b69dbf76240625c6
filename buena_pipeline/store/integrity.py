"""Whether a store is whole: each check is a query of ``sql/checks`` that finds the rows which break a rule.

Reads only, in one connection, so that it sees one moment of the store. Tells counts, never who.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from buena_pipeline.schema import CHECKS
from buena_pipeline.store.database import Database
from buena_pipeline.store.diagnosis import is_damage
from buena_pipeline.store.migrations import SCHEMA_VERSION, schema_version

RESOLVE_THEMSELVES: Final = frozenset(
    {
        "files_are_private",
        "journal_is_readable",
        "journal_is_taken_in",
        "nobody_was_charged_twice",
        "nothing_is_in_flight_for_long",
        "schema_is_current",
    }
)
"""Checks that find what a later run sees to, or what may be meant so; all others find damage."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_integrity(database: Database, journals: Sequence[Path]) -> pl.DataFrame:
    """Examines a store.

    Args:
        database: its file.
        journals: the folders of its journals.

    Returns:
        One row per check, schema ``CHECKS``; the query checks in the order of their names, then the files.

    Raises:
        StoreDamagedError: if the file or its log cannot be read as it was written.
    """
    with database.connect(read_only=True) as connection:
        rows = [_schema(connection)]
        # an older file, opened read-only, lacks what the queries ask for; the next run migrates it
        if rows[0]["ok"]:
            rows += [_readable(connection), *(_query(connection, name) for name in _queries())]
        rows += _files(database.path, journals)
    return pl.DataFrame(rows, schema=CHECKS)


@cache
def _queries() -> dict[str, tuple[str, str, str]]:
    """By name: what a query proves, what it means if not, and the query."""
    folder = resources.files(__package__).joinpath("sql", "checks")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        lines = file.read_text(encoding="utf-8").splitlines()
        claim, _, meaning = (line.removeprefix("--").strip() for line in lines[:3])
        found[file.name.removesuffix(".sql")] = (claim, meaning, "\n".join(lines).rstrip("; \n"))
    return found


def _query(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    """One query of ``sql/checks``: no row is good."""
    claim, meaning, query = _queries()[name]
    try:
        (found,) = connection.execute(f"select count(*) from (\n{query}\n)").fetchone() or (0,)  # noqa: S608
    except duckdb.Error as error:
        if is_damage(error):
            raise
        return _row(name, None, f"Cannot be made ({type(error).__name__}): tables of the store were changed.")
    return _row(name, found, claim, meaning)


def _row(name: str, found: int | None, claim: str, meaning: str = "") -> dict[str, Any]:
    detail = claim if found == 0 or found is None else f"Not so for {found:,}: {claim} {meaning}"
    return {"check": name, "ok": found == 0, "found": found, "detail": detail}


def _schema(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Whether the file has the schema of this release."""
    return _row(
        "schema_is_current",
        int(schema_version(connection) != SCHEMA_VERSION),
        f"The file has schema version {SCHEMA_VERSION}.",
        "The next run migrates it; the rows were not examined.",
    )


def _readable(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Reads every value of every table: a damaged block shows itself only when it is read."""
    tables = connection.execute(
        "select table_name from duckdb_tables() where not internal and not temporary"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f'select bit_xor(hash(t)) from "{table}" t').fetchall()  # noqa: S608
    return _row("every_row_can_be_read", 0, "Every value of every table was read.")


# --- files -----------------------------------------------------------------------------------------------


def _files(path: Path, journals: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The files of the store: who may read them, and what waits beside it."""
    folders = [folder for folder in journals if folder.is_dir()]
    entries = [entry for folder in folders for entry in _entries(folder)]
    yield _row(
        "files_are_private",
        sum(map(_readable_by_others, [path, Path(f"{path}.wal"), *folders, *entries])),
        "Only their owner can read the files of the store.",
        f"They hold personal data: chmod go-rwx {path}*",
    )
    aside = [str(entry) for entry in entries if entry.suffix == ".corrupt"]
    yield _row(
        "journal_is_readable",
        len(aside),
        "No entry of the journal was set aside as unreadable.",
        f"Keep them, they may hold paid answers: {', '.join(aside[:3])}",
    )
    yield _row(
        "journal_is_taken_in",
        sum(entry.suffix == ".json" for entry in entries),
        "No answer waits in the journal.",
        f"The next run takes in what is in {' and '.join(map(str, folders))}.",
    )


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing, where it belongs to somebody else who keeps it private."""
    with contextlib.suppress(PermissionError):
        return sorted(folder.iterdir())
    return []


def _readable_by_others(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.name == "posix" and bool(path.stat().st_mode & _OTHERS)
    return False
