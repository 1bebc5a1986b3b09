"""Scores of samples, from a model in training or any other program.

Nothing here imports torch: a file of samples is scored on a machine without it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import BOUNDS, ImageDataset, is_images, to_pixels
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.scores import Score
from gan_bench.data.arrays import NPY, NPZ, names_of_npz, read_npy, read_npz, regular_file
from gan_bench.errors import StoreError, UsageError, missing_package
from gan_bench.evaluation.implausible_samples import implausible_samples
from gan_bench.evaluation.scores import compute

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = float(np.finfo(np.float32).max)
MOST_GENERATORS = 10_000  # counts of all cells are computed for each


@dataclass(frozen=True)
class SampleFile:
    """Contents of a file of samples, before comparison with a dataset."""

    x: NDArray[Any]
    generator: NDArray[Any] | None


def score(
    x: NDArray[Any],
    dataset: Dataset,
    metrics: Sequence[Metric],
    *,
    generator: NDArray[Any] | None = None,
    seed: int = 0,
    where: str = "samples",
    log: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = warnings.warn,
) -> list[Score]:
    """Score samples of any origin against a dataset; ``pandas.DataFrame(score(...))`` is a table of them.

    Args:
        x: (n, *dataset.shape) real numbers; also (n,) for points on a line. Images may be uint8.
        metrics: each must be valid for the dataset.
        generator: (n,) integers 0…K-1, the generator of each sample.
        seed: for metrics that draw at random; the same seed gives the same values.
        where: name of the samples in messages.
        log: receives a message about each long step before the first score: a classifier, features of the real images.
        warn: receives a message about samples that are valid and yet implausible; see `implausible_samples`.

    Raises:
        UsageError: samples, indices or metrics do not fit the dataset.
    """
    for metric in metrics:
        reason = metric.refuses(dataset)
        if reason is not None:
            raise UsageError(f"Metric {metric.name!r}: {reason}.")
    x = _checked_shape(x, dataset, where)
    points, pixels = (None, _pixels(x, dataset, where)) if is_images(dataset) else (_finite(x, where), None)
    for metric in metrics:
        if metric.needs > len(x):
            raise UsageError(
                f"{where}: metric {metric.name!r} needs at least {metric.needs:,} samples, found {len(x):,}."
            )
        with _packages_of(metric):
            metric.prepare(dataset, "cpu", log)
    index = None if generator is None else _checked_generator(generator, len(x), where)
    levels = None if pixels is None else pixels.numpy()
    for problem in implausible_samples(points, levels, index, dataset):
        warn(f"{where}: {problem}")
    generators = 1 if index is None else int(index.max()) + 1
    samples = Samples(points, dataset, pixels=pixels, generator=index, generators=generators, seed=seed)
    scores: list[Score] = []
    for metric in metrics:
        with _packages_of(metric):
            scores += compute(samples, [metric])
    return scores


@contextmanager
def _packages_of(metric: Metric) -> Iterator[None]:
    """Raise UsageError if a package that a metric needs is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"Metric {metric.name!r}: {missing_package(error) or error}.") from error


def _pixels(x: NDArray[Any], dataset: ImageDataset, where: str) -> Tensor:
    """Convert images to levels: uint8 unchanged, other numbers by the dataset's bounds.

    A number that rounds to a level is valid, although it may lie slightly outside the bounds.
    """
    import torch

    if x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x))
    _require_finite(np.isfinite(x), where)
    low, high = dataset.bounds
    half_a_level = (high - low) / 510
    found = float(np.min(x)), float(np.max(x))
    if found[0] < low - half_a_level or found[1] > high + half_a_level:
        allowed = f"uint8 or between {low:g} and {high:g}"
        range_text = f"{x.dtype} from {found[0]:.4g} to {found[1]:.4g}"
        raise UsageError(
            f"{where}: images of {dataset.name} must be {allowed}, found {range_text}.{_other_range(found, dataset)}"
        )
    return to_pixels(torch.from_numpy(np.asarray(x, dtype=np.float32)), dataset.bounds)


def _other_range(found: tuple[float, float], dataset: ImageDataset) -> str:
    """Return the remedy for a range that is common for images, or an empty string."""
    if found[0] >= 0 and 1 < found[1] <= 255:
        return " Save them as uint8."
    if dataset.bounds == BOUNDS["unit"] and -1 <= found[0] < 0 and found[1] <= 1:
        return " Use --set values=signed if their bounds are -1 and 1."
    return ""


def read_samples(path: str | Path) -> SampleFile:
    """Read a ``.npy`` array, or a ``.npz`` with ``samples`` and optionally ``generator``; nothing is unpickled.

    Raises:
        StoreError: the file is missing, damaged, of another kind, or contains Python objects.
    """
    path = Path(path)
    try:
        with regular_file(path) as file:
            return _read(file, path)
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{path}: the file does not exist.") from error
    except Exception as error:  # for a damaged file numpy raises ValueError, TypeError, TokenError and more
        raise StoreError(
            f"{path}: cannot be read ({_reason(error)}). Save an array of numbers with numpy.save or numpy.savez."
        ) from error


def _read(file: BinaryIO, path: Path) -> SampleFile:
    start = file.read(6)
    if start.startswith(NPY):
        return SampleFile(read_npy(file), None)
    if not start.startswith(NPZ):
        kind = "neither a .npy nor a .npz file" if start else "empty"
        raise StoreError(f"{path}: the file is {kind}. Save an array of numbers with numpy.save or numpy.savez.")
    _require_samples(path, names_of_npz(file))
    found = read_npz(file, ("samples", "generator"))
    return SampleFile(found["samples"], found.get("generator"))


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")


def _require_samples(path: Path, names: Sequence[str]) -> None:
    if "samples" not in names:
        found = ", ".join(names[:10]) if names else "none"
        raise StoreError(f"{path}: the file must contain an array 'samples', found {found}.")


def _checked_shape(x: NDArray[Any], dataset: Dataset, where: str) -> NDArray[Any]:
    """Convert samples to (n, *shape) real numbers, at least one."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiu":
        raise UsageError(f"{where}: samples must be real numbers, found {x.dtype}.")
    if x.ndim == 1 and dataset.shape == (1,):
        x = x[:, None]
    if x.shape[1:] != dataset.shape or x.ndim == 0:
        expected = ", ".join(["n", *map(str, dataset.shape)])
        last = is_images(dataset) and x.shape[1:] == (*dataset.shape[1:], dataset.shape[0])
        hint = " Move the channels with x.transpose(0, 3, 1, 2)." if last else ""
        raise UsageError(f"{where}: samples of {dataset.name} must have shape ({expected}), found {x.shape}.{hint}")
    if len(x) == 0:
        raise UsageError(f"{where}: there must be at least one sample, found shape {x.shape}.")
    return x


def _finite(x: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Convert samples to float64; all must be finite in float32."""
    with np.errstate(over="ignore"):  # from long double
        values = x.astype(np.float64)
    _require_finite(np.asarray(np.abs(values) <= LARGEST), where)
    return values


def _require_finite(finite: Any, where: str) -> None:
    """Raise UsageError unless all values (n, *shape) are finite, with the number and the first of the others."""
    if finite.all():
        return
    rows = finite.reshape(len(finite), -1).all(axis=1)
    row = int(rows.argmin())
    place = ", ".join(map(str, np.argwhere(~finite[row])[0]))
    raise UsageError(
        f"{where}: samples must be finite in float32, found {len(rows) - rows.sum()} of {len(rows)} that are not; "
        f"the first is row {row}, counted from 0, at position ({place})."
    )


def _checked_generator(generator: NDArray[Any], n: int, where: str) -> NDArray[np.int64]:
    """Convert indices to (n,) int64, each in 0…n-1 and below `MOST_GENERATORS`."""
    generator = np.asarray(generator)
    if generator.dtype.kind not in "iu":
        raise UsageError(f"{where}: generator must contain integers, found {generator.dtype}.")
    if generator.shape != (n,):
        raise UsageError(f"{where}: generator must have shape ({n},) for {n} samples, found {generator.shape}.")
    most = min(n, MOST_GENERATORS)
    wrong = (generator < 0) | (generator >= most)
    if wrong.any():
        row = int(wrong.argmax())
        raise UsageError(
            f"{where}: generator must be from 0 to K-1, with K at most {MOST_GENERATORS:,} and the number of samples "
            f"({n}), found {generator[row]} in row {row}, counted from 0."
        )
    return generator.astype(np.int64)
