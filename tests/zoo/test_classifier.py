"""Classifiers of labelled images: training, storage, and protection from foreign files."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo import classifiers
from gan_bench_zoo.classifiers import FEATURES, Network, _steps, classifier_of, record_of, trained
from gan_bench_zoo.datasets.mnist import MNIST
from gan_bench_zoo.datasets.shapes import Shapes

from gan_bench.contracts.images import Pictures
from gan_bench.errors import DataError
from tests.support.messages import Messages
from tests.support.tiny_images import Greys

REAL = os.environ.get("GAN_BENCH_DATA")
STEPS = classifiers.STEPS


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty data root, no loaded classifiers, and a short training."""
    monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(classifiers, "STEPS", (20, 20))
    monkeypatch.setattr(classifiers, "_loaded", {})
    return tmp_path / "cache" / "classifiers"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unload all classifiers, as in a new process."""
    monkeypatch.setattr(classifiers, "_loaded", {})


def weights(network: Network) -> dict[str, Any]:
    """Return parameters and buffers by name."""
    return {name: value.numpy() for name, value in network.state_dict().items()}


class Shuffled(Greys):
    """Greys whose labels are in another order."""

    def training(self) -> Pictures:
        pictures = super().training()
        assert pictures.label is not None
        return Pictures(pictures.x, pictures.label[::-1].copy())


class Unlabelled(Greys):
    """Greys without labels in the training set."""

    def training(self) -> Pictures:
        return Pictures(super().training().x)


class TestNetwork:
    @pytest.mark.parametrize(
        ("shape", "parameters"),
        [
            ((1, 28, 28), 32 * 9 + 64 * 32 * 9 + 2 * 96 + 128 * (64 * 7 * 7 + 1) + 10 * 129),
            ((3, 32, 32), 32 * 27 + 64 * 32 * 9 + 128 * 64 * 9 + 2 * 224 + 128 * (128 * 4 * 4 + 1) + 10 * 129),
        ],
    )
    def test_has_the_convolutions_and_the_dense_layer_that_are_promised(
        self, shape: tuple[int, ...], parameters: int
    ) -> None:
        assert sum(p.numel() for p in Network(shape, 10).parameters()) == parameters

    def test_features_are_what_logits_are_made_of(self) -> None:
        network = Network((1, 8, 8), 3).eval()
        logits, features = network(torch.full((2, 1, 8, 8), 90, dtype=torch.uint8))
        assert features.shape == (2, FEATURES)
        torch.testing.assert_close(logits, network.head(features))


class TestTraining:
    def test_depends_on_its_own_seed_alone(self) -> None:
        """Weights do not depend on the global stream, which is not changed."""
        torch.manual_seed(5)
        state = torch.get_rng_state()
        first = weights(trained(Greys(), "cpu", print))
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(6)
        for name, value in weights(trained(Greys(), "cpu", print)).items():
            np.testing.assert_array_equal(value, first[name])

    def test_learns_what_is_easy(self) -> None:
        """Classes of different brightness are learned without error."""
        data = Greys()
        classifier = classifier_of(data)
        pictures = data.testing()
        logs, features = classifier(torch.from_numpy(pictures.x))
        assert np.array_equal(logs.argmax(axis=1), pictures.label) and classifier.record.accuracy == 1
        np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, rtol=1e-5)
        assert features.shape == (30, FEATURES)

    def test_says_how_long_it_takes(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Training reports its progress, and then the record."""
        monkeypatch.setattr(classifiers, "SAID_EVERY", 0.0)
        lines: list[str] = []
        classifier_of(Greys(), say=lines.append)
        messages.check(re.sub(r"\d+ s left", "N s left", lines[0]), "greys", 60, "5 %")
        assert lines[-1] == str(record_of(Greys()))

    def test_accuracy_is_the_share_of_the_test_set_that_is_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A network that always returns class 0 is correct for a third of the images."""

        def constant(*given: Any) -> Network:
            network = Network((1, 8, 8), 3).eval()
            network.head.weight.data.zero_()
            network.head.bias.data.copy_(torch.tensor([1.0, 0.0, 0.0]))
            return network

        monkeypatch.setattr(classifiers, "trained", constant)
        assert classifier_of(Greys()).record.accuracy == pytest.approx(1 / 3)

    def test_takes_longer_for_more_images_up_to_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """There are four passes over grey images, and the least number of steps for exact classes."""
        monkeypatch.setattr(classifiers, "STEPS", (2, 20))
        few, some, many = (Greys(Greys.Params(count=count)) for count in (60, 320, 1280))
        assert [_steps(data) for data in (few, some, many)] == [2, 10, 20]
        assert _steps(Shapes(Shapes.Params())) == 2

    def test_data_without_the_labels_they_promise_are_refused(self, messages: Messages) -> None:
        """A dataset with classes and without labels is an error."""
        with messages.raises(DataError, "greys"):
            classifier_of(Unlabelled())


class TestKeeping:
    def test_is_trained_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process, and another object of the same dataset, load the stored classifier."""
        first = classifier_of(Greys())
        forget(monkeypatch)
        monkeypatch.setattr(classifiers, "trained", None)
        again = classifier_of(Greys(Greys.Params(values="unit")))
        assert again.record == first.record
        x = torch.from_numpy(Greys().testing().x)
        np.testing.assert_array_equal(again(x)[1], first(x)[1])

    def test_other_images_labels_and_names_are_other_classifiers(self, place: Path) -> None:
        """Other images and other labels have separate classifiers."""
        for data in (Greys(), Greys(Greys.Params(count=63)), Shuffled()):
            classifier_of(data)
        assert len(list(place.glob("*.pt"))) == 3

    def test_says_what_it_is(self, place: Path, messages: Messages) -> None:
        """The record has the dataset, the number of images, the seed and the accuracy."""
        assert record_of(Greys()) is None
        classifier_of(Greys())
        record = record_of(Greys())
        assert record is not None and record.classes == ["dark", "middle", "bright"]
        assert (record.dataset, record.images, record.seed) == ("greys", 60, 0)
        messages.check(record, record.sha256[:8], "greys", "100.00 %", hide={record.sha256[:8]: "SHA256"})

    @pytest.mark.parametrize("damage", ["weights", "record", "another record", "no record"])
    def test_damaged_files_are_not_used(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, damage: str, messages: Messages
    ) -> None:
        """A classifier with damaged files is trained again."""
        first = classifier_of(Greys())
        file, record = next(place.glob("*.pt")), next(place.glob("*.json"))
        if damage == "weights":
            file.write_bytes(file.read_bytes()[:-100] + bytes(100))
        elif damage == "record":
            record.write_text("{")
        elif damage == "another record":
            record.write_text(json.dumps({"sha256": first.record.sha256}))
        else:
            record.unlink()
        forget(monkeypatch)
        assert record_of(Greys()) is None
        lines: list[str] = []
        again = classifier_of(Greys(), say=lines.append)
        messages.check(lines[0], file.name, hide={file.stem: "KEY"})
        for name, value in weights(again.network).items():
            np.testing.assert_array_equal(value, weights(first.network)[name])

    def test_foreign_files_are_never_unpickled(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A foreign file is not unpickled even if the record has its checksum."""
        classifier_of(Greys())
        file, record = next(place.glob("*.pt")), next(place.glob("*.json"))
        file.write_bytes(pickle.dumps(_Malicious(place / "harmed")))
        told = json.loads(record.read_text()) | {"sha256": classifiers.sha256_of(file)}
        record.write_text(json.dumps(told))
        forget(monkeypatch)
        assert classifier_of(Greys()).record.accuracy == 1
        assert not (place / "harmed").exists()

    def test_weights_of_another_network_are_not_used(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A classifier with weights of another network is trained again."""
        classifier_of(Greys())
        file, record = next(place.glob("*.pt")), next(place.glob("*.json"))
        torch.save(Network((1, 8, 8), 4).state_dict(), file)
        told = json.loads(record.read_text()) | {"sha256": classifiers.sha256_of(file)}
        record.write_text(json.dumps(told))
        forget(monkeypatch)
        assert classifier_of(Greys()).network.head.out_features == 3

    def test_leaves_no_other_files(self, place: Path) -> None:
        classifier_of(Greys())
        assert sorted(path.suffix for path in place.iterdir()) == [".json", ".lock", ".pt"]


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.real
class TestMNIST:
    def test_reaches_99_percent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The real digits are read from the folder GAN_BENCH_DATA."""
        if not REAL or not (Path(REAL) / "MNIST" / "raw").is_dir():
            pytest.skip("MNIST is missing: set GAN_BENCH_DATA to a folder that contains MNIST/raw")
        (tmp_path / "MNIST").symlink_to(Path(REAL) / "MNIST")
        monkeypatch.setattr(classifiers, "STEPS", STEPS)
        assert classifier_of(MNIST(MNIST.Params())).record.accuracy >= 0.99
