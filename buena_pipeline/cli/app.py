"""The commands. Each reads its options, calls the library, and says what came of it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
import typer
from typer.core import TyperGroup

import buena_pipeline
from buena_pipeline.cli import options
from buena_pipeline.cli.display import console, describe_plan, describe_report, facts, frame_table
from buena_pipeline.cli.doctor import examine
from buena_pipeline.cli.exits import EXIT_CODES, FAULT, INTERRUPTED, PARTIAL, exit_code
from buena_pipeline.cli.files import check_output, read_table, write_table
from buena_pipeline.cli.interrupt import StoppableClient, stopping
from buena_pipeline.cli.plain import plain_columns, with_lists
from buena_pipeline.cli.progress import show_progress
from buena_pipeline.client import BuenaClient
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import BuenaError, ColumnError, FileFormatError, InputError
from buena_pipeline.result import EnrichmentReport
from buena_pipeline.schema import ENRICHED
from buena_pipeline.score import ScoringModel, score_frame
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore

_TOP: Final = 10


class _Commands(TyperGroup):
    """Ends a command that fails with one message and an exit code instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            return super().invoke(ctx)
        except BuenaError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            here = isinstance(error, ColumnError) and "columns=" in str(error)
            hint = " On the command line: --column FIELD=NAME." if here else ""
            sys.stderr.write(f"error: {error}{hint}\n")
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            sys.stderr.write("interrupted: what was bought is in the store; the same command goes on from there\n")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
)


def run(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; ``cli.main`` says more."""
    try:
        app(args=args, prog_name="buena-pipeline")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by position
    if wanted:
        typer.echo(f"buena-pipeline {buena_pipeline.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="BUENA_DEBUG", help="Show where an error comes from.")
    ] = False,
) -> None:
    """Enrich tables of sales leads: nobody is paid for twice, the table comes back whole."""


# --- enriching -------------------------------------------------------------------------------------------


@app.command(epilog="Example: buena-pipeline enrich leads.csv -o enriched.parquet --max-credits 500 --score")
def enrich(
    source: options.Source,
    output: options.Output,
    *,
    store: options.Store = None,
    blocks: options.Blocks = options.BLOCKS,
    column: options.Column = None,
    max_age: options.MaxAge = options.MAX_AGE,
    retry_failed_after: options.RetryFailedAfter = options.RETRY_FAILED_AFTER,
    max_credits: options.MaxCredits = None,
    priority: options.Priority = None,
    max_wait: Annotated[str, typer.Option(metavar="TIME", help="Wait so long for rate limits.")] = options.MAX_WAIT,
    prefix: options.Prefix = options.PREFIX,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Add the score.")] = False,
    model: options.Model = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Requests under way at once.")] = 8,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")] = False,
) -> None:
    """Buy what the store does not know yet, and write the table with a status on every row."""
    table = read_table(source)
    check_output(output, table)
    scored = _scorer(table, model=model, prefix=prefix) if score else None
    messages = console(stderr=True)
    with ExitStack() as stack:
        # without a key nothing can be bought, but all that the store knows can be served
        client = StoppableClient(concurrency=concurrency) if os.environ.get("BUENA_API_KEY") else None
        stack.enter_context(client or nullcontext())
        enricher = _enricher(
            table,
            client=client,
            store=EnrichmentStore(store, lock_timeout=lock_timeout),
            blocks=blocks,
            column=column,
            max_age=max_age,
            retry_failed_after=retry_failed_after,
            max_credits=max_credits,
            priority=priority,
            prefix=prefix,
            max_wait=max_wait,
            progress=stack.enter_context(show_progress(messages, quiet=quiet)),
        )
        with stopping(client.stop) if client else nullcontext():
            frame, report = _run(enricher, table)
    try:
        write_table(scored(frame) if scored else frame, output)
    except FileFormatError as error:
        raise FileFormatError(
            f"{error} What was bought is in the store: run again, with another -o if need be; it costs nothing."
        ) from None
    if not quiet:
        messages.print(facts([*describe_report(report), ("store", str(enricher.store.path)), ("output", str(output))]))
    _require_answers(report)
    if report.deferred:
        raise typer.Exit(PARTIAL)
