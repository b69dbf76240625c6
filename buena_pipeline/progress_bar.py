"""The bar of a run, as ``rich`` draws it: alive on a terminal, a picture that is replaced in a notebook."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from rich import progress as rich_progress
from rich.console import Console, RenderableType
from rich.text import Text

from buena_pipeline.progress import credits_in_words, outlook
from buena_pipeline.result import EnrichmentProgress, Progress

_WIDTH: Final = 30
_NOTEBOOK_WIDTH: Final = 100

_OFTEN: Final = 0.2
"""Seconds between two pictures in a notebook; each is a message to the browser."""

_PICTURE: Final = '<pre style="margin:0;line-height:normal;background:none">{code}</pre>'


class Bar(rich_progress.Progress):
    """People and credits in the first line, waits and the end in the second.

    Args:
        console: where it is drawn.
        alive: whether it is drawn again as time passes.
        transient: whether it goes when it is done.
    """

    def __init__(self, console: Console, *, alive: bool = True, transient: bool = False) -> None:
        passed = [rich_progress.TimeElapsedColumn()] if alive else []  # a picture would show an old time
        super().__init__(
            rich_progress.BarColumn(_WIDTH),
            rich_progress.TextColumn("{task.completed:,.0f}/{task.fields[people]}"),
            rich_progress.TextColumn("people · {task.fields[credits]} credits"),
            *passed,
            console=console,
            transient=transient,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._state = EnrichmentProgress(0, 0, 0.0)
        self._task = self.add_task("", total=None, credits="0", people="?")

    def tell(self, state: EnrichmentProgress) -> None:
        """Takes note of where the run is."""
        self._state = state
        self.update(
            self._task,
            completed=state.done,
            total=state.total,
            people=f"{state.total:,}",
            credits=credits_in_words(state),
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, as it is now."""
        yield self.make_tasks_table(self.tasks)
        if hasattr(self, "_state") and (note := outlook(self._state, now=datetime.now(UTC))):
            yield Text(note)


@contextmanager
def terminal_bar(console: Console, *, transient: bool = False) -> Iterator[Progress]:
    """A bar that lives as long as the block.

    Args:
        console: of a terminal.
        transient: whether it goes when it is done.

    Yields:
        What takes note of where the run is.

    Example:
        >>> with terminal_bar(Console(file=io.StringIO(), width=80)) as tell:
        ...     tell(EnrichmentProgress(done=50, total=200, credits_used=46.0))
    """
    with Bar(console, transient=transient) as bar:
        yield bar.tell


@contextmanager
def notebook_bar() -> Iterator[Progress]:
    """A bar in the output of a notebook's cell, which needs no widgets.

    Yields:
        What takes note of where the run is, in any thread.
    """
    from IPython.display import display

    bar = Bar(Console(file=io.StringIO(), width=_NOTEBOOK_WIDTH), alive=False)
    picture: Any = display(Picture(bar), display_id=True)  # type: ignore[no-untyped-call]
    drawn, behind = time.monotonic(), False

    def tell(state: EnrichmentProgress) -> None:
        nonlocal drawn, behind
        bar.tell(state)
        behind = state.waiting_until is None and time.monotonic() - drawn < _OFTEN
        if not behind:
            drawn = time.monotonic()
            picture.update(Picture(bar))

    try:
        yield tell
    finally:
        if behind:
            picture.update(Picture(bar))


class Picture:
    """A bar as it is at one moment, for the formats of a notebook.

    Example:
        >>> bar = Bar(Console(file=io.StringIO(), width=100), alive=False)
        >>> bar.tell(EnrichmentProgress(done=200, total=200, credits_used=184.0))
        >>> print(Picture(bar))
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 200/200 people · 184 credits
    """

    def __init__(self, bar: Bar) -> None:
        canvas = Console(
            file=io.StringIO(), width=_NOTEBOOK_WIDTH, record=True, force_terminal=True, force_jupyter=False
        )
        canvas.print(bar.get_renderable())
        self._html = canvas.export_html(inline_styles=True, code_format=_PICTURE, clear=False)
        self._text = "\n".join(line.rstrip() for line in canvas.export_text().splitlines())

    def __str__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self._text, "text/html": self._html}
