"""Classifiers of labelled images, for metrics on classes. Each is trained once per machine and kept.

The network has the architecture of PacGAN's classifier of digits (Lin et al., NeurIPS 2018; released code): 3 × 3
convolutions, a dense layer of 128 units whose outputs are the features, and a layer of logits. Batch normalisation
replaces dropout, and pooling follows each convolution, so that accuracy on MNIST reaches 99 % in four passes instead of
twenty. For colour images there is a third convolution.

    kept_at("cache", "classifiers")/KEY.pt      the weights, never unpickled
                                    KEY.json    their SHA-256, accuracy on the test set, seed, training data

KEY depends on the images, their labels and names, and `VERSION`, so that all benchmarks share a classifier. A damaged
or foreign file is not used: the classifier is trained again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.data.downloads import cache_file, exclusive, sha256_of, whole
from gan_bench.errors import DataError

VERSION = 1
"""Version of the network and its training. Increase it if either changes."""

FEATURES = 128
WIDTHS = {1: (32, 64), 3: (32, 64, 128)}  # of the convolutions, by channels; other numbers of channels use those of 3
PASSES = {1: 4, 3: 5}
STEPS = (150, 5000)  # least and most
CHECK_STEPS = 10  # for a dataset that is reduced for a check
BATCH = 128
RATE = 0.005
SEED = 0
AT_ONCE = 500  # images classified together
SAID_EVERY = 10.0  # seconds between two progress messages


class Network(nn.Module):
    """Map (n, C, H, W) uint8 to logits (n, classes) and features (n, 128), float32."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        widths = WIDTHS.get(channels, WIDTHS[3])
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise((channels, *widths))
        ]
        flat = widths[-1] * (height >> len(widths)) * (width >> len(widths))
        self.body = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(flat, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        features = self.body((pixels.float() / 255).contiguous(memory_format=torch.channels_last))
        return self.head(features), features


@dataclass(frozen=True)
class Record:
    """Record of a trained classifier: the content of KEY.json.

    Attributes:
        sha256: of the file of weights.
        accuracy: share of the test set that is classified correctly.
        dataset, images: the training data, and their number.
    """

    sha256: str
    accuracy: float
    seed: int
    dataset: str
    images: int
    classes: list[str]

    def __str__(self) -> str:
        return f"classifier {self.sha256[:8]} of {self.dataset}, accuracy {100 * self.accuracy:.2f} % on its test set"


@dataclass(frozen=True)
class Classifier:
    """A trained network on one device, and its record."""

    network: Network
    record: Record

    def __call__(self, pixels: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return log-probabilities (n, classes) and features (n, 128) of (n, C, H, W) uint8, on the host."""
        device = self.network.head.weight.device
        found = [self._part(part.to(device)) for part in torch.split(pixels, AT_ONCE)]
        return np.concatenate([logs for logs, _ in found]), np.concatenate([features for _, features in found])

    @torch.inference_mode()
    def _part(self, pixels: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, features = self.network(pixels)
        return logits.log_softmax(dim=1).cpu().numpy(), features.cpu().numpy()


_loaded: dict[tuple[Path, str], Classifier] = {}


def classifier_of(
    dataset: ImageDataset, device: torch.device | str = "cpu", say: Callable[[str], None] = lambda line: None
) -> Classifier:
    """Return the classifier of a dataset with labels. If it is not stored, it is trained on `device` and stored.

    Raises:
        DataError: the dataset's files are missing or damaged, or the classifier cannot be written.
    """
    path = _path(dataset)
    place = path, str(device)
    if place not in _loaded:
        _loaded[place] = _kept(path, dataset, device) or _made(path, dataset, device, say)
    return _loaded[place]


def record_of(dataset: ImageDataset) -> Record | None:
    """Return the record of the classifier of a dataset with labels; None if it is not trained yet."""
    return _recorded(_path(dataset))


def _path(dataset: ImageDataset) -> Path:
    """Return the path of KEY.pt."""
    training, testing = dataset.training(), dataset.testing()
    parts = [str(VERSION), *dataset.class_names, *(["reduced"] if dataset.is_reduced else [])]
    for pictures in (training, testing):
        parts += [pictures.fingerprint, hashlib.sha256(labels_of(dataset, pictures).tobytes()).hexdigest()]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return cache_file("classifiers", f"{key[:32]}.pt")


def labels_of(dataset: ImageDataset, pictures: Pictures) -> NDArray[np.int64]:
    """Return the labels of a dataset that declares classes."""
    if pictures.label is None:
        raise DataError(f"{dataset.name} has classes, but its prepared images have no labels. Remove their folder.")
    return np.asarray(pictures.label)


def _recorded(path: Path) -> Record | None:
    """Read KEY.json. Return None unless it describes KEY.pt."""
    with suppress(OSError, ValueError, TypeError):
        record = Record(**json.loads(path.with_suffix(".json").read_bytes()))
        if sha256_of(path) == record.sha256:
            return record
    return None


def _kept(path: Path, dataset: ImageDataset, device: torch.device | str) -> Classifier | None:
    """Load a stored classifier. Return None if it is missing or unusable."""
    record = _recorded(path)
    if record is None:
        return None
    with suppress(Exception):  # torch raises errors of many types for a foreign file; all mean that it is unusable
        network = _network(dataset)
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return Classifier(network.to(device).eval(), record)
    return None


def _network(dataset: ImageDataset) -> Network:
    """Build the network with initial weights, which depend on `SEED` only."""
    with torch.random.fork_rng(devices=[]):  # layers draw weights from the global stream
        torch.manual_seed(SEED)
        network = Network(dataset.shape, len(dataset.class_names))
    return network.to(memory_format=torch.channels_last)


def _made(path: Path, dataset: ImageDataset, device: torch.device | str, say: Callable[[str], None]) -> Classifier:
    """Train and store a classifier, unless another process has stored it meanwhile."""
    with exclusive(path, say):
        found = _kept(path, dataset, device)
        if found is not None:
            return found
        if path.exists():
            say(f"{path.name} is damaged or foreign; training the classifier again")
        network = trained(dataset, device, say)
        with whole(path) as file:
            torch.save({name: value.cpu() for name, value in network.state_dict().items()}, file)
        accuracy = _accuracy(network, dataset, device)
        images = len(dataset.training())
        record = Record(sha256_of(path), accuracy, SEED, dataset.name, images, list(dataset.class_names))
        with whole(path.with_suffix(".json")) as file:
            file.write(json.dumps(asdict(record), indent=1).encode())
        say(f"{record}")
        return Classifier(network, record)


def trained(dataset: ImageDataset, device: torch.device | str, say: Callable[[str], None]) -> Network:
    """Train a network with Adam and a one-cycle learning rate, on images drawn at random with replacement."""
    pictures = dataset.training()
    label = torch.from_numpy(np.array(labels_of(dataset, pictures)))
    network = _network(dataset).to(device)
    total = _steps(dataset)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=total)
    rng, progress = torch.Generator().manual_seed(SEED), _Progress(dataset.name, len(pictures), total, say)
    for step in range(total):
        chosen = torch.randint(len(pictures), (BATCH,), generator=rng)
        pixels = torch.from_numpy(pictures.x[chosen.numpy()]).to(device)
        loss = functional.cross_entropy(network(pixels)[0], label[chosen].to(device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress.at(step + 1)
    return network.eval()


def _steps(dataset: ImageDataset) -> int:
    """Return the number of steps. It is the least for exact classes, of which only features are used."""
    if dataset.is_reduced:
        return CHECK_STEPS
    least, most = STEPS
    passes = PASSES.get(dataset.shape[0], PASSES[3])
    return least if dataset.knows_classes else min(most, max(least, passes * len(dataset.training()) // BATCH))


def _accuracy(network: Network, dataset: ImageDataset, device: torch.device | str) -> float:
    pictures = dataset.testing()
    right = 0
    with torch.no_grad():
        for start in range(0, len(pictures), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            found = network(torch.from_numpy(np.array(pictures.x[part])).to(device))[0].argmax(dim=1)
            right += int((found.cpu().numpy() == labels_of(dataset, pictures)[part]).sum())
    return right / len(pictures)


class _Progress:
    """Report progress of the training every few seconds."""

    def __init__(self, name: str, images: int, total: int, say: Callable[[str], None]) -> None:
        self.what = f"training the classifier of {name} on {images:,} images, once for this machine"
        self.total, self.say = total, say
        self.began = self.told = time.monotonic()

    def at(self, done: int) -> None:
        """Report progress if the last message is old enough."""
        now = time.monotonic()
        if now - self.told > SAID_EVERY:
            self.told = now
            left = (now - self.began) * (self.total - done) / done
            self.say(f"{self.what}: {100 * done // self.total} %, about {left:.0f} s left")
