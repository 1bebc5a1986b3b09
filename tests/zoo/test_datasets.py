"""Tests of the Gaussian mixture datasets."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import (
    MADGAN1D,
    GaussianMixture,
    Grid25,
    Ring8,
    Ring8Unrolled,
    Ring8VEEGAN,
)

from gan_bench.contracts.parameters import resolve

ALL = [Ring8, Ring8Unrolled, Ring8VEEGAN, Grid25, MADGAN1D]
every = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)


def make(kind: type[GaussianMixture], **params: object) -> GaussianMixture:
    """Return a dataset with the given parameters."""
    return kind(kind.Params(**params))


def rng(seed: int = 0) -> torch.Generator:
    """Return a random generator in a known state."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("kind", "radius", "std"),
    [(Ring8, 2, math.sqrt(0.02)), (Ring8Unrolled, 2, 0.02), (Ring8VEEGAN, 1, 0.01)],
)
def test_rings_are_those_of_the_papers(kind: type[GaussianMixture], radius: float, std: float) -> None:
    """Mode m of 8 is at (r sin t, r cos t), t = 2πm/8, with the standard deviation of the paper."""
    mixture = make(kind).mixture
    h = radius / math.sqrt(2)
    right = [(0, radius), (h, h), (radius, 0), (h, -h)]
    expected = [*right, *((-x, -y) for x, y in right)]
    np.testing.assert_allclose(mixture.means, expected, atol=1e-12)
    np.testing.assert_allclose(mixture.stds, std, rtol=1e-12)
    np.testing.assert_allclose(mixture.weights, 1 / 8)


def test_ring8_has_eight_distinct_modes_evenly_spaced() -> None:
    """No point of the circle occurs twice: the distance of all neighbours is 4 sin(π/8) = 1.53."""
    means = make(Ring8).mixture.means
    gaps = np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 4 * math.sin(math.pi / 8))


def test_grid25_is_the_grid_of_pacgan() -> None:
    """There are 25 modes at -4, -2, 0, 2, 4 along both axes, with standard deviation 0.05."""
    mixture = make(Grid25).mixture
    assert sorted(map(tuple, mixture.means.tolist())) == [
        (float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    ]
    assert mixture.stds.tolist() == [0.05] * 25


def test_mad_gan_1d_is_the_mixture_of_its_code() -> None:
    """Means on a line are 10, 20, 60, 80, 110, and standard deviations 3, 3, 2, 2, 1."""
    dataset = make(MADGAN1D)
    assert dataset.shape == (1,)
    assert dataset.mixture.means.ravel().tolist() == [10, 20, 60, 80, 110]
    assert dataset.mixture.stds.tolist() == [3, 3, 2, 2, 1]


@every
def test_draws_have_the_contracts_types(kind: type[GaussianMixture]) -> None:
    """x is (n, *shape) float32, label is (n,) int64 in 0…M-1, and index is None."""
    dataset = make(kind)
    real = dataset.draw(100, rng())
    assert real.x.shape == (100, *dataset.shape)
    assert real.x.dtype == torch.float32
    assert real.label is not None and real.label.shape == (100,) and real.label.dtype == torch.int64
    assert dataset.classes == len(dataset.mixture.means)
    assert set(real.label.tolist()) <= set(range(dataset.classes))
    assert real.index is None


@every
def test_draws_are_a_pure_function_of_the_generators_state(kind: type[GaussianMixture]) -> None:
    """A draw depends only on the state of the generator, not on earlier draws."""
    used = make(kind)
    used.draw(7, rng(5))
    first, again, other = used.draw(64, rng(1)), make(kind).draw(64, rng(1)), used.draw(64, rng(2))
    assert torch.equal(first.x, again.x)
    assert first.label is not None and again.label is not None
    assert torch.equal(first.label, again.label)
    assert not torch.equal(first.x, other.x)


def test_held_out_data_are_a_draw_of_their_own() -> None:
    """Held-out data of a stream equal a draw with the same generator."""
    dataset = make(Ring8)
    assert torch.equal(dataset.held_out(50, rng(3)).x, dataset.draw(50, rng(3)).x)


def test_draws_leave_the_global_generator_alone() -> None:
    """Draws use only the given generator."""
    global_state = torch.random.get_rng_state()
    make(Grid25).draw(100, rng())
    assert torch.equal(global_state, torch.random.get_rng_state())


@every
def test_draws_follow_the_density_they_claim(kind: type[GaussianMixture]) -> None:
    """Shares, means and standard deviations of the modes agree within five standard errors."""
    dataset, n = make(kind), 100_000
    real, m = dataset.draw(n, rng()), dataset.mixture
    assert real.label is not None
    x, label = real.x.double().numpy(), real.label.numpy()
    share = np.bincount(label, minlength=len(m.means)) / n
    assert (np.abs(share - m.weights) < 5 * np.sqrt(m.weights / n)).all()
    for mode, (mean, std) in enumerate(zip(m.means, m.stds, strict=True)):
        points = x[label == mode]
        error = std / math.sqrt(len(points))
        assert (np.abs(points.mean(axis=0) - mean) < 5 * error + 1e-5).all()
        assert (np.abs(points.std(axis=0) - std) < 5 * error).all()


def test_parameters_change_what_they_name() -> None:
    """Parameters change the mixture."""
    mixture = make(Ring8, modes=3, radius=5.0, variance=0.25).mixture
    assert mixture.means.shape == (3, 2)
    np.testing.assert_allclose(np.linalg.norm(mixture.means, axis=1), 5)
    np.testing.assert_allclose(mixture.stds, 0.5)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Ring8, {"modes": 0}),
        (Ring8, {"radius": 0}),
        (Ring8, {"variance": -0.02}),
        (Ring8, {"variance": math.nan}),
        (Ring8Unrolled, {"variance": 0}),
        (Grid25, {"side": 0}),
        (Grid25, {"std": 0}),
        (Grid25, {"spacing": math.inf}),
        (MADGAN1D, {"stds": [3, 3, 2, 2, 0]}),
        (MADGAN1D, {"means": [1, 2]}),
        (MADGAN1D, {"means": [], "stds": []}),
    ],
)
def test_impossible_parameters_are_refused(kind: type[GaussianMixture], given: dict[str, Any]) -> None:
    """Every impossible value is reported once, and no parameters are returned."""
    problems: list[str] = []
    assert resolve(kind.Params, given, lambda path, message: problems.append(message)) is None
    assert len(problems) == 1


def test_a_density_needs_no_torch() -> None:
    """A dataset and its mixture do not import torch."""
    code = (
        "import sys; from gan_bench_zoo.datasets.gaussian_mixtures import Ring8; "
        "Ring8(Ring8.Params()).mixture; print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # torch warns once that this mode is a prototype
def test_draws_on_a_gpu_do_not_synchronise() -> None:
    """After the first draw, no call synchronises with the device."""
    dataset, generator = make(Ring8), torch.Generator("cuda").manual_seed(0)
    dataset.draw(512, generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        real = dataset.draw(512, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert real.x.device.type == "cuda"
