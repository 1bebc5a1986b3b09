"""WGAN: its losses, the numbers of critic steps, and the clipping of the critic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.wgan import WGAN

from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, number, put, real, same, spy, trainer, values

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 3, (7, 1)), RNG.normal(0, 3, (12, 1))


def _wgan(**params: Any) -> WGAN:
    model = WGAN(WGAN.Params(**params))
    put(model, critic=Echo({"score": None}))
    return model


class TestLosses:
    def test_critic(self) -> None:
        """The loss is E f(G(z)) - E f(x), each mean over a whole draw of any size."""
        loss = _wgan().critic_loss(real(REAL), fake(FAKE))
        assert number(loss) == pytest.approx(FAKE.mean() - REAL.mean(), rel=1e-12)

    def test_generator(self) -> None:
        """The loss is -E f(G(z))."""
        assert number(_wgan().generator_loss(fake(FAKE))) == pytest.approx(-FAKE.mean(), rel=1e-12)

    def test_gradients(self) -> None:
        """The critic's loss has gradients 1/N by generated and -1/B by real scores, the generator's -1/N."""
        r, f = torch.tensor(REAL, requires_grad=True), torch.tensor(FAKE, requires_grad=True)
        of_r, of_f = torch.autograd.grad(_wgan().critic_loss(real(r), fake(f)), (r, f))
        assert of_r.flatten().tolist() == pytest.approx([-1 / 7] * 7)
        assert of_f.flatten().tolist() == pytest.approx([1 / 12] * 12)
        (of_g,) = torch.autograd.grad(_wgan().generator_loss(fake(f)), f)
        assert of_g.flatten().tolist() == pytest.approx([-1 / 12] * 12)


class TestTurns:
    def _steps(self, model: WGAN, iterations: int) -> list[int]:
        return [sum(turn.players == ("critic",) for turn in model.turns(i)) for i in range(iterations)]

    def test_as_in_the_paper(self) -> None:
        """Every iteration has five critic steps, then the generator's."""
        assert self._steps(WGAN(), 600) == [5] * 600
        assert all(WGAN().turns(i)[-1].players == ("generator",) for i in (0, 1, 500))

    def test_as_in_the_release(self) -> None:
        """Iterations 0 to 24 and 500, 1000, … have 100 critic steps, the others five."""
        steps = self._steps(WGAN(WGAN.Params(**WGAN.presets["release"].params)), 1001)
        assert [i for i, count in enumerate(steps) if count == 100] == [*range(25), 500, 1000]
        assert set(steps) == {5, 100}

    def test_draws(self) -> None:
        """Every critic step uses other data and latents; the generator's uses the latents of the last one."""
        model = WGAN(WGAN.Params(critic_steps=3))
        of_critic, of_generator = spy(model, "critic_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        for first in range(3):
            for second in range(first):
                a, b = of_critic[first], of_critic[second]
                assert not torch.equal(a["real"].x, b["real"].x)
                assert not torch.equal(a["fake"].z, b["fake"].z)
        assert torch.equal(of_generator[0]["fake"].z, of_critic[2]["fake"].z)
        assert t.counts.updates == {"critic": 3, "generator": 1}

    def test_fresh_latents(self) -> None:
        """With fresh latents in the protocol, the generator's differ from all of the critic's, as in algorithm 1."""
        model = WGAN(WGAN.Params(critic_steps=2))
        of_critic, of_generator = spy(model, "critic_loss"), spy(model, "generator_loss")
        trainer(model, latents="fresh").iterate()
        assert not any(torch.equal(of_generator[0]["fake"].z, call["fake"].z) for call in of_critic)


class TestClipping:
    def test_all_of_the_critic(self) -> None:
        """After an iteration every parameter of the critic, biases too, is in [-c, c], and some are at a bound."""
        model = WGAN(WGAN.Params(clip=0.05))
        t = trainer(model, learning_rate=0.2)
        assert max(number(value.abs().max()) for value in model.critic.parameters()) > 0.05
        t.iterate()
        for name, value in model.critic.named_parameters():
            assert number(value.abs().max()) <= np.float32(0.05), name
        assert max(number(value.abs().max()) for value in model.critic.parameters()) == pytest.approx(0.05)

    def test_is_at_both_edges(self) -> None:
        """Weights within [-c, c] do not change; those outside are set to the nearer bound."""
        model = WGAN(WGAN.Params(clip=0.05))
        t = trainer(model)
        before = values(model.critic)
        with torch.no_grad():
            model.constrain("critic", t.parameters["critic"])
        for name, value in model.critic.named_parameters():
            expected = np.clip(before[name].numpy(), np.float32(-0.05), np.float32(0.05))
            assert np.array_equal(value.detach().numpy(), expected), name

    def test_nothing_of_the_generator(self) -> None:
        """The generator's weights are not clipped."""
        model = WGAN()
        t = trainer(model)
        before = values(model.generator)
        model.constrain("generator", t.parameters["generator"])
        assert same(before, values(model.generator))
        assert max(number(value.abs().max()) for value in before.values()) > 0.5


class TestRefusals:
    @pytest.mark.parametrize("wrong", [{"clip": 0.0}, {"critic_steps": 0}, {"warm_up": -1}, {"long_steps": 0}])
    def test_ranges(self, wrong: dict[str, Any]) -> None:
        """A clip of 0 and numbers of steps below 1 are refused."""
        told: list[str] = []
        checked(WGAN.Params, wrong, lambda _, message: told.append(message))
        assert len(told) == 1

    @pytest.mark.parametrize("when", [{"warm_up": 1}, {"long_every": 500}])
    def test_warm_up_below_usual(self, when: dict[str, int], messages: Messages) -> None:
        """Fewer critic steps in long iterations than usual are refused, unless there are no long iterations."""
        with messages.raises(ValueError, "long_steps = 3", "critic_steps = 5"):
            WGAN.Params(long_steps=3, **when)
        assert WGAN.Params(long_steps=3).critic_steps == 5
