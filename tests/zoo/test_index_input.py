"""IndexInput: one generator with the index as an input, in MGAN's game."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from gan_bench_zoo.models.index_input import IndexInput
from gan_bench_zoo.models.mgan import MGAN
from torch import nn

from gan_bench.contracts.model import Fake
from tests.support.messages import Messages
from tests.support.tiny import Echo, networks, number, put, real, trainer

K = 3


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _model() -> IndexInput:
    model = IndexInput(IndexInput.Params(generators=K))
    trainer(model)  # builds and initialises the model's networks
    return model


def test_generators_are_one_network_that_sees_the_index() -> None:
    """G_k(z) is one network on z followed by the k-th unit vector, sample for sample."""
    model = _model()
    z = torch.randn(K, 5, 6, generator=torch.Generator().manual_seed(0))
    samples = model.generate(z)
    assert samples.shape == (K, 5, 2)
    for k in range(K):
        unit = torch.eye(K)[k].expand(5, K)
        alone = model.generator(torch.cat([z[k], unit], 1)[None])[0]
        torch.testing.assert_close(samples[k], alone)


def test_the_index_matters() -> None:
    """With equal latents, generators of different index generate different samples."""
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).expand(K, 5, 6)
    samples = _model().generate(z)
    assert not torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[1], samples[2])


@pytest.mark.parametrize("k", [1, 4, 8])
def test_all_but_the_index_is_shared(k: int) -> None:
    """K generators have the parameters of one, plus 8 (the width of the small mlp) for each value of the index."""
    of_one = _size(networks().generators(1))
    players = IndexInput(IndexInput.Params(generators=k)).build(networks())
    assert _size(players["generator"]) == of_one + 8 * k


@pytest.mark.parametrize("shared", ["trunk", "nothing"])
def test_nothing_to_untie(shared: str, messages: Messages) -> None:
    """A value of `shared` other than the default is refused."""
    with messages.raises(ValueError, f"shared = {shared!r}"):
        IndexInput.Params(shared=shared)


def test_the_game_is_mgans() -> None:
    """Networks of discriminator and classifier have MGAN's size, and both losses are MGAN's on equal inputs."""
    assert fields(IndexInput.Params) == fields(MGAN.Params)
    mine, theirs = IndexInput(), MGAN()
    assert _size(mine.build(networks())["discriminator"]) == _size(theirs.build(networks())["discriminator"])
    x = torch.randn(16, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = Fake(x, torch.empty(16, 0), torch.arange(8).repeat_interleave(2), 8)
    for model in (mine, theirs):
        put(model, discriminator=Echo({"source": None, "generator": 8}))
    assert number(mine.generator_loss(drawn)) == number(theirs.generator_loss(drawn))
    assert number(mine.discriminator_loss(real(x), drawn)) == number(theirs.discriminator_loss(real(x), drawn))


def test_presets_and_sharing(messages: Messages) -> None:
    """The presets are MGAN's, and the generators share all but the index."""
    assert IndexInput.presets is MGAN.presets
    messages.check(IndexInput().sharing, "generators", "classifier")
