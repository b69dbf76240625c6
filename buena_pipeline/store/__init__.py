"""The store: one DuckDB file that remembers every answer, every key and every credit."""

from buena_pipeline.store.enrichment_store import EnrichmentStore, StoreStats

__all__ = ["EnrichmentStore", "StoreStats"]
