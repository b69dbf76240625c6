"""The command line ``buena-pipeline``: the library for people with a file and a terminal.

``app`` has the commands; everything they need is in a module of its own beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from buena_pipeline.errors import MissingExtraError

_EXTRA: Final = {"rich", "typer"}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; the entry point ``buena-pipeline``.

    Args:
        args: the arguments; default those of the process.

    Returns:
        The exit code, as listed in ``cli.exits`` and in ``buena-pipeline --help``.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        buena-pipeline ...
        0
    """
    try:
        from buena_pipeline.cli.app import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"error: {MissingExtraError.for_extra('The command line', 'cli')}\n")
        return 2
    return run(args)
