"""A process that may not take more than so much memory.

Confined by a control group where one can be made, as root can on most machines: it counts what a process
really takes, its part of the page cache included. Else by its address space (``ulimit -v``), which is far
stricter: what allocators and mapped files only reserve counts as well.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def confine(room: int) -> str:
    """Confines this process, and says by what.

    Args:
        room: bytes.
    """
    for group, limit, members in (
        (_GROUPS / "memory" / f"buena-bench-{os.getpid()}", "memory.limit_in_bytes", "tasks"),
        (_GROUPS / f"buena-bench-{os.getpid()}", "memory.max", "cgroup.procs"),
    ):
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(room))
                (group / members).write_text(str(os.getpid()))
            except OSError:
                group.rmdir()
                raise
            atexit.register(_leave, group, members)
            return "a control group"
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    return "ulimit -v"


def _leave(group: Path, members: str) -> None:
    """Only an empty group can be removed."""
    with contextlib.suppress(OSError):
        (group.parent / members).write_text(str(os.getpid()))
        group.rmdir()
