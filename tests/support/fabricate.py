"""Fabricated results folders for tests, in the format of the store, without training.

`benchmark()` writes benchmark.json, `run()` one run folder, and `showcase()` a whole benchmark: six models on the ring
over several seeds, one failed run, one diverged run, and two anchors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = list[tuple[int, int | None, str, float]]  # iteration, generator, metric, value

METRICS: dict[str, dict[str, Any]] = {
    "symmetric_kl": {"direction": "lower", "unit": "nats"},
    "wasserstein": {"direction": "lower", "unit": "data units", "expensive": True},
    "sliced_wasserstein": {"direction": "lower", "unit": "data units"},
    "modes": {"direction": "higher", "unit": "modes"},
    "high_quality": {"direction": "higher", "unit": "share"},
    "purity": {"direction": "none", "unit": "share", "per_generator": True},
}
HOSTILE = ("a|b", "50%_x & $y", "<b>")


@dataclass(frozen=True)
class Model:
    """Entry of a fabricated benchmark."""

    label: str
    plugin: str = "gan"
    anchor: bool = False
    departures: tuple[str, ...] = ()
    generators: int = 1
    sharing: str = ""
    reads_labels: bool = False


@dataclass(frozen=True)
class Run:
    """Fabricated run. `rows` is its curve."""

    model: Model
    seed: int = 0
    dataset: str = "ring8"
    status: str = "finished"
    iteration: int = 2000
    iterations: int = 2000
    error: tuple[str, str] | None = None
    rows: Sequence[tuple[int, int | None, str, float]] = ()
    ledger: Mapping[str, Any] | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    samples: int = 10_000
    snapshots: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None  # iterations, x, generator

    @property
    def configuration(self) -> str:
        return configuration(self.model, self.dataset)

    @property
    def key(self) -> str:
        return _hex(self.configuration, self.seed)


def configuration(model: Model, dataset: str) -> str:
    """Return a fabricated configuration hash of a model on a dataset."""
    return _hex(model.label, dataset)


def benchmark(
    folder: Path,
    models: Iterable[Model],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    datasets: Sequence[str] = ("ring8",),
    metrics: Sequence[str] = ("symmetric_kl", "wasserstein", "modes"),
    name: str = "synthetic8",
    versions: Mapping[str, int] | None = None,
) -> Path:
    """Write benchmark.json and an empty runs/, and return the folder."""
    entries = [
        {
            "label": model.label,
            "plugin": model.plugin,
            "anchor": model.anchor,
            "departures": list(model.departures),
            "configurations": {label: configuration(model, label) for label in datasets},
        }
        for model in models
    ]
    content = {
        "format": 1,
        "name": name,
        "seeds": list(seeds),
        "evaluation": {"every": 1000, "samples": 10_000, "metrics": list(metrics)},
        "protocol": PROTOCOL,
        "datasets": [{"label": label, "plugin": label} for label in datasets],
        "models": entries,
        "metrics": {metric: _metric(metric, versions or {}) for metric in metrics},
    }
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


PROTOCOL: dict[str, Any] = {
    "iterations": 2000,
    "batch": 512,
    "fakes": 1024,
    "fakes_per_generator": None,
    "latents": "shared",
    "latent": "normal",
    "latent_size": 256,
    "network": "mlp",
    "network_params": {},
    "optimizer": "adam",
    "learning_rate": 2e-4,
    "betas": [0.5, 0.999],
    "init": "normal",
    "init_scale": 0.02,
    "ema": 0.0,
    "decay": "none",
}

LEDGER = {
    "parameters": {"generator": 198_914, "discriminator": 513},
    "updates": {"generator": 2000, "discriminator": 2000},
    "real_samples": 1_024_000,
    "fake_samples": 2_048_000,
    "train_seconds": 12.5,
    "evaluation_seconds": 1.5,
    "peak_memory_mb": 310.0,
    "device": "cpu",
    "plan": {},
}


def run(folder: Path, made: Run, *, name: str | None = None) -> Path:
    """Write one run folder into `folder`/runs and return it."""
    path = folder / "runs" / (name or f"{_slug(made.model.label)}-{made.dataset}-{made.seed}")
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(record(made)), encoding="utf-8")
    lines = ["iteration,generator,metric,value,n,version"]
    for iteration, generator, metric, value in made.rows:
        about = ",," if metric.startswith("loss_") else f",{made.samples},{made.versions.get(metric, 1)}"
        index = "" if generator is None else str(generator)
        lines.append(f"{iteration},{index},{metric},{value!r}{about}")
    (path / "curve.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if made.snapshots is not None:
        iterations, x, owner = made.snapshots
        np.savez(path / "samples.npz", iterations=iterations, x=x, generator=owner)
    return path


def classes(
    path: Path,
    iteration: int,
    shares: Mapping[int | None, Mapping[str, float]],
    *,
    n: int = 100,
    after: bool = False,
) -> None:
    """Write shares by generator and class to a run folder, after existing ones if `after`."""
    file = path / "classes.csv"
    text = file.read_text(encoding="utf-8") if after else "iteration,generator,class,share,n\n"
    for generator, by_class in shares.items():
        index = "" if generator is None else str(generator)
        for name, share in by_class.items():
            text += f'{iteration},{index},"{name}",{share!r},{n}\n'
    file.write_text(text, encoding="utf-8")


def record(made: Run) -> dict[str, Any]:
    """Return the contents of a run's run.json."""
    model = made.model
    return {
        "format": 1,
        "key": made.key,
        "configuration": made.configuration,
        "benchmark": "synthetic8",
        "dataset": {"plugin": made.dataset, "label": made.dataset, "params": {}},
        "model": {
            "plugin": model.plugin,
            "params": {},
            "generators": model.generators,
            "anchor": model.anchor,
            "sharing": model.sharing,
            "reads_labels": model.reads_labels,
        },
        "seed": made.seed,
        "protocol": PROTOCOL,
        "status": made.status,
        "iteration": made.iteration,
        "iterations": made.iterations,
        "error": None if made.error is None else dict(zip(("type", "message"), made.error, strict=True)),
        "ledger": LEDGER if made.ledger is None else made.ledger,
        "metrics": {},
        "provenance": {},
    }


def simple(model: Model, seed: int, value: float, metric: str = "symmetric_kl") -> Run:
    """Return a finished run that starts at 10 and ends at `value` in one metric."""
    return Run(model, seed, rows=[(0, None, metric, 10.0), (2000, None, metric, value)])


def _hex(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _slug(label: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in label).lower()


def _metric(name: str, versions: Mapping[str, int]) -> dict[str, Any]:
    rest = {"version": versions.get(name, 1), "per_generator": False, "expensive": False, "doc": name}
    return rest | METRICS[name]


# The showcase: curves and samples that behave as on the ring, drawn rather than trained.

SHOWCASE = (
    Model("GAN", "gan"),
    Model("UnrolledGAN", "unrolled-gan", departures=("fakes = 512 instead of 1024",)),
    Model("D2GAN", "d2gan", departures=("init_scale = 0.01 instead of 0.02",)),
    Model("MAD-GAN", "mad-gan", generators=8, sharing="all layers but the first"),
    Model(
        "MGAN",
        "mgan",
        departures=(
            "learning_rate of discriminator = 0.0001 instead of 0.0002",
            "init_scale = 0.01 instead of 0.02",
        ),
        generators=8,
        sharing="all layers but the first",
    ),
    Model("multi-discriminator MGAN", "multi-discriminator", generators=8, sharing="nothing"),
    Model("real-data", "real-data", anchor=True),
    Model("untrained", "untrained", anchor=True),
)
_MODES = {"GAN": 1, "UnrolledGAN": 7, "D2GAN": 3, "MAD-GAN": 1, "MGAN": 8, "multi-discriminator MGAN": 8}
_FINAL = {
    "GAN": 7.6,
    "UnrolledGAN": 1.4,
    "D2GAN": 5.1,
    "MAD-GAN": 7.4,
    "MGAN": 1.0,
    "multi-discriminator MGAN": 1.3,
}
_W1 = {
    "GAN": 2.2,
    "UnrolledGAN": 0.12,
    "D2GAN": 1.3,
    "MAD-GAN": 2.4,
    "MGAN": 0.13,
    "multi-discriminator MGAN": 0.15,
}


def ring(n: int, rng: np.random.Generator, modes: Sequence[int] = range(8)) -> NDArray[np.float64]:
    """Return `n` points of the ring with variance 0.02, from the given modes."""
    angle = 2 * np.pi * rng.choice(np.asarray(modes), n) / 8
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centres + rng.normal(0, np.sqrt(0.02), (n, 2))


def showcase(folder: Path, *, iterations: int = 25_000, seeds: int = 5) -> Path:
    """Write the whole fabricated benchmark and return its folder."""
    metrics = ("symmetric_kl", "wasserstein", "modes", "high_quality")
    benchmark(folder, SHOWCASE, seeds=range(seeds), metrics=metrics)
    for model in SHOWCASE:
        for seed in range(seeds):
            run(folder, _showcase_run(model, seed, iterations))
    return folder


def _showcase_run(model: Model, seed: int, iterations: int) -> Run:
    rng = np.random.default_rng([seed, len(model.label)])
    if model.anchor:
        return _anchor(model, seed, rng)
    end, status, error = iterations, "finished", None
    if model.label == "D2GAN" and seed == 1:
        end, status, error = 12_000, "diverged", ("Diverged", "samples of generator 0 are not finite.")
    if model.label == "MAD-GAN" and seed == 3:
        end, status, error = 7_200, "failed", ("RunError", "CUDA out of memory.")
    snapshots = _snapshots(model, rng, iterations, end)
    rows = _curve(model, rng, iterations, end)
    if status == "diverged":
        rows += [(end, None, "symmetric_kl", float("nan"))]
    return Run(model, seed, "ring8", status, end, iterations, error, rows, snapshots=snapshots)


def _curve(model: Model, rng: np.random.Generator, iterations: int, end: int) -> Rows:
    final, distance = _FINAL[model.label] * rng.lognormal(0, 0.15), _W1[model.label] * rng.lognormal(0, 0.2)
    rows: Rows = []
    for iteration in range(0, end + 1, 1000):
        rest = np.exp(-6 * iteration / iterations)
        kl = (final + (9 - final) * rest) * rng.lognormal(0, 0.08)
        modes = round(_MODES[model.label] * (1 - rest))
        quality = 0.96 * (1 - rest) * rng.uniform(0.97, 1)
        values = {"symmetric_kl": kl, "modes": float(modes), "high_quality": quality}
        if iteration % 5000 == 0:
            values["wasserstein"] = (distance + (2 - distance) * rest) * rng.lognormal(0, 0.05)
        rows += [(iteration, None, name, float(value)) for name, value in values.items()]
        rows.append((iteration, None, "loss_generator", 0.69))
    return rows


def _snapshots(
    model: Model, rng: np.random.Generator, iterations: int, end: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    times = [t for t in range(0, iterations + 1, iterations // 5) if t <= end]
    owner = rng.integers(0, model.generators, 512)
    frames = []
    for t in times:
        progress = 1 - np.exp(-6 * t / iterations)
        covered = _MODES[model.label]
        mode = owner % covered if model.generators > 1 else rng.integers(0, covered, 512)
        angle = 2 * np.pi * mode / 8
        centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        frames.append(centres * progress + rng.normal(0, 0.03 + 0.12 * progress, (512, 2)))
    return (
        np.asarray(times),
        np.asarray(frames, dtype=np.float32),
        np.tile(owner, (len(times), 1)).astype(np.int16),
    )


def _anchor(model: Model, seed: int, rng: np.random.Generator) -> Run:
    real = model.plugin == "real-data"
    values = (
        {"symmetric_kl": 0.047, "wasserstein": 0.031, "modes": 8.0, "high_quality": 0.989}
        if real
        else {"symmetric_kl": 8.9, "wasserstein": 2.0, "modes": 0.0, "high_quality": 0.0}
    )
    rows: Rows = [(0, None, name, value * rng.lognormal(0, 0.02)) for name, value in values.items()]
    x = (ring(512, rng) if real else rng.normal(0, 0.03, (512, 2))).astype(np.float32)
    snapshots = (np.asarray([0]), x[None], np.full((1, 512), -1 if real else 0, dtype=np.int16))
    ledger = {"parameters": {}, "real_samples": 0, "fake_samples": 0, "train_seconds": 0.0, "device": "cpu"}
    return Run(model, seed, iteration=0, iterations=0, rows=rows, ledger=ledger, snapshots=snapshots)
