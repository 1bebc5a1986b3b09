"""Tables and figures of stored results."""
