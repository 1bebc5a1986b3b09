"""Kinds of plugins and the names reserved for the benchmark file."""

from __future__ import annotations

KINDS = ("models", "networks", "datasets", "metrics", "engines", "observers")
UNIMPLEMENTED = "unimplemented"  # collected with the models: systems without an implementation
PUBLISHED = "published"  # collected in addition to classes: files of published figures
NO_CLASSES = (f"gan_bench_{UNIMPLEMENTED}", f"gan_bench_{PUBLISHED}")
"""Hooks that return no classes. Nothing is looked up in them by name, so a broken one blocks no look-up."""

RESERVED = ("plugin", "label", "preset", "protocol")  # keys of a benchmark's entries, not of parameters
