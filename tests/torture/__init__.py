"""Real faults against real runs: processes that are killed, vendors that break, files that cannot be written."""
