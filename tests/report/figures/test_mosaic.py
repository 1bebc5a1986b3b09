"""Mosaics of images, pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from gan_bench.report.figures import mosaic

WHITE = 255


def images(n: int, channels: int = 1, height: int = 2, width: int = 3) -> mosaic.Pixels:
    """Images with different pixels, below 200."""
    size = n * channels * height * width
    return (np.arange(size) % 200).astype(np.uint8).reshape(n, channels, height, width)


class TestMosaic:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_keeps_every_pixel_in_its_place(self, channels: int) -> None:
        """Image i of a group is in row i // per_row, one pixel from its neighbours. Groups are three pixels apart."""
        first, second = images(5, channels), images(2, channels) + 40
        whole = mosaic.mosaic([first, second], 3)
        assert whole.shape == ((10, 11) if channels == 1 else (10, 11, 3))
        shown = whole.reshape(10, 11, channels)
        for top, group in ((0, first), (8, second)):
            for i, image in enumerate(group):
                y, x = top + (i // 3) * 3, (i % 3) * 4
                np.testing.assert_array_equal(shown[y : y + 2, x : x + 3], image.transpose(1, 2, 0))

    def test_is_white_elsewhere(self) -> None:
        """Pixels between images, between groups, and in rows that are not full are white."""
        whole = mosaic.mosaic([images(5), images(2)], 3)
        assert (whole == WHITE).sum() == whole.size - 7 * 6
        assert (whole[2] == WHITE).all() and (whole[5:8] == WHITE).all() and (whole[3:5, 8:] == WHITE).all()

    def test_omits_empty_groups(self) -> None:
        """A generator without images has no rows."""
        np.testing.assert_array_equal(
            mosaic.mosaic([images(0), images(3), images(0)], 3), mosaic.mosaic([images(3)], 3)
        )

    def test_size_is_known_in_advance(self) -> None:
        """`mosaic_size` returns width and height for groups with given numbers of rows."""
        height, width = mosaic.mosaic([images(5), images(2)], 3).shape
        assert mosaic.mosaic_size((1, 2, 3), [2, 1], 3) == (width, height)

    def test_filled_takes_the_first_and_adds_white(self) -> None:
        """The result always has the requested number of images."""
        np.testing.assert_array_equal(mosaic.filled(images(5), 2), images(5)[:2])
        more = mosaic.filled(images(1), 3)
        assert more.shape == (3, 1, 2, 3) and (more[1:] == WHITE).all()
        np.testing.assert_array_equal(more[:1], images(1))


class TestScale:
    @pytest.mark.parametrize(
        ("side", "by"), [(8, 4), (12, 2), (28, 1), (32, 1), (48, 1), (49, 1 / 2), (64, 1 / 2), (96, 1 / 2), (97, 1 / 3)]
    )
    def test_is_n_or_one_nth(self, side: int, by: float) -> None:
        """Images are enlarged up to 32 pixels, and reduced if they have more than 48."""
        assert mosaic.scale(side, 32, 48) == by
        shown = mosaic.scaled(np.zeros((1, 1, side, side), dtype=np.uint8), by).shape[-1]
        assert shown <= 48

    def test_larger_repeats_pixels(self) -> None:
        """Enlarged images have no new levels."""
        x = images(2, 3)
        large = mosaic.scaled(x, 3)
        assert large.shape == (2, 3, 6, 9)
        for dy in range(3):
            np.testing.assert_array_equal(large[:, :, dy::3, 2::3], x)

    def test_smaller_takes_means(self) -> None:
        """A pixel is the mean of the pixels that it replaces; at an edge, of those that exist."""
        x = np.array([[10, 20, 60], [30, 40, 80]], dtype=np.uint8)[None, None]
        np.testing.assert_array_equal(mosaic.scaled(x, 1 / 2), np.array([[25, 70]])[None, None])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_contains_the_pixels(channels: int) -> None:
    """Grey and coloured images are encoded without loss."""
    whole = mosaic.mosaic([images(4, channels)], 2)
    read = imread(io.BytesIO(mosaic.png(whole)))
    assert read.shape == whole.shape
    np.testing.assert_array_equal((read * 255).round().astype(np.uint8), whole)
