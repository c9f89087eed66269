"""Benchmarks: `bench_<name>.py` lists what is measured, `harness.py` measures it, README.md says how to read it."""
