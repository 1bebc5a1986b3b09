"""DFM: its three losses against closed forms, the constants in them, and the parameters that each updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.dfm import DFM
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.network import Discriminator
from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import fake, networks, number, put, real, spy, trainer

Array = NDArray[np.float64]
EXACT = 1e-12
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 2, (7, 2)), RNG.normal(0, 2, (12, 2))
BASIS, HEAD, DENOISER = RNG.normal(size=(2, 3)), RNG.normal(size=3), RNG.normal(size=(3, 3))
CORRUPTION = RNG.normal(size=(7, 3))


class Linear(Discriminator):
    """Features x A and logits h·b, which are computed by hand in the tests."""

    def __init__(self) -> None:
        super().__init__()
        self.basis, self.head = nn.Parameter(torch.tensor(BASIS)), nn.Parameter(torch.tensor(HEAD))

    def features(self, x: Tensor) -> Tensor:
        return x @ self.basis

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": self.features(x) @ self.head}


class Denoiser(Discriminator):
    """A denoiser that is a matrix: R(h) = h M."""

    def __init__(self, matrix: Array) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor(matrix))

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        return {"clean": h @ self.matrix}


def _dfm(**params: Any) -> DFM:
    model = DFM(DFM.Params(**params))
    put(model, discriminator=Linear(), denoiser=Denoiser(DENOISER))
    return model


def _sp(a: Array) -> Array:
    return np.logaddexp(0, a)


class TestDiscriminator:
    def test_loss(self) -> None:
        """The loss is GAN's: -E log D(x) - E log(1 - D(G(z)))."""
        loss = _dfm().discriminator_loss(real(REAL), fake(FAKE))
        expected = _sp(-(REAL @ BASIS @ HEAD)).mean() + _sp(FAKE @ BASIS @ HEAD).mean()
        assert number(loss) == pytest.approx(expected, rel=EXACT)


class TestDenoiser:
    @pytest.mark.parametrize("s", [1.0, 0.3])
    def test_loss(self, s: float) -> None:
        """The loss is E |h(x) - R(h(x) + s e)|^2 / f: the target is the features without noise."""
        loss = _dfm(noise_std=s).denoiser_loss(real(REAL), {"corruption": torch.tensor(CORRUPTION)})
        h = REAL @ BASIS
        expected = ((h - (h + s * CORRUPTION) @ DENOISER) ** 2).sum(1).mean() / 3
        assert number(loss) == pytest.approx(expected, rel=EXACT)

    def test_features_are_constants(self) -> None:
        """The denoiser's loss has gradients by the denoiser only, not by the discriminator."""
        model = _dfm()
        loss = model.denoiser_loss(real(REAL), {"corruption": torch.tensor(CORRUPTION)})
        own = [*model.discriminator.parameters(), *model.denoiser.parameters()]
        gradients = torch.autograd.grad(loss, own, allow_unused=True)
        assert [gradient is None for gradient in gradients] == [True, True, False]

    def test_optimum(self) -> None:
        """For features a e1 and noise s e2, with e1 and e2 = -1 or 1, the best R(h) = w h has w = a^2 / (a^2 + s^2)."""
        a, s = 1.7, 0.6

        class Identity(Linear):
            def features(self, x: Tensor) -> Tensor:
                return x

        model = DFM(DFM.Params(noise_std=s))
        put(model, discriminator=Identity(), denoiser=Denoiser(np.array([[a**2 / (a**2 + s**2)]])))
        x = torch.tensor([[a], [a], [-a], [-a]], dtype=torch.float64)
        corruption = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64)
        loss = model.denoiser_loss(real(x), {"corruption": corruption})
        (gradient,) = torch.autograd.grad(loss, list(model.denoiser.parameters()))
        assert number(gradient) == pytest.approx(0, abs=1e-12)
        assert number(loss) == pytest.approx(a**2 * s**2 / (a**2 + s**2), rel=1e-12)


class TestGenerator:
    @pytest.mark.parametrize("detach", [True, False])
    def test_loss(self, detach: bool) -> None:
        """The loss is lambda_adv E -log D(G(z)) + lambda_den E |h - R(h)|^2 / f, whether R is constant or not."""
        loss = _dfm(denoising=0.4, adversarial=0.7, detach_target=detach).generator_loss(fake(FAKE))
        h = FAKE @ BASIS
        expected = 0.7 * _sp(-(h @ HEAD)).mean() + 0.4 * ((h - h @ DENOISER) ** 2).sum(1).mean() / 3
        assert number(loss) == pytest.approx(expected, rel=EXACT)

    def test_default_weights(self) -> None:
        """The default weight is 0.03 / f on the squared distance summed over f features, beside GAN's loss."""
        h = FAKE @ BASIS
        expected = _sp(-(h @ HEAD)).mean() + 0.03 / 3 * ((h - h @ DENOISER) ** 2).sum(1).mean()
        assert number(_dfm().generator_loss(fake(FAKE))) == pytest.approx(expected, rel=EXACT)

    def test_gradient_of_a_constant_target(self) -> None:
        """The gradient by a sample is 2 (h - R(h)) A^T / (N f), towards the denoised features."""
        found = self._gradient(detach_target=True)
        h = FAKE @ BASIS
        assert found == pytest.approx(2 * (h - h @ DENOISER) @ BASIS.T / (12 * 3), rel=1e-10)

    def test_gradient_through_the_denoiser(self) -> None:
        """If the target is not constant, the gradient is 2 (h - R(h)) (I - M)^T A^T / (N f)."""
        found = self._gradient(detach_target=False)
        h = FAKE @ BASIS
        expected = 2 * (h - h @ DENOISER) @ (np.eye(3) - DENOISER).T @ BASIS.T / (12 * 3)
        assert found == pytest.approx(expected, rel=1e-10)

    def _gradient(self, *, detach_target: bool) -> Any:
        x = torch.tensor(FAKE, requires_grad=True)
        model = _dfm(denoising=1.0, adversarial=0.0, detach_target=detach_target)
        (gradient,) = torch.autograd.grad(model.generator_loss(fake(x)), x)
        return gradient.numpy()


class TestNetworks:
    """DFM with the benchmark's networks instead of linear ones."""

    def _built(self, **params: Any) -> DFM:
        model = DFM(DFM.Params(**params))
        put(model, **model.build(networks(hidden=5)))
        model.double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, 0, 0.7, generator=torch.Generator().manual_seed(parameter.numel()))
        return model

    def test_denoiser_fits_the_features(self) -> None:
        """The outputs of the denoiser and the noise have the size of the discriminator's hidden layer."""
        model = self._built()
        h = model.discriminator.features(torch.tensor(REAL))
        assert h.shape == (7, 5)
        assert model.denoise(h).shape == (7, 5)
        assert model.noise(7, 12)["corruption"].shape == (7, 5)

    @pytest.mark.parametrize("loss", ["discriminator_loss", "denoiser_loss", "generator_loss"])
    def test_finite_differences(self, loss: str) -> None:
        """Gradients by a player's parameters, or by generated samples, are central differences in float64."""
        model = self._built(denoising=0.8, detach_target=False)
        corruption = {"corruption": torch.tensor(RNG.normal(size=(7, 5)))}
        given: dict[str, dict[str, Any]] = {
            "discriminator_loss": {"real": real(torch.tensor(REAL)), "fake": fake(torch.tensor(FAKE))},
            "denoiser_loss": {"real": real(torch.tensor(REAL)), "noise": corruption},
        }
        if loss == "generator_loss":
            x = torch.tensor(FAKE, requires_grad=True)
            assert torch.autograd.gradcheck(lambda x: model.generator_loss(fake(x)), (x,))
            return
        names = [name for name, _ in model.named_parameters() if name.startswith(loss.removesuffix("_loss"))]

        def value(*own: Tensor) -> Tensor:
            result: Tensor = functional_call(model, dict(zip(names, own, strict=True)), (loss, given[loss]))
            return result

        own = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]
        assert torch.autograd.gradcheck(value, own)

    def test_counting_features_leaves_the_networks(self) -> None:
        """Features are counted on a copy: the networks keep their values and device."""
        model = self._built()
        assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


class TestTurns:
    def test_order(self) -> None:
        """Discriminator, denoiser and generator are updated once each, in this order, on one draw of real data."""
        model = DFM()
        of_d, of_r = spy(model, "discriminator_loss"), spy(model, "denoiser_loss")
        t = trainer(model)
        assert [turn.players for turn in model.turns(0)] == [("discriminator",), ("denoiser",), ("generator",)]
        t.iterate()
        assert torch.equal(of_d[0]["real"].x, of_r[0]["real"].x)
        assert t.counts.updates == {"discriminator": 1, "denoiser": 1, "generator": 1}
        assert t.counts.real_samples == 16

    def test_fresh_corruption(self) -> None:
        """The noise on features is redrawn in every iteration."""
        model = DFM()
        calls = spy(model, "denoiser_loss")
        t = trainer(model)
        t.iterate()
        t.iterate()
        first, second = (call["noise"]["corruption"] for call in calls)
        assert first.shape == (16, 8)
        assert not torch.equal(first, second)


class TestRefusals:
    @pytest.mark.parametrize("wrong", [{"denoising": -0.1}, {"adversarial": -0.1}, {"noise_std": 0.0}])
    def test_ranges(self, wrong: dict[str, float]) -> None:
        """Negative weights and a denoiser without noise are refused."""
        told: list[str] = []
        checked(DFM.Params, wrong, lambda _, message: told.append(message))
        assert len(told) == 1

    def test_no_loss_at_all(self, messages: Messages) -> None:
        """A generator's loss without either term is refused."""
        with messages.raises(ValueError, "denoising = 0", "adversarial = 0"):
            DFM.Params(denoising=0.0, adversarial=0.0)
