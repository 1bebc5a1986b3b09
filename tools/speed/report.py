"""Time and size of the report against the table of the same fabricated results.

    python tools/speed/report.py                  10, 20 and 40 models of ten seeds
    python tools/speed/report.py --models 200     other numbers

Each number is the least processor time of three calls in one process, so imports are not
counted. The results have curves of four metrics at 21 iterations, samples of points at six, and shares of eight modes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gan_bench.report.page.page import write_report
from gan_bench.report.tables.build import write_tables
from tests.support import fabricate

REPEATS = 3


def main() -> None:
    """Print a row for each number of models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    print("models  seeds  table s  report s  ratio   MB")
    for models in given.models:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder)
            fabricate_results(results, models, given.seeds)
            table, report = least(partial(write_tables, results)), least(partial(write_report, results))
            size = (results / "report.html").stat().st_size / 1e6
        print(
            f"{models:6d}  {given.seeds:5d}  {table:7.2f}  {report:8.2f}  {report / table:5.2f}  {size:.1f}", flush=True
        )


def least(work: Callable[[], object]) -> float:
    """Least processor time of a few calls, in seconds."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def fabricate_results(folder: Path, models: int, seeds: int) -> None:
    """Write a results folder with runs of all models."""
    rng = np.random.default_rng(0)
    made = [fabricate.Model(f"model {i}", generators=4) for i in range(models)]
    fabricate.benchmark(folder, made, seeds=range(seeds), metrics=("symmetric_kl", "wasserstein", "modes", "purity"))
    times = np.arange(0, 2001, 400)
    for model in made:
        for seed in range(seeds):
            rows: fabricate.Rows = [
                (t, k, metric, float(rng.lognormal()))
                for t in range(0, 2001, 100)
                for metric in ("symmetric_kl", "modes", "purity", "loss_generator")
                for k in ((None, 0, 1, 2, 3) if metric == "purity" else (None,))
            ]
            rows.append((2000, None, "wasserstein", float(rng.lognormal())))
            x = rng.normal(size=(len(times), 512, 2)).astype(np.float32)
            owner = np.tile(rng.integers(0, 4, 512).astype(np.int16), (len(times), 1))
            run = fabricate.Run(model, seed, rows=rows, snapshots=(times, x, owner))
            path = fabricate.run(folder, run)
            shares = {k: {str(mode): 0.125 for mode in range(8)} for k in (None, 0, 1, 2, 3)}
            fabricate.classes(path, 2000, shares)


if __name__ == "__main__":
    main()
