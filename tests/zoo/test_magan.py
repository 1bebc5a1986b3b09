"""MAGAN: its losses against closed forms, the turns of its prelude, and the rule of its margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.magan import MAGAN
from torch import Tensor

from gan_bench.contracts.model import Turn
from gan_bench.contracts.network import Autoencoder
from tests.support.tiny import fake, number, put, real, spy, trainer, values

EXACT = 1e-12
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 3, (7, 2)), RNG.normal(0, 3, (12, 2))
AUTOENCODER, GENERATOR = Turn(("discriminator",)), Turn(("generator",))


class Halves(Autoencoder):
    """An autoencoder that returns half of a point, so that the energy is that of the other half."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def _magan(**params: Any) -> MAGAN:
    model = MAGAN(MAGAN.Params(**params))
    put(model, discriminator=Halves())
    return model


def _state(model: MAGAN, **changes: float) -> dict[str, Tensor]:
    return {**model.initial_state(), **{name: torch.tensor(value) for name, value in changes.items()}}


def _epoch(model: MAGAN, state: Mapping[str, Tensor], real: list[float], fake: list[float]) -> Mapping[str, Tensor]:
    """Return the state after iterations with these energies."""
    for of_real, of_fake in zip(real, fake, strict=True):
        state = model.after_turn(AUTOENCODER, state, {"of_real": torch.tensor(of_real)})
        state = model.after_turn(GENERATOR, state, {"of_fake": torch.tensor(of_fake)})
    return state


class TestLosses:
    MARGIN = float(np.median((FAKE / 2) ** 2 @ np.ones(2)))  # half of the samples are below it

    def test_discriminator(self) -> None:
        """The loss is E(x) + max(0, m - E(G)) by sample, with E the squared distance; E(x) is returned beside it."""
        model = _magan()
        state = _state(model, margin=self.MARGIN, learns=1.0)
        loss, told = model.discriminator_loss(real(REAL), fake(FAKE), state)
        of_real, of_fake = ((REAL / 2) ** 2).sum(1), ((FAKE / 2) ** 2).sum(1)
        hinge = np.maximum(0, np.float32(self.MARGIN) - of_fake)
        assert 0 < (hinge > 0).mean() < 1
        assert number(loss) == pytest.approx(of_real.mean() + hinge.mean(), rel=1e-7)
        assert number(told["of_real"]) == pytest.approx(of_real.mean(), rel=EXACT)

    def test_without_a_margin(self) -> None:
        """With m = 0, as in the prelude, generated samples do not enter the loss."""
        model = _magan()
        loss, _ = model.discriminator_loss(real(REAL), fake(FAKE), _state(model))
        assert number(loss) == pytest.approx(((REAL / 2) ** 2).sum(1).mean(), rel=EXACT)

    def test_generator(self) -> None:
        """The loss is E(G), which is also returned as a value."""
        loss, told = _magan().generator_loss(fake(FAKE))
        assert number(loss) == pytest.approx(((FAKE / 2) ** 2).sum(1).mean(), rel=EXACT)
        assert number(told["of_fake"]) == number(loss)


class TestMargin:
    def test_shrinks(self) -> None:
        """The margin becomes the epoch's mean E(x) if S_z has grown, S_x < S_z and this mean is below the margin."""
        model = _magan(epoch=2)
        state = _epoch(model, _state(model, margin=5.0, last_fake=6.0), [2.0, 3.0], [3.0, 4.0])
        assert number(state["margin"]) == 2.5
        assert {name: number(state[name]) for name in ("of_real", "of_fake", "done", "last_fake")} == {
            "of_real": 0,
            "of_fake": 0,
            "done": 0,
            "last_fake": 7,
        }

    @pytest.mark.parametrize(
        ("changes", "of_real", "of_fake"),
        [
            ({"last_fake": 8.0}, [2.0, 3.0], [3.0, 4.0]),  # S_z has shrunk
            ({"last_fake": 7.0}, [2.0, 3.0], [3.0, 4.0]),  # S_z has stayed
            ({"last_fake": 3.0}, [2.0, 3.0], [2.0, 2.0]),  # S_x is above S_z
            ({"last_fake": 6.0, "margin": 2.0}, [2.0, 3.0], [3.0, 4.0]),  # the mean is above the margin
            ({"last_fake": 0.0}, [2.0, 3.0], [3.0, 4.0]),  # the first epoch
        ],
    )
    def test_stays(self, changes: dict[str, float], of_real: list[float], of_fake: list[float]) -> None:
        """The margin does not change if a condition fails, or in the first epoch; S_z is stored in any case."""
        model = _magan(epoch=2)
        state = _state(model, **({"margin": 5.0} | changes))
        after = _epoch(model, state, of_real, of_fake)
        assert number(after["margin"]) == number(state["margin"])
        assert number(after["last_fake"]) == sum(of_fake)

    def test_within_an_epoch(self) -> None:
        """Until an epoch ends, energies are added up and nothing else changes."""
        model = _magan(epoch=3)
        state = _epoch(model, _state(model, margin=5.0, last_fake=6.0), [2.0, 3.0], [30.0, 40.0])
        assert (number(state["of_real"]), number(state["of_fake"]), number(state["done"])) == (5, 70, 2)
        assert (number(state["margin"]), number(state["last_fake"])) == (5, 6)

    def test_never_grows(self) -> None:
        """In a run of many epochs the margin never increases."""
        t = trainer(MAGAN(MAGAN.Params(epoch=2)), learning_rate=0.05)
        seen = []
        for _ in range(40):
            t.iterate()
            seen.append(number(t.state["margin"]))
        assert seen == sorted(seen, reverse=True)
        assert seen[-1] < seen[0]


class TestBeforeTheGame:
    def test_turns(self) -> None:
        """The prelude trains the autoencoder alone, each turn on a new draw of real data."""
        (stage,) = MAGAN(MAGAN.Params(epoch=3, pretraining=2)).stages(100)
        assert stage.first == 0
        assert [turn.players for turn in stage.prelude] == [("discriminator",)] * 9
        assert [turn.real for turn in stage.prelude] == [*range(1, 10)]
        assert MAGAN().turns(0) == MAGAN().turns(1) == (AUTOENCODER, GENERATOR)

    @pytest.mark.parametrize("pretraining", [0, 2])
    def test_margin_is_measured(self, pretraining: int) -> None:
        """The margin is the mean E(x) of the epoch after pretraining, in which the loss is multiplied by 0."""
        model = MAGAN(MAGAN.Params(epoch=3, pretraining=pretraining))
        calls = spy(model, "discriminator_loss")
        t = trainer(model, optimizer="sgd")
        untrained = values(model)
        energies = []
        step = model.after_turn

        def told(turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            energies.append(values.get("of_real"))
            return step(turn, state, values)

        model.after_turn = told  # type: ignore[method-assign]
        t.iterate()
        before = 3 * pretraining
        measured = [number(value) for value in energies[before : before + 3] if value is not None]
        assert number(t.state["margin"]) == pytest.approx(np.mean(measured), rel=1e-6)
        assert [number(call["state"]["learns"]) for call in calls] == [1.0] * before + [0.0] * 3 + [1.0]
        assert all(number(call["state"]["margin"]) == 0 for call in calls[:-1])
        name = "discriminator.body.trunk.weight"
        assert not torch.equal(values(model)[name], untrained[name])

    def test_measuring_moves_nothing(self) -> None:
        """While the margin is measured, the loss has no gradient."""
        model = _magan()
        x = torch.tensor(REAL, requires_grad=True)
        loss, told = model.discriminator_loss(real(x), fake(FAKE), _state(model, margin=1.0, learns=0.0))
        (gradient,) = torch.autograd.grad(loss, x)
        assert not gradient.any()
        assert number(told["of_real"]) > 0

    def test_momentum_moves_little(self) -> None:
        """With Adam, the epoch that measures moves the autoencoder about as far as the last step before it."""
        model = MAGAN(MAGAN.Params(epoch=10, pretraining=1))
        t = trainer(model, betas=(0.5, 0.999))
        places: list[Tensor] = []
        step = model.after_turn

        def place(turn: Turn, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            places.append(model.discriminator.get_parameter("body.trunk.weight").detach().clone())
            return step(turn, state, values)

        model.after_turn = place  # type: ignore[method-assign]
        t.iterate()
        last, measuring = places[9] - places[8], places[19] - places[9]
        assert 0 < number(measuring.norm()) < 1.2 * number(last.norm())

    def test_energies_before_do_not_count(self) -> None:
        """The sums of the first epoch of the game exclude the prelude."""
        t = trainer(MAGAN(MAGAN.Params(epoch=3)))
        t.iterate()
        assert number(t.state["done"]) == 1
        assert number(t.state["last_fake"]) == 0
        assert number(t.state["of_fake"]) == pytest.approx(number(t.losses["generator"]), rel=1e-6)
