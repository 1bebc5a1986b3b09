"""Tests of image datasets: draws from a finite set of uint8 images, and conversion between levels and numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN

from gan_bench.contracts.images import BOUNDS, is_images, to_floats, to_pixels
from tests.support.tiny import Ring
from tests.support.tiny_images import Greys, image_trainer, rng

ALL_LEVELS = torch.arange(256, dtype=torch.uint8)


class TestLevels:
    @pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
    def test_are_unchanged_after_conversion_to_numbers_and_back(self, bounds: tuple[float, float]) -> None:
        """All 256 levels are between the bounds; the first and the last are the bounds."""
        x = to_floats(ALL_LEVELS, bounds)
        assert x.dtype == torch.float32
        assert (float(x[0]), float(x[-1])) == pytest.approx(bounds, abs=1e-6)
        assert torch.equal(to_pixels(x, bounds), ALL_LEVELS)

    def test_are_the_nearest_to_a_number(self) -> None:
        """Numbers are rounded to the nearest level, and clamped to the bounds."""
        step = 2 / 255
        x = torch.tensor([-1 + 0.49 * step, -1 + 0.51 * step, -7.0, 9.0])
        assert to_pixels(x, (-1, 1)).tolist() == [0, 1, 0, 255]


class TestDraws:
    def test_are_images_of_the_training_set(self) -> None:
        """Each drawn image has its label and its position."""
        data = Greys()
        real = data.draw(50, rng())
        assert real.label is not None and real.index is not None
        pictures = data.training()
        assert np.array_equal(to_pixels(real.x, data.bounds).numpy(), pictures.x[real.index.numpy()])
        assert pictures.label is not None and np.array_equal(real.label.numpy(), pictures.label[real.index.numpy()])

    def test_depend_only_on_the_random_stream(self) -> None:
        """Equal streams draw the same images, different streams other images."""
        first, again, other = (Greys().draw(20, rng(seed)).x for seed in (3, 3, 4))
        assert torch.equal(first, again) and not torch.equal(first, other)

    def test_are_with_replacement(self) -> None:
        """A draw for training may be larger than the dataset."""
        assert len(Greys(Greys.Params(count=9)).draw(100, rng()).x) == 100

    @pytest.mark.parametrize("kind", ["pool", "held_out"])
    def test_that_are_fixed_contain_no_image_twice(self, kind: str) -> None:
        """Images of a pool or of held-out data are distinct. A larger request returns all of them."""
        data = Greys()
        size = {"pool": 60, "held_out": data.held_out_size}[kind]
        for requested, expected in ((7, 7), (1000, size)):
            index = getattr(data, kind)(requested, rng()).index
            assert index is not None and len(index.unique()) == len(index) == expected

    def test_are_between_the_bounds(self) -> None:
        """The parameter `values` determines the bounds."""
        for values, bounds in BOUNDS.items():
            data = Greys(Greys.Params(values=values))
            assert data.bounds == bounds
            x = data.draw(60, rng()).x
            assert bounds[0] <= float(x.min()) and float(x.max()) <= bounds[1]


class TestKind:
    def test_distinguishes_images_from_points(self) -> None:
        assert is_images(Greys()) and not is_images(Ring())


class TestGenerators:
    @pytest.mark.parametrize("values", BOUNDS)
    def test_stay_within_the_bounds(self, values: str) -> None:
        """Samples stay between the bounds for large weights, by tanh or a sigmoid."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=2)), Greys(Greys.Params(values=values)), init_scale=30.0)
        x = trainer.model.generate(torch.randn(2, 50, 6))
        low, high = BOUNDS[values]
        assert low <= float(x.detach().min()) < low + 0.01 and high - 0.01 < float(x.detach().max()) <= high

    @pytest.mark.parametrize(("values", "squash"), [("signed", torch.tanh), ("unit", torch.sigmoid)])
    def test_end_with_tanh_or_a_sigmoid(self, values: str, squash: object) -> None:
        """Samples are the output of the network after tanh or a sigmoid, without any other change."""
        trainer = image_trainer(GAN(), Greys(Greys.Params(values=values)))
        z, generator = torch.randn(1, 4, 6), trainer.model.get_submodule("generator")
        assert callable(squash)
        assert torch.equal(generator(z), squash(generator.get_submodule("body")(z)))


class TestFlips:
    def test_mirror_about_half_of_the_real_images(self) -> None:
        """Each image is unchanged or mirrored left to right. Flips do not affect which images are drawn."""
        plain, flipped = (image_trainer(GAN(), batch=200, flip=flip) for flip in (False, True))
        turns = tuple(plain.model.turns(0))
        before, after = (trainer.draw(turns).real[0].x for trainer in (plain, flipped))
        mirrored = (after == before.flip(-1)).flatten(1).all(1)
        assert bool(((after == before).flatten(1).all(1) | mirrored).all())
        assert 70 <= int(mirrored.sum()) <= 130

    def test_are_off_by_default(self) -> None:
        assert image_trainer(GAN()).protocol.flip is False
