"""The protocol: settings that are equal for every model of a benchmark, and departures of single models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gan_bench.contracts.parameters import param

PER_PLAYER = ("optimizer", "learning_rate", "betas")
"""Fields that may be a table: player → value; players that are not in it keep the benchmark's value."""


@dataclass(frozen=True)
class Protocol:
    """The settings of training.

    Before resolution, a per-player field is one value for all. Resolved for a model that departs from
    it, it is a mapping that names every player of that model.
    """

    iterations: int = param(25_000, "Number of iterations. Each ends with one update of the generators.", low=1)
    batch: int = param(512, "Number of real samples per draw.", low=1)
    fakes: int | None = param(
        None, "Number of generated samples per draw, in total: floor(fakes / K) from each generator.", low=1
    )
    fakes_per_generator: int | None = param(
        None, "Number of generated samples per draw from each generator, instead of `fakes`.", low=1
    )
    flip: bool = param(False, "Whether to mirror half of the real images, chosen at random, left to right.")
    latents: str = param(
        "shared",
        "Whether the turns of an iteration use the same latents or draw fresh ones.",
        choices=("shared", "fresh"),
    )
    latent: str = param("normal", "Distribution of the latents: N(0, I) or U(-1, 1).", choices=("normal", "uniform"))
    latent_size: int = param(256, "Dimension of the latents.", low=1)
    network: str = param("mlp", "Network plugin that builds the networks of all models.")
    network_params: Mapping[str, Any] = field(default_factory=dict)  # the network's own, resolved
    optimizer: str | Mapping[str, str] = param("adam", "Optimiser.", choices=("adam", "rmsprop", "sgd"))
    learning_rate: float | Mapping[str, float] = param(2e-4, "Learning rate.", above=0)
    betas: tuple[float, ...] | Mapping[str, tuple[float, ...]] = param(
        (0.5, 0.999), "The two betas of Adam.", low=0, high=0.999999
    )
    init: str = param(
        "normal", "Initialisation of the weights. Biases start at 0.", choices=("normal", "orthogonal", "xavier")
    )
    init_scale: float = param(0.02, "Standard deviation (normal) or gain (orthogonal, xavier).", above=0)
    ema: float = param(
        0.0,
        "Decay of the moving average of the generators that is evaluated. 0 evaluates the generators themselves.",
        low=0,
        high=0.999999,
    )
    decay: str = param("none", "Decay of the learning rate over the iterations.", choices=("none", "linear"))
    precision: str = param(
        "float32",
        "Precision of matrix products and convolutions: tf32 on GPUs that support it, bfloat16 by autocast. Weights, "
        "optimisers and evaluation are float32.",
        choices=("float32", "tf32", "bfloat16"),
    )

    def of(self, player: str, name: str) -> Any:
        """Value of a per-player field for one player."""
        value = getattr(self, name)
        return value[player] if isinstance(value, Mapping) else value

    def fakes_each(self, generators: int) -> int:
        """Number of generated samples in each draw from each of `generators` generators."""
        if self.fakes_per_generator is not None:
            return self.fakes_per_generator
        return (self.fakes or self.batch) // generators


@dataclass(frozen=True)
class Evaluation:
    """Metrics, their schedule and the number of samples; the same for every model."""

    every: int = param(
        1000, "Number of iterations between two evaluations. The last iteration is always evaluated.", low=1
    )
    samples: int = param(10_000, "Number of generated samples per evaluation.", low=1)
    metrics: tuple[str, ...] = param((), "Metrics, in the order of the table's columns.")
    points: int = param(
        5,
        "Number of evenly spaced points of a run, including its end, at which expensive metrics are computed too.",
        low=1,
    )
    anchors: bool = param(True, "Whether the table ends with the anchor rows.")
    primary: str = param(
        "", "Metric by which models are compared and marked. Default: the first of `metrics` with a direction."
    )
    baseline: str = param("", "Label of the model with which the others are compared. Default: the first model.")
    margins: Mapping[str, float] | None = param(
        None,
        "Largest difference that is regarded as none, by metric: of the means, of the logarithms for a metric with the "
        "scale `log`, of the shares for `share`. Default: ln 1.25 for `log`, 0.05 for `share`, none for others.",
        above=0,
    )
    oracles: tuple[str, ...] = param(
        (), "Labels of models that are given more information than the others. They are never marked."
    )
