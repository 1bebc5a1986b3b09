"""DeLiGAN: the mixture of latents, its losses, and the player that its parameters belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.deligan import DeLiGAN, Mixed
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, nn

from gan_bench.contracts.model import Latents, Real
from gan_bench.contracts.network import Initialisation, initialise
from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, networks, number, put, real, trainer, values

RNG = np.random.default_rng(8)
EXACT = 1e-12
N, SIZE = 3, 4  # components, latent size
SIGMA = RNG.uniform(0.1, 2, (N, 1, SIZE))
MU = RNG.normal(size=(N, 1, SIZE))


def _mixed(body: nn.Module) -> Mixed:
    mixed = Mixed(body, N, SIZE, 0.02).double()
    with torch.no_grad():
        mixed.mu.copy_(torch.tensor(MU))
        mixed.sigma.copy_(torch.tensor(SIGMA))
    return mixed


def _model(**params: Any) -> DeLiGAN:
    model = DeLiGAN(DeLiGAN.Params(generators=N, **params))
    put(model, discriminator=Echo({"source": None}), generator=_mixed(nn.Identity()))
    return model


class TestLatents:
    def test_each_component_has_its_mean_and_deviation(self) -> None:
        """The input of component i is mu_i + sigma_i * eps, dimension by dimension."""
        z = RNG.normal(size=(N, 5, SIZE))
        made = _mixed(nn.Identity())(torch.tensor(z))
        np.testing.assert_allclose(made.detach().numpy(), MU + SIGMA * z, rtol=EXACT)

    def test_one_network_makes_all_samples(self) -> None:
        """All components' latents pass through the same generator, in one pass."""
        passes: list[tuple[int, ...]] = []

        class Watch(nn.Module):
            def forward(self, z: Tensor) -> Tensor:
                passes.append(tuple(z.shape))
                return z[..., :2] * torch.tensor([1.0, -1.0], dtype=z.dtype)

        z = torch.tensor(RNG.normal(size=(N, 5, SIZE)))
        mixed = _mixed(Watch())
        expected = (mixed.mu + mixed.sigma * z)[..., :2] * torch.tensor([1.0, -1.0])
        assert torch.equal(mixed(z), expected)
        assert passes == [(1, N * 5, SIZE)]

    def test_samples_know_their_component(self) -> None:
        """The index of a sample is that of its component: without deviation, the sample is that component's mean."""
        model = _model()
        with torch.no_grad():
            model.generator.sigma.zero_()
        x, index = model.sample([2, 0, 3], Latents("normal", SIZE), torch.Generator())
        assert index is not None
        assert index.tolist() == [0, 0, 2, 2, 2]
        np.testing.assert_allclose(x.detach().numpy(), MU[index.numpy(), 0], rtol=EXACT)

    def test_start(self) -> None:
        """Means are initialised from U(-1, 1), deviations to their parameter, whatever the protocol's settings."""
        mixed = Mixed(nn.Linear(100, 2), 50, 100, 0.2)
        initialise(mixed, Initialisation("normal", 1e-9), torch.Generator().manual_seed(0))
        mu = mixed.mu.detach()
        assert mu.abs().max() < 1
        assert number(mu.std()) == pytest.approx(3**-0.5, rel=0.05)
        assert bool((mixed.sigma == 0.2).all())
        assert mixed.body.weight.abs().max() < 1e-7


class TestLosses:
    R, F = RNG.normal(0, 2, (7, 1)), RNG.normal(0, 2, (6, 1))

    def test_discriminator(self) -> None:
        """The discriminator's loss is GAN's."""
        gan = put(GAN(), discriminator=Echo({"source": None}))
        found = _model().discriminator_loss(real(self.R), fake(self.F, N))
        assert number(found) == number(gan.discriminator_loss(real(self.R), fake(self.F, N)))
        expected = np.logaddexp(0, -self.R).mean() + np.logaddexp(0, self.F).mean()
        assert number(found) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("penalty", [0.0, 0.1, 2.0])
    def test_generator(self, penalty: float) -> None:
        """The loss is -E log D(G(z)) or E log(1 - D), plus lambda times the mean (1 - sigma)^2."""
        term = penalty * ((1 - SIGMA) ** 2).mean()
        loss = _model(penalty=penalty).generator_loss(fake(self.F, N))
        assert number(loss) == pytest.approx(np.logaddexp(0, -self.F).mean() + term, rel=EXACT)
        loss = _model(penalty=penalty, saturating=True).generator_loss(fake(self.F, N))
        assert number(loss) == pytest.approx(-np.logaddexp(0, self.F).mean() + term, rel=EXACT)

    def test_gradients_are_finite_differences(self) -> None:
        """Gradients by logits, and through latents by means and deviations, are central differences in float64."""
        model = _model()
        z = torch.tensor(RNG.normal(size=(N, 2, SIZE)))
        mu, sigma = model.generator.mu, model.generator.sigma
        r, f = torch.tensor(self.R, requires_grad=True), torch.tensor(self.F, requires_grad=True)

        def generator_loss(*_: Tensor) -> Tensor:
            return model.generator_loss(fake(model.generate(z).square().sum(2).view(-1, 1), N))

        assert torch.autograd.gradcheck(generator_loss, (mu, sigma))
        assert torch.autograd.gradcheck(lambda r, f: model.discriminator_loss(Real(r), fake(f, N)), (r, f))

    def test_the_penalty_keeps_components_wide(self) -> None:
        """The penalty has gradients towards 1 by each deviation, and none by the means."""
        model = _model(penalty=0.5)
        own = [model.generator.sigma, model.generator.mu]
        of_sigma, of_mu = torch.autograd.grad(model.generator_loss(fake(self.F, N)), own, allow_unused=True)
        np.testing.assert_allclose(of_sigma.numpy(), 0.5 * 2 * (SIGMA - 1) / SIGMA.size, rtol=EXACT)
        assert of_mu is None


class TestModel:
    def test_the_mixture_is_the_generators(self) -> None:
        """Means and deviations are parameters of the generator's player and are updated in its turn."""
        t = trainer(DeLiGAN(DeLiGAN.Params(generators=N)))
        assert {"mu", "sigma"} <= t.parameters["generator"].keys()
        before = values(t.model)
        t.iterate()
        after = values(t.model)
        for name in ("generator.mu", "generator.sigma"):
            assert bool((before[name] != after[name]).all())

    @pytest.mark.parametrize("n", [1, 4, 50])
    def test_components_cost_their_latents_alone(self, n: int) -> None:
        """Each of n components adds one mean and one deviation, of latent size, to the network of one GAN."""
        players = DeLiGAN(DeLiGAN.Params(generators=n)).build(networks(latent_size=6))
        size = sum(p.numel() for p in players["generator"].parameters())
        assert size == sum(p.numel() for p in networks(latent_size=6).generators().parameters()) + 2 * n * 6

    def test_components_count_as_generators(self, messages: Messages) -> None:
        """n components are n generators of equal weight that share all but mean and deviation."""
        model = DeLiGAN(DeLiGAN.Params(generators=5))
        assert model.generators == 5
        assert model.weights().tolist() == pytest.approx([0.2] * 5)
        messages.check(model.sharing, "generators")

    @pytest.mark.parametrize("preset", ["release", "release-mnist"])
    def test_the_release_draws_one_sample_of_each(self, preset: str) -> None:
        """The presets draw a batch of 50 with one sample of each component, as the authors' code does."""
        asked = DeLiGAN.presets[preset].protocol
        assert asked["batch"] == DeLiGAN.Params().generators == 50
        assert asked["fakes_per_generator"] == 1

    @pytest.mark.parametrize("params", [{"generators": 0}, {"sigma": 0.0}, {"sigma": -0.1}, {"penalty": -1.0}])
    def test_out_of_range(self, params: dict[str, float]) -> None:
        """Zero components, deviations that start at 0 or below, and a negative penalty are refused."""
        told: list[str] = []
        checked(DeLiGAN.Params, params, lambda _, message: told.append(message))
        assert len(told) == 1
