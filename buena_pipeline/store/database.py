"""The DuckDB file: opened for one piece of work at a time, so that everybody takes turns.

Inside a machine the turns are kept by a lock on a sidecar file; a program that does not know the sidecar,
such as the DuckDB shell, is waited for. Knows nothing of leads; ``enrichment_store`` does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import duckdb
import filelock
import stamina

from buena_pipeline.errors import (
    EncryptionKeyError,
    NotAStoreError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from buena_pipeline.settings import StoreKey
from buena_pipeline.store.encryption import attach
from buena_pipeline.store.engine import Engine

SCHEMA_VERSION: Final = 2
"""The schema this release writes; an older file is migrated, a newer one refused."""


_DAMAGE: Final = re.compile(
    r"Corrupt (database |WAL )?file|while replaying WAL|Could not read enough bytes"
    r"|database has been invalidated|Failed to deserialize|Computed AES tag differs"
)

# what these say is about files and names, not about values
_TELLING: Final = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.CatalogException)


@cache
def statement(name: str) -> str:
    """The text of one of the ``sql/*.sql`` files."""
    return resources.files(__package__).joinpath("sql", name).read_text(encoding="utf-8")


class Database:
    """A DuckDB file with our schema, which it creates and migrates.

    Args:
        path: the file; created on first use, unless ``read_only``.
        lock_timeout: seconds to wait for others to let go of the file.
        read_only: never write, and never create the file.
        key: of an encrypted file.
    """

    def __init__(
        self, path: Path, *, lock_timeout: float, read_only: bool, key: StoreKey | None = None
    ) -> None:
        self.path = path
        self.lock_timeout = lock_timeout
        self.read_only = read_only
        self._key = key
        self._engine = Engine(Path(f"{path}.tmp"), key=key)
        self._turn = threading.RLock()
        self._sidecar = filelock.FileLock(f"{path}.lock", thread_local=False, mode=0o600)
        self._checked = False

    @contextmanager
    def connect(
        self, *, read_only: bool = False, lock_timeout: float | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one piece of work; closed, and the file let go of, when the block ends.

        Args:
            read_only: for reading only.
            lock_timeout: seconds to wait for others; default that of the database.

        Raises:
            StoreLockedError: if others hold the file for longer than ``lock_timeout``.
            NotAStoreError: if the file is something else, or missing and ``read_only``.
            StoreDamagedError: if it cannot be read as it was written.
            EncryptionKeyError: if it does not open with the key that was given, or with none.
            StoreVersionError: if a newer release wrote it.
        """
        patience = self.lock_timeout if lock_timeout is None else lock_timeout
        with self._turn, self._queue(patience):
            self._ensure_schema(patience)
            with self._open(read_only=read_only or self.read_only, lock_timeout=patience) as connection:
                try:
                    yield connection
                except duckdb.Error as error:
                    raise self._explain(error, patience) from None
                finally:
                    self._protect_log()

    @contextmanager
    def transaction(self, *, lock_timeout: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StoreError: as ``connect`` does; also if the disk is full or the file damaged.
        """
        self._require_writable()
        with self.connect(lock_timeout=lock_timeout) as connection:
            try:
                connection.begin()
                yield connection
                connection.commit()
            except BaseException as error:
                with contextlib.suppress(duckdb.Error):  # a commit that failed has rolled back
                    connection.rollback()
                if isinstance(error, duckdb.Error) and _is_about_the_disk(error):
                    raise self._refused(error) from None
                raise

    def _refused(self, error: duckdb.Error) -> StoreError:
        """What could not be written; not the error's own text, which may quote a lead."""
        full = "No space left" in str(error) or "File too large" in str(error)
        why = "the disk is full" if full else f"the file cannot be written ({type(error).__name__})"
        return StoreError(
            f"The store {self.path} did not take what happened: {why}. Nothing of it was written; "
            "make room or mend the disk, then run again.",
            path=str(self.path),
        )

    @contextmanager
    def exclusive(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a file that exists, that nobody else has open, and whose log is empty."""
        self._require_writable()
        if not self.path.exists():
            raise self._missing()
        with self.connect() as connection:
            # nobody alive uses what others spilled or drafted here, or we would not be connected
            shutil.rmtree(f"{self.path}.tmp", ignore_errors=True)
            self._remove_leftovers()
            self._empty_log(connection)
            yield connection

    def checkpoint(self) -> None:
        """Moves what the write-ahead log holds into the file.

        Raises:
            StoreError: if it cannot be done now; the log is as good.
        """
        with self.connect() as connection:
            self._empty_log(connection)

    def _empty_log(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute("checkpoint")
        except duckdb.Error as error:
            # without room DuckDB speaks of an invalidated database; nothing on disk is harmed
            raise self._refused(error) from None

    def _require_writable(self) -> None:
        if self.read_only:
            raise StoreError(
                f"The store {self.path} was opened read-only; open it without read_only to write."
            )

    def _missing(self) -> NotAStoreError:
        return NotAStoreError(f"There is no store at {self.path}: is the path right?", path=str(self.path))

    def _protect_log(self) -> None:
        """The write-ahead log holds personal data, and DuckDB creates it readable by everybody."""
        with contextlib.suppress(FileNotFoundError):
            Path(f"{self.path}.wal").chmod(0o600)

    @contextmanager
    def _queue(self, lock_timeout: float) -> Iterator[None]:
        """Our turn among the processes that know the sidecar file."""
        if self.read_only and not self.path.exists():
            raise self._missing()
        if not self.path.parent.is_dir():
            raise StoreError(
                f"The folder {self.path.parent} for the store does not exist: create it, or name another.",
                path=str(self.path),
            )
        try:
            self._sidecar.acquire(timeout=lock_timeout)
        except filelock.Timeout:
            raise StoreLockedError(
                f"The store {self.path} is in use by another process of this library, which did not let go "
                f"within {lock_timeout:g} s. Try again when it is done.",
                path=str(self.path),
            ) from None
        except OSError as error:
            raise StoreError(
                f"The store {self.path} cannot be used: {error.strerror or error}. "
                "Its folder must exist and be writable, also for the lock file beside it.",
                path=str(self.path),
            ) from None
        try:
            yield
        finally:
            self._sidecar.release()

    @contextmanager
    def _open(self, *, read_only: bool, lock_timeout: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, as soon as nobody else has it open."""
        with ExitStack() as stack:
            try:
                # the shell and other programs know no sidecar: wait for them with jitter
                for attempt in stamina.retry_context(
                    on=_is_locked,
                    attempts=None,
                    timeout=lock_timeout,
                    wait_initial=0.02,
                    wait_max=0.5,
                    wait_jitter=0.1,
                ):
                    with attempt:
                        opened = self._engine.attached(self.path, read_only=read_only)
                        connection = stack.enter_context(opened)
            except duckdb.Error as error:
                raise self._explain(error, lock_timeout) from None
            yield connection

    def attach(self, connection: duckdb.DuckDBPyConnection, path: Path, *, name: str) -> None:
        """Gives a connection a second file to write to, encrypted if the store is."""
        attach(connection, path, name=name, key=self._key)

    def _explain(self, error: duckdb.Error, lock_timeout: float) -> StoreError:
        """What a user makes of an error of DuckDB; none of it quotes what is in the store."""
        text, path = str(error), str(self.path)
        if _is_locked(error):
            holder = re.search(r"\(PID (\d+)\)", text)
            who = f"process {holder.group(1)}" if holder else "another process"
            return StoreLockedError(
                f"The store {path} is held by {who}, which did not let go within {lock_timeout:g} s. "
                "Close the DuckDB shell or program that has it open, then try again.",
                path=path,
            )
        if "different configuration" in text or "Unique file handle conflict" in text:
            return StoreLockedError(
                f"The store {path} is already open in this process through duckdb.connect(). "
                "Close that connection, or query with EnrichmentStore.sql().",
                path=path,
            )
        if "not a valid DuckDB database file" in text:
            return NotAStoreError(
                f"The file {path} is not a DuckDB database. Name another file for the store; "
                "this one was left as it is.",
                path=path,
            )
        if mistake := _key_mistake(text):
            return EncryptionKeyError(f"The store {path} {mistake}", path=path)
        if is_damage(error):
            return StoreDamagedError(_damage(path, text.splitlines()[0]), path=path)
        # other errors may quote a value
        said = f": {text.splitlines()[0]}" if isinstance(error, _TELLING) else ""
        return StoreError(f"The store {path} cannot be used ({type(error).__name__}{said})", path=path)

    def _ensure_schema(self, lock_timeout: float) -> None:
        """Creates the file where there is none, also if it has gone since; migrates it once per object."""
        if not self.path.exists():
            self._create()
        elif not self._checked:
            self._migrate(lock_timeout)
        self._checked = True

    def _create(self) -> None:
        """A new file, readable by its owner only, that is complete or not there."""
        # the log of a file that somebody deleted would be taken for the new one's; it may hold paid answers
        with contextlib.suppress(FileNotFoundError):
            Path(f"{self.path}.wal").rename(f"{self.path}.orphaned-{time.time_ns()}.wal")
        with self.draft():
            pass

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A new file with our schema, which takes the store's place, synced, when the block ends well."""
        place = self.path.resolve()  # a link to the file stays one
        self._remove_leftovers()
        self._workshop.mkdir(mode=0o700)
        try:
            draft = self._workshop / self.path.name
            try:
                with self._engine.attached(draft, name="fresh") as connection:
                    _apply_migrations(connection, since=0)
                    # closing would do it, too, but says nothing when it fails
                    connection.execute("checkpoint")
            except duckdb.Error as error:
                raise self._refused(error) from None
            draft.chmod(0o600)
            yield draft
            if place.exists():
                _keep_owner(draft, of=place)
            sync(draft)
            draft.replace(place)
            sync(place.parent)
        finally:
            self._remove_leftovers()

    @property
    def _workshop(self) -> Path:
        """The folder for drafts: one is enough, because it is our turn."""
        place = self.path.resolve()
        return place.with_name(f".{place.name}.draft")

    def _remove_leftovers(self) -> None:
        """The draft of a process that was killed: it holds personal data."""
        shutil.rmtree(self._workshop, ignore_errors=True)

    def _migrate(self, lock_timeout: float) -> None:
        with self._open(read_only=True, lock_timeout=lock_timeout) as connection:
            try:
                version = schema_version(connection)
            except duckdb.Error as error:
                raise self._explain(error, lock_timeout) from None
        if version is None:
            raise NotAStoreError(
                f"The file {self.path} is a DuckDB database, but not a store of buena_pipeline. "
                "Name another file for the store; this one was left as it is.",
                path=str(self.path),
            )
        if version > SCHEMA_VERSION:
            raise StoreVersionError(
                f"The store {self.path} has schema version {version}; this release knows {SCHEMA_VERSION}. "
                "Upgrade: pip install --upgrade buena-pipeline",
                path=str(self.path),
            )
        if version < SCHEMA_VERSION and not self.read_only:
            with self._open(read_only=False, lock_timeout=lock_timeout) as connection:
                connection.begin()
                _apply_migrations(connection, since=version)
                connection.commit()


def is_damage(error: duckdb.Error) -> bool:
    """Whether the file or its log is not as it was written: a flipped bit, a copy cut short."""
    return _DAMAGE.search(str(error)) is not None


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
    if "WAL" in what:
        return (
            f"The log {path}.wal beside the store is damaged ({what}). It holds the newest answers: copy "
            "both files away first of all. With a backup, restore both; without one, moving the log away "
            "opens the store as it was before it, and what only the log held is bought again."
        )
    return (
        f"The store {path} is damaged ({what}). Copy it and {path}.wal away first of all, and restore a "
        "backup; without one, EnrichmentStore.sql() still reads the tables whose blocks are whole."
    )


def _is_about_the_disk(error: duckdb.Error) -> bool:
    """Whether a write failed for a reason outside of what was written."""
    return not isinstance(error, duckdb.ProgrammingError | duckdb.DataError) and not is_damage(error)


def _is_locked(error: Exception) -> bool:
    return isinstance(error, duckdb.IOException) and "Could not set lock" in str(error)


def _keep_owner(path: Path, *, of: Path) -> None:
    """Root may do the work for somebody else, who still has to open the file."""
    owner = of.stat()
    with contextlib.suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)


def sync(path: Path) -> None:
    """Waits until a file is on disk, or a change in a folder, where folders can be synced."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The file's schema version; None for a database that is not ours."""
    try:
        found = connection.execute(
            "select max(value::int) from meta where name = 'schema_version'"
        ).fetchone()
    except duckdb.Error as error:
        if is_damage(error):
            raise
        return None
    return found[0] if found else None


def _apply_migrations(connection: duckdb.DuckDBPyConnection, *, since: int) -> None:
    """Runs the migrations after ``since`` in order, then rebuilds the views."""
    migrations = resources.files(__package__).joinpath("sql", "migrations")
    for script in sorted(migrations.iterdir(), key=lambda entry: entry.name):
        version = int(script.name.split("_")[0])
        if version > since:
            connection.execute(script.read_text(encoding="utf-8"))
            connection.execute("insert into meta values ('schema_version', ?)", [str(version)])
    connection.execute(statement("views.sql"))
