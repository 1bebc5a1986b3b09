"""All metrics on Gaussian mixtures: calibration, independent implementations, invariances and edge cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import ot
import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import MADGAN1D, Grid25, Ring8, Ring8Unrolled, Ring8VEEGAN
from gan_bench_zoo.metrics import wasserstein
from gan_bench_zoo.metrics.divergence import ForwardKL, ReverseKL, SymmetricKL
from gan_bench_zoo.metrics.generator_jsd import GeneratorJSD, divergence
from gan_bench_zoo.metrics.generators import (
    DeadGenerators,
    GeneratorHighQuality,
    GeneratorModes,
    MutualInformation,
    Purity,
)
from gan_bench_zoo.metrics.histogram import Box, box_of, histogram
from gan_bench_zoo.metrics.modes import HighQuality, ModeKL, Modes, Modes10Pct
from gan_bench_zoo.metrics.sliced_wasserstein import SlicedWasserstein, _directions
from gan_bench_zoo.metrics.wasserstein import Wasserstein, transport_cost
from numpy.typing import NDArray
from scipy import integrate, optimize, spatial, special, stats

from gan_bench.contracts.dataset import Dataset, Mixture, Real
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.errors import RunError
from tests.support.messages import Messages
from tests.support.metrics import refusal

Array = NDArray[np.float64]
N = 10_000
HISTOGRAM: list[type[Metric]] = [ForwardKL, ReverseKL, SymmetricKL, Wasserstein, GeneratorJSD]
ANY_DIMENSION: list[type[Metric]] = [
    SlicedWasserstein,
    Modes,
    Modes10Pct,
    HighQuality,
    ModeKL,
    GeneratorModes,
    Purity,
    GeneratorHighQuality,
    DeadGenerators,
    MutualInformation,
]
EVERY = HISTOGRAM + ANY_DIMENSION
BY_GENERATOR: list[type[Metric]] = [
    GeneratorModes,
    Purity,
    GeneratorHighQuality,
    DeadGenerators,
    MutualInformation,
    GeneratorJSD,
]


class Fixed(Dataset):
    """A dataset without draws, with or without a mixture."""

    name = "fixed"

    def __init__(self, mixture: Mixture | None) -> None:
        super().__init__(None)
        self._mixture = mixture

    @property
    def shape(self) -> tuple[int, ...]:
        return (8, 8) if self._mixture is None else self._mixture.means.shape[1:]

    @property
    def mixture(self) -> Mixture | None:
        return self._mixture

    def draw(self, n: int, rng: Any) -> Real:
        raise NotImplementedError

    held_out = draw


RING = Ring8(Ring8.Params())
GRID = Grid25(Grid25.Params())
LINE = MADGAN1D(MADGAN1D.Params())
PRESETS = [RING, Ring8Unrolled(Ring8Unrolled.Params()), Ring8VEEGAN(Ring8VEEGAN.Params()), GRID, LINE]


def mixture_of(dataset: Dataset) -> Mixture:
    """Return the density of a dataset."""
    assert dataset.mixture is not None
    return dataset.mixture


def draw(
    dataset: Dataset, n: int = N, seed: int = 0, modes: list[int] | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """Return `n` true samples, of the given modes or of all, and the mode of each."""
    m, rng = mixture_of(dataset), np.random.default_rng(seed)
    mode = rng.choice(np.arange(len(m.means)) if modes is None else modes, n)
    return m.means[mode] + m.stds[mode, None] * rng.normal(size=(n, m.means.shape[1])), mode


def value(kind: type[Metric], x: Array, dataset: Dataset = RING, **kwargs: Any) -> float:
    """Return a metric of x as one number."""
    metric = kind()
    found = metric.compute(Samples(x, dataset, **kwargs))
    return metric.combine(np.asarray(found)) if metric.per_generator else float(found)


def each(
    kind: type[Metric], x: Array, generator: NDArray[Any], generators: int, dataset: Dataset = RING
) -> list[float]:
    """Return a metric of x as one number per generator."""
    found = kind().compute(Samples(x, dataset, generator=generator, generators=generators))
    return [float(v) for v in np.asarray(found)]


# --- box and bins


@pytest.mark.parametrize(
    ("dataset", "half_width", "bins"),
    list(zip(PRESETS, [3, 2.4, 1.2, 5, 80], [50, 240, 240, 200, 160], strict=True)),
    ids=[dataset.name for dataset in PRESETS],
)
def test_the_rule_gives_the_grids_of_the_presets(dataset: Dataset, half_width: float, bins: int) -> None:
    """L and B of every preset equal those in the definition."""
    box = box_of(mixture_of(dataset))
    assert (box.half_width, box.bins) == (half_width, bins)


def _mixtures() -> Iterator[Mixture]:
    rng = np.random.default_rng(0)
    for _ in range(200):
        m, d = int(rng.integers(1, 9)), int(rng.integers(1, 3))
        means = rng.normal(size=(m, d)) * 10 ** rng.uniform(-3, 3) + 10 ** rng.uniform(-2, 2)
        stds = 10 ** rng.uniform(-2, 1) * rng.uniform(0.5, 2, m)
        yield Mixture(means, stds, rng.dirichlet(np.ones(m)))


def test_the_rule_holds_for_any_mixture() -> None:
    """The box extends five standard deviations beyond every mean, and is as small as its steps allow."""
    for m in _mixtures():
        box = box_of(m)
        need = np.abs(m.means - box.centre).max() + 5 * m.stds.max()
        assert need * (1 - 1e-6) <= box.half_width <= 1.3334 * need
        mantissa = box.half_width / 10 ** math.floor(math.log10(box.half_width) + 1e-9)
        assert min(abs(mantissa - size) for size in (1, 1.2, 1.5, 2, 2.4, 3, 4, 5, 6, 8)) < 1e-9
        most = 400 if m.means.shape[1] == 2 else 160_000
        width, std = 2 * box.half_width / box.bins, m.stds.min()
        assert box.bins == most or (box.bins % 10 == 0 and width <= std * (1 + 1e-6))
        assert box.bins in (10, most) or 2 * box.half_width / (box.bins - 10) > std


def test_a_plane_has_at_most_400_bins_an_axis() -> None:
    """If modes are narrow relative to the box, bins are wider than modes."""
    box = box_of(mixture_of(Ring8(Ring8.Params(variance=1e-6))))
    assert box.bins == 400
    assert 2 * box.half_width / box.bins > 1e-3


def test_cell_masses_agree_with_numerical_integration() -> None:
    """Masses of cells in a mode, between modes and far from modes equal those by quadrature."""
    m = Mixture(np.array([[0.0, 0.5], [1.0, -0.3]]), np.array([0.2, 0.4]), np.array([0.3, 0.7]))
    box = box_of(m)
    masses, step = box.masses(m), 2 * box.half_width / box.bins
    centres = box.centres(np.arange(box.outside))

    def density(y: float, x: float) -> float:
        squared = ((np.array([x, y]) - m.means) ** 2).sum(axis=1)
        return float((m.weights * np.exp(-squared / (2 * m.stds**2)) / (2 * np.pi * m.stds**2)).sum())

    for cell in (int(masses[:-1].argmax()), box.outside // 2, box.outside // 2 + 7, box.outside // 3):
        x, y = centres[cell]
        expected, _ = integrate.dblquad(density, x - step / 2, x + step / 2, y - step / 2, y + step / 2)
        assert masses[cell] == pytest.approx(expected, rel=1e-6, abs=1e-14)
    assert masses.sum() == pytest.approx(1, abs=1e-14)


def test_ring8_leaves_4e_13_outside() -> None:
    """The mass outside the box of `ring8` is 4e-13."""
    assert box_of(mixture_of(RING)).masses(mixture_of(RING))[-1] == pytest.approx(4e-13, rel=0.1)


def test_cells_agree_with_numpys_histogram() -> None:
    """Counts equal those of numpy.histogram2d, and all other points are in the last cell."""
    x = np.random.default_rng(0).normal(size=(N, 2)) * 2
    h = histogram(Samples(x, RING))
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=50, range=np.array([[-3.0, 3.0]] * 2))
    np.testing.assert_array_equal(h.model[:-1], counts.ravel() / N)
    assert h.model[-1] == pytest.approx((np.abs(x) > 3).any(axis=1).mean())


def test_cells_are_half_open_and_centres_lie_in_their_cells() -> None:
    """The box includes its lower edge but not its upper one, and the centre of a cell is in that cell."""
    box = Box(np.zeros(1), 1.0, 10)
    assert box.cells(np.array([[-1.0], [np.nextafter(1.0, 0)], [1.0], [-1.0001]])).tolist() == [0, 9, 10, 10]
    box = Box(np.array([0.3, -7.0]), 2.4, 240)
    np.testing.assert_array_equal(box.cells(box.centres(np.arange(box.outside))), np.arange(box.outside))


# --- calibration


def _calibration() -> dict[str, Array]:
    rng = np.random.default_rng(7)
    background, far = draw(RING, seed=1)[0], draw(RING, seed=2)[0]
    background[:500] = rng.uniform(-3, 3, (500, 2))
    far[:100] = 10
    means = mixture_of(RING).means
    return {
        "7 modes": draw(RING, seed=3, modes=[0, 1, 2, 4, 5, 6, 7])[0],
        "1 mode": draw(RING, seed=4, modes=[0])[0],
        "points": means[rng.integers(0, 8, N)],
        "background": background,
        "origin": np.zeros((N, 2)),
        "far": far,
    }


@pytest.fixture(scope="module")
def sets() -> dict[str, Array]:
    """Sample sets of the calibration table."""
    return _calibration()


@pytest.mark.parametrize(
    ("name", "kind", "expected", "tolerance"),
    [
        ("7 modes", ForwardKL, 1.40, 0.02),
        ("7 modes", ReverseKL, 0.158, 0.008),
        ("7 modes", SymmetricKL, 0.78, 0.012),
        ("7 modes", Wasserstein, 0.345, 0.03),
        ("7 modes", SlicedWasserstein, 0.215, 0.025),
        ("1 mode", ForwardKL, 10.0, 0.06),
        ("1 mode", ReverseKL, 2.083, 0.006),
        ("1 mode", SymmetricKL, 6.04, 0.03),
        ("1 mode", Wasserstein, 2.43, 0.01),
        ("1 mode", SlicedWasserstein, 1.545, 0.03),
        ("points", Wasserstein, 0.18, 0.025),
        ("points", SlicedWasserstein, 0.105, 0.012),
        ("background", ForwardKL, 0.10, 0.025),
        ("background", ReverseKL, 0.275, 0.02),
        ("background", SymmetricKL, 0.19, 0.015),
        ("background", Wasserstein, 0.05, 0.015),
        ("background", SlicedWasserstein, 0.02, 0.012),
        ("origin", Wasserstein, 2.006, 0.0015),
        ("far", Wasserstein, 0.159, 0.015),
    ],
)
def test_calibration(sets: dict[str, Array], name: str, kind: type[Metric], expected: float, tolerance: float) -> None:
    """Values agree with the calibration table within about three standard deviations."""
    assert value(kind, sets[name]) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("kind", "mean", "sd"),
    [
        (ForwardKL, 0.067, 0.0055),
        (ReverseKL, 0.028, 0.0015),
        (SymmetricKL, 0.047, 0.003),
        (Wasserstein, 0.031, 0.008),
        (SlicedWasserstein, 0.0145, 0.0055),
        (HighQuality, 1 - math.exp(-4.5), 0.00105),
        (ModeKL, 7 / (2 * N), 0.00019),
    ],
)
def test_noise_floor_of_the_true_mixture(kind: type[Metric], mean: float, sd: float) -> None:
    """Over 20 draws of the true mixture, the mean agrees with the floor within three standard errors."""
    values = [value(kind, draw(RING, seed=seed)[0]) for seed in range(20)]
    assert np.mean(values) == pytest.approx(mean, abs=3 * sd * math.sqrt(2 / 20))
    assert 0.5 * sd < np.std(values, ddof=1) < 1.6 * sd


@pytest.mark.parametrize("m", [1, 4, 7])
def test_reverse_kl_of_missing_modes_is_a_logarithm(m: int) -> None:
    """With m of 8 perfect modes, reverse KL is log(8/m) plus noise of at most 0.034."""
    excess = value(ReverseKL, draw(RING, modes=list(range(m)))[0]) - math.log(8 / m)
    assert 0 < excess < 0.034


def test_true_ring8_has_every_mode() -> None:
    """Both rules count all eight modes."""
    x, _ = draw(RING)
    assert value(Modes, x) == value(Modes10Pct, x) == 8


# --- independent implementations


def test_divergences_agree_with_scipys_entropy() -> None:
    """Expected values are from numpy.histogram2d, scipy.stats.norm and scipy.stats.entropy."""
    x, _ = draw(GRID, seed=5)
    x[:300] += 3
    x[300:320] += 30
    edges = np.linspace(-5, 5, 201)
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=[edges, edges])
    axis = [np.diff(stats.norm.cdf(edges, loc=c, scale=0.05)) for c in (-4, -2, 0, 2, 4)]
    true = np.outer(sum(axis), sum(axis)) / 25
    p = np.append(true.ravel(), 1 - true.sum()) * (1 - 1e-4) + 1e-4 / 40_001
    q = np.append(counts.ravel(), N - counts.sum()) / N * (1 - 1e-4) + 1e-4 / 40_001
    forward, reverse = stats.entropy(p, q), stats.entropy(q, p)
    assert value(ForwardKL, x, GRID) == pytest.approx(forward, rel=1e-9)
    assert value(ReverseKL, x, GRID) == pytest.approx(reverse, rel=1e-9)
    assert value(SymmetricKL, x, GRID) == pytest.approx((forward + reverse) / 2, rel=1e-9)


def test_divergences_on_a_line_agree_with_scipys_entropy() -> None:
    """Values agree also in one dimension and for modes of different widths."""
    x, _ = draw(LINE, seed=5, modes=[0, 2, 3])
    edges = np.linspace(-20, 140, 161)
    m = mixture_of(LINE)
    true = np.mean([np.diff(stats.norm.cdf(edges, c, s)) for c, s in zip(m.means[:, 0], m.stds, strict=True)], 0)
    p = np.append(true, 1 - true.sum()) * (1 - 1e-4) + 1e-4 / 161
    q = np.append(np.histogram(x, edges)[0] / N, 0) * (1 - 1e-4) + 1e-4 / 161
    assert value(ForwardKL, x, LINE) == pytest.approx(stats.entropy(p, q), rel=1e-9)
    assert value(ReverseKL, x, LINE) == pytest.approx(stats.entropy(q, p), rel=1e-9)


def test_divergences_are_bounded() -> None:
    """With all samples outside, reverse KL is finite and slightly below log(cells / ε) = 17.03 nats."""
    x = np.full((N, 2), 100.0)
    assert value(ReverseKL, x) == pytest.approx(math.log(2501 / 1e-4), abs=0.01)
    assert 10 < value(ForwardKL, x) < math.log(2501 / 1e-4)


def _linear_program(a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
    """Return the smallest cost of transport, as a general linear program."""
    (x, p), (y, q) = a, b
    rows = np.kron(np.eye(len(p)), np.ones(len(q)))
    columns = np.kron(np.ones(len(p)), np.eye(len(q)))
    cost = np.linalg.norm(x[:, None] - y[None], axis=-1).ravel()
    solved = optimize.linprog(cost, A_eq=np.vstack([rows, columns]), b_eq=np.append(p, q), method="highs")
    return float(solved.fun)


def test_transport_agrees_with_a_linear_program() -> None:
    """Costs of small weighted sets in the plane equal those by scipy's linear programming."""
    rng = np.random.default_rng(0)
    for n, m in ((1, 5), (12, 9), (20, 20)):
        a = rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n))
        b = rng.normal(size=(m, 2)) + 1, rng.dirichlet(np.ones(m))
        assert transport_cost(a, b) == pytest.approx(_linear_program(a, b), rel=1e-7)


def test_transport_on_a_line_agrees_with_scipy() -> None:
    """The closed form in one dimension equals scipy.stats.wasserstein_distance."""
    rng = np.random.default_rng(0)
    x, p, y, q = (
        rng.normal(size=40),
        rng.dirichlet(np.ones(40)),
        rng.normal(size=9),
        rng.dirichlet(np.ones(9)),
    )
    found = transport_cost((x[:, None], p), (y[:, None], q))
    assert found == pytest.approx(stats.wasserstein_distance(x, y, p, q), rel=1e-9)


def test_wasserstein_agrees_with_its_definition() -> None:
    """Expected atoms are from numpy.histogram2d and scipy.stats.norm, and the cost from another function of POT."""
    x, _ = draw(RING, n=2000, seed=8, modes=[0, 1, 5])
    x[:50] += 4  # outside
    edges = np.linspace(-3, 3, 51)
    middle = (edges[1:] + edges[:-1]) / 2
    places = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    m = mixture_of(RING)
    along = [[np.diff(stats.norm.cdf(edges, c, m.stds[0])) for c in mean] for mean in m.means]
    true = np.mean([np.outer(a, b) for a, b in along], axis=0).ravel()
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=[edges, edges])[0].ravel()
    outside = x[(np.abs(x) >= 3).any(axis=1)]
    p, q = true[true > 1e-7], np.append(counts[counts > 0], np.ones(len(outside))) / 2000
    model = np.vstack([places[counts > 0], outside])
    cost = ot.solve_sample(places[true > 1e-7], model, p / p.sum(), q, metric="euclidean").value
    assert value(Wasserstein, x) == pytest.approx(float(cost), rel=1e-6)


def test_wasserstein_on_a_line_agrees_with_scipy() -> None:
    """Bins have width 1, so that the value differs by at most 1/2 from scipy's for the samples themselves."""
    x, _ = draw(LINE, seed=1, modes=[0, 1, 4])
    x[:100] = 400
    exact = stats.wasserstein_distance(x.ravel(), draw(LINE, n=200_000, seed=2)[0].ravel())
    assert value(Wasserstein, x, LINE) == pytest.approx(exact, abs=0.3)


def test_wasserstein_of_one_point_is_its_mean_distance() -> None:
    """If all samples are one far point, the value is its mean distance to the true mixture."""
    x = np.full((N, 2), 300.0)
    true = draw(RING, n=400_000)[0]
    assert value(Wasserstein, x) == pytest.approx(np.linalg.norm(true - 300, axis=1).mean(), abs=0.02)


def test_a_thousand_outside_samples_keep_their_places() -> None:
    """Each of up to 1,000 samples outside is an atom of mass 1/n."""
    x, _ = draw(RING, n=2000)
    x[:1000] = np.arange(1000)[:, None] + [10, 0]
    places, masses = wasserstein._model_atoms(histogram(Samples(x, RING)), Samples(x, RING).x)
    np.testing.assert_array_equal(places[-1000:], x[:1000])
    np.testing.assert_allclose(masses[-1000:], 1 / 2000)
    assert masses.sum() == pytest.approx(1)


def test_above_a_thousand_outside_samples_a_thousand_stand_for_all() -> None:
    """1,000 samples, evenly spaced in order, have the whole mass outside. The distance changes by at most 0.1 %."""
    x, _ = draw(RING, n=5000)
    x[:3500] = np.stack([np.linspace(10, 20, 3500), np.zeros(3500)], axis=1)
    samples = Samples(x, RING)
    h = histogram(samples)
    places, masses = wasserstein._model_atoms(h, samples.x)
    assert (places[:, 0] >= 10).sum() == 1000
    assert masses[-1000:].sum() == pytest.approx(0.7)
    assert masses.sum() == pytest.approx(1)
    gaps = np.diff(places[-1000:, 0]) * 3499 / 10
    assert set(np.rint(gaps).astype(int)) == {3, 4}
    everything = np.vstack([places[:-1000], x[:3500]]), np.append(masses[:-1000], np.full(3500, 1 / 5000))
    full = transport_cost(wasserstein._true_atoms(h), everything)
    assert Wasserstein().compute(samples) == pytest.approx(full, rel=1e-3)


def test_a_solver_that_stops_early_is_an_error(monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """A solver that stops before the optimum is an error."""
    monkeypatch.setattr(wasserstein, "ITERATIONS", 3)
    with pytest.raises(RunError) as caught:
        value(Wasserstein, draw(RING, n=500)[0])
    place, problem, _ = str(caught.value).split(": ", 2)  # the rest is POT's
    messages.check(f"{place}: {problem}", "wasserstein")


def _cdf_distance(x: Array, m: Mixture, direction: Array) -> float:
    """Return ∫|F_n - F| along a direction, by the trapezoid rule on a fine grid."""
    projected, centres = np.sort(x @ direction), m.means @ direction
    low = min(projected[0], centres.min()) - 8 * m.stds.max()
    t = np.linspace(low, max(projected[-1], centres.max()) + 8 * m.stds.max(), 20_001)
    true = (m.weights[:, None] * special.ndtr((t - centres[:, None]) / m.stds[:, None])).sum(axis=0)
    return float(integrate.trapezoid(np.abs(np.searchsorted(projected, t, side="right") / len(x) - true), t))


@pytest.mark.parametrize("modes", [[0, 1, 2], [4]])
def test_sliced_wasserstein_agrees_with_the_distance_of_distribution_functions(modes: list[int]) -> None:
    """Along the same directions, the mean of ∫|F_n - F| equals the value from sorted sets."""
    x, _ = draw(RING, n=2000, seed=3, modes=modes)
    expected = [_cdf_distance(x, mixture_of(RING), u) for u in _directions(2, 9)]
    assert value(SlicedWasserstein, x, seed=9) == pytest.approx(np.mean(expected), rel=2e-3)


def test_sliced_wasserstein_takes_unequal_modes() -> None:
    """Modes may have unequal weights and widths, in three dimensions."""
    m = Mixture(np.array([[0.0, 0, 0], [3, 1, -2]]), np.array([0.5, 1.5]), np.array([0.15, 0.85]))
    x = np.random.default_rng(0).normal(size=(3001, 3))
    expected = [_cdf_distance(x, m, u) for u in _directions(3, 0)]
    assert value(SlicedWasserstein, x, Fixed(m)) == pytest.approx(np.mean(expected), rel=2e-3)


def test_sliced_wasserstein_on_a_line_is_the_wasserstein_distance() -> None:
    """In one dimension there is one direction, and the value equals scipy's distance to the true mixture."""
    x, _ = draw(LINE, seed=1, modes=[1, 3])
    exact = _cdf_distance(x, mixture_of(LINE), np.ones(1))
    assert value(SlicedWasserstein, x, LINE) == pytest.approx(exact, rel=1e-3)
    assert exact == pytest.approx(
        stats.wasserstein_distance(x.ravel(), draw(LINE, n=400_000, seed=2)[0].ravel()), rel=0.01
    )


def test_directions_are_uniform_on_the_sphere() -> None:
    """The 200 directions are unit vectors without a preferred axis."""
    u = _directions(3, 0)
    assert u.shape == (200, 3)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1)
    np.testing.assert_allclose((u**2).mean(axis=0), 1 / 3, atol=0.07)


def _by_hand(x: Array, m: Mixture) -> tuple[list[int], list[bool]]:
    """Return mode and quality of each sample, computed in a loop."""
    modes, good = [], []
    for point in x:
        distances = [math.dist(point, mean) / std for mean, std in zip(m.means, m.stds, strict=True)]
        modes.append(distances.index(min(distances)))
        good.append(min(distances) < 3)
    return modes, good


@pytest.mark.parametrize("dataset", [RING, GRID, LINE], ids=lambda dataset: dataset.name)
def test_mode_metrics_agree_with_counting_by_hand(dataset: Dataset) -> None:
    """Coverage, quality and evenness equal those of a loop over samples and of scipy's entropy."""
    x, _ = draw(dataset, n=1000, seed=4, modes=[0, 1, 1, 1, 1, 3])
    m = mixture_of(dataset)
    x[:15] = m.means[2]  # below a tenth of the true share on ring and line, above it on the grid
    x[15:200] += 2.9 * m.stds.max()
    modes, good = _by_hand(x, m)
    counts = np.bincount(np.array(modes)[good], minlength=len(m.means))
    assert value(HighQuality, x, dataset) == np.mean(good) < 0.95
    assert value(Modes, x, dataset) == (counts > 0).sum()
    assert value(Modes10Pct, x, dataset) == (counts >= 0.1 * 1000 / len(counts)).sum()
    assert value(ModeKL, x, dataset) == pytest.approx(stats.entropy(counts, m.weights))


def test_one_lucky_point_makes_a_mode_but_no_tenth() -> None:
    """The published rule counts a mode with one sample. The other rule requires a tenth of the true share."""
    x, _ = draw(RING, modes=[0])
    x[0] = mixture_of(RING).means[5]
    assert (value(Modes, x), value(Modes10Pct, x)) == (2, 1)
    x[:124] = mixture_of(RING).means[5]
    assert value(Modes10Pct, x) == 1
    x[:125] = mixture_of(RING).means[5]  # 10,000 / 8 / 10
    assert value(Modes10Pct, x) == 2


def test_high_quality_is_strictly_within_three_standard_deviations() -> None:
    """The boundary is excluded, as in PacGAN's code. The nearest mode is that of the fewest standard deviations."""
    m = Mixture(np.array([[0.0], [10.0]]), np.array([1.0, 4.0]), np.array([0.5, 0.5]))
    x = np.array([[2.999], [-3.0], [3.0], [4.0], [21.9]])
    assert value(HighQuality, x[:2], Fixed(m)) == 0.5
    assert value(HighQuality, x[2:], Fixed(m)) == 1
    assert value(ModeKL, x[2:], Fixed(m)) == pytest.approx(math.log(2))  # all of them in the wide mode


@pytest.mark.parametrize("dataset", [RING, GRID, LINE])
def test_classes_of_points_are_modes_by_number(dataset: Dataset) -> None:
    """Classes are in the order of the means. A point more than three standard deviations from all modes has none."""
    m = mixture_of(dataset)
    far = np.abs(m.means).max() + 10 * m.stds.max() + np.zeros_like(m.means[:1])
    found = Purity().classes(Samples(np.concatenate([m.means, far]), dataset))
    assert found.label.tolist() == [*range(len(m.means)), -1]
    assert found.names == tuple(map(str, range(len(m.means)))) and not found.exhaustive


def test_mode_kl_measures_against_the_weights() -> None:
    """The value is 0 for exact shares of unequal weights, and log(M/m) for equal shares of m of M modes."""
    m = Mixture(np.array([[0.0], [10.0]]), np.ones(2), np.array([0.25, 0.75]))
    assert value(ModeKL, np.array([[0.0], [10], [10], [10]]), Fixed(m)) == pytest.approx(0, abs=1e-12)
    x = np.repeat(mixture_of(RING).means[:2], 10, axis=0)
    assert value(ModeKL, x) == pytest.approx(math.log(4))


# --- per generator


def test_purity_modes_and_quality_of_generators() -> None:
    """The generators have one mode, three modes, only distant samples, and no samples."""
    means = mixture_of(RING).means
    x = np.concatenate(
        [means[[0] * 100], means[[1] * 60 + [2] * 38 + [3]], np.full((1, 2), 9.0), np.full((50, 2), 9.0)]
    )
    generator = np.repeat([0, 1, 2], [100, 100, 50])
    purity = each(Purity, x, generator, 4)
    assert purity[:2] == [1.0, 60 / 99]
    assert np.isnan(purity[2:]).all()
    assert each(GeneratorModes, x, generator, 4)[:3] == [1, 3, 0]
    assert each(GeneratorHighQuality, x, generator, 4)[:3] == [1.0, 0.99, 0.0]
    assert each(DeadGenerators, x, generator, 4)[:3] == [0, 0, 1]
    for kind in (GeneratorModes, GeneratorHighQuality, DeadGenerators):
        assert math.isnan(each(kind, x, generator, 4)[3])


def test_a_generators_mode_needs_one_percent() -> None:
    """A mode with 1 of 100 samples counts, and a mode with 1 of 101 does not."""
    means = mixture_of(RING).means
    assert each(GeneratorModes, means[[0] * 99 + [1]], np.zeros(100, int), 1) == [2]
    assert each(GeneratorModes, means[[0] * 100 + [1]], np.zeros(101, int), 1) == [1]


def test_dead_generators() -> None:
    """A generator is dead below 5 % high quality, or if a better one has the same most frequent mode."""
    means = mixture_of(RING).means
    far = np.full((96, 2), 9.0)
    x = np.concatenate(
        [
            means[[0] * 90], far[:10],  # 0.9 in mode 0, less than the next
            means[[0] * 95], far[:5],  # 0.95 in mode 0
            means[[3] * 4], far,  # 4 % somewhere
            means[[5] * 100],  # equal to the next
            means[[5] * 100],
        ]
    )  # fmt: skip
    generator = np.repeat(np.arange(5), 100)
    assert each(DeadGenerators, x, generator, 5) == [1, 0, 1, 0, 1]
    assert value(DeadGenerators, x, generator=generator, generators=5) == 3


def test_collapsed_generators_are_dead_but_one() -> None:
    """Of eight generators on one point, seven are dead."""
    x = np.repeat(mixture_of(RING).means[:1], 800, axis=0)
    assert value(DeadGenerators, x, generator=np.arange(800) % 8, generators=8) == 7


def test_mutual_information_agrees_with_entropies() -> None:
    """The value equals H(generator) + H(mode) - H(both) by scipy's entropy, over high-quality samples."""
    x, mode = draw(GRID, n=5000)
    rng = np.random.default_rng(1)
    generator = np.where(rng.random(5000) < 0.5, mode % 4, rng.integers(0, 4, 5000))
    modes, good = _by_hand(x, mixture_of(GRID))
    joint = np.zeros((4, 25))
    np.add.at(joint, (generator[good], np.array(modes)[good]), 1)
    expected = stats.entropy(joint.sum(0)) + stats.entropy(joint.sum(1)) - stats.entropy(joint.ravel())
    assert value(MutualInformation, x, GRID, generator=generator, generators=4) == pytest.approx(expected)


def test_mutual_information_from_nothing_to_log_k() -> None:
    """The value is log 8 for one mode per generator, and (K-1)(M-1)/2n = 0.0025 for independent indices."""
    x, mode = draw(RING)
    perfect = value(MutualInformation, x, generator=mode, generators=8)
    assert perfect == pytest.approx(math.log(8), abs=0.003)
    shuffled = np.random.default_rng(1).permutation(mode)
    assert value(MutualInformation, x, generator=shuffled, generators=8) == pytest.approx(0.00245, abs=0.0016)
    assert value(MutualInformation, x, generator=np.zeros(N, int)) == pytest.approx(0, abs=1e-12)


def test_divergence_of_generators_agrees_with_scipy() -> None:
    """For two generators the value is the square of scipy's Jensen-Shannon distance."""
    rng = np.random.default_rng(0)
    cells, generator = (
        np.concatenate([rng.integers(0, 9, 300), rng.integers(3, 12, 700)]),
        np.repeat([0, 1], [300, 700]),
    )
    p, q = (np.bincount(cells[generator == k], minlength=12) for k in (0, 1))
    assert divergence(cells, generator) == pytest.approx(spatial.distance.jensenshannon(p, q) ** 2)


def test_the_correction_removes_the_bias_of_the_divergence() -> None:
    """For identical generators, the value is 0.036 on 20 bins and 0.136 on 50 without the correction, and 0 with it."""
    rng = np.random.default_rng(3)
    generator = np.arange(N) % 8
    plain: dict[int, list[float]] = {20: [], 50: []}
    corrected = []
    for seed in range(8):
        x, _ = draw(RING, seed=seed)
        for bins, values in plain.items():
            values.append(divergence(Box(np.zeros(2), 3.0, bins).cells(x), rng.permutation(generator)))
        corrected.append(value(GeneratorJSD, x, generator=generator, generators=8))
    assert np.mean(plain[20]) == pytest.approx(0.036, abs=0.002)
    assert np.mean(plain[50]) == pytest.approx(0.136, abs=0.004)
    assert np.mean(corrected) == pytest.approx(0, abs=0.001)
    assert max(map(abs, corrected)) < 0.004


def test_divergence_of_generators_on_a_mode_each() -> None:
    """The value is log K minus the correction for disjoint generators, and 0 for K = 1."""
    x, mode = draw(RING)
    assert math.log(8) - 0.045 < value(GeneratorJSD, x, generator=mode, generators=8) < math.log(8)
    assert value(GeneratorJSD, x, generator=np.zeros(N, int)) == 0


# --- invariances and edges


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_the_order_of_samples_is_nothing(kind: type[Metric]) -> None:
    """Values do not depend on the order of samples, except for the shuffles of the correction."""
    x, mode = draw(RING, n=2000, modes=[0, 1, 1, 2])
    order = np.random.default_rng(0).permutation(2000)
    first = value(kind, x, generator=mode, generators=8)
    again = value(kind, x[order], generator=mode[order], generators=8)
    assert again == pytest.approx(first, rel=1e-6, abs=0.01 if kind is GeneratorJSD else 1e-9, nan_ok=True)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_data_units_scale_with_the_data(kind: type[Metric]) -> None:
    """If ring and samples are ten times as large, distances are too, and other values do not change."""
    x, mode = draw(RING, n=2000, modes=[0, 1, 1, 2])
    large = Ring8(Ring8.Params(radius=20.0, variance=2.0))
    factor = 10 if kind().unit == "data units" else 1
    expected = factor * value(kind, x, generator=mode, generators=8)
    found = value(kind, 10 * x, large, generator=mode, generators=8)
    assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_values_are_repeatable_and_independent_of_other_metrics(kind: type[Metric]) -> None:
    """Values that other metrics store for the same samples do not change the result."""
    x, mode = draw(RING, n=500)
    shared = Samples(x, RING, generator=mode, generators=8)
    for other in EVERY:
        other().compute(shared)
    alone = kind().compute(Samples(x, RING, generator=mode, generators=8))
    np.testing.assert_array_equal(kind().compute(shared), alone)


COLLAPSED = {
    "identical": np.full((300, 2), 0.123),
    "a mode's centre": np.repeat(mixture_of(RING).means[:1], 300, axis=0),
    "outside": np.random.default_rng(0).normal(size=(3000, 2)) + 50,
    "the box's corners": np.repeat([[-3.0, -3.0], [3.0, 3.0], [3.0, -3.0]], 100, axis=0),
    "the end of float32": np.full((300, 2), 3.4e38),
    "one sample": np.zeros((1, 2)),
}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", COLLAPSED)
def test_collapsed_samples_have_a_value(kind: type[Metric], name: str) -> None:
    """There are no errors or warnings. Only metrics that divide by high-quality samples are NaN without any."""
    x = COLLAPSED[name]
    found = value(kind, x, generator=np.arange(len(x)) % 4, generators=4)
    undefined = kind in (ModeKL, Purity, MutualInformation) and name != "a mode's centre"
    assert math.isnan(found) == undefined


@pytest.mark.parametrize("kind", BY_GENERATOR, ids=lambda kind: kind.name)
def test_without_an_index_generators_have_no_value(kind: type[Metric]) -> None:
    """Values are NaN for samples without an index, also for each of K generators."""
    x, _ = draw(RING, n=100)
    assert math.isnan(value(kind, x))
    assert np.isnan(kind().compute(Samples(x, RING, generators=3))).all()


def test_data_without_a_density_are_refused(messages: Messages) -> None:
    """Every metric refuses a dataset without a density."""
    messages.check(refusal(EVERY, Fixed(None)), "METRIC", "fixed")
    assert all(kind().refuses(dataset) is None for kind in EVERY for dataset in (RING, LINE))


def test_only_histograms_need_few_dimensions(messages: Messages) -> None:
    """In ten dimensions, metrics on modes have values, and metrics on histograms refuse."""
    means = 10 * np.eye(10)
    dataset = Fixed(Mixture(means, np.ones(10), np.full(10, 0.1)))
    messages.check(refusal(HISTOGRAM, dataset), "METRIC", "fixed", "(10,)")
    x, mode = draw(dataset, n=5000)
    for kind in ANY_DIMENSION:
        assert kind().refuses(dataset) is None
        assert math.isfinite(value(kind, x, dataset, generator=mode, generators=10))
    expected = float(stats.chi2(10).cdf(9))  # within three standard deviations in ten dimensions
    assert value(HighQuality, x, dataset) == pytest.approx(expected, abs=0.025)


def test_every_metric_of_the_zoo_is_tested_here() -> None:
    """This test fails for a new metric until it is in these lists."""
    from gan_bench_zoo import gan_bench_metrics

    mixture_metrics = {kind for kind in gan_bench_metrics() if kind().refuses(RING) is None}
    assert mixture_metrics == set(EVERY)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_metrics_describe_themselves(kind: type[Metric]) -> None:
    """Metrics have a direction, a unit, and a first line of documentation that fits a terminal."""
    assert kind.direction in ("lower", "higher", "none")
    assert kind.unit in ("nats", "data units", "modes", "share", "generators")
    assert (kind.scale == "share") == (kind.unit == "share")
    assert (kind.scale == "count") == (kind.unit in ("modes", "generators"))
    assert kind.__doc__ is not None and len(kind.__doc__.splitlines()[0]) <= 110
    assert kind.expensive == (kind is Wasserstein)
