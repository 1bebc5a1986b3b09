"""Engines that execute runs on several machines."""
