"""What a page says of a store, read from it: counts and sums, and nothing that says who somebody is."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from buena_pipeline.errors import InputError
from buena_pipeline.reasons import OTHER, is_common
from buena_pipeline.report.figures import FILLED
from buena_pipeline.result import EnrichmentReport
from buena_pipeline.schema import BLOCK_OF, RECORD
from buena_pipeline.score import score_frame
from buena_pipeline.scoring_model import ScoringModel
from buena_pipeline.store import EnrichmentStore

_REASONS: Final = 8
"""Reasons that have a bar of their own."""

_VALUES: Final = pl.Schema({"value": pl.Float64(), "people": pl.Int64()})

_CONFIDENCE: Final = """
    select confidence as value, count(*) as people from leads where confidence is not null group by confidence
"""

# which phone it is does not matter to the score
_TO_SCORE: Final = """
    select company_size, title, left(phone, 1) as phone, left(linkedin_url, 1) as linkedin_url, skills,
           count(*) as people
    from leads
    group by all
"""

_FAILURES: Final = "select reason, count(*) as people from failures group by reason"

_AGES: Final = """
    with aged as (
        select now()::timestamptz - least(
                   max(answered_at) filter (found and has_personal),
                   max(answered_at) filter (found and has_company),
                   max(answered_at) filter (found and has_social),
                   max(answered_at) filter (found and has_contact)
               ) as age
        from person_answer
        group by person_id
    ),
    bucket(place, age, after, until, state) as (values
        (1, 'up to 30 days', 0, 30, 'fresh'), (2, '30 to 90 days', 30, 90, 'fresh'),
        (3, '90 to 180 days', 90, 180, 'stale'), (4, '180 to 365 days', 180, 365, 'stale'),
        (5, 'more than a year', 365, 1000000, 'stale'))
    select bucket.age, any_value(state) as state, count(aged.age) as people
    from bucket left join aged
        on (aged.age > to_days(after) or after = 0) and aged.age <= to_days(until)
    group by place, bucket.age
    order by place
"""


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What there is in a store.

    Attributes:
        people: people the vendor knows.
        not_found: people it does not know.
        runs: of ``EnrichmentStore.runs``, without what a run says in its own words.
        last: the report of the newest run that has one, and when it started.
        requests: how many requests were sent.
        credits_used: what they cost.
        credits_left: what the vendor said last.
        unknown: people of requests of unknown outcome.
        days: ``day``, ``kind`` (used or avoided) and ``credits``.
        filled: schema ``FILLED``.
        confidence: ``value`` and ``people``.
        scores: likewise.
        failures: ``reason`` and ``people``, the most frequent first.
        ages: ``age``, ``state`` (fresh or stale) and ``people``.
    """

    people: int
    not_found: int
    runs: pl.DataFrame
    last: tuple[datetime, EnrichmentReport] | None
    requests: int
    credits_used: float
    credits_left: float | None
    unknown: int
    days: pl.DataFrame
    filled: pl.DataFrame
    confidence: pl.DataFrame
    scores: pl.DataFrame
    failures: pl.DataFrame
    ages: pl.DataFrame


def read_store(store: EnrichmentStore, *, model: ScoringModel, now: datetime) -> StoreFigures:
    """Reads all of it.

    Args:
        store: the store.
        model: by which people are scored.
        now: the time; a request in flight beyond its lease is of unknown outcome.

    Raises:
        StoreError: if the store cannot be read.
    """
    runs, requests = store.runs(), store.ledger()
    spent = store.sql("select day, requests, credits_used, credits_remaining from credits_by_day")
    failures = store.sql(_FAILURES)
    coverage = store.sql("select column_name, filled, people, share from coverage").rename(
        {"column_name": "column"}
    )
    filled = _in_order(coverage)
    left = spent["credits_remaining"].drop_nulls()
    lost = (pl.col("state") == "in flight") & (pl.col("lease_until") < now)
    return StoreFigures(
        people=int(filled["people"].max() or 0),  # type: ignore[arg-type]
        not_found=int(failures["people"].sum()),
        runs=runs.drop("summary"),
        last=_last_report(runs),
        requests=requests.height,
        credits_used=float(spent["credits_used"].sum()),
        credits_left=None if left.is_empty() else float(left[-1]),
        unknown=int(requests.filter((pl.col("state") == "unknown") | lost)["people"].sum()),
        days=_by_day(spent, runs),
        filled=filled,
        confidence=store.sql(_CONFIDENCE).cast(_VALUES),
        scores=_scores(store.sql(_TO_SCORE), model),
        failures=_shown(failures),
        ages=store.sql(_AGES),
    )


def _last_report(runs: pl.DataFrame) -> tuple[datetime, EnrichmentReport] | None:
    told = runs.drop_nulls("summary").tail(1)
    with contextlib.suppress(InputError):  # of another release
        return next(
            (
                (began, EnrichmentReport.from_json(text))
                for began, text in told.select("started_at", "summary").rows()
            ),
            None,
        )
    return None


def _by_day(spent: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """What was used on each day, and what was avoided by the runs that began on it (UTC)."""
    avoided = pl.sum_horizontal("avoided_by_duplicates", "avoided_by_store", "avoided_by_failures")
    saved = runs.select(
        day=pl.col("started_at").dt.convert_time_zone("UTC").dt.date(),
        kind=pl.lit("avoided"),
        credits=avoided.cast(pl.Float64),
    )
    used = spent.select(
        day=pl.col("day").cast(pl.Date), kind=pl.lit("used"), credits=pl.col("credits_used").cast(pl.Float64)
    )
    return pl.concat([used, saved]).group_by("day", "kind").agg(pl.col("credits").sum()).sort("day", "kind")


def _in_order(coverage: pl.DataFrame) -> pl.DataFrame:
    """The view ``coverage`` in the order of the columns, with the block each comes with."""
    names = list(RECORD)
    columns = pl.DataFrame({"column": names, "block": [BLOCK_OF.get(name, "every answer") for name in names]})
    return columns.join(coverage, on="column", how="left", maintain_order="left").select(*FILLED).cast(FILLED)


def _scores(people: pl.DataFrame, model: ScoringModel) -> pl.DataFrame:
    scored = score_frame(people, model=model, prefix="")
    return scored.group_by(value="score").agg(pl.col("people").sum()).drop_nulls().cast(_VALUES).sort("value")


def _shown(failures: pl.DataFrame) -> pl.DataFrame:
    """The reasons that many share; the others, which could say who somebody is, as one."""
    ranked = failures.sort("people", "reason", descending=[True, False])
    kept = ranked.filter(is_common(pl.col("reason"), pl.col("people"))).head(_REASONS)
    rest = int(failures["people"].sum()) - int(kept["people"].sum())
    other = pl.DataFrame({"reason": [OTHER], "people": [rest]}, schema=failures.schema)
    return pl.concat([kept, other.filter(pl.col("people") > 0)])
