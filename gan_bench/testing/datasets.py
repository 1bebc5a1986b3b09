"""Checks that a dataset keeps the promises of `gan_bench.contracts.dataset`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_bench.contracts.dataset import Dataset, Mixture, Real
from gan_bench.contracts.images import ImageDataset, Pictures, to_floats, to_pixels
from gan_bench.plugins.registry import Registry
from gan_bench.testing import common, dataset_draws
from gan_bench.testing.checks import Absent, Check, first_line, place, refuse
from gan_bench.testing.settings import Setting, settings
from gan_bench.testing.tiny import difference

SIZES = (1, 1000)
ERRORS = 6  # largest deviation of a mean of samples in standard errors, so that chance never exceeds it
COMPARED = 20_000  # largest number of images of a set that are compared with others
TWICE = 0.1  # largest share of a test set that may be in the training set, or look like it
WAYS = ("draw", "held_out")


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one dataset."""
    subject = _Subject(cls)
    parameters = Check("parameters", "every parameter has a type, an explanation and a valid default", subject.params)
    described = Check("description", "the class has a docstring", subject.described)
    builds = Check("builds", "it can be built with the values that its parameters allow", subject.builds)
    files = Check("files", "its files are on this machine", subject.files, (builds,))
    samples = Check(
        "samples",
        "samples are finite float32 (n, *shape), and labels are int64 below `classes`",
        subject.samples,
        (files,),
    )
    streams = Check("streams", "no global random stream is used", subject.streams, (samples,))
    seeds = Check("seeds", "a draw depends only on the state of its random generator", subject.seeds, (streams,))
    apart = Check("held-out", "held-out data is not in the training data", subject.held_out, (seeds,))
    mixture = Check("mixture", "draws follow the declared density", subject.mixture, (samples,))
    order = Check("order", "samples of a draw are in random order", subject.order, (seeds,))
    repeats = Check("repeats", "draws repeat no samples, within one or from one to the next", subject.repeats, (order,))
    levels = Check("levels", "drawn values are uint8 levels, scaled to the bounds", subject.levels, (samples,))
    images = isinstance(cls, type) and issubclass(cls, ImageDataset)
    needed = (apart, repeats, levels) if images else (apart, repeats)
    same = Check("distribution", "held-out data and a pool are distributed as draws", subject.distribution, needed)
    labels = Check("labels", "labels belong to the samples", subject.labels, (same,))
    found = [
        parameters,
        described,
        builds,
        files,
        samples,
        streams,
        seeds,
        apart,
        mixture,
        order,
        repeats,
        same,
        labels,
    ]
    if images:
        sets = Check("images", "both image sets are uint8 and the same at every access", subject.images, (files,))
        found += [sets, levels]
    return found


class _Subject:
    """Class of a dataset under check, with the checks as methods."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self._made: list[tuple[Setting, Dataset]] | None = None  # cached: some datasets first draw their images

    def made(self) -> list[tuple[Setting, Dataset]]:
        """Return the dataset in every setting in which it is checked, if its files are on this machine."""
        if self._made is None:
            made = [(setting, self.cls(setting.params)) for setting in settings(self.cls)]
            self._made = [(setting, dataset) for setting, dataset in made if not dataset.missing()]
        return self._made

    def files(self) -> None:
        if not self.made():
            raise Absent(str(self.cls(settings(self.cls)[0].params).missing()))

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
                    f"with {setting}, the dataset cannot be built: {first_line(error)}{place(error)}",
                    "a benchmark may use every value that a parameter allows",
                    "correct the code, narrow the parameter's range, or reject the values in Params.__post_init__",
                )
            if not _is_shape(shape):
                refuse(
                    f"with {setting}, shape is {shape!r}",
                    "networks are built for the shape of one sample",
                    "return a tuple of whole numbers >= 1, such as (2,) for points in the plane",
                )

    def samples(self) -> None:
        for setting, dataset in self.made():
            for way in WAYS:
                for n in SIZES:
                    real, what = _drawn(dataset, way, n), f"with {setting}, {way}({n})"
                    most = dataset.held_out_size if way == "held_out" else None
                    _check_real(real, n if most is None else min(n, most), dataset.shape, what)
                    _check_labels(real.label, dataset.classes, what)

    def streams(self) -> None:
        for _, dataset in self.made():
            for way in WAYS:
                common.check_streams(f"{way}()", partial(_drawn, dataset, way))

    def seeds(self) -> None:
        for setting, dataset in self.made():
            for way in WAYS:
                _check_seeds(partial(_drawn, dataset, way), partial(_drawn, self.cls(setting.params), way), way)

    def images(self) -> None:
        for setting, dataset in self.made():
            anew = self.cls(setting.params)
            assert isinstance(dataset, ImageDataset)
            for way in ("training", "testing"):
                _check_pictures(getattr(dataset, way)(), dataset, f"with {setting}, {way}()")
                _check_same(getattr(dataset, way)(), [getattr(each, way)() for each in (dataset, anew)], f"{way}()")
            _check_labelled(dataset, f"with {setting}, ")

    def levels(self) -> None:
        for setting, dataset in self.made():
            for way in WAYS:
                _check_levels(_drawn(dataset, way).x, dataset.bounds, f"with {setting}, {way}()")

    def held_out(self) -> None:
        for _, dataset in self.made()[:1]:
            if isinstance(dataset, ImageDataset):
                _check_apart(dataset)
            dataset_draws.check_apart(self.draws[0])

    def repeats(self) -> None:
        for draws in self.draws:
            dataset_draws.check_repeats(draws)

    def order(self) -> None:
        for draws in self.draws:
            dataset_draws.check_order(draws)

    def distribution(self) -> None:
        for draws in self.draws:
            dataset_draws.check_distribution(draws)

    def labels(self) -> None:
        for draws in self.draws:
            dataset_draws.check_labels(draws)

    @cached_property
    def draws(self) -> list[dataset_draws.Draws]:
        """Draws of the dataset in the settings that may switch code; not of images in another range of the pixels."""
        return [
            dataset_draws.Draws(dataset, f"with {setting}, ")
            for setting, dataset in self.made()
            if setting.branches and not (isinstance(dataset, ImageDataset) and setting.label.startswith("values = "))
        ]

    def mixture(self) -> None:
        for setting, dataset in self.made():
            if dataset.mixture is not None:
                _check_mixture(dataset.mixture, dataset, f"with {setting}, ")


def _check_pictures(pictures: Pictures, dataset: ImageDataset, what: str) -> None:
    """Check types and shapes of one set of images."""
    x, label = pictures.x, pictures.label
    reason = "image sets are stored on the GPU as bytes, and metrics compare pixel levels"
    if x.dtype != np.uint8 or x.shape[1:] != dataset.shape or not len(x):
        refuse(f"{what} returns x as {x.dtype} {x.shape}", reason, f"return x as uint8 (N, {str(dataset.shape)[1:]}")
    if label is None and dataset.classes is None:
        return
    if label is None or dataset.classes is None or label.dtype != np.int64 or label.shape != x.shape[:1]:
        found = "no labels" if label is None else f"labels as {label.dtype} {label.shape}"
        refuse(
            f"{what} returns {found}, but classes is {dataset.classes!r}",
            "models that use labels have one generator for each class",
            f"return labels as int64 ({len(x)},) and list every class in class_names, or omit both",
        )


def _check_same(first: Pictures, others: Sequence[Pictures], what: str) -> None:
    """Check that a set has the same images at every access, from the same object and from another."""
    rows = _spread(len(first), COMPARED)
    for other in others:
        if len(other) != len(first) or not np.array_equal(first.x[rows], other.x[rows]):
            refuse(
                f"two calls of {what} return different images",
                "Fréchet distances would use statistics of other images, and a resumed run would use other data",
                "build the set once, from the parameters and files only",
            )


def _check_labelled(dataset: ImageDataset, where: str) -> None:
    """Check that images to train a classifier have classes, and the shape of a sample or of each of its channels."""
    labelled = dataset.labelled()
    if labelled is None:
        return
    shape = (1, *dataset.shape[1:]) if dataset.by_channel else dataset.shape
    if labelled.classes is None or labelled.shape != shape or labelled.bounds != dataset.bounds:
        refuse(
            f"{where}labelled() has {labelled.classes} classes, shape {labelled.shape} and bounds {labelled.bounds}",
            "a classifier is trained on these images and then applied to samples",
            f"return a dataset with classes, shape {shape} and bounds {dataset.bounds}, or None",
        )


def _check_apart(dataset: ImageDataset) -> None:
    """Check that few test images are among the training images; published sets contain some images in both."""
    training, testing = dataset.training().x, dataset.testing().x
    seen = {row.tobytes() for row in training[_spread(len(training), COMPARED)]}
    kept = [row.tobytes() for row in testing[_spread(len(testing), 1000)]]
    common_rows = sum(row in seen for row in kept)
    if common_rows > TWICE * len(kept):
        refuse(
            f"{common_rows} of {len(kept)} images of testing() are also among {len(seen)} images of training()",
            "the row `real-data` would not show the score of a perfect model",
            "reserve test images that training() never returns",
        )


def _check_levels(x: Tensor, bounds: tuple[float, float] | None, what: str) -> None:
    """Check that draws contain only the 256 levels between the bounds."""
    low, high = bounds or (math.nan, math.nan)
    off = (x - to_floats(to_pixels(x, (low, high)), (low, high))).abs().max()
    if not float(off) < 1e-5 * (high - low):
        refuse(
            f"{what} returns values from {float(x.min()):.4g} to {float(x.max()):.4g}, not levels between {bounds!r}",
            "generated samples are limited to the bounds, and metrics round samples to uint8 levels between them",
            "return to_floats(pixels, self.bounds) as x",
        )


def _spread(count: int, most: int) -> Any:
    """Return at most a given number of positions, spread evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and all(isinstance(size, int) and size >= 1 for size in shape)


def _drawn(dataset: Dataset, way: str, n: int = 1000, seed: int = 0) -> Real:
    """Return `n` samples that are drawn for training, or held-out ones."""
    real: Real = getattr(dataset, way)(n, torch.Generator().manual_seed(seed))
    return real


def _tensors(real: Real) -> Mapping[str, Tensor]:
    return {name: value for name, value in vars(real).items() if value is not None}


def _check_real(real: object, n: int, shape: tuple[int, ...], what: str) -> None:
    """Check types and shapes of one draw."""
    reason = "networks, losses and metrics rely on it"
    if not isinstance(real, Real):
        refuse(f"{what} returns {type(real).__name__}", reason, "return Real(x), with labels if the data has any")
    if real.x.dtype != torch.float32 or tuple(real.x.shape) != (n, *shape):
        found = f"{real.x.dtype} of shape {tuple(real.x.shape)}"
        refuse(f"{what} returns {found}", reason, f"return float32 of shape {(n, *shape)}, as `shape` declares")
    if not bool(torch.isfinite(real.x).all()):
        refuse(f"{what} returns values that are not finite", reason, "remove these values from the data")
    for name, value in _tensors(real).items():
        if name != "x" and (value.dtype != torch.int64 or tuple(value.shape) != (n,)):
            found = f"{value.dtype} of shape {tuple(value.shape)}"
            refuse(f"{what} returns {name} as {found}", reason, f"return int64 of shape ({n},), or None")


def _check_labels(label: Tensor | None, classes: object, what: str) -> None:
    """Check that labels exist if and only if `classes` is a number, and are from 0 to `classes` - 1."""
    reason = "models that use labels have one generator for each class, and refuse data without labels"
    if label is None:
        if classes is not None:
            refuse(
                f"{what} returns no labels, but classes is {classes!r}", reason, "return labels, or remove `classes`"
            )
        return
    low, high = int(label.min()), int(label.max())
    if not isinstance(classes, int) or low < 0 or high >= classes:
        refuse(
            f"{what} returns labels from {low} to {high}, but classes is {classes!r}",
            reason,
            "return the number of classes (M for labels 0 to M - 1) from the property `classes`, or return no labels",
        )


def _check_seeds(draw: Callable[..., Real], draw_anew: Callable[..., Real], way: str) -> None:
    """Check that draws depend on the state of the stream only.

    The same state gives the same samples, from the same object and from another. Another state gives other samples.
    """
    first, other, again = (draw(seed=seed) for seed in (0, 1, 0))
    if difference(_tensors(first), _tensors(again)) or difference(_tensors(first), _tensors(draw_anew(seed=0))):
        refuse(
            f"{way}() returns different samples for the same state of its random generator",
            "models would not train on the same data, and a resumed run would differ from an uninterrupted one",
            "draw only from the random generator in the arguments, and keep no state that a draw changes",
        )
    if len(first.x) > 1 and not difference(_tensors(first), _tensors(other)):
        refuse(
            f"{way}() returns the same samples for every state of its random generator",
            "every iteration would use the same data",
            "draw from the random generator in the arguments",
        )


def _check_mixture(mixture: Mixture, dataset: Dataset, where: str) -> None:
    """Check shapes and weights of a density, and compare mean and spread of draws with it."""
    m = len(mixture.means)
    d = math.prod(dataset.shape)
    expected = {"means": (m, d), "stds": (m,), "weights": (m,)}
    reason = "metrics based on the density would use another distribution than that of the data"
    for name, shape in expected.items():
        value = getattr(mixture, name)
        if value.shape != shape or value.dtype != np.float64 or not np.isfinite(value).all():
            found = f"{value.dtype} of shape {value.shape}"
            refuse(f"{where}mixture.{name} is {found}", reason, f"return finite float64 of shape {shape}")
    if (mixture.weights < 0).any() or abs(mixture.weights.sum() - 1) > 1e-9 or (mixture.stds <= 0).any():
        found = f"weights sum to {mixture.weights.sum():.6g} and the smallest std is {mixture.stds.min():.6g}"
        refuse(f"{where}mixture is not a density: {found}", reason, "return weights >= 0 that sum to 1, and stds > 0")
    x = _drawn(dataset, "draw", 4000).x.flatten(1).double().numpy()
    mean = mixture.weights @ mixture.means
    _require_near(x, mean, f"{where}the mean", reason)
    inner = (mixture.stds**2)[:, None] + (mixture.means - mean) ** 2
    _require_near((x - mean) ** 2, mixture.weights @ inner, f"{where}the variance", reason)


def _require_near(values: Any, expected: Any, what: str, reason: str) -> None:
    """Check that the mean of values (n, d) equals the expected mean (d,) up to chance."""
    error = values.std(axis=0) / math.sqrt(len(values)) + 1e-6 * np.abs(expected)
    if (np.abs(values.mean(axis=0) - expected) > ERRORS * error).any():
        found = (
            f"{what} of {len(values)} draws is {values.mean(axis=0).round(4)}, but `mixture` has {expected.round(4)}"
        )
        refuse(found, reason, "make draw() and `mixture` describe the same distribution")
