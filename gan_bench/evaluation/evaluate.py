"""Evaluation of a model: samples of the whole mixture, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_bench.acceleration.tracing import out_of_memory
from gan_bench.contracts.dataset import Dataset
from gan_bench.contracts.images import is_images, to_pixels
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Generators
from gan_bench.contracts.scores import Score, Share
from gan_bench.errors import Diverged, PluginError, UsageError, error_text, missing_package
from gan_bench.evaluation.class_shares import class_shares
from gan_bench.evaluation.scores import compute
from gan_bench.plugins.process_state import undisturbed
from gan_bench.training.randomness import seed_of
from gan_bench.training.trainer import Trainer, check_parameters

LARGEST_PART = 2**21
"""Largest number of values in samples drawn at once: 682 colour images of 32 x 32. More are drawn in parts."""

TRIES = 1000
"""Number of latents for each sample of one generator that a gate has to choose, and latents tried at a time."""

TOLERANCE = 1e-4
"""Largest difference from 1 of the sum of probabilities; they are float32."""

BATCH = 6
"""Number of samples of each generator in the larger batch of `check_in_parts`."""

MOST_DIFFERENCE = 1e-2
"""Largest difference between equal samples from batches of different sizes, relative to the largest sample.

Products of other sizes are rounded differently, by about 1e-6; batch statistics of a few samples change all of them.
"""

FIXED = 16
"""Number of images stored per generator, always from the same latents; more for few generators."""


@dataclass(frozen=True)
class DrawnSamples:
    """Samples of the mixture in random order.

    x: (n, *shape) float32 on the host; for images (n, C, H, W) uint8 on the model's device; generator: (n,) int64 or
    None; finite: whether all samples are finite.
    """

    x: NDArray[np.float32] | Tensor
    generator: NDArray[np.int64] | None
    finite: bool = True


def allocate(weights: Sequence[float], n: int) -> list[int]:
    """Split n samples over generators in proportion to their weights, by the largest remainders."""
    shares = np.asarray(weights, dtype=np.float64) * n / float(np.sum(weights))
    counts = np.floor(shares).astype(int)
    for k in np.argsort(counts - shares, kind="stable")[: n - counts.sum()]:
        counts[k] += 1
    return [int(count) for count in counts]


@torch.no_grad()
def draw(
    trainer: Trainer,
    n: int,
    seed: int,
    *,
    generator: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> DrawnSamples:
    """Draw n samples of the mixture (of its moving average if it has one), or of one generator.

    Args:
        seed: identifies the draw; the same seed gives the same samples of the same model on one kind of device.
        generator: index in 0…K-1; None draws from the mixture, each generator its share.
        progress: receives the number of samples after each part.
    """
    model = trainer.model
    if model.gated:
        drawn = _chosen(trainer, n, seed, generator, progress)
    else:
        counts = allocate(mixture_weights(trainer), n)
        if generator is not None:
            counts = [n if k == generator else 0 for k in range(model.generators)]
        drawn = _samples(trainer, counts, seed, progress)
    x, index, finite = drawn
    order = np.random.default_rng(seed).permutation(len(x))  # no metric may depend on the order of the generators
    if is_images(trainer.dataset):
        shuffled: NDArray[np.float32] | Tensor = x[torch.from_numpy(order).to(x.device)]
    else:
        shuffled = _numpy(x)[order]
    return DrawnSamples(shuffled, None if index is None else _numpy(index)[order], finite)


@torch.no_grad()
def fixed(trainer: Trainer, seed: int) -> DrawnSamples:
    """Images from fixed latents of every generator, for progress figures.

    In the order of the generators, `FIXED` of each, or more of few. Those of a model with a gate are of equal number as
    well, whether or not it chooses them.
    """
    count = trainer.model.generators
    each = max(FIXED, 4 * FIXED // count)
    x, index, finite = _samples(trainer, [each] * count, seed_of(seed, "pictures"))
    return DrawnSamples(x, None if index is None else _numpy(index), finite)


def mixture_weights(trainer: Trainer) -> list[float]:
    """Weights of the generators in the mixture of a model without a gate, by its present parameters and state.

    Raises:
        Diverged: weights and parameters are not finite.
        PluginError: the weights have another shape, are negative or do not sum to 1.
    """
    model = trainer.model
    weights = model.current_weights(trainer.model_state)
    _require_probabilities(trainer, "weights()", weights, (model.generators,))
    return [float(weight) for weight in weights.tolist()]


def _require_probabilities(trainer: Trainer, method: str, values: Any, shape: tuple[int, ...]) -> None:
    """Check weights, or each row of a gate's probabilities; see `mixture_weights`."""
    where = f"{trainer.model.name}: {method} must return"
    found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if found != shape:
        raise PluginError(f"{where} a tensor of shape {shape}, found {found}.")
    at = f"at iteration {trainer.iteration}"
    if not bool(torch.isfinite(values).all()):
        check_parameters(trainer)
        raise PluginError(f"{where} finite numbers, found {_first(values, ~torch.isfinite(values))} {at}.")
    if bool((values < 0).any()):
        raise PluginError(f"{where} numbers of at least 0, found {_first(values, values < 0)} {at}.")
    sums = values.double().sum(-1)
    off = (sums - 1).abs() > TOLERANCE
    if bool(off.any()):
        raise PluginError(f"{where} numbers that sum to 1, found a sum of {_first(sums, off)} {at}.")


def _first(values: Tensor, where: Tensor) -> str:
    return f"{float(values[where].flatten()[0]):g}"


def _chosen(
    trainer: Trainer, n: int, seed: int, generator: int | None, progress: Callable[[int], None]
) -> tuple[Tensor, Tensor | None, bool]:
    """Draw n samples of a mixture that depends on the latents, in parts; of one generator those for which it is chosen.

    Raises:
        UsageError: the generator is chosen for too few latents.
    """
    model, rng = trainer.model, torch.Generator(trainer.device)
    rng.manual_seed(seed)
    step = max(1, LARGEST_PART // (math.prod(trainer.dataset.shape) * model.generators)) if in_parts(model) else n
    parts: list[tuple[Tensor, Tensor, bool]] = []
    found = drawn = 0
    while found < n:
        size = min(step, n - found if generator is None else max(n, TRIES))
        with _evaluation_mode(trainer):
            x, index, probabilities = model.sample_by_gate(size, trainer.latents, rng, trainer.model_state)
        _require_probabilities(trainer, "gate()", probabilities, (size, model.generators))
        if generator is not None:
            x, index = x[index == generator][: n - found], index[index == generator][: n - found]
        parts.append((_pixels(trainer, x), index, bool(torch.isfinite(x).all())))
        found, drawn = found + len(x), drawn + size
        if found < n and drawn >= TRIES * max(n, TRIES):
            raise UsageError(f"{model.name}: the gate chooses generator {generator} for {found} of {drawn} latents.")
        progress(found)
    return torch.cat([x for x, _, _ in parts]), torch.cat([k for _, k, _ in parts]), all(ok for _, _, ok in parts)


def _samples(
    trainer: Trainer, counts: Sequence[int], seed: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[Tensor, Tensor | None, bool]:
    """Generate samples in the order of generators and in parts; convert images to pixels."""
    rng = torch.Generator(trainer.device)
    rng.manual_seed(seed)
    parts = []
    for part in _parts(counts, math.prod(trainer.dataset.shape)) if in_parts(trainer.model) else [list(counts)]:
        with _evaluation_mode(trainer):
            x, index = trainer.model.sample(part, trainer.latents, rng)
        parts.append((_pixels(trainer, x), index, bool(torch.isfinite(x).all())))
        progress(sum(len(x) for x, _, _ in parts))
    whole, finite = torch.cat([x for x, _, _ in parts]), all(finite for _, _, finite in parts)
    indices = [index for _, index, _ in parts if index is not None]
    return whole, torch.cat(indices) if len(indices) == len(parts) else None, finite


def _parts(counts: Sequence[int], size: int) -> Iterator[list[int]]:
    """Split `counts` into counts of at most `LARGEST_PART` values in all."""
    step = max(1, LARGEST_PART // (size * len(counts)))
    for done in range(0, max(counts), step):
        yield [min(step, max(0, count - done)) for count in counts]


def in_parts(model: Model) -> bool:
    """Whether many samples of a model may be drawn by several calls, by its declaration and that of its networks."""
    return model.in_parts and all(each.in_parts for each in model.modules() if isinstance(each, Generators))


@torch.no_grad()
def check_in_parts(trainer: Trainer) -> None:
    """Compare samples that are generated from the same latents in a larger and a smaller batch.

    Raises:
        PluginError: they differ, and neither the model nor its network declares `in_parts = False`.
    """
    model = trainer.model
    if not model.generating or not in_parts(model):
        return
    rng = torch.Generator(trainer.device).manual_seed(0)
    z = trainer.latents.draw(model.generators * BATCH, rng).view(model.generators, BATCH, -1)
    with _evaluation_mode(trainer):
        for together, alone in _compared(model, z, trainer.model_state):
            if bool((together - alone).abs().max() > MOST_DIFFERENCE * together.abs().max()):
                raise PluginError(
                    f"{model.name}: in evaluation mode, samples depend on the batch in which they are drawn. Normalise "
                    "by running averages, or declare in_parts = False on the model or its Generators; all samples of "
                    "an evaluation are then one batch."
                )


def _compared(model: Model, z: Tensor, state: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield samples, or a gate's probabilities, of the first latents of `z` within a larger batch, and alone."""
    few = z.shape[1] // 2
    yield model.generate_all(z)[:, :few], model.generate_all(z[:, :few])
    if model.gated:
        yield model.propose(z[0], state)[1][:few], model.propose(z[0, :few], state)[1]


def _pixels(trainer: Trainer, x: Tensor) -> Tensor:
    """Convert images to pixels."""
    bounds = trainer.dataset.bounds
    return to_pixels(x, bounds) if bounds and is_images(trainer.dataset) else x


@contextmanager
def _evaluation_mode(trainer: Trainer) -> Iterator[None]:
    """Set the model to evaluation mode, with averaged parameters if there are any, and restore it afterwards."""
    was_training = trainer.model.training
    trainer.model.eval()
    try:
        with trainer.averaged():
            yield
    finally:
        trainer.model.train(was_training)


def _numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().numpy()


@torch.no_grad()
def evaluated_by_initial_averages(trainer: Trainer) -> bool:
    """Whether an untrained model is evaluated with batch-norm statistics at their initial values.

    Determined by a draw in training mode, for any kind of layer: a draw changes running statistics, which are reset.
    """
    model = trainer.model
    if trainer.trains or not any(True for _ in model.buffers()):
        return False
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    rng = torch.Generator(trainer.device).manual_seed(0)
    model.sample([2] * model.generators, trainer.latents, rng)
    moved = False
    for name, buffer in model.named_buffers():
        moved = moved or not torch.equal(buffer, before[name])
        buffer.copy_(before[name])
    return moved


def check_finite(trainer: Trainer, drawn: DrawnSamples) -> None:
    """Raise Diverged if parameters or samples are no longer finite; the message names them."""
    check_parameters(trainer)
    if not drawn.finite:
        raise Diverged(f"Samples are not finite at iteration {trainer.iteration}.")


class Evaluation(NamedTuple):
    """Result of one evaluation.

    drawn: the samples; scores: of them; errors: for each metric that failed its name and the error (its value is NaN,
    unless only its classes failed); classes: shares in each generator, empty if no metric distinguishes classes.
    """

    drawn: DrawnSamples
    scores: list[Score]
    errors: dict[str, str]
    classes: list[Share]


def evaluate(
    trainer: Trainer,
    metrics: Sequence[Metric],
    n: int,
    seed: int,
    *,
    repeat: int = 0,
    dataset: Dataset | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Draw n samples at this point of training and score them.

    Args:
        repeat: 0 is the draw that scores a run; 1, 2, … are others, with other seeds for metrics that draw as well.
        dataset: dataset that samples are compared with, if it is not the trainer's.
        log: receives what metrics have changed about the process; the change is undone.
    """
    again = (repeat,) if repeat else ()
    drawn = draw(trainer, n, seed_of(seed, "evaluation", trainer.iteration, *again))
    check_finite(trainer, drawn)
    samples = Samples(
        None if isinstance(drawn.x, Tensor) else drawn.x,
        dataset or trainer.dataset,
        pixels=drawn.x if isinstance(drawn.x, Tensor) else None,
        generator=drawn.generator,
        generators=trainer.model.generators,
        seed=seed_of(seed, "metrics", *again),
    )
    scores: list[Score] = []
    errors: dict[str, str] = {}
    for metric in metrics:
        try:
            with undisturbed(lambda changes, name=metric.name: log(f"Metric {name} {changes}")):  # type: ignore[misc]
                scores += compute(samples, [metric])
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # one failing metric must not end a run, even by SystemExit
            if out_of_memory(error):  # a smaller stack may fit
                raise
            errors[metric.name] = missing_package(error) or error_text(error)
            scores.append(Score(metric.name, None, float("nan"), n, metric.version))
    classes = _class_shares([metric for metric in metrics if metric.name not in errors], samples, errors)
    return Evaluation(drawn, scores, errors, classes)


def _class_shares(metrics: Sequence[Metric], samples: Samples, errors: dict[str, str]) -> list[Share]:
    """Shares of classes by the first metric that distinguishes them; failures are added to `errors`."""
    for metric in metrics:
        try:
            found = metric.classes(samples)
            if found is not None:
                return class_shares(found, samples)
        except Exception as error:  # its score remains valid
            errors[metric.name] = f"classes: {error_text(error)}"
    return []
