"""Targets of speed, and verdicts on whether they are reached."""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _measuring import Measured
from _workloads import (
    BARE,
    CIFAR10,
    CIFAR10_FLOP,
    CIFAR10_ITERATIONS,
    EAGER,
    FLOOR,
    PLAIN,
    PORT,
    WORKLOADS,
    Bench,
    Timed,
    ours,
    with_generators,
)

from gan_bench.contracts.run import Job, Schedule
from gan_bench.running.execute import execute
from gan_bench.training.precision import set_precision


@dataclass(frozen=True)
class Figure:
    """Target of `scale` times the ratio of milliseconds of `above` to `below` in the same round.

    Attributes:
        least: whether `limit` is a lower bound; otherwise it is an upper bound.
    """

    text: str
    device: str
    workload: str
    above: Timed
    below: Timed
    limit: float
    least: bool = True
    scale: float = 1.0

    def verdict(self, measured: Measured) -> str | None:
        """Return the figure with its target, or None if one of the loops was not measured."""
        if measured.workload != self.workload or not {self.above, self.below} <= measured.times.keys():
            return None
        low, middle, high = (self.scale * value for value in measured.quotient(self.above, self.below))
        return judged(self.text, middle, self.limit, least=self.least) + f" (quartiles {low:.3g} to {high:.3g})"


def judged(text: str, value: float, limit: float, *, least: bool) -> str:
    """Return a figure with its target, and whether the target is reached."""
    reached = value >= limit if least else value <= limit
    return f"{'reached' if reached else 'MISSED '}  {text}: {value:.3g}, {'at least' if least else 'at most'} {limit:g}"


FIGURES = (
    Figure("port / ours", "cpu", "mgan-ring", PORT, ours(1), 2.7),
    Figure("plain / ours", "cpu", "mgan-ring", PLAIN, ours(1), 1.8),
    Figure("floor / ours", "cpu", "mgan-ring", FLOOR, ours(1), 0.6),
    Figure("eager / bare", "cpu", "mgan-ring", EAGER, BARE, 1.03, least=False),
    Figure("K = 32 / K = 1", "cpu", "mgan-generators", with_generators(32), with_generators(1), 1.65, least=False),
    Figure("ten seeds / one", "cuda", "mgan-ring", ours(10), ours(1), 2.0, least=False),
    Figure("seed-iterations of ten seeds / port's", "cuda", "mgan-ring", PORT, ours(10), 40, scale=10),
    Figure("K = 32 / K = 1", "cuda", "mgan-generators", with_generators(32), with_generators(1), 1.3, least=False),
    Figure("port / ours", "cuda", "mgan-cifar10", PORT, ours(1), 3.0),
)


def verdicts(measured: Measured, bench: Bench, rate: float | None = None) -> list[str]:
    """Return verdicts on every target of a workload. `rate` is the device's matrix rate, measured if None."""
    said = (figure.verdict(measured) for figure in FIGURES if figure.device == bench.device)
    found = [f"{measured.workload}: {each}" for each in said if each]
    if measured.workload in CIFAR10 and bench.device == "cuda":
        found += [f"{measured.workload}: {each}" for each in of_cifar10(measured, bench, rate)]
    return found


# --- images: against the device's matrix rate -----------------------------------------------------------------


def of_cifar10(measured: Measured, bench: Bench, rate: float | None = None) -> list[str]:
    """Compare an iteration with its arithmetic at the device's matrix rate, and 250 epochs with their target.

    `rate` is measured if None.
    """
    ms = statistics.median(measured.times[ours(1)])
    rate = rate or matrix_rate(WORKLOADS[measured.workload].precision, bench)
    bound, minutes = CIFAR10_FLOP / rate * 1e3, ms * CIFAR10_ITERATIONS / 60e3
    against = f"{ms:.3g} ms / {bound:.3g} ms, which 247 GFLOP take at the matrix rate of {rate / 1e12:.4g} TFLOP/s"
    return [
        judged(against, ms / bound, 2.5, least=False),
        judged("minutes for 250 epochs, without evaluation", minutes, 30, least=False),
    ]


def matrix_rate(precision: str, bench: Bench, n: int = 8192, times: int = 10) -> float:
    """Return multiplications and additions a second in products of large square matrices."""
    set_precision(precision)
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(n, n, device=bench.device, dtype=kind) for _ in range(2))
    for _ in range(3):
        a @ b
    started = bench.clock()
    for _ in range(times):
        a @ b
    return 2.0 * n**3 * times / (bench.clock() - started)


# --- whole runs -----------------------------------------------------------------------------------------------


def whole_run(bench: Bench, iterations: int) -> str:
    """Report the share of evaluation, and the memory, of a run as `gan-bench run` executes it."""
    metrics = ("symmetric_kl", "wasserstein", "modes", "high_quality", "sliced_wasserstein", "purity", "generator_jsd")
    run = replace(WORKLOADS["mgan-ring"], protocol={"iterations": iterations}).runs(bench.registry, 1)[0]
    with tempfile.TemporaryDirectory() as folder:
        schedule = Schedule(every=1000, samples=10_000, metrics=metrics, points=5)
        job = Job(run, str(Path(folder) / "run"), schedule, bench.device, compile="always")
        started = time.perf_counter()
        execute(job, bench.registry, lambda _: None, lambda: False)
        total = time.perf_counter() - started
        ledger = json.loads((Path(folder) / "run" / "run.json").read_text())["ledger"]
    other = total - ledger["train_seconds"] - ledger["compile_seconds"]  # building, evaluations, checkpoints
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"a run of {iterations:,} iterations, {total:.1f} s: {other / total:.1%} outside training, "
        f"{ledger['compile_seconds']:.1f} s of compilation in addition; peak memory of this process {peak:,.0f} MB"
    )
