"""A Dagster project that enriches a table of leads."""
