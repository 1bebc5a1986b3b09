"""Running a benchmark, and working with finished runs."""
