"""What the assets are given."""

import dagster as dg

from buena_pipeline.dagster import BuenaResource, EnrichmentStoreResource
from dagster_project.settings import DATA_DIR, SANDBOX, STORE
from dagster_project.tables import TablesResource


@dg.definitions
def resources() -> dg.Definitions:
    """The vendor or a sandbox, the store, and the folder of tables."""
    api = BuenaResource(sandbox=True) if SANDBOX else BuenaResource(api_key=dg.EnvVar("BUENA_API_KEY"))
    return dg.Definitions(
        resources={
            "buena": api,
            "enrichment_store": EnrichmentStoreResource(path=str(STORE)),
            "tables": TablesResource(folder=str(DATA_DIR)),
        }
    )
