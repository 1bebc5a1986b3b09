"""Execution of benchmarks, and operations on finished runs."""
