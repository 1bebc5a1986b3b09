"""Metrics, one module per definition."""
