"""Models, one file for each paper."""
