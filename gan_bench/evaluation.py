"""Evaluating a model: samples of the whole mixture, and the scores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.errors import Diverged
from gan_bench.metric import Metric, Samples
from gan_bench.model import Model
from gan_bench.randomness import seed_of
from gan_bench.scoring import Score, compute
from gan_bench.training import Trainer, check_parameters


@dataclass(frozen=True)
class Drawn:
    """Samples of the mixture in random order: x (n, *shape) float32, generator (n,) int64 or None."""

    x: NDArray[np.float32]
    generator: NDArray[np.int64] | None


def allocate(weights: Sequence[float], n: int) -> list[int]:
    """Split n samples over generators in proportion to their weights, by the largest remainders."""
    shares = np.asarray(weights, dtype=np.float64) * n / float(np.sum(weights))
    counts = np.floor(shares).astype(int)
    for k in np.argsort(counts - shares, kind="stable")[: n - counts.sum()]:
        counts[k] += 1
    return [int(count) for count in counts]


@torch.no_grad()
def draw(trainer: Trainer, n: int, seed: int, *, generator: int | None = None) -> Drawn:
    """Draw n samples of the mixture (of its moving average where there is one), or of one generator.

    Args:
        seed: names the draw; the same seed gives the same samples of the same model on one kind of device.
        generator: index in 0…K-1; None draws from the mixture, each generator its share.
    """
    model = trainer.model
    counts = allocate(model.weights().tolist(), n)
    if generator is not None:
        counts = [n if k == generator else 0 for k in range(model.generators)]
    rng = torch.Generator(trainer.device)
    rng.manual_seed(seed)
    x, index = _in_evaluation_mode(trainer, model, counts, rng)
    order = np.random.default_rng(seed).permutation(n)  # no metric may depend on the order of the generators
    return Drawn(_numpy(x)[order], None if index is None else _numpy(index)[order])


def _in_evaluation_mode(trainer: Trainer, model: Model, counts: list[int], rng: torch.Generator) -> Any:
    was_training = model.training
    model.eval()
    try:
        with trainer.averaged():
            return model.sample(counts, trainer.latents, rng)
    finally:
        model.train(was_training)


def _numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().numpy()


def check_finite(trainer: Trainer, drawn: Drawn) -> None:
    """Raise Diverged where parameters or samples are no longer finite, naming which."""
    check_parameters(trainer)
    if not np.isfinite(drawn.x).all():
        raise Diverged(f"Samples are not finite at iteration {trainer.iteration}.")


def evaluate(
    trainer: Trainer, metrics: Sequence[Metric], n: int, seed: int
) -> tuple[Drawn, list[Score], dict[str, str]]:
    """Draw n samples at this point of training and score them.

    Returns:
        the samples, their scores, and for each metric that failed its name and the error (its value is NaN).
    """
    drawn = draw(trainer, n, seed_of(seed, "evaluation", trainer.iteration))
    check_finite(trainer, drawn)
    samples = Samples(
        drawn.x,
        trainer.dataset,
        generator=drawn.generator,
        generators=trainer.model.generators,
        seed=seed_of(seed, "metrics"),
    )
    scores: list[Score] = []
    errors: dict[str, str] = {}
    for metric in metrics:
        try:
            scores += compute(samples, [metric])
        except Exception as error:  # one metric that fails must not cost a run
            errors[metric.name] = f"{type(error).__name__}: {error}"
            scores.append(Score(metric.name, None, float("nan"), n, metric.version))
    return drawn, scores, errors
