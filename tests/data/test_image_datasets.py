"""Prepared images: stored files, conditions of a new preparation, and damage."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_bench.data import downloads, recipes
from gan_bench.data.recipes import Part, Recipe, check_prepared, pictures, prepared_sets, read_record
from gan_bench.errors import DataError
from tests.support.messages import Messages

SHAPE = (3, 4, 5)
X = np.random.default_rng(0).integers(256, size=(23, *SHAPE), dtype=np.uint8)
LABELS = np.arange(23) % 7


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty data folder."""
    monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(recipes, "_opened", {})  # as in a new process
    return tmp_path


def recipe(made: list[int] | None = None, *, labelled: bool = True, **settings: Any) -> Recipe:
    """Return a recipe of X in parts of ten. The sizes of its parts are appended to `made`."""

    def parts() -> Iterator[Part]:
        for start in range(0, len(X), 10):
            x = X[start : start + 10]
            (made if made is not None else []).append(len(x))
            yield x, LABELS[start : start + 10] if labelled else None

    return Recipe("set-train", "set", SHAPE, settings, {"file": "abc"}, parts)


def anew(given: Recipe) -> Any:
    """Return the images as opened by another process."""
    recipes._opened.clear()
    return pictures(given)


class TestPrepared:
    def test_is_what_the_recipe_gives(self, root: Path) -> None:
        """Images and labels keep their order in plain .npy files, and prepared.json contains the sources."""
        found = pictures(recipe(size=4))
        assert np.array_equal(found.x, X) and found.x.dtype == np.uint8
        assert found.label is not None and found.label.dtype == np.int64 and np.array_equal(found.label, LABELS)
        folder = root / "prepared" / "set-train"
        assert np.array_equal(np.load(folder / "images.npy"), X)
        record = json.loads((folder / "prepared.json").read_text())
        assert (record["count"], record["settings"], record["sources"]) == (23, {"size": 4}, {"file": "abc"})
        assert sorted(path.name for path in folder.iterdir()) == ["images.npy", "labels.npy", "prepared.json"]

    def test_needs_no_labels(self) -> None:
        """A set of images without labels has None as labels."""
        assert pictures(recipe(labelled=False)).label is None

    def test_is_made_once(self) -> None:
        """A second process only opens the set. All callers in a process share one object."""
        made: list[int] = []
        first = pictures(recipe(made))
        assert pictures(recipe(made)) is first
        assert np.array_equal(anew(recipe(made)).x, X)
        assert made == [10, 10, 3]

    def test_is_made_once_by_two_at_the_same_time(self) -> None:
        """The second caller waits for the first, and then opens its set."""
        made: list[int] = []
        with ThreadPoolExecutor(2) as both:
            found = [both.submit(pictures, recipe(made)) for _ in range(2)]
        assert all(np.array_equal(each.result().x, X) for each in found)
        assert made == [10, 10, 3]

    def test_is_memory_mapped_for_torch(self, root: Path) -> None:
        """torch accepts the array without a warning, and writing to it does not change the file."""
        x = torch.from_numpy(pictures(recipe()).x)
        x[0] = 0
        assert np.array_equal(np.load(root / "prepared" / "set-train" / "images.npy"), X)

    def test_of_other_settings_is_made_anew(self) -> None:
        """Other settings prepare the set again."""
        made: list[int] = []
        for size in (4, 5, 5):
            pictures(recipe(made, size=size))
        assert sum(made) == 2 * len(X)

    def test_says_what_takes_long(self, messages: Messages) -> None:
        """Preparation and conversions are reported. The note on conversions is also stored."""
        said: list[str] = []
        pictures(replace(recipe(), note=lambda: "3 cut"), said.append)
        messages.check(said[0], "set-train")
        assert said[-1] == "set-train: 3 cut"
        ((_, record),) = prepared_sets("set")
        assert record is not None and record.note == "3 cut"

    def test_of_a_folder_that_is_read_only_lies_in_the_users_own(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The set is found in the user's cache only while the data folder cannot be written."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
        shared = tmp_path / "shared"
        shared.mkdir()
        monkeypatch.setenv("GAN_BENCH_DATA", str(shared))
        (shared / "prepared").touch()  # no folder of this name can be created now
        made, said = list[int](), list[str]()
        pictures(recipe(made), said.append)
        assert any(line.startswith(f"{shared} ") and str(tmp_path / "own") in line for line in said)
        assert np.array_equal(anew(recipe(made)).x, X) and sum(made) == len(X)
        own = tmp_path / "own" / "gan-bench" / "prepared" / "set-train"
        assert [folder for folder, _ in prepared_sets("set")] == [own]
        (shared / "prepared").unlink()
        assert prepared_sets("set") == []

    def test_of_other_settings_in_a_folder_that_is_read_only_is_left_alone(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A set with other settings, or an incomplete one, is prepared in the user's cache instead."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
        shared = root / "prepared" / "set-train"
        pictures(recipe(size=4))
        monkeypatch.setattr(downloads, "is_writable", lambda path: not path.is_relative_to(root / "prepared"))
        before = (shared / "prepared.json").read_bytes()
        own = tmp_path / "own" / "gan-bench" / "prepared" / "set-train"
        assert recipe(size=4).folder == shared and recipe(size=5).folder == own
        made = list[int]()
        assert np.array_equal(anew(recipe(made, size=5)).x, X) and sum(made) == len(X)
        assert np.array_equal(anew(recipe(made, size=5)).x, X) and sum(made) == len(X)
        assert (shared / "prepared.json").read_bytes() == before
        (shared / "prepared.json").unlink()
        assert recipe(size=4).folder == own

    @pytest.mark.parametrize(
        ("part", "found"),
        [(X.astype(np.float32), "float32"), (X[:, :1], "(1, 4, 5)"), (X[:0], "file")],
        ids=["type", "shape", "number"],
    )
    def test_refuses_what_is_no_set_of_images(self, root: Path, part: Any, found: str, messages: Messages) -> None:
        """Images of another type or shape, or none at all, are an error, and no file remains."""
        with messages.raises(DataError, "set-train", found):
            pictures(replace(recipe(), parts=lambda: iter([(part, None)])))
        assert prepared_sets() == []


class TestRecord:
    @pytest.fixture
    def path(self, root: Path) -> Path:
        """Path of prepared.json of a set."""
        pictures(recipe(size=4))
        return root / "prepared" / "set-train" / "prepared.json"

    def test_has_the_format_of_earlier_versions(self, path: Path) -> None:
        """Keys and their order are unchanged, and a set of an earlier version is not prepared again."""
        record = json.loads(path.read_text())
        assert list(record) == ["format", "dataset", "settings", "sources", "count", "shape", "files", "note"]
        assert record["format"] == 1 and record["shape"] == [3, 4, 5]
        assert list(record["files"]["images.npy"]) == ["sha256", "bytes", "mtime_ns"]
        del record["note"]
        path.write_text(json.dumps(record | {"later": 1}))
        made: list[int] = []
        assert np.array_equal(anew(recipe(made, size=4)).x, X) and made == []

    @pytest.mark.parametrize(
        "change",
        [
            {"format": 2},
            {"dataset": 1},
            {"settings": []},
            {"sources": None},
            {"count": "23"},
            {"shape": [3, 4]},
            {"files": {}},
            {"files": {"images.npy": {"sha256": "", "bytes": 1}}},
        ],
    )
    def test_of_another_format_is_none(self, path: Path, change: dict[str, Any]) -> None:
        """A record of another format counts as missing."""
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        assert recipe(size=4).stored() is None
        (problem,) = check_prepared(path.parent)
        assert str(path.parent) in problem

    def test_is_given_as_plain_values(self, path: Path) -> None:
        """Datasets can read the sources of their sets."""
        assert json.loads(json.dumps(read_record(path.parent))) == json.loads(path.read_text())
        path.unlink()
        assert read_record(path.parent) is None


class TestInterrupted:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("damaged"), MemoryError()])
    def test_leaves_nothing(self, root: Path, error: BaseException) -> None:
        """After an interruption no set remains, and the next call prepares it."""

        def parts() -> Iterator[Part]:
            yield X, LABELS
            raise error

        with pytest.raises(type(error)):
            pictures(replace(recipe(), parts=parts))
        assert prepared_sets() == []
        assert len(pictures(recipe())) == len(X)

    def test_by_a_full_disk(self, root: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """A full disk is reported with the file, and no file remains."""

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with messages.raises(DataError, root / "prepared" / "set-train" / "images.npy", "--data-root"):
            pictures(recipe())
        assert prepared_sets() == []

    def test_by_a_kill(self, root: Path, messages: Messages) -> None:
        """A folder without a record is not a set, and is replaced."""
        pictures(recipe())
        folder = root / "prepared" / "set-train"
        (folder / "prepared.json").unlink()
        (folder / "images.npy").write_bytes(b"half")
        (problem,) = check_prepared(folder)
        messages.check(problem, folder)
        assert recipe().stored() is None
        assert np.array_equal(anew(recipe()).x, X)


class TestDamage:
    @pytest.fixture
    def images(self, root: Path) -> Path:
        """Path of the stored images."""
        pictures(recipe())
        return root / "prepared" / "set-train" / "images.npy"

    def test_by_another_size_is_seen_at_once(self, images: Path, messages: Messages) -> None:
        """A truncated file is reported with both sizes and the remedy."""
        images.write_bytes(images.read_bytes()[:-1])
        size = images.stat().st_size
        with messages.raises(DataError, images, f"{size:,}", f"{size + 1:,}"):
            anew(recipe())

    def test_of_one_byte_is_seen_where_the_file_was_touched(self, images: Path, messages: Messages) -> None:
        """The checksum is compared if the modification time has changed."""
        _flip(images)
        with messages.raises(DataError, images):
            anew(recipe())

    def test_is_always_seen_by_a_check(self, images: Path, messages: Messages) -> None:
        """A check reads every byte. Opening trusts unchanged size and time, because reading gigabytes takes seconds."""
        stat = images.stat()
        _flip(images)
        os.utime(images, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert len(anew(recipe())) == len(X)
        (problem,) = check_prepared(images.parent)
        messages.check(problem, images)

    def test_is_none_in_a_copy(self, images: Path) -> None:
        """A file with another time and the same contents is compared once, and its new time is stored."""
        os.utime(images)
        assert np.array_equal(anew(recipe()).x, X)
        record = json.loads((images.parent / "prepared.json").read_text())
        assert record["files"]["images.npy"]["mtime_ns"] == images.stat().st_mtime_ns
        assert check_prepared(images.parent) == []

    def test_of_a_missing_file(self, images: Path, messages: Messages) -> None:
        """A missing file is reported with its path."""
        images.unlink()
        with messages.raises(DataError, images):
            anew(recipe())


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
