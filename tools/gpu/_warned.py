"""Plugin with an observer that appends warnings of runs to the file named by GAN_BENCH_PROOF_WARNINGS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_bench import hookimpl
from gan_bench.contracts.observer import Observer

VARIABLE = "GAN_BENCH_PROOF_WARNINGS"


class Warnings(Observer):
    """Observer that writes each warning as a JSON line."""

    name = "proof-warnings"

    def warning(self, run: Any, message: str) -> None:
        """Append a warning."""
        with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(f"{run.label}, seed {run.seed}: {message}") + "\n")


@hookimpl
def gan_bench_observers() -> Iterator[Any]:
    """Return the observer."""
    return iter([Warnings])
