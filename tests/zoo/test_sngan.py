"""SNGAN: the hinge loss against closed forms, and spectral normalisation against singular values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models import _spectral
from gan_bench_zoo.models.sngan import SNGAN
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gan_bench.contracts.network import BatchedLinear
from gan_bench.contracts.parameters import checked
from gan_bench.errors import PluginError
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, networks, number, put, real, spy, trainer

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 2, (7, 1)), RNG.normal(0, 2, (12, 1))


def _echo() -> SNGAN:
    """Return a model whose scores are the samples, without weights."""
    model = SNGAN()
    put(model, discriminator=Echo({"score": None}))
    return model


def _network(hidden: int = 5) -> nn.Module:
    """Return a discriminator with weights in float64."""
    network = networks(hidden=hidden).discriminator({"score": None}).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.7, generator=torch.Generator().manual_seed(3))
    return network


def _layers() -> nn.ModuleDict:
    """Return one layer of each kind."""
    layers = {
        "linear": nn.Linear(4, 6),
        "head": nn.Linear(6, 1),
        "convolution": nn.Conv2d(3, 5, 2),
        "batched": BatchedLinear(2, 4, 3),
    }
    for layer in layers.values():
        for parameter in layer.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    return nn.ModuleDict(layers).double()


def _converged(module: nn.Module, iterations: int = 500) -> dict[str, Tensor]:
    vectors = _spectral.start(module)
    for _ in range(iterations):
        vectors = _spectral.follow(module, vectors)
    return vectors


class TestLosses:
    def test_discriminator(self) -> None:
        """The loss is E max(0, 1 - d(x)) + E max(0, 1 + d(G)), each mean over a whole draw of any size."""
        expected = np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean()
        assert 0 < (REAL > 1).mean() < 1
        assert 0 < (FAKE < -1).mean() < 1
        assert number(_echo().discriminator_loss(real(REAL), fake(FAKE), {})) == pytest.approx(expected, rel=1e-12)

    def test_generator(self) -> None:
        """The loss is -E d(G), without a hinge."""
        assert number(_echo().generator_loss(fake(FAKE), {})) == pytest.approx(-FAKE.mean(), rel=1e-12)

    def test_gradients(self) -> None:
        """A sample beyond the margin has no gradient of D's loss, any other 1/B or 1/N; all have one of G's loss."""
        r, f = torch.tensor(REAL, requires_grad=True), torch.tensor(FAKE, requires_grad=True)
        of_r, of_f = torch.autograd.grad(_echo().discriminator_loss(real(r), fake(f), {}), (r, f))
        assert of_r.numpy() == pytest.approx(np.where(REAL < 1, -1 / 7, 0))
        assert of_f.numpy() == pytest.approx(np.where(FAKE > -1, 1 / 12, 0))
        (of_g,) = torch.autograd.grad(_echo().generator_loss(fake(f), {}), f)
        assert of_g.numpy() == pytest.approx(np.full((12, 1), -1 / 12))

    def test_on_normalised_weights(self) -> None:
        """Both losses are those of a discriminator whose weights, but not its biases, are divided beforehand."""
        model = SNGAN()
        put(model, discriminator=_network())
        state = _spectral.start(model.discriminator)
        x, y = torch.tensor(RNG.normal(0, 2, (7, 2))), torch.tensor(RNG.normal(0, 2, (12, 2)))
        found = model.discriminator_loss(real(x), fake(y), state), model.generator_loss(fake(y), state)
        divided = _network()
        with torch.no_grad():
            for name, weight in _spectral.normalised(divided, state).items():
                divided.get_parameter(name).copy_(weight)
        on_real, on_fake = divided(x)["score"], divided(y)["score"]
        expected = (1 - on_real).clamp(min=0).mean() + (1 + on_fake).clamp(min=0).mean()
        assert number(found[0]) == pytest.approx(number(expected), rel=1e-12)
        assert number(found[1]) == pytest.approx(-number(on_fake.mean()), rel=1e-12)


class TestSpectral:
    """Spectral normalisation against W as a matrix (out, in · kernel) in numpy, for each kind of layer."""

    def _matrices(self, module: nn.Module) -> dict[str, NDArray[np.float64]]:
        weights = {name: value.detach() for name, value in module.named_parameters() if "weight" in name}
        return {
            name: (value if "batched" in name else value.reshape(len(value), -1)).numpy()
            for name, value in weights.items()
        }

    def test_converges(self) -> None:
        """After many iterations every normalised weight, batched copies and kernels too, has spectral norm 1."""
        layers = _layers()
        vectors = _converged(layers)
        assert vectors.keys() == {f"{name}.weight" for name in ("linear", "head", "convolution", "batched")}
        for name, weight in _spectral.normalised(layers, vectors).items():
            assert weight.shape == layers.get_parameter(name).shape
            matrix = weight if "batched" in name else weight.flatten(1)
            norms = torch.linalg.matrix_norm(matrix, ord=2)
            assert norms.detach().numpy() == pytest.approx(np.ones(norms.shape), rel=1e-9), name

    def test_one_iteration(self) -> None:
        """An iteration is v = W^T u / |W^T u|, then u = W v / |W v|, as in the paper."""
        layers = _layers()
        vectors = _spectral.start(layers)
        followed = _spectral.follow(layers, vectors)
        for name, w in self._matrices(layers).items():
            if "batched" in name:
                expected = [self._iterate(one, u) for one, u in zip(w, vectors[name].numpy(), strict=True)]
            else:
                expected = self._iterate(w, vectors[name].numpy())
            assert followed[name].numpy() == pytest.approx(np.array(expected), rel=1e-10), name

    def _iterate(self, w: NDArray[np.float64], u: NDArray[np.float64]) -> Any:
        v = w.T @ u
        v /= np.linalg.norm(v)
        return w @ v / np.linalg.norm(w @ v)

    def test_never_above_the_norm(self) -> None:
        """Before convergence sigma is too small, so that a normalised weight's norm is at least 1."""
        layers = _layers()
        for name, weight in _spectral.normalised(layers, _spectral.start(layers)).items():
            matrix = weight if "batched" in name else weight.flatten(1)
            norms = torch.linalg.matrix_norm(matrix, ord=2)
            assert bool((norms >= 1 - 1e-12).all()), name

    def test_gradient_by_hand(self) -> None:
        """A loss with gradient A by W / sigma has gradient (A - <A, W / sigma> u v^T) / sigma by W (eq. 10 to 12)."""
        layer = nn.Sequential(nn.Linear(4, 6, bias=False)).double()
        vectors = _spectral.start(layer)
        a = torch.tensor(RNG.normal(size=(6, 4)))
        w = layer.get_parameter("0.weight")
        normalised = _spectral.normalised(layer, vectors)["0.weight"]
        (found,) = torch.autograd.grad((a * normalised).sum(), w)
        u = vectors["0.weight"].numpy()
        matrix = w.detach().numpy()
        v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
        sigma = u @ matrix @ v
        expected = (a.numpy() - (a.numpy() * matrix / sigma).sum() * np.outer(u, v)) / sigma
        assert found.numpy() == pytest.approx(expected, rel=1e-10)

    def test_no_gradient_into_the_state(self) -> None:
        """The vectors have no gradient by the weights."""
        layers = _layers()
        vectors = _spectral.start(layers)
        assert not any(u.requires_grad for u in {**vectors, **_spectral.follow(layers, vectors)}.values())

    def test_start_is_fixed(self) -> None:
        """Vectors start with length 1, equal in every run; the global random stream does not change."""
        layers, before = _layers(), torch.get_rng_state()
        first, again = _spectral.start(layers), _spectral.start(layers)
        assert torch.equal(before, torch.get_rng_state())
        for name, u in first.items():
            assert torch.equal(u, again[name])
            assert u.norm(dim=-1).flatten().tolist() == pytest.approx([1.0] * (2 if "batched" in name else 1))

    def test_unknown_weights(self, messages: Messages) -> None:
        """A weight of an unsupported layer is an error."""
        with messages.raises(PluginError, "0.weight"):
            _spectral.start(nn.Sequential(nn.Embedding(3, 2)))


class TestLipschitz:
    def test_bound(self) -> None:
        """After convergence two scores differ by at most the distance of their samples, however large weights are."""
        network = _network(hidden=16)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(4)
        weights = _spectral.normalised(network, _converged(network))
        x, y = torch.tensor(RNG.normal(0, 5, (2, 5000, 2)))

        def steepest(weights: dict[str, Tensor]) -> float:
            scores = [functional_call(network, weights, (points,))["score"].detach() for points in (x, y)]
            return number(((scores[0] - scores[1]).abs() / (x - y).norm(dim=1)).max())

        assert 0.1 < steepest(weights) <= 1 + 1e-9
        assert steepest({}) > 5

    def test_in_training(self) -> None:
        """One iteration in each turn keeps the norms of normalised weights near 1, as in the paper's figure 9."""
        model = SNGAN()
        t = trainer(model)
        for _ in range(60):
            t.iterate()
            made = _spectral.normalised(model.discriminator, t.state)
            norms = [number(torch.linalg.matrix_norm(weight, ord=2)) for weight in made.values()]
            assert all(1 - 1e-5 < norm < 1.05 for norm in norms)


@pytest.mark.parametrize("loss", ["discriminator_loss", "generator_loss"])
def test_finite_differences(loss: str) -> None:
    """Gradients by every weight and bias are central differences in float64, also before convergence."""
    model = SNGAN()
    put(model, discriminator=_network(3))
    state = _spectral.start(model.discriminator)
    given: dict[str, Any] = {"fake": fake(torch.tensor(RNG.normal(0, 2, (5, 2)))), "state": state}
    if loss == "discriminator_loss":
        given["real"] = real(torch.tensor(RNG.normal(0, 2, (4, 2))))
    names = [name for name, _ in model.named_parameters()]

    def value(*own: Tensor) -> Tensor:
        result: Tensor = functional_call(model, dict(zip(names, own, strict=True)), (loss, given))
        return result

    assert torch.autograd.gradcheck(value, [p.detach().clone().requires_grad_() for p in model.parameters()])


class TestTurns:
    def test_steps(self) -> None:
        """Each of D's steps uses other data and latents; the generator's uses the latents of the last one."""
        model = SNGAN(SNGAN.Params(discriminator_steps=3))
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        for first in range(3):
            for second in range(first):
                assert not torch.equal(of_d[first]["real"].x, of_d[second]["real"].x)
                assert not torch.equal(of_d[first]["fake"].z, of_d[second]["fake"].z)
        assert torch.equal(of_g[0]["fake"].z, of_d[2]["fake"].z)
        assert t.counts.updates == {"discriminator": 3, "generator": 1}

    def test_one_iteration_a_turn(self) -> None:
        """Each turn ends with one power iteration on the updated weights."""
        model = SNGAN()
        calls = spy(model, "generator_loss")
        t = trainer(model)
        before = dict(t.state)
        t.iterate()
        after_d = _spectral.follow(model.discriminator, before)
        after_g = _spectral.follow(model.discriminator, after_d)
        for name in before:
            assert torch.equal(calls[0]["state"][name], after_d[name])
            assert torch.equal(t.state[name], after_g[name])
        assert not torch.equal(before["trunk.weight"], t.state["trunk.weight"])


def test_steps_below_one() -> None:
    """Zero discriminator steps are refused."""
    told: list[str] = []
    checked(SNGAN.Params, {"discriminator_steps": 0}, lambda _, message: told.append(message))
    assert len(told) == 1
