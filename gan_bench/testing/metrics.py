"""Checks that a metric keeps the promises of `gan_bench.contracts.metric`."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.contracts.images import is_images, to_pixels
from gan_bench.contracts.metric import Direction, Metric, Samples, Scale
from gan_bench.errors import DataError
from gan_bench.plugins.registry import Registry
from gan_bench.testing import common
from gan_bench.testing.checks import Absent, Check, refuse
from gan_bench.testing.tiny import dataset_for, installed

SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
DIRECTIONS = typing.get_args(Direction)
SCALES = typing.get_args(Scale)
SIZE = 600  # divisible by GENERATORS
GENERATORS = 3
FAR = 3  # times the extent of points


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one metric."""
    subject = _Subject(cls, registry or installed())
    declared = Check("declared", "name, direction, unit, scale and version are declared", subject.declared)
    described = Check("description", "the class has a docstring", subject.described)
    prepared = Check("prepared", "its files are on this machine and can be prepared", subject.prepared)
    value = Check("value", "compute() returns a number, or one for each generator", subject.value, (prepared,))
    streams = Check("streams", "no global random stream is used", subject.streams, (value,))
    seeds = Check("seeds", "the same samples and seed give the same value", subject.seeds, (streams,))
    untouched = Check("untouched", "compute() does not change the samples", subject.untouched, (value,))
    made = [declared, described, prepared, value, streams, seeds, untouched]
    if getattr(cls, "direction", "none") != "none":
        promise = "real data scores at least as well as samples far from it"
        made.append(Check("direction", promise, subject.direction, (declared, value)))
    return made


class _Subject:
    """Class of a metric under check, with the checks as methods."""

    def __init__(self, cls: type[Any], registry: Registry) -> None:
        self.cls, self.registry = cls, registry

    def metric(self) -> Metric:
        """Return an instance of the metric."""
        metric: Metric = self.cls()
        return metric

    def prepared(self) -> None:
        metric = self.metric()
        try:
            metric.prepare(dataset_for(metric, self.registry), "cpu", lambda line: None)
        except DataError as error:
            raise Absent(str(error)) from error

    def samples(self, *, far: bool = False, indexed: bool = True, generators: int = GENERATORS) -> Samples:
        """Return held-out data or samples far from it, with or without an index of generators."""
        metric = self.metric()
        dataset = dataset_for(metric, self.registry)
        size = -(-max(SIZE, metric.needs) // generators) * generators
        x = dataset.held_out(size, torch.Generator().manual_seed(0)).x
        index = np.arange(len(x)) % generators
        given: dict[str, Any] = {"generator": index, "generators": generators} if indexed else {}
        if is_images(dataset):
            pixels = _noise(x.shape) if far else to_pixels(x, dataset.bounds)
            return Samples(None, dataset, pixels=pixels, seed=7, **given)
        moved = x.numpy() + (FAR * np.ptp(x.numpy()) if far else 0)
        return Samples(moved, dataset, seed=7, **given)

    def described(self) -> None:
        common.check_described(self.cls)

    def declared(self) -> None:
        cls = self.cls
        expectations = [
            ("name", bool(SNAKE.fullmatch(str(cls.name))), "a name in snake_case"),
            ("direction", cls.direction in DIRECTIONS, f"one of {', '.join(DIRECTIONS)}"),
            ("unit", isinstance(cls.unit, str), 'a unit such as "nats", "share" or "data units"; "" for none'),
            ("scale", cls.scale in SCALES, f"one of {', '.join(SCALES)}"),
            ("version", isinstance(cls.version, int) and cls.version >= 1, "a whole number >= 1"),
        ]
        for name, holds, expected in expectations:
            if not holds:
                refuse(
                    f"{cls.__name__}.{name} is {getattr(cls, name)!r}",
                    "tables and stored values are labelled with it",
                    f"declare {expected}",
                )

    def value(self) -> None:
        for indexed in (True, False):
            samples = self.samples(indexed=indexed)
            value = self.metric().compute(samples)
            shape = (samples.generators,) if self.cls.per_generator else ()
            if np.shape(value) != shape or not np.issubdtype(np.asarray(value).dtype, np.number):
                expected = f"an array of shape {shape}, one value for each generator" if shape else "a float"
                refuse(
                    f"compute() returns {type(value).__name__} of shape {np.shape(value)} for samples "
                    f"{'of three generators' if indexed else 'without an index'}",
                    "the value is stored and averaged over seeds",
                    f"return {expected}; NaN if the metric is undefined",
                )
        if math.isnan(self.score()):
            refuse("real data scores NaN", "the row `real-data` would be empty", "return a number for real data")

    def score(self, *, far: bool = False) -> float:
        """Return the value of the mixture, as shown in a table."""
        found = self._score_of(self.samples(far=far))
        if math.isnan(found) and self.cls.per_generator:
            # Three generators may have too few samples each. The row `real-data` has all in one.
            return self._score_of(self.samples(far=far, generators=1))
        return found

    def _score_of(self, samples: Samples) -> float:
        metric = self.metric()
        value = metric.compute(samples)
        return float(metric.combine(np.asarray(value))) if metric.per_generator else float(value)

    def streams(self) -> None:
        common.check_streams("compute()", lambda: self.metric().compute(self.samples()))

    def seeds(self) -> None:
        first, again = (np.asarray(self.metric().compute(self.samples())) for _ in range(2))
        if not np.array_equal(first, again, equal_nan=True):
            refuse(
                f"two calls of compute() with the same samples return {_shown(first)} and {_shown(again)}",
                "a stored value could not be reproduced",
                "draw from np.random.default_rng(samples.seed)",
            )

    def untouched(self) -> None:
        samples, kept = self.samples(), self.samples()
        self.metric().compute(samples)
        assert samples.generator is not None and kept.generator is not None
        if not np.array_equal(samples.x, kept.x) or not np.array_equal(samples.generator, kept.generator):
            refuse(
                "compute() changes the samples in place",
                "metrics computed after it would use the changed samples",
                "work on a copy",
            )

    def direction(self) -> None:
        perfect, far = self.score(), self.score(far=True)
        if math.isnan(far):  # the metric declares itself undefined there
            return
        better = perfect <= far if self.cls.direction == "lower" else perfect >= far
        if not better:
            refuse(
                f"real data scores {perfect:.4g} and samples far from it (images: noise) score {far:.4g}, but the "
                f"declared direction is {self.cls.direction!r}",
                "the table's arrow would point the wrong way",
                'correct compute(), or declare the other direction or "none"',
            )


def _noise(shape: Sequence[int]) -> torch.Tensor:
    """Draw images of pure noise."""
    return torch.randint(256, tuple(shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def _shown(value: NDArray[Any]) -> str:
    return str(value.tolist())
