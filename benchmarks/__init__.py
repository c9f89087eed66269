"""Benchmarks: `bench_<name>.py` holds cases, `harness.py` runs them, README.md is the protocol in short."""
