"""The DuckDB file: opened for one piece of work at a time, so that everybody takes turns.

Inside a machine the turns are kept by a lock on a sidecar file; a program that does not know the sidecar,
such as the DuckDB shell, is waited for. Knows nothing of leads; ``enrichment_store`` does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.errors import StoreError
from buena_pipeline.settings import StoreKey
from buena_pipeline.store import diagnosis
from buena_pipeline.store.encryption import MEMORY, attach
from buena_pipeline.store.engine import Engine
from buena_pipeline.store.migrations import SCHEMA_VERSION, apply_migrations, known_version
from buena_pipeline.store.ownership import keep_owner, somebody_elses
from buena_pipeline.store.signals import Watch, block

_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says where nothing may be written."""

_PAUSE: Final = 0.05
"""Seconds of waiting for a lock, before signals are listened to."""


class Database:
    """A DuckDB file with our schema, which it creates and migrates.

    Args:
        path: the file; created on first use, unless ``read_only``.
        lock_timeout: seconds to wait for others to let go of the file.
        read_only: never write, and never create the file.
        key: of an encrypted file.
        keep_log: takes the log of a file that is gone to where it is safe.

    Attributes:
        outdated: whether the file has an older schema, which it keeps because it was opened ``read_only``.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock_timeout: float,
        read_only: bool,
        key: StoreKey | None = None,
        keep_log: Callable[[Path], None],
    ) -> None:
        self.path = path
        self.lock_timeout = lock_timeout
        self.read_only = read_only
        self.outdated = False
        self._key = key
        self._keep_log = keep_log
        self._engine = Engine(self._spill(), key=key)
        self._checked: tuple[int, int] | None = None
        self.make_locks()
        _databases.add(self)

    def _spill(self) -> Path:
        """The folder for what does not fit in memory: beside the file, where that may be written to."""
        beside = Path(f"{self.path}.tmp")
        if not self.read_only or os.access(self.path.parent, os.W_OK):
            return beside
        try:
            room = tempfile.mkdtemp(prefix="buena-")  # for its owner only
        except OSError:
            return beside
        weakref.finalize(self, shutil.rmtree, room, ignore_errors=True)
        return Path(room) / beside.name

    def make_locks(self) -> None:
        """Locks that nobody holds: in the beginning, and after a fork, when those here are the parent's."""
        import filelock

        self._turn = threading.RLock()
        self._sidecar = filelock.FileLock(f"{self.path}.lock", thread_local=False, mode=0o600)

    @block
    def connect(
        self, *, read_only: bool = False, lock_timeout: float | None = None, little: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one piece of work; closed, and the file let go of, when the block ends.

        Signals are held back while the file is taken and let go of. One that strikes in between raises what
        its handler raises, such as KeyboardInterrupt, also from within DuckDB.

        Args:
            read_only: for reading only.
            lock_timeout: seconds to wait for others; default that of the database.
            little: whether there is little to do, for which one core is enough.

        Raises:
            StoreLockedError: if others hold the file for longer than ``lock_timeout``.
            NotAStoreError: if the file is something else, or missing and ``read_only``.
            StoreDamagedError: if it cannot be read as it was written.
            EncryptionKeyError: if it does not open with the key that was given, or with none.
            StoreVersionError: if a newer release wrote it.
        """
        patience = self.lock_timeout if lock_timeout is None else lock_timeout
        with (
            Watch() as watch,
            self._turn_of_this_thread(patience, watch),
            self._queue(patience, watch),
        ):
            self._ensure_schema(patience, watch)
            opened = self._open(patience, watch, read_only=read_only or self.read_only, little=little)
            with opened as connection:
                try:
                    # of a query that a worker thread of DuckDB runs to its end, it hears only by this
                    watch.cancel = connection.interrupt
                    watch.holding = False
                    watch.hear()
                    yield connection
                except duckdb.Error as error:
                    raise self._explained(error, patience) from None
                finally:
                    watch.holding = True
                    watch.cancel = None
                    self._protect_log()

    @block
    def transaction(
        self, *, lock_timeout: float | None = None, little: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in a transaction: committed when the block ends, rolled back when it raises.

        Args:
            lock_timeout: as for ``connect``.
            little: likewise.

        Raises:
            StoreError: as ``connect`` does; also if the disk is full or the file damaged.
        """
        self._require_writable()
        with self.connect(lock_timeout=lock_timeout, little=little) as connection:
            try:
                connection.begin()
                yield connection
                connection.commit()
            except BaseException as error:
                with contextlib.suppress(duckdb.Error):  # a commit that failed has rolled back
                    connection.rollback()
                if isinstance(error, duckdb.Error) and diagnosis.is_about_the_disk(error):
                    raise diagnosis.not_written(error, self.path) from None
                raise

    @block
    def unmade(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to what the file would hold if it were made now; it is not."""
        self.require_place()
        with Engine(self._spill(), key=self._key).attached(Path(MEMORY)) as connection:
            apply_migrations(connection, since=0)
            yield connection

    @block
    def exclusive(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a file that exists, that nobody else has open, and whose log is empty."""
        self._require_writable()
        if not self.path.exists():
            raise diagnosis.missing(self.path)
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
            raise diagnosis.not_written(error, self.path) from None

    def _explained(self, error: duckdb.Error, waited: float) -> StoreError:
        return diagnosis.explain(error, self.path, waited=waited, whose=somebody_elses(self.path))

    def _require_writable(self) -> None:
        if self.read_only:
            raise StoreError(
                f"The store {self.path} was opened read-only; open it without read_only to write."
            )

    def _protect_log(self) -> None:
        """The write-ahead log holds personal data, and DuckDB creates it readable by everybody."""
        if self.read_only:
            return
        with contextlib.suppress(FileNotFoundError):
            Path(f"{self.path}.wal").chmod(0o600)

    @contextmanager
    def _turn_of_this_thread(self, lock_timeout: float, watch: Watch) -> Iterator[None]:
        """Our turn among the threads that share this object."""
        turn = self._turn
        if not _taken(lambda wait: turn.acquire(timeout=wait), lock_timeout, watch):
            raise diagnosis.in_use(self.path, by="another thread of this process", waited=lock_timeout)
        try:
            yield
        finally:
            turn.release()

    def require_place(self) -> None:
        """Makes sure that the path may be that of a store; of one that is there, if it is only read."""
        if self.read_only and not self.path.exists():
            raise diagnosis.missing(self.path)
        if not self.path.parent.is_dir():
            is_there = self.path.parent.exists()
            what = "is no folder: name another" if is_there else "does not exist: create it, or name another"
            raise StoreError(f"The folder {self.path.parent} for the store {what}.", path=str(self.path))
        if self.path.is_dir():
            raise diagnosis.not_a_file(self.path)

    @contextmanager
    def _queue(self, lock_timeout: float, watch: Watch) -> Iterator[None]:
        """Our turn among the processes that know the sidecar file."""
        self.require_place()
        import filelock

        sidecar = self._sidecar

        def take(wait: float) -> bool:
            try:
                sidecar.acquire(timeout=wait)
            except filelock.Timeout:
                return False
            except OSError as error:
                # who only reads has DuckDB's own lock, and may have no right to make files here
                if not (self.read_only and error.errno in _DENIED):
                    raise
            return True

        try:
            if not _taken(take, lock_timeout, watch):
                by = "another process of this library"
                raise diagnosis.in_use(self.path, by=by, waited=lock_timeout)
        except OSError as error:
            raise diagnosis.not_locked(error, self.path, whose=somebody_elses(self.path)) from None
        try:
            yield
        finally:
            if sidecar.is_locked:
                sidecar.release()

    @contextmanager
    def _open(
        self, lock_timeout: float, watch: Watch, *, read_only: bool, little: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, as soon as nobody else has it open."""
        import tenacity

        with ExitStack() as stack:
            try:
                # the shell and other programs know no sidecar: wait for them with jitter
                for attempt in tenacity.Retrying(
                    retry=tenacity.retry_if_exception(diagnosis.is_locked),
                    stop=tenacity.stop_after_delay(lock_timeout),
                    wait=tenacity.wait_exponential(0.02, max=0.5) + tenacity.wait_random(0, 0.1),
                    reraise=True,
                ):
                    watch.hear()
                    with attempt:
                        opened = self._engine.attached(self.path, read_only=read_only, little=little)
                        connection = stack.enter_context(opened)
            except duckdb.Error as error:
                raise self._explained(error, lock_timeout) from None
            yield connection

    def attach(self, connection: duckdb.DuckDBPyConnection, path: Path, *, name: str) -> None:
        """Gives a connection a second file to write to, encrypted if the store is."""
        attach(connection, path, name=name, key=self._key)

    def _ensure_schema(self, lock_timeout: float, watch: Watch) -> None:
        """Creates the file where there is none, also if it has gone since; migrates it once."""
        identity = self._identity()
        if identity is None:
            try:
                self._create()
            except OSError as error:
                raise diagnosis.not_created(error, self.path) from None
        elif self._checked != identity:
            if self.path.stat().st_size == 0:
                raise diagnosis.empty(self.path)
            self._migrate(lock_timeout, watch)
        self._checked = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        """What tells a file from another one of its name, such as a backup; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            found = self.path.stat()
            return found.st_dev, found.st_ino
        return None

    def _create(self) -> None:
        """A new file, readable by its owner only, that is complete or not there."""
        # the log of a file that somebody deleted would be taken for the new one's; it may hold paid answers
        if (log := Path(f"{self.path}.wal")).exists():
            self._keep_log(log)
        with self.draft():
            pass

    @block
    def draft(self) -> Iterator[Path]:
        """A new file with our schema, which takes the store's place, synced, when the block ends well."""
        place = self.path.resolve()  # a link to the file stays one
        self._remove_leftovers()
        self._workshop.mkdir(mode=0o700)
        try:
            draft = self._workshop / self.path.name
            try:
                with self._engine.attached(draft, name="fresh") as connection:
                    connection.begin()  # one commit takes half the time of hundreds
                    apply_migrations(connection, since=0)
                    connection.commit()
                    # closing would do it, too, but says nothing when it fails
                    connection.execute("checkpoint")
            except duckdb.Error as error:
                raise diagnosis.not_written(error, self.path) from None
            draft.chmod(0o600)
            yield draft
            if place.exists():
                keep_owner(draft, of=place)
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

    def _migrate(self, lock_timeout: float, watch: Watch) -> None:
        with self._open(lock_timeout, watch, read_only=True) as connection:
            try:
                version = known_version(connection, self.path)
            except duckdb.Error as error:
                raise self._explained(error, lock_timeout) from None
        self.outdated = version < SCHEMA_VERSION and self.read_only
        if version < SCHEMA_VERSION and not self.read_only:
            with self._open(lock_timeout, watch, read_only=False) as connection:
                try:
                    connection.begin()
                    apply_migrations(connection, since=version)
                    connection.commit()
                except duckdb.Error as error:
                    raise diagnosis.not_migrated(error, self.path, version) from None


def _taken(take: Callable[[float], bool], patience: float, watch: Watch) -> bool:
    """Whether a lock could be taken, by what waits for it so many seconds; signals are heard meanwhile."""
    until = time.monotonic() + patience
    while not take(max(0.0, min(until - time.monotonic(), _PAUSE))):
        watch.hear()
        if time.monotonic() >= until:
            return False
    return True


_databases: Final[weakref.WeakSet[Database]] = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_databases):
        database.make_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def sync(path: Path) -> None:
    """Waits until a file is on disk, or a change in a folder, where folders can be synced."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
