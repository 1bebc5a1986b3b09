"""InfoGAN: its losses, the player of Q, and what it has in common with `index-input`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.index_input import IndexInput
from gan_bench_zoo.models.infogan import InfoGAN
from numpy.typing import NDArray

from gan_bench.contracts.model import Real
from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, networks, number, put, real, same, spy, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(3)
K, EACH, LAM = 3, 4, 0.7
R, F = RNG.normal(0, 2, (7, 1 + K)), RNG.normal(0, 2, (K * EACH, 1 + K))  # logits of D, then those of Q
EXACT = 1e-12


def _model(lam: float = LAM) -> InfoGAN:
    model = InfoGAN(InfoGAN.Params(generators=K, lam=lam))
    put(model, discriminator=Echo({"source": None, "code": K}))
    return model


def _of_code(logits: Array) -> float:
    """Return -E log Q(c | G(z, c)), sample by sample."""
    of_each = [np.log(np.exp(row).sum()) - row[i // EACH] for i, row in enumerate(logits)]
    return float(np.mean(of_each))


class TestLosses:
    def test_discriminator(self) -> None:
        """The loss is GAN's plus lambda times the cross-entropy of the code, on generated samples only."""
        expected = np.logaddexp(0, -R[:, 0]).mean() + np.logaddexp(0, F[:, 0]).mean() + LAM * _of_code(F[:, 1:])
        assert number(_model().discriminator_loss(real(R), fake(F, K))) == pytest.approx(expected, rel=EXACT)

    def test_generator(self) -> None:
        """The loss is -E log D(G) plus lambda times the cross-entropy of the code."""
        expected = np.logaddexp(0, -F[:, 0]).mean() + LAM * _of_code(F[:, 1:])
        assert number(_model().generator_loss(fake(F, K))) == pytest.approx(expected, rel=EXACT)

    def test_gradients_are_finite_differences(self) -> None:
        """Gradients by every logit are central differences in float64."""
        model, r, f = _model(), torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)

        def losses(r: Any, f: Any) -> Any:
            return model.discriminator_loss(Real(r), fake(f, K)), model.generator_loss(fake(f, K))

        assert torch.autograd.gradcheck(losses, (r, f))

    def test_bound_of_the_mutual_information(self) -> None:
        """H(c) less the cross-entropy is at most I(c; x), and equal if Q is the posterior (the paper's L_I)."""
        p = np.array(
            [[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.7, 0.1], [0.0, 0.25, 0.25, 0.5]]
        )  # probabilities of cells, by code
        joint = p / K
        posterior = joint / joint.sum(0)
        inside = joint > 0
        information = float((joint[inside] * np.log((posterior * K)[inside])).sum())
        counts = (20 * p).astype(int)
        cell = np.concatenate([np.repeat(np.arange(4), each) for each in counts])

        def bound(q: Array) -> float:
            logits = np.concatenate([np.zeros((len(cell), 1)), np.log(q.T[cell] + 1e-300)], 1)
            without, with_code = (_model(lam).generator_loss(fake(logits, K)) for lam in (0.0, 1.0))
            return float(np.log(K)) - number(with_code - without)

        assert counts.sum(1).tolist() == [20] * K
        assert bound(posterior) == pytest.approx(information, rel=1e-10)
        assert bound(0.9 * posterior + 0.1 / K) < information


class TestOwnership:
    def test_q_learns_in_the_discriminators_turn(self) -> None:
        """Trunk, head of D and head of Q belong to one player; the generator's turn does not update them."""
        t = trainer(InfoGAN(InfoGAN.Params(generators=K)))
        before = values(t.model.discriminator)
        (of_d, of_g) = t.model.turns(0)
        t.play((of_g,), t.draw((of_g,)))
        assert same(before, values(t.model.discriminator))
        t.play((of_d,), t.draw((of_d,)))
        after = values(t.model.discriminator)
        assert not any(torch.equal(before[name], after[name]) for name in before)
        assert not (after["heads.weight"] == before["heads.weight"]).any()  # rows of both heads

    def test_the_generator_heeds_q(self) -> None:
        """The generator's loss has a gradient by each logit of Q."""
        f = torch.tensor(F, requires_grad=True)
        (gradient,) = torch.autograd.grad(_model().generator_loss(fake(f, K)), f)
        assert bool((gradient[:, 1:] != 0).all())

    def test_turns(self) -> None:
        """The turns of discriminator and generator use the same generated samples."""
        model = InfoGAN(InfoGAN.Params(generators=K))
        of_d, of_g = spy(model, "discriminator_loss"), spy(model, "generator_loss")
        trainer(model).iterate()
        assert (len(of_d), len(of_g)) == (1, 1)
        assert torch.equal(of_d[0]["fake"].x, of_g[0]["fake"].x)
        assert of_d[0]["fake"].generator.bincount().tolist() == [4, 4, 4]  # each value has the same share of a draw


def test_it_is_index_input_with_beta_1() -> None:
    """With lambda = 1, networks and losses are those of `index-input` with beta = 1."""
    info, index = InfoGAN(InfoGAN.Params(generators=K)), IndexInput(IndexInput.Params(generators=K, beta=1.0))
    sizes = [
        {name: p.numel() for name, p in model.build(networks())["generator"].named_parameters()}
        for model in (info, index)
    ]
    assert sizes[0] == sizes[1]
    put(info, discriminator=Echo({"source": None, "code": K}))
    put(index, discriminator=Echo({"source": None, "generator": K}))
    assert number(info.generator_loss(fake(F, K))) == number(index.generator_loss(fake(F, K)))
    assert number(info.discriminator_loss(real(R), fake(F, K))) == number(index.discriminator_loss(real(R), fake(F, K)))


def test_the_code_is_an_input(messages: Messages) -> None:
    """With equal latents, each value of the code generates other samples; all weights but K inputs are shared."""
    t = trainer(InfoGAN(InfoGAN.Params(generators=K)))
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).expand(K, 5, 6)
    samples = t.model.generate(z)
    assert samples.shape == (K, 5, 2)
    assert not torch.equal(samples[0], samples[1])
    messages.check(t.model.sharing, "generators", "Q")


@pytest.mark.parametrize("given", [{"generators": 0}, {"lam": -0.1}])
def test_impossible_parameters(given: dict[str, Any]) -> None:
    """A code without values and a negative lambda are refused."""
    told: list[str] = []
    checked(InfoGAN.Params, given, lambda _, message: told.append(message))
    assert len(told) == 1
