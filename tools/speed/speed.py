"""Speed of an iteration, compared with hand-written loops and with its arithmetic alone.

    python tools/speed/speed.py [--workload mgan-ring] [--seconds 600] [--device cuda] [--publish]

All loops of a workload run interleaved in one process with one thread, a few iterations each in turn. Every figure is a
ratio within a round, so that other work on the machine adds noise but no bias. For the same reason the clock on a CPU
is the process's CPU time. On a GPU the clock waits for the device.

    port      in the style of a public port: a list of generators, fresh latents in each turn, stock Adam, numpy data
    plain     the same loop with our algorithm: input layers as one product, one body for all generators, one pass of
              them for both turns if the protocol shares latents
    bare      MGAN's iteration, hand-written on the trainer's draws with fused Adam, without the harness
    eager     `Trainer.iterate`, operation by operation: compared with `bare` it shows the cost of the harness
    ours      as a long run executes it here: compiled if the network is light, as a CUDA graph on a GPU, and several
              seeds as one program
    floor     matrix products, random draws and fused Adam, each timed alone, and added

Port and plain run in the workload's precision, and with the fastest convolutions that cuDNN finds. `ratio_to_port` and
similar columns are a loop's seed-iterations a second divided by the other loop's. `ratio_to_fewest` divides by those of
the fewest generators. Rounds end when the seconds are used up, after three at least. Images are random, in place of
published datasets, so nothing is downloaded.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _figures import verdicts, whole_run
from _measuring import Measured, measure
from _page import PAGE, fill
from _workloads import CIFAR10, COUNTED, FLOOR, PARTS, PLAIN, PORT, ROOT, WORKLOADS, Bench, Timed, Workload, registry
from tabulate import tabulate

from gan_bench.files import write_atomically
from gan_bench.running.provenance import provenance

PUBLISHED = ROOT / "results" / "published"
COLUMNS = (
    "workload",
    "loop",
    "seeds",
    "ms",
    "low",
    "high",
    "seed_iterations_per_s",
    "ratio_to_port",
    "ratio_to_plain",
    "ratio_to_floor",
    "ratio_to_fewest",
    "peak_memory_mb",
    "device",
    "torch",
    "python",
    "date",
)

Row = dict[str, Any]


def rows(measured: Measured, device: str) -> list[Row]:
    """Return a row for each loop, with `COLUMNS`."""
    facts = asdict(provenance(device))
    where = {
        "device": facts["gpu"] if device == "cuda" else facts["cpu"],
        "torch": facts["packages"]["torch"],
        "python": facts["python"],
        "date": facts["started"][:10],
    }
    return [row(measured, key) | where for key in measured.times]


def row(measured: Measured, key: Timed) -> Row:
    """Return a loop's figures."""
    low, middle, high = statistics.quantiles(measured.times[key], n=4)
    found: Row = {"workload": measured.workload, "loop": key.loop, "seeds": key.seeds}
    found |= {"ms": middle, "low": low, "high": high, "seed_iterations_per_s": 1e3 * key.seeds / middle}
    for base in (PORT, PLAIN, FLOOR):
        compared = base in measured.times and key.loop not in PARTS
        found[f"ratio_to_{base.loop}"] = measured.quotient(base, key)[1] * key.seeds if compared else None
    fewest = next(iter(measured.times))
    found["ratio_to_fewest"] = measured.quotient(fewest, key)[1] if fewest.loop.startswith(COUNTED) else None
    return found | {"peak_memory_mb": measured.peaks.get(key)}


def as_text(value: Any) -> str:
    """Format a cell: numbers to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return "" if value is None else str(value)


def published(device: str) -> Path:
    """Return the file of published figures for a kind of device."""
    return PUBLISHED / f"speed-{device}.csv"


def publish(path: Path, new: Sequence[Row]) -> None:
    """Write rows as CSV; earlier rows of other measurements are kept."""
    old: list[Row] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            old = list(csv.DictReader(file))
    keyed = {tuple(str(each[name]) for name in ("device", "workload", "loop", "seeds")): each for each in [*old, *new]}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: as_text(value) for name, value in each.items()} for each in keyed.values())
    write_atomically(path, text.getvalue())


def show(found: Sequence[Row], measured: Measured) -> None:
    """Print a table of a workload, and the GPU memory of a stacked seed."""
    names = COLUMNS[1 : COLUMNS.index("device")]
    rounds = len(next(iter(measured.times.values())))
    print(f"\n{measured.workload}: {rounds} rounds")
    print(tabulate([[as_text(each[name]) for name in names] for each in found], names, tablefmt="github"))
    slope = measured.slope()
    if slope is not None:
        print(f"A stacked seed uses {slope:.1f} MB of GPU memory.")
    print(flush=True)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Speed of an iteration compared with hand-written loops.")
    parser.add_argument("--workload", nargs="+", choices=[*WORKLOADS], help="[default: all; on a CPU none of CIFAR-10]")
    parser.add_argument("--seconds", type=float, default=540, help="total time  [default: 540]")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds to stack  [default: 1 5 10 32; 1 5 on a CPU]")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[default: auto]")
    parser.add_argument("--publish", action="store_true", help="update the file in results/published and the page")
    parser.add_argument("--whole-run", action="store_true", help="also time a run of 4,000 iterations with evaluations")
    return parser.parse_args(given)


def chosen(options: argparse.Namespace, device: str) -> list[Workload]:
    """Return the workloads that the options select."""
    usual = [name for name in WORKLOADS if device == "cuda" or name not in CIFAR10]
    return [WORKLOADS[name] for name in options.workload or usual]


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(given)
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    bench = Bench(registry(), device, tuple(options.seeds) if options.seeds else None)
    end = time.perf_counter() + options.seconds
    said = all_of(chosen(options, device), bench, end, publishing=options.publish)
    if options.publish:
        fill(PAGE, device, published(device))
    if options.whole_run:
        said.append(whole_run(bench, 4000))
    print("\n".join(said))


def all_of(workloads: Sequence[Workload], bench: Bench, end: float, *, publishing: bool) -> list[str]:
    """Measure and print workloads, each in its share of the remaining time; return the closing lines."""
    said: list[str] = []
    for number, workload in enumerate(workloads):
        now = time.perf_counter()
        if number and now >= end:
            said.append(f"{workload.name}: not measured, because no time was left")
            continue
        measured = measure(bench, workload, now + (end - now) / (len(workloads) - number))
        found = rows(measured, bench.device)
        show(found, measured)
        said += verdicts(measured, bench)
        if publishing:
            publish(published(bench.device), found)
    return said


if __name__ == "__main__":
    main()
