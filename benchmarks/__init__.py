"""Measurements: `python -m benchmarks` lists them. Never run by the tests."""
