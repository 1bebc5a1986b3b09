"""Cost of an iteration of every model: a multiple of GAN's at equal fakes, and the cost that its definition requires.

    python tools/speed/cost.py [--models mgan,wgan] [--rounds 20] [--iterations 25] [--compiled] [--output FILE]

Protocol and data are those of synthetic8.toml. Every trainable model of the installed plugins is measured with its
default parameters. Its iterations alternate with GAN's, a few of each in turn, in one process with one thread. A figure
is the median of ratios of CPU time within a round. Other work on the machine therefore adds noise but no bias. Rounds
are spread evenly over the run, since a model's turns may change during it.

`--compiled` measures compiled iterations, which long runs use, against GAN's compiled ones. In the output file, rows of
models that are not measured do not change. systems.csv lists the cost that a definition requires, in passes of networks
of equal size. A model above 1.5 times that cost is marked unless systems.csv has a reason.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from _measuring import WARM_UP, interleaved, quartiles

from gan_bench.acceleration.compilation import compile_iterations
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source
from gan_bench.errors import ConfigError
from gan_bench.files import write_atomically
from gan_bench.planning.runs import plan
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.running.provenance import provenance
from gan_bench.training.assembly import make_trainer
from gan_bench.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
OUTPUT = ROOT / "results" / "published" / "cost-cpu.csv"
SYSTEMS = ROOT / "tools" / "systems.csv"
BASE = "gan"
LIMIT = 1.5  # allowed multiple of the cost that the definition requires
COLUMNS = ("model", "mode", "ratio", "low", "high", "milliseconds", "required", "measured_on")

Row = Mapping[str, str]


class Spread:
    """Iterations of a trainer from places spread evenly over its run, as many in a row as a round has."""

    def __init__(self, trainer: Trainer, rounds: int, iterations: int) -> None:
        self.trainer = trainer
        last = trainer.protocol.iterations - iterations
        starts = [round(last * i / max(rounds - 1, 1)) for i in range(rounds)]
        self.numbers = [start + i for start in starts for i in range(iterations)]
        warm_up = (self.numbers * WARM_UP)[-WARM_UP:]  # a few rounds may have fewer iterations
        self._next = itertools.chain(warm_up, self.numbers)

    def meet_all(self) -> None:
        """Run one iteration of each kind, so that none is compiled while time is measured."""
        kinds = {tuple(self.trainer.model.turns(number)): number for number in self.numbers}
        for number in kinds.values():
            self._at(number)

    def __call__(self) -> None:
        """Run one iteration."""
        self._at(next(self._next))

    def _at(self, number: int) -> None:
        self.trainer.iteration = number
        self.trainer.iterate()


def loop(name: str, registry: Registry, options: argparse.Namespace) -> Spread:
    """Return iterations of a model under the protocol of synthetic8.

    Raises:
        ConfigError: the model cannot be trained on the ring.
        NotCompilableError: `--compiled` is given and the model cannot be compiled.
    """
    source = tomllib.loads((BENCHMARKS / "synthetic8.toml").read_text(encoding="utf-8"))
    evaluation = {"metrics": ["symmetric_kl"], "anchors": False}
    benchmark = source | {"name": "cost", "seeds": 1, "evaluation": evaluation, "model": [{"plugin": name}]}
    trainer = make_trainer(plan(load_benchmark(open_source(benchmark), registry), registry)[0], registry, "cpu")
    if options.compiled:
        compile_iterations(trainer, print)
    made = Spread(trainer, options.rounds, options.iterations)
    made.meet_all()
    return made


def measure(name: str, registry: Registry, options: argparse.Namespace) -> dict[str, str]:
    """Measure a model against GAN in the same rounds, and return its row."""
    loops = {"GAN": loop(BASE, registry, options), name: loop(name, registry, options)}
    times = interleaved(loops, options.rounds, options.iterations, time.process_time)
    low, middle, high = quartiles(times, name, "GAN")
    milliseconds = sorted(times[name])[options.rounds // 2]
    figures = {"ratio": middle, "low": low, "high": high, "milliseconds": milliseconds}
    return {"model": name, "mode": mode_of(options)} | {key: f"{value:.3g}" for key, value in figures.items()}


def mode_of(options: argparse.Namespace) -> str:
    """Return the mode of iterations, "compiled" or "eager"."""
    return "compiled" if options.compiled else "eager"


def measured_on() -> str:
    """Return the machine and the versions."""
    facts = asdict(provenance("cpu"))
    return f"{facts['cpu']}; Python {facts['python']}, torch {facts['packages']['torch']}; {facts['started'][:10]}"


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, or an empty list if it does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Merge rows by model and mode; newer rows replace older ones."""
    rows = {(row["model"], row["mode"]): row for row in [*old, *new]}
    return [rows[key] for key in sorted(rows)]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def verdict(row: Row, reason: str) -> str:
    """Compare a model's cost with the cost that its definition requires."""
    if not row["required"]:
        return "REQUIRED COST MISSING in systems.csv"
    over = float(row["ratio"]) / float(row["required"])
    text = f"{over:.2f} times the {row['required']} required"
    if over <= LIMIT:
        return text
    return f"{text}: {reason}" if reason else f"{text}, REASON MISSING in systems.csv"


def main() -> None:
    """Measure, print, and write the file after each model."""
    parser = argparse.ArgumentParser(description="Cost of an iteration of every model relative to GAN's.")
    parser.add_argument("--models", metavar="A,B", help="plugins to measure  [default: all trainable ones]")
    parser.add_argument("--rounds", type=int, default=20, help="number of rounds  [default: 20]")
    parser.add_argument("--iterations", type=int, default=25, help="iterations in a round  [default: 25]")
    parser.add_argument("--compiled", action="store_true", help="measure compiled iterations")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file  [default: results/published/cost-cpu.csv]")
    options = parser.parse_args()
    if options.rounds < 2 or options.iterations < 1:
        parser.error("--rounds must be at least 2 and --iterations at least 1")
    torch.set_num_threads(1)
    registry = load_plugins()
    stated, where = {row["model"]: row for row in read(SYSTEMS)}, measured_on()
    for name in options.models.split(",") if options.models else trainable(registry):
        registry.get("models", name)
        try:
            found = measure(name, registry, options)
        except (ConfigError, NotCompilableError) as error:
            print(f"{name:24s} not measured: {error}")
            continue
        said = stated.get(name, {})
        row = found | {"required": said.get("required", ""), "measured_on": where}
        quarters = f"{row['ratio']:>5s} (quartiles {row['low']} to {row['high']})"
        print(f"{name:24s} {row['mode']} {quarters}, {verdict(row, said.get('reason', ''))}", flush=True)
        write(options.output, merged(read(options.output), [row]))


def trainable(registry: Registry) -> Sequence[str]:
    """Return the names of models that train."""
    return [name for name, cls in registry.all("models").items() if not cls.anchor]


if __name__ == "__main__":
    main()
