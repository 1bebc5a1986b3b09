"""Results whose names, errors, classes and tracebacks are code in HTML, in templates or in a terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support import fabricate
from tests.support.fabricate import Model, Run

EVIL = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eright to left\x1b[31m",
    "x" * 3000,
    "]]>--><!--",
    "",
)
"""Labels of the models."""


def hostile_results(folder: Path) -> Path:
    """Write the results folder and return it."""
    data = '<b title="d">data</b></title>'
    models = [Model(each, each or "x", departures=(each or "d",), generators=2, sharing=each) for each in EVIL]
    fabricate.benchmark(folder, models, seeds=(0, 1), datasets=(data,), name="</title><script>alert(2)</script>")
    rng = np.random.default_rng(0)
    for i, model in enumerate(models):
        for seed, status in enumerate(("finished", "failed")):
            end = 2000 if status == "finished" else 5
            rows: fabricate.Rows = [(0, None, "symmetric_kl", 3.0 + i), (end, None, "symmetric_kl", 2.0 + i)]
            error = None if status == "finished" else ("<E>", "</td></table><script>alert(3)</script>")
            owner = rng.integers(0, 2, (1, 50)).astype(np.int16)
            snapshots = (np.array([0]), rng.normal(size=(1, 50, 2)).astype(np.float32), owner)
            run = Run(model, seed, data, status, end, error=error, rows=rows, snapshots=snapshots)
            path = fabricate.run(folder, run, name=f"r{i}-{seed}")
            (path / "error.txt").write_text("</pre><script>alert(4)</script>\n", encoding="utf-8")
            fabricate.classes(path, end, {0: {"<i>x</i>": 1.0}, 1: {"<i>x</i>": 1.0}, None: {"<i>x</i>": 1.0}})
    return folder
