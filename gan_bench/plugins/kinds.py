"""Kinds of plugins and the names reserved for the benchmark file."""

from __future__ import annotations

KINDS = ("models", "networks", "datasets", "metrics", "engines", "observers")
UNIMPLEMENTED = "unimplemented"  # what is asked for with the models: systems that are none
PUBLISHED = "published"  # what is asked for beside the kinds of classes: files of published figures
NO_CLASSES = (f"gan_bench_{UNIMPLEMENTED}", f"gan_bench_{PUBLISHED}")
"""Hooks that bring nothing which somebody asks for by name: what is broken in one stands in nobody's way."""

RESERVED = ("plugin", "label", "preset", "protocol")  # keys of a benchmark's entries, so no names of parameters
