"""Inception network that image metrics are defined on, and its features of samples.

This is the network of 2015-12-05, converted by torch-fidelity from the graph that Inception Score and Fréchet distance
were published with. Images are resized to 299 × 299 as in TensorFlow 1. There are 2048 features after the last pooling
(pool3) and 1008 logits without bias. The weights are downloaded once, never unpickled, and identified by their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import ImageDataset, is_images
from gan_bench.contracts.metric import Fetchable, Metric, Samples
from gan_bench.data.downloads import data_root, download, sha256_of
from gan_bench.errors import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FEATURES = 2048
WHOLE = "weights-inception-2015-12-05-6726825d.pth"
TRUNK = "inception-2015-12-05-trunk.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of `WHOLE`. The file name of torch-fidelity contains its first eight digits."""

TRUNK_SHA256 = "c9ce7f36d5ee9536ecde7e5b5b679a59d152a85abff7981e0d6c0e5d706e3557"
"""SHA-256 of the layers in `TRUNK`, see `_digest`: any network of these shapes would return some distance."""

GET_IT = "Run `gan-bench data fetch inception` to download the weights (96 MB)."
CPU_BATCH, GPU_BATCH = 32, 256


@dataclass(frozen=True)
class Inception:
    """The network with the weights of one file.

    Attributes:
        file: name of the file.
        sha256: SHA-256 of the file.
        trunk: SHA-256 of the layers up to the features, equal for all files with the same layers.
        classifies: whether the last layer, which only the logits need, is present.
    """

    network: nn.Module
    file: str
    sha256: str
    trunk: str
    classifies: bool

    def features(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 1 or 3, H, W) uint8 in batches to pool3 features (n, 2048) float32 on the host."""
        import torch

        network = self.network.to(pixels.device)
        step = batch_size(pixels.device)
        found = torch.empty(len(pixels), FEATURES)
        with torch.inference_mode(), _full_precision(pixels.device):
            for start in range(0, len(pixels), step):
                batch = pixels[start : start + step].expand(-1, 3, -1, -1)
                found[start : start + step] = network(batch)[0].cpu()
        return found

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 2048) to logits without bias (n, 1008), both float32 on the host."""
        layer: Any = self.network.fc
        weight: Tensor = layer.weight.detach().cpu()
        return features @ weight.T


def batch_size(device: torch.device) -> int:
    """Return the number of images in a batch of the network."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32, deterministically: the ten bits of TF32 are not enough for a distance of 3."""
    import torch

    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with flags, torch.autocast(device.type, enabled=False):
        yield


def inception() -> Inception:
    """Return the network, which is loaded once per process from `data_root()`.

    Raises:
        DataError: the weights are missing, or the file is damaged or contains other weights.
    """
    path = weights_file()
    if path is None:
        raise DataError(
            f"{data_root() / WHOLE} is missing. It contains the weights of the network that Inception Score, FID, KID, "
            f"precision and recall are defined on. {GET_IT}"
        )
    stat = path.stat()
    return _loaded(path, stat.st_size, stat.st_mtime_ns)


def has_weights() -> bool:
    """Whether a file of weights exists. It is not read."""
    return weights_file() is not None


def weights_file() -> Path | None:
    """Return the path of the file of weights, or None. The file is not read."""
    return next((path for name in (WHOLE, TRUNK) if (path := data_root() / name).is_file()), None)


def fetch(say: Callable[[str], None]) -> None:
    """Download the weights into `data_root()`. Raises DataError."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    download(URL_INCEPTION_V3, data_root() / WHOLE, SHA256, say)


@lru_cache(maxsize=1)
def _loaded(path: Path, size: int, mtime_ns: int) -> Inception:
    """Load a file. It is read again if its size or time has changed."""
    sha256 = sha256_of(path)
    if path.name == WHOLE and sha256 != SHA256:
        raise DataError(
            f"{path} is damaged or another file: its SHA-256 must be {SHA256}, found {sha256}. Remove it. {GET_IT}"
        )
    state = _read(path)
    network = _built(path, state)
    last, trunk = state["fc.weight"], _digest(state)
    if path.name == TRUNK and trunk != TRUNK_SHA256:
        raise _not_these(path, f"the SHA-256 of its layers must be {TRUNK_SHA256[:12]}…, found {trunk[:12]}…")
    return Inception(network, path.name, sha256, trunk, bool((last != last.flatten()[0]).any()))


def _read(path: Path) -> dict[str, Tensor]:
    """Read tensors by name without unpickling."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of unpickling, which weights_only avoids
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types for a damaged file, and recommends unpickling
        raise DataError(
            f"{path} cannot be read as weights. It is damaged or contains other objects than tensors. No code in it "
            f"was executed. {GET_IT}"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _not_these(path, "it contains no tensors by name")
    wrong = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if wrong:
        raise _not_these(path, f"{wrong[0]} contains values that are not finite")
    return dict(state)


def _built(path: Path, state: dict[str, Tensor]) -> nn.Module:
    """Build torch-fidelity's network with these weights, which must have its names and shapes.

    torch-fidelity unpickles its input file, so it receives a buffer written here.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # layers draw initial weights from the global stream
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", [str(FEATURES)], feature_extractor_weights_path=buffer
            )
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).split("\n")]
        what = lines[1] if len(lines) > 1 else lines[0]
        raise _not_these(path, what if len(what) <= 200 else f"{what[:199]}…") from error
    return network


def _not_these(path: Path, reason: str) -> DataError:
    return DataError(f"{path} does not contain the weights of the Inception network of 2015-12-05: {reason}. {GET_IT}")


def _digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the layers up to pool3, by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(state[name].float().numpy().tobytes())
    return digest.hexdigest()


def features(samples: Samples, first: int | None = None) -> Tensor:
    """Return pool3 features (n, 2048) float32 on the host, of the `first` samples or of all. Computed once.

    Raises:
        DataError: the weights are missing; see `inception`.
    """
    import torch

    pixels = samples.pixels
    assert pixels is not None  # `refuses` rejects points
    wanted = len(samples) if first is None else min(first, len(samples))
    parts: list[Tensor] = samples.once("zoo.inception", lambda: [torch.empty(0, FEATURES)])
    have = len(parts[0])
    if have < wanted:
        # only whole batches, so that the last bits of features do not depend on the choice of metrics
        batch = batch_size(pixels.device)
        until = -(-wanted // batch) * batch
        parts[0] = torch.cat((parts[0], inception().features(pixels[have:until])))
    return parts[0][:wanted]


def unseen(dataset: ImageDataset) -> str | None:
    """Return the reason why the network cannot process a dataset's images; None if it can."""
    channels = dataset.shape[0]
    return None if channels in (1, 3) else f"images must have 1 or 3 channels; {dataset.name} has {channels} channels"


def note_of_weights() -> str:
    """Return the identity of the weights; an empty string if they are missing."""
    if not has_weights():
        return ""
    try:
        network = inception()
    except ModuleNotFoundError:  # torch-fidelity; a run continues without it, and its scores report the reason
        return ""
    return f"Inception weights {network.file}, SHA-256 {network.sha256[:12]}…"


class InceptionMetric(Metric):
    """Base class of metrics of images on the Inception network. Grey images are converted to colour."""

    expensive = True
    fetchable: ClassVar[Mapping[str, Fetchable]] = {"inception": Fetchable(fetch, weights_file, inception)}

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images without 1 or 3 channels."""
        return unseen(dataset) if is_images(dataset) else f"{self.name} needs images, and {dataset.name} has none"

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Read the weights, so that a problem is found before the run."""
        inception()

    def note(self, dataset: Dataset) -> str:
        """Return the identity of the weights."""
        return note_of_weights()
