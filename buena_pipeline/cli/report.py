"""The command ``report``: what a store, or an enriched table, has come to, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import polars as pl
import polars.selectors as cs
import typer

from buena_pipeline.cli import options
from buena_pipeline.cli.display import console
from buena_pipeline.cli.runs import load_model
from buena_pipeline.errors import FileFormatError, InputError
from buena_pipeline.files import read_table, write_text
from buena_pipeline.files.plain import with_lists
from buena_pipeline.schema import SCORED
from buena_pipeline.store import EnrichmentStore

_ENDINGS: Final = (".html", ".htm")


def report(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Where to; an .html file.")],
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="An enriched table.", show_default="the store")
    ] = None,
    *,
    store: options.Store = None,
    model: options.Model = None,
    prefix: options.Prefix = options.PREFIX,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Draw the store as one HTML page: costs, coverage, scores, failures, age.

    Needs no network to be read, and tells nothing of anybody. With IN it is about that table instead.
    """
    from buena_pipeline.report import page, table_page

    if output.suffix.lower() not in _ENDINGS:
        raise FileFormatError(f"{output}: a report is an .html file; name it so, as in -o report.html.")
    if source is not None and store is not None:
        raise InputError("A report is about a table or about a store: leave out IN, or --store.")
    scoring = load_model(model)
    if source is None:
        text = page(EnrichmentStore(store, read_only=True, lock_timeout=lock_timeout), model=scoring)
    else:
        table = with_lists(read_table(source), f"{prefix}skills")
        numbers = cs.by_name(*(prefix + column for column in ("confidence", *SCORED)), require_all=False)
        table = table.with_columns(
            (numbers & cs.string()).cast(pl.Float64, strict=False)
        )  # as CSV brings them
        text = table_page(table, name=source.name, prefix=prefix, model=scoring)
    write_text(text, output)
    console(stderr=True).print(f"the report is in {output}", soft_wrap=True)
