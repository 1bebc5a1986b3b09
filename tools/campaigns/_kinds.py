"""Kinds of commands that `kills.py` kills: benchmarks, arguments and files that they start with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RING: Mapping[str, Any] = {
    "batch": 32,
    "fakes": 32,
    "latent_size": 8,
    "network": {"plugin": "mlp", "hidden": 8},
    "init_scale": 0.5,
}
IMAGES: Mapping[str, Any] = {
    "batch": 4,
    "fakes": 6,
    "latent_size": 4,
    "network": {"plugin": "dcgan", "width": 2},
}
SCORES = ("symmetric_kl", "modes", "wasserstein", "purity")

PLUGINS = '''\
import numpy as np
from gan_bench import Metric, hookimpl

class Brightness(Metric):
    """Mean of all pixels, which is defined for images without classes."""

    name = "brightness"
    direction = "none"
    unit = ""

    def compute(self, samples):
        return float(np.mean(samples.pixels.float().mean().item()))

@hookimpl
def gan_bench_metrics():
    return [Brightness]
'''


@dataclass(frozen=True)
class Kind:
    """Kind of command.

    Attributes:
        kills: number of kills in a whole campaign.
        models, dataset, seeds, protocol, evaluation: the benchmark.
        arguments: of the command.
        after: kind whose finished results the command starts with; None for an empty folder.
        cold: whether each command starts without a cache of compiled code.
        keeps: whether the command leaves its folder as it is.
    """

    name: str
    kills: int
    models: Sequence[Mapping[str, Any]] = ()
    dataset: Mapping[str, Any] = field(default_factory=lambda: {"plugin": "ring8"})
    seeds: int = 1
    protocol: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    after: str | None = None
    cold: bool = False
    keeps: bool = False

    @property
    def benchmark(self) -> dict[str, Any]:
        """The benchmark as a mapping."""
        evaluation = {"every": 30, "samples": 200, "metrics": SCORES, "points": 3, "anchors": False}
        return {
            "name": "tiny",
            "seeds": self.seeds,
            "dataset": [self.dataset],
            "protocol": {**RING, "iterations": 600, **self.protocol},
            "evaluation": {**evaluation, **self.evaluation},
            "model": self.models,
        }

    def command(self) -> list[str]:
        """Arguments of the command in a folder that `prepare` has filled."""
        if self.after is not None:
            return [self.arguments[0], "results/tiny", *self.arguments[1:]]
        return ["run", "tiny.toml", "--device", "cpu", "--results", "results", *self.arguments]

    def prepare(self, folder: Path, references: Path) -> None:
        """Write the files that the command starts with."""
        (folder / "plugins").mkdir(parents=True)
        (folder / "plugins" / "brightness.py").write_text(PLUGINS, encoding="utf-8")
        if self.after is not None:
            shutil.copytree(references / self.after / "results", folder / "results")
            return
        lines = [f"{key} = {_toml(value)}" for key, value in self.benchmark.items()]
        (folder / "tiny.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, (list, tuple)) else json.dumps(value)


def kinds(pictures: Path) -> dict[str, Kind]:
    """Return all kinds by name.

    Args:
        pictures: folder of the images that one kind prepares.
    """
    gan, mgan = {"plugin": "gan"}, {"plugin": "mgan", "generators": 4}
    adagan = {"plugin": "adagan", "generators": 3, "classifier_steps": 20}
    cascade = {"plugin": "cascade-gan", "generators": 3, "pool": 64}
    shapes = {"plugin": "shapes", "shapes": 2, "colours": 2}
    images = {**IMAGES, "iterations": 60}
    few = {"every": 6, "samples": 64}
    one = ("--workers", "1")
    eager = ("--compile", "never", *one)
    compiled = ("--compile", "always", *one)
    found = (
        Kind("single", 32, [gan, {"plugin": "d2gan"}], arguments=("--compile", "never", "--workers", "2")),
        Kind("stacked", 36, [mgan], seeds=3, arguments=("--stack", "3", *eager)),
        Kind("staged", 28, [adagan, cascade], protocol={"iterations": 450}, arguments=eager),
        Kind("wgan-gp", 20, [{"plugin": "wgan-gp"}], seeds=2, protocol={"iterations": 200}, arguments=eager),
        Kind(
            "images",
            20,
            [mgan | {"generators": 2}],
            shapes,
            protocol=images,
            evaluation={**few, "metrics": ("symmetric_kl", "modes", "high_quality")},
            arguments=one,
        ),
        Kind(
            "prepared",
            20,
            [gan],
            {"plugin": "image-folder", "path": str(pictures), "size": 32},
            protocol=images,
            evaluation={**few, "metrics": ("brightness",)},
            arguments=(*one, "--data-root", "data"),
        ),
        Kind("compiled", 14, [gan], seeds=2, arguments=("--stack", "never", *compiled)),
        Kind("compiling", 6, [gan], seeds=2, arguments=("--stack", "2", *compiled), cold=True),
        Kind("evaluate", 12, after="stacked", arguments=("evaluate", "--metrics", "forward_kl,mode_kl,modes")),
        Kind("repeats", 6, after="stacked", arguments=("evaluate", "--metrics", "wasserstein", "--repeats", "4")),
        Kind("table", 6, after="single", arguments=("table", "--format", "csv"), keeps=True),
    )
    return {kind.name: kind for kind in found}
