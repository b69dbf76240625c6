"""Measured pieces, each in a process of its own, and what the operating system says they took.

Imports nothing large: a child's peak of memory is never told as less than what its parent held when it
started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]

_PATIENCE: Final = 900.0
"""Seconds after which a piece is given up."""

_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


class PieceError(Exception):
    """A piece ended with an error: something is broken, whatever the speed."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared.

    Attributes:
        name: what people read.
        piece: ``module.function`` in ``bench.pieces``.
        arguments: what the function is called with.
        size: rows, people or calls.
        people: different people in its table, if it buys.
        ours: whether it is the library.
        python: another interpreter than this one.
    """

    name: str
    piece: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    people: int | None = None
    ours: bool = False
    python: str = sys.executable


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a piece.

    Attributes:
        wall: seconds of the piece itself, after its imports and inputs.
        cpu: user and system seconds of the piece itself.
        before_cpu: user and system seconds that imports and inputs took.
        before_peak: the peak of memory when imports and inputs were there, in bytes.
        told: what the piece found out.
        peak: the peak of the process's memory, in bytes.
        process_cpu: user and system seconds of the whole process.
    """

    wall: float
    cpu: float
    before_cpu: float
    before_peak: int
    told: dict[str, Any]
    peak: int
    process_cpu: float


def run(side: Side, **more: Any) -> Sample:
    """Runs a piece in a process of its own.

    Args:
        side: the piece.
        more: further arguments of it.

    Raises:
        PieceError: if it fails; says how.
    """
    command = [side.python, "-m", "bench.worker", side.piece, json.dumps({**side.arguments, **more})]
    status, usage, told, complaint = spend(command)
    if status != 0:
        raise PieceError(f"{side.name} ({side.piece}) ended with {status}:\n{complaint[-2_000:]}")
    figures = json.loads(told.splitlines()[-1])
    return Sample(**figures, peak=usage.ru_maxrss * _UNIT, process_cpu=usage.ru_utime + usage.ru_stime)


def spend(command: Sequence[str]) -> tuple[int, Any, str, str]:
    """Runs a command: its exit status, what the operating system says it used, and its two outputs."""
    # compiled modules are kept, as they are where something is installed
    ignored = ("BUENA_", "PYTHONDONTWRITEBYTECODE")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(command, stdout=told, stderr=complaint, cwd=ROOT, env=settings)
        alarm = Timer(_PATIENCE, process.kill)
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        complaint.seek(0)
        return process.returncode, usage, told.read(), complaint.read()


def in_turn(sides: Sequence[Side], repeats: int) -> Iterator[Side]:
    """Each side so many times, in turn and in alternating order."""
    for number in range(repeats):
        yield from sides if number % 2 == 0 else reversed(sides)
