"""Checks of a model's generators and samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

from gan_bench.contracts.model import Latents, Model
from gan_bench.contracts.network import Generators
from gan_bench.testing.checks import first_line, place, refuse
from gan_bench.testing.tiny import same, trajectory
from gan_bench.training.trainer import Trainer

EACH = 6
"""Number of samples of each generator that are compared with those of other batches."""


def latents_of(t: Trainer, k: int) -> Tensor:
    """Draw latents (k, 4, size) from a fixed seed."""
    return t.latents.draw(k * 4, torch.Generator().manual_seed(0)).view(k, 4, -1)


def check_generators(t: Trainer) -> None:
    """Check that K generators map the same latents to different samples, after the stage in which all have a share."""
    k = t.model.generators
    if t.model.stages(t.protocol.iterations):
        trajectory(t, t.protocol.iterations)
    z = latents_of(t, k)[:1].expand(k, -1, -1).contiguous()
    ignored = "the table would state another number of generators than the model has"
    ask = "build them with networks.generators(self.generators), and use all of z (K, b, latent size) in generate()"
    try:
        with torch.no_grad():
            x = t.model.generate_all(z)
    except Exception as error:
        refuse(f"with {k} generators, generate() fails: {first_line(error)}{place(error)}", ignored, ask)
    if not isinstance(x, Tensor) or x.dim() < 2 or x.shape[0] != k:
        found = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        refuse(f"with {k} generators and latents {tuple(z.shape)}, generate() returns {found}", ignored, ask)
    for first in range(k):
        for second in range(first):
            if same(x[first], x[second]):
                refuse(
                    f"with {k} generators, {second} and {first} return the same samples for the same latents",
                    ignored,
                    ask,
                )


def require_samples(x: object, shape: tuple[int, ...], what: str) -> None:
    """Check that samples are finite float32 values of a shape."""
    remedy = f"return float32 of shape {shape}, with the dataset's shape at the end"
    reason = "evaluation and losses rely on it"
    if not isinstance(x, Tensor):
        refuse(f"{what} returns {type(x).__name__}", reason, remedy)
    if tuple(x.shape) != shape or x.dtype != torch.float32:
        refuse(f"{what} returns {x.dtype} of shape {tuple(x.shape)}", reason, remedy)
    if not bool(torch.isfinite(x).all()):
        refuse(
            f"{what} returns values that are not finite",
            "a run with such samples is recorded as diverged",
            "keep samples finite",
        )


def count_of_each(generators: int) -> Iterator[list[int]]:
    """Yield numbers of samples per generator: uneven ones of all generators, then samples of one generator only."""
    yield [3 + k for k in range(generators)]
    if generators > 1:
        yield [5 if k == generators - 1 else 0 for k in range(generators)]


def draw_samples(t: Trainer, counts: Sequence[int], latents: Latents | None = None) -> tuple[Tensor, Tensor | None]:
    """Draw samples as an evaluation does, by default from the latents of the trainer."""
    with _evaluated(t.model):
        return t.model.sample(counts, latents or t.latents, torch.Generator().manual_seed(5))


@contextmanager
def recorded_samples(model: Model) -> Iterator[list[Tensor]]:
    """Record what `generate` and `generate_all` of a model return, (K, b, *shape) each call, while the block runs."""
    made: list[Tensor] = []

    def recording(generate: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        made.append(generate(z))
        return made[-1]

    with ExitStack() as patches:
        for name in ("generate", "generate_all"):
            wrapper = partial(recording, getattr(model, name))
            patches.enter_context(patch.object(model, name, wrapper))
        yield made


def check_index(t: Trainer, counts: list[int]) -> None:
    """Check the number of samples of each generator, and that the index of each names the generator that made it."""
    with recorded_samples(t.model) as made:
        x, index = draw_samples(t, counts)
    require_samples(x, (sum(counts), *t.dataset.shape), f"sample({counts})")
    reason = "purity, the number of dead generators and the figures would refer to the wrong generators"
    if index is None:
        if t.model.generators > 1:
            refuse(f"sample({counts}) returns no index", reason, "return the index of the generator of each sample")
        return
    expected = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    if index.dtype != torch.int64 or not torch.equal(index, expected):
        refuse(
            f"sample({counts}) returns the index {index.tolist()}",
            reason,
            f"return each k counts[k] times as int64, in this order: {expected.tolist()}",
        )
    for position, k in enumerate(index.tolist()):
        equal = [(z == x[position]).flatten(2).all(2).any(1) for z in made]  # (K,): whether generator j made the sample
        owners = {j for each in equal for j in each.nonzero().flatten().tolist()}
        if owners and k not in owners:
            refuse(
                f"sample({counts}) returns index {k} for sample {position}, which is from generator {min(owners)}",
                reason,
                "take counts[k] samples from generate(z)[k], in the order of the generators",
            )


@dataclass(frozen=True)
class _OneNegated(Latents):
    """The same latents, except that one of each draw has the other sign."""

    position: int = 0

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        z = super().draw(n, rng)
        chosen = torch.arange(n, device=z.device) == self.position % n
        return torch.where(chosen[:, None], -z, z)


def check_parts(t: Trainer, where: str) -> None:
    """Check that a sample depends neither on the other latents of its batch nor on their number."""
    networks = (each for each in t.model.modules() if isinstance(each, Generators))
    if not t.model.in_parts or not all(getattr(each, "in_parts", True) for each in networks):
        return
    reason = "evaluation draws samples in parts whose size depends on memory, so scores would depend on it"
    remedy = (
        "compute each sample from its latent alone, with running averages in place of statistics of the batch, or "
        "declare `in_parts = False`"
    )
    z = t.latents.draw(t.model.generators * EACH, torch.Generator().manual_seed(0))
    z = z.view(t.model.generators, EACH, -1)
    with _evaluated(t.model):
        whole, part = t.model.generate_all(z), t.model.generate_all(z[:, : EACH // 2].contiguous())
    if not _close(whole[:, : EACH // 2], part).all():
        refuse(f"{where}samples of generate_all() depend on the number of latents", reason, remedy)
    for position in (0, EACH // 2, EACH - 1):
        changed = _changed_by(t, position)
        if changed > 1:
            refuse(f"{where}{changed} samples depend on one latent of sample()", reason, remedy)


def _changed_by(t: Trainer, position: int) -> int:
    """Return the largest number of samples, of one generator if it has its own latents, that depend on one latent."""
    counts = [EACH] * t.model.generators
    x, index = draw_samples(t, counts)
    moved, _ = draw_samples(t, counts, _OneNegated(t.latents.distribution, t.latents.size, position))
    changed = ~_close(x, moved).flatten(1).all(1)
    if index is None or type(t.model).sample is Model.sample:
        return int(changed.sum())
    return int(index[changed].bincount(minlength=1).max())  # a model's own `sample` may share latents


@contextmanager
def _evaluated(model: Model) -> Iterator[None]:
    """Set a model to evaluation mode, without gradients, while the block runs."""
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()


def _close(first: Tensor, second: Tensor) -> Tensor:
    """Compare samples element by element, except for rounding: batches of other sizes are summed in another order."""
    return torch.isclose(first, second, rtol=1e-4, atol=1e-6)
