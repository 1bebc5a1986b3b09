"""Checks that a metric keeps the promises of `gan_bench.contracts.metric`."""

from __future__ import annotations

import importlib.util
import math
import operator
import re
import sys
import typing
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images, to_pixels
from gan_bench.contracts.metric import Direction, Metric, Samples, Scale, lower_needs
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
FEW = 150  # samples that are repeated; divisible by GENERATORS
COPIES = (1, 2, 4)  # numbers of repetitions of the same samples
POWERS = {0.5: "the square root of the number", 1.0: "the number", 2.0: "the square of the number"}
POWERS |= {-1.0: "the inverse number"}
EXACT = 0.02  # largest relative deviation from a power
LARGE = 0.5  # change of a value by the order of samples, relative to the value or to its distance from far samples
CHANCE = 5  # the same, relative to the change by a random order
ROUNDING = 1e-6
TRIALS = 100


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
    stateless = Check("stateless", "a value does not depend on earlier calls", subject.stateless, (seeds, untouched))
    responds = Check("responds", "the value depends on the samples", subject.responds, (stateless,))
    size = Check("size", "the value is not a sum over the samples", subject.size, (responds,))
    order = Check("order", "the value does not depend on the order of the samples", subject.order, (responds,))
    made = [declared, described, prepared, value, streams, seeds, untouched, stateless, responds, size, order]
    if getattr(cls, "per_generator", False):
        promise = "values of generators follow the index of the samples"
        made.append(Check("index", promise, subject.index, (order,)))
    if getattr(cls, "direction", "none") != "none":
        promise = "real data scores at least as well as samples far from it"
        made.append(Check("direction", promise, subject.direction, (declared, value)))
    return made


class _Subject:
    """Class of a metric under check, with the checks as methods.

    Values of the same samples are computed once and used in several checks, since some metrics take seconds.
    """

    def __init__(self, cls: type[Any], registry: Registry) -> None:
        self.cls, self.registry = cls, registry

    def metric(self) -> Metric:
        """Return an instance of the metric."""
        metric: Metric = self.cls()
        return metric

    @cached_property
    def dataset(self) -> Dataset:
        """A dataset that the metric supports."""
        return dataset_for(self.metric(), self.registry)

    @cached_property
    def used(self) -> Metric:
        """An instance that computes several values."""
        return self.metric()

    @cached_property
    def first(self) -> tuple[Samples, Any]:
        """Held-out samples with an index, and the first value that is computed from them."""
        samples = self.samples()
        return samples, self.used.compute(samples)

    @cached_property
    def again(self) -> Any:
        """Value of another instance for the same samples."""
        metric, samples = self.metric(), self.samples()
        value = metric.compute(samples)
        metric.classes(samples)
        return value

    @cached_property
    def far_and_back(self) -> tuple[Any, Any]:
        """Values of the used instance for samples far from the data, and then for held-out samples.

        The second object has the address of the first, since Python reuses addresses.
        """
        samples, x = self.samples(far=True), self.drawn(len(self.first[0]))
        index = np.arange(len(x)) % GENERATORS
        value, address = self.used.compute(samples), id(samples)
        del samples
        return value, self.used.compute(_at(address, lambda: self.given(x, index, GENERATORS)))

    def prepared(self) -> None:
        try:
            self.metric().prepare(self.dataset, "cpu", lambda line: None)
        except DataError as error:
            raise Absent(str(error)) from error

    def samples(self, *, far: bool = False, indexed: bool = True, generators: int = GENERATORS) -> Samples:
        """Return held-out data or samples far from it, with or without an index of generators."""
        size = -(-max(SIZE, self.metric().needs) // generators) * generators
        x = self.drawn(size, far=far)
        return self.given(x, np.arange(len(x)) % generators if indexed else None, generators if indexed else 1)

    def drawn(self, size: int, *, far: bool = False) -> NDArray[np.float64] | Tensor:
        """Return held-out points, or the pixels of held-out images; or the same number of samples far from them."""
        x = self.dataset.held_out(size, torch.Generator().manual_seed(0)).x
        if is_images(self.dataset):
            return _noise(x.shape) if far else to_pixels(x, self.dataset.bounds)
        points = x.numpy().astype(np.float64)
        return points + (FAR * np.ptp(points) if far else 0)

    def given(self, x: NDArray[np.float64] | Tensor, index: NDArray[Any] | None, generators: int) -> Samples:
        """Return samples as a metric receives them."""
        given: dict[str, Any] = {"pixels": x} if isinstance(x, Tensor) else {}
        points = None if isinstance(x, Tensor) else x
        return Samples(points, self.dataset, generator=index, generators=generators, seed=7, **given)

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
        unindexed = self.samples(indexed=False)
        for samples, value in (self.first, (unindexed, self.metric().compute(unindexed))):
            shape = (samples.generators,) if self.cls.per_generator else ()
            if np.shape(value) != shape or not np.issubdtype(np.asarray(value).dtype, np.number):
                expected = f"an array of shape {shape}, one value for each generator" if shape else "a float"
                refuse(
                    f"compute() returns {type(value).__name__} of shape {np.shape(value)} for samples "
                    f"{'without an index' if samples.generator is None else 'of three generators'}",
                    "the value is stored and averaged over seeds",
                    f"return {expected}; NaN if the metric is undefined",
                )
        if math.isnan(self.score()):
            refuse("real data scores NaN", "the row `real-data` would be empty", "return a number for real data")

    def score(self, *, far: bool = False) -> float:
        """Return the value of the mixture, as shown in a table."""
        found = self.combined(self.far_and_back[0] if far else self.first[1])
        if math.isnan(found) and self.cls.per_generator:
            # Three generators may have too few samples each. The row `real-data` has all in one.
            return self.combined(self.metric().compute(self.samples(far=far, generators=1)))
        return found

    def combined(self, value: Any) -> float:
        """Return the value of the mixture."""
        return float(self.metric().combine(np.asarray(value)) if self.cls.per_generator else value)

    def streams(self) -> None:
        common.check_streams("compute() or classes()", lambda: self.again)

    def seeds(self) -> None:
        first, again = (np.asarray(value) for value in (self.first[1], self.again))
        if np.array_equal(first, again, equal_nan=True):
            return
        anew = [self.anew(), self.anew()]
        if None not in anew:
            first, again = (np.asarray(metric.compute(self.samples())) for metric in anew if metric is not None)
        if not np.array_equal(first, again, equal_nan=True):  # else it remembers calls, which `stateless` reports
            refuse(
                f"two calls of compute() with the same samples return {_shown(first)} and {_shown(again)}",
                "a stored value could not be reproduced",
                "draw from np.random.default_rng(samples.seed), and keep no values between calls",
            )

    def anew(self) -> Metric | None:
        """Return an instance of the class in the state of a new process; None if its module cannot be loaded again."""
        cls = _loaded_again(self.cls)
        return None if cls is None else cls()

    def untouched(self) -> None:
        samples, kept = self.first[0], self.samples()
        assert samples.generator is not None and kept.generator is not None
        changed = not np.array_equal(samples.generator, kept.generator)
        if samples.pixels is not None and kept.pixels is not None:
            changed = changed or not torch.equal(samples.pixels, kept.pixels)
        if changed or not np.array_equal(samples.x, kept.x):
            refuse(
                "compute() changes the samples in place",
                "metrics computed after it would use the changed samples",
                "work on a copy",
            )

    def stateless(self) -> None:
        samples, first = self.first
        self._require_same(self.used.compute(samples), first, "the same Samples object")
        self._require_same(self.again, first, "real data")
        far, back = self.far_and_back
        self._require_same(back, first, "real data", "samples far from it")
        anew = self.anew() or self.metric()
        self._require_same(far, anew.compute(self.samples(far=True)), "samples far from real data", "real data")

    def _require_same(self, found: Any, first: Any, what: str, before: str = "the same samples") -> None:
        found, first = np.asarray(found, float), np.asarray(first, float)
        if not np.allclose(found, first, rtol=ROUNDING, atol=0, equal_nan=True):
            refuse(
                f"for {what}, compute() returns {_shown(first)} in its first call and {_shown(found)} after a call "
                f"with {before}",
                "the value of a model would depend on the models and iterations evaluated before it",
                "keep no values on the object, the class or the module between calls; share results with "
                "samples.once(), and do not change them",
            )

    def responds(self) -> None:
        real, far = self.score(), self.score(far=True)
        if real != far:  # also if the value of far samples is NaN
            return
        x = self.drawn(len(self.first[0]))
        point = x[:1].repeat_interleave(len(x), 0) if isinstance(x, Tensor) else x[:1].repeat(len(x), 0)
        collapsed = self.given(point, np.arange(len(x)) % GENERATORS, GENERATORS)
        if self.combined(self.metric().compute(collapsed)) == real:
            refuse(
                f"compute() returns {real:.4g} for real data, for samples far from it and for one sample repeated",
                "all models would have the same value",
                "compute the value from samples.x or samples.pixels, and use no stored result of other samples",
            )

    def size(self) -> None:
        found = [self._power(far=False)]
        if found[0] != 0:
            found.append(self._power(far=True))
        powers = {power for power in found if not math.isnan(power)}
        if len(powers) != 1 or 0 in powers:
            return
        (power,) = powers
        values = self._sized(far=math.isnan(found[0]))
        shown = ", ".join(f"{value:.4g} for {FEW * copies}" for value, copies in zip(values, COPIES, strict=True))
        refuse(
            f"the value is proportional to {POWERS[power]} of samples: {shown} samples, which are the same ones "
            "repeated",
            "values of benchmarks, files or generators with different numbers of samples could not be compared",
            "divide by the number of samples: use means instead of sums, and shares instead of counts of samples",
        )

    def _power(self, *, far: bool) -> float:
        """Return the power of the number of samples that the value is proportional to.

        The power is 0 for any other dependence and NaN if the value is 0 or undefined.
        """
        values = self._sized(far=far)
        if not np.isfinite(values).all() or not np.all(values):
            return math.nan
        ratios = values[1:] / values[:-1]
        steps = np.divide(COPIES[1:], COPIES[:-1])
        return next((p for p in POWERS if np.allclose(ratios, steps**p, rtol=EXACT, atol=0)), 0)

    def _sized(self, *, far: bool) -> NDArray[np.float64]:
        """Return the value of the same few samples, each repeated several times; NaN if it is undefined."""
        x = self.drawn(FEW, far=far)
        index = np.arange(len(x)) % GENERATORS
        values = []
        for copies in COPIES:
            metric = lower_needs(self.metric(), len(x))
            repeated = x.repeat(copies, *[1] * (x.dim() - 1)) if isinstance(x, Tensor) else np.concatenate([x] * copies)
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    value = metric.compute(self.given(repeated, np.tile(index, copies), GENERATORS))
            except Exception:  # some metrics, such as estimates of entropy, do not accept repeated samples
                value = np.nan
            values.append(self.combined(value))
        return np.array(values)

    def order(self) -> None:
        needs = self.metric().needs
        x = self.drawn(-(-needs // GENERATORS) * GENERATORS if needs > 1 else SIZE)
        order = self._sorted(x)
        known = len(x) == len(self.first[0])
        value = self.combined(self.first[1]) if known else self._ordered(x, np.arange(len(x)))
        found = self._ordered(x, order)
        change, far = abs(found - value), self.score(far=True)
        distance = 0.0 if math.isnan(far) else abs(far - value)
        if not change > LARGE * max(abs(value), distance):  # also if a value is NaN
            return
        rng = np.random.default_rng(0)
        chance = max(abs(self._ordered(x, rng.permutation(len(x))) - value) for _ in range(3))
        if change > CHANCE * chance:
            refuse(
                f"compute() returns {value:.4g} for real data in random order and {found:.4g} for the same samples, "
                f"{'ordered by brightness' if is_images(self.dataset) else 'sorted'}",
                "`gan-bench score` reads files in any order; positions of samples have no meaning",
                "use all samples, and samples.generator instead of their positions; before you divide them into parts, "
                "permute them with np.random.default_rng(samples.seed)",
            )

    def _sorted(self, x: NDArray[np.float64] | Tensor) -> NDArray[np.int64]:
        """Return positions of points sorted by label, if there are labels, then by coordinate; of images by mean."""
        flat = x.flatten(1).double().numpy() if isinstance(x, Tensor) else x.reshape(len(x), -1)
        key = flat.mean(axis=1) if isinstance(x, Tensor) else flat[:, 0]
        real = self.dataset.held_out(len(x), torch.Generator().manual_seed(0))
        if real.label is None or isinstance(x, Tensor):
            return np.argsort(key, kind="stable")
        return np.lexsort((key, real.label.numpy()))

    def _ordered(self, x: NDArray[np.float64] | Tensor, order: NDArray[Any]) -> float:
        index = (np.arange(len(x)) % GENERATORS)[order]
        return self.combined(self.metric().compute(self.given(x[order], index, GENERATORS)))

    def index(self) -> None:
        for seed in (0, 1):
            x, index = self._different(seed)
            shuffled = np.random.default_rng(seed).permutation(index)
            values = [np.asarray(self.metric().compute(self.given(x, each, GENERATORS))) for each in (index, shuffled)]
            if not np.isfinite(values[0]).any() or not np.array_equal(values[0], values[1], equal_nan=True):
                return
        refuse(
            f"compute() returns {_shown(values[0])} for three different generators, and the same after "
            "samples.generator is shuffled",
            "values of generators would not belong to them",
            "select the samples of generator k with samples.generator == k; their positions are random",
        )

    def _different(self, seed: int) -> tuple[NDArray[np.float64] | Tensor, NDArray[np.int64]]:
        """Return samples in random order of a generator of real data, one of a single point and one far away."""
        real, far = (self.drawn(len(self.first[0]), far=far) for far in (False, True))
        index = np.random.default_rng(seed).permutation(np.arange(len(real)) % GENERATORS)
        x = real.clone() if isinstance(real, Tensor) else real.copy()
        x[index == 1] = real[seed]
        x[index == 2] = far[index == 2]
        return x, index

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


def _loaded_again(cls: type[Any]) -> type[Any] | None:
    """Return a class of the same name from another execution of its module; None if that is impossible."""
    module = sys.modules.get(cls.__module__)
    spec = getattr(module, "__spec__", None)
    if module is None or spec is None or spec.loader is None or "<locals>" in cls.__qualname__:
        return None
    again = importlib.util.module_from_spec(spec)
    sys.modules[cls.__module__] = again  # dataclasses look up their module here
    try:
        with common.streams_from(0):
            spec.loader.exec_module(again)
        found: type[Any] = operator.attrgetter(cls.__qualname__)(again)
        _copy_constants(module, again)
        _copy_constants(cls, found)
        return found
    except Exception:  # a module may refuse to be executed twice
        return None
    finally:
        sys.modules[cls.__module__] = module


def _copy_constants(source: Any, target: Any) -> None:
    """Copy numbers and texts that differ, such as settings that a test replaces; not values that were None before."""
    for name, value in list(vars(source).items()):
        old = getattr(target, name, None)  # of a class, perhaps inherited
        if not name.startswith("__") and type(value) in (int, float, str) and type(old) is type(value):
            setattr(target, name, value)


def _at(address: int, make: Callable[[], Samples]) -> Samples:
    """Return samples at an address that is free, if one of the first objects is created there."""
    others = []
    for _ in range(TRIALS):
        samples = make()
        if id(samples) == address:
            break
        others.append(samples)
    return samples


def _noise(shape: Sequence[int]) -> Tensor:
    """Draw images of pure noise."""
    return torch.randint(256, tuple(shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def _shown(value: NDArray[Any]) -> str:
    return str(value.tolist())
