"""Tables and figures for people's eyes. What comes out is for reading; data for programs goes to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from buena_pipeline.columns import describe_columns
from buena_pipeline.files.plain import CONTROLS, plain_columns
from buena_pipeline.result import EnrichmentPlan, EnrichmentReport

_MIN_COLUMN: Final = 12
_PLAIN_WIDTH: Final = 100
_UNKNOWN: Final = (
    "another run buys them only when the balance, which later answers tell, shows that they were not "
    "charged: see buena-pipeline ledger. retry_unknown=True buys them at once, and may pay twice"
)
"""What helps where the outcome of requests is unknown, since to run again alone does not."""


def console(*, stderr: bool = False) -> Console:
    """A console that colours nothing by guess, and is 100 wide where there is no terminal."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PLAIN_WIDTH
    return made


def frame_table(frame: pl.DataFrame, *, width: int, max_rows: int = 50) -> RenderableType:
    """The first rows and columns of a table, as many as fit.

    Args:
        frame: any table.
        width: of the terminal, in characters; decides how many columns are shown.
        max_rows: how many rows are shown.

    Returns:
        Something to print, with a line that says what is left out.

    Example:
        >>> Console(width=40).print(frame_table(pl.DataFrame({"n": [7]}), width=40))
        n
        ─
        7
    """
    shown = frame[:max_rows, : max(1, width // _MIN_COLUMN)]
    texts = shown.select(plain_columns(shown.schema)).select(
        pl.all().cast(pl.String).fill_null("").str.replace_all(CONTROLS, " ")
    )
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, dtype in shown.schema.items():
        table.add_column(Text(name), justify="right" if dtype.is_numeric() else "left", overflow="ellipsis")
    for cells in zip(*(column.to_list() for column in texts), strict=True):
        table.add_row(*map(Text, cells))
    hidden = (
        *([f"{frame.height - shown.height:,} more rows"] if frame.height > shown.height else []),
        *([f"{frame.width - shown.width:,} more columns"] if frame.width > shown.width else []),
    )
    return Group(table, Text(f"... and {', '.join(hidden)}", "dim")) if hidden else table


def facts(lines: list[tuple[str, str]]) -> RenderableType:
    """Names and what is to be said of them, in two columns.

    Example:
        >>> Console(width=40).print(facts([("rows", "7"), ("people", "5")]))
        rows    7
        people  5
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in lines:
        grid.add_row(Text(name), Text(text))
    return grid


def amount(credits_spent: float) -> str:
    """Credits as people write them.

    Example:
        >>> amount(1_250_000.0), amount(0.5)
        ('1,250,000', '0.5')
    """
    return f"{credits_spent:,.2f}".rstrip("0").rstrip(".")


def short_path(path: Path) -> str:
    """A path as seen from where the command runs.

    Example:
        >>> short_path(Path.cwd() / "buena.duckdb")
        'buena.duckdb'
    """
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def describe_plan(plan: EnrichmentPlan) -> list[tuple[str, str]]:
    """What enriching would do and cost, line by line.

    Args:
        plan: of ``Enricher.plan``.
    """
    return [
        *describe_columns(plan.columns, plan.unread, invalid=plan.invalid),
        ("rows", f"{plan.rows:,}{_rows_note(plan.duplicates, plan.invalid)}"),
        ("people", f"{plan.people:,}"),
        ("from the store", f"{plan.cached:,}"),
        ("not found lately", f"{plan.failed:,}"),
        ("to buy", f"{plan.to_buy:,}{f' ({plan.stale:,} because it is too old)' if plan.stale else ''}"),
        *([("on their way", f"{plan.elsewhere:,}, bought by another run")] if plan.elsewhere else []),
        *([("suppressed", f"{plan.suppressed:,}")] if plan.suppressed else []),
        *([("deferred", _deferred(plan))] if plan.deferred else []),
        ("requests", f"{plan.requests:,}"),
        ("credits", f"{amount(plan.max_credits)} at most"),
        ("time", f"{plan.shortest_time} or more, by the vendor's rate limits"),
    ]


def describe_report(report: EnrichmentReport) -> list[tuple[str, str]]:
    """What a run did and cost, line by line.

    Args:
        report: of ``Enricher.run``.
    """
    remaining = "" if report.credits_remaining is None else f", {amount(report.credits_remaining)} left"
    remembered = f" ({report.failed_remembered:,} known before)" if report.failed_remembered else ""
    lines = [
        ("rows", f"{report.rows:,}{_rows_note(report.duplicates, report.invalid)}"),
        ("people", f"{report.people:,}"),
        ("from the store", f"{report.cached:,}"),
        ("bought", f"{report.enriched:,}"),
        ("not found", f"{report.failed:,}{remembered}"),
        *([("suppressed", f"{report.suppressed:,}")] if report.suppressed else []),
        ("deferred", f"{report.deferred:,}{f': {report.deferred_reason}' if report.deferred_reason else ''}"),
        ("requests", f"{report.requests:,}"),
        ("credits", f"{amount(report.credits_used)} used, {report.credits_avoided:,} avoided{remaining}"),
    ]
    if report.unknown:
        most = (
            f", {amount(report.credits_unknown)} credits at most in this run"
            if report.credits_unknown
            else ""
        )
        lines.append(("perhaps charged", f"{report.unknown:,} people{most}; {_UNKNOWN}"))
    if report.resume_at is not None:
        lines.append(("run again after", f"{report.resume_at:%Y-%m-%d %H:%M:%S} UTC"))
    return lines


def _deferred(plan: EnrichmentPlan) -> str:
    beyond = plan.deferred - plan.unknown
    notes = [f"{beyond:,} over the budget"] * bool(beyond) + [
        f"{plan.unknown:,} perhaps charged already"
    ] * bool(plan.unknown)
    return ", ".join(notes)


def _rows_note(duplicates: int, invalid: int) -> str:
    notes = [f"{duplicates:,} duplicates"] * bool(duplicates) + [f"{invalid:,} invalid"] * bool(invalid)
    return f" ({', '.join(notes)})" if notes else ""
