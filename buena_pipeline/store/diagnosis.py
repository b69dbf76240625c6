"""What an error of DuckDB means to somebody whose store it is, and what to do: an error in, one of ours out.

Nothing that is said quotes what is in the store. Asks neither the file nor the clock.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.errors import (
    EncryptionKeyError,
    NotAStoreError,
    QueryError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)

_DAMAGE: Final = re.compile(
    r"Corrupt (database |WAL )?file|while replaying WAL|Could not read enough bytes"
    r"|database has been invalidated|Failed to deserialize|Computed AES tag differs"
)

_NOT_WRITTEN: Final = re.compile(
    r"Could not (write|sync|truncate)|fsync failed|File too large|No space left|[Qq]uota exceeded"
)
"""A write that failed. After a checkpoint's, DuckDB calls the database invalidated; on disk it is whole."""

_FULL: Final = {
    "No space left": "the disk is full",
    "uota exceeded": "the disk quota is used up",
    "File too large": "the file may not grow any more (a limit on file sizes, ulimit -f)",
}
"""Why, by what the system says."""

TELLING: Final = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.CatalogException)
"""Errors whose messages are about files and names, not about values."""

_ABOUT_THE_QUERY: Final = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


# --- which kind of error ---------------------------------------------------------------------------------


def is_damage(error: duckdb.Error) -> bool:
    """Whether the file or its log is not as it was written: a flipped bit, a copy cut short."""
    return _DAMAGE.search(str(error)) is not None and not is_failed_write(error)


def is_failed_write(error: duckdb.Error) -> bool:
    """Whether the disk, or a limit, did not take what was to be written."""
    return _NOT_WRITTEN.search(str(error)) is not None


def is_about_the_disk(error: duckdb.Error) -> bool:
    """Whether a write failed for a reason outside of what was written."""
    return not isinstance(error, duckdb.ProgrammingError | duckdb.DataError) and not is_damage(error)


def is_locked(error: BaseException) -> bool:
    """Whether another process holds the file."""
    return isinstance(error, duckdb.IOException) and "Could not set lock" in str(error)


# --- what to tell ----------------------------------------------------------------------------------------


def missing(path: Path) -> NotAStoreError:
    """There is no file."""
    return NotAStoreError(f"There is no store at {path}: is the path right?", path=str(path))


def foreign(path: Path, what: str) -> NotAStoreError:
    """There is something else."""
    return NotAStoreError(
        f"The file {path} {what}. Name another file for the store; this one was left as it is.",
        path=str(path),
    )


def not_a_file(path: Path) -> NotAStoreError:
    """There is a folder."""
    return NotAStoreError(
        f"{path} is a folder; the store is a file: name one in it, such as {path / 'buena.duckdb'}.",
        path=str(path),
    )


def empty(path: Path) -> NotAStoreError:
    """There is a file of no bytes, as touch makes it."""
    return NotAStoreError(
        f"The file {path} is empty, which no DuckDB database is: delete it, and the first run makes the "
        "store, or name another file.",
        path=str(path),
    )


def in_use(path: Path, *, by: str, waited: float) -> StoreLockedError:
    """Somebody who takes turns with us had the file for too long."""
    return StoreLockedError(
        f"The store {path} is in use by {by}, which did not let go within {waited:g} s. "
        "Try again when it is done.",
        path=str(path),
    )


def not_created(error: OSError, path: Path) -> StoreError:
    """Why there is no new store."""
    return StoreError(
        f"The store {path} cannot be created: {error.strerror or type(error).__name__}. "
        "Its folder must have room, and be writable.",
        path=str(path),
    )


def not_locked(error: OSError, path: Path, *, whose: str | None) -> StoreError:
    """Why there is no turn at the file: the lock beside it cannot be had."""
    if isinstance(error, PermissionError) and whose:
        return private(path, whose)
    return StoreError(
        f"The store {path} cannot be used: {error.strerror or error}. "
        "Its folder must exist and be writable, also for the lock file beside it; read_only=True does "
        "without.",
        path=str(path),
    )


def private(path: Path, whose: str) -> StoreError:
    """It is another user's."""
    return StoreError(
        f"The store {path} may not be used by this user: {whose}. A store belongs to one user of the "
        "operating system, who alone may read it: let all jobs that share it run as that one, such as a "
        "service account, or name another file.",
        path=str(path),
    )


def explain(  # noqa: PLR0911 - one return a cause
    error: duckdb.Error, path: Path, *, waited: float, whose: str | None = None
) -> StoreError:
    """Why a store cannot be used.

    Args:
        error: what DuckDB says.
        path: the store's file.
        waited: seconds for which others were waited for.
        whose: ``ownership.somebody_elses``.
    """
    text, place = str(error), str(path)
    if is_locked(error):
        holder = re.search(r"\(PID (\d+)\)", text)
        who = f"process {holder.group(1)}" if holder else "another process"
        return StoreLockedError(
            f"The store {place} is held by {who}, which did not let go within {waited:g} s. "
            "Close the DuckDB shell or program that has it open, then try again.",
            path=place,
        )
    if "different configuration" in text or "Unique file handle conflict" in text:
        return StoreLockedError(
            f"The store {place} is already open in this process through duckdb.connect(). "
            "Close that connection, or query with EnrichmentStore.sql().",
            path=place,
        )
    if is_failed_write(error):
        return not_written(error, path)
    if "Permission denied" in text and whose:
        return private(path, whose)
    if "Permission denied" in text:
        return StoreError(
            f"The store {place} may not be opened by this user: permission denied. Make it readable and "
            "writable for you, with its folder, or name another file.",
            path=place,
        )
    if "not a valid DuckDB database file" in text:
        return foreign(path, "is not a DuckDB database")
    if "newer version of DuckDB" in text or "version number" in text:
        return StoreVersionError(
            f"The store {place} was written anew by a newer DuckDB than is installed here "
            f"({duckdb.__version__}). Upgrade: pip install --upgrade duckdb",
            path=place,
        )
    if mistake := _key_mistake(text):
        return EncryptionKeyError(f"The store {place} {mistake}", path=place)
    if is_damage(error):
        return StoreDamagedError(_damage(place, text.splitlines()[0]), path=place)
    # other errors may quote a value
    said = f": {text.splitlines()[0]}" if isinstance(error, TELLING) else ""
    return StoreError(
        f"The store {place} cannot be used ({type(error).__name__}{said.rstrip('.')}). "
        "Was it changed by another program, or copied in part? Restore a backup, or name another file.",
        path=place,
    )


def not_written(error: duckdb.Error, path: Path) -> StoreError:
    """Why a write failed; not in the error's own words, which may quote a lead."""
    unknown = f"the file cannot be written ({type(error).__name__})"
    why = next((why for said, why in _FULL.items() if said in str(error)), unknown)
    return StoreError(
        f"The store {path} did not take what happened: {why}. Nothing of it was written; "
        "make room or mend the disk, then run again.",
        path=str(path),
    )


def not_migrated(error: duckdb.Error, path: Path, version: int) -> StoreError:
    """Why a store of an older release stays as it is."""
    if is_about_the_disk(error):
        return not_written(error, path)
    return StoreError(
        f"The store {path} cannot be brought from schema version {version} to that of this release "
        f"({type(error).__name__}): its tables are not as the library made them. It was left as it is; "
        "restore a backup, or name a new file.",
        path=str(path),
    )


def query_fails(error: duckdb.Error, path: Path, *, outdated: bool) -> QueryError:
    """Why a query of the user's does not run; a store may lack what is new in this release."""
    hint = (
        " The store was written by an older release; open it once without read_only to bring it up to date."
        if outdated
        else ""
    )
    return QueryError(f"The query does not run: {_said(error)}{hint}", path=str(path))


def _said(error: duckdb.Error) -> str:
    """What DuckDB says of a query; of values, which may be somebody's, only that there was one."""
    text = str(error)
    # no value is in what DuckDB says of a database opened for reading, before it has run anything
    writes = isinstance(error, duckdb.InvalidInputException) and "attached in read-only mode" in text
    # nor in what it says of placeholders, and of files that it does not find
    asks = re.search(r"^Invalid Input Error: (Values were not|Parameter argument)|IO Error: No files", text)
    if isinstance(error, _ABOUT_THE_QUERY) or writes or asks:
        return text
    if isinstance(error, duckdb.ConversionException):
        return "a value cannot be converted to the type asked for; try_cast makes it null instead."
    if about_a_file := _said_of_a_csv(text):
        return about_a_file
    return f"{text.partition(':')[0]}, at a value that is not shown here."


def _said_of_a_csv(text: str) -> str | None:
    """Where a CSV file is not as it is read, and what to do; None if it is about something else."""
    line = re.search(r"CSV Error on Line: (\d+)", text)
    where = f" in line {line[1]}" if line else ""
    if "not utf-8 encoded" in text:
        return f"the CSV file is not UTF-8{where}: say so, as in read_csv('leads.csv', encoding='latin-1')."
    if line or "Error when sniffing file" in text:
        return (
            f"the CSV file cannot be read{where}: say how it is made, as in read_csv('leads.csv', delim=';', "
            "quote='\"', encoding='latin-1')."
        )
    return None


def _key_mistake(text: str) -> str | None:
    """What is wrong with the key, and what to do; None if nothing is."""
    if "Wrong encryption key" in text:
        return (
            "does not open with this key. Give the one it was made with, as encryption_key= or "
            "BUENA_STORE_KEY; without it nobody can read the store."
        )
    if "Cannot open encrypted database" in text:
        return "is encrypted: give its key as encryption_key= or BUENA_STORE_KEY."
    if "A key is explicitly specified" in text:
        return (
            "is not encrypted, but a key was given. Leave out encryption_key= and BUENA_STORE_KEY, "
            "or name a new file for an encrypted store."
        )
    return None


def _damage(path: str, what: str) -> str:
    """What to do about a damaged file, or a damaged log."""
    what = what.removesuffix(", are you using the right key?")  # it is: the file opened with it
    if "WAL" in what.replace(path, ""):
        return (
            f"The log {path}.wal beside the store is damaged ({what}). It holds the newest answers: copy "
            "both files away first of all. With a backup, restore both; without one, moving the log away "
            "opens the store as it was before it, and what only the log held is bought again."
        )
    return (
        f"The store {path} is damaged ({what}). Copy it and {path}.wal away first of all, and restore a "
        "backup; without one, EnrichmentStore.sql() still reads the tables whose blocks are whole."
    )
