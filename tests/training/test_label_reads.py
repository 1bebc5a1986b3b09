"""Detection of models that read labels of real data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.conditional_gan import ConditionalGAN
from gan_bench_zoo.models.gan import GAN
from torch import Tensor

from gan_bench.acceleration.compilation import as_traced
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Fake, Model, Stage
from gan_bench.training.label_reads import LabelReads
from tests.support.tiny import WIDER, ZOO, trainer

LABELLED = {"ac-gan", "ac-gan, real", "conditional-gan", "conditional-gan, saturating"}
LONG = {"magan", "adagan"}  # 150 turns in the first iteration; hundreds of classifier steps


class Copying(GAN):
    """A GAN that changes real data, and passes the labels on without using them."""

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        return super().discriminator_loss(dataclasses.replace(real, x=real.x * 2), fake)


class Later(Copying):
    """The same with a loss that reads the labels of the changed data."""

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        changed = dataclasses.replace(real, x=real.x * 2)
        assert changed.label is not None
        return super().discriminator_loss(real, fake) + 0 * changed.label.sum()


class Pooled(GAN):
    """A GAN that reads labels of its pool at the start of a stage."""

    reads = True

    @property
    def pool_size(self) -> int:
        return 20

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        return (Stage(0),)

    def enter_stage(self, number: int, state: Mapping[str, Tensor], pool: Real | None) -> Mapping[str, Tensor]:
        assert pool is not None and len(pool.x) == 20
        assert not self.reads or pool.label is not None
        return state


class Unread(Pooled):
    """The same without reading them."""

    reads = False


class Unlabelled(Ring8):
    """The ring without labels."""

    @property
    def classes(self) -> None:  # type: ignore[override]
        return None

    def draw(self, n: int, rng: torch.Generator) -> Real:
        return Real(super().draw(n, rng).x)


def reads(model: Model, **settings: Any) -> bool:
    """Whether the first iteration of a model is found to read labels."""
    run = trainer(model, **settings)
    run.iterate()
    return run.context.label_reads.found


@pytest.mark.parametrize("name", [name for name in (*ZOO, *WIDER) if name not in LONG])
def test_zoo(name: str) -> None:
    """Of the built-in models, only those that are for labelled data are found to read labels."""
    assert reads({**ZOO, **WIDER}[name](), fakes=24) == (name in LABELLED)


@pytest.mark.parametrize(
    ("build", "expected"),
    [(Copying, False), (Later, True), (Pooled, True), (Unread, False)],
    ids=lambda each: str(each),
)
def test_reading_is_distinguished_from_copying(build: Callable[[], Model], expected: bool) -> None:
    """A copy of all fields does not use labels. Access to its label does, also that of a pool."""
    assert reads(build()) == expected


def test_data_without_labels_have_none_to_read() -> None:
    """Access to the attribute of data without labels is not a use of labels."""

    class Asking(GAN):
        def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
            assert real.label is None
            return super().discriminator_loss(real, fake)

    assert not reads(Asking(), dataset=Unlabelled(Unlabelled.Params()))


def test_stacked_seeds_are_observed_while_they_are_traced() -> None:
    """The loss of a stack is called once for each seed, to be traced, and then never again."""
    members = [trainer(ConditionalGAN(), seed=seed, fakes=24) for seed in range(2)]
    Stack(members, as_traced, print)
    assert all(member.context.label_reads.found for member in members)


def test_the_observed_draw_is_a_draw() -> None:
    """It has the same tensors and no further attributes."""
    real = Real(torch.zeros(3, 2), torch.arange(3), None)
    observed = LabelReads().observe(real)
    assert isinstance(observed, Real)
    assert vars(observed) == vars(real)
    assert observed.label is real.label
