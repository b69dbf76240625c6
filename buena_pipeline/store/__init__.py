"""The store: one DuckDB file that remembers every answer, every key and every credit."""

from buena_pipeline.store.digests import digest_columns, digest_keys, digested_kind
from buena_pipeline.store.enrichment_store import EnrichmentStore, StoreStats
from buena_pipeline.store.journal import JournalWarning
from buena_pipeline.store.single_leads import Finding, Key
from buena_pipeline.store.transaction import Extent, Traffic, Transaction

__all__ = [
    "EnrichmentStore",
    "Extent",
    "Finding",
    "JournalWarning",
    "Key",
    "StoreStats",
    "Traffic",
    "Transaction",
    "digest_columns",
    "digest_keys",
    "digested_kind",
]
