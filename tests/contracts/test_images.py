"""Image datasets: what is drawn of a finite set of uint8 images, and the two ways between levels and numbers."""

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
    def test_survive_the_way_to_numbers_and_back(self, bounds: tuple[float, float]) -> None:
        """All 256 of them, between the bounds, the darkest and the brightest on them."""
        x = to_floats(ALL_LEVELS, bounds)
        assert x.dtype == torch.float32
        assert (float(x[0]), float(x[-1])) == pytest.approx(bounds, abs=1e-6)
        assert torch.equal(to_pixels(x, bounds), ALL_LEVELS)

    def test_of_numbers_are_the_nearest(self) -> None:
        """A level's numbers reach half way to the next; what lies beyond the bounds is on them."""
        step = 2 / 255
        x = torch.tensor([-1 + 0.49 * step, -1 + 0.51 * step, -7.0, 9.0])
        assert to_pixels(x, (-1, 1)).tolist() == [0, 1, 0, 255]


class TestDraws:
    def test_are_images_of_the_training_set(self) -> None:
        """Each with its own label and its position."""
        data = Greys()
        real = data.draw(50, rng())
        assert real.label is not None and real.index is not None
        pictures = data.training()
        assert np.array_equal(to_pixels(real.x, data.bounds).numpy(), pictures.x[real.index.numpy()])
        assert pictures.label is not None and np.array_equal(real.label.numpy(), pictures.label[real.index.numpy()])

    def test_depend_on_the_stream_alone(self) -> None:
        """The same stream draws the same, another one something else."""
        first, again, other = (Greys().draw(20, rng(seed)).x for seed in (3, 3, 4))
        assert torch.equal(first, again) and not torch.equal(first, other)

    def test_are_with_replacement(self) -> None:
        """More than there are can be drawn for training."""
        assert len(Greys(Greys.Params(count=9)).draw(100, rng()).x) == 100

    @pytest.mark.parametrize("kind", ["pool", "held_out"])
    def test_that_stay_hold_no_image_twice(self, kind: str) -> None:
        """A pool and what is held out are different images, and all there are where more are asked for."""
        data = Greys()
        size = {"pool": 60, "held_out": data.held_out_size}[kind]
        for asked, expected in ((7, 7), (1000, size)):
            index = getattr(data, kind)(asked, rng()).index
            assert index is not None and len(index.unique()) == len(index) == expected

    def test_lie_between_the_bounds(self) -> None:
        """As the parameter `values` says."""
        for values, bounds in BOUNDS.items():
            data = Greys(Greys.Params(values=values))
            assert data.bounds == bounds
            x = data.draw(60, rng()).x
            assert bounds[0] <= float(x.min()) and float(x.max()) <= bounds[1]


class TestKind:
    def test_is_told_apart_from_points(self) -> None:
        """Images are evaluated as pixels, points are not."""
        assert is_images(Greys()) and not is_images(Ring())


class TestGenerators:
    @pytest.mark.parametrize("values", BOUNDS)
    def test_stay_within_the_bounds(self, values: str) -> None:
        """However large the weights are; by tanh, or by a sigmoid."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=2)), Greys(Greys.Params(values=values)), init_scale=30.0)
        x = trainer.model.generate(torch.randn(2, 50, 6))
        low, high = BOUNDS[values]
        assert low <= float(x.detach().min()) < low + 0.01 and high - 0.01 < float(x.detach().max()) <= high

    @pytest.mark.parametrize(("values", "squash"), [("signed", torch.tanh), ("unit", torch.sigmoid)])
    def test_are_squashed_as_the_papers_do(self, values: str, squash: object) -> None:
        """The network's own output through tanh or the logistic function, and nothing else."""
        trainer = image_trainer(GAN(), Greys(Greys.Params(values=values)))
        z, generator = torch.randn(1, 4, 6), trainer.model.get_submodule("generator")
        assert callable(squash)
        assert torch.equal(generator(z), squash(generator.get_submodule("body")(z)))


class TestFlips:
    def test_mirror_about_half_of_the_real_images(self) -> None:
        """Each as it is or mirrored left to right, by a draw of its own that leaves the images drawn as they are."""
        plain, flipped = (image_trainer(GAN(), batch=200, flip=flip) for flip in (False, True))
        turns = tuple(plain.model.turns(0))
        before, after = (trainer.draw(turns).real[0].x for trainer in (plain, flipped))
        mirrored = (after == before.flip(-1)).flatten(1).all(1)
        assert bool(((after == before).flatten(1).all(1) | mirrored).all())
        assert 70 <= int(mirrored.sum()) <= 130

    def test_are_off_unless_asked_for(self) -> None:
        """As in the papers."""
        assert image_trainer(GAN()).protocol.flip is False
