"""Stored results, read as plain data without torch."""
