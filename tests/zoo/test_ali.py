"""ALI: both losses against closed forms, its value at the optimal D, its encoders, and what each player updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models._joint import Encoder
from gan_bench_zoo.models.ali import ALI, GaussianEncoder, ImplicitEncoder, Pair
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.model import Fake, Turn
from gan_bench.contracts.network import Generators, JointDiscriminator
from gan_bench.contracts.parameters import checked
from tests.support.tiny import cells, networks, number, put, real, same, spy, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
SIZES = [(7, 7), (7, 12), (12, 7)]
"""Numbers of real and of generated samples in a draw."""


class Product(JointDiscriminator):
    """d(x, z) = a x z for numbers x and z, which depends on both."""

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        return {"source": 0.7 * x[:, 0] * z[:, 0]}


class Cells(JointDiscriminator):
    """A discriminator on a finite space, with a logit as a parameter for every pair of a cell of x and a cell of z."""

    def __init__(self, logits: Array) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        return {"source": self.logits[x.long()[:, 0], z.long()[:, 0]]}


class Told(Encoder):
    """An encoder that returns its noise, so that a test chooses the latents of the samples."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), (1,))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return noise


def _ali(discriminator: JointDiscriminator) -> ALI:
    model = ALI()
    put(model, discriminator=discriminator, generator=Pair(Generators(), Told()))
    return model


def _pairs(x: Any, z: Any) -> Fake:
    """Return generated samples with their latents."""
    x, z = torch.as_tensor(x), torch.as_tensor(z)
    return Fake(x, z, torch.zeros(len(x), dtype=torch.int64), 1)


def _losses(model: ALI, x: Any, codes: Any, made: Any, z: Any) -> tuple[float, float]:
    """Return the losses of D and of the other player."""
    noise = {"encoder": torch.as_tensor(codes)}
    return (
        number(model.discriminator_loss(real(x), _pairs(made, z), noise)),
        number(model.generator_loss(real(x), _pairs(made, z), noise)),
    )


def _sp(a: Array) -> Array:
    return np.asarray(np.logaddexp(0, a))


class TestLosses:
    @pytest.mark.parametrize(("batch", "fakes"), SIZES)
    def test_closed_form(self, batch: int, fakes: int) -> None:
        """D minimises E sp(-d(x, Q(x))) + E sp(d(G(z), z)), the other player both halves flipped."""
        x, codes = RNG.normal(0, 2, (2, batch, 1))
        made, z = RNG.normal(0, 2, (2, fakes, 1))
        on_real, on_fake = 0.7 * (x * codes)[:, 0], 0.7 * (made * z)[:, 0]
        of_d, of_others = _losses(_ali(Product()), x, codes, made, z)
        assert of_d == pytest.approx(_sp(-on_real).mean() + _sp(on_fake).mean(), rel=1e-12)
        assert of_others == pytest.approx(_sp(on_real).mean() + _sp(-on_fake).mean(), rel=1e-12)

    def test_pairs_belong_together(self) -> None:
        """The losses depend on which sample is paired with which latent."""
        x, codes = RNG.normal(0, 2, (2, 7, 1))
        made, z = RNG.normal(0, 2, (2, 7, 1))
        first = _losses(_ali(Product()), x, codes, made, z)
        assert _losses(_ali(Product()), x, codes[::-1].copy(), made, z) != pytest.approx(first)
        assert _losses(_ali(Product()), x, codes, made, z[::-1].copy()) != pytest.approx(first)

    @pytest.mark.parametrize("size", [-200.0, 200.0])
    def test_extreme_logits(self, size: float) -> None:
        """With a certain discriminator a loss is a logit or 0, finite in float32."""
        x = torch.full((3, 1), abs(size))
        code = torch.full((3, 1), size)
        found = _losses(_ali(Product()), x, code, x, -code)
        certain = 0.7 * size * abs(size)
        assert found == pytest.approx((2 * max(-certain, 0), 2 * max(certain, 0)), rel=1e-6)


class TestValue:
    """Losses on a finite space of 3 x 4 pairs, with joint distributions of counted pairs."""

    Q = np.array([[3, 1, 0, 2], [0, 4, 2, 1], [1, 0, 5, 1]])
    P = np.array([[1, 2, 2, 0], [3, 1, 0, 2], [1, 1, 1, 6]])

    def _drawn(self, counts: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        cell = cells(counts.flatten().tolist())
        return (cell // 4).double()[:, None], (cell % 4).double()[:, None]

    def _optimal(self) -> Array:
        q, p = self.Q / self.Q.sum(), self.P / self.P.sum()
        with np.errstate(divide="ignore"):
            return np.asarray(np.clip(np.log(q) - np.log(p), -80, 80))

    def test_jensen_shannon(self) -> None:
        """With the optimal D = q / (q + p), V = -L_D is 2 JSD(q(x, z), p(x, z)) - log 4."""
        q, p = self.Q / self.Q.sum(), self.P / self.P.sum()
        m = (q + p) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = [np.nansum(each * np.log(each / m)) for each in (q, p)]
        x, codes = self._drawn(self.Q)
        made, z = self._drawn(self.P)
        of_d, _ = _losses(_ali(Cells(self._optimal())), x, codes, made, z)
        assert -of_d == pytest.approx(sum(kl) - np.log(4), rel=1e-10)

    def test_optimal(self) -> None:
        """At the optimal D its gradient is 0, and any other D has a larger loss."""
        x, codes = self._drawn(self.Q)
        made, z = self._drawn(self.P)
        best = _ali(Cells(self._optimal()))
        loss = best.discriminator_loss(real(x), _pairs(made, z), {"encoder": codes})
        (gradient,) = torch.autograd.grad(loss, list(best.discriminator.parameters()))
        assert gradient.abs().max() < 1e-12
        for _ in range(20):
            other = _ali(Cells(self._optimal() + RNG.normal(0, 0.5, self.Q.shape)))
            assert _losses(other, x, codes, made, z)[0] > number(loss)

    def test_same_joint_distribution(self) -> None:
        """If both sides have the same pairs and D is 1/2, both losses are log 4."""
        drawn = self._drawn(self.Q)
        assert _losses(_ali(Cells(np.zeros((3, 4)))), *drawn, *drawn) == pytest.approx((np.log(4), np.log(4)))


class TestGradients:
    @pytest.mark.parametrize("encoder", ["gaussian", "implicit"])
    @pytest.mark.parametrize("player", ["discriminator", "generator"])
    def test_finite_differences(self, player: str, encoder: str) -> None:
        """Gradients by every weight of a player, the encoder's too, are central differences in float64."""
        model = _in_double(encoder)
        x, noise = torch.tensor(RNG.normal(0, 1, (4, 2))), torch.tensor(RNG.normal(0, 1, (4, 2)))
        z = torch.tensor(RNG.normal(0, 1, (1, 5, 2)))
        names = [name for name, _ in model.named_parameters() if name.startswith(f"{player}.")]

        class Whole(nn.Module):
            """The loss with its samples, so that its gradient includes the generator's weights."""

            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self) -> Tensor:
                made = _pairs(model.generate(z).flatten(0, 1), z[0])
                loss: Tensor = getattr(model, f"{player}_loss")(real(x), made, {"encoder": noise})
                return loss

        whole = Whole()

        def loss(*own: Tensor) -> Tensor:
            given = {f"model.{name}": value for name, value in zip(names, own, strict=True)}
            found: Tensor = functional_call(whole, given, ())
            return found

        own = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]
        assert torch.autograd.gradcheck(loss, own)

    def test_ownership(self) -> None:
        """D's loss has no gradient by the encoder; the other loss has one by generator and encoder."""
        model = _in_double("gaussian")
        x, noise = torch.tensor(RNG.normal(0, 1, (4, 2))), torch.tensor(RNG.normal(0, 1, (4, 2)))
        z = torch.tensor(RNG.normal(0, 1, (1, 5, 2)))
        made = _pairs(model.generate(z).flatten(0, 1), z[0])
        theirs = list(model.generator.parameters())
        of_d = model.discriminator_loss(real(x), made.detach(), {"encoder": noise})
        assert torch.autograd.grad(of_d, theirs, allow_unused=True) == (None,) * len(theirs)
        of_others = model.generator_loss(real(x), made, {"encoder": noise})
        assert all(bool(gradient.any()) for gradient in torch.autograd.grad(of_others, theirs))


def _in_double(encoder: str) -> ALI:
    """Return ALI with networks of three hidden units, float64 weights far from zero, and latents in the plane."""
    model = ALI(ALI.Params(encoder=encoder))
    put(model, **model.build(networks(latent_size=2, hidden=3)))
    rng = torch.Generator().manual_seed(0)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, 0, 0.7, generator=rng)
    return model


class TestEncoders:
    def test_gaussian(self) -> None:
        """mu(x) + exp(s(x)) eps is normal, with mean and deviation from the body's heads."""
        encoder = GaussianEncoder(networks(latent_size=3))
        for parameter in encoder.parameters():
            nn.init.normal_(parameter, 0, 0.5)
        x = torch.randn(5, 2)
        said = encoder.body(x)
        assert encoder.noise_shape == (3,)
        torch.testing.assert_close(encoder(x, torch.zeros(5, 3)), said["mean"])
        noise = torch.randn(5, 3)
        torch.testing.assert_close((encoder(x, noise) - said["mean"]) / noise, said["log_std"].exp(), rtol=1e-3, atol=0)

    def test_implicit(self) -> None:
        """f(x, eps), with as many eps as the point has coordinates, is not affine in eps."""
        encoder = ImplicitEncoder(networks(latent_size=3))
        for parameter in encoder.parameters():
            nn.init.normal_(parameter, 0, 0.5)
        x, noise = torch.randn(5, 2), torch.randn(5, 2)
        assert encoder.noise_shape == (2,)
        torch.testing.assert_close(encoder(x, noise), encoder.body(torch.cat([x, noise], 1))["latent"])
        there, back, middle = (encoder(x, factor * noise) for factor in (1, -1, 0))
        assert not torch.allclose((there + back) / 2, middle, atol=1e-3)

    @pytest.mark.parametrize(("encoder", "size"), [("gaussian", 6), ("implicit", 2)])
    def test_noise(self, encoder: str, size: int) -> None:
        """Noise is N(0, I) for each real sample, equal for both players of a turn, and redrawn in each iteration."""
        model = ALI(ALI.Params(encoder=encoder))
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        t.iterate()
        drawn = [call["noise"]["encoder"] for call in of_d]
        assert drawn[0].shape == (16, size)
        assert all(torch.equal(first, call["noise"]["encoder"]) for first, call in zip(drawn, of_g, strict=True))
        assert not bool((drawn[0] == drawn[1]).any())


class TestTurns:
    def test_one_turn(self) -> None:
        """Both players are updated simultaneously, from the same point."""
        assert ALI().turns(0) == ALI().turns(7) == (Turn(("discriminator", "generator")),)
        t, alone = trainer(ALI(), optimizer="sgd"), trainer(ALI(), optimizer="sgd")
        draws, before = alone.draw((Turn(("generator",)),)), values(alone.model)
        alone.run_iteration((Turn(("generator",)),), draws)
        t.iterate()
        generator = {name for name in before if name.startswith("generator.")}
        after, of_one = values(t.model), values(alone.model)
        assert same({name: after[name] for name in generator}, {name: of_one[name] for name in generator})
        assert not same(before, of_one)

    def test_samples_are_the_generators(self) -> None:
        """No weight of the encoder affects a sample."""
        model = ALI()
        trainer(model)
        z = torch.randn(1, 5, 6)
        before = model.generate(z)
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.fill_(7.0)
        assert torch.equal(model.generate(z), before)
        assert torch.equal(before, model.generator.decoder(z))


def test_unknown_encoder() -> None:
    """An unknown encoder is refused, with a list of the others."""
    told: list[str] = []
    checked(ALI.Params, {"encoder": "gausian"}, lambda _, message: told.append(message))
    assert len(told) == 1
    assert "gaussian" in told[0]


def test_presets() -> None:
    """The first betas of `release` and `pacgan` are p and 1 - p; all other settings are equal."""
    release, pacgan = ALI.presets["release"].protocol, ALI.presets["pacgan"].protocol
    assert release["betas"][0] == pytest.approx(1 - pacgan["betas"][0])
    assert {name: value for name, value in release.items() if name != "betas"} == {
        name: value for name, value in pacgan.items() if name != "betas"
    }
