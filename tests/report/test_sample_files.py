"""Samples as files: what a name means, and what is in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gan_bench.errors import StoreError, UsageError
from gan_bench.evaluation.score_samples import read_samples
from gan_bench.report import sample_files
from gan_bench.report.figures import mosaic
from gan_bench.report.sample_files import picture, require_kind, target, write_samples

GENERATOR = np.array([1, 0, 1, 3, 0])
IMAGES = (40 * np.arange(5, dtype=np.uint8))[:, None, None, None] + np.zeros((5, 3, 4, 6), dtype=np.uint8)


class TestTarget:
    @pytest.mark.parametrize(
        ("name", "way"),
        [
            ("a.png", "picture"), ("a.PNG", "picture"), ("a.npz", "array"), ("a.npy", "array"), ("a", "folder"),
            ("new/a.b/", "folder"), ("there.png", "folder"), ("old.png", "picture"),
        ],
    )  # fmt: skip
    def test_is_told_by_the_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
        """By its ending; an empty folder is one whatever it is called, and a file may be replaced."""
        monkeypatch.chdir(tmp_path)
        Path("there.png").mkdir()
        Path("old.png").write_bytes(b"")
        assert target(name).way == way

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("a.jpg", r"a\.jpg: found \.jpg\. Write FILE\.png for one picture"),
            ("full", "full: is a folder with files in it"),
            ("file", r"file: is a file\. Write FILE\.png"),
            ("run/samples.npz", r"run/samples\.npz: lies in a run's folder"),
            ("run", "run: lies in a run's folder"),
        ],
    )
    def test_is_refused_where_something_would_be_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
    ) -> None:
        """Or where nobody would know what to write."""
        monkeypatch.chdir(tmp_path)
        for folder in ("full", "run"):
            Path(folder).mkdir()
        for file in ("file", "full/x", "run/run.json"):
            Path(file).write_text("{}")
        with pytest.raises(UsageError, match=message):
            target(name)

    def test_of_a_picture_needs_images(self, tmp_path: Path) -> None:
        """Grey or of three colours; an array holds anything."""
        for name in ("a.png", "a"):
            with pytest.raises(UsageError, match="only images are written as PNG"):
                require_kind(target(str(tmp_path / name)), None)
            with pytest.raises(UsageError, match="an image of 2 channels cannot be a PNG"):
                require_kind(target(str(tmp_path / name)), (2, 8, 8))
            require_kind(target(str(tmp_path / name)), (3, 8, 8))
        require_kind(target(str(tmp_path / "a.npz")), None)


class TestPicture:
    def test_is_near_square(self) -> None:
        """As many in a row as the root of their number, rounded up."""
        assert picture(IMAGES, None).shape == (2 * 5 - 1, 3 * 7 - 1, 3)

    def test_has_rows_for_each_generator(self) -> None:
        """In the order of their numbers, each with its images in the order of the draw."""
        levels = picture(IMAGES, GENERATOR)[1::7, 1::7, 0]
        np.testing.assert_array_equal(levels, [[40, 160, 255], [0, 80, 255], [120, 255, 255]])


class TestFiles:
    def test_picture(self, tmp_path: Path) -> None:
        """A PNG of these pixels."""
        write_samples(target(str(tmp_path / "a.png")), IMAGES, GENERATOR)
        read = (imread(tmp_path / "a.png") * 255).round()
        np.testing.assert_array_equal(read, picture(IMAGES, GENERATOR))

    @pytest.mark.parametrize("generator", [GENERATOR, None])
    def test_archive_is_what_score_reads(self, tmp_path: Path, generator: sample_files.Index | None) -> None:
        """Samples as they are, with the generators where there are any."""
        write_samples(target(str(tmp_path / "a.npz")), IMAGES, generator)
        read = read_samples(tmp_path / "a.npz")
        assert read.x.dtype == np.uint8
        np.testing.assert_array_equal(read.x, IMAGES)
        np.testing.assert_array_equal(read.generator, generator) if generator is not None else None
        assert (read.generator is None) == (generator is None)

    def test_array_is_of_the_samples_alone(self, tmp_path: Path) -> None:
        """Points as float32."""
        points = np.ones((4, 2), dtype=np.float32)
        write_samples(target(str(tmp_path / "a.npy")), points, None)
        assert np.load(tmp_path / "a.npy", allow_pickle=False).dtype == np.float32

    def test_folder_has_an_image_a_file(self, tmp_path: Path) -> None:
        """Numbered in the order of the draw, with the generator where there is one."""
        write_samples(target(str(tmp_path / "new" / "a")), IMAGES, GENERATOR)
        names = sorted(path.name for path in (tmp_path / "new" / "a").iterdir())
        assert names == ["00000-g1.png", "00001-g0.png", "00002-g1.png", "00003-g3.png", "00004-g0.png"]
        read = (imread(tmp_path / "new" / "a" / names[3]) * 255).round()
        np.testing.assert_array_equal(read, IMAGES[3].transpose(1, 2, 0))
        write_samples(target(f"{tmp_path}/b/"), IMAGES[:, :1], None)
        assert sorted(path.name for path in (tmp_path / "b").iterdir())[0] == "00000.png"
        assert imread(tmp_path / "b" / "00000.png").shape == (4, 6)

    def test_folder_is_there_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is left of one that could not be finished; an empty one that was there stays."""
        (tmp_path / "a").mkdir()
        made = iter([b"first"])

        def full(pixels: mosaic.Pixels) -> bytes:
            try:
                return next(made)
            except StopIteration:
                raise OSError(28, "No space left on device") from None

        monkeypatch.setattr(mosaic, "png", full)
        with pytest.raises(StoreError, match=r"a: cannot be written \(No space left on device\)"):
            write_samples(target(str(tmp_path / "a")), IMAGES, None)
        assert [path.name for path in tmp_path.iterdir()] == ["a"] and not any((tmp_path / "a").iterdir())
