"""Contracts: base classes that plugins implement and objects that they receive."""
