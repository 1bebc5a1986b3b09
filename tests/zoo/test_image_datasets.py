"""Image datasets from files: published formats, checksums and safe unpickling."""

from __future__ import annotations

import codecs
import errno
import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from gan_bench_zoo.datasets import stl10
from gan_bench_zoo.datasets._archives import read_batch, rows_of
from gan_bench_zoo.datasets._idx import IdxImages, read_idx
from gan_bench_zoo.datasets.cifar10 import CIFAR10
from gan_bench_zoo.datasets.image_folder import ImageFolder, squared
from gan_bench_zoo.datasets.imagenet32 import ImageNet32
from gan_bench_zoo.datasets.mnist import MNIST, FashionMNIST, MNISTPair, StackedMNIST
from gan_bench_zoo.datasets.stl10 import STL10
from PIL import Image

from gan_bench.contracts.images import ImageDataset, to_pixels
from gan_bench.contracts.parameters import resolve
from gan_bench.data import recipes
from gan_bench.errors import DataError
from gan_bench.testing import examine
from tests.support.messages import Messages

GIVEN = os.environ.get("GAN_BENCH_DATA")  # before tests change it
COUNTS = {"train": 120, "test": 40}
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty data folder."""
    monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(recipes, "_opened", {})
    return tmp_path


@pytest.fixture
def real(root: Path) -> Path:
    """Data folder with links to the files in GAN_BENCH_DATA."""
    if not GIVEN:
        pytest.skip("GAN_BENCH_DATA is not set")
    for path in Path(GIVEN).iterdir():
        if path.name not in ("prepared", "cache"):
            (root / path.name).symlink_to(path.resolve())
    return root


def rng(seed: int = 0) -> torch.Generator:
    """Return a random generator for one draw."""
    return torch.Generator().manual_seed(seed)


def make(kind: type[Any], **params: Any) -> Any:
    """Return a dataset with the given parameters."""
    return kind(kind.Params(**params))


def md5(path: Path) -> str:
    """Return the MD5 of a file."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def cause_of(error: BaseException) -> dict[str, str]:
    """Return the text of another library within an error, with what is recorded in its place."""
    cause = error.__cause__
    return {} if cause is None else {str(cause) or type(cause).__name__: "REASON"}


# --- MNIST family -----------------------------------------------------------------------------------------


def idx(x: np.ndarray[Any, Any]) -> bytes:
    """Return an array in the idx format."""
    return bytes((0, 0, 8, x.ndim)) + struct.pack(f">{x.ndim}I", *x.shape) + x.tobytes()


@pytest.fixture
def digits(root: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Images and labels of both splits of a small MNIST, written in its format."""
    raw, made, published = root / "MNIST" / "raw", {}, []
    raw.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        n = COUNTS[split]
        label = (np.arange(n) % 10).astype(np.uint8)
        images = RNG.integers(200, size=(n, 28, 28), dtype=np.uint8)
        images[np.arange(n), label] = 255  # a row of each image depends on its label, as the kit expects
        made[split] = images, label
        for kind, x in zip(("images-idx3", "labels-idx1"), made[split], strict=True):
            path = raw / f"{name}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(x)))
            published.append((path.name, md5(path)))
    monkeypatch.setattr(IdxImages, "counts", COUNTS)
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", published)
    return made


class TestMNIST:
    def test_is_read_from_the_published_files(self, digits: Mapping[str, Any]) -> None:
        """Images and labels are those of the files, in the same order."""
        data = make(MNIST)
        assert data.missing() is None
        for found, split in ((data.training(), "train"), (data.testing(), "test")):
            assert np.array_equal(found.x[:, 0], digits[split][0]) and np.array_equal(found.label, digits[split][1])
        assert (data.shape, data.classes, data.held_out_size) == ((1, 28, 28), 10, COUNTS["test"])

    def test_is_read_unpacked_as_well(self, digits: Mapping[str, Any], root: Path) -> None:
        """Unpacked files are read without a checksum, because none is published."""
        for path in (root / "MNIST" / "raw").iterdir():
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
        assert np.array_equal(make(MNIST).training().x[:, 0], digits["train"][0])

    def test_is_padded_to_32(self, digits: Mapping[str, Any]) -> None:
        """Two black pixels are added on each side."""
        x = make(MNIST, size=32).training().x
        assert np.array_equal(x[:, 0, 2:30, 2:30], digits["train"][0])
        assert x.sum(dtype=np.int64) == digits["train"][0].sum(dtype=np.int64)

    def test_says_what_is_missing_and_how_to_get_it(self, root: Path, messages: Messages) -> None:
        """The message contains the size of the download, the command, and the option for another folder."""
        for data in (make(MNIST), make(MNISTPair), make(StackedMNIST)):
            messages.check(data.missing(), root, "gan-bench data fetch mnist", "12 MB", "--data-root")
        with pytest.raises(DataError, match="gan-bench data fetch mnist"):
            make(MNIST).draw(1, rng())

    def test_needs_no_source_once_it_is_prepared(self, digits: Mapping[str, Any], root: Path) -> None:
        """Once prepared, images are available without the source files."""
        make(MNIST).prepare(lambda _: None)
        for path in (root / "MNIST" / "raw").iterdir():
            path.unlink()
        assert make(MNIST).missing() is None and make(MNIST, size=32).missing() is not None
        assert np.array_equal(make(MNIST).testing().x[:, 0], digits["test"][0])

    def test_is_verified_first(self, digits: Mapping[str, Any], root: Path, messages: Messages) -> None:
        """A file with a wrong checksum is reported and not read."""
        path = root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
        published = md5(path)
        path.write_bytes(path.read_bytes()[:-9])
        with messages.raises(DataError, path, published, hide={published: "MD5"}):
            make(MNIST).training()

    def test_of_another_size_is_another_data_set(
        self, digits: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """Well-formed files with another number of images are an error."""
        monkeypatch.setattr(IdxImages, "counts", {"train": 121, "test": 40})
        with messages.raises(DataError, "train-images-idx3-ubyte.gz", (120, 28, 28), (121, 28, 28)):
            make(MNIST).training()

    @pytest.mark.slow
    def test_keeps_the_contract(self, digits: Mapping[str, Any]) -> None:
        """The contract kit finds no fault."""
        assert examine(MNIST) == []

    def test_fashion_has_its_own_files(self) -> None:
        """Checksums and folder differ from those of MNIST."""
        ours, theirs = make(FashionMNIST).sources(), make(MNIST).sources()
        assert not {s.md5 for s in ours} & {s.md5 for s in theirs} and ours[0].path.startswith("FashionMNIST/raw/")
        assert len(set(make(FashionMNIST).class_names)) == 10


class TestIdx:
    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", b""),
            (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", b"\x00\x00\x0d\x01"),
            (b"\x00\x00\x08\x02\x00\x00", ""),
            (idx(np.zeros((4, 5), np.uint8))[:-1], "19 bytes"),
        ],
        ids=["empty", "floats", "header", "data"],
    )
    def test_damaged_is_refused(self, tmp_path: Path, content: bytes, found: object, messages: Messages) -> None:
        """Files that are empty, of floats, or truncated in header or data are an error."""
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_idx(path)
        messages.check(caught.value, path, found, hide=cause_of(caught.value))

    def test_is_not_read_beyond_its_size(self, tmp_path: Path) -> None:
        """A packed file that expands to more, and a header of terabytes, are refused without reading all of it."""
        path = tmp_path / "file.gz"
        path.write_bytes(gzip.compress(idx(np.zeros((4, 5), np.uint8)) + bytes(10**7)))
        with pytest.raises(DataError, match="21 bytes"):
            read_idx(path)
        path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", *[2**32 - 1] * 3)))
        with pytest.raises(DataError, match="header"):
            read_idx(path)

    def test_packed_and_cut_off_is_refused(self, tmp_path: Path, messages: Messages) -> None:
        """Errors of gzip become a DataError."""
        path = tmp_path / "file.gz"
        for content in (gzip.compress(idx(np.ones((99, 9), np.uint8)))[:-12], b"no gzip"):
            path.write_bytes(content)
            with pytest.raises(DataError) as caught:
                read_idx(path)
            messages.check(caught.value, path, hide=cause_of(caught.value))


class TestPair:
    def test_is_two_digits(self, digits: Mapping[str, Any]) -> None:
        """Label 0 is the first digit, and label 1 the second. Class names are the digits."""
        data = make(MNISTPair, first=7, second=2)
        assert data.class_names == ("7", "2")
        for found, split in ((data.training(), "train"), (data.testing(), "test")):
            x, label = digits[split]
            chosen = np.isin(label, (7, 2))
            assert np.array_equal(found.x[:, 0], x[chosen])
            assert np.array_equal(found.label, np.where(label[chosen] == 2, 1, 0))

    def test_is_classified_by_a_judge_of_all_digits(self, digits: Mapping[str, Any]) -> None:
        """The classifier has all ten digits, with the size and bounds of the pair."""
        judge = make(MNISTPair, size=32, values="unit").labelled()
        assert (judge.class_names, judge.shape, judge.bounds) == (tuple("0123456789"), (1, 32, 32), (0, 1))
        assert len(judge.training()) == COUNTS["train"]

    def test_is_of_two_different_digits(self, messages: Messages) -> None:
        """A pair of equal digits is an error."""
        problems: list[str] = []
        assert resolve(MNISTPair.Params, {"first": 5}, lambda _, message: problems.append(message)) is None
        (problem,) = problems
        messages.check(problem, "first", "second", 5)


class TestStacked:
    def test_unrolled_draws_fresh_triples_of_training_digits(self, digits: Mapping[str, Any]) -> None:
        """Each channel is a digit, the label contains all three, and index is None."""
        data = make(StackedMNIST)
        drawn = data.draw(50, rng())
        assert drawn.index is None and drawn.label is not None and drawn.x.shape == (50, 3, 28, 28)
        _require_digits(to_pixels(drawn.x, data.bounds).numpy(), drawn.label.numpy(), *digits["train"])
        assert len(set(drawn.label.tolist())) > 40
        assert torch.equal(drawn.x, make(StackedMNIST).draw(50, rng()).x)
        assert not torch.equal(drawn.x, data.draw(50, rng(1)).x)

    @pytest.mark.parametrize(("variant", "count"), [("unrolled", 60_000), ("veegan", 128_000)])
    @pytest.mark.slow
    def test_has_fixed_sets(self, digits: Mapping[str, Any], variant: str, count: int) -> None:
        """Sizes are those of the protocols. Digits are those of the split, or all digits for `veegan`."""
        data = make(StackedMNIST, variant=variant)
        both = tuple(np.concatenate([digits["train"][i], digits["test"][i]]) for i in range(2))
        for found, split, size in ((data.training(), "train", count), (data.testing(), "test", 26_000)):
            source = digits[split] if variant == "unrolled" else both
            assert len(found) == data.count(split) == size
            rows = np.arange(0, size, 997)
            _require_digits(found.x[rows], found.label[rows], *source)
        assert (data.draw(3, rng()).index is None) == (variant == "unrolled")

    def test_is_judged_by_channel(self, digits: Mapping[str, Any]) -> None:
        """There are 1000 classes, and the classifier is one of digits."""
        data = make(StackedMNIST)
        assert data.by_channel and data.classes == 1000 and data.class_names[640] == "640"
        assert data.labelled().shape == (1, 28, 28)


def _require_digits(x: Any, label: Any, images: Any, labels: Any) -> None:
    """Assert that every channel is an image of its digit in the label."""
    by_bytes = {image.tobytes(): int(digit) for image, digit in zip(images, labels, strict=True)}
    for stack, number in zip(x, label, strict=True):
        assert [by_bytes[channel.tobytes()] for channel in stack] == [int(c) for c in f"{number:03}"]


# --- archives -----------------------------------------------------------------------------------------------


def pickled(x: Any, labels: Any, protocol: int = 2, **more: Any) -> bytes:
    """Return a batch as written by Python 3."""
    return pickle.dumps({"data": x, "labels": labels, **more}, protocol)


def as_python_2_wrote_it(content: bytes) -> bytes:
    """Return a batch with the module names of numpy before version 2."""
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class Malicious:
    """Object that calls a function when it is unpickled."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> Any:
        return self.call, self.args


class TestBatch:
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_of_arrays_is_read(self, tmp_path: Path, protocol: int) -> None:
        """Batches of every pickle protocol are read."""
        path, x = tmp_path / "batch", RNG.integers(256, size=(4, 12), dtype=np.uint8)
        path.write_bytes(pickled(x, [1, 2, 3, 3], protocol, mean=np.ones(12), batch_label=b"one"))
        batch = read_batch(path)
        data, label = rows_of(batch, path, 12, range(1, 4))
        assert np.array_equal(data, x) and label.tolist() == [0, 1, 2, 2] and batch["mean"].tolist() == [1] * 12

    def test_of_python_2_is_read(self, tmp_path: Path) -> None:
        """Keys and data are byte strings, and modules of numpy have their old names."""
        path, x = tmp_path / "batch", np.arange(6, dtype=np.uint8).reshape(2, 3)
        content = as_python_2_wrote_it(pickle.dumps(x, 2))[2:-1]
        path.write_bytes(b"\x80\x02}(U\x04data" + content + b"U\x06labels](K\x00K\x01eu.")  # U: its str
        data, label = rows_of(read_batch(path), path, 3, range(10))
        assert np.array_equal(data, x) and label.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("call", "args", "named"),
        [
            (os.system, ("touch executed",), "posix.system"),
            (eval, ("open('executed', 'w')",), "builtins.eval"),
            (np.load, ("executed",), "numpy.load"),
            (getattr, ("np", "load"), "builtins.getattr"),
        ],
        ids=["system", "eval", "load", "getattr"],
    )
    def test_that_executes_anything_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, args: Any, named: str, messages: Messages
    ) -> None:
        """A function anywhere in the file is reported with its name and not called."""
        monkeypatch.chdir(tmp_path)
        for content in (Malicious(call, *args), {"data": [Malicious(call, *args)]}):
            Path("batch").write_bytes(pickle.dumps(content))
            with messages.raises(DataError, "batch", named):
                read_batch(Path("batch"))
        assert not Path("executed").exists()

    @pytest.mark.parametrize(
        "content",
        [
            pickle.dumps({"data": np.array([{}], dtype=object)}, 2),
            pickle.dumps(Malicious(codecs.encode, "a", "rot13")),
            pickled(np.ones((2, 3), np.uint8), [0, 1])[:-20],
            b"",
            b"\x80\x05garbage",
        ],
        ids=["objects", "codec", "cut off", "empty", "garbage"],
    )
    def test_of_anything_else_is_refused(self, tmp_path: Path, content: bytes, messages: Messages) -> None:
        """Arrays of objects, damaged pickles and other files are an error."""
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_batch(tmp_path / "batch")
        messages.check(caught.value, tmp_path / "batch", hide=cause_of(caught.value))

    @pytest.mark.parametrize(
        ("batch", "found"),
        [
            ({}, "NoneType"),
            ({"data": np.zeros((2, 4), np.uint8), "labels": [0, 1]}, "(2, 4)"),
            ({"data": np.zeros((2, 3), np.float32), "labels": [0, 1]}, "float32"),
            ({"data": np.zeros((2, 3), np.uint8), "labels": [0]}, "2 images"),
            ({"data": np.zeros((2, 3), np.uint8), "labels": [0, 10]}, "labels"),
            ({"data": np.zeros((2, 3), np.uint8), "labels": [[0], [1, 2]]}, "labels"),
            ({"data": np.zeros((2, 3), np.uint8)}, "labels"),
        ],
        ids=["no data", "shape", "type", "number", "class", "ragged", "no labels"],
    )
    def test_without_images_and_labels_is_refused(self, batch: dict[str, Any], found: str, messages: Messages) -> None:
        """Images and labels of another shape, type, number or class are an error."""
        with messages.raises(DataError, "batch", found):
            rows_of(batch, Path("batch"), 3, range(10))


@pytest.fixture
def cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """All images of a small CIFAR-10, whose archive is in the data folder."""
    x = RNG.integers(256, size=(60, 3072), dtype=np.uint8)
    published, archive = torchvision.datasets.CIFAR10, root / "cifar-10-python.tar.gz"
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    checksums = []
    with tarfile.open(archive, "w:gz") as tar:
        for number, name in enumerate(names):
            content = as_python_2_wrote_it(pickled(x[10 * number : 10 * number + 10], list(range(10))))
            checksums.append([name, hashlib.md5(content).hexdigest()])
            _add(tar, f"cifar-10-batches-py/{name}", content)
        _add(tar, "../outside", b"not asked for")
    monkeypatch.setattr(published, "train_list", checksums[:5])
    monkeypatch.setattr(published, "test_list", checksums[5:])
    monkeypatch.setattr(published, "tgz_md5", md5(archive))
    return x


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


class TestCIFAR10:
    def test_is_fetched_and_read(self, cifar: np.ndarray[Any, Any], root: Path) -> None:
        """An existing archive is used without a download, and only the batches are extracted."""
        data = make(CIFAR10)
        assert "170 MB" in data.missing()
        data.fetch(lambda _: None)
        assert make(CIFAR10).missing() is None and not (root.parent / "outside").exists()
        assert np.array_equal(data.training().x, cifar[:50].reshape(-1, 3, 32, 32))
        assert np.array_equal(data.testing().x, cifar[50:].reshape(-1, 3, 32, 32))
        assert data.testing().label.tolist() == list(range(10))
        assert (root / "cifar-10-python.tar.gz").is_file()

    def test_is_verified_first(self, cifar: np.ndarray[Any, Any], root: Path, messages: Messages) -> None:
        """A batch with a wrong checksum is reported and not read."""
        data = make(CIFAR10)
        data.fetch(lambda _: None)
        path = root / "cifar-10-batches-py" / "data_batch_2"
        published = md5(path)
        path.write_bytes(pickle.dumps(Malicious(os.system, "false")))
        with messages.raises(DataError, path, published, hide={published: "MD5"}):
            data.training()

    @pytest.mark.parametrize("keep", [1000, 0])
    def test_in_a_damaged_archive(
        self, cifar: np.ndarray[Any, Any], root: Path, keep: int, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A damaged archive is found by its checksum, and without that by extraction."""
        archive = root / "cifar-10-python.tar.gz"
        published = md5(archive)
        archive.write_bytes(archive.read_bytes()[:keep])
        with messages.raises(DataError, archive, published, hide={published: "MD5"}):
            make(CIFAR10).fetch(lambda _: None)
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(archive))
        with pytest.raises(DataError) as caught:
            make(CIFAR10).fetch(lambda _: None)
        messages.check(caught.value, archive, hide=cause_of(caught.value))


@pytest.fixture
def stl(root: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, np.ndarray[Any, Any]]:
    """Images (n, 3, 96, 96) by file of a small STL-10, written in its binary format."""
    folder, made = root / "stl10_binary", {}
    folder.mkdir()
    for name, n in (("unlabeled_X.bin", 7), ("train_X.bin", 3), ("test_X.bin", 2)):
        made[name] = RNG.integers(256, size=(n, 3, 96, 96), dtype=np.uint8)
        with (folder / name).open("wb") as file:
            for image in made[name]:
                for channel in image:
                    for column in range(96):  # in MATLAB's order: column by column
                        file.write(channel[:, column].tobytes())
    known = [[name, md5(folder / name)] for name in made]
    monkeypatch.setattr(torchvision.datasets.STL10, "train_list", known[:2])
    monkeypatch.setattr(torchvision.datasets.STL10, "test_list", known[2:])
    return made


class TestSTL10:
    def test_is_read_as_it_is(self, stl: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Unlabelled images are for training, and those of both labelled splits are held out, without labels."""
        monkeypatch.setattr(stl10, "CHUNK", 3)
        data = make(STL10, size=96)
        assert np.array_equal(data.training().x, stl["unlabeled_X.bin"])
        assert np.array_equal(data.testing().x, np.concatenate([stl["train_X.bin"], stl["test_X.bin"]]))
        assert data.training().label is None and data.classes is None and data.labelled() is None

    def test_is_resized_as_torchvision_resizes(self, stl: Mapping[str, Any]) -> None:
        """Images equal those of `Resize(48)` on a Pillow image, as in mimicry."""
        resize = torchvision.transforms.Resize(48)
        for mine, image in zip(make(STL10).training().x, stl["unlabeled_X.bin"], strict=True):
            theirs = np.asarray(resize(Image.fromarray(image.transpose(1, 2, 0))))
            assert np.array_equal(mine, theirs.transpose(2, 0, 1))

    def test_cut_off_is_refused(
        self, stl: Mapping[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A truncated file is found by its checksum, and without that by its size."""
        path = root / "stl10_binary" / "unlabeled_X.bin"
        published = md5(path)
        path.write_bytes(path.read_bytes()[:-1])
        with messages.raises(DataError, path, published, hide={published: "MD5"}):
            make(STL10).training()
        known = [[path.name, md5(path)], *torchvision.datasets.STL10.train_list[1:]]
        monkeypatch.setattr(torchvision.datasets.STL10, "train_list", known)
        with messages.raises(DataError, path, f"{7 * 27_648 - 1:,}", "27,648"):
            make(STL10).training()


class TestImageNet32:
    @pytest.mark.parametrize(("form", "folder"), [("pickle", ""), ("npz", ""), ("pickle", "Imagenet32_{}")])
    def test_is_read_from_its_batches(self, root: Path, form: str, folder: str) -> None:
        """Batches are pickles or .npz, in one folder or in one per archive, with labels from 1."""
        x = RNG.integers(256, size=(33, 3072), dtype=np.uint8)
        _write_imagenet(root / "imagenet32", x, form, folder)
        data = make(ImageNet32)
        assert data.missing() is None
        assert np.array_equal(data.training().x, x[:30].reshape(-1, 3, 32, 32))
        assert np.array_equal(data.testing().x, x[30:].reshape(-1, 3, 32, 32))
        assert data.training().label[:3].tolist() == [0, 500, 999] and data.class_names[999] == "1000"

    def test_lies_anywhere(self, tmp_path: Path) -> None:
        """The folder is a parameter."""
        _write_imagenet(tmp_path / "mine", np.zeros((33, 3072), np.uint8), "npz", "")
        assert len(make(ImageNet32, path=str(tmp_path / "mine")).training()) == 30

    def test_says_where_to_get_it(self, root: Path, messages: Messages) -> None:
        """The message contains the folder and the address, because a download requires a login."""
        path = root / "imagenet32" / "train_data_batch_1"
        messages.check(make(ImageNet32).missing(), path, "https://image-net.org", "11 of 11")
        with pytest.raises(DataError, match=path.name):
            make(ImageNet32).fetch(lambda _: None)

    @pytest.mark.parametrize("name", ["train_data_batch_3.npz", "train_data_batch_3"])
    def test_damaged_is_refused(self, root: Path, name: str) -> None:
        """A damaged file is reported, and no prepared set remains."""
        _write_imagenet(root / "imagenet32", np.zeros((33, 3072), np.uint8), "npz", "")
        (root / "imagenet32" / "train_data_batch_3.npz").unlink()
        (root / "imagenet32" / name).write_bytes(b"PK\x03\x04 no archive")
        with pytest.raises(DataError, match=name):
            make(ImageNet32).training()
        assert not [path for path in (root / "prepared").glob("imagenet32-*") if path.is_dir()]

    def test_of_other_archives_is_other_data(self, root: Path) -> None:
        """Other bytes change `contents` and are prepared again, because no checksum is published."""
        found = []
        for seed in (0, 1):
            x = np.random.default_rng(seed).integers(0, 256, (33, 3072), dtype=np.uint8)
            _write_imagenet(root / "imagenet32", x, "npz", "")
            data = make(ImageNet32)
            assert np.array_equal(data.training().x.reshape(30, -1), x[:30])
            found.append(data.contents)
        assert found[0] != found[1]
        shutil.rmtree(root / "imagenet32")
        assert make(ImageNet32).contents == found[1]  # those of the prepared set

    def test_of_two_places_lies_beside_each_other(self, root: Path, tmp_path: Path) -> None:
        """Sets from two folders are stored separately."""
        for number, name in enumerate(("one", "two")):
            _write_imagenet(tmp_path / name, np.full((33, 3072), number, np.uint8), "npz", "")
        for _ in range(2):
            for number, name in enumerate(("one", "two")):
                said: list[str] = []
                data = make(ImageNet32, path=str(tmp_path / name))
                data.prepare(said.append)
                assert int(data.training().x.max()) == number
        assert said == []


def _write_imagenet(place: Path, x: Any, form: str, folder: str) -> None:
    names = [f"train_data_batch_{i}" for i in range(1, 11)] + ["val_data"]
    for number, name in enumerate(names):
        inside = place / folder.format("train" if name != "val_data" else "val")
        inside.mkdir(parents=True, exist_ok=True)
        rows, labels = x[3 * number : 3 * number + 3], [1, 501, 1000]
        if form == "npz":
            np.savez(inside / f"{name}.npz", data=rows, labels=np.array(labels), mean=np.zeros(3072))
        else:
            (inside / name).write_bytes(as_python_2_wrote_it(pickled(rows, labels, mean=np.zeros(3072))))


# --- any folder ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of forty images of 12 × 12 pixels, each of one colour."""
    place = tmp_path / "mine"
    (place / "below").mkdir(parents=True)
    for number in range(40):
        path = place / ("below" if number % 2 else ".") / f"{number}.png"
        Image.new("RGB", (12, 12), (number, 2 * number, 0)).save(path)
    return place


class TestImageFolder:
    def test_has_all_images_below_it(self, folder: Path) -> None:
        """Each image is in one of the two sets. Other files and hidden ones are left out."""
        (folder / "notes.txt").write_text("mine")
        (folder / ".hidden.png").write_bytes(b"none")
        data = make(ImageFolder, path=str(folder), size=12, held_out=0.3)
        train, test = data.training().x, data.testing().x
        colours = [int(x[0, 0, 0]) for x in (*train, *test)]
        assert sorted(colours) == list(range(40)) and len(test) > 3
        assert all(int(x[1, 5, 5]) == 2 * int(x[0, 5, 5]) for x in train)
        assert data.classes is None and data.shape == (3, 12, 12)

    def test_holds_out_by_name(self, folder: Path) -> None:
        """A new file does not change the set of any other, and the images are prepared again."""
        before = {int(x[0, 0, 0]) for x in make(ImageFolder, path=str(folder), size=8).testing().x}
        Image.new("RGB", (12, 12), (200, 0, 0)).save(folder / "new.png")
        data = make(ImageFolder, path=str(folder), size=8)
        after = {int(x[0, 0, 0]) for x in data.testing().x}
        assert after - {200} == before
        assert len(data.training()) + len(data.testing()) == 41

    def test_is_not_prepared_by_a_look(self, folder: Path, root: Path) -> None:
        """Sizes are None before preparation, and reading them does not write files."""
        data = make(ImageFolder, path=str(folder), size=12)
        assert (data.training_size, data.held_out_size, data.missing()) == (None, None, None)
        assert not (root / "prepared").exists()
        data.prepare(lambda line: None)
        assert (data.training_size, data.held_out_size) == (len(data.training()), len(data.testing()))

    def test_with_a_link_to_nothing_says_so(self, folder: Path, messages: Messages) -> None:
        """A broken link is reported with its path. A folder named like an image is ignored."""
        (folder / "folder.png").mkdir()
        assert make(ImageFolder, path=str(folder), size=12).contents
        (folder / "gone.png").symlink_to("nowhere.png")
        with messages.raises(DataError, folder / "gone.png", hide={os.strerror(errno.ENOENT): "REASON"}):
            assert make(ImageFolder, path=str(folder), size=12).contents

    def test_of_other_bytes_is_other_data(self, folder: Path) -> None:
        """Other bytes change `contents` and are prepared again, even with the same names and sizes."""
        Image.new("RGB", (12, 12), (9, 9, 9)).save(folder / "one.bmp")
        before = make(ImageFolder, path=str(folder), size=12)
        first, number = before.contents, len(before.training()) + len(before.testing())
        Image.new("RGB", (12, 12), (200, 200, 200)).save(folder / "one.bmp")
        after = make(ImageFolder, path=str(folder), size=12)
        assert after.contents != first
        brightest = max(int(pictures.x[:, 2].max()) for pictures in (after.training(), after.testing()))
        assert brightest == 200 and len(after.training()) + len(after.testing()) == number

    def test_is_converted_and_says_so(self, folder: Path, messages: Messages) -> None:
        """Grey, palette, transparent and CMYK images are converted to RGB, and reported."""
        for path in sorted(folder.rglob("*.png"))[4:]:
            path.unlink()
        modes = ("L", "P", "RGBA", "LA", "1")
        for mode in modes:
            Image.new(mode, (12, 12)).save(folder / f"{mode}.png")
        Image.new("CMYK", (12, 12)).save(folder / "cmyk.jpg")
        said: list[str] = []
        make(ImageFolder, path=str(folder), size=8, held_out=0.3).prepare(said.append)
        notes = [line.partition(": ")[2] for line in said if "RGB" in line]
        messages.check("\n".join(notes), *(f"1 converted from {mode}" for mode in (*modes, "CMYK")))

    def test_is_cut_at_the_centre(self, folder: Path) -> None:
        """Images are rotated by EXIF data, cut to the largest central square, and resized."""
        wide = np.zeros((16, 32, 3), np.uint8)
        wide[:, 8:24] = 200
        done = Counter[str]()
        for number, x in enumerate((wide, wide.transpose(1, 0, 2))):
            Image.fromarray(x).save(folder / f"wide{number}.png")
            assert (squared(folder / f"wide{number}.png", 8, done) == 200).all()
        assert done["cut to squares"] == 2 and done["enlarged"] == 0
        exif = Image.Exif()
        exif[0x0112] = 6  # rotated by 90 degrees
        half = np.zeros((16, 16, 3), np.uint8)
        half[:8] = 255
        Image.fromarray(half).save(folder / "turned.png", exif=exif)
        assert (squared(folder / "turned.png", 16, done)[0, :, 8:] == 255).all()

    def test_names_broken_files(self, folder: Path) -> None:
        """All broken files are in one error, including one of sixteen bits per pixel."""
        (folder / "empty.png").touch()
        cut = folder / "0.png"
        cut.write_bytes(cut.read_bytes()[:50])
        Image.fromarray(np.zeros((12, 12), np.uint16)).save(folder / "deep.png")
        with pytest.raises(DataError) as told:
            make(ImageFolder, path=str(folder), size=8, held_out=0.001).prepare(lambda _: None)
        assert "3 of 42" in str(told.value)
        assert all(name in str(told.value) for name in ("empty.png", "0.png", "deep.png", "I;16"))

    def test_reports_animations_and_files_that_are_not_used(self, folder: Path) -> None:
        """Animations, hidden files, links to folders and files with other endings are counted and listed by name."""
        frames = [Image.new("RGB", (12, 12), (0, 0, n)) for n in (10, 200)]
        for name in ("moving.gif", "moving.webp", "moving.png"):
            frames[0].save(folder / name, save_all=True, append_images=frames[1:])
        frames[0].save(folder / "UPPER.JPEG")
        frames[0].save(folder / "photo.jp2")
        frames[0].save(folder / ".hidden.png")
        (folder / "labels.csv").touch()
        (folder / "README").touch()
        (folder / "elsewhere").symlink_to(folder / "below")
        lines: list[str] = []
        data = make(ImageFolder, path=str(folder), size=8)
        data.prepare(lines.append)
        notes = "\n".join(lines)
        assert len(data.training()) + len(data.testing()) == 44
        for part in (
            "3 of several frames",
            "moving.gif, moving.png, moving.webp",
            "1 with the ending .jp2 (photo.jp2)",
            "1 with the ending .csv (labels.csv)",
            "1 without an ending (README)",
            "1 hidden (.hidden.png)",
            "1 links to folders (elsewhere)",
        ):
            assert part in notes
        assert "UPPER" not in notes

    def test_names_may_have_any_bytes(self, folder: Path) -> None:
        """A name that is not UTF-8 is hashed by its bytes, and escaped in messages."""
        name = os.fsdecode(b"caf\xe9\x1b.png")
        Image.new("RGB", (12, 12)).save(folder / name)
        data = make(ImageFolder, path=str(folder), size=8)
        assert len(data.training()) + len(data.testing()) == 41
        (folder / name).write_bytes(b"")
        with pytest.raises(DataError, match=r"caf\\udce9\\x1b\.png"):
            make(ImageFolder, path=str(folder), size=8).prepare(lambda _: None)

    def test_a_pipe_is_refused(self, folder: Path) -> None:
        """A pipe with the name of an image does not block."""
        os.mkfifo(folder / "pipe.png")
        with pytest.raises(DataError, match=r"pipe\.png cannot be read"):
            make(ImageFolder, path=str(folder), size=8).prepare(lambda _: None)

    def test_without_images_is_refused(self, folder: Path, tmp_path: Path, messages: Messages) -> None:
        """A missing folder, one without images, and an empty set are errors."""
        messages.check(make(ImageFolder, path=str(tmp_path / "absent")).missing(), tmp_path / "absent")
        (tmp_path / "empty").mkdir()
        messages.check(make(ImageFolder, path=str(tmp_path / "empty")).missing(), tmp_path / "empty")
        data = make(ImageFolder, path=str(folder), size=8, held_out=1e-9)
        with messages.raises(DataError, folder, 1e-9):
            data.prepare(lambda _: None)


# --- the real files -----------------------------------------------------------------------------------------


def _need(data: ImageDataset) -> None:
    missing = data.missing()
    if missing:
        pytest.skip(missing)


@pytest.mark.data
class TestRealFiles:
    def test_of_mnist(self, real: Path) -> None:
        """Counts, first labels and the mean pixel, 0.1307 of 255, are the known values."""
        data = make(MNIST)
        _need(data)
        train, test = data.training(), data.testing()
        assert (len(train), len(test)) == (60_000, 10_000)
        assert train.label is not None and train.label[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert test.label is not None and test.label[:4].tolist() == [7, 2, 1, 0]
        assert train.x.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
        pair = make(MNISTPair, first=0, second=1)
        assert (len(pair.training()), len(pair.testing())) == (5923 + 6742, 980 + 1135)

    def test_of_cifar10(self, real: Path) -> None:
        """Counts, first labels and the mean of each channel are the known values."""
        data = make(CIFAR10)
        _need(data)
        train, test = data.training(), data.testing()
        assert (len(train), len(test)) == (50_000, 10_000)
        names = [data.class_names[label] for label in train.label[:5]]
        assert names == ["frog", "truck", "truck", "deer", "automobile"]
        assert np.bincount(test.label).tolist() == [1000] * 10
        means = np.asarray(train.x).mean(axis=(0, 2, 3)) / 255
        assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
