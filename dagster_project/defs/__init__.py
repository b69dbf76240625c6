"""What Dagster loads, one idea a module."""
