"""Paid lead enrichment for dataframe workflows: leads in, scored columns out, nobody paid for twice.

    import polars as pl
    from buena_pipeline import enrich_frame, plan_frame, score_frame

    leads = pl.read_csv("leads.csv")
    print(plan_frame(leads))
    scored = leads.pipe(enrich_frame, max_credits=500).pipe(score_frame)

All that it raises on purpose is a ``BuenaError``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from buena_pipeline import polars_namespace
from buena_pipeline.client import BuenaClient
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import BuenaError
from buena_pipeline.frames import enrich_frame, plan_frame
from buena_pipeline.result import EnrichmentPlan, EnrichmentProgress, EnrichmentReport, EnrichmentResult
from buena_pipeline.settings import EnrichmentOptions, RateLimits
from buena_pipeline.store import EnrichmentStore

if TYPE_CHECKING:
    from buena_pipeline.dagster import BuenaEnrichmentComponent
    from buena_pipeline.files import read_table
    from buena_pipeline.sandbox import Sandbox
    from buena_pipeline.score import score_frame
    from buena_pipeline.scoring_model import ScoringModel
    from buena_pipeline.sql_functions import register_functions

__version__ = "0.1.0"

__all__ = [
    "BuenaClient",
    "BuenaEnrichmentComponent",
    "BuenaError",
    "Enricher",
    "EnrichmentOptions",
    "EnrichmentPlan",
    "EnrichmentProgress",
    "EnrichmentReport",
    "EnrichmentResult",
    "EnrichmentStore",
    "RateLimits",
    "Sandbox",
    "ScoringModel",
    "enrich_frame",
    "plan_frame",
    "read_table",
    "register_functions",
    "score_frame",
]


polars_namespace.register()

# Loaded when they are asked for: two need an extra, and not everybody scores or reads files.
_ON_DEMAND = {
    "BuenaEnrichmentComponent": "dagster",
    "Sandbox": "sandbox",
    "ScoringModel": "scoring_model",
    "read_table": "files",
    "register_functions": "sql_functions",
    "score_frame": "score",
}
_EXTRAS = {"BuenaEnrichmentComponent": "dagster", "Sandbox": "uvicorn"}


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # whoever looks at each of these, as Dagster does, must not meet what is not installed
    missing = {name for name, package in _EXTRAS.items() if find_spec(package) is None}
    return sorted({*globals(), *_ON_DEMAND} - missing)
