"""The library inside of Dagster: resources, the paid step, what the UI shows, and a component for YAML.

Needs the extra ``dagster``.
"""

from buena_pipeline.errors import MissingExtraError

try:
    from buena_pipeline.dagster.component import BuenaEnrichmentComponent
    from buena_pipeline.dagster.paid import enrich_asset, failing_at_once, fully_enriched, progress_in
    from buena_pipeline.dagster.resources import BuenaResource, EnrichmentStoreResource
except ImportError as error:
    if error.name not in {"dagster", "pydantic"}:
        raise
    raise MissingExtraError.for_extra("The Dagster integration", "dagster") from error

__all__ = [
    "BuenaEnrichmentComponent",
    "BuenaResource",
    "EnrichmentStoreResource",
    "enrich_asset",
    "failing_at_once",
    "fully_enriched",
    "progress_in",
]
