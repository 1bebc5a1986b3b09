"""The metrics: one idea, one file."""
