"""The model contract: the needs of systems beyond the zoo, tested with small models.

They are those of the table in the design: more turns than two, turns that depend on the iteration, noise, penalties on
gradients, constraints, state, simultaneous players, learned mixture weights, stacked seeds.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.unrolled_gan import UnrolledGAN
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from gan_bench.contracts.losses import bce_real
from gan_bench.contracts.model import Fake, Model, Real, Turn
from gan_bench.contracts.network import Networks
from gan_bench.errors import PluginError
from gan_bench.evaluation.evaluate import draw
from tests.support.games import BEGAN, WGAN, WGANGP, Learned, OneByOne, Team
from tests.support.messages import Messages
from tests.support.tiny import Ring, fake, networks, number, put, same, spy, trainer, values


def _resumed_equals_uninterrupted(make: type[Model], stop: int, end: int) -> bool:
    through, resumed = trainer(make()), trainer(make(), seed=0)
    for _ in range(stop):
        through.iterate()
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(end - stop):
        through.iterate()
        resumed.iterate()
    return (
        same(values(through.model), values(resumed.model))
        and same(through.state, resumed.state)
        and through.counts == resumed.counts
    )


class TestManyTurns:
    """Many turns in an iteration, as in WGAN-GP."""

    def test_each_turn_has_its_own_draws(self) -> None:
        """Each of five critic turns has new real data, latents and noise, and the generator has new latents."""
        model = WGANGP()
        of_critic, of_generator = spy(model, "critic_loss"), spy(model, "generator_loss")
        t = trainer(model, fakes=16)
        t.iterate()
        assert len(of_critic) == 5
        for first in range(5):
            for second in range(first):
                a, b = of_critic[first], of_critic[second]
                assert not (a["real"].x == b["real"].x).all(1).any()
                assert not (a["fake"].z == b["fake"].z).any()
                assert not (a["noise"]["mix"] == b["noise"]["mix"]).any()
        assert all(not (call["fake"].z == of_generator[0]["fake"].z).any() for call in of_critic)
        assert t.counts.updates == {"critic": 5, "generator": 1}
        assert (t.counts.real_samples, t.counts.fake_samples) == (5 * 16, 6 * 16)

    def test_noise(self) -> None:
        """Noise has the declared shape and distribution, and is redrawn in each iteration."""
        model = WGANGP()
        calls = spy(model, "critic_loss")
        t = trainer(model, fakes=16)
        t.iterate()
        t.iterate()
        assert calls[0]["noise"]["mix"].shape == (16, 1)
        assert calls[0]["noise"]["unused"].shape == (3,)
        mix = torch.cat([call["noise"]["mix"] for call in calls])
        assert len(set(mix.flatten().tolist())) > 150  # of 160
        assert 0 <= number(mix.min()) < 0.05
        assert 0.95 < number(mix.max()) <= 1

    def test_gradient_penalty(self) -> None:
        """A penalty by torch.func in the loss gives the same critic as one by create_graph."""
        model = WGANGP()
        calls = spy(model, "critic_loss")
        t = trainer(model, fakes=16, optimizer="sgd")
        by_hand = copy.deepcopy(model.critic)
        t.iterate()
        for call in calls:
            r, f = call["real"].x, call["fake"].x.detach()
            x = (call["noise"]["mix"] * r + (1 - call["noise"]["mix"]) * f).requires_grad_()
            (g,) = torch.autograd.grad(by_hand(x)["score"].sum(), x, create_graph=True)
            loss = by_hand(f)["score"].mean() - by_hand(r)["score"].mean() + 10 * ((g.norm(dim=1) - 1) ** 2).mean()
            own = list(by_hand.parameters())
            gradients = torch.autograd.grad(loss, own)
            with torch.no_grad():
                for p, d in zip(own, gradients, strict=True):
                    p.sub_(0.01 * d)
        for name, value in values(by_hand).items():
            torch.testing.assert_close(model.critic.get_parameter(name).detach(), value, rtol=1e-5, atol=1e-6)

    def test_critic_turns_leave_the_generators_graph_alone(self) -> None:
        """Samples have a graph only in turns of a generating player."""
        model = WGANGP()
        made: list[bool] = []
        t = trainer(model, fakes=16)
        model.generator.register_forward_hook(lambda _, __, out: made.append(out.requires_grad))
        t.iterate()
        assert made == [False] * 5 + [True]


class TestTurnsByIteration:
    """Turns that depend on the iteration, as in WGAN."""

    def test_counts(self) -> None:
        """The counts include four critic turns in iterations 0, 1 and 5, and one in the others."""
        t = trainer(WGAN())
        updates = []
        for _ in range(7):
            t.iterate()
            updates.append(t.counts.updates["critic"])
        assert np.diff([0, *updates]).tolist() == [4, 4, 1, 1, 1, 4, 1]
        assert t.counts.updates["generator"] == 7
        assert t.counts.real_samples == 16 * sum((4, 4, 1, 1, 1, 4, 1))

    def test_constraint(self) -> None:
        """`constrain` changes a player's parameters after its step, and no others."""
        model = WGAN()
        t = trainer(model)
        assert max(number(p.abs().max()) for p in model.critic.parameters()) > 0.5
        t.iterate()
        assert max(number(p.abs().max()) for p in model.critic.parameters()) == pytest.approx(0.05)
        assert max(number(p.abs().max()) for p in model.generator.parameters()) > 0.5

    def test_first_draws_are_everyones(self) -> None:
        """The first real batch of an iteration is the same for all models."""
        rings = [Ring(), Ring()]
        for model, ring in zip((WGAN(), GAN()), rings, strict=True):
            trainer(model, dataset=ring).iterate()
        assert torch.equal(rings[0].drawn[0], rings[1].drawn[0])

    @pytest.mark.parametrize("model", [WGAN, BEGAN, Team, Learned])
    def test_resumed_equals_uninterrupted(self, model: type[Model]) -> None:
        """A run that is resumed from a checkpoint has the same turns, state and constraints as an uninterrupted one."""
        assert _resumed_equals_uninterrupted(model, 4, 7)


class TestState:
    """State that changes with training, as in BEGAN."""

    def test_state_follows_the_values(self) -> None:
        """The state k of each loss is updated after each turn by the values that both losses returned."""
        model = BEGAN()
        calls = spy(model, "discriminator_loss")
        of_generator = spy(model, "generator_loss")
        t = trainer(model)
        k = 0.1
        for _ in range(3):
            before = copy.deepcopy(model)
            t.iterate()
            assert number(calls[-1]["state"]["k"]) == pytest.approx(k)
            of_real = number(before.energy(calls[-1]["real"].x))
            of_fake = number(before.energy(of_generator[-1]["fake"].x))
            k = min(max(k + 0.2 * (0.5 * of_real - of_fake), 0), 1)
            assert number(t.state["k"]) == pytest.approx(k, rel=1e-5)
        assert k > 0
        assert not t.state["k"].requires_grad

    def test_state_weighs_in_the_gradient(self) -> None:
        """The state enters a loss as a constant: the discriminator's step is that of E(x) - k E(G)."""
        model = BEGAN()
        calls = spy(model, "discriminator_loss")
        t = trainer(model, optimizer="sgd")
        before = copy.deepcopy(model.discriminator)
        t.iterate()
        r, f = calls[0]["real"].x, calls[0]["fake"].x
        loss = (r - before(r)["code"]).abs().mean() - 0.1 * (f - before(f)["code"]).abs().mean()
        for (name, p), g in zip(
            before.named_parameters(), torch.autograd.grad(loss, list(before.parameters())), strict=True
        ):
            torch.testing.assert_close(model.discriminator.get_parameter(name), p - 0.01 * g, rtol=1e-5, atol=1e-7)


class TestSimultaneous:
    """Several players in one turn, as in ALI and GMAN."""

    def _gradient(self, model: Team, x: Tensor, z: Tensor, player: str) -> tuple[Tensor, ...]:
        made = fake(model.generate(z).flatten(0, 1))
        if player == "discriminator":
            loss = model.discriminator_loss(Real(x), made.detach())
        else:
            loss = model.shift_loss(made) if player == "shift" else model.generator_loss(made)
        return torch.autograd.grad(loss, list(model.get_submodule(player).parameters()))

    @pytest.mark.parametrize("cls", [Team, OneByOne])
    def test_gradients_are_taken_at_the_same_point(self, cls: type[Team]) -> None:
        """Gradients of one turn are taken at the same point; separate turns include the steps before them."""
        model = cls()
        calls = spy(model, "discriminator_loss")
        t = trainer(model, optimizer="sgd", learning_rate=0.1)
        by_hand = copy.deepcopy(model)
        by_hand.__dict__.pop("discriminator_loss")
        t.iterate()
        x, z = calls[0]["real"].x, calls[0]["fake"].z[None]
        for players in cls.schedule:
            gradients = {player: self._gradient(by_hand, x, z, player) for player in players}
            with torch.no_grad():
                for player, moves in gradients.items():
                    for p, g in zip(by_hand.get_submodule(player).parameters(), moves, strict=True):
                        p.sub_(0.1 * g)
        for name, value in values(by_hand).items():
            torch.testing.assert_close(model.get_parameter(name).detach(), value, rtol=1e-5, atol=1e-7)

    def test_samples_are_made_anew_when_a_generating_player_has_moved(self) -> None:
        """In separate turns of generating players on the same latents, samples include the step of the first player."""
        model = OneByOne()
        of_shift, of_generator = spy(model, "shift_loss"), spy(model, "generator_loss")
        t = trainer(model)
        t.iterate()
        first, second = of_shift[0]["fake"], of_generator[-1]["fake"]
        assert torch.equal(first.z, second.z)
        assert not torch.equal(first.x, second.x)
        assert t.counts.fake_samples == 12
        assert t.counts.updates == {"discriminator": 1, "generator": 1, "shift": 1}

    def test_average_covers_all_generating_players(self) -> None:
        """The moving average includes all generating players."""
        t = trainer(Team(), ema=0.5)
        assert t.average is not None
        assert {name.split(".")[0] for name in t.average.values} == {"generator", "shift"}


def test_learned_weights() -> None:
    """Weights that are parameters are trained, and determine the counts of drawn samples."""
    model = Learned()
    t = trainer(model, learning_rate=0.05)
    for _ in range(5):
        t.iterate()
    assert number(model.generator.logits.abs().max()) > 0.01
    with torch.no_grad():
        model.generator.logits.copy_(torch.tensor([0.7, 0.1, 0.2]).log())
    drawn = draw(t, 200, 0)
    assert drawn.generator is not None
    assert np.bincount(drawn.generator).tolist() == [140, 20, 40]


def test_losses_see_labels() -> None:
    """Real samples carry labels if the dataset has them."""
    model = GAN()
    calls = spy(model, "discriminator_loss")
    trainer(model).iterate()
    assert calls[0]["real"].label.shape == (16,)
    assert calls[0]["real"].index is None


class TestBrokenModels:
    def test_unknown_argument(self, messages: Messages) -> None:
        """An unknown argument of a loss is reported before training, with a list of the known ones."""

        class Curious(GAN):
            name = "curious"

            def generator_loss(self, fake: Fake, weather: Tensor) -> Tensor:  # type: ignore[override]
                return bce_real(weather)

        with messages.raises(PluginError, "curious: generator_loss()", "weather", "real", "fake", "noise"):
            trainer(Curious())

    def test_missing_loss(self, messages: Messages) -> None:
        """A player without a loss is reported before training."""

        class Idle(GAN):
            name = "idle"
            players = ("discriminator", "generator", "referee")

            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                return dict(super().build(networks)) | {"referee": nn.Linear(1, 1)}

        with messages.raises(PluginError, "idle: ", "referee_loss"):
            trainer(Idle())

    @pytest.mark.parametrize("made", [["discriminator"], ["discriminator", "generator", "extra"], ["d", "g"]])
    def test_wrong_players(self, made: list[str], messages: Messages) -> None:
        """Players that build() returns and the model does not declare, or the reverse, are reported."""

        class Confused(GAN):
            name = "confused"

            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                return {name: nn.Linear(1, 1) for name in made}

        with messages.raises(PluginError, "confused: build()", sorted(made), "'discriminator', 'generator'"):
            trainer(Confused())

    def test_shared_parameter(self, messages: Messages) -> None:
        """A parameter that belongs to two players is refused before training."""

        class Siamese(GAN):
            name = "siamese"

            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                made = dict(super().build(networks))
                made["generator"].add_module("borrowed", made["discriminator"])
                return made

        with messages.raises(PluginError, "siamese: ", "'discriminator'", "'generator'"):
            trainer(Siamese())

    def test_unknown_mover(self, messages: Messages) -> None:
        """A turn of an unknown player is reported, with the closest name."""

        class Typo(GAN):
            name = "typo"

            def turns(self, iteration: int) -> Sequence[Turn]:
                return (Turn(("discriminatr",)), Turn(("generator",)))

        with messages.raises(PluginError, "typo: ", "'discriminatr'", "'discriminator'"):
            trainer(Typo()).iterate()

    def test_no_build(self, messages: Messages) -> None:
        """A model without build() is reported."""

        class Empty(Model):
            name = "empty"

        with messages.raises(NotImplementedError, "Empty", "build()"):
            trainer(Empty())


class TestStackedSeeds:
    """Seeds stacked into one program: a loss written for one seed, under functional_call and vmap."""

    SEEDS = 2

    def _single(self, make: type[Model], params: Any, seed: int) -> tuple[Model, Tensor, Tensor]:
        model = make(params)
        put(model, **model.build(networks())).double()
        rng = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            nn.init.normal_(parameter, 0, 0.5, generator=rng)
        x = torch.randn(9, 2, generator=rng, dtype=torch.float64)
        z = torch.randn(model.generators, 4, 6, generator=rng, dtype=torch.float64)
        return model, x, z

    @pytest.mark.parametrize("player", ["discriminator", "generator"])
    @pytest.mark.parametrize(
        ("make", "params"),
        [
            (MGAN, MGAN.Params(generators=3, beta=0.5)),
            (UnrolledGAN, UnrolledGAN.Params(unroll_steps=3)),
            (UnrolledGAN, UnrolledGAN.Params(unroll_steps=3, second_order=False)),
            (UnrolledGAN, UnrolledGAN.Params(unroll_steps=2, unroll_lr=0.01, inner="adam")),
        ],
    )
    def test_equal_single_runs(self, make: type[Model], params: Any, player: str) -> None:
        """The stacked losses and gradients are those of each single seed, in float64."""
        singles = [self._single(make, params, seed) for seed in range(self.SEEDS)]
        models = [model for model, _, _ in singles]
        base = copy.deepcopy(models[0])

        def loss(parameters: dict[str, Tensor], x: Tensor, z: Tensor) -> Tensor:
            made = functional_call(base, parameters, ("generate", {"z": z})).flatten(0, 1)
            given: dict[str, Any] = {"real": Real(x), "fake": fake(made, base.generators)}
            if player == "discriminator":
                given["fake"] = given["fake"].detach()
            if (make, player) == (MGAN, "generator"):
                del given["real"]
            value: Tensor = functional_call(base, parameters, (f"{player}_loss", given))
            return value

        stacked, _ = stack_module_state(models)
        x, z = torch.stack([x for _, x, _ in singles]), torch.stack([z for _, _, z in singles])
        losses = vmap(loss)(stacked, x, z)
        own = [name for name in stacked if name.startswith(f"{player}.")]
        torch.autograd.backward(losses.sum(), inputs=[stacked[name] for name in own])
        for seed, (model, x, z) in enumerate(singles):
            single = loss(dict(model.named_parameters()), x, z)
            gradients = torch.autograd.grad(single, [model.get_parameter(name) for name in own])
            torch.testing.assert_close(losses[seed], single, rtol=1e-12, atol=1e-14)
            for name, gradient in zip(own, gradients, strict=True):
                found = stacked[name].grad
                assert found is not None
                torch.testing.assert_close(found[seed], gradient, rtol=1e-9, atol=1e-12)

    def test_forward_calls_a_loss_by_name(self) -> None:
        """`Model.forward` calls the method of the given name."""
        model, x, z = self._single(MGAN, MGAN.Params(generators=3), 0)
        made = fake(model.generate(z).flatten(0, 1), 3)
        direct = model.discriminator_loss(Real(x), made)  # type: ignore[operator]
        assert torch.equal(model("discriminator_loss", {"real": Real(x), "fake": made}), direct)
