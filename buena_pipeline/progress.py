"""How far a run is, for people: a bar in a notebook or on a terminal, lines in a log anywhere else.

``progress_bar`` draws the bar. Nothing here can make a run fail: money is on its way while it is shown.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any, Final

from buena_pipeline.errors import MissingExtraError
from buena_pipeline.result import EnrichmentProgress, Progress

_log = logging.getLogger("buena_pipeline")

_STEPS: Final = 10
_WORTH_A_LINE: Final = timedelta(seconds=10)
_SECONDS: Final = 60.0


@contextmanager
def shown(progress: Progress | bool | None) -> Iterator[Progress | None]:  # noqa: FBT001 - as the user has it
    """Shows the progress of the run that is made in the block, if that was asked for.

    Args:
        progress: True for a bar or lines in the log; a callable goes through as it is.

    Yields:
        What the run calls, if anything.

    Example:
        >>> with shown(True) as tell:
        ...     tell(EnrichmentProgress(done=50, total=200, credits_used=46.0))
    """
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    display = _Harmless(_display())
    try:
        yield display
    finally:
        display.close()


def require_display() -> None:
    """Finds out whether there is what draws a bar, where there would be one.

    Raises:
        MissingExtraError: if there is not.
    """
    if (notebook_shell() is not None or _is_terminal()) and find_spec("rich") is None:
        raise MissingExtraError.for_extra("A progress bar (progress=True)", "cli")


def in_words(state: EnrichmentProgress) -> str:
    """Where a run stands, in one line.

    Example:
        >>> in_words(EnrichmentProgress(done=50, total=200, credits_used=46.0))
        '50 of 200 people (25%), 46 credits'
    """
    return (
        f"{state.done:,} of {state.total:,} people ({state.done / max(state.total, 1):.0%}), "
        f"{credits_in_words(state)} credits"
    )


def outlook(state: EnrichmentProgress, *, now: datetime) -> str:
    """What a run waits for, and when it will be done; empty if there is nothing to say.

    Args:
        state: where it stands.
        now: the time, in UTC.

    Example:
        >>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
        >>> ends = noon + timedelta(minutes=90)
        >>> outlook(EnrichmentProgress(50, 9_000, 46.0, estimated_end=ends), now=noon)
        'done about 13:30:00 UTC'
        >>> outlook(EnrichmentProgress(50, 9_000, 46.0, noon, estimated_end=ends + timedelta(1)), now=noon)
        'waiting for the rate limit until 12:00:00 UTC; done about 2026-03-03 13:30 UTC'
    """
    if state.stopping:
        return "stopping: waiting for the answers that are under way (press again to give up on them)"
    parts = []
    if state.waiting_until is not None:
        parts.append(f"waiting for the rate limit until {_at(state.waiting_until, now)}")
    if state.estimated_end is not None:
        parts.append(f"done about {_at(max(state.estimated_end, now), now)}")
    return "; ".join(parts)


def credits_in_words(state: EnrichmentProgress) -> str:
    """Credits used, without zeros that say nothing."""
    return f"{state.credits_used:,.2f}".rstrip("0").rstrip(".")


class ProgressLines:
    """Writes a line for each tenth of a run, one a minute while a tenth takes longer, and one for long waits.

    Args:
        write: takes a line.
        clock: seconds that pass; for tests.

    Example:
        >>> lines = ProgressLines(print)
        >>> lines(EnrichmentProgress(done=50, total=200, credits_used=46.0))
        50 of 200 people (25%), 46 credits, 0:00:00
    """

    def __init__(self, write: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._started = self._told = clock()
        self._step = 0

    def __call__(self, state: EnrichmentProgress) -> None:
        """Takes note of where the run is."""
        now, moment = self._clock(), datetime.now(UTC)
        # requests that are spread over a minute wait all the time: not worth a line each
        long = state.waiting_until is not None and state.waiting_until > moment + _WORTH_A_LINE
        if state.stopping or long:
            self._write(outlook(state, now=moment))
        step = state.done * _STEPS // max(state.total, 1)
        if step == self._step and now - self._told < _SECONDS:
            return
        self._told, self._step = now, step
        elapsed = int(now - self._started)
        passed = f"{elapsed // 3600}:{elapsed // 60 % 60:02}:{elapsed % 60:02}"
        told = state.stopping or long
        ends = f", {outlook(state, now=moment)}" if state.estimated_end is not None and not told else ""
        self._write(f"{in_words(state)}, {passed}{ends}")


def notebook_shell() -> Any:
    """The shell of the notebook this runs in; None anywhere else."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return shell if hasattr(shell, "kernel") else None


def _is_terminal() -> bool:
    """Whether what is written to stderr is seen on a terminal that can draw."""
    try:
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


@contextmanager
def _display() -> Iterator[Progress]:
    """What shows progress here."""
    if notebook_shell() is not None:
        from buena_pipeline.progress_bar import notebook_bar

        with notebook_bar() as tell:
            yield tell
    elif _is_terminal():
        from rich.console import Console

        from buena_pipeline.progress_bar import terminal_bar

        with terminal_bar(Console(stderr=True, highlight=False)) as tell:
            yield tell
    else:
        yield ProgressLines(lambda line: _log.info("%s", line))


class _Harmless:
    """A display that is opened when there is something to show, and shows nothing more once it has failed."""

    def __init__(self, display: Any) -> None:
        self._stack = ExitStack()
        self._display = display
        self._tell: Progress | None = None
        self._broken = False

    def __call__(self, state: EnrichmentProgress) -> None:
        if self._broken:
            return
        try:
            if self._tell is None:
                self._tell = self._stack.enter_context(self._display)
            self._tell(state)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop a run that costs money
            self._broken = True
            _log.warning("The progress cannot be shown any more (%s).", type(error).__name__)

    def close(self) -> None:
        """Takes the display down."""
        try:
            self._stack.close()
        except Exception as error:  # noqa: BLE001 - likewise
            _log.warning("The progress could not be taken down (%s).", type(error).__name__)


def _at(moment: datetime, now: datetime) -> str:
    """A time as people write it: with its date if that is another one."""
    return f"{moment:%H:%M:%S} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"
