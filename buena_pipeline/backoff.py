"""When to try a request again: a pure decision from what has happened so far. Sends and sleeps nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from buena_pipeline.wire import RateLimited, ServerFault, Unreachable, Verdict

UNTOLD_WAIT: Final = 60.0
"""Seconds to wait after a 429 that does not tell: the vendor's shortest window."""


@dataclass(slots=True)
class Patience:
    """How long one request is tried before the rest of the run is deferred.

    Args:
        attempts: failures in a row (5xx, no connection) after which to give up.
        max_wait: seconds of rate-limit waits, added up, that are borne.

    Example:
        >>> patience = Patience(attempts=2, max_wait=60)
        >>> patience.bears(ServerFault("the vendor answered 503")), patience.bears(ServerFault("again"))
        (True, False)
        >>> patience.bears(RateLimited(wait=45)), patience.bears(RateLimited(wait=45))
        (45, False)
    """

    attempts: int
    max_wait: float
    faults: int = 0
    waited: float = 0.0

    def bears(self, verdict: Verdict) -> bool | float:
        """Whether to try again: seconds to wait, True for the usual growing back-off, False to give up."""
        match verdict:
            case ServerFault() | Unreachable():
                self.faults += 1
                return self.faults < self.attempts
            case RateLimited(wait=wait):
                self.faults = 0
                # a vendor that says "0" over and over must not be asked in a tight loop
                seconds = UNTOLD_WAIT if wait is None else max(wait, 0.05)
                if self.waited + seconds > self.max_wait:
                    return False
                self.waited += seconds
                return seconds
        return False
