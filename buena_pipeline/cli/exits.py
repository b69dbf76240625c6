"""Exit codes: what a script learns from a command without reading what it says."""

from __future__ import annotations

from typing import Final

from buena_pipeline.errors import BuenaError, QueryError, StoreError, VendorError

DONE: Final = 0
FAULT: Final = 1
USAGE: Final = 2
VENDOR: Final = 3
STORE: Final = 4
PARTIAL: Final = 5
OWN_FAULT: Final = 70
INTERRUPTED: Final = 130
TERMINATED: Final = 143

EXIT_CODES: Final = {
    DONE: "done",
    FAULT: "doctor found a fault",
    USAGE: "a file, an option, a setting or a query cannot be used; nothing was sent",
    VENDOR: "the vendor stopped the run (401, 403), or nobody answers",
    STORE: "the store cannot be used",
    PARTIAL: "done, but people were deferred: run again, or do as the summary says",
    OWN_FAULT: "buena-pipeline itself failed: a fault to report",
    INTERRUPTED: "interrupted; what was bought is in the store",
    TERMINATED: "the same, by SIGTERM",
}
"""What each exit code means, in the words of ``--help``."""


def exit_code(error: BuenaError) -> int:
    """The exit code of a command that ends with this error.

    Args:
        error: any error of the library.

    Example:
        >>> exit_code(StoreError("locked")), exit_code(QueryError("no such column"))
        (4, 2)
    """
    match error:
        case VendorError():
            return VENDOR
        case StoreError() if not isinstance(error, QueryError):
            return STORE
        case _:
            return USAGE
