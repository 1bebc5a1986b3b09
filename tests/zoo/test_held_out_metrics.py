"""Metrics that compare samples with held-out ones: independent implementations, closed forms and edge cases."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import ot
import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.datasets.shapes import Shapes
from gan_bench_zoo.metrics.mmd import BLOCK, MMD, MOST, median_distance, squared_mmd
from gan_bench_zoo.metrics.sliced_wasserstein import SlicedWasserstein, _directions
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.metric import Metric, Samples
from tests.support.messages import Messages
from tests.support.outside.two_rings import TwoRings

Array = NDArray[np.float64]
METRICS: list[type[Metric]] = [SlicedWasserstein, MMD]
RINGS = TwoRings(TwoRings.Params())


class Finite(Dataset):
    """A finite set of points, all of which are held out."""

    name = "finite"

    def __init__(self, points: Array) -> None:
        super().__init__(None)
        self.points = points

    @property
    def shape(self) -> tuple[int, ...]:
        return self.points.shape[1:]

    @property
    def held_out_size(self) -> int:
        return len(self.points)

    def draw(self, n: int, rng: torch.Generator) -> Real:
        raise NotImplementedError

    def held_out(self, n: int, rng: torch.Generator) -> Real:
        order = torch.randperm(len(self.points), generator=rng)[:n]
        return Real(torch.tensor(self.points, dtype=torch.float32)[order])


def draw(n: int, seed: int, dataset: Dataset = RINGS) -> Array:
    """Return real samples that are not those of a metric."""
    return dataset.held_out(n, torch.Generator().manual_seed(seed)).x.numpy().astype(np.float64)


def value(kind: type[Metric], x: Array, dataset: Dataset = RINGS, seed: int = 0) -> float:
    """Return a metric of x."""
    return float(kind().compute(Samples(x, dataset, seed=seed)))


# --- the samples that metrics compare with


class TestHeldOut:
    def test_samples_depend_on_the_seed_alone(self) -> None:
        """All models of a seed are compared with the same samples, and another seed has others."""
        first, again = (Samples(draw(5, n), RINGS, seed=3).held_out(50) for n in (1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, Samples(draw(5, 1), RINGS, seed=4).held_out(50))
        assert (first.shape, first.dtype) == ((50, 2), np.float64)

    def test_metrics_share_one_draw(self) -> None:
        """Samples are drawn once for each number of them."""
        samples = Samples(draw(5, 1), RINGS)
        assert samples.held_out(50) is samples.held_out(50)
        assert len(samples.held_out(20)) == 20

    def test_global_streams_are_not_used(self) -> None:
        """The default streams of torch and numpy stay as they are."""
        before = torch.get_rng_state(), np.random.get_state()[1]
        Samples(draw(5, 1), RINGS).held_out(50)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])

    def test_a_finite_dataset_has_no_more_than_it_holds_out(self) -> None:
        """Of a request for more samples, all that there are are returned, and drawn once."""
        points = np.arange(12.0).reshape(6, 2)
        samples = Samples(points, Finite(points))
        found = samples.held_out(100)
        assert sorted(found.tolist()) == points.tolist()
        assert samples.held_out(7) is found

    def test_samples_are_not_those_of_the_directions(self) -> None:
        """The seed of the samples is not the seed that metrics pass to their own streams."""
        same = RINGS.held_out(50, torch.Generator().manual_seed(3)).x.numpy()
        assert not np.array_equal(Samples(draw(5, 1), RINGS, seed=3).held_out(50), same)


# --- sliced Wasserstein distance


def test_sliced_wasserstein_agrees_with_pot() -> None:
    """For as many held-out samples as samples, the value is POT's along the same directions."""
    x = draw(700, 1)[:, ::-1] * [1, 0.5]
    held_out = Samples(x, RINGS, seed=9).held_out(len(x))
    expected = ot.sliced_wasserstein_distance(x, held_out, projections=_directions(2, 9).T, p=1)
    assert value(SlicedWasserstein, x, seed=9) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("held_out", [30, 50])
def test_sliced_wasserstein_from_fewer_held_out_samples(held_out: int) -> None:
    """If their number divides that of the samples, the value is the exact distance of sets of unequal sizes."""
    x, points = draw(150, 1) + 0.3, draw(held_out, 2)
    exact = [ot.wasserstein_1d(x @ u, points @ u, p=1) for u in _directions(2, 0)]
    assert value(SlicedWasserstein, x, Finite(points)) == pytest.approx(np.mean(exact), rel=1e-5)


def test_sliced_wasserstein_of_a_shift_on_a_line_is_the_shift() -> None:
    """In one dimension every quantile moves by the shift."""
    points = np.random.default_rng(0).normal(size=(400, 1))
    assert value(SlicedWasserstein, points + 2.5, Finite(points)) == pytest.approx(2.5, rel=1e-6)


def test_sliced_wasserstein_of_an_exact_density_needs_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a mixture the true side is still exact: nothing is drawn."""
    ring = Ring8(Ring8.Params())
    x = draw(500, 1, ring)
    monkeypatch.setattr(Ring8, "held_out", None)
    assert 0 < value(SlicedWasserstein, x, ring) < 0.2


def test_samples_may_have_any_shape() -> None:
    """A sample of shape (2, 3) is a point in six dimensions."""
    points = np.random.default_rng(0).normal(size=(60, 2, 3))
    flat = points.reshape(60, 6)
    for kind in METRICS:
        assert value(kind, points + 0.5, Finite(points)) == value(kind, flat + 0.5, Finite(flat))


# --- maximum mean discrepancy


def _direct(x: Array, y: Array, median: float) -> float:
    """Return the unbiased estimate by its definition, a double sum over all pairs of different points."""

    def kernel(a: Array, b: Array) -> float:
        squared = float(((a - b) ** 2).sum())
        return float(np.mean([math.exp(-squared / (2 * (median / 2**j) ** 2)) for j in range(5)]))

    def within(points: Array) -> float:
        n = len(points)
        return sum(kernel(points[i], points[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    between = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


@pytest.mark.parametrize(("d", "n", "m"), [(1, 2, 2), (2, 17, 23), (3, 30, 11)])
def test_mmd_equals_its_double_sum(d: int, n: int, m: int) -> None:
    """The value is that of a loop over pairs, with the median distance of the reference points as bandwidth."""
    rng = np.random.default_rng(d)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 2
    distances = [float(np.linalg.norm(y[i] - y[j])) for i in range(m) for j in range(i)]
    assert median_distance(y) == pytest.approx(np.median(distances))
    assert squared_mmd(x, y) == pytest.approx(_direct(x, y, float(np.median(distances))), rel=1e-10)


def test_mmd_in_blocks_equals_that_of_whole_matrices() -> None:
    """Blocks, the last of which is shorter, have the value of all pairs at once."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2 * BLOCK + 7, 2)), rng.normal(size=(BLOCK + 1, 2)) + 0.1
    median = median_distance(y)

    def kernel(a: Array, b: Array) -> Array:
        squared = ((a[:, None] - b) ** 2).sum(-1)
        return np.mean([np.exp(-squared / (2 * (median / 2**j) ** 2)) for j in range(5)], axis=0)

    parts = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    assert squared_mmd(x, y) == pytest.approx(sum(parts) - 2 * kernel(x, y).mean(), rel=1e-9)


def _gaussian(shift: float, s: float, d: int = 2) -> float:
    """Return E k(x, y) of a Gaussian kernel of bandwidth s, x ~ N(0, I) and y ~ N(shift, I) along one axis."""
    return float((s**2 / (s**2 + 2)) ** (d / 2) * math.exp(-(shift**2) / (2 * (s**2 + 2))))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_mmd_is_unbiased(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over small sets is the closed form for two Gaussians, which is 0 if they are equal."""
    monkeypatch.setattr("gan_bench_zoo.metrics.mmd.median_distance", lambda y: 2.0)
    rng = np.random.default_rng(0)
    moved = np.array([shift, 0])
    found = [squared_mmd(rng.normal(size=(20, 2)), rng.normal(size=(25, 2)) + moved) for _ in range(2000)]
    exact = np.mean([2 * _gaussian(0, 2 / 2**j) - 2 * _gaussian(shift, 2 / 2**j) for j in range(5)])
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(exact, abs=4 * error)
    assert error < 0.001  # a biased estimate of equal Gaussians would be 0.07


def test_mmd_of_one_point_is_finite() -> None:
    """Data of a single value have no distances, so that the bandwidth is 1."""
    same = np.zeros((5, 2))
    assert value(MMD, same, Finite(same)) == 0
    assert value(MMD, same + 100, Finite(same)) == 2


def test_mmd_of_distant_samples_is_finite() -> None:
    """Samples at the limit of float32 have the kernel 0 with all others."""
    x = draw(20, 1) * 1e38
    assert math.isfinite(value(MMD, x))


def test_mmd_uses_a_random_part_of_many_samples() -> None:
    """Generators that come one after the other in a file are all among the samples that are used."""
    mixed = draw(3 * MOST, 1)
    ordered = mixed[np.argsort(np.linalg.norm(mixed, axis=1))]  # inner ring first
    assert value(MMD, ordered) == pytest.approx(0, abs=2e-3)
    assert value(MMD, ordered[: MOST + 1]) > 0.03


def test_mmd_needs_little_memory() -> None:
    """A hundred thousand points need less than 50 MB in addition, although they have 10^10 pairs."""
    samples = Samples(draw(100_000, 1), RINGS)
    tracemalloc.start()
    try:
        MMD().compute(samples)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6


# --- both


@pytest.mark.parametrize(("kind", "perfect"), [(SlicedWasserstein, 0.06), (MMD, 8e-4)])
def test_real_data_is_better_than_a_part_of_it(kind: type[Metric], perfect: float) -> None:
    """Two sets of real samples are equal within noise. Samples of one ring, or blurred ones, are not."""
    x = draw(4000, 1)
    assert abs(value(kind, x)) < perfect
    assert value(kind, x[np.linalg.norm(x, axis=1) < 1.5]) > 4 * perfect
    assert value(kind, x + np.random.default_rng(0).normal(size=x.shape) * 0.8) > 1.5 * perfect


@pytest.mark.parametrize("kind", METRICS)
def test_notes(kind: type[Metric]) -> None:
    """The note below a table states what samples are compared with, and that a finite set is also `real-data`."""
    assert kind().note(RINGS) == "against held-out samples"
    assert "at most 6 held-out samples" in kind().note(Finite(np.zeros((6, 2))))


def test_mmd_refuses_images(messages: Messages) -> None:
    """Pixels have no meaningful distance, and the message names the metric for images."""
    messages.check(MMD().refuses(Shapes(Shapes.Params())), "mmd", "kid")


def test_held_out_samples_of_a_mixture_have_its_moments() -> None:
    """They are drawn from the exact density, without torch."""
    ring = Ring8(Ring8.Params())
    x = Samples(draw(5, 1), ring, seed=3).held_out(40_000)
    assert ring.mixture is not None
    means, stds, weights = ring.mixture.means, ring.mixture.stds, ring.mixture.weights
    nearest = np.linalg.norm(x[:, None] - means[None], axis=2).argmin(1)
    assert np.bincount(nearest, minlength=8) / len(x) == pytest.approx(weights, abs=0.01)
    assert (x - means[nearest]).std(axis=0) == pytest.approx(np.full(2, stds[0]), rel=0.02)
