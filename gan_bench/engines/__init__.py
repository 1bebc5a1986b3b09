"""Engines carry out runs."""
