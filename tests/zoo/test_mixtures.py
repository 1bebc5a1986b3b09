"""Settings of MGAN, MAD-GAN and multi-discriminator MGAN other than the defaults of their papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.mad_gan import MADGAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.networks.mlp import MLP
from numpy.typing import NDArray
from torch import nn

from gan_bench.contracts.model import Model
from gan_bench.contracts.network import Networks
from tests.support.messages import Messages
from tests.support.tiny import Echo, Ring, fake, number, put, real, spy, trainer, values

RNG = np.random.default_rng(0)
MIXTURES = [MGAN, MADGAN, MultiDiscriminator]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _made(cls: type[Model], **params: Any) -> Model:
    return cls(cls.Params(generators=3, **params))


class TestSharing:
    @pytest.mark.parametrize("cls", MIXTURES)
    @pytest.mark.parametrize(
        ("shared", "expected"),
        [
            ("body", 8 * 32_896 + 16_512 + 258),  # K input layers
            ("trunk", 32_896 + 16_512 + 8 * 258),  # K output layers
            ("nothing", 8 * 49_666),
        ],
    )
    def test_parameters(self, cls: type[Model], shared: str, expected: int) -> None:
        """Eight generators of MGAN's Table 3 have the expected number of parameters for each kind of sharing."""
        model = cls(cls.Params(generators=8, shared=shared))
        players = model.build(Networks(MLP(), Ring(), 256))
        assert _size(players["generator"]) == expected

    @pytest.mark.parametrize("cls", MIXTURES)
    def test_table(self, cls: type[Model], messages: Messages) -> None:
        """The table contains the shared layers."""
        texts = [_made(cls, shared=shared).sharing for shared in ("body", "trunk", "nothing")]
        for text in texts:
            messages.check(text)
        assert len(set(texts)) == 3

    @pytest.mark.parametrize("cls", MIXTURES)
    def test_shared_noise(self, cls: type[Model]) -> None:
        """With `shared_noise` all generators have the same latents, else different ones."""
        for shared in (True, False):
            model = _made(cls, shared_noise=shared)
            calls = spy(model, "generator_loss")
            trainer(model, fakes=12).iterate()
            first, second, _ = calls[0]["fake"].by_generator(calls[0]["fake"].z)
            assert torch.equal(first, second) is shared


class TestUntiedClassifier:
    def test_parameters(self) -> None:
        """Discriminator and classifier are two networks of 513 and 1,416 parameters."""
        model = MGAN(MGAN.Params(tied_classifier=False))
        players = model.build(Networks(MLP(), Ring(), 256))
        assert _size(players["discriminator"]) == 513 + (3 * 128 + 129 * 8)

    def test_neither_moves_the_other(self) -> None:
        """The loss of the discriminator does not change the trunk of the classifier."""
        model = MGAN(MGAN.Params(generators=3, tied_classifier=False))
        t = trainer(model, fakes=12, optimizer="sgd")
        start = values(model)
        with torch.no_grad():  # the classifier's own loss then has no gradient in its trunk
            model.get_parameter("discriminator.bodies.1.heads.weight").zero_()
        t.iterate()
        now = values(model)
        trunks = {body: f"discriminator.bodies.{body}.trunk.weight" for body in (0, 1)}
        assert not torch.equal(now[trunks[0]], start[trunks[0]])
        assert torch.equal(now[trunks[1]], start[trunks[1]])

    def test_the_game_is_the_same(self) -> None:
        """For equal logits both losses equal those of tied networks."""
        x, index = torch.tensor(RNG.normal(0, 2, (6, 4))), 3
        tied, apart = (MGAN(MGAN.Params(generators=index, tied_classifier=tie)) for tie in (True, False))
        for model in (tied, apart):
            put(model, discriminator=Echo({"source": None, "generator": 3}))
        assert number(tied.generator_loss(fake(x, 3))) == number(apart.generator_loss(fake(x, 3)))
        r = real(RNG.normal(0, 2, (5, 4)))
        assert number(tied.discriminator_loss(r, fake(x, 3))) == number(apart.discriminator_loss(r, fake(x, 3)))


class TestMADGAN:
    R, F = RNG.normal(0, 2, (5, 4)), RNG.normal(0, 2, (6, 4))

    def _model(self, **params: Any) -> MADGAN:
        model = MADGAN(MADGAN.Params(generators=3, **params))
        put(model, discriminator=Echo({"class": 4}))
        return model

    def _probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        e = np.exp(logits)
        return e / e.sum(1, keepdims=True)

    def test_saturating(self) -> None:
        """The minimax form is the mean of log(1 - D_real) over all generators."""
        expected = np.log(1 - self._probabilities(self.F)[:, 0]).mean()
        loss = self._model(saturating=True).generator_loss(fake(self.F, 3))
        assert number(loss) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(("weight", "share"), [(None, 1 / 4), (0.5, 0.5), (0.9, 0.9)])
    def test_real_weight(self, weight: float | None, share: float) -> None:
        """Real data have weight `real_weight`, by default 1/(K+1). The generators have equal shares of the rest."""
        own = np.repeat([1, 2, 3], 2)
        of_real = -np.log(self._probabilities(self.R)[:, 0]).mean()
        of_fakes = -np.log(self._probabilities(self.F)[np.arange(6), own]).mean()
        loss = self._model(real_weight=weight).discriminator_loss(real(self.R), fake(self.F, 3))
        assert number(loss) == pytest.approx(share * of_real + (1 - share) * of_fakes, rel=1e-12)

    @pytest.mark.parametrize("params", [{"saturating": True}, {"real_weight": 0.3}])
    def test_finite_differences(self, params: dict[str, Any]) -> None:
        """Gradients by every logit equal central differences in float64."""
        model = self._model(**params)
        r, f = (torch.tensor(x, requires_grad=True) for x in (self.R, self.F))
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(fake(f, 3)), (f,))
        assert torch.autograd.gradcheck(lambda r, f: model.discriminator_loss(real(r), fake(f, 3)), (r, f))

    def test_all_weight_on_real(self, messages: Messages) -> None:
        """A weight of 1 for real data is refused."""
        with messages.raises(ValueError, "real_weight", 1.0):
            MADGAN.Params(real_weight=1.0)
