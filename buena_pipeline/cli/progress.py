"""How far a run is: a bar on a terminal, a line now and then anywhere else. Goes to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console

from buena_pipeline.progress import ProgressLines
from buena_pipeline.progress_bar import terminal_bar
from buena_pipeline.result import EnrichmentProgress


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
        with terminal_bar(console, transient=True) as tell:
            yield tell
    else:
        yield ProgressLines(partial(console.print, highlight=False, soft_wrap=True))
