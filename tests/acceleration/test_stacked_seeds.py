"""Promises of stacked seeds: each member trains as it would alone, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from torch import Tensor, fx, nn

from gan_bench.acceleration import stacked_seeds
from gan_bench.acceleration.compilation import Compiler, as_traced, compiled
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.model import Fake, Model, Real, Turn
from gan_bench.contracts.network import Networks
from gan_bench.training.trainer import Trainer
from tests.acceleration.test_compilation import GAMES, SETTINGS, _assert_close, _silent
from tests.support.messages import Messages
from tests.support.tiny import WIDER, ZOO, same, side_by_side, trainer, values

SEEDS = (0, 1, 5)

QUICK = ("mgan", "unrolled-gan, adam", "wgan, warm-up", "adagan")
"""Variants in the fast tests. The others are marked slow, since tracing takes a second or more."""

VARIANTS = [name for name in WIDER if "," in name or name in QUICK]
"""Models with other settings than their defaults; the contract checks stack every model with its defaults."""


def _marked(names: Iterable[str]) -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def _both(
    make: Callable[[], Model], iterations: int = 4, using: Compiler = as_traced, **settings: Any
) -> tuple[list[Trainer], list[Trainer]]:
    """Train the same seeds one by one and stacked."""
    single, members = ([trainer(make(), seed=seed, **settings) for seed in SEEDS] for _ in range(2))
    stack = Stack(members, using, _silent)
    side_by_side(single, stack, iterations)
    return single, members


class TestStack:
    @pytest.mark.parametrize("name", _marked(ZOO))
    def test_zoo(self, name: str) -> None:
        """Parameters, optimisers, losses and counts of each seed are as without the others."""
        for one, member in zip(*_both(ZOO[name], learning_rate=0.002), strict=True):
            _assert_close(one, member)

    @pytest.mark.parametrize("name", _marked(VARIANTS))
    def test_wider_zoo(self, name: str) -> None:
        """So are those of the other models, with gradient descent, since some have gradients of zero up to rounding."""
        for one, member in zip(*_both(WIDER[name], 7, optimizer="sgd", learning_rate=0.002), strict=True):
            _assert_close(one, member)

    @pytest.mark.parametrize("name", _marked(GAMES))
    def test_other_games(self, name: str) -> None:
        """Games have many turns, turns by iteration, noise, constraints, state, simultaneous turns, learned weights."""
        settings = SETTINGS.get(name, {"fakes": 16})
        for one, member in zip(*_both(GAMES[name], 7, learning_rate=0.002, **settings), strict=True):
            _assert_close(one, member)

    def test_settings(self) -> None:
        """The settings are fresh latents, decay and the moving average."""
        settings: dict[str, Any] = {"latents": "fresh", "decay": "linear", "ema": 0.8, "learning_rate": 0.002}
        for one, member in zip(*_both(GAN, **settings), strict=True):
            _assert_close(one, member)

    def test_in_double_precision(self) -> None:
        """Fifty iterations agree to ten digits, so differences in single precision are rounding."""
        with _double():
            for one, member in zip(*_both(GAN, 50, learning_rate=0.002), strict=True):
                torch.testing.assert_close(values(member.model), values(one.model), rtol=1e-9, atol=1e-10)

    def test_members_go_on_by_themselves(self) -> None:
        """A member's state is that of a single run, so it can leave the stack at any iteration."""
        single, members = _both(GAN, learning_rate=0.002)
        for one, member in zip(single, members, strict=True):
            alone = trainer(GAN(), seed=one.randomness.seed, learning_rate=0.002)
            alone.load_state_dict(member.state_dict())
            alone.iterate()
            one.iterate()
            _assert_close(one, alone)

    @pytest.mark.slow
    def test_data_that_are_weighed_from_some_iteration_on(self) -> None:
        """Draws by weights are single, so they do not use the blocks drawn for several iterations."""

        class Weighing(GAN):
            pool_size = 20

            def initial_state(self) -> Mapping[str, Tensor]:
                return {"weights": torch.arange(20.0)}

            def turns(self, iteration: int) -> tuple[Turn, ...]:
                weights = "weights" if iteration >= 3 else None
                return (Turn(("discriminator",), weights=weights), Turn(("generator",)))

        single, members = ([trainer(Weighing(), seed=s, learning_rate=0.002) for s in SEEDS] for _ in range(2))
        for one in (*single, *members):
            one.draw_source.rows = 4
        side_by_side(single, Stack(members, as_traced, _silent), 7)
        for one, member in zip(single, members, strict=True):
            _assert_close(one, member)

    def test_refuses_a_number_of_one_seed_among_many(self, messages: Messages) -> None:
        """Each member is compared with the first, whose number all would otherwise use."""

        class Leaning(GAN):
            lean = 1.0

            def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
                return super().discriminator_loss(Real(real.x + self.lean), fake)

        members = [trainer(Leaning(), seed=seed) for seed in SEEDS]
        members[1].model.__dict__["lean"] = 2.0
        with messages.raises(NotCompilableError):
            Stack(members, as_traced, _silent)

    def test_refuses_members_at_different_iterations(self, messages: Messages) -> None:
        """All members of a stack have the same turns and learning rates."""
        members = [trainer(GAN(), seed=seed) for seed in SEEDS]
        members[2].iterate()
        with messages.raises(ValueError):
            Stack(members, as_traced, _silent)

    def test_refuses_what_differs_between_seeds(self, messages: Messages) -> None:
        """A tensor outside parameters and buffers would be the first seed's for all members."""

        class Held(GAN):
            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                self.direction = torch.randn(2)
                return super().build(networks)

            def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
                return super().discriminator_loss(Real(real.x + self.direction), fake)

        with messages.raises(NotCompilableError):
            Stack([trainer(Held(), seed=seed) for seed in SEEDS], as_traced, _silent)

    @pytest.mark.parametrize(
        "name", ["mgan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("d2gan", "began", "improved-gan"))]
    )
    def test_numbers_stay_numbers(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """No number becomes a tensor, which would be on the CPU on any device. Values are bit-equal."""
        graphs: list[fx.GraphModule] = []

        def kept(graph: fx.GraphModule, arguments: list[Tensor], fixed: int) -> Callable[..., Any]:
            graphs.append(graph)
            return graph

        def trained() -> list[dict[str, Tensor]]:
            members = [trainer((ZOO | WIDER)[name](), seed=seed, learning_rate=0.002) for seed in (0, 1)]
            stack = Stack(members, kept, _silent)
            for _ in range(2):
                stack.iterate()
            return [values(member.model) for member in members]

        folded = trained()
        monkeypatch.setattr(stacked_seeds, "_fold_constants", lambda graph: graph)
        unfolded = trained()
        assert not _made_of_numbers(graphs[0]) and _made_of_numbers(graphs[1])
        assert all(map(same, folded, unfolded))

    @pytest.mark.slow
    @pytest.mark.usefixtures("compiler")
    def test_compiled(self) -> None:
        """The stacked graph compiled by torch trains as single eager runs do."""
        for one, member in zip(*_both(ZOO["mgan"], using=compiled, learning_rate=0.002), strict=True):
            _assert_close(one, member)


def _made_of_numbers(graph: fx.GraphModule) -> list[fx.Node]:
    """Return the tensors of a graph that were converted from a Python number."""
    convert = torch.ops.aten._to_copy.default
    return [node for node in graph.graph.nodes if node.target is convert and not isinstance(node.args[0], fx.Node)]


@contextmanager
def _double() -> Iterator[None]:
    """Use double precision for new tensors by default."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
