"""On which terms a run buys: what somebody can change where they launch it."""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from buena_pipeline.errors import SettingsError
from dagster_project.settings import daily_credits


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


def days(number: float) -> timedelta:
    """A time of so many days.

    Raises:
        SettingsError: if there is no such time.
    """
    try:
        return timedelta(days=number)
    except (ValueError, OverflowError):
        raise SettingsError(f"An age is a number of days, such as 90; not {number}.") from None
