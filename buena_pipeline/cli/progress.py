"""How far a run is: a bar on a terminal, a line now and then anywhere else. Goes to stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from buena_pipeline.cli.display import amount
from buena_pipeline.result import EnrichmentProgress

_STEPS: Final = 10
_WORTH_A_LINE: Final = timedelta(seconds=10)
_SECONDS: Final = 60.0


@contextmanager
def show_progress(
    console: Console, *, quiet: bool = False
) -> Iterator[Callable[[EnrichmentProgress], None] | None]:
    """Show the progress of the run that is made in the block.

    Args:
        console: where to; a bar if it is a terminal, else plain lines.
        quiet: show nothing.

    Yields:
        What ``Enricher(progress=...)`` takes.

    Example:
        >>> import sys
        >>> with show_progress(Console(file=sys.stdout, width=80)) as progress:
        ...     progress(EnrichmentProgress(done=50, total=200, credits_used=46.0))
        50 of 200 people (25%), 46 credits, 0:00:00
    """
    if quiet:
        yield None
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as bar:
            task = bar.add_task("", total=None, credits="0", note="")
            yield lambda state: bar.update(
                task,
                completed=state.done,
                total=state.total,
                credits=amount(state.credits_used),
                note=_note(state),
            )
    else:
        yield PlainProgress(console)


def _note(state: EnrichmentProgress) -> str:
    """What a run waits for, if it waits."""
    if state.stopping:
        return "stopping: waiting for the answers that are under way (press again to give up on them)"
    if state.waiting_until is not None:
        return f"waiting for the rate limit until {state.waiting_until:%H:%M:%S} UTC"
    return ""


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("people · {task.fields[credits]} credits ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


class PlainProgress:
    """Writes a line for each tenth of a run, and one a minute while a tenth takes longer.

    Args:
        console: where to.
        clock: seconds that pass; for tests.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._started = self._told = clock()
        self._step = 0

    def __call__(self, state: EnrichmentProgress) -> None:
        """Takes note of where the run is."""
        # requests that are spread over a minute wait all the time: not worth a line each
        long = state.waiting_until is not None and state.waiting_until > datetime.now(UTC) + _WORTH_A_LINE
        if state.stopping or long:
            self._console.print(_note(state), highlight=False, soft_wrap=True)
        now, total = self._clock(), max(state.total, 1)
        step = state.done * _STEPS // total
        if step == self._step and now - self._told < _SECONDS:
            return
        self._told, self._step = now, step
        elapsed = int(now - self._started)
        self._console.print(
            f"{state.done:,} of {state.total:,} people ({state.done / total:.0%}), "
            f"{amount(state.credits_used)} credits, "
            f"{elapsed // 3600}:{elapsed // 60 % 60:02}:{elapsed % 60:02}",
            highlight=False,
            soft_wrap=True,
        )
