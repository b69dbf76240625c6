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

_EXAMPLE: Final = "\b\nExample:\n  "
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
            sys.stderr.write(
                "interrupted: what was bought is in the store; the same command goes on from there\n"
            )
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="\n".join(["\b", "Exit codes:", *(f"  {code:<3}  {text}" for code, text in EXIT_CODES.items())]),
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


@app.command(
    epilog=_EXAMPLE + "buena-pipeline enrich leads.csv -o enriched.parquet --max-credits 500 --score"
)
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
            result = enricher.run(table)
    try:
        write_table(scored(result.frame) if scored else result.frame, output)
    except FileFormatError as error:
        raise FileFormatError(
            f"{error} What was bought is in the store: run again, with another -o if need be, and it costs "
            "nothing."
        ) from None
    if not quiet:
        places = [("store", str(enricher.store.path)), ("output", str(output))]
        messages.print(facts([*describe_report(result.report), *places]))
    _end(result.report)


@app.command(epilog=_EXAMPLE + "buena-pipeline plan leads.csv --options company --max-age none")
def plan(
    source: options.Source,
    *,
    store: options.Store = None,
    blocks: options.Blocks = options.BLOCKS,
    column: options.Column = None,
    max_age: options.MaxAge = options.MAX_AGE,
    retry_failed_after: options.RetryFailedAfter = options.RETRY_FAILED_AFTER,
    max_credits: options.MaxCredits = None,
    priority: options.Priority = None,
    prefix: options.Prefix = options.PREFIX,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Say what enriching a table would do and cost.

    Sends nothing and needs no key.
    """
    table = read_table(source)
    enricher = _enricher(
        table,
        store=EnrichmentStore(store, lock_timeout=lock_timeout),
        blocks=blocks,
        column=column,
        max_age=max_age,
        retry_failed_after=retry_failed_after,
        max_credits=max_credits,
        priority=priority,
        prefix=prefix,
    )
    console().print(facts(describe_plan(enricher.plan(table))))


@app.command(epilog=_EXAMPLE + "buena-pipeline score enriched.parquet -o scored.csv --model model.toml")
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
    table = with_lists(read_table(source), f"{prefix}skills")
    check_output(output, table)
    scored = score_frame(table, model=_model(model), prefix=prefix)
    write_table(scored, output)
    rows = scored[f"{prefix}score"].count()
    console(stderr=True).print(f"{rows:,} of {scored.height:,} rows scored, in {output}", soft_wrap=True)


@app.command(
    epilog=_EXAMPLE + "buena-pipeline demo && buena-pipeline sql 'from coverage' --store demo.duckdb"
)
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
    path = source or _example_leads()
    table = read_table(path)
    out, messages = console(), console(stderr=True)
    with ExitStack() as stack:
        client = StoppableClient() if live else _sandbox_client(stack, table.height)
        stack.enter_context(client)
        if not live:
            unused = (
                "; BUENA_API_KEY is set, but used only with --live" if os.environ.get("BUENA_API_KEY") else ""
            )
            messages.print(f"{path}, enriched by a sandbox on this machine{unused}", soft_wrap=True)
        progress = stack.enter_context(show_progress(messages))
        place = store if live else store or Path("demo.duckdb")
        enricher = Enricher(client, place, progress=progress)
        with stopping(client.stop):
            result = enricher.run(table)
    out.print(frame_table(_best(score_frame(result.frame)), width=out.width))
    out.print()
    out.print(facts([*describe_report(result.report), ("store", str(enricher.store.path))]))
    _end(result.report)


# --- the rest --------------------------------------------------------------------------------------------


class _Shape(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@app.command(
    epilog=_EXAMPLE + "buena-pipeline sql 'select title, phone from leads where company_size_min >= 100'"
)
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT, in DuckDB's dialect.")],
    *,
    store: options.Store = None,
    shape: Annotated[_Shape, typer.Option("--format", help="How the result is written.")] = _Shape.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Write all of it to a file.", show_default=False),
    ] = None,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Ask the store in SQL; reads only.

    Its views are leads, failures, stale, credits_by_day and coverage.
    """
    if shape is _Shape.PARQUET and output is None and sys.stdout.isatty():
        raise InputError("Parquet is not for the eye: name a file with -o, or send it through a pipe.")
    frame = EnrichmentStore(store, read_only=True, lock_timeout=lock_timeout).sql(query)
    if output is not None:
        write_table(frame, output, ending=None if shape is _Shape.TABLE else f".{shape}")
        return
    data = sys.stdout.buffer
    match shape:
        case _Shape.TABLE:
            out = console()
            out.print(frame_table(frame, width=out.width))
        case _Shape.CSV:
            data.write(frame.select(plain_columns(frame.schema)).write_csv().encode())
        case _Shape.JSON:
            data.write(f"{frame.write_json()}\n".encode())
        case _Shape.PARQUET:
            frame.write_parquet(data)
    data.flush()


@app.command(epilog=_EXAMPLE + "buena-pipeline sandbox --no-limits --latency 0.2")
def sandbox(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen; 0 for any.")
    ] = 8765,
    limits: Annotated[
        bool, typer.Option("--limits/--no-limits", help="Keep the vendor's rate limits.")
    ] = True,
    latency: Annotated[float, typer.Option(metavar="S", min=0, help="Answer so many seconds late.")] = 0.0,
    credit: Annotated[
        float, typer.Option("--credits", metavar="N", min=0, help="Credits there are.")
    ] = 100_000,
    not_found: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Of people nobody knows.")
    ] = 0.08,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other people.")] = 0,
) -> None:
    """Serve a local vendor to develop against, until Ctrl-C.

    Its people are invented, its limits and credits are the vendor's unless you say otherwise.
    """
    from buena_pipeline.sandbox import RateLimits, Sandbox

    rates = RateLimits() if limits else None
    vendor = Sandbox(port=port, limits=rates, latency=latency, credits=credit, not_found=not_found, seed=seed)
    out = console()
    with vendor:
        lines = (
            "A sandbox of the vendor's API is running; Ctrl-C ends it. In another terminal:\n",
            f"  export BUENA_BASE_URL={vendor.url}",
            f"  export BUENA_API_KEY={vendor.api_key}",
            "  export BUENA_STORE=sandbox.duckdb    # its people are invented: keep them out of your store\n",
        )
        out.print("\n".join(lines), soft_wrap=True)
        sys.stdout.flush()
        vendor.serve_forever()
    out.print(f"{vendor.requests:,} requests, {vendor.credits_used:,g} credits charged")


@app.command(epilog=_EXAMPLE + "buena-pipeline doctor --store buena.duckdb")
def doctor(
    *,
    store: options.Store = None,
    lock_timeout: options.LockTimeout = 5.0,
) -> None:
    """Check versions, key, API, permissions and store.

    Costs nothing, and never shows the key.
    """
    out, failed = console(), False
    for check in examine(store, lock_timeout=lock_timeout):
        advice = f"\n{'':19}-> {check.advice}" if check.advice else ""
        out.print(f"{check.level:<5} {check.name:<12} {check.finding}{advice}", soft_wrap=True)
        failed |= check.level == "fail"
    if failed:
        raise typer.Exit(FAULT)


# --- what they share -------------------------------------------------------------------------------------


def _enricher(
    table: pl.DataFrame,
    *,
    store: EnrichmentStore,
    blocks: str,
    column: Sequence[str] | None,
    max_age: str,
    retry_failed_after: str,
    max_credits: float | None,
    priority: str | None,
    prefix: str,
    client: BuenaClient | None = None,
    max_wait: str = options.MAX_WAIT,
    progress: Callable[[Any], None] | None = None,
) -> Enricher:
    """The enricher that the options describe."""
    return Enricher(
        client,
        store,
        columns=options.parse_columns(column or ()),
        options=EnrichmentOptions.of([block.strip() for block in blocks.split(",") if block.strip()]),
        max_age=options.parse_duration(max_age, option="--max-age"),
        retry_failed_after=options.parse_duration(retry_failed_after, option="--retry-failed-after"),
        max_credits=max_credits,
        priority=options.parse_priority(table, priority),
        max_wait=options.parse_duration(max_wait, option="--max-wait") or timedelta(days=365),
        prefix=prefix,
        progress=progress,
    )


def _model(path: Path | None) -> ScoringModel:
    return ScoringModel.from_toml(path) if path else ScoringModel()


def _scorer(
    table: pl.DataFrame, *, model: Path | None, prefix: str
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What scores the table once it is enriched; rehearsed on no rows, because by then it will have cost."""
    scoring = _model(model)
    added = {prefix + name: dtype for name, dtype in ENRICHED.items()}
    score_frame(pl.DataFrame(schema={**table.schema, **added}), model=scoring, prefix=prefix)
    return lambda frame: score_frame(frame, model=scoring, prefix=prefix)


def _end(report: EnrichmentReport) -> None:
    """The exit code of a run: people were deferred, and perhaps because nobody answers at all."""
    if not report.deferred:
        return
    heard_nothing = report.requests and not report.unknown and report.credits_remaining is None
    if heard_nothing and not report.resume_at:
        with BuenaClient(timeout=10) as client:
            client.health()
    raise typer.Exit(PARTIAL)


def _sandbox_client(stack: ExitStack, rows: int) -> StoppableClient:
    """A client of a sandbox that runs as long as the stack, without limits and with credits enough."""
    from buena_pipeline.sandbox import Sandbox

    vendor = stack.enter_context(Sandbox(limits=None, credits=max(100_000, rows)))
    return StoppableClient(vendor.api_key, vendor.url)


def _example_leads() -> Path:
    """The example table, in a wheel's package or in a checkout."""
    package = Path(buena_pipeline.__file__).parent
    for folder in (package, package.parent):
        if (path := folder / "examples" / "leads.csv").is_file():
            return path
    raise FileFormatError("The example leads are not here: name a table of your own, as in demo leads.csv.")


def _best(frame: pl.DataFrame) -> pl.DataFrame:
    """Each of the best-scored people once, in columns that fit a terminal."""
    names = ("company_name", "title", "company_size", "phone", "status")
    return (
        frame.unique("buena_person_id", keep="first", maintain_order=True)
        .sort("buena_score", descending=True, nulls_last=True, maintain_order=True)
        .select(
            score="buena_score",
            name=pl.concat_str("buena_first_name", "buena_last_name", separator=" ", ignore_nulls=True),
            **{name: f"buena_{name}" for name in names},
        )
        .head(_TOP)
    )
