"""The datasets: one family of data, one file."""
