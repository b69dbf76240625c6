"""Workers: processes that enrich, and that a test may kill at a moment of its choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from buena_pipeline import Sandbox

ROOT: Final = Path(__file__).parents[2]

_PATIENCE: Final = 60.0


class Worker:
    """A process that is ready to enrich, does so when told, and can be killed.

    Args:
        sandbox: the vendor it buys from.
        store: the file of its store.
        people: the numbers of the people it enriches.
        options: of ``tests.torture.worker``, such as ``concurrency=8``.
        wrapper: a command that the worker is started by, such as ``["unshare", "-rm"]``.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        store: Path,
        people: Iterable[int],
        *,
        wrapper: Iterable[str] = (),
        **options: object,
    ) -> None:
        told = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        numbers = ",".join(map(str, people))
        command = [*wrapper, sys.executable, "-m", "tests.torture.worker", str(store), numbers, *told]
        settings = {"BUENA_API_KEY": sandbox.api_key, "BUENA_BASE_URL": sandbox.url, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def go(self) -> None:
        """Waits until it is ready, and lets it begin."""
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        said = self._process.stdout.readline()
        if said != "ready\n":
            raise AssertionError(f"the worker did not start: {said}{self._process.communicate()[1]}")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def kill(self) -> bool:
        """``kill -9``; whether it was still running then."""
        self._process.kill()
        _, complaint = self._process.communicate(timeout=_PATIENCE)
        if self._process.returncode > 0:
            raise AssertionError(f"the worker failed: {complaint}")
        return self._process.returncode < 0

    def finish(self) -> dict[str, Any]:
        """Waits for the end; its report, as ``EnrichmentReport.to_json`` wrote it."""
        code, said, complaint = self.end()
        assert code == 0, complaint
        return json.loads(said)

    def end(self) -> tuple[int, str, str]:
        """Waits for the end, however it comes: exit code, standard output and standard error."""
        said, complaint = self._process.communicate(timeout=_PATIENCE)
        return self._process.returncode, said, complaint

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, if it has not ended."""
        with self._process:  # closes the pipes
            self._process.kill()


def wait_until(reached: Callable[[], object], *, every: float = 0.002) -> None:
    """Looks every few milliseconds, and fails after a minute."""
    latest = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < latest, "it did not come to that within a minute"
        time.sleep(every)
