"""Compiled iterations: they train as eager ones do, and what cannot be compiled is refused, never trained wrongly.

Most tests carry out the graph that torch would be given: that is where a mistake of ours would be. A few let torch
compile it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from gan_bench.acceleration import compilation, narrow_products
from gan_bench.acceleration.compilation import Program, compile_iterations
from gan_bench.acceleration.narrow_products import transpose_narrow
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.dataset import Real
from gan_bench.contracts.events import Event, Warned
from gan_bench.contracts.losses import bce_real
from gan_bench.contracts.model import Fake, Model, Turn
from gan_bench.contracts.network import Networks
from gan_bench.contracts.run import Job
from gan_bench.running.execute import execute
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.trainer import Trainer
from tests.support import project
from tests.support.games import BEGAN, WGAN, WGANGP, Learned, OneByOne, Team
from tests.support.tiny import WIDER, ZOO, same, trainer, values

GAMES: Mapping[str, Callable[[], Model]] = {cls.__name__: cls for cls in (WGANGP, WGAN, BEGAN, Team, OneByOne, Learned)}

# the gradient of this critic's last bias is zero up to rounding, which Adam would blow up to whole steps
SETTINGS: Mapping[str, dict[str, Any]] = {"Learned": {"fakes": 15, "optimizer": "sgd"}}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are carried out as torch would be given them, with every product of few columns turned round."""
    monkeypatch.setattr(narrow_products, "MIN_ROWS", 1)
    monkeypatch.setattr(compilation, "compiled", lambda graph, *_: transpose_narrow(graph))


def _silent(message: str) -> None:
    raise AssertionError(message)


def _assert_close(first: Trainer, second: Trainer) -> None:
    """Everything that the next iteration depends on agrees up to rounding."""
    torch.testing.assert_close(_tensors(first), _tensors(second), rtol=2e-4, atol=2e-5)
    assert first.counts == second.counts
    assert first.iteration == second.iteration


def _tensors(t: Trainer) -> dict[str, Tensor]:
    states = {
        f"{player}/{number}/{name}": value
        for player, optimizer in t.optimizers.items()
        for number, of in optimizer.state_dict()["state"].items()
        for name, value in of.items()
        if value is not None
    }
    own = {f"loss/{k}": v for k, v in t.losses.items()} | {f"state/{k}": v for k, v in t.state.items()}
    average = t.average.values if t.average else {}
    buffers = {name: value.clone() for name, value in t.model.named_buffers()}
    return values(t.model) | buffers | states | own | {f"average/{k}": v for k, v in average.items()}


def _both(make: Callable[[], Model], iterations: int = 5, **settings: Any) -> tuple[Trainer, Trainer]:
    """The same run, eager and compiled."""
    eager, compiled = trainer(make(), **settings), trainer(make(), **settings)
    compile_iterations(compiled, _silent)
    for _ in range(iterations):
        eager.iterate()
        compiled.iterate()
    return eager, compiled


@pytest.mark.usefixtures("uncompiled")
class TestTraced:
    @pytest.mark.parametrize("latents", ["shared", "fresh"])
    @pytest.mark.parametrize("name", ZOO)
    def test_zoo(self, name: str, latents: str) -> None:
        """Every model of the zoo trains as it does eagerly: parameters, optimisers, losses, counts."""
        _assert_close(*_both(ZOO[name], latents=latents, learning_rate=0.002))

    @pytest.mark.parametrize("name", WIDER)
    def test_wider_zoo(self, name: str) -> None:
        """The other models as well; by gradient descent, since some have gradients of zero up to rounding."""
        _assert_close(*_both(WIDER[name], 7, optimizer="sgd", learning_rate=0.002))

    @pytest.mark.parametrize("name", GAMES)
    def test_other_games(self, name: str) -> None:
        """Many turns, turns by iteration, noise, constraints, state, simultaneous players, learned weights."""
        _assert_close(*_both(GAMES[name], 7, learning_rate=0.002, **SETTINGS.get(name, {"fakes": 16})))

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    def test_settings(self, optimizer: str) -> None:
        """Each optimiser, each player's own rate and betas, decay and the moving average."""
        settings = {
            "optimizer": optimizer,
            "decay": "linear",
            "ema": 0.8,
            "learning_rate": {"discriminator": 0.006, "generator": 0.001},
            "betas": {"discriminator": (0.5, 0.999), "generator": (0.1, 0.9)},
        }
        _assert_close(*_both(ZOO["mgan"], **settings))

    def test_buffers(self) -> None:
        """Batch normalisation's running statistics follow."""

        class Normalised(GAN):
            def build(self, networks: Networks) -> Mapping[str, nn.Module]:
                made = dict(super().build(networks))
                made["generator"] = nn.Sequential(
                    nn.Flatten(0, 1), nn.BatchNorm1d(6), nn.Linear(6, 2), nn.Unflatten(0, (1, -1))
                )
                return made

        eager, compiled = _both(Normalised, learning_rate=0.002)
        assert int(dict(compiled.model.named_buffers())["generator.1.num_batches_tracked"]) == 5
        _assert_close(eager, compiled)

    def test_goes_on_eagerly_from_its_state(self) -> None:
        """A compiled run's checkpoint is an eager run's: nothing of the state is the program's own."""
        eager, compiled = _both(ZOO["mgan"], 4, learning_rate=0.002)
        resumed = trainer(ZOO["mgan"](), learning_rate=0.002)
        resumed.load_state_dict(compiled.state_dict())
        for _ in range(3):
            eager.iterate()
            resumed.iterate()
        _assert_close(eager, resumed)

    def test_loading_ends_it(self) -> None:
        """A program knows the tensors it was made for: after loading others the trainer is eager again."""
        _, compiled = _both(GAN, 2)
        compiled.load_state_dict(trainer(GAN()).state_dict())
        plain = trainer(GAN())
        for t in (compiled, plain):
            t.iterate()
        assert same(values(compiled.model), values(plain.model))

    def test_compiling_changes_nothing(self) -> None:
        """Compiling draws nothing, counts nothing and moves nothing."""
        t, untouched = trainer(ZOO["mgan"]()), trainer(ZOO["mgan"]())
        compile_iterations(t, _silent)
        assert same(values(t.model), values(untouched.model))
        assert (t.counts, t.iteration, t.losses) == (untouched.counts, 0, {})


class _Waits(GAN):
    """Waits for a value."""

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * float(fake.x.detach().mean())


class _Branches(GAN):
    """Branches on a value."""

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        loss = super().discriminator_loss(real, fake)
        return loss if loss > 1 else 2 * loss


class _Shows(GAN):
    """Keeps a number for later."""

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        self.shown = loss.item()
        return loss


class _Selects(GAN):
    """Takes the samples that it likes."""

    def generator_loss(self, fake: Fake) -> Tensor:
        return bce_real(self.discriminator(fake.x)["source"][fake.x[:, 0] > 0])


class _Idle(GAN):
    """Has a parameter that its loss does not use."""

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        made = dict(super().build(networks))
        made["generator"].register_parameter("idle", nn.Parameter(torch.ones(2)))
        return made


class _Holds(GAN):
    """Reads a parameter past its modules."""

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        made = super().build(networks)
        self.held = [next(made["discriminator"].parameters())]
        return made

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) + self.held[0].detach().sum()


class _Long(GAN):
    """Takes many turns every other iteration, `late` or from the first on."""

    late = 1

    def turns(self, iteration: int) -> Sequence[Turn]:
        critics = 17 if iteration % 2 == self.late else 1
        return [Turn(("discriminator",), real=i, latents=i) for i in range(critics)] + [Turn(("generator",))]


@pytest.mark.usefixtures("uncompiled")
class TestRefused:
    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (_Waits, "waits for a tensor's value"),
            (_Branches, "waits for a tensor's value"),
            (_Shows, "waits for a tensor's value"),
            (_Selects, "waits for a tensor's value"),
            (_Idle, "generator's loss does not depend on idle"),
            (_Holds, "discriminator.trunk.weight is also held outside"),
        ],
    )
    def test_says_why_and_stays_eager(self, model: type[Model], reason: str) -> None:
        """What tracing would bake in is refused with its reason, and the run goes on as if nothing had been tried."""
        t, plain = trainer(model()), trainer(model())
        with pytest.raises(NotCompilableError, match=reason):
            compile_iterations(t, _silent)
        for _ in range(3):
            t.iterate()
            plain.iterate()
        assert same(values(t.model), values(plain.model))

    @pytest.mark.parametrize("late", [0, 1])
    def test_long_iterations_stay_eager(self, late: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some iterations compiled, some not, the first or others: the run is the same, and one warning says so."""
        monkeypatch.setattr(_Long, "late", late)
        eager, compiled = trainer(_Long(), learning_rate=0.002), trainer(_Long(), learning_rate=0.002)
        warnings: list[str] = []
        compile_iterations(compiled, warnings.append)
        for _ in range(4):
            eager.iterate()
            compiled.iterate()
        _assert_close(eager, compiled)
        assert warnings == ["Iterations of 18 turns stay uncompiled: more than 16 turns take too long to compile"]

    def test_runs_of_long_iterations_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no iteration is short enough, nothing is compiled."""
        monkeypatch.setattr(_Long, "turns", lambda self, iteration: [Turn(("discriminator", "generator"))] * 17)
        with pytest.raises(NotCompilableError, match="more than 16 turns"):
            compile_iterations(trainer(_Long()), _silent)

    def test_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever torch says, the run says it in a line."""

        def broken(*_: Any) -> None:
            raise RuntimeError("No working C++ compiler found\nand much more")

        monkeypatch.undo()
        monkeypatch.setattr("torch._inductor.compile", broken)
        with pytest.raises(NotCompilableError, match=r"^torch cannot compile it here .*compiler found\)$"):
            Program(trainer(GAN()), tuple(GAN().turns(0)), compilation.compiled)


class TestReproducible:
    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_on_a_gpu_no_timing_decides_how_sums_are_rounded(
        self, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that is compiled again, after an interruption, goes on to the last bit. A CPU's are as ever."""
        settings = compilation.reproducible()
        config = torch._inductor.config
        before = config.save_config_portable()
        seen: list[dict[str, Any]] = []

        def compile_(graph: Any, arguments: Any) -> Any:
            seen.append({name: config.save_config_portable()[name] for name in settings})
            return graph

        monkeypatch.setattr("torch._inductor.compile", compile_)
        with FakeTensorMode():
            argument = torch.ones(8, device=device)
        compilation.compiled(torch.fx.GraphModule({}, torch.fx.Graph()), [argument], 0)
        assert seen == [settings if device == "cuda" else {name: before[name] for name in settings}]
        assert config.save_config_portable() == before
        assert seen != [{name: before[name] for name in settings}] or device == "cpu"


@pytest.mark.usefixtures("compiler")
class TestCompiled:
    def test_equals_eager(self) -> None:
        """What torch makes of the graph trains as the eager run."""
        make = lambda: MGAN(MGAN.Params(generators=3, beta=0.5))  # noqa: E731
        _assert_close(*_both(make, learning_rate=0.002))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["mgan", "multi-discriminator", "unrolled-gan, adam"])
    def test_zoo(self, name: str) -> None:
        """So with several generators, several discriminators, and a loop within a loss, with everything on.

        The graphs of all models are carried out by `TestTraced`; what is left is torch's part.
        """
        _assert_close(*_both(ZOO[name], learning_rate=0.002, latents="fresh", ema=0.9, decay="linear"))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["WGANGP", "BEGAN", "Team"])
    def test_other_games(self, name: str) -> None:
        """And with second derivatives, noise and many turns; with state; with simultaneous players."""
        _assert_close(*_both(GAMES[name], 7, learning_rate=0.002, **SETTINGS.get(name, {"fakes": 16})))


def _run(folder: Path, mode: str, stops: Sequence[int] = (), model: str = "mgan") -> tuple[RunFolder, list[str]]:
    """A run, interrupted after so many iterations each, to its end; and what it warned of."""
    planned = project.plan(project.describe([project.ZOO[model]]), folder)
    job = Job(**vars(planned.jobs[0]) | {"compile": mode})
    events: list[Event] = []
    for more in stops:
        assert execute(job, planned.registry, events.append, project.stop_at(more)) == "interrupted"
    assert execute(job, planned.registry, events.append, project.never) == "finished"
    return RunFolder(Path(job.folder)), [event.message for event in events if isinstance(event, Warned)]


class TestRun:
    @pytest.mark.slow
    @pytest.mark.usefixtures("compiler")
    def test_resumed_equals_uninterrupted(self, tmp_path: Path) -> None:
        """A compiled run that is interrupted ends as one that is not, to the last bit, under one plan."""
        whole, _ = _run(tmp_path / "whole", "always", model="gan")
        cut, warnings = _run(tmp_path / "cut", "always", [3, 9], model="gan")
        assert project.difference(project.outcome(whole.path), project.outcome(cut.path)) is None
        record = project.record(cut.path)
        assert [plan["compiled"] for plan in record["plans"]] == [True]
        assert record["ledger"]["compile_seconds"] > 0
        assert warnings == []

    @pytest.mark.usefixtures("uncompiled")
    def test_goes_on_as_it_began(self, tmp_path: Path) -> None:
        """With "auto" a run that began compiled stays so; a short new one is not compiled."""
        planned = project.plan(project.describe([project.ZOO["gan"]]), tmp_path)
        began = Job(**vars(planned.jobs[0]) | {"compile": "always"})
        assert execute(began, planned.registry, lambda _: None, project.stop_at(5)) == "interrupted"
        folder, _ = _run(tmp_path, "auto", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [True]
        folder, _ = _run(tmp_path / "new", "auto", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [False]

    @pytest.mark.usefixtures("uncompiled")
    def test_another_plan_is_marked(self, tmp_path: Path) -> None:
        """Whoever asks for it goes on uncompiled; the record has both plans."""
        planned = project.plan(project.describe([project.ZOO["gan"]]), tmp_path)
        began = Job(**vars(planned.jobs[0]) | {"compile": "always"})
        assert execute(began, planned.registry, lambda _: None, project.stop_at(5)) == "interrupted"
        folder, _ = _run(tmp_path, "never", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [True, False]

    def test_stopped_while_it_compiles(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A compiler that the same signal ended settles nothing: the next call compiles."""
        stopped: list[bool] = []

        def cut_off(*_: Any) -> None:
            stopped.append(True)
            raise RuntimeError("g++: killed")

        planned = project.plan(project.describe([project.ZOO["gan"]]), tmp_path)
        job = Job(**vars(planned.jobs[0]) | {"compile": "always"})
        with monkeypatch.context() as patch:
            patch.setattr("torch._inductor.compile", cut_off)
            assert execute(job, planned.registry, lambda _: None, lambda: bool(stopped)) == "interrupted"
        assert project.record(Path(job.folder))["plans"] == []
        monkeypatch.setattr(compilation, "compiled", lambda graph, *_: graph)
        assert execute(job, planned.registry, lambda _: None, project.never) == "finished"
        assert [plan["compiled"] for plan in project.record(Path(job.folder))["plans"]] == [True]

    def test_where_it_cannot_be_compiled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run says why, goes on uncompiled, and its plan says so."""
        monkeypatch.setattr("torch._inductor.compile", lambda *_: 1 / 0)
        folder, warnings = _run(tmp_path, "always", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [False]
        assert len(warnings) == 1
        assert warnings[0].startswith("It runs uncompiled: torch cannot compile it here (ZeroDivisionError")
