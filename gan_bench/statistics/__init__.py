"""Statistics of stored results: intervals, tests, verdicts, numbers of seeds and ranks, without torch."""
