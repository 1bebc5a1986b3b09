"""Tests of the keys of the shipped benchmarks: if a key changes, the stored run is trained again.

If the change is intended, decide whether to raise `TRAINING_VERSION`, then write the file again:

    python -m tests.planning.test_keys
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source, shipped_benchmarks
from gan_bench.contracts.dataset import Dataset
from gan_bench.planning.runs import plan
from gan_bench.plugins.discovery import load_plugins

FILE = Path(__file__).with_name("keys.json")
BENCHMARKS = sorted(shipped_benchmarks())


def keys_of(name: str) -> dict[str, str]:
    """First characters of each configuration's hash, by dataset and model, without the contents of data files."""
    registry = load_plugins()
    benchmark = load_benchmark(open_source(name), registry)
    classes = {Dataset, *(base for cls in registry.all("datasets").values() for base in cls.__mro__)}
    patches = [patch.object(cls, "contents", "") for cls in classes if "contents" in vars(cls)]
    for each in patches:
        each.start()
    try:
        found = plan(benchmark, registry)
    finally:
        for each in patches:
            each.stop()
    return {f"{run.dataset.label}, {run.label}": run.configuration[:12] for run in found}


def digest(keys: dict[str, str]) -> str:
    """Hash of all keys of a benchmark."""
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_keys_of_a_shipped_benchmark_are_unchanged(name: str) -> None:
    """Moved contracts, docstrings and comments change no key."""
    assert digest(keys_of(name)) == json.loads(FILE.read_text(encoding="utf-8"))[name]


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: digest(keys_of(name)) for name in BENCHMARKS}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
