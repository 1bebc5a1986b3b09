"""Promises of a choice of generators: its distribution, and the gradients of mixed samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_bench.contracts.choice import choose, gumbel_noise, pick, straight_through
from gan_bench.contracts.model import Fake
from gan_bench.errors import PluginError
from tests.support import tiny
from tests.support.messages import Messages

N, K = 5, 3


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _chosen() -> tuple[Fake, Tensor, Tensor]:
    """Samples chosen among leaf tensors: candidates (K, N, 2) and logits (N, K) of the probabilities."""
    candidates = torch.randn(K, N, 2, generator=_rng(), dtype=torch.float64, requires_grad=True)
    logits = torch.randn(N, K, generator=_rng(1), dtype=torch.float64, requires_grad=True)
    p, gumbel = logits.softmax(1), gumbel_noise(N, K, _rng(2)).double()
    index = choose(p, gumbel)
    return Fake(pick(candidates, index), torch.empty(N, 0), index, K, candidates, p, gumbel), candidates, logits


class TestChoose:
    def test_has_the_probabilities(self) -> None:
        """Of 40,000 choices each generator has its share, within four standard deviations."""
        p = torch.tensor([0.5, 0.3, 0.2])
        index = choose(p.expand(40_000, 3), gumbel_noise(40_000, 3, _rng()))
        shares = index.bincount(minlength=3) / len(index)
        assert bool(((shares - p).abs() < 4 * (p * (1 - p) / len(index)).sqrt()).all())

    def test_never_an_impossible_one(self) -> None:
        """Not even with the largest noise that can be drawn."""
        noise = torch.tensor([[90.0, -5.0], [3e38, -3e38]])
        assert choose(torch.tensor([[0.0, 1.0], [0.0, 1e-38]]), noise).tolist() == [1, 1]

    def test_noise_is_finite(self) -> None:
        """A uniform number of 0 gives a large number, not infinity."""
        assert bool(torch.isfinite(gumbel_noise(100_000, 4, _rng())).all())


class TestStraightThrough:
    @pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
    def test_is_the_choice_with_the_gradient_of_the_softmax(self, temperature: float) -> None:
        """The value is one-hot for every temperature; the derivative is y_i (1[i = j] - y_j) / (temperature p_j)."""
        fake, _, _ = _chosen()
        assert fake.probabilities is not None and fake.gumbel is not None
        p, noise = fake.probabilities.detach(), fake.gumbel
        value = straight_through(p, noise, temperature)
        assert torch.equal(value, torch.eye(K, dtype=p.dtype)[fake.generator])
        y = ((p.log() + noise) / temperature).softmax(1)
        expected = y[:, :, None] * (torch.eye(K) - y[:, None, :]) / (temperature * p[:, None, :])
        found = torch.func.vmap(torch.func.jacrev(lambda p, g: straight_through(p[None], g[None], temperature)[0]))(
            p, noise
        )
        torch.testing.assert_close(found, expected)

    def test_probability_of_zero_has_a_finite_gradient(self) -> None:
        """A softmax may underflow."""
        logits = torch.tensor([[0.0, -200.0]], requires_grad=True)
        straight_through(logits.softmax(1), torch.zeros(1, 2), 0.5)[0, 0].backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


class TestFake:
    def test_mixed_has_the_values_of_x(self) -> None:
        """To the last bit."""
        fake, _, _ = _chosen()
        assert torch.equal(fake.mixed(0.7), fake.x)

    def test_gradients_of_mixed(self) -> None:
        """Of a loss sum_n a_n · x_n: a_n for the chosen candidates, and a softmax of a_n · x_kn for the gate."""
        fake, candidates, logits = _chosen()
        a = torch.randn(N, 2, generator=_rng(3), dtype=torch.float64)
        of_candidates, of_logits = torch.autograd.grad((a * fake.mixed(0.7)).sum(), (candidates, logits))
        hard = torch.eye(K, dtype=torch.float64)[fake.generator]
        torch.testing.assert_close(of_candidates, hard.T[:, :, None] * a)
        assert fake.gumbel is not None
        y = ((logits.log_softmax(1) + fake.gumbel) / 0.7).softmax(1)
        values = torch.einsum("nd,knd->nk", a, candidates)
        torch.testing.assert_close(of_logits, y * (values - (y * values).sum(1, keepdim=True)) / 0.7)

    def test_detached_has_no_graph(self) -> None:
        """Neither samples nor candidates nor probabilities."""
        fake = _chosen()[0].detach()
        assert not any(value.requires_grad for value in vars(fake).values() if isinstance(value, Tensor))
        assert torch.equal(fake.mixed(), fake.x)

    def test_numbers_of_generators_differ(self, messages: Messages) -> None:
        """Samples cannot be viewed by generator."""
        fake, _, _ = _chosen()
        with messages.raises(PluginError, "by_generator()", "fake.generator"):
            fake.by_generator(fake.x)

    def test_equal_numbers_have_no_choice(self, messages: Messages) -> None:
        """A model without a gate and without draws by weights."""
        with messages.raises(PluginError, "choices()", "gate()", "weighted_draws"):
            tiny.fake(torch.zeros(4, 2)).mixed()
