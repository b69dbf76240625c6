"""The journal: paid answers that the store could not take, one synced file each beside it, until it can.

Also where runs show that they live: each holds a lock that the operating system lets go of with the process.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from buena_pipeline.errors import StoreError
from buena_pipeline.store.database import sync
from buena_pipeline.store.departures import Departures, departed
from buena_pipeline.store.signals import Watch, block

if TYPE_CHECKING:
    import filelock

_HEAD: Final = b"buena_pipeline journal 1 "


class JournalWarning(UserWarning):
    """Something in the journal cannot be read, such as a damaged entry; it was kept."""


def warn_of_unread(path: Path, error: OSError) -> None:
    """Of an entry that stays where it is, because it cannot be read now."""
    warnings.warn(
        f"The journal entry {path} holds answers that were paid for, and cannot be read now "
        f"({error.strerror or type(error).__name__}): it stays there until a run can. Until then its people "
        "are of unknown outcome in the ledger.",
        JournalWarning,
        stacklevel=2,
    )


def _let_go(lock: filelock.FileLock) -> None:
    if lock.is_locked:
        lock.release()
    with contextlib.suppress(OSError):  # whoever finds it there, finds that nobody holds it
        Path(lock.lock_file).unlink(missing_ok=True)


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Journal:
    """A folder of entries.

    Args:
        folder: made when it is needed, for its owner only.
        seal: what makes bytes of an entry's text; encrypted stores bring their own.
        unseal: the way back.
        shared: whether other users may have made the folder, as beside a store they share.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seal: Callable[[str], bytes] = str.encode,
        unseal: Callable[[bytes], str] = bytes.decode,
        shared: bool = True,
    ) -> None:
        self.folder = folder
        self._shared = shared
        self._seal = seal
        self._unseal = unseal

    def put(self, text: str) -> Path:
        """Writes an entry, synced and complete or not there at all, and returns its path.

        Raises:
            OSError: if the disk does not take it.
        """
        payload = self._seal(text)
        self._make()
        path = self.folder / f"{time.time_ns():020}-{uuid.uuid4()}.json"
        draft = path.with_suffix(".tmp")
        try:
            with open(draft, "xb", opener=_for_owner_only) as file:
                file.write(_HEAD + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        sync(self.folder)
        return path

    @property
    def spare(self) -> Journal:
        """The journal for when the store's disk is full: in the system's temporary folder, nobody else's."""
        whose = f"{os.getuid() if hasattr(os, 'getuid') else ''} {self.folder}"
        name = f"buena-{hashlib.sha256(whose.encode()).hexdigest()[:16]}.journal"
        folder = Path(tempfile.gettempdir()) / name
        return Journal(folder, seal=self._seal, unseal=self._unseal, shared=False)

    def entries(self) -> list[Path]:
        """The entries that wait to be taken in, oldest first."""
        return sorted(self.folder.glob("*.json")) if self._is_ours() else []

    def aside(self) -> list[Path]:
        """What is damaged, or was cut short by a crash."""
        return sorted([*self.folder.glob("*.corrupt"), *self.folder.glob("*.tmp")])

    def read(self, path: Path) -> str | None:
        """The text of an entry; None if it is damaged.

        Raises:
            OSError: if it is gone, or cannot be read now.
        """
        head, _, payload = path.read_bytes().partition(b"\n")
        if head != _HEAD + hashlib.sha256(payload).hexdigest().encode():
            return None
        try:
            return self._unseal(payload)
        except ValueError:
            return None

    def set_aside(self, path: Path) -> None:
        """Keeps a damaged entry out of the way, and warns: it may hold answers that were paid for."""
        aside = path.with_suffix(".corrupt")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return  # not damaged, but gone: somebody has taken it in meanwhile
        warnings.warn(
            f"The journal entry {aside} is damaged and was set aside: it may hold answers that were paid "
            "for. Their people are of unknown outcome in the ledger. Keep the file if you want to have it "
            "looked at, else delete it.",
            JournalWarning,
            stacklevel=2,
        )

    def keep_log(self, path: Path) -> None:
        """Keeps the log of a store whose file is gone, and warns: it may hold answers that were paid for.

        Raises:
            OSError: if it cannot be moved.
        """
        self._make()
        aside = self.folder / f"{time.time_ns():020}-log.corrupt"
        path.rename(aside)
        aside.chmod(0o600)
        warnings.warn(
            f"The log {path} was left behind by a store that is gone, and may hold answers that were paid "
            f"for; it is kept as {aside}. If the store comes back from a backup that was made at the same "
            f"time, put it back beside it as {path.name}; else delete it.",
            JournalWarning,
            stacklevel=2,
        )

    # --- who lives --------------------------------------------------------------------------------------

    @block
    def living(self, run_id: str) -> Iterator[Departures]:
        """Shows to other processes, for the length of the block, that a run lives.

        Yields:
            Where the run writes down which of its requests leave. It stays behind if the block raises.

        Raises:
            StoreError: if the folder cannot be written.
        """
        lock, departures = self._lock_of(run_id), Departures(self._list_of(run_id))
        try:
            try:
                with Watch():
                    self._show_life(lock, departures)
                yield departures
                with contextlib.suppress(OSError):
                    departures.path.unlink(missing_ok=True)
            finally:
                with Watch():
                    departures.close()
                    _let_go(lock)
        finally:
            _let_go(lock)  # if a signal struck before it was held back

    def departed(self, run_id: str) -> frozenset[str] | None:
        """The requests of a run that is gone which have left; None if nobody can tell."""
        return departed(self._list_of(run_id))

    def sweep(self) -> None:
        """Removes what runs that are gone have left behind; for when their requests are settled."""
        lists = {path.stem: path for path in self.folder.glob("*.sent")}
        for run_id in set(lists).difference(self.alive(lists)):
            with contextlib.suppress(OSError):
                lists[run_id].unlink(missing_ok=True)

    def _show_life(self, lock: filelock.FileLock, departures: Departures) -> None:
        try:
            self._make()
            lock.acquire(timeout=0)
            departures.open()
        except OSError as error:
            raise StoreError(
                f"The folder {self.folder} beside the store cannot be written: {error.strerror or error}. "
                "Paid answers could not be kept safe, so nothing was sent.",
                path=str(self.folder),
            ) from None

    def alive(self, run_ids: Iterable[str]) -> list[str]:
        """Those of the runs that live."""
        with Watch():
            return [run_id for run_id in run_ids if self._is_alive(run_id)]

    def _is_alive(self, run_id: str) -> bool:
        import filelock

        lock = self._lock_of(run_id)
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:  # somebody else's file, or gone by now
            return Path(lock.lock_file).exists()
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        return False

    def _lock_of(self, run_id: str) -> filelock.FileLock:
        import filelock

        return filelock.FileLock(self.folder / f"{run_id}.run", thread_local=False, mode=0o600)

    def _list_of(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.sent"

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if not self._is_ours():
            raise OSError(errno.EPERM, "the folder belongs to somebody else", str(self.folder))

    def _is_ours(self) -> bool:
        """Whether the folder is there, and not one that somebody else put in its place."""
        try:
            found = self.folder.lstat()
        except OSError:
            return False
        if self._shared or not hasattr(os, "getuid"):
            return True
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
