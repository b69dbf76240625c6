"""Where the project's files are, by the environment; read once, when Dagster loads the code."""

import contextlib
import math
import os
from pathlib import Path
from typing import Final

from buena_pipeline.errors import SettingsError

LEADS_DIR: Final = Path(os.environ.get("LEADS_DIR") or "examples/leads")
"""Where files of leads are dropped."""

SANDBOX: Final = not os.environ.get("BUENA_API_KEY")
"""Without a key all runs against a local sandbox, with tables and a store apart: its people are invented."""

DATA_DIR: Final = Path(os.environ.get("DATA_DIR") or "data") / ("sandbox" if SANDBOX else "")
"""Where the tables are kept."""

STORE: Final = Path((not SANDBOX and os.environ.get("BUENA_STORE")) or DATA_DIR / "buena.duckdb")

GROUP: Final = "lead_enrichment"
OWNERS: Final = ["team:revenue-operations"]


def daily_credits() -> float | None:
    """What all runs together may spend on one day (UTC), by ``DAILY_CREDITS``; None for no limit.

    Raises:
        SettingsError: if it is no number from 0 on.
    """
    given = os.environ.get("DAILY_CREDITS", "")
    if not given:
        return None
    with contextlib.suppress(ValueError):
        if 0 <= (credits_a_day := float(given)) < math.inf:
            return credits_a_day
    raise SettingsError(f"DAILY_CREDITS is a number of credits, such as 500; not {given}.")
