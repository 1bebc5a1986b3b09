"""Tests of warnings about samples that are valid and yet implausible."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics.generators import Purity
from gan_bench_zoo.metrics.modes import Modes
from numpy.typing import NDArray

from gan_bench.cli.score import command
from gan_bench.contracts.images import ImageDataset, Pictures, to_pixels
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.errors import UsageError
from gan_bench.evaluation.score_samples import score
from tests.support.messages import Messages

RING = Ring8(Ring8.Params())


class Gradients(ImageDataset):
    """Smooth images, red above green above blue."""

    name = "gradients"
    shape = (3, 12, 12)

    @dataclass(frozen=True)
    class Params:
        """Bounds of the pixels."""

        values: str = "signed"

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        rng = np.random.default_rng(0)
        ramp = np.linspace(0, 1, 12)
        slopes = rng.uniform(-90, 90, size=(2, 200, 1, 1, 1))
        colours = np.array([160, 120, 60])[:, None, None] + rng.normal(0, 5, (200, 3, 1, 1))
        x = colours + slopes[0] * (ramp - 0.5) + slopes[1] * (ramp[:, None] - 0.5)
        return np.clip(x, 0, 255).astype(np.uint8)

    def training(self) -> Pictures:
        """100 images."""
        return Pictures(self._images[:100])

    def testing(self) -> Pictures:
        """100 other images."""
        return Pictures(self._images[100:])


class Mean(Metric):
    """Mean level, so that no network is needed."""

    name = "mean"
    direction = "none"
    unit = "levels"

    def compute(self, samples: Samples) -> float:
        """Mean level of all pixels."""
        assert samples.pixels is not None
        return float(samples.pixels.double().mean())


DATA = Gradients(Gradients.Params())
UNIT = Gradients(Gradients.Params("unit"))
REAL = DATA.testing().x


def scored(x: NDArray[Any], data: ImageDataset = DATA) -> tuple[float, list[str]]:
    """Mean level of samples, and the warnings."""
    warnings: list[str] = []
    (found,) = score(x, data, [Mean()], where="s.npy", warn=warnings.append)
    return found.value, warnings


class TestImages:
    @pytest.mark.parametrize(
        "x", [REAL, REAL / 127.5 - 1, REAL[:1], np.random.default_rng(0).integers(0, 256, REAL.shape, dtype=np.uint8)]
    )
    def test_plausible(self, x: NDArray[Any]) -> None:
        """Real images, one image and noise cause no warning."""
        assert scored(x)[1] == []

    @pytest.mark.parametrize(
        ("x", "data", "part"),
        [
            (REAL / 255, DATA, "128 to 252"),
            ((REAL / 255).astype(np.uint8), DATA, "0 to 0"),
            (REAL / 255**2, UNIT, "0 to 1"),
            (REAL[:, ::-1], DATA, "BGR"),
            (REAL[:, [1, 2, 0]], DATA, "GBR"),
            (REAL.transpose(0, 2, 3, 1).reshape(REAL.shape), DATA, "interleaved"),
            (255 - REAL // 4, DATA, "193 to 255"),
        ],
        ids=["unit", "uint8 of 0 and 1", "divided twice", "BGR", "GBR", "interleaved", "bright"],
    )
    def test_implausible(self, x: NDArray[Any], data: ImageDataset, part: str, messages: Messages) -> None:
        """A wrong range or order of channels causes one warning with what was found. The samples are scored."""
        value, (warning,) = scored(x, data)
        assert np.isfinite(value)
        messages.check(warning, "s.npy", part)

    @pytest.mark.parametrize("data", [DATA, UNIT])
    def test_rounding_is_clamped(self, data: ImageDataset) -> None:
        """Values up to half a level outside the bounds are the nearest level, without a warning."""
        low, high = data.bounds
        x = low + REAL.astype(np.float64) / 255 * (high - low)
        x[0, 0, 0, 0], x[0, 0, 0, 1] = low - (high - low) / 520, high + 1e-6
        expected = REAL.copy()
        expected[0, 0, 0, :2] = 0, 255
        assert scored(x, data) == (pytest.approx(float(expected.mean()), abs=1e-9), [])

    @pytest.mark.parametrize("end", [-1.005, 1.005])
    def test_values_outside_are_refused_with_enough_digits(self, end: float, messages: Messages) -> None:
        """The range in the message lies outside the bounds in the message."""
        x = REAL / 127.5 - 1
        x[3, 0, 0, 0] = end
        with messages.raises(UsageError, f"{end:.4g}", "-1 and 1"):
            score(x, DATA, [Mean()], where="s.npy")

    @pytest.mark.parametrize(
        ("x", "data", "parts"),
        [
            (REAL.astype(np.int64), DATA, ["int64", "uint8"]),
            (REAL / 127.5 - 1, UNIT, ["values=signed"]),
            (REAL.transpose(0, 2, 3, 1), DATA, ["(100, 12, 12, 3)", "transpose(0, 3, 1, 2)"]),
        ],
        ids=["int64", "signed", "channels last"],
    )
    def test_refused_with_a_remedy(
        self, x: NDArray[Any], data: ImageDataset, parts: list[str], messages: Messages
    ) -> None:
        """A range or shape that is common elsewhere is refused with the conversion."""
        with messages.raises(UsageError, *parts):
            score(x, data, [Mean()], where="s.npy")

    def test_nan_is_counted_and_located(self, messages: Messages) -> None:
        """The message has the number of samples with NaN, the first, and the position in it."""
        x = REAL / 127.5 - 1
        x[7, 1, 2, 3] = x[9] = np.nan
        with messages.raises(UsageError, "2 of 100", "row 7", "(1, 2, 3)"):
            score(x, DATA, [Mean()], where="s.npy")

    def test_levels_are_those_of_training(self) -> None:
        """The conversion of valid values is that of a model's samples."""
        import torch

        x = torch.rand(50, 3, 12, 12) * 2 - 1
        assert scored(x.numpy())[0] == float(to_pixels(x, DATA.bounds).double().mean())


class TestPoints:
    def test_far_from_all_modes(self, messages: Messages) -> None:
        """Coordinates of another scale cause a warning; one sample near a mode is enough."""
        assert RING.mixture is not None
        warnings: list[str] = []
        score(RING.mixture.means * 50, RING, [Modes()], where="s.npy", warn=warnings.append)
        messages.check(warnings.pop(), "s.npy", "-100 to 100", "ring8")
        score(np.r_[RING.mixture.means * 50, [[2.0, 0]]], RING, [Modes()], warn=warnings.append)
        assert warnings == []


class TestGenerator:
    def test_indices_from_1(self, tmp_path: Path, messages: Messages) -> None:
        """Indices that begin with 1 cause a warning on standard error; generator 0 is undefined."""
        assert RING.mixture is not None
        x = np.repeat(RING.mixture.means, 5, axis=0)
        index = np.repeat(np.arange(1, 9), 5)
        np.savez(tmp_path / "s.npz", samples=x, generator=index)
        arguments = [str(tmp_path / "s.npz"), "--dataset", "ring8", "--metrics", "purity", "--format", "csv"]
        result = CliRunner().invoke(command, arguments)
        assert result.stdout == "metric,value\npurity,1.0\n"
        messages.check(result.stderr, "1 to 8", "generator 0")

    def test_python_callers_get_python_warnings(self) -> None:
        """Without `warn` a warning of Python is issued."""
        with pytest.warns(UserWarning, match="generator 0"):
            score(np.zeros((2, 2)), RING, [Purity()], generator=np.array([1, 1]))
