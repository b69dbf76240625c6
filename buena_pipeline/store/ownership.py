"""Whose the files of a store are: private to one user of the operating system."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def somebody_elses(path: Path) -> str | None:
    """Which file of a store belongs to another user, and to whom; None if none does, or nobody can tell.

    Args:
        path: the store's own file.
    """
    if not hasattr(os, "geteuid"):
        return None
    for file in (path, Path(f"{path}.lock"), Path(f"{path}.journal")):
        with contextlib.suppress(OSError):
            owner = file.stat().st_uid
            if owner != os.geteuid():
                return f"{file} belongs to {_name(owner)}, and this is {_name(os.geteuid())}"
    return None


def keep_owner(path: Path, *, of: Path) -> None:
    """Gives a file to the owner of another: root may do the work for somebody who still has to open it."""
    owner = of.stat()
    with contextlib.suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)


def _name(user: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"
