"""Datasets, one module per family of data."""
