"""Whether a store may have changed since it was read: told by what the file system says of its files alone.

Who commits writes to the log, who moves the log into the file changes both, who erases puts another file in
the place of the old one, and who cannot write leaves an entry in the journal: each leaves its trace in inode,
size or time of change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Final, TypeAlias

Fingerprint: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change (nanoseconds) of each file, None where there is none."""

_TICK: Final = 100_000_000
"""Nanoseconds in which a second change may get the time of the first: file systems read a coarse clock."""

_COARSE_TICK: Final = 2_000_000_000
"""Likewise where times of change are whole seconds."""

_SECOND: Final = 1_000_000_000


def fingerprint(paths: Iterable[str]) -> Fingerprint:
    """What the file system says of some files and folders."""
    return tuple(map(_sign, paths))


def is_settled(taken: Fingerprint, *, now: int) -> bool:
    """Whether any later change shows in a fingerprint; at first it might have the time of the last one.

    Args:
        taken: the fingerprint.
        now: a moment before it was taken, in nanoseconds.

    Example:
        >>> is_settled(((7, 4096, 1_000_000_001), None), now=1_050_000_000)
        False
        >>> is_settled(((7, 4096, 1_000_000_001), None), now=1_200_000_000)
        True
    """
    return all(
        sign is None or now - sign[2] > (_TICK if sign[2] % _SECOND else _COARSE_TICK) for sign in taken
    )


def _sign(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path would take longer than the question
    except FileNotFoundError:
        return None
    except OSError:
        return 0, 0, time.time_ns()  # nobody knows, so it is never the same
    return found.st_ino, found.st_size, found.st_mtime_ns
