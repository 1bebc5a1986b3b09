"""Comparison tables of stored results."""
