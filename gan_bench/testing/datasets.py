"""The checks of a dataset: what `gan_bench.dataset` promises in its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_bench.dataset import Dataset, Mixture, Real
from gan_bench.plugins import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import Check, first_line, place, refuse
from gan_bench.testing.settings import Setting, settings
from gan_bench.testing.tiny import difference

SIZES = (1, 1000)
ERRORS = 6  # standard errors that a mean of samples may be off: never by chance
WAYS = ("draw", "held_out")


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """The checks of one dataset."""
    subject = _Subject(cls)
    parameters = Check("parameters", "every parameter has a type, an explanation and a valid default", subject.params)
    described = Check("description", "the docstring says what it is", subject.described)
    builds = Check("builds", "it can be made for the values that its parameters allow", subject.builds)
    samples = Check(
        "samples", "draws are finite float32 (n, *shape), labels int64 below `classes`", subject.samples, (builds,)
    )
    streams = Check("streams", "no global random stream is used", subject.streams, (samples,))
    seeds = Check("seeds", "a draw is a function of its generator's state alone", subject.seeds, (streams,))
    apart = Check("held-out", "held-out data is not the data of training", subject.held_out, (seeds,))
    mixture = Check("mixture", "the density is that of the draws", subject.mixture, (samples,))
    return [parameters, described, builds, samples, streams, seeds, apart, mixture]


class _Subject:
    """One dataset's class, and the checks on it."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    def made(self) -> list[tuple[Setting, Dataset]]:
        """The dataset in every setting that it is tried with."""
        return [(setting, self.cls(setting.params)) for setting in settings(self.cls)]

    def params(self) -> None:
        common.check_parameters(self.cls)

    def described(self) -> None:
        common.check_described(self.cls)

    def builds(self) -> None:
        for setting in settings(self.cls):
            try:
                shape: object = self.cls(setting.params).shape
            except Exception as error:
                refuse(
                    f"with {setting} it cannot be made: {first_line(error)}{place(error)}",
                    "a benchmark may ask for every value that a parameter's range allows",
                    "mend it, narrow the parameter's range, or refuse the values together in Params.__post_init__",
                )
            if not _is_shape(shape):
                refuse(
                    f"with {setting}, shape is {shape!r}",
                    "networks are built for the shape of one sample",
                    "return a tuple of whole numbers >= 1, (2,) for points in the plane",
                )

    def samples(self) -> None:
        for setting, dataset in self.made():
            for way in WAYS:
                for n in SIZES:
                    real, what = _drawn(dataset, way, n), f"with {setting}, {way}({n})"
                    _check_real(real, n, dataset.shape, what)
                    _check_labels(real.label, dataset.classes, what)

    def streams(self) -> None:
        for _, dataset in self.made():
            for way in WAYS:
                common.check_streams(f"{way}()", partial(_drawn, dataset, way))

    def seeds(self) -> None:
        for setting, dataset in self.made():
            for way in WAYS:
                _check_seeds(partial(_drawn, dataset, way), partial(_drawn, self.cls(setting.params), way), way)

    def held_out(self) -> None:
        for _, dataset in self.made()[:1]:
            seen, kept = _drawn(dataset, "draw", seed=0), _drawn(dataset, "held_out", seed=1)
            rows = set(map(_bytes, seen.x))
            common_rows = sum(_bytes(row) in rows for row in kept.x)
            if common_rows == len(kept.x) or (seen.index is not None and common_rows):
                refuse(
                    f"{common_rows} of {len(kept.x)} held-out samples are among those of a draw for training",
                    "the row `real-data` would not be what a perfect model scores",
                    "keep a part of the data that draw() never gives, or draw afresh from a stream",
                )

    def mixture(self) -> None:
        for setting, dataset in self.made():
            if dataset.mixture is not None:
                _check_mixture(dataset.mixture, dataset, f"with {setting}, ")


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and all(isinstance(size, int) and size >= 1 for size in shape)


def _drawn(dataset: Dataset, way: str, n: int = 1000, seed: int = 0) -> Real:
    """`n` samples drawn for training, or held out."""
    real: Real = getattr(dataset, way)(n, torch.Generator().manual_seed(seed))
    return real


def _tensors(real: Real) -> Mapping[str, Tensor]:
    return {name: value for name, value in vars(real).items() if value is not None}


def _check_real(real: object, n: int, shape: tuple[int, ...], what: str) -> None:
    """One draw's types and shapes."""
    reason = "networks, losses and metrics rely on it"
    if not isinstance(real, Real):
        refuse(f"{what} returns {type(real).__name__}", reason, "return Real(x), and labels where there are any")
    if real.x.dtype != torch.float32 or tuple(real.x.shape) != (n, *shape):
        found = f"{real.x.dtype} of shape {tuple(real.x.shape)}"
        refuse(f"{what} returns {found}", reason, f"return float32 of shape {(n, *shape)}, as `shape` declares")
    if not bool(torch.isfinite(real.x).all()):
        refuse(f"{what} returns values that are not finite", reason, "leave them out of the data")
    for name, value in _tensors(real).items():
        if name != "x" and (value.dtype != torch.int64 or tuple(value.shape) != (n,)):
            found = f"{value.dtype} of shape {tuple(value.shape)}"
            refuse(f"{what} returns as {name} {found}", reason, f"return int64 of shape ({n},), or None")


def _check_labels(label: Tensor | None, classes: object, what: str) -> None:
    """Labels are where `classes` says that there are any, and name no other class."""
    reason = "models that learn from labels have a generator for each class, and refuse data without"
    if label is None:
        if classes is not None:
            refuse(f"{what} returns no labels, and classes is {classes!r}", reason, "return labels, or leave it out")
        return
    low, high = int(label.min()), int(label.max())
    if not isinstance(classes, int) or low < 0 or high >= classes:
        refuse(
            f"{what} returns labels from {low} to {high}, and classes is {classes!r}",
            reason,
            "let the property `classes` return their number, M for labels 0…M-1; or return none",
        )


def _check_seeds(draw: Callable[..., Real], draw_anew: Callable[..., Real], way: str) -> None:
    """The same state gives the same samples, from the same object and from another; another state others."""
    first, other, again = (draw(seed=seed) for seed in (0, 1, 0))
    if difference(_tensors(first), _tensors(again)) or difference(_tensors(first), _tensors(draw_anew(seed=0))):
        refuse(
            f"{way}() gives other samples for the same state of its generator",
            "models would not see the same data, and a resumed run would differ from an uninterrupted one",
            "draw from the generator given, and keep nothing that a draw changes",
        )
    if not difference(_tensors(first), _tensors(other)):
        refuse(
            f"{way}() gives the same samples for every state of its generator",
            "every iteration would see the same data",
            "draw from the generator given",
        )


def _bytes(row: Tensor) -> bytes:
    found: bytes = row.numpy().tobytes()
    return found


def _check_mixture(mixture: Mixture, dataset: Dataset, where: str) -> None:
    """Shapes and weights of a density; mean and spread of the draws against it."""
    m = len(mixture.means)
    d = math.prod(dataset.shape)
    expected = {"means": (m, d), "stds": (m,), "weights": (m,)}
    reason = "density-based metrics would compare with another distribution than the data's"
    for name, shape in expected.items():
        value = getattr(mixture, name)
        if value.shape != shape or value.dtype != np.float64 or not np.isfinite(value).all():
            found = f"{value.dtype} of shape {value.shape}"
            refuse(f"{where}mixture.{name} is {found}", reason, f"return finite float64 of shape {shape}")
    if (mixture.weights < 0).any() or abs(mixture.weights.sum() - 1) > 1e-9 or (mixture.stds <= 0).any():
        found = f"weights sum to {mixture.weights.sum():.6g} and the smallest std is {mixture.stds.min():.6g}"
        refuse(f"{where}mixture is none: {found}", reason, "weights are >= 0 and sum to 1; stds are above 0")
    x = _drawn(dataset, "draw", 4000).x.flatten(1).double().numpy()
    mean = mixture.weights @ mixture.means
    _require_near(x, mean, f"{where}the mean", reason)
    inner = (mixture.stds**2)[:, None] + (mixture.means - mean) ** 2
    _require_near((x - mean) ** 2, mixture.weights @ inner, f"{where}the variance", reason)


def _require_near(values: Any, expected: Any, what: str, reason: str) -> None:
    """The mean of values (n, d) is the expected one (d,), as far as chance allows."""
    error = values.std(axis=0) / math.sqrt(len(values)) + 1e-6 * np.abs(expected)
    if (np.abs(values.mean(axis=0) - expected) > ERRORS * error).any():
        found = (
            f"{what} of {len(values)} draws is {values.mean(axis=0).round(4)}, that of `mixture` {expected.round(4)}"
        )
        refuse(found, reason, "let draw() and `mixture` be of the same distribution")
