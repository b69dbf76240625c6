"""On which terms a run buys: what somebody can change where they launch it."""

from typing import Final

import dagster as dg
from pydantic import Field

from dagster_project.settings import daily_credits

SHORTEST_AGE: Final = "shortest_max_age_days"
"""The metadata that tells ``Terms.shortest_age_days`` of a run."""


class Terms(dg.Config):
    """On which terms a run buys; the defaults are those of the daily run."""

    max_credits: float | None = Field(default=None, description="Credits that this run may spend.")
    daily_credits: float | None = Field(
        default=daily_credits(), description="Credits that all runs may spend on one day (UTC)."
    )
    max_age_days: float = Field(default=90.0, description="How old a block may be until it is bought again.")
    max_wait_seconds: float = Field(default=300.0, description="How long to wait for a rate limit in place.")
    refresh_after_days: float | None = Field(
        default=None,
        description="Buy again what is older than this, the best scored leads first, before anything else.",
    )

    @property
    def shortest_age_days(self) -> float:
        """How old a block is at least that this run buys again."""
        ages = (self.max_age_days, self.refresh_after_days)
        return min(age for age in ages if age is not None)
