"""From a benchmark and options to runs and jobs."""
