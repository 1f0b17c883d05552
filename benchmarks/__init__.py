"""Compare `MontaAuth` with its peers: ``python -m benchmarks``; see docs/benchmarks.rst."""
