"""A store that was used for months, for what looks at stores: reports and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from buena_pipeline import BuenaClient, Enricher, EnrichmentResult, Sandbox
from tests.loopback import ROOT

_MOMENTS: Final = {
    "request": ("happened_at", "lease_until"),
    "run": ("happened_at",),
    "answer": ("answered_at",),
    "response": ("received_at",),
    "identity": ("known_at",),
}

RUNS: Final = (
    (0, 60, 130),
    (40, 70, 100),
    (0, 120, 45),
    (100, 160, 12),
    (100, 200, 5),
    (180, 80, 3),
    (250, 60, 1),
)
"""The first row, how many, and how many days ago."""


def example_leads() -> pl.DataFrame:
    """The example table."""
    return pl.read_csv(ROOT / "examples" / "leads.csv")


def spend_months(path: Path, sandbox: Sandbox) -> EnrichmentResult[pl.DataFrame]:
    """Enriches parts of the example leads on several days, and today all of them.

    Args:
        path: of a store that is not there yet.
        sandbox: who sells.

    Returns:
        What came of today's run.
    """
    leads = example_leads()
    with BuenaClient(sandbox.api_key, sandbox.url) as client:
        enricher = Enricher(client, path, max_age=None, retry_failed_after=None)
        for first, rows, days in RUNS:
            enricher.run(leads[first : first + rows])
            make_older(path, days)
        return enricher.run(leads)


def make_older(path: Path, days: int) -> None:
    """Moves all that is of today into the past."""
    with duckdb.connect(str(path)) as connection:
        for table, columns in _MOMENTS.items():
            for column in columns:
                connection.execute(
                    f"update {table} set {column} = {column} - to_days({days}) "
                    f"where {column} > now()::timestamptz - interval 20 hours"
                )
