"""Tests of the shapes, whose classes are exact without a classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gan_bench_zoo.datasets.shapes import BRIGHTNESS, COLOURS, GOOD, Shapes, coverage, left_behind, located
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur, vflip

DATA = Shapes(Shapes.Params())


def images(n: int = 2000) -> tuple[Tensor, Tensor]:
    """Return the first held-out images and their labels."""
    pictures = DATA.testing()
    assert pictures.label is not None
    return torch.from_numpy(pictures.x[:n]), torch.from_numpy(pictures.label[:n])


def good(pixels: Tensor) -> float:
    """Return the share of images that are as good as real ones."""
    return float(DATA.exact_classes(pixels)[1].float().mean())


class TestPictures:
    def test_are_twenty_thousand_and_ten_thousand_different_ones(self) -> None:
        training, testing = DATA.training(), DATA.testing()
        assert (training.x.shape, testing.x.shape) == ((20_000, 3, 32, 32), (10_000, 3, 32, 32))
        assert len({image.tobytes() for image in np.concatenate([training.x, testing.x])}) == 30_000

    def test_have_equally_many_of_each_class_in_random_order(self) -> None:
        label = DATA.training().label
        assert label is not None
        assert set(np.bincount(label)) == {1666, 1667}
        assert set(np.bincount(label[:1200], minlength=12)) <= set(range(70, 131))

    def test_are_drawn_once_a_process(self) -> None:
        assert Shapes(Shapes.Params(values="unit")).training() is DATA.training()

    def test_touch_no_edge(self) -> None:
        x = DATA.training().x
        assert not x[:, :, [0, -1], :].any() and not x[:, :, :, [0, -1]].any()

    def test_have_edges_that_are_neither_black_nor_full(self) -> None:
        """Edges have pixels between black and full brightness."""
        bright = images()[0].sum(dim=1) / BRIGHTNESS
        between = (bright > 0.1) & (bright < 0.9)
        assert 10 < float(between.sum(dim=(1, 2)).float().mean()) < 60

    def test_fewer_shapes_and_colours_are_fewer_classes(self) -> None:
        data = Shapes(Shapes.Params(shapes=2, colours=2))
        assert data.class_names == ("red disc", "green disc", "red square", "green square")
        assert data.training().label is not None and set(data.training().label) == {0, 1, 2, 3}  # type: ignore[arg-type]

    def test_show_the_class_that_they_are_labelled_with(self) -> None:
        """Classes follow also from the mean colour and from the largest distance of the shape from its centre."""
        x, label = images()
        colour = x.sum(dim=(2, 3), dtype=torch.float64)
        assert ((colour / colour.sum(dim=1, keepdim=True)).argmax(dim=1) == label % 3).all()
        reach = torch.tensor([_reach(image) for image in x])
        means = [float(reach[label // 3 == shape].mean()) for shape in range(4)]
        expected = [1, math.sqrt(math.pi / 2), 2 * math.sqrt(math.pi / (3 * math.sqrt(3))), math.sqrt(0.5 * math.pi)]
        assert means == pytest.approx(expected, abs=0.13)


def _reach(image: Tensor) -> float:
    """Return the distance of the farthest half-covered pixel from the centre of mass, in radii of an equal disc."""
    bright = image.float().sum(dim=0) / BRIGHTNESS
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    area = bright.sum()
    distance = ((x - (bright * x).sum() / area) ** 2 + (y - (bright * y).sum() / area) ** 2).sqrt()
    return float(distance[bright > 0.5].max() / (area / math.pi).sqrt())


class TestCoverage:
    def test_has_the_area_and_the_centre_that_it_is_asked_for(self) -> None:
        """Every shape covers π r² around the given centre, within 1.5 %."""
        centre, radius = torch.tensor([[16.3, 15.1], [14.0, 17.5]]), torch.tensor([5.0, 7.4])
        drawn = coverage(centre, radius, 4)
        areas = drawn.sum(dim=(2, 3)) / (math.pi * radius.square())[:, None]
        assert areas.flatten().tolist() == pytest.approx([1] * 8, abs=0.015)
        at = torch.arange(32) + 0.5
        x, y = (drawn.sum(dim=2) @ at / drawn.sum(dim=(2, 3)), drawn.sum(dim=3) @ at / drawn.sum(dim=(2, 3)))
        assert x[0].tolist() == pytest.approx([16.3] * 4, abs=0.1)
        assert y[1].tolist() == pytest.approx([17.5] * 4, abs=0.1)

    def test_triangle_points_up_and_a_cross_has_four_corners_free(self) -> None:
        drawn = coverage(torch.tensor([[16.0, 16.0]]), torch.tensor([7.0]), 4)[0]
        assert float(drawn[2, :8].sum()) < float(drawn[2, 20:].sum())
        assert float(drawn[3, 9:12, 9:12].sum()) == 0 < float(drawn[1, 11, 11])

    def test_colours_are_equally_bright(self) -> None:
        assert {sum(colour) for colour in COLOURS.values()} == {BRIGHTNESS}


class TestExactClasses:
    @pytest.mark.parametrize(("shapes", "colours"), [(4, 3), (4, 6), (1, 1)])
    def test_real_images_are_all_right_and_all_good(self, shapes: int, colours: int) -> None:
        """All images of both sets are classified correctly."""
        data = Shapes(Shapes.Params(shapes=shapes, colours=colours))
        for pictures in (data.training(), data.testing()):
            label, is_good = data.exact_classes(torch.from_numpy(pictures.x))
            assert np.array_equal(label.numpy(), pictures.label) and bool(is_good.all())

    def test_real_images_leave_far_less_behind_than_is_allowed(self) -> None:
        """Residuals of real images are below a third of the limit."""
        x, _ = images(1000)
        left = left_behind(x, *located(x), 4, 3).flatten(1).min(dim=1).values
        assert float(left.max()) < GOOD / 3

    def test_a_little_noise_and_blur_change_nothing(self) -> None:
        """Slight noise and blur change neither class nor quality."""
        x, label = images()
        noise = 5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        for changed in ((x + noise).round().clamp(0, 255).byte(), gaussian_blur(x, [5, 5], [0.5, 0.5])):
            found, is_good = DATA.exact_classes(changed)
            assert bool((found == label).all()) and bool(is_good.all())

    @pytest.mark.parametrize("sigma", [1.5, 2.5])
    def test_blurred_images_are_not_good(self, sigma: float) -> None:
        assert good(gaussian_blur(images()[0], [13, 13], [sigma, sigma])) == 0

    def test_images_of_two_classes_are_not_good(self) -> None:
        """Averages and maxima of two images are not good, except for a few pairs that overlap almost completely."""
        x, label = images()
        first, second = x[:1000], x[1000:]
        differ = label[:1000] != label[1000:]
        averaged = ((first.float() + second.float()) / 2).round().byte()
        assert good(averaged[differ]) < 0.01
        assert good(first.maximum(second)[differ]) < 0.02

    @pytest.mark.parametrize("level", [0, 20, 128, 255])
    def test_flat_images_are_not_good(self, level: int) -> None:
        assert good(torch.full((3, 3, 32, 32), level, dtype=torch.uint8)) == 0

    def test_noise_is_not_good(self) -> None:
        noise = torch.randint(256, (500, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        assert good(noise) == 0

    def test_shapes_that_are_none_of_the_set_are_not_good(self) -> None:
        """Inverted triangles, shapes of half the brightness or without the left half, and grey shapes are not good."""
        x, label = images()
        assert good(vflip(x[label // 3 == 2])) == 0
        assert good(x // 2) == 0
        assert good(x.where(torch.arange(32) > 15, 0)) < 0.25  # some shapes are in the right half
        assert good(x.float().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).byte()) == 0

    def test_shapes_far_too_small_or_large_are_not_good(self) -> None:
        centre = torch.full((2, 2), 16.0)
        drawn = coverage(centre, torch.tensor([3.5, 9.0]), 1)[:, 0]
        pixels = (drawn[:, None] * torch.tensor(COLOURS["red"])[:, None, None]).round().byte()
        label, is_good = DATA.exact_classes(pixels)
        assert label.tolist() == [0, 0] and is_good.tolist() == [False, False]

    def test_of_no_image_is_nothing(self) -> None:
        """The result for an empty batch is empty."""
        label, is_good = DATA.exact_classes(torch.empty(0, 3, 32, 32, dtype=torch.uint8))
        assert (label.shape, label.dtype, is_good.dtype) == ((0,), torch.int64, torch.bool)
