"""BEGAN: its losses against closed forms, and the update of k."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.began import BEGAN
from torch import Tensor

from gan_bench.contracts.model import Turn
from gan_bench.contracts.network import Autoencoder
from tests.support.tiny import fake, number, put, real, trainer

EXACT = 1e-12
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 3, (7, 2)), RNG.normal(0, 3, (12, 2))
BOTH = Turn(("discriminator", "generator"))


class Halves(Autoencoder):
    """An autoencoder that returns half of a point, so that the energy is that of the other half."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def _began(**params: Any) -> BEGAN:
    model = BEGAN(BEGAN.Params(**params))
    put(model, discriminator=Halves())
    return model


def _state(k: float) -> dict[str, Tensor]:
    return {"k": torch.tensor(k, dtype=torch.float64)}


class TestLosses:
    @pytest.mark.parametrize("k", [0.0, 0.3, 1.0])
    def test_discriminator(self, k: float) -> None:
        """The loss is E(x) - k E(G), with E the mean |v - AE(v)|; E(x) is returned beside it."""
        loss, told = _began().discriminator_loss(real(REAL), fake(FAKE), _state(k))
        of_real, of_fake = np.abs(REAL / 2).mean(), np.abs(FAKE / 2).mean()
        assert number(loss) == pytest.approx(of_real - k * of_fake, rel=EXACT)
        assert number(told["of_real"]) == pytest.approx(of_real, rel=EXACT)

    def test_generator(self) -> None:
        """The loss is E(G), which is also returned as a value."""
        loss, told = _began().generator_loss(fake(FAKE))
        assert number(loss) == pytest.approx(np.abs(FAKE / 2).mean(), rel=EXACT)
        assert number(told["of_fake"]) == number(loss)


class TestBalance:
    @pytest.mark.parametrize(
        ("k", "of_real", "of_fake", "expected"),
        [(0.2, 3.0, 1.0, 0.25), (0.2, 1.0, 1.5, 0.1), (0.0, 1.0, 2.0, 0.0), (0.99, 9.0, 0.0, 1.0)],
    )
    def test_rule(self, k: float, of_real: float, of_fake: float, expected: float) -> None:
        """lambda_k (gamma E(x) - E(G)) is added to k, which is clipped to [0, 1]."""
        told = {"of_real": torch.tensor(of_real).double(), "of_fake": torch.tensor(of_fake).double()}
        state = _began(gamma=0.5, rate=0.1).after_turn(BOTH, _state(k), told)
        assert number(state["k"]) == pytest.approx(expected, abs=EXACT)

    def test_in_a_run(self) -> None:
        """The state k starts at 0 and follows the energies from before both players' steps."""
        t = trainer(BEGAN(BEGAN.Params(gamma=1.0, rate=0.5)))
        assert number(t.state["k"]) == 0
        expected, seen = 0.0, []
        for _ in range(6):
            t.iterate()
            of_fake = number(t.losses["generator"])
            # L_D = E(x) - k E(G) with the k from before the update
            expected = min(
                max(expected + 0.5 * (number(t.losses["discriminator"]) + expected * of_fake - of_fake), 0), 1
            )
            assert number(t.state["k"]) == pytest.approx(expected, abs=1e-5)
            seen.append(expected)
        assert max(seen) > 0

    def test_one_turn(self) -> None:
        """Both players are updated simultaneously."""
        assert BEGAN().turns(0) == BEGAN().turns(7) == (BOTH,)


class TestData:
    def test_the_copy_is_a_point(self) -> None:
        """The discriminator's output has the shape of the samples."""
        model = BEGAN()
        trainer(model)
        assert model.off(torch.zeros(5, 2)).shape == (5, 2)
