"""Processes that share a store with others, and that a test may kill at a moment of its choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, Final

from buena_pipeline import Sandbox

ROOT: Final = Path(__file__).parents[2]

_PATIENCE: Final = 60.0

_HOLD: Final = """
import sys, time, duckdb
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        connection = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:
        time.sleep(0.001)
print("open", flush=True)
sys.stdin.read()
connection.close()
"""


def _environment() -> dict[str, str]:
    """That of the tests, without their coverage: what it writes would count towards a quota."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


class Process:
    """A Python process that says ``ready``, reads its standard input, and can be killed.

    Args:
        arguments: what stands behind ``python`` on its command line.
        wrapper: a command it is started by, such as ``["unshare", "-rm"]``.
        settings: environment variables.
    """

    def __init__(
        self, *arguments: str, wrapper: Iterable[str] = (), settings: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [*wrapper, sys.executable, *arguments],
            cwd=ROOT,
            env={**_environment(), "PYTHONPATH": str(ROOT), **(settings or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, if it has not ended."""
        with self._process:  # closes the pipes
            self._process.kill()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def go(self) -> Process:
        """Waits until it is ready, and lets it begin."""
        self.wait_for("ready")
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self

    def wait_for(self, word: str) -> None:
        """Waits until it says this word, on a line of its own."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == f"{word}\n", f"it did not come to that: {said}{self.end()[1:]}"

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def cpu_seconds(self) -> float:
        """How long it has computed by now, as Linux tells."""
        told = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self, *, fine: Container[int] = (0,)) -> bool:
        """``kill -9``; whether it was still running, else it must have ended with a fine exit code."""
        self._process.kill()
        code, said, complaint = self.end()
        assert code < 0 or code in fine, f"it had failed before: {said}{complaint}"
        return code < 0

    def end(self) -> tuple[int, str, str]:
        """Waits for the end, however it comes: exit code, standard output and standard error."""
        said, complaint = self._process.communicate(timeout=_PATIENCE)
        return self._process.returncode, said, complaint

    def finish(self) -> dict[str, Any]:
        """Waits for a good end; the JSON object it said."""
        code, said, complaint = self.end()
        assert code == 0, complaint
        return json.loads(said)


def worker(
    sandbox: Sandbox,
    store: Path,
    people: Iterable[int],
    *,
    wrapper: Iterable[str] = (),
    spare: Path | None = None,
    **options: object,
) -> Process:
    """A process that enriches.

    Args:
        sandbox: the vendor it buys from.
        store: the file of its store.
        people: the numbers of the people it enriches.
        wrapper: a command it is started by.
        spare: the folder for temporary files.
        options: of ``tests.torture.worker``, such as ``concurrency=8``.
    """
    told = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    numbers = ",".join(map(str, people))
    settings = {"BUENA_API_KEY": sandbox.api_key, "BUENA_BASE_URL": sandbox.url}
    if spare:
        settings["TMPDIR"] = str(spare)
    module = ("-m", "tests.torture.worker")
    return Process(*module, str(store), numbers, *told, wrapper=wrapper, settings=settings)


def reader(store: Path) -> Process:
    """A process that counts the people of a store again and again, until its ``end``."""
    return Process("-m", "tests.torture.reader", str(store))


def holder(store: Path) -> Process:
    """A process that opens a store as soon as it can, says ``open``, and has it open until its ``end``."""
    return Process("-c", _HOLD, str(store))


def wait_until(reached: Callable[[], object], *, every: float = 0.002) -> None:
    """Looks every few milliseconds, and fails after a minute."""
    latest = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < latest, "it did not come to that within a minute"
        time.sleep(every)
