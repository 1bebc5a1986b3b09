"""Steps with the Inception network and photographs: feature rate, and training followed by FID."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import _supplies
import numpy as np
import torch
from _rates import PHOTOGRAPH_STEPS, Recorded, sized
from _steps import PASSED, Context, Failed, Skipped, Step, Values
from _workloads import CIFAR10, CIFAR10_ITERATIONS, WORKLOADS, registry, together
from gan_bench_zoo.metrics._inception import FEATURES, Inception, has_weights, inception
from gan_bench_zoo.metrics.fid import fitted, frechet
from numpy.typing import NDArray

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.contracts.parameters import param
from gan_bench.data.downloads import data_root
from gan_bench.evaluation.evaluate import draw
from gan_bench.plugins.registry import Origin, Registry

SAMPLES = 5_000  # for FID
RESERVE = 45.0  # seconds kept for FID
WORD_EVERY = 5.0  # seconds between two records of progress
FEW = 4  # images in a rehearsal
FEWER_FEATURES = 8  # their number in a rehearsal: FID with 2048 features takes seconds


class ProofImages(ImageDataset):
    """Photographs of a bundle, or noise if the bundle has no photographs."""

    name = "proof-images"
    shape = (3, 32, 32)

    @dataclass(frozen=True)
    class Params:
        """Range of pixel values."""

        values: str = param("signed", "Pixels from -1 to 1 (signed) or from 0 to 1 (unit).", choices=("signed", "unit"))

    def __init__(self, params: Any = None) -> None:
        super().__init__(params or self.Params())

    @cached_property
    def _pictures(self) -> Pictures:
        path = data_root() / _supplies.IMAGES_FILE
        if path.is_file():
            return Pictures(np.load(path))
        return Pictures(np.random.default_rng(0).integers(256, size=(1_000, *self.shape), dtype=np.uint8))

    def training(self) -> Pictures:
        """Return all images."""
        return self._pictures

    def testing(self) -> Pictures:
        """Return the same images."""
        return self._pictures


def known() -> Registry:
    """Return the registry with the photographs added."""
    found = registry()
    found.add("datasets", ProofImages, Origin("proof", "", __file__))
    return found


def supplies(context: Context) -> Values:
    """Join the two parts of the weights and unpack the photographs."""
    found = _supplies.unpack(data_root())
    if has_weights():
        found |= {"weights": inception().file}
    return found


# --- features -------------------------------------------------------------------------------------------------


def network() -> Inception:
    """Return the Inception network, with random weights if there is no weights file."""
    if has_weights():
        return inception()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Keep the random weights."""

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    made = Untrained("inception-v3-compat", [str(FEATURES)], feature_extractor_weights_path=empty)
    return Inception(made, "random weights", "", "", False)


def features(context: Context) -> Values:
    """Measure how many photographs a second pass through the Inception network."""
    pixels = torch.from_numpy(ProofImages().training().x[: FEW if context.tiny else None]).to(context.device)
    made = network()
    made.features(pixels[:512])
    started = time.perf_counter()
    found = made.features(pixels)  # the result is on the host, so the device has finished
    seconds = time.perf_counter() - started
    np.save(context.folder / "reference.npy", _shortened(found, context).numpy())
    rate = len(pixels) / seconds
    values = {"images": len(pixels), "seconds": seconds, "images_per_s": rate, "weights": made.file}
    return values | {"rows": [_row(rate, context)]}


def _shortened(found: torch.Tensor, context: Context) -> torch.Tensor:
    return found[:, :FEWER_FEATURES] if context.tiny else found


def _row(rate: float, context: Context) -> dict[str, Any]:
    """Return a row of the published file, in milliseconds an image."""
    import speed
    from _measuring import Measured
    from _workloads import Timed

    measured = Measured("inception", {Timed("features"): [1e3 / rate] * 3}, {})
    return speed.rows(measured, context.device)[0]


# --- training -------------------------------------------------------------------------------------------------


def fastest(context: Context) -> str:
    """Return the measured CIFAR-10 workload with the fastest iterations."""
    times = {
        name: context.values.get(f"cifar10-{WORKLOADS[name].precision}", {}).get("ms", float("inf")) for name in CIFAR10
    }
    return min(times, key=lambda name: times[name])


def train(context: Context) -> Values:
    """Train MGAN for the time available, then compute the FID of 5,000 samples against the photographs."""
    name = fastest(context)
    workload = sized(replace(WORKLOADS[name], data={"plugin": ProofImages.name}), context)
    bench = Recorded(known(), context.device)
    (trainer,) = bench.trainers(workload)
    iterate = together([trainer], bench.compilers(heavy=True)[0])
    found: dict[str, Any] = {"workload": name, "images": len(ProofImages().training()), "iterations": 0}
    until = time.monotonic() + (0.2 if context.tiny else context.left - RESERVE)
    started = said = time.perf_counter()
    while time.monotonic() < until and trainer.iteration < CIFAR10_ITERATIONS:
        for _ in range(1 if context.tiny else 64):
            iterate()
        if context.device == "cuda":
            torch.cuda.synchronize()
        if time.perf_counter() - said > WORD_EVERY:
            said = time.perf_counter()
            context.note(**found | {"iterations": trainer.iteration})
    seconds = time.perf_counter() - started
    found |= {"iterations": trainer.iteration, "ms": seconds / trainer.iteration * 1e3}
    context.note(**found)
    return found | distance(context, draw(trainer, FEW if context.tiny else SAMPLES, 0), found)


def distance(context: Context, drawn: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Compute the Fréchet distance of samples from all photographs. Raises Skipped without weights."""
    if not drawn.finite:
        raise Failed("samples are not finite", **found)
    reference = context.folder / "reference.npy"
    if context.statuses.get("features") != PASSED:
        raise Skipped("no features to compare with", **found)
    if not has_weights() and not context.tiny:
        raise Skipped("FID with random weights is not comparable", **found)
    real: NDArray[np.float32] = np.load(reference)
    own = _shortened(network().features(drawn.x), context)
    began = time.perf_counter()
    value = frechet(fitted(own), fitted(torch.from_numpy(real)))
    more = {"fid": value, "samples": len(own), "against": len(real), "frechet_s": time.perf_counter() - began}
    return more | {"weights": network().file}


STEPS = (
    Step("supplies", "weights and photographs", supplies, 60),
    *PHOTOGRAPH_STEPS,
    Step("features", "Inception features a second", features, 60, least=15, alone=True),
    Step("train", "MGAN on CIFAR-10, as long as there is time, and its FID", train, 600, least=90, alone=True),
)
