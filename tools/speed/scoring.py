"""Time of FID, KID, precision and recall of images, compared with torch-fidelity's command on the same images.

    python tools/speed/scoring.py [--images 10000] [--rounds 3] [--device cpu]

Both score N generated images against N real ones, all of them noise, in turn for some rounds, with the Inception
weights in the folder GAN_BENCH_DATA. Ours reads tensors, as a model draws them. The command reads PNG files, which are
written first and not timed. Both keep the features of the real images (the command in `cache`), so these are timed
separately, and `samples`, with them already known, is the figure that matters.

    samples   features of the generated images, and the four scores
    both      the same, and features of the real images
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_bench_zoo.metrics._inception import features, inception
from gan_bench_zoo.metrics._inception_reference import reference
from gan_bench_zoo.metrics._reference import Reference
from gan_bench_zoo.metrics.fid import fitted, frechet
from gan_bench_zoo.metrics.kid import kernel_distance
from gan_bench_zoo.metrics.precision_recall import precision_recall
from numpy.typing import NDArray
from PIL import Image

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.contracts.metric import Samples
from gan_bench.data.downloads import data_root

SHAPE = (3, 32, 32)
Images = NDArray[np.uint8]


@dataclass
class Values:
    """Parameters of the dataset."""

    values: str = "signed"


class Noise(ImageDataset):
    """Dataset of the real images."""

    name = "noise"
    shape = SHAPE

    def __init__(self, x: Images) -> None:
        super().__init__(Values())
        self.pictures = Pictures(x)

    def training(self) -> Pictures:
        """Return all images."""
        return self.pictures

    def testing(self) -> Pictures:
        """Return all images."""
        return self.pictures


def noise(n: int, seed: int) -> Images:
    """Return noise images (n, 3, 32, 32)."""
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def ours(samples: Samples, real: Reference) -> dict[str, float]:
    """Compute our scores of samples from their pixels."""
    found, theirs = features(samples), torch.from_numpy(real.features)
    shares = precision_recall(found, theirs)
    return {
        "fid": frechet(fitted(found), real.moments),
        "kid": kernel_distance(found, theirs),
        "precision": shares.precision,
        "recall": shares.recall,
    }


def of_command(model: str, real: str, cache: str, weights: Path, count: int, *, cuda: bool) -> dict[str, float]:
    """Compute torch-fidelity's scores of two folders; features of the real images are kept in `cache`."""
    from torch_fidelity import calculate_metrics

    found = calculate_metrics(
        input1=model,
        input2=real,
        input2_cache_name="real",
        cache_root=cache,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        kid_subset_size=min(1_000, count),
        cuda=cuda,
        fid=True,
        kid=True,
        prc=True,
        verbose=False,
    )
    names = ("frechet_inception_distance", "kernel_inception_distance_mean", "precision", "recall")
    return dict(zip(("fid", "kid", "precision", "recall"), (found[name] for name in names), strict=True))


def write_pngs(folder: Path, x: Images) -> str:
    """Write one file an image."""
    folder.mkdir()
    for i, image in enumerate(x.transpose(0, 2, 3, 1)):
        Image.fromarray(image).save(folder / f"{i:06d}.png")
    return str(folder)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that work takes, and its result."""
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


@dataclass(frozen=True)
class Round:
    """Seconds and scores of both in one turn, ours first."""

    samples: tuple[float, float]
    both: tuple[float, float]
    scores: tuple[dict[str, float], dict[str, float]]


def play(number: int, count: int, weights: Path, device: str, folder: Path) -> Round:
    """Score images that no earlier round had, since features of real images are cached by content."""
    folder.mkdir()
    model, real = noise(count, 2 * number), noise(count, 2 * number + 1) // 2
    pngs = write_pngs(folder / "model", model), write_pngs(folder / "real", real)
    data, pixels = Noise(real), torch.from_numpy(model).to(device)
    known_in, known = timed(lambda: reference(data, device))
    seconds, scores = timed(lambda: ours(Samples(None, data, pixels=pixels), known))
    command = partial(of_command, *pngs, str(folder / "cache"), weights, count, cuda=device != "cpu")
    both, expected = timed(command)
    again, _ = timed(command)
    return Round((seconds, again), (known_in + seconds, both), (scores, expected))


def measure(count: int, rounds: int, device: str, folder: Path) -> dict[str, Any]:
    """Time both in turn, after a warm-up that loads all libraries."""
    weights = data_root() / inception().file
    os.environ["GAN_BENCH_DATA"] = str(folder)  # an empty cache for this run
    (folder / weights.name).symlink_to(weights)
    inception().features(torch.from_numpy(noise(4, 0)).to(device))
    played = [play(number, count, weights, device, folder / str(number)) for number in range(rounds)]
    mine, theirs = played[-1].scores
    return {
        "images": count,
        "rounds": rounds,
        "device": device,
        "threads": torch.get_num_threads(),
        "samples": summary([each.samples for each in played]),
        "both": summary([each.both for each in played]),
        "scores": {name: [mine[name], theirs[name]] for name in mine},
    }


def summary(seconds: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return medians over rounds, of the ratio too."""
    return {
        "ours": round(statistics.median(mine for mine, _ in seconds), 2),
        "command": round(statistics.median(theirs for _, theirs in seconds), 2),
        "ratio": round(statistics.median(mine / theirs for mine, theirs in seconds), 3),
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="number of each kind in a round  [default: 10000]")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds  [default: 3]")
    parser.add_argument("--device", default="cpu", help="device of the features  [default: cpu]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(given.images, given.rounds, given.device, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
