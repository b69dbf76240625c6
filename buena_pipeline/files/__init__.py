"""Tables from files and to files: .csv, .tsv, .parquet, .ndjson, .jsonl, .json and .xlsx."""

from buena_pipeline.files.formats import check_output, read_table, scan_table, write_table, write_text

__all__ = ["check_output", "read_table", "scan_table", "write_table", "write_text"]
