"""The commands around it: ``sql``, ``backup``, ``sandbox`` and ``doctor``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from buena_pipeline.cli import options
from buena_pipeline.cli.display import amount, console, frame_table
from buena_pipeline.cli.doctor import examine
from buena_pipeline.cli.exits import FAULT
from buena_pipeline.cli.wording import as_on_the_shell
from buena_pipeline.errors import InputError, QueryError
from buena_pipeline.files import write_table, write_text
from buena_pipeline.files.markdown import markdown_table
from buena_pipeline.files.plain import json_ready, plain_columns
from buena_pipeline.store import EnrichmentStore


class _Shape(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    XLSX = "xlsx"


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

    Its views are leads, failures, stale, credits_by_day and coverage; "from buena_lead('jane@acme.example')"
    finds a person. With -o the ending of the file names the format, unless --format does.
    """
    if shape is _Shape.XLSX and output is None:
        raise InputError("A workbook is a file: name it with -o, such as -o leads.xlsx.")
    if shape is _Shape.PARQUET and output is None and sys.stdout.isatty():
        raise InputError("Parquet is not for the eye: name a file with -o, or send it through a pipe.")
    frame = EnrichmentStore(store, read_only=True, lock_timeout=lock_timeout).sql(query)
    try:
        if output is not None:
            _write(frame, output, shape)
        else:
            _show(frame, shape)
    except pl.exceptions.PanicException:
        raise QueryError(
            "The result has a value that this format does not hold, such as an infinite date; cast it, such "
            "as x::varchar."
        ) from None


def _show(frame: pl.DataFrame, shape: _Shape) -> None:
    """The result on standard output."""
    data = sys.stdout.buffer
    match shape:
        case _Shape.TABLE:
            out = console()
            out.print(frame_table(frame, width=out.width))
        case _Shape.CSV:
            data.write(frame.select(plain_columns(frame.schema)).write_csv().encode())
        case _Shape.JSON:
            data.write(f"{json_ready(frame.lazy()).collect().write_json()}\n".encode())
        case _Shape.NDJSON:
            data.write(json_ready(frame.lazy()).collect().write_ndjson().encode())
        case _Shape.MARKDOWN:
            data.write(markdown_table(frame).encode())
        case _:
            frame.write_parquet(data)
    data.flush()


def _write(frame: pl.DataFrame, output: Path, shape: _Shape) -> None:
    """The whole result as a file, in the format that is asked for, else the one its name ends in."""
    named = output.suffix.lower() in {".md", ".markdown"}
    if shape is _Shape.MARKDOWN or (shape is _Shape.TABLE and named):
        write_text(markdown_table(frame), output)
    else:
        write_table(frame, output, ending=None if shape is _Shape.TABLE else f".{shape}")


def backup(
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; nothing is replaced.")],
    *,
    store: options.Store = None,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Copy the store into another file, while runs go on.

    The copy is a store, too. To restore it, put it in the place of the store.
    """
    written = EnrichmentStore(store, lock_timeout=lock_timeout).backup(copy)
    console().print(f"{written} written, {written.stat().st_size / 1e6:,.1f} MB", soft_wrap=True)


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
    out.print(f"{vendor.requests:,} requests, {amount(vendor.credits_used)} credits charged")


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
        advice = f"\n{'':19}-> {as_on_the_shell(check.advice)}" if check.advice else ""
        finding = as_on_the_shell(check.finding)
        out.print(f"{check.level:<5} {check.name:<12} {finding}{advice}", soft_wrap=True)
        failed |= check.level == "fail"
    if failed:
        raise typer.Exit(FAULT)
