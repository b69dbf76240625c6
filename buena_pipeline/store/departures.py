"""Which requests of a run have left: written down by the run, read by others once it is gone.

Requests are entered in the ledger before they leave, and some wait for a connection then. Of a run that was
killed, this tells those that never left, so that nobody takes them for charged.

A line is with the operating system before its request leaves. So it outlives the process, but perhaps not the
machine: a list proves something only in the boot it was written in, and in the file it was written to.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from buena_pipeline.errors import StoreError

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Departures:
    """The list of one run, which is written by any of its threads.

    Args:
        path: of the list; nobody else's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     departures = Departures(Path(folder, "run.sent"))
        ...     departures.open()
        ...     departures.note("a")
        ...     told = departed(departures.path)
        ...     departures.close()
        >>> told == frozenset({"a"}) or told is None  # on systems that do not tell their boots apart
        True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._ended = False
        # a thread must not write where the descriptor has become another file's
        self._turn = threading.Lock()

    def open(self) -> None:
        """Begins the list, empty; where boots cannot be told apart, there is none.

        Raises:
            OSError: if it cannot be written.
        """
        if _boot() is None:
            return
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._append(_head(os.fstat(self._descriptor)))

    def note(self, request_id: str) -> None:
        """A request leaves now.

        Raises:
            StoreError: if that can neither be written nor the list be given up, or the run is over; then it
                must not leave.
        """
        with self._turn:
            if self._ended:
                raise StoreError(
                    "The run is over: a request of it that had not left does not leave any more."
                )
            if self._descriptor is None:
                return
            try:
                self._append(request_id)
            except OSError:
                self._give_up()

    def _give_up(self) -> None:
        """A list that lacks a request would call it unsent."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"The file {self.path} beside the store can neither be written nor removed: "
                f"{error.strerror or error}. Nothing more was sent.",
                path=str(self.path),
            ) from None

    def close(self) -> None:
        """Ends the list, which stays."""
        with self._turn:
            self._ended = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _append(self, line: str) -> None:
        text = f"{line}\n".encode()
        if self._descriptor is None or os.write(self._descriptor, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def departed(path: Path) -> frozenset[str] | None:
    """The requests on a list, after the death of its run; None if it proves nothing.

    Args:
        path: of the list.
    """
    try:
        with path.open(encoding="ascii") as file:
            head, *lines = file.read().split("\n")
            genuine = _boot() is not None and head == _head(os.fstat(file.fileno()))
    except (OSError, ValueError):
        return None
    return frozenset(filter(None, lines)) if genuine else None


def _head(file: os.stat_result) -> str:
    """What the first line says if nobody has copied the list or started the machine anew."""
    return f"{_boot()} {file.st_dev} {file.st_ino}"


@cache
def _boot() -> str | None:
    """What tells this start of the machine from all others; None where nothing does."""
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip() or None
    return None
