"""A Dagster project over the library: files of leads in, enriched and scored leads out, every day."""
