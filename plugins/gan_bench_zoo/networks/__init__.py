"""The networks: one architecture, one file."""
