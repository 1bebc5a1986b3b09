"""The Inception network that image metrics are defined on, and its features of samples.

The network of 2015-12-05, as torch-fidelity converted it from the graph that Inception Score and Fréchet distance were
published with: images resized to 299 × 299 as TensorFlow 1 does, 2048 features after the last pooling (pool3), 1008
logits without bias. Its weights are fetched once, never unpickled, and identified by their SHA-256.
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
"""Of `WHOLE`; torch-fidelity's name for the file has its first eight digits."""

TRUNK_SHA256 = "c9ce7f36d5ee9536ecde7e5b5b679a59d152a85abff7981e0d6c0e5d706e3557"
"""Of the layers in a file called `TRUNK`, see `_digest`: any network of these shapes would give some distance."""

GET_IT = "`gan-bench data fetch inception` downloads them (96 MB)."
CPU_BATCH, GPU_BATCH = 32, 256


@dataclass(frozen=True)
class Inception:
    """The network with the weights of one file.

    Attributes:
        file: the name of the file.
        sha256: of the file.
        trunk: SHA-256 of the layers that features go through: equal for all files that agree in these.
        classifies: whether the last layer, which only the logits need, is there.
    """

    network: nn.Module
    file: str
    sha256: str
    trunk: str
    classifies: bool

    def features(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 1 or 3, H, W) uint8 to pool3 features (n, 2048) float32 on the host, in batches."""
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
    """Number of images in a batch of the network."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32 throughout, deterministically: a distance of 3 needs more than ten bits of mantissa."""
    import torch

    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with flags, torch.autocast(device.type, enabled=False):
        yield


def inception() -> Inception:
    """Return the network, loaded once per process from `data_root()`.

    Raises:
        DataError: there are no weights, or the file is damaged or holds others.
    """
    path = weights_file()
    if path is None:
        raise DataError(
            f"{data_root() / WHOLE}: there is no such file. These are the weights of the network that Inception Score, "
            f"FID, KID, precision and recall are defined on. {GET_IT}"
        )
    stat = path.stat()
    return _loaded(path, stat.st_size, stat.st_mtime_ns)


def has_weights() -> bool:
    """Return whether a file of weights exists; it is not read."""
    return weights_file() is not None


def weights_file() -> Path | None:
    """Return the file of weights, None if there is none. It is not read."""
    return next((path for name in (WHOLE, TRUNK) if (path := data_root() / name).is_file()), None)


def fetch(say: Callable[[str], None]) -> None:
    """Download the weights into `data_root()`. Raises DataError."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    download(URL_INCEPTION_V3, data_root() / WHOLE, SHA256, say)


@lru_cache(maxsize=1)
def _loaded(path: Path, size: int, mtime_ns: int) -> Inception:
    """Load a file; one of another size or time is read again."""
    sha256 = sha256_of(path)
    if path.name == WHOLE and sha256 != SHA256:
        raise DataError(
            f"{path} is damaged, or another file: its SHA-256 is {sha256}, not {SHA256}. Remove it. {GET_IT}"
        )
    state = _read(path)
    network = _built(path, state)
    last, trunk = state["fc.weight"], _digest(state)
    if path.name == TRUNK and trunk != TRUNK_SHA256:
        raise _not_these(path, f"its layers have SHA-256 {trunk[:12]}…, not {TRUNK_SHA256[:12]}…")
    return Inception(network, path.name, sha256, trunk, bool((last != last.flatten()[0]).any()))


def _read(path: Path) -> dict[str, Tensor]:
    """Read tensors by name, without unpickling."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warning about the kind of pickle that is avoided here
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types for a damaged file, with unsafe advice
        raise DataError(
            f"{path} cannot be read as weights: it is damaged, or holds something else than tensors; nothing in it was "
            f"executed. {GET_IT}"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _not_these(path, "it holds no tensors by name")
    wrong = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if wrong:
        raise _not_these(path, f"{wrong[0]} is not finite")
    return dict(state)


def _built(path: Path, state: dict[str, Tensor]) -> nn.Module:
    """Build torch-fidelity's network with these weights; names and shapes must be its own.

    torch-fidelity unpickles its input file, so it gets a buffer that was written here.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global stream
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", [str(FEATURES)], feature_extractor_weights_path=buffer
            )
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).split("\n")]
        what = lines[1] if len(lines) > 1 else lines[0]
        raise _not_these(path, what if len(what) <= 200 else f"{what[:199]}…") from error
    return network


def _not_these(path: Path, reason: str) -> DataError:
    return DataError(f"{path} does not hold the weights of the Inception network of 2015-12-05: {reason}. {GET_IT}")


def _digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the layers up to pool3, by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(state[name].float().numpy().tobytes())
    return digest.hexdigest()


def features(samples: Samples, first: int | None = None) -> Tensor:
    """Return pool3 features (n, 2048) float32 on the host of the first samples, or of all, computed once.

    Raises:
        DataError: there are no weights; see `inception`.
    """
    import torch

    pixels = samples.pixels
    assert pixels is not None  # points are refused
    wanted = len(samples) if first is None else min(first, len(samples))
    parts: list[Tensor] = samples.once("zoo.inception", lambda: [torch.empty(0, FEATURES)])
    have = len(parts[0])
    if have < wanted:
        # whole batches only: a feature's last bits must not depend on the choice of metrics
        batch = batch_size(pixels.device)
        until = -(-wanted // batch) * batch
        parts[0] = torch.cat((parts[0], inception().features(pixels[have:until])))
    return parts[0][:wanted]


def unseen(dataset: ImageDataset) -> str | None:
    """Return the reason why the network cannot process a dataset's images; None if it can."""
    channels = dataset.shape[0]
    return None if channels in (1, 3) else f"it looks at grey or colour images; {dataset.name} has {channels} channels"


def note_of_weights() -> str:
    """Identity of the weights; empty if there are none."""
    if not has_weights():
        return ""
    try:
        network = inception()
    except ModuleNotFoundError:  # torch-fidelity: without it a run goes on, and its scores report the reason
        return ""
    return f"Inception weights {network.file}, SHA-256 {network.sha256[:12]}…"


class InceptionMetric(Metric):
    """Base class of scores of images from the Inception network. Grey images are converted to colour."""

    expensive = True
    fetchable: ClassVar[Mapping[str, Fetchable]] = {"inception": Fetchable(fetch, weights_file, inception)}

    def refuses(self, dataset: Dataset) -> str | None:
        """Refuse points, and images of other than 1 or 3 channels."""
        return unseen(dataset) if is_images(dataset) else f"{dataset.name} has no images"

    def prepare(self, dataset: Dataset, device: str, say: Callable[[str], None]) -> None:
        """Read the weights once, so that a run does not end without a score."""
        inception()

    def note(self, dataset: Dataset) -> str:
        """Identity of the weights."""
        return note_of_weights()
