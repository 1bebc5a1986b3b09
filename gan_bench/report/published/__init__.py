"""Published figures beside stored results."""
