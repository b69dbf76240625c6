"""The client of an enricher: the one it was given, or one that is made when somebody has to be bought."""

from __future__ import annotations

import threading
from typing import Final

from buena_pipeline.client import BuenaClient
from buena_pipeline.errors import SettingsError
from buena_pipeline.settings import RateLimits

_CLOSED: Final = "The Enricher is closed, and its client with it: make a new one."


class ClientOnDemand:
    """A client for several threads, made once, and closed by whoever made it.

    Args:
        given: a client of the user's own, which stays open; None for one from ``BUENA_API_KEY`` and
            ``BUENA_BASE_URL``, made when it is needed.

    Example:
        >>> ClientOnDemand(None).limits
        RateLimits(minute=60, hour=1000, day=10000)
    """

    def __init__(self, given: BuenaClient | None) -> None:
        self._lock = threading.Lock()
        self._is_ours = given is None
        self._client = given
        self._is_closed = False

    @property
    def limits(self) -> RateLimits | None:
        """Its rate limits; before there is one, those it will have."""
        client = self._client
        return RateLimits() if client is None else client.limits

    def get(self) -> BuenaClient:
        """The client.

        Raises:
            SettingsError: if there is no API key for it, or it was closed.
        """
        with self._lock:
            if self._is_closed:
                raise SettingsError(_CLOSED)
            if self._client is None:
                self._client = BuenaClient()
            return self._client

    def another(self) -> ClientOnDemand:
        """One that can be closed by itself; the user's own client is the same in both."""
        return ClientOnDemand(None if self._is_ours else self._client)

    def close(self) -> None:
        """Closes the client, if it was made here; its requests under way are waited for."""
        if self._is_ours:
            with self._lock:
                self._is_closed = True
                client, self._client = self._client, None
            if client is not None:
                client.close()
