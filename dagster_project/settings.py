"""Where the project's files are, by the environment; read once, when Dagster loads the code."""

import os
from pathlib import Path
from typing import Final

LEADS_DIR: Final = Path(os.environ.get("LEADS_DIR") or "examples/leads")
"""Where files of leads are dropped."""

DATA_DIR: Final = Path(os.environ.get("DATA_DIR") or "data")
"""Where the tables are kept."""

SANDBOX: Final = not os.environ.get("BUENA_API_KEY")
"""Without a key all runs against a local sandbox, with a store of its own: its people are invented."""

STORE: Final = Path(
    os.environ.get("BUENA_STORE") or DATA_DIR / ("sandbox.duckdb" if SANDBOX else "buena.duckdb")
)

GROUP: Final = "lead_enrichment"
OWNERS: Final = ["team:revenue-operations"]
