"""What the assets are given, and where they run."""

import dagster as dg

from buena_pipeline.dagster import BuenaResource, EnrichmentStoreResource
from dagster_project.lead_files import LeadFilesResource
from dagster_project.settings import DATA_DIR, LEADS_DIR, SANDBOX, STORE
from dagster_project.tables import TablesResource


@dg.definitions
def resources() -> dg.Definitions:
    """The vendor or a sandbox, the store, and the folder of tables."""
    api = BuenaResource(sandbox=True) if SANDBOX else BuenaResource(api_key=dg.EnvVar("BUENA_API_KEY"))
    return dg.Definitions(
        resources={
            "buena": api,
            "enrichment_store": EnrichmentStoreResource(path=str(STORE)),
            "lead_folder": LeadFilesResource(folder=str(LEADS_DIR.resolve())),
            "tables": TablesResource(folder=str(DATA_DIR)),
        },
        # a process for each of these short steps would take longer than the steps
        executor=dg.in_process_executor,
    )
