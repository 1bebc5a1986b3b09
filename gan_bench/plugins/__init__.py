"""Plugins: found, loaded, validated, looked up by name."""
