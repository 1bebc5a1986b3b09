"""Promises of an iteration's precision."""

from __future__ import annotations

import pytest
import torch

from gan_bench.acceleration.compilation import as_traced, compile_iterations
from gan_bench.acceleration.stacked_seeds import Stack
from tests.acceleration.test_compilation import _silent
from tests.support.tiny import WIDER, ZOO, trainer
from tests.support.tiny import values as parameters

MODELS = ("gan", "mgan", "unrolled-gan", "wgan-gp", "ali")


class TestBfloat16:
    @pytest.mark.parametrize("name", MODELS)
    def test_is_close_to_float32(self, name: str) -> None:
        """Losses agree to about two digits and are not equal; weights, samples and losses stay float32."""
        make = (ZOO | WIDER)[name]
        whole, half = (trainer(make(), precision=precision, optimizer="sgd") for precision in ("float32", "bfloat16"))
        whole.iterate()
        half.iterate()
        for player, loss in whole.losses.items():
            assert half.losses[player].dtype == torch.float32
            assert half.losses[player].item() == pytest.approx(loss.item(), rel=0.03, abs=0.01)
        assert any(not torch.equal(half.losses[player], whole.losses[player]) for player in whole.losses)
        assert {value.dtype for value in parameters(half.model).values()} == {torch.float32}

    @pytest.mark.parametrize("name", ["mgan", "wgan-gp"])
    def test_is_traced_and_stacked(self, name: str) -> None:
        """Results equal those of eager iterations with the same precision, up to its rounding."""
        make = (ZOO | WIDER)[name]
        eager, traced, *members = (trainer(make(), precision="bfloat16", optimizer="sgd") for _ in range(4))
        compile_iterations(traced, _silent, as_traced)
        stack = Stack(members, as_traced, _silent)
        for _ in range(2):
            eager.iterate()
            traced.iterate()
            stack.iterate()
        stack.settle()
        for member in (traced, *members):
            for player, loss in eager.losses.items():
                assert member.losses[player].item() == pytest.approx(loss.item(), rel=0.02, abs=0.01)
