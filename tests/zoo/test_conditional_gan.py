"""ConditionalGAN: both networks with the class as an input; its losses, and the data that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import MADGAN1D, Ring8
from gan_bench_zoo.models.conditional_gan import ConditionalGAN
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_bench.contracts.model import Real
from gan_bench.contracts.network import JointDiscriminator
from gan_bench.contracts.parameters import NoParams, checked
from tests.support.faults import Plain
from tests.support.messages import Messages
from tests.support.tiny import fake, networks, number, put, same, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(8)
K, EACH = 3, 4
R, F = RNG.normal(0, 2, (7, 2)), RNG.normal(0, 2, (K * EACH, 2))
LABELS = np.array([0, 2, 2, 1, 0, 0, 2])
OF_FAKES = np.arange(K).repeat(EACH)
WEIGHTS, OF_CLASS = np.array([0.8, -0.5]), np.array([0.3, -1.1, 2.0])
EXACT = 1e-12


class _Linear(JointDiscriminator):
    """A linear layer on the point and its class."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(np.concatenate([WEIGHTS, OF_CLASS])))

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"source": torch.cat((x, y), 1) @ self.weights}


def _model(**params: Any) -> ConditionalGAN:
    model = ConditionalGAN(ConditionalGAN.Params(generators=K, **params))
    put(model, discriminator=_Linear())
    return model


def _real(x: Any = R) -> Real:
    return Real(torch.as_tensor(x), torch.as_tensor(LABELS))


def _logits(x: Array, labels: Array) -> Array:
    """Return the point's term plus the term of its class, which is looked up instead of multiplied."""
    return np.asarray(x @ WEIGHTS + OF_CLASS[labels])


class TestLosses:
    def test_discriminator(self) -> None:
        """The loss is -E log D(x, y) - E log(1 - D(G, y)), each sample with its class."""
        expected = np.logaddexp(0, -_logits(R, LABELS)).mean() + np.logaddexp(0, _logits(F, OF_FAKES)).mean()
        assert number(_model().discriminator_loss(_real(), fake(F, K))) == pytest.approx(expected, rel=EXACT)

    def test_generator(self) -> None:
        """The loss is -E log D(G, y), or E log(1 - D(G, y))."""
        a = _logits(F, OF_FAKES)
        assert number(_model().generator_loss(fake(F, K))) == pytest.approx(np.logaddexp(0, -a).mean(), rel=EXACT)
        saturating = _model(saturating=True).generator_loss(fake(F, K))
        assert number(saturating) == pytest.approx(-np.logaddexp(0, a).mean(), rel=EXACT)

    @pytest.mark.parametrize("saturating", [False, True])
    def test_gradients_are_finite_differences(self, saturating: bool) -> None:
        """Gradients by every coordinate and weight are central differences in float64."""
        model = _model(saturating=saturating)
        r, f = torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)

        def losses(r: Any, f: Any, _: Any) -> Any:
            return model.discriminator_loss(_real(r), fake(f, K)), model.generator_loss(fake(f, K))

        assert torch.autograd.gradcheck(losses, (r, f, *model.discriminator.parameters()))

    def test_a_gan_for_each_class(self) -> None:
        """With logits of the optimal D of each class, the discriminator's loss is the mean of log 4 - 2 JSD."""
        p = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])  # probabilities of cells, by class, of the data
        q = np.array([[0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])  # and of generated samples
        model = ConditionalGAN(ConditionalGAN.Params(generators=2))
        put(model, discriminator=_Optimal(p, q))
        drawn, made = ([_cells(4 * each) for each in of] for of in (p, q))
        data = Real(torch.cat(drawn)[:, None], torch.tensor([0, 1]).repeat_interleave(4))
        loss = model.discriminator_loss(data, fake(torch.cat(made)[:, None], 2))
        jsd = [_kl(a, (a + b) / 2) / 2 + _kl(b, (a + b) / 2) / 2 for a, b in zip(p, q, strict=True)]
        assert number(loss) == pytest.approx(np.log(4) - 2 * np.mean(jsd), rel=1e-10)


class _Optimal(JointDiscriminator):
    """log p(cell | class) - log q(cell | class), of a cell with the unit vector of its class."""

    def __init__(self, p: Array, q: Array) -> None:
        super().__init__()
        with np.errstate(divide="ignore", invalid="ignore"):
            logits = np.nan_to_num(np.log(p) - np.log(q), nan=0.0, neginf=-60.0)
        self.logits = torch.as_tensor(logits)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"source": self.logits[y.argmax(1), x[:, 0].long()]}


def _cells(counts: Array) -> Tensor:
    return torch.as_tensor(np.repeat(np.arange(len(counts)), counts.astype(int)).astype(float))


def _kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def test_both_networks_see_k_numbers_more() -> None:
    """The discriminator's first layer has K inputs beside the point's two, the generator's K beside the latent's."""
    players = ConditionalGAN(ConditionalGAN.Params(generators=K)).build(networks(latent_size=6))
    assert players["discriminator"].get_parameter("body.trunk.weight").shape == (8, 2 + K)
    assert {p.shape[1] for p in players["generator"].parameters() if p.dim() == 3 and p.shape[1] > 1} >= {6 + K}


def test_each_turn_moves_its_player() -> None:
    """Each turn updates its player and leaves the other one as it is."""
    t = trainer(ConditionalGAN())
    of_d, of_g = t.model.turns(0)
    for turn, other in ((of_d, t.model.generator), (of_g, t.model.discriminator)):
        before, everything = values(other), values(t.model)
        t.play((turn,), t.draw((turn,)))
        assert same(before, values(other))
        assert not same(everything, values(t.model))


class TestData:
    def test_refused(self, messages: Messages) -> None:
        """Data without labels, or with another number of classes, are refused, each with its reason."""
        model = ConditionalGAN()
        assert model.refuses(Ring8(Ring8.Params())) is None
        messages.check(model.refuses(Plain(NoParams())), "plain")
        messages.check(model.refuses(MADGAN1D(MADGAN1D.Params())), "generators = 5", 8)

    def test_the_table_says_so(self, messages: Messages) -> None:
        """A footnote of the table reports the use of labels."""
        (footnote,) = ConditionalGAN().footnotes
        messages.check(footnote, "labels")


def test_no_class() -> None:
    """Zero classes are refused."""
    told: list[str] = []
    checked(ConditionalGAN.Params, {"generators": 0}, lambda _, message: told.append(message))
    assert len(told) == 1
