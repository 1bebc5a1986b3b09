"""Published figures next to stored results."""
