"""Benchmark files: located, parsed, validated."""
