"""The options that commands share, and what their texts mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import polars as pl
import typer

from buena_pipeline.columns import require_column
from buena_pipeline.errors import ColumnError, InputError
from buena_pipeline.schema import DEFAULT_PREFIX

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


Source = Annotated[
    Path, typer.Argument(metavar="IN", help="The table: csv, tsv, parquet, ndjson, json or xlsx.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="Where to; the ending names the format.")
]
Store = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The store.  [default: $BUENA_STORE or buena.duckdb]", show_default=False
    ),
]
LockTimeout = Annotated[
    float, typer.Option(metavar="S", min=0, help="Seconds to wait while others hold the store.")
]
Blocks = Annotated[str, typer.Option("--options", metavar="LIST", help="Of personal,company,social,contact.")]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=NAME", help="Which column is what; repeatable. FIELD= for none.", show_default=False
    ),
]
MaxAge = Annotated[str, typer.Option(metavar="AGE", help="Buy again what is older: 90d, 12h, none.")]
RetryFailedAfter = Annotated[str, typer.Option(metavar="AGE", help="Ask again for people not found.")]
RetryUnknown = Annotated[
    bool, typer.Option("--retry-unknown", help="Buy again who may have been charged before a crash.")
]
MaxCredits = Annotated[
    float | None, typer.Option(metavar="N", min=0, help="Spend at most this.", show_default="no limit")
]
DailyCredits = Annotated[
    float | None,
    typer.Option(metavar="N", min=0, help="Spend at most this a day, all runs.", show_default="no limit"),
]
Priority = Annotated[
    str | None, typer.Option(metavar="NAME", help="Buy the highest in this column first.", show_default=False)
]
Prefix = Annotated[str, typer.Option(metavar="TEXT", help="Of the columns that are added.")]
Model = Annotated[
    Path | None, typer.Option(metavar="TOML", help="The scoring model.", show_default="the vendor's example")
]

BLOCKS: Final = "personal,company,contact"
MAX_AGE: Final = "90d"
RETRY_FAILED_AFTER: Final = "30d"
MAX_WAIT: Final = "5m"
LOCK_TIMEOUT: Final = 60.0
PREFIX: Final = DEFAULT_PREFIX


def parse_duration(text: str, *, option: str) -> timedelta | None:
    """What a length of time such as ``90d`` means.

    Args:
        text: a number and s, m, h, d or w; or ``none``.
        option: the option it was given for, for the message.

    Returns:
        The duration; None for ``none``.

    Raises:
        InputError: for anything else.

    Example:
        >>> parse_duration("36h", option="--max-age"), parse_duration("none", option="--max-age")
        (datetime.timedelta(days=1, seconds=43200), None)
    """
    if text.strip().lower() == "none":
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text.lower())
    try:
        return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else _no_duration(text, option)
    except OverflowError:
        return _no_duration(text, option)


def parse_columns(pairs: Sequence[str]) -> dict[str, str | list[str] | None] | None:
    """Which column is what, from ``field=name`` pairs.

    Args:
        pairs: as given; a field that comes again has several columns, one without a name has none.

    Returns:
        What ``Enricher(columns=...)`` takes; None if nothing was given.

    Raises:
        InputError: for a text without "=".

    Example:
        >>> parse_columns(["email=Work", "email=Home", "company="])
        {'email': ['Work', 'Home'], 'company': None}
    """
    columns: dict[str, list[str]] = {}
    for pair in pairs:
        field, equals, name = pair.partition("=")
        if not equals:
            raise InputError(f"--column takes FIELD=NAME, such as email=work_mail; not {pair!r}.")
        columns.setdefault(field.strip(), []).extend([name] if name else [])
    return {
        field: names if len(names) > 1 else next(iter(names), None) for field, names in columns.items()
    } or None


def parse_priority(frame: pl.LazyFrame, column: str | None) -> pl.Expr | None:
    """The expression that ranks a table by a column of numbers, which may be text as CSV brings it.

    Args:
        frame: the table.
        column: its name; None for no ranking.

    Returns:
        What ``Enricher(priority=...)`` takes; what is no number ranks last.

    Raises:
        ColumnError: if there is no such column, or no number in it.

    Example:
        >>> frame = pl.LazyFrame({"deal": ["12", "n/a"]})
        >>> frame.select(parse_priority(frame, "deal")).collect()["deal"].to_list()
        [12.0, None]
    """
    if column is None:
        return None
    schema = frame.collect_schema()
    require_column(schema, column, whose="--priority")
    number = pl.col(column).cast(pl.Float64, strict=False)
    has_none = pl.len().gt(0) & number.is_null().all()
    if schema[column].is_nested() or frame.select(has_none).collect().item():
        raise ColumnError(f'--priority: column "{column}" has no numbers to rank by.', columns=(column,))
    return number


def require_apart(source: Path, output: Path) -> None:
    """Check that a command does not write over the table it reads, also by way of a link.

    Args:
        source: the table it reads.
        output: where it writes.

    Raises:
        InputError: if they are one file.

    Example:
        >>> require_apart(Path("leads.csv"), Path("enriched.csv"))
    """
    if source.exists() and output.exists() and source.samefile(output):
        other = output.with_name(f"{output.stem}-new{output.suffix}")
        raise InputError(
            f"{output} is the table that is read: it would be replaced. Nothing was sent or written. Name "
            f"another file, such as -o {other}."
        )


def _no_duration(text: str, option: str) -> timedelta:
    raise InputError(f"{option} takes a number with s, m, h, d or w, such as 90d, or none; not {text!r}.")
