"""The library as two functions of a table: what it would cost, and the table enriched."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, overload

import polars as pl

from buena_pipeline.client import BuenaClient
from buena_pipeline.enrich import Columns, Enricher
from buena_pipeline.result import EnrichmentPlan, EnrichmentProgress
from buena_pipeline.schema import DEFAULT_PREFIX
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.terms import MAX_AGE, MAX_WAIT, RETRY_FAILED_AFTER


@overload
def enrich_frame(
    frame: pl.LazyFrame,
    *,
    columns: Columns | None = ...,
    options: EnrichmentOptions | None = ...,
    store: EnrichmentStore | str | os.PathLike[str] | None = ...,
    client: BuenaClient | None = ...,
    max_age: timedelta | None = ...,
    retry_failed_after: timedelta | None = ...,
    retry_unknown: bool = ...,
    max_credits: float | None = ...,
    daily_credits: float | None = ...,
    priority: pl.Expr | None = ...,
    max_wait: timedelta | float = ...,
    prefix: str = ...,
    progress: Callable[[EnrichmentProgress], None] | bool | None = ...,
) -> pl.LazyFrame: ...
@overload
def enrich_frame(
    frame: Any,
    *,
    columns: Columns | None = ...,
    options: EnrichmentOptions | None = ...,
    store: EnrichmentStore | str | os.PathLike[str] | None = ...,
    client: BuenaClient | None = ...,
    max_age: timedelta | None = ...,
    retry_failed_after: timedelta | None = ...,
    retry_unknown: bool = ...,
    max_credits: float | None = ...,
    daily_credits: float | None = ...,
    priority: pl.Expr | None = ...,
    max_wait: timedelta | float = ...,
    prefix: str = ...,
    progress: Callable[[EnrichmentProgress], None] | bool | None = ...,
) -> pl.DataFrame: ...
def enrich_frame(
    frame: Any,
    *,
    columns: Columns | None = None,
    options: EnrichmentOptions | None = None,
    store: EnrichmentStore | str | os.PathLike[str] | None = None,
    client: BuenaClient | None = None,
    max_age: timedelta | None = MAX_AGE,
    retry_failed_after: timedelta | None = RETRY_FAILED_AFTER,
    retry_unknown: bool = False,
    max_credits: float | None = None,
    daily_credits: float | None = None,
    priority: pl.Expr | None = None,
    max_wait: timedelta | float = MAX_WAIT,
    prefix: str = DEFAULT_PREFIX,
    progress: Callable[[EnrichmentProgress], None] | bool | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Enriches a table of leads: buys what the store does not know, and gives every row back.

    Args:
        frame: a polars DataFrame or LazyFrame, or any table with the Arrow PyCapsule interface (pandas
            without its index, pyarrow, a DuckDB relation). A LazyFrame stays lazy; it costs when it is
            collected.
        columns: which column says what, where the names do not tell: ``email`` (a name or a list),
            ``linkedin_url``, ``first_name``, ``last_name``, ``full_name``, ``company``.
        options: the blocks to buy; default: personal, company and contact.
        store: the store or its path; default ``BUENA_STORE``, else ``buena.duckdb`` in the working folder.
        client: the vendor's API; default: from ``BUENA_API_KEY`` and ``BUENA_BASE_URL``.
        max_age: how old a block may be before it is bought again; None for any age.
        retry_failed_after: how long a "not found" is remembered; None for ever.
        retry_unknown: buy people, too, whom a request of unknown outcome asked for: one that was on its way
            when its process died, or whose answer got lost. It may cost them twice; without it they are
            ``deferred``.
        max_credits: credits the run may spend; None for no limit.
        daily_credits: credits that all runs of the store may spend on one day (UTC); None for no limit.
        priority: a numeric expression over the table; the highest is bought first.
        max_wait: how long to wait for a rate limit before the rest is deferred; seconds as a number.
        prefix: of the columns that are added.
        progress: True for a bar in a notebook or on a terminal, and lines in the log (``buena_pipeline``,
            level INFO) anywhere else; or what is called with an ``EnrichmentProgress`` after each answer. If
            that raises, the run ends with its error, when the answers on their way are in the store.

    Returns:
        The table, same rows, same order, with ``buena_status``, ``buena_error``, ``buena_person_id``,
        ``buena_enriched_at`` and the columns of ``schema.RECORD`` added; their dtypes never depend on the
        data.

    Raises:
        ColumnError: if a column is missing, ambiguous, nested, or would be overwritten; before any cost.
        SettingsError: if something is to be bought and there is no API key; before any cost.
        VendorError: if the vendor stops the run (401, 403); what came before is in the store.
        StoreError: if the store cannot be used.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import BuenaClient, Sandbox
        >>> leads = pl.DataFrame({"Work Email": ["jane.doe@acme.example", "JANE.DOE+crm@acme.example"]})
        >>> with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        ...     with BuenaClient(sandbox.api_key, sandbox.url) as client:
        ...         enriched = enrich_frame(leads, client=client, store=f"{folder}/buena.duckdb")
        ...     paid = sandbox.credits_used
        >>> enriched["buena_status"].to_list(), paid
        (['enriched', 'enriched'], 1)

    Rests on ``POST /enrich``.
    """
    enricher = Enricher(
        client,
        store,
        columns=columns,
        options=options,
        max_age=max_age,
        retry_failed_after=retry_failed_after,
        retry_unknown=retry_unknown,
        max_credits=max_credits,
        daily_credits=daily_credits,
        priority=priority,
        max_wait=max_wait,
        prefix=prefix,
        progress=progress,
    )
    if isinstance(frame, pl.LazyFrame):
        return enricher.stream(frame)
    with enricher:
        enriched: pl.DataFrame = enricher.run(frame).frame
        return enriched


def plan_frame(
    frame: Any,
    *,
    columns: Columns | None = None,
    options: EnrichmentOptions | None = None,
    store: EnrichmentStore | str | os.PathLike[str] | None = None,
    max_age: timedelta | None = MAX_AGE,
    retry_failed_after: timedelta | None = RETRY_FAILED_AFTER,
    retry_unknown: bool = False,
    max_credits: float | None = None,
    daily_credits: float | None = None,
    priority: pl.Expr | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> EnrichmentPlan:
    """What ``enrich_frame`` would do with a table, and what it would cost at most. Sends nothing.

    Args:
        frame: as for ``enrich_frame``; a LazyFrame is collected.
        columns: as for ``enrich_frame``, and so on for all the others.
        options: the blocks to buy.
        store: the store or its path.
        max_age: how old a block may be.
        retry_failed_after: how long a "not found" is remembered.
        retry_unknown: count people of unknown outcome among those to buy.
        max_credits: credits the run may spend.
        daily_credits: credits that all runs of the store may spend on one day.
        priority: who is bought first.
        prefix: of the columns that would be added.

    Returns:
        The counts, the requests, the credits at most and the shortest time. Needs no API key.

    Raises:
        ColumnError: as ``enrich_frame`` would.
        StoreError: if the store cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     leads = pl.DataFrame({"email": ["a@acme.example", "A@acme.example", "b@acme.example", None]})
        ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
        >>> plan.rows, plan.people, plan.invalid, plan.to_buy, plan.requests
        (4, 2, 1, 2, 1)
    """
    enricher = Enricher(
        store=store,
        columns=columns,
        options=options,
        max_age=max_age,
        retry_failed_after=retry_failed_after,
        retry_unknown=retry_unknown,
        max_credits=max_credits,
        daily_credits=daily_credits,
        priority=priority,
        prefix=prefix,
    )
    return enricher.plan(frame)
