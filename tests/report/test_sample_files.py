"""Samples as files: the format by name, and the content of the file."""

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
from tests.support.messages import Messages

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
    def test_depends_on_the_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
        """The extension determines the format. An empty folder may have any name; a file may be replaced."""
        monkeypatch.chdir(tmp_path)
        Path("there.png").mkdir()
        Path("old.png").write_bytes(b"")
        assert target(name).way == way

    @pytest.mark.parametrize(
        ("name", "parts"),
        [("a.jpg", [".jpg", "FILE.png"]), ("full", []), ("file", ["FOLDER/"]), ("run/samples.npz", []), ("run", [])],
    )
    def test_is_refused_if_files_could_be_lost_or_the_format_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, parts: list[str], messages: Messages
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for folder in ("full", "run"):
            Path(folder).mkdir()
        for file in ("file", "full/x", "run/run.json"):
            Path(file).write_text("{}")
        with messages.raises(UsageError, f"{name}: ", *parts):
            target(name)

    def test_of_a_picture_needs_images(self, tmp_path: Path, messages: Messages) -> None:
        """Pictures need one or three channels. An array may contain any samples."""
        for name in ("a.png", "a"):
            with messages.raises(UsageError, tmp_path / name, "FILE.npz"):
                require_kind(target(str(tmp_path / name)), None)
            with messages.raises(UsageError, tmp_path / name, "2 channels"):
                require_kind(target(str(tmp_path / name)), (2, 8, 8))
            require_kind(target(str(tmp_path / name)), (3, 8, 8))
        require_kind(target(str(tmp_path / "a.npz")), None)


class TestPicture:
    def test_is_near_square(self) -> None:
        """A row has the square root of the number of images, rounded up."""
        assert picture(IMAGES, None).shape == (2 * 5 - 1, 3 * 7 - 1, 3)

    def test_has_rows_for_each_generator(self) -> None:
        """Generators are in the order of their numbers, images in the order of the draw."""
        levels = picture(IMAGES, GENERATOR)[1::7, 1::7, 0]
        np.testing.assert_array_equal(levels, [[40, 160, 255], [0, 80, 255], [120, 255, 255]])


class TestFiles:
    def test_picture(self, tmp_path: Path) -> None:
        """The file is a PNG with the pixels of the picture."""
        write_samples(target(str(tmp_path / "a.png")), IMAGES, GENERATOR)
        read = (imread(tmp_path / "a.png") * 255).round()
        np.testing.assert_array_equal(read, picture(IMAGES, GENERATOR))

    @pytest.mark.parametrize("generator", [GENERATOR, None])
    def test_archive_is_readable_by_score(self, tmp_path: Path, generator: sample_files.Index | None) -> None:
        """The file has the samples unchanged, and their generators if known."""
        write_samples(target(str(tmp_path / "a.npz")), IMAGES, generator)
        read = read_samples(tmp_path / "a.npz")
        assert read.x.dtype == np.uint8
        np.testing.assert_array_equal(read.x, IMAGES)
        np.testing.assert_array_equal(read.generator, generator) if generator is not None else None
        assert (read.generator is None) == (generator is None)

    def test_array_contains_the_samples_only(self, tmp_path: Path) -> None:
        """Points are stored as float32."""
        points = np.ones((4, 2), dtype=np.float32)
        write_samples(target(str(tmp_path / "a.npy")), points, None)
        assert np.load(tmp_path / "a.npy", allow_pickle=False).dtype == np.float32

    def test_folder_has_a_file_for_each_image(self, tmp_path: Path) -> None:
        """Files are numbered in the order of the draw, with the generator if known."""
        write_samples(target(str(tmp_path / "new" / "a")), IMAGES, GENERATOR)
        names = sorted(path.name for path in (tmp_path / "new" / "a").iterdir())
        assert names == ["00000-g1.png", "00001-g0.png", "00002-g1.png", "00003-g3.png", "00004-g0.png"]
        read = (imread(tmp_path / "new" / "a" / names[3]) * 255).round()
        np.testing.assert_array_equal(read, IMAGES[3].transpose(1, 2, 0))
        write_samples(target(f"{tmp_path}/b/"), IMAGES[:, :1], None)
        assert sorted(path.name for path in (tmp_path / "b").iterdir())[0] == "00000.png"
        assert imread(tmp_path / "b" / "00000.png").shape == (4, 6)

    def test_folder_is_written_completely_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No file of an unfinished folder is left. An empty folder that existed before is kept."""
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
