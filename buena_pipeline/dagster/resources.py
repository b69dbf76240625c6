"""What assets are given: the vendor's API and the store. Neither holds anything open between uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from buena_pipeline.client import BuenaClient
from buena_pipeline.store import EnrichmentStore


class BuenaResource(dg.ConfigurableResource[Any]):
    """The vendor's API, or a sandbox in its place that invents people and charges nothing.

    Example:
        >>> BuenaResource(sandbox=True).sandbox
        True
    """

    api_key: str = Field(
        default="",
        description='The API key, as dg.EnvVar("BUENA_API_KEY"); default: that variable, read when the '
        "client is made.",
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
    )
    base_url: str = Field(
        default="", description="Where the API is; default BUENA_BASE_URL, else the vendor's address."
    )
    concurrency: int = Field(default=8, description="Requests on their way at the same time, at most.")
    sandbox: bool = Field(
        default=False,
        description="Ask a local sandbox instead, which invents people: give it a store of its own.",
    )

    @contextmanager
    def client(self) -> Iterator[BuenaClient]:
        """A client for one piece of work, closed when the block ends.

        Raises:
            SettingsError: if there is no API key, or it is malformed.
            MissingExtraError: for a sandbox without its extra.
        """
        if self.sandbox:
            from buena_pipeline.sandbox import Sandbox

            with (
                Sandbox(limits=None) as sandbox,
                BuenaClient(
                    sandbox.api_key, sandbox.url, concurrency=self.concurrency, limits=None
                ) as client,
            ):
                yield client
            return
        with BuenaClient(self.api_key or None, self.base_url or None, concurrency=self.concurrency) as client:
            yield client


class EnrichmentStoreResource(dg.ConfigurableResource[Any]):
    """The DuckDB file of all that was bought. Processes and threads that use it at once take turns.

    Example:
        >>> EnrichmentStoreResource(path="/data/buena.duckdb").store()
        EnrichmentStore('/data/buena.duckdb')
    """

    path: str = Field(default="", description="The file; default BUENA_STORE, else buena.duckdb.")
    encryption_key: str = Field(
        default="",
        description="The key of an encrypted store; default BUENA_STORE_KEY.",
        repr=False,
        json_schema_extra={"dagster__is_secret": True},
    )
    lock_timeout: float = Field(
        default=300.0, description="Seconds to wait while other runs or programs hold the file."
    )

    def store(self, *, read_only: bool = False) -> EnrichmentStore:
        """The store; no file is opened before it is asked something.

        Args:
            read_only: never write, and never create the file.
        """
        return EnrichmentStore(
            self.path or None,
            encryption_key=self.encryption_key or None,
            read_only=read_only,
            lock_timeout=self.lock_timeout,
        )
