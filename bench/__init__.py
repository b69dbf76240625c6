"""The benchmarks: ``python -m bench`` measures, ``bench/README.md`` says how."""
