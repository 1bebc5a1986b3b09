"""Workloads of `speed.py`, and their loops."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _loops import GAMES, Loop, bare, fastest_convolutions
from _players import NoiseImages

from gan_bench.acceleration.compilation import Compiler, as_traced, compile_iterations, compiled
from gan_bench.acceleration.cuda_graphs import captured
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source
from gan_bench.contracts.run import Run
from gan_bench.planning.runs import plan
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Origin, Registry
from gan_bench.training.assembly import make_trainer
from gan_bench.training.trainer import Trainer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BENCHMARKS = ROOT / "benchmarks"
Clock = Callable[[], float]


def registry() -> Registry:
    """Return the registry of installed plugins, with random images."""
    found = load_plugins()
    found.add("datasets", NoiseImages, Origin("speed", "", str(HERE / "_players.py")))
    return found


@dataclass(frozen=True)
class Workload:
    """Model that trains under the protocol of a benchmark.

    Attributes:
        data: the dataset's entry, instead of the benchmark's.
        protocol: values that replace the benchmark's.
        counts: numbers of generators, if the workload compares them.
    """

    name: str
    benchmark: str
    model: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=lambda: {"plugin": "ring8"})
    protocol: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[int, ...] = ()

    @property
    def precision(self) -> str:
        """Return the precision of the protocol."""
        return str(self.protocol.get("precision", "float32"))

    def runs(self, registry: Registry, seeds: int, **model: Any) -> list[Run]:
        """Return runs with seeds 0, 1, …; `model` gives other parameters."""
        source = tomllib.loads((BENCHMARKS / f"{self.benchmark}.toml").read_text(encoding="utf-8"))
        changes = {
            "name": "speed",
            "seeds": seeds,
            "dataset": [dict(self.data)],
            "protocol": source["protocol"] | self.protocol,
            "evaluation": {"metrics": ["sliced_wasserstein"], "anchors": False},
            "model": [{**self.model, **model}],
        }
        return plan(load_benchmark(open_source(source | changes), registry), registry)


MGAN_ON_RING = {"plugin": "mgan", "generators": 8, "beta": 0.125}
MGAN_ON_IMAGES = {"plugin": "mgan", "generators": 10, "beta": 0.01}
PHOTOGRAPHS = {"plugin": NoiseImages.name}
DIGITS = PHOTOGRAPHS | {"channels": 1, "size": 28, "values": "unit"}


def cifar10(name: str, precision: str) -> Workload:
    """Return the workload of MGAN with the networks of Table 4."""
    return Workload(name, "cifar10", MGAN_ON_IMAGES, PHOTOGRAPHS, {"precision": precision})


WORKLOADS = {
    each.name: each
    for each in (
        Workload("mgan-ring", "synthetic8", MGAN_ON_RING),
        Workload("gan-ring", "synthetic8", {"plugin": "gan"}),
        Workload("mgan-generators", "synthetic8", MGAN_ON_RING, counts=(1, 2, 4, 8, 16, 32)),
        Workload("unrolled-gan-ring", "synthetic8", {"plugin": "unrolled-gan", "unroll_steps": 5, "unroll_lr": 0.1}),
        Workload("wgan-gp-ring", "synthetic8", {"plugin": "wgan-gp"}),
        Workload(
            "mnist-pair",
            "mnist-pairs",
            {"plugin": "multi-discriminator", "generators": 2, "supplementary": "single"},
            DIGITS,
        ),
        cifar10("mgan-cifar10", "float32"),
        cifar10("mgan-cifar10-tf32", "tf32"),
        cifar10("mgan-cifar10-bfloat16", "bfloat16"),
    )
}
CIFAR10_FLOP = 247e9  # in an iteration with one forward pass of generators; 273e9 with fresh latents, as here
CIFAR10_ITERATIONS = 195_250  # 250 epochs
CIFAR10 = tuple(name for name in WORKLOADS if name.startswith("mgan-cifar10"))


class Timed(NamedTuple):
    """Loop and the number of seeds that it advances."""

    loop: str
    seeds: int = 1


PORT, PLAIN, BARE, EAGER, FLOOR = map(Timed, ("port", "plain", "bare", "eager", "floor"))
PARTS = {name: Timed(name) for name in ("products", "draws", "adam")}


def ours(seeds: int) -> Timed:
    """Return the key of seeds as one program."""
    return Timed("ours", seeds)


COUNTED = "ours, K = "


def with_generators(k: int) -> Timed:
    """Return the key of ours with K generators."""
    return Timed(f"{COUNTED}{k}")


# --- loops ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """Builder of loops for a device."""

    registry: Registry
    device: str
    seeds: tuple[int, ...] | None = None

    @property
    def clock(self) -> Clock:
        """Return the clock, in seconds."""
        return waiting if self.device == "cuda" else time.process_time

    def trainers(self, workload: Workload, seeds: int = 1, **model: Any) -> list[Trainer]:
        """Build a trainer for each seed."""
        return [make_trainer(run, self.registry, self.device) for run in workload.runs(self.registry, seeds, **model)]

    def heavy(self, trainer: Trainer) -> bool:
        """Whether convolutions dominate the iteration."""
        return bool(self.registry.get("networks", trainer.protocol.network).heavy)

    def compilers(self, *, heavy: bool) -> list[Compiler | None]:
        """Return compilers in the order in which a long run tries them; None stands for no compilation."""
        if self.device == "cpu":
            return [None] if heavy else [compiled, None]
        return [captured(as_traced), None] if heavy else [captured(compiled), captured(as_traced), None]


def waiting() -> float:
    """Return the time in seconds after the GPU has finished its work."""
    torch.cuda.synchronize()
    return time.perf_counter()


def makers(bench: Bench, workload: Workload) -> dict[Timed, Callable[[], Loop]]:
    """Return a builder for each loop of a workload except the floor's."""
    if workload.counts:
        return {with_generators(k): partial(one_program, bench, workload, 1, generators=k) for k in workload.counts}
    game, (trainer,) = GAMES[workload.model["plugin"]], bench.trainers(workload)
    made: dict[Timed, Callable[[], Loop]] = {
        PORT: lambda: freely(game(bench.trainers(workload)[0], port=True)),
        PLAIN: lambda: freely(game(bench.trainers(workload)[0], port=False)),
    }
    if workload.name == "mgan-ring":
        made[BARE] = lambda: bare(bench.trainers(workload)[0])
    made[EAGER] = lambda: bench.trainers(workload)[0].iterate
    usual = (1,) if bench.heavy(trainer) else (1, 5) if bench.device == "cpu" else (1, 5, 10, 32)
    return made | {ours(n): partial(one_program, bench, workload, n) for n in bench.seeds or usual}


def freely(loop: Loop) -> Loop:
    """Return a loop that runs with the fastest convolutions of cuDNN."""

    def iterate() -> None:
        with fastest_convolutions():
            loop()

    return iterate


def one_program(bench: Bench, workload: Workload, seeds: int, **model: Any) -> Loop:
    """Build the program that a long run uses for some seeds. Raises NotCompilableError if they cannot be stacked."""
    reason: Exception | None = None
    started = time.perf_counter()
    for compiler in bench.compilers(heavy=bench.heavy(bench.trainers(workload)[0])):
        trainers = bench.trainers(workload, seeds, **model)
        try:
            loop = together(trainers, compiler)
            print(f"{workload.name}: {seeds} seeds, prepared in {time.perf_counter() - started:.1f} s", flush=True)
            return loop
        except NotCompilableError as error:
            reason = error
            print(f"{workload.name}: {error}")
    raise NotCompilableError(f"{seeds} seeds do not run as one program: {reason}")


def together(trainers: Sequence[Trainer], compiler: Compiler | None) -> Loop:
    """Return the iteration of one trainer, or of several stacked ones. Raises NotCompilableError."""
    if len(trainers) > 1:
        return Stack(trainers, compiler or as_traced, print).iterate
    if compiler is not None:
        compile_iterations(trainers[0], print, compiler)
    return trainers[0].iterate
