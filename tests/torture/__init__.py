"""Real faults against real runs: killed processes, vendors that break, files that cannot be written."""
