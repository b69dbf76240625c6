"""The commands that enrich: ``enrich``, ``plan``, ``score`` and ``demo``."""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from buena_pipeline.cli import options
from buena_pipeline.cli.display import console, describe_plan, describe_report, facts, frame_table, short_path
from buena_pipeline.cli.progress import show_progress
from buena_pipeline.cli.runs import (
    best_people,
    end_run,
    example_leads,
    load_model,
    make_enricher,
    make_scorer,
    sandbox_client,
)
from buena_pipeline.cli.wording import lines_on_the_shell
from buena_pipeline.client import BuenaClient
from buena_pipeline.columns import describe_columns, unread_columns
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import FileFormatError, InputError
from buena_pipeline.files import check_output, read_table, scan_table, write_table
from buena_pipeline.files.plain import with_lists
from buena_pipeline.score import score_frame
from buena_pipeline.store import EnrichmentStore


def enrich(
    source: options.Source,
    output: options.Output,
    *,
    store: options.Store = None,
    blocks: options.Blocks = options.BLOCKS,
    column: options.Column = None,
    max_age: options.MaxAge = options.MAX_AGE,
    retry_failed_after: options.RetryFailedAfter = options.RETRY_FAILED_AFTER,
    retry_unknown: options.RetryUnknown = False,
    max_credits: options.MaxCredits = None,
    daily_credits: options.DailyCredits = None,
    priority: options.Priority = None,
    max_wait: Annotated[
        str, typer.Option(metavar="TIME", help="Wait so long for rate limits.")
    ] = options.MAX_WAIT,
    prefix: options.Prefix = options.PREFIX,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Add the score.")] = False,
    model: options.Model = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Requests under way at once.")] = 8,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")] = False,
) -> None:
    """Write the table enriched: what the store does not know is bought.

    Every row comes back, in its place, with a status and a reason. The output is written whole or not at all.
    """
    if model is not None and not score:
        raise InputError("--model says how to score: add --score, or leave it out.")
    options.require_apart(source, output)
    table = scan_table(source)
    check_output(output, table)
    scored = make_scorer(table, model=model, prefix=prefix) if score else None
    messages = console(stderr=True)
    with ExitStack() as stack:
        # without a key nothing can be bought, but all that the store knows can be served
        client = BuenaClient(concurrency=concurrency) if os.environ.get("BUENA_API_KEY") else None
        stack.enter_context(client or nullcontext())
        enricher = make_enricher(
            table,
            client=client,
            store=EnrichmentStore(store, lock_timeout=lock_timeout),
            blocks=blocks,
            column=column,
            max_age=max_age,
            retry_failed_after=retry_failed_after,
            retry_unknown=retry_unknown,
            max_credits=max_credits,
            daily_credits=daily_credits,
            priority=priority,
            prefix=prefix,
            max_wait=max_wait,
            progress=stack.enter_context(show_progress(messages, quiet=quiet)),
        )
        schema = table.collect_schema()
        columns = enricher.check(schema)
        result = enricher.run(table)
    try:
        write_table(scored(result.frame) if scored else result.frame, output)
    except InputError as error:
        raise FileFormatError(
            f"{error} What was bought is in the store: run again, with another -o if need be, and it costs "
            "nothing."
        ) from None
    if not quiet:
        unread = unread_columns(schema, columns, enricher.columns)
        read = describe_columns(columns.as_overrides(), unread, invalid=result.report.invalid)
        places = [("store", short_path(enricher.store.path)), ("output", str(output))]
        messages.print(facts([*lines_on_the_shell([*read, *describe_report(result.report)]), *places]))
    end_run(result.report)


def plan(
    source: options.Source,
    *,
    store: options.Store = None,
    blocks: options.Blocks = options.BLOCKS,
    column: options.Column = None,
    max_age: options.MaxAge = options.MAX_AGE,
    retry_failed_after: options.RetryFailedAfter = options.RETRY_FAILED_AFTER,
    retry_unknown: options.RetryUnknown = False,
    max_credits: options.MaxCredits = None,
    daily_credits: options.DailyCredits = None,
    priority: options.Priority = None,
    prefix: options.Prefix = options.PREFIX,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Say what enriching a table would do and cost.

    Sends nothing and needs no key.
    """
    table = scan_table(source)
    enricher = make_enricher(
        table,
        store=EnrichmentStore(store, lock_timeout=lock_timeout),
        blocks=blocks,
        column=column,
        max_age=max_age,
        retry_failed_after=retry_failed_after,
        retry_unknown=retry_unknown,
        max_credits=max_credits,
        daily_credits=daily_credits,
        priority=priority,
        prefix=prefix,
    )
    console().print(facts(lines_on_the_shell(describe_plan(enricher.plan(table)))))


def score(
    source: options.Source,
    output: options.Output,
    *,
    model: options.Model = None,
    prefix: options.Prefix = options.PREFIX,
) -> None:
    """Add the score to a table that was enriched before.

    Sends nothing and needs no key.
    """
    options.require_apart(source, output)
    table = with_lists(read_table(source), f"{prefix}skills")
    check_output(output, table)
    scored = score_frame(table, model=load_model(model), prefix=prefix)
    write_table(scored, output)
    rows = scored[f"{prefix}score"].count()
    console(stderr=True).print(f"{rows:,} of {scored.height:,} rows scored, in {output}", soft_wrap=True)


def demo(
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="A table of your own.", show_default="example leads")
    ] = None,
    *,
    store: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The store; not a real one.", show_default="demo.duckdb"),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Buy from the vendor with BUENA_API_KEY, for real credits.")
    ] = False,
) -> None:
    """Enrich and score example leads against a sandbox.

    Free, and its people are invented: keep them out of a real store.
    """
    path = source or example_leads()
    table = read_table(path)
    out, messages = console(), console(stderr=True)
    with ExitStack() as stack:
        place = EnrichmentStore(store if live else store or Path("demo.duckdb"))
        client = stack.enter_context(BuenaClient()) if live else sandbox_client(stack, table.height, place)
        if not live:
            unused = (
                "; BUENA_API_KEY is set, but used only with --live" if os.environ.get("BUENA_API_KEY") else ""
            )
            messages.print(f"{path}, enriched by a sandbox on this machine{unused}", soft_wrap=True)
        progress = stack.enter_context(show_progress(messages))
        enricher = Enricher(client, place, progress=progress)
        result = enricher.run(table)
    out.print(frame_table(best_people(score_frame(result.frame)), width=out.width))
    out.print()
    out.print(
        facts(
            [*lines_on_the_shell(describe_report(result.report)), ("store", short_path(enricher.store.path))]
        )
    )
    end_run(result.report)
