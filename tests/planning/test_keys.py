"""Keys of the shipped benchmarks: a change here trains every stored run of theirs again.

If it is meant, raise `TRAINING_VERSION` or leave it, and write the file anew:

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
    """The start of each configuration's hash, by dataset and model; contents of data files count as none."""
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
    """All keys of a benchmark as one."""
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_of_a_shipped_benchmark_are_what_they_were(name: str) -> None:
    """Neither a moved contract, a docstring nor a comment changes them."""
    assert digest(keys_of(name)) == json.loads(FILE.read_text(encoding="utf-8"))[name]


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: digest(keys_of(name)) for name in BENCHMARKS}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
