"""The figures behind each chart: a report, a plan or an enriched frame in, a few rows of counts out.

Pure polars, whole columns; no value of a person gets into what leaves.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from buena_pipeline.errors import ColumnError, InputError
from buena_pipeline.result import EnrichmentPlan, EnrichmentReport
from buena_pipeline.schema import BLOCK_OF, DEFAULT_PREFIX, RECORD, STATUSES

Told = EnrichmentReport | EnrichmentPlan
Frame = pl.DataFrame | pl.LazyFrame

FUNNEL: Final = pl.Schema(
    {
        "stage": pl.String(),
        "counts": pl.String(),
        "count": pl.Int64(),
        "start": pl.Int64(),
        "note": pl.String(),
    }
)
"""One row per stage: what it counts, how many there are, from where its bar starts, who dropped out."""

CREDITS: Final = pl.Schema({"what": pl.String(), "kind": pl.String(), "credits": pl.Float64()})
"""One row per reason for which credits were used or avoided."""

FILLED: Final = pl.Schema(
    {
        "column": pl.String(),
        "block": pl.String(),
        "filled": pl.Int64(),
        "people": pl.Int64(),
        "share": pl.Float64(),
    }
)
"""One row per column of ``schema.RECORD``: how many of the people have a value."""

HISTOGRAM: Final = pl.Schema({"low": pl.Float64(), "high": pl.Float64(), "people": pl.Int64()})
"""One row per bin from ``low`` on to below ``high``, also the empty ones; the last bin has its end, too."""

CONFIDENCE_WIDTH: Final = 0.05
_MOST_BINS: Final = 30
_PERIODS: Final = (
    (62, "1d", "day", "%-d %b"),
    (370, "1w", "week", "%-d %b"),
    (10**9, "1mo", "month", "%b %Y"),
)
"""Up to how many days which bars are drawn, and how they are called."""

_ANSWERED: Final = ("enriched", "cached")


def funnel_figures(told: Told) -> pl.DataFrame:
    """How the rows of a table come down to people with data.

    Args:
        told: a report, or a plan.

    Returns:
        Schema ``FUNNEL``, six rows; of a plan the last two say what would be.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import plan_frame
        >>> leads = pl.DataFrame({"email": ["a@acme.example", "A@acme.example", None]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     funnel_figures(plan_frame(leads, store=f"{folder}/buena.duckdb"))["count"].to_list()
        [3, 2, 1, 0, 1, 1]
    """
    planned = isinstance(told, EnrichmentPlan)
    bought = told.to_buy if isinstance(told, EnrichmentPlan) else told.enriched
    usable = told.people + told.duplicates
    settled = told.cached + bought
    stages = [
        ("rows", "rows", told.rows, 0, ""),
        ("usable", "rows", usable, 0, _notes(unidentified=told.rows - usable)),
        ("people", "people", told.people, 0, _notes(duplicates=told.duplicates)),
        ("from the store", "people", told.cached, 0, ""),
        ("to buy" if planned else "bought", "people", bought, told.cached, ""),
        ("enriched at most" if planned else "enriched", "people", settled, 0, _notes(**_left_out(told))),
    ]
    return pl.DataFrame(stages, schema=FUNNEL, orient="row")


def credit_figures(told: Told) -> pl.DataFrame:
    """What a table costs, and what it does not cost.

    Args:
        told: a report, or a plan.

    Returns:
        Schema ``CREDITS``, four rows.
    """
    if isinstance(told, EnrichmentPlan):
        name, used, remembered = "used at most", told.max_credits, told.failed
    else:
        name, used, remembered = "used", told.credits_used, told.failed_remembered
    lines = [
        (name, "used", used),
        ("duplicates", "avoided", told.duplicates),
        ("from the store", "avoided", told.cached),
        ("not found before", "avoided", remembered),
    ]
    return pl.DataFrame(lines, schema=CREDITS, orient="row", strict=False)


def fill_figures(frame: Frame, *, prefix: str = DEFAULT_PREFIX) -> pl.DataFrame:
    """How many of the people whom the vendor knows have a value, column by column.

    Args:
        frame: an enriched table; of each person one row counts.
        prefix: what the names of the enriched columns begin with; ``""`` for the store's view ``leads``.

    Returns:
        Schema ``FILLED``, in the order of the columns; ``share`` is null if there is nobody.

    Raises:
        ColumnError: if the frame has none of the columns.
        InputError: if it is no polars frame.

    Example:
        >>> fill_figures(pl.DataFrame({"title": ["Buyer", None]}), prefix="").select("column", "share").rows()
        [('title', 0.5)]
    """
    schema = schema_of(frame)
    names = [name for name in RECORD if prefix + name in schema]
    if not names:
        raise ColumnError(missing(f"{prefix}title and the like"), columns=())
    known = _people(frame, prefix)
    counts = known.select(pl.len().alias(""), *(pl.col(prefix + name).count().alias(name) for name in names))
    people, *filled = counts.collect().row(0)
    table = {"column": names, "block": [BLOCK_OF.get(name, "every answer") for name in names]}
    return (
        pl.DataFrame(table | {"filled": filled})
        .with_columns(people=pl.lit(people))
        .with_columns(share=pl.when(people > 0).then(pl.col("filled") / pl.col("people")))
        .cast(FILLED)
    )


def status_figures(frame: Frame, *, prefix: str = DEFAULT_PREFIX) -> pl.DataFrame:
    """How many rows of an enriched table have each status.

    Args:
        frame: with a column ``status``.
        prefix: as for ``fill_figures``.

    Returns:
        ``status`` and ``rows``, for every one of ``schema.STATUSES``, in that order.

    Example:
        >>> status_figures(pl.DataFrame({"buena_status": ["cached", "cached"]})).row(1)
        ('cached', 2)
    """
    column = pl.col(f"{prefix}status").cast(pl.String).alias("status")
    counted = frame.lazy().group_by(column).agg(rows=pl.len().cast(pl.Int64)).collect()
    statuses = pl.DataFrame({"status": STATUSES})
    return statuses.join(counted, on="status", how="left", maintain_order="left").with_columns(
        pl.col("rows").fill_null(0)
    )


def values_of(frame: Frame, column: str, *, prefix: str = DEFAULT_PREFIX) -> pl.DataFrame:
    """How many people have which value of a column of numbers.

    Args:
        frame: as for ``fill_figures``.
        column: without the prefix.
        prefix: as for ``fill_figures``.

    Returns:
        ``value`` (Float64, no nulls) and ``people``, as ``histogram`` takes them.

    Raises:
        ColumnError: if there is no such column, or no numbers in it.
    """
    dtype = schema_of(frame).get(prefix + column)
    if dtype is None:
        raise ColumnError(missing(prefix + column), columns=(prefix + column,))
    if not (dtype.is_numeric() or dtype == pl.Null):
        raise ColumnError(
            f"The column {prefix + column} is {dtype}, no numbers: cast it, with "
            f'pl.col("{prefix + column}").cast(pl.Float64).',
            columns=(prefix + column,),
        )
    value = pl.col(prefix + column).cast(pl.Float64).alias("value")
    counted = _people(frame, prefix).select(value).filter(pl.col("value").is_finite())
    return counted.group_by("value").agg(people=pl.len()).collect()


def histogram(values: pl.DataFrame, *, width: float | None = None, end: float | None = None) -> pl.DataFrame:
    """Values in bins of one width.

    Args:
        values: ``value`` and ``people``.
        width: of a bin; default one that makes at most thirty of them, and is a round number.
        end: where the last bin ends, if not with the greatest value; the first then begins at 0.

    Returns:
        Schema ``HISTOGRAM``; no rows if there are no values.

    Example:
        >>> histogram(pl.DataFrame({"value": [0.95, 1.0], "people": [2, 1]}), width=0.5, end=1.0).rows()
        [(0.0, 0.5, 0), (0.5, 1.0, 3)]
    """
    if values.is_empty():
        return HISTOGRAM.to_frame()
    smallest, greatest = values.select(pl.col("value").min(), greatest=pl.col("value").max()).row(0)
    if width is None:
        width = _round_width(greatest - min(smallest, 0.0))
    first = 0 if end is not None else _bin(min(smallest, 0.0), width)
    last = _bin(end, width) - 1 if end is not None else _bin(greatest, width)
    # rounded, or 0.15 / 0.05 would be below 3
    bin_of = (pl.col("value") / width).round(9).floor().clip(first, last).cast(pl.Int64)
    counted = values.group_by(bin=bin_of).agg(pl.col("people").sum())
    bins = pl.select(bin=pl.int_range(first, last + 1, dtype=pl.Int64))
    return (
        bins.join(counted, on="bin", how="left", maintain_order="left")
        .select(
            low=(pl.col("bin") * width).round(9),
            high=((pl.col("bin") + 1) * width).round(9),
            people=pl.col("people").fill_null(0),
        )
        .cast(HISTOGRAM)
    )


def by_period(days: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """Credits by day, or by week or month where days would be too many to be drawn.

    Args:
        days: ``day``, ``kind`` (used or avoided) and ``credits``.

    Returns:
        ``day``, ``week`` or ``month``, and for each from the first to the last, also where nothing happened,
        two rows: ``begins`` (text), ``kind``, ``order`` and ``credits``.

    Example:
        >>> from datetime import date
        >>> days = [date(2026, 5, 1), date(2026, 5, 3)]
        >>> credits = {"kind": ["used", "avoided"], "credits": [5.0, 2.0]}
        >>> period, table = by_period(pl.DataFrame({"day": days} | credits))
        >>> period, table["begins"].unique(maintain_order=True).to_list(), table["credits"].to_list()
        ('day', ['1 May', '2 May', '3 May'], [5.0, 0.0, 0.0, 0.0, 0.0, 2.0])
    """
    span = (
        0
        if days.is_empty()
        else days.select((pl.col("day").max() - pl.col("day").min()).dt.total_days()).item()
    )
    every, period, form = next((rest for most, *rest in _PERIODS if span <= most))
    rounded = days.select(pl.col("day").dt.truncate(every), "kind", "credits")
    periods = (
        rounded.select(pl.date_range(pl.col("day").min(), pl.col("day").max(), every))
        if days.height
        else days
    )
    kinds = pl.DataFrame({"kind": ["used", "avoided"], "order": [0, 1]})
    spent = rounded.group_by("day", "kind").agg(pl.col("credits").sum())
    every_one = periods.select("day").join(kinds, how="cross", maintain_order="left_right")
    return period, every_one.join(spent, on=["day", "kind"], how="left", maintain_order="left").select(
        pl.col("day").dt.strftime(form).alias("begins"), "kind", "order", pl.col("credits").fill_null(0.0)
    )


def schema_of(frame: Frame) -> pl.Schema:
    """The columns of a frame; raises InputError if it is none."""
    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise InputError(
            f"Charts take a polars DataFrame or LazyFrame, not {type(frame).__name__}: turn other tables "
            "into one with pl.DataFrame(table)."
        )
    return frame.collect_schema()


def _people(frame: Frame, prefix: str) -> pl.LazyFrame:
    """One row of each person whom the vendor knows."""
    table, schema = frame.lazy(), frame.collect_schema()
    if f"{prefix}status" in schema:
        table = table.filter(pl.col(f"{prefix}status").cast(pl.String).is_in(_ANSWERED))
    if f"{prefix}person_id" in schema:
        table = table.unique(f"{prefix}person_id", keep="any")
    return table


def _left_out(told: Told) -> dict[str, int]:
    """People who are not enriched, by what became of them."""
    out = {"not_found": told.failed, "deferred": told.deferred, "suppressed": told.suppressed}
    if isinstance(told, EnrichmentPlan):
        return out | {"on_their_way": told.elsewhere}
    return out | {"refused": told.people - told.cached - told.enriched - sum(out.values())}


def _notes(**counts: int) -> str:
    return ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items() if count > 0)


def missing(what: str) -> str:
    """The message about a column that is not there."""
    return (
        f"The frame has no column {what} to draw. Enrich it first with enrich_frame(), score it with "
        "score_frame(), or pass the prefix that it was enriched with."
    )


def _bin(value: float, width: float) -> int:
    """The number of the bin a value falls into."""
    return int(round(value / width, 9) // 1)


def _round_width(span: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 ... that covers a span with few bins; of .01, .02, .05 ... up to 1."""
    widths = (unit * 10.0**power for power in range(-2, 308) for unit in (1, 2, 5))
    return next(width for width in widths if span / width < _MOST_BINS and (width >= 1 or 0 < span <= 1))
