"""`MontaAuth` and its peers, side by side: ``python -m benchmarks``; see docs/benchmarks.rst."""
