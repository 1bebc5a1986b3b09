"""Promises of the trainer: the players and inputs of each turn, and runs that can be interrupted anywhere."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from gan_bench_zoo.models.anchors import RealData, Untrained
from gan_bench_zoo.models.d2gan import D2GAN
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mad_gan import MADGAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.models.unrolled_gan import UnrolledGAN
from torch import Tensor

from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Fake, Model, Turn
from gan_bench.contracts.protocol import Protocol
from gan_bench.training.randomness import seed_of
from gan_bench.training.trainer import Trainer
from tests.support.tiny import ZOO, Ring, number, same, spy, trainer, values

SEED = 4


def _mgan(k: int, **params: Any) -> MGAN:
    return MGAN(MGAN.Params(generators=k, **params))


def _rng(purpose: str, iteration: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(SEED, purpose, iteration, number))


class _Plain:
    """Reference iteration: everything recomputed for each turn, nothing shared, stock optimisers."""

    def __init__(self, model: Model, settings: Protocol) -> None:
        self.model, self.settings, self.ring = model, settings, Ring()
        self.own = {name: list(model.get_submodule(name).parameters()) for name in model.players}
        self.optimizers = {name: self._optimizer(name) for name in model.players}

    def iterate(self, t: int) -> None:
        for position, turn in enumerate(self.model.turns(t)):
            gradients = {name: self._gradient(name, turn, position, t) for name in turn.players}
            for name in turn.players:
                self._step(name, gradients[name], t)

    def _optimizer(self, name: str) -> torch.optim.Optimizer:
        own, kind, rate = self.own[name], self.settings.optimizer, self.settings.of(name, "learning_rate")
        if kind == "adam":
            return torch.optim.Adam(own, lr=rate, betas=self.settings.of(name, "betas"), eps=1e-8, fused=True)
        return torch.optim.SGD(own, lr=rate) if kind == "sgd" else torch.optim.RMSprop(own, lr=rate)

    def _gradient(self, name: str, turn: Turn, position: int, t: int) -> tuple[Tensor, ...]:
        loss = getattr(self.model, f"{name}_loss")
        given: dict[str, Any] = {"real": self._real(turn, t), "fake": self._fake(name, turn, position, t)}
        wanted = loss.__code__.co_varnames[1 : loss.__code__.co_argcount]
        return torch.autograd.grad(loss(**{key: given[key] for key in wanted}), self.own[name])

    def _step(self, name: str, gradient: tuple[Tensor, ...], t: int) -> None:
        for parameter, g in zip(self.own[name], gradient, strict=True):
            parameter.grad = g.clone()
        fall = 1 - t / self.settings.iterations if self.settings.decay == "linear" else 1.0
        self.optimizers[name].param_groups[0]["lr"] = self.settings.of(name, "learning_rate") * fall
        self.optimizers[name].step()
        for parameter in self.own[name]:
            parameter.grad = None

    def _real(self, turn: Turn, t: int) -> Real:
        return self.ring.draw(self.settings.batch, _rng("data", t, turn.real))

    def _fake(self, name: str, turn: Turn, position: int, t: int) -> Fake:
        k = self.model.generators
        each = (self.settings.fakes or 0) // k
        draw = turn.latents if self.settings.latents == "shared" else position
        z = torch.randn(self.settings.fakes or 0, self.settings.latent_size, generator=_rng("latents", t, draw))
        z = torch.stack([z[:each]] * k) if self.model.shared_noise else z[: k * each].view(k, each, -1)
        with torch.set_grad_enabled(name in self.model.generating):
            x = self.model.generate(z).flatten(0, 1)
        return Fake(x, z.flatten(0, 1), torch.arange(k).repeat_interleave(each), k)


class TestIteration:
    @pytest.mark.parametrize("latents", ["shared", "fresh"])
    @pytest.mark.parametrize("name", ZOO)
    def test_equals_recomputing_everything(self, name: str, latents: str) -> None:
        """One forward of the generators for all turns gives bit for bit the result of one forward in each turn."""
        t = trainer(ZOO[name](), seed=SEED, latents=latents)
        plain = _Plain(trainer(ZOO[name](), seed=SEED).model, t.protocol)
        for iteration in range(3):
            t.iterate()
            plain.iterate(iteration)
        assert same(values(t.model), values(plain.model))

    @pytest.mark.parametrize("decay", ["none", "linear"])
    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    def test_optimisers_and_rates(self, optimizer: str, decay: str) -> None:
        """Optimiser, betas and learning rate of each player are the protocol's at each step, with its decay."""
        settings: dict[str, Any] = {
            "optimizer": optimizer,
            "decay": decay,
            "learning_rate": {"discriminator": 0.03, "generator": 0.002},
            "betas": {"discriminator": (0.5, 0.999), "generator": (0.1, 0.9)},
        }
        t = trainer(_mgan(3), seed=SEED, **settings)
        plain = _Plain(trainer(_mgan(3), seed=SEED).model, t.protocol)
        for iteration in range(4):
            t.iterate()
            plain.iterate(iteration)
        for name, value in values(plain.model).items():
            torch.testing.assert_close(t.model.get_parameter(name).detach(), value, rtol=1e-6, atol=1e-7)

    def test_linear_decay(self) -> None:
        """Iteration t of T uses rate · (1 - t/T), from each player's rate down to rate / T."""
        t = trainer(GAN(), decay="linear", iterations=4, learning_rate={"discriminator": 0.4, "generator": 0.1})
        seen: dict[str, list[float]] = {"discriminator": [], "generator": []}
        for _ in range(4):
            t.iterate()
            for name, optimizer in t.optimizers.items():
                seen[name].append(optimizer.param_groups[0]["lr"])
        assert seen["discriminator"] == pytest.approx([0.4, 0.3, 0.2, 0.1])
        assert seen["generator"] == pytest.approx([0.1, 0.075, 0.05, 0.025])

    def test_losses_are_kept_as_tensors(self) -> None:
        """The last loss of each player is available as a detached tensor, without reading its value."""
        model = GAN()
        t = trainer(model)
        t.iterate()
        assert set(t.losses) == {"discriminator", "generator"}
        assert all(isinstance(v, Tensor) and v.shape == () and not v.requires_grad for v in t.losses.values())

    def test_anchors_take_no_turn(self) -> None:
        """Anchors do not train and have no optimiser."""
        for model in (RealData(), Untrained()):
            t = trainer(model)
            before = values(model)
            t.iterate()
            assert not t.trains
            assert t.optimizers == {}
            assert same(before, values(model))
            assert (t.counts.real_samples, t.counts.fake_samples) == (0, 0)


class TestOwnership:
    @pytest.mark.parametrize("latents", ["shared", "fresh"])
    @pytest.mark.parametrize("name", ZOO)
    def test_a_turn_moves_its_players_and_nobody_else(
        self, name: str, latents: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every parameter of the turn's players changes, no other does, and no gradient remains."""
        model = ZOO[name]()
        t = trainer(model, latents=latents)
        before, turns = values(model), []

        def after_turn(turn: Turn, state: Any, _: Any) -> Any:
            nonlocal before
            now = values(model)
            moved = {key for key in now if not torch.equal(now[key], before[key])}
            assert moved == {key for key in now if key.split(".")[0] in turn.players}
            assert all(parameter.grad is None for parameter in model.parameters())
            before = now
            turns.append(turn)
            return state

        monkeypatch.setattr(model, "after_turn", after_turn)
        for _ in range(2):
            t.iterate()
        assert [p for turn in turns for p in turn.players] == [*model.players] * 2
        assert "generator" in turns[-1].players

    @pytest.mark.parametrize("name", ["d2gan", "mgan", "mad-gan", "multi-discriminator"])
    def test_every_member_of_a_batch_moves(self, name: str) -> None:
        """In a batched layer the parameters of each generator and each copy change, not only some of them."""
        t = trainer(ZOO[name]())
        before = values(t.model)
        t.iterate()
        batched = {key: value for key, value in values(t.model).items() if value.dim() == 3}
        assert batched
        for key, value in batched.items():
            assert all(not torch.equal(a, b) for a, b in zip(value, before[key], strict=True)), key

    @pytest.mark.parametrize("name", ZOO)
    def test_optimisers_cover_everything_once(self, name: str) -> None:
        """The players' optimisers have disjoint parameters, and together all of the model's."""
        t = trainer(ZOO[name]())
        held = [
            id(p) for optimizer in t.optimizers.values() for group in optimizer.param_groups for p in group["params"]
        ]
        assert len(held) == len(set(held))
        assert set(held) == {id(parameter) for parameter in t.model.parameters()}

    def test_fakes_are_attached_for_generating_players_only(self) -> None:
        """The discriminator's turn receives samples detached from the generators' graph."""
        model = MultiDiscriminator(MultiDiscriminator.Params(generators=3))
        calls = {player: spy(model, f"{player}_loss") for player in model.players}
        trainer(model).iterate()
        attached = {player: seen[0]["fake"].x.requires_grad for player, seen in calls.items()}
        assert attached == {"discriminator": False, "supplementary": False, "generator": True}


class TestDraws:
    def _seen(self, model: Model, **settings: Any) -> tuple[Trainer, list[dict[str, Any]], list[dict[str, Any]]]:
        of_d, of_g = spy(model, f"{model.players[0]}_loss"), spy(model, "generator_loss")
        t = trainer(model, seed=SEED, **settings)
        for _ in range(2):
            t.iterate()
        return t, of_d, of_g

    def _forwards(self, model: Model, **settings: Any) -> int:
        t = trainer(model, **settings)
        calls = []
        model.get_submodule("generator").register_forward_hook(lambda *_: calls.append(1))
        t.iterate()
        return len(calls)

    @pytest.mark.parametrize("model", [D2GAN(), _mgan(3), MADGAN(MADGAN.Params(generators=3))])
    def test_shared_latents(self, model: Model) -> None:
        """Both turns of an iteration use the same samples; the next iteration uses others."""
        _, of_d, of_g = self._seen(model)
        for d, g in zip(of_d, of_g, strict=True):
            assert torch.equal(d["fake"].z, g["fake"].z)
            assert torch.equal(d["fake"].x, g["fake"].x)
        assert not torch.equal(of_d[0]["fake"].z, of_d[1]["fake"].z)

    def test_fresh_latents(self) -> None:
        """Each turn draws separate latents, and the first turn's equal the shared ones."""
        _, of_d, of_g = self._seen(_mgan(3), latents="fresh")
        assert all(not (d["fake"].z == g["fake"].z).any() for d, g in zip(of_d, of_g, strict=True))
        _, shared, _ = self._seen(_mgan(3))
        assert torch.equal(shared[0]["fake"].z, of_d[0]["fake"].z)

    def test_forwards(self) -> None:
        """Generators have one forward an iteration if latents are shared, and one a turn if they are fresh."""
        assert self._forwards(GAN()) == 1
        assert self._forwards(UnrolledGAN()) == 1
        assert self._forwards(MultiDiscriminator()) == 1
        assert self._forwards(GAN(), latents="fresh") == 2
        assert self._forwards(MultiDiscriminator(), latents="fresh") == 3

    def test_real_data_is_the_same_for_every_model(self) -> None:
        """At the same iteration every model receives the same real batch, however it draws latents."""
        expected = [Ring().draw(16, _rng("data", t, 0)).x for t in range(2)]
        for name in ZOO:
            ring = Ring()
            t = trainer(ZOO[name](), seed=SEED, dataset=ring, latents="fresh")
            t.iterate()
            t.iterate()
            assert all(torch.equal(a, b) for a, b in zip(ring.drawn, expected, strict=True)), name

    def test_samples_come_generator_by_generator(self) -> None:
        """`fake` has x, z and index of the same samples, an equal number from each generator, in order."""
        t, of_d, _ = self._seen(_mgan(3), learning_rate=1e-30)
        fake = of_d[0]["fake"]
        assert fake.generator.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert torch.equal(fake.x, t.model.generate(fake.by_generator(fake.z)).flatten(0, 1))
        assert fake.by_generator(fake.x).shape == (3, 4, 2)

    def test_latents_do_not_depend_on_the_number_of_generators(self) -> None:
        """K generators split one draw of the total: latents are the same for every K, and a remainder is cut off."""
        drawn = {k: self._seen(_mgan(k))[1][0]["fake"].z for k in (1, 2, 3, 5)}
        assert torch.equal(drawn[1], torch.randn(12, 6, generator=_rng("latents", 0, 0)))
        assert torch.equal(drawn[2], drawn[1])
        assert torch.equal(drawn[3], drawn[1])
        assert torch.equal(drawn[5], drawn[1][:10])

    def test_shared_noise(self) -> None:
        """A model may use the same latents for every generator."""
        _, of_d, _ = self._seen(_mgan(3, shared_noise=True))
        z = of_d[0]["fake"].by_generator(of_d[0]["fake"].z)
        assert torch.equal(z[0], z[1])
        assert torch.equal(z[0], z[2])

    def test_prior(self) -> None:
        """Generators receive latents with the protocol's prior and size."""
        _, of_d, _ = self._seen(GAN(), latent="uniform", latent_size=11, fakes=500)
        z = of_d[0]["fake"].z
        assert z.shape == (500, 11)
        assert float(z.abs().max()) <= 1
        assert float(z.std()) == pytest.approx(1 / 3**0.5, abs=0.02)

    def test_what_other_models_and_seeds_do_changes_nothing(self) -> None:
        """A run alone and a run interleaved with others in one process have the same result."""
        alone = trainer(_mgan(3), seed=1)
        among, others = trainer(_mgan(3), seed=1), [trainer(ZOO[name](), seed=2) for name in ZOO]
        for _ in range(3):
            alone.iterate()
        for _ in range(3):
            for other in others:
                other.iterate()
            among.iterate()
        assert same(values(alone.model), values(among.model))

    def test_another_seed_is_another_run(self) -> None:
        """Weights, data and latents depend on the seed."""
        rings = [Ring(), Ring()]
        first, second = (trainer(GAN(), seed=seed, dataset=ring) for seed, ring in enumerate(rings))
        assert not same(values(first.model), values(second.model))
        first.iterate()
        second.iterate()
        assert not (rings[0].drawn[0] == rings[1].drawn[0]).any()


class TestAccounting:
    @pytest.mark.parametrize(
        ("fakes", "k", "each"), [(1024, 1, 1024), (1024, 3, 341), (1024, 8, 128), (1024, 10, 102), (1024, 32, 32)]
    )
    def test_fakes_are_a_total(self, fakes: int, k: int, each: int) -> None:
        """Each generator makes floor(fakes / K) samples, so more generators do not get more samples."""
        assert Protocol(fakes=fakes).fakes_each(k) == each

    def test_fakes_per_generator_and_default(self) -> None:
        """`fakes_per_generator` is exact. Without it and `fakes`, there are as many fakes as real samples."""
        assert Protocol(fakes_per_generator=128).fakes_each(8) == 128
        assert Protocol(batch=512).fakes_each(8) == 64
        t = trainer(_mgan(3), fakes=None, fakes_per_generator=5)
        t.iterate()
        assert t.counts.fake_samples == 15

    @pytest.mark.parametrize(
        ("name", "latents", "fakes"),
        [
            ("gan", "shared", 13),
            ("gan", "fresh", 26),
            ("mgan", "shared", 12),
            ("mgan", "fresh", 24),
            ("multi-discriminator", "fresh", 36),
            ("unrolled-gan", "fresh", 13),
        ],
    )
    def test_counts(self, name: str, latents: str, fakes: int) -> None:
        """The ledger counts each draw once (13 fakes are 4 from each of 3), and each player's updates."""
        t = trainer(ZOO[name](), fakes=13, latents=latents)
        for _ in range(3):
            t.iterate()
        assert t.counts.fake_samples == 3 * fakes
        assert t.counts.real_samples == 3 * 16
        assert t.counts.updates == dict.fromkeys(t.model.players, 3)
        assert t.iteration == 3


class TestAverage:
    def test_by_hand(self) -> None:
        """It starts at the initial parameters and moves by (1 - decay) towards the parameters after each iteration."""
        t = trainer(_mgan(3), ema=0.8)
        assert t.average is not None
        expected = {name: p.double() for name, p in values(t.model).items() if name.startswith("generator.")}
        for _ in range(4):
            t.iterate()
            now = values(t.model)
            expected = {name: 0.8 * value + 0.2 * now[name].double() for name, value in expected.items()}
        assert t.average.values.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(t.average.values[name].double(), value, rtol=1e-5, atol=1e-7)

    def test_training_does_not_see_it(self) -> None:
        """The same run without an average ends at the same parameters."""
        with_average, without = trainer(GAN(), ema=0.8), trainer(GAN())
        for _ in range(3):
            with_average.iterate()
            without.iterate()
        assert same(values(with_average.model), values(without.model))
        assert without.average is None


def _stored(t: Trainer) -> Any:
    """Save a trainer's state to a file of tensors and plain values only, and load it again."""
    file = io.BytesIO()
    torch.save(t.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _flat(state: Any, prefix: str = "") -> Mapping[str, Any]:
    """Return every leaf of nested containers, by path."""
    if isinstance(state, (Mapping, list, tuple)):
        items = state.items() if isinstance(state, Mapping) else enumerate(state)
        return {k: v for key, value in items for k, v in _flat(value, f"{prefix}/{key}").items()}
    return {prefix: state}


class TestResume:
    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    @pytest.mark.parametrize("name", ZOO)
    def test_resumed_equals_uninterrupted(self, name: str, optimizer: str) -> None:
        """A run interrupted after 3 of 6 iterations and resumed elsewhere has a bit-equal final state."""
        settings: dict[str, Any] = {"optimizer": optimizer, "ema": 0.9, "decay": "linear", "learning_rate": 0.003}
        through = trainer(ZOO[name](), **settings)
        for _ in range(3):
            through.iterate()
        resumed = trainer(ZOO[name](), **settings)
        resumed.iterate()  # its earlier state must not matter
        resumed.load_state_dict(_stored(through))
        for t in (through, resumed):
            for _ in range(3):
                t.iterate()
        first, second = _flat(_stored(through)), _flat(_stored(resumed))
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key], key
        assert all(torch.equal(through.losses[player], resumed.losses[player]) for player in through.losses)
        assert through.iteration == 6

    def test_a_state_is_complete(self) -> None:
        """The state contains the run's iteration and counts."""
        t = trainer(_mgan(3), ema=0.9)
        t.iterate()
        state = _stored(t)
        assert state["iteration"] == 1
        assert state["counts"] == {
            "real_samples": 16,
            "fake_samples": 12,
            "updates": {"discriminator": 1, "generator": 1},
        }
        assert set(state["optimizers"]) == {"discriminator", "generator"}
        resumed = trainer(_mgan(3), ema=0.9)
        resumed.load_state_dict(state)  # the losses of players without a turn in the next iteration are reported too
        assert {player: number(loss) for player, loss in resumed.losses.items()} == {
            player: number(loss) for player, loss in t.losses.items()
        }

    def test_anchors(self) -> None:
        """The state of an anchor can be stored and loaded."""
        for model in (RealData, Untrained):
            first, second = trainer(model()), trainer(model(), seed=1)
            second.load_state_dict(_stored(first))
            assert same(values(first.model), values(second.model))


def test_a_short_run_learns() -> None:
    """Twenty iterations against a fixed discriminator lower the generators' loss, so signs are right."""

    class Still(GAN):
        def turns(self, iteration: int) -> tuple[Turn, ...]:
            return (Turn(("generator",)),)

    t = trainer(Still(), iterations=20)
    t.iterate()
    first = number(t.losses["generator"])
    for _ in range(19):
        t.iterate()
    assert number(t.losses["generator"]) < first - 0.05
