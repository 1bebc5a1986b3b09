"""Promises of compilation: compiled iterations train as eager ones do, and others are rejected, never trained wrongly.

Most tests run the graph that torch would compile, since our mistakes would be in that graph. A few tests let torch
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
from tests.support.messages import Messages
from tests.support.tiny import WIDER, ZOO, same, trainer, values

GAMES: Mapping[str, Callable[[], Model]] = {cls.__name__: cls for cls in (WGANGP, WGAN, BEGAN, Team, OneByOne, Learned)}

# The gradient of this critic's last bias is zero up to rounding. Adam would scale it to whole steps.
SETTINGS: Mapping[str, dict[str, Any]] = {"Learned": {"fakes": 15, "optimizer": "sgd"}}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run programs uncompiled, with every product of few columns transposed."""
    monkeypatch.setattr(narrow_products, "MIN_ROWS", 1)
    monkeypatch.setattr(compilation, "compiled", lambda graph, *_: transpose_narrow(graph))


def _silent(message: str) -> None:
    raise AssertionError(message)


def _assert_close(first: Trainer, second: Trainer) -> None:
    """Assert that everything the next iteration depends on agrees up to rounding."""
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
    """Train the same run eagerly and compiled."""
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
        """So do the other models, with gradient descent, since some have gradients of zero up to rounding."""
        _assert_close(*_both(WIDER[name], 7, optimizer="sgd", learning_rate=0.002))

    @pytest.mark.parametrize("name", GAMES)
    def test_other_games(self, name: str) -> None:
        """Games have many turns, turns by iteration, noise, constraints, state, simultaneous turns, learned weights."""
        _assert_close(*_both(GAMES[name], 7, learning_rate=0.002, **SETTINGS.get(name, {"fakes": 16})))

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
    def test_settings(self, optimizer: str) -> None:
        """The run uses each optimiser, a separate rate and betas for each player, decay and the moving average."""
        settings = {
            "optimizer": optimizer,
            "decay": "linear",
            "ema": 0.8,
            "learning_rate": {"discriminator": 0.006, "generator": 0.001},
            "betas": {"discriminator": (0.5, 0.999), "generator": (0.1, 0.9)},
        }
        _assert_close(*_both(ZOO["mgan"], **settings))

    def test_buffers(self) -> None:
        """The running statistics of batch normalisation are updated."""

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
        """An eager run can resume from a compiled run's checkpoint, since the program keeps no state."""
        eager, compiled = _both(ZOO["mgan"], 4, learning_rate=0.002)
        resumed = trainer(ZOO["mgan"](), learning_rate=0.002)
        resumed.load_state_dict(compiled.state_dict())
        for _ in range(3):
            eager.iterate()
            resumed.iterate()
        _assert_close(eager, resumed)

    def test_loading_ends_it(self) -> None:
        """A program belongs to the tensors of its trainer, so a trainer that loads others is eager again."""
        _, compiled = _both(GAN, 2)
        compiled.load_state_dict(trainer(GAN()).state_dict())
        plain = trainer(GAN())
        for t in (compiled, plain):
            t.iterate()
        assert same(values(compiled.model), values(plain.model))

    def test_compiling_changes_nothing(self) -> None:
        """Compilation leaves random state, counts and parameters unchanged."""
        t, untouched = trainer(ZOO["mgan"]()), trainer(ZOO["mgan"]())
        compile_iterations(t, _silent)
        assert same(values(t.model), values(untouched.model))
        assert (t.counts, t.iteration, t.losses) == (untouched.counts, 0, {})


class _Waits(GAN):
    """Model that waits for a tensor's value."""

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) * float(fake.x.detach().mean())


class _Branches(GAN):
    """Model that branches on a tensor's value."""

    def discriminator_loss(self, real: Real, fake: Fake) -> Tensor:
        loss = super().discriminator_loss(real, fake)
        return loss if loss > 1 else 2 * loss


class _Shows(GAN):
    """Model that keeps a number for later."""

    def generator_loss(self, fake: Fake) -> Tensor:
        loss = super().generator_loss(fake)
        self.shown = loss.item()
        return loss


class _Selects(GAN):
    """Model that selects samples by their values."""

    def generator_loss(self, fake: Fake) -> Tensor:
        return bce_real(self.discriminator(fake.x)["source"][fake.x[:, 0] > 0])


class _Idle(GAN):
    """Model with a parameter that its loss does not use."""

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        made = dict(super().build(networks))
        made["generator"].register_parameter("idle", nn.Parameter(torch.ones(2)))
        return made


class _Holds(GAN):
    """Model that reads a parameter held outside its modules."""

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        made = super().build(networks)
        self.held = [next(made["discriminator"].parameters())]
        return made

    def generator_loss(self, fake: Fake) -> Tensor:
        return super().generator_loss(fake) + self.held[0].detach().sum()


class _Long(GAN):
    """Model with many turns every other iteration, from iteration `late` on."""

    late = 1

    def turns(self, iteration: int) -> Sequence[Turn]:
        critics = 17 if iteration % 2 == self.late else 1
        return [Turn(("discriminator",), real=i, latents=i) for i in range(critics)] + [Turn(("generator",))]


@pytest.mark.usefixtures("uncompiled")
class TestRefused:
    @pytest.mark.parametrize(
        ("model", "place"),
        [
            (_Waits, ""),
            (_Branches, ""),
            (_Shows, ""),
            (_Selects, ""),
            (_Idle, "generator"),
            (_Holds, "discriminator.trunk.weight"),
        ],
    )
    def test_says_why_and_stays_eager(self, model: type[Model], place: str, messages: Messages) -> None:
        """A model that tracing would change is rejected with the reason, and its eager training is unaffected."""
        t, plain = trainer(model()), trainer(model())
        with messages.raises(NotCompilableError, place):
            compile_iterations(t, _silent)
        for _ in range(3):
            t.iterate()
            plain.iterate()
        assert same(values(t.model), values(plain.model))

    @pytest.mark.parametrize("late", [0, 1])
    def test_long_iterations_stay_eager(self, late: int, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Compiled and uncompiled iterations can alternate: the result is the same, with one warning."""
        monkeypatch.setattr(_Long, "late", late)
        eager, compiled = trainer(_Long(), learning_rate=0.002), trainer(_Long(), learning_rate=0.002)
        warnings: list[str] = []
        compile_iterations(compiled, warnings.append)
        for _ in range(4):
            eager.iterate()
            compiled.iterate()
        _assert_close(eager, compiled)
        (warning,) = warnings
        messages.check(warning, "18", "16")

    def test_runs_of_long_iterations_alone(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """If no iteration is short enough, nothing is compiled."""
        monkeypatch.setattr(_Long, "turns", lambda self, iteration: [Turn(("discriminator", "generator"))] * 17)
        with messages.raises(NotCompilableError, "16"):
            compile_iterations(trainer(_Long()), _silent)

    def test_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The error of torch is reported in one line."""

        def broken(*_: Any) -> None:
            raise RuntimeError("No working C++ compiler found\nand much more")

        monkeypatch.undo()
        monkeypatch.setattr("torch._inductor.compile", broken)
        with messages.raises(NotCompilableError, "No working C++ compiler found"):
            Program(trainer(GAN()), tuple(GAN().turns(0)), compilation.compiled)


class TestReproducible:
    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_on_a_gpu_no_timing_decides_how_sums_are_rounded(
        self, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a GPU, a recompiled run is bit-for-bit the same. Settings for a CPU are unchanged."""
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
        """The graph compiled by torch trains as the eager run does."""
        make = lambda: MGAN(MGAN.Params(generators=3, beta=0.5))  # noqa: E731
        _assert_close(*_both(make, learning_rate=0.002))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["mgan", "multi-discriminator", "unrolled-gan, adam"])
    def test_zoo(self, name: str) -> None:
        """So do several generators, several discriminators, and a loop within a loss, with all settings on.

        `TestTraced` runs the graphs of all models uncompiled, so this test covers torch's part.
        """
        _assert_close(*_both(ZOO[name], learning_rate=0.002, latents="fresh", ema=0.9, decay="linear"))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["WGANGP", "BEGAN", "Team"])
    def test_other_games(self, name: str) -> None:
        """So do second derivatives, noise and many turns; state; and simultaneous players."""
        _assert_close(*_both(GAMES[name], 7, learning_rate=0.002, **SETTINGS.get(name, {"fakes": 16})))


def _run(folder: Path, mode: str, stops: Sequence[int] = (), model: str = "mgan") -> tuple[RunFolder, list[str]]:
    """Run to the end, interrupted after each number of iterations in `stops`; return the folder and the warnings."""
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
        """An interrupted compiled run ends as an uninterrupted one, bit for bit, with one plan."""
        whole, _ = _run(tmp_path / "whole", "always", model="gan")
        cut, warnings = _run(tmp_path / "cut", "always", [3, 9], model="gan")
        assert project.difference(project.outcome(whole.path), project.outcome(cut.path)) is None
        record = project.record(cut.path)
        assert [plan["compiled"] for plan in record["plans"]] == [True]
        assert record["ledger"]["compile_seconds"] > 0
        assert warnings == []

    @pytest.mark.usefixtures("uncompiled")
    def test_goes_on_as_it_began(self, tmp_path: Path) -> None:
        """With "auto", a run that started compiled stays compiled, and a short new one is not compiled."""
        planned = project.plan(project.describe([project.ZOO["gan"]]), tmp_path)
        began = Job(**vars(planned.jobs[0]) | {"compile": "always"})
        assert execute(began, planned.registry, lambda _: None, project.stop_at(5)) == "interrupted"
        folder, _ = _run(tmp_path, "auto", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [True]
        folder, _ = _run(tmp_path / "new", "auto", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [False]

    @pytest.mark.usefixtures("uncompiled")
    def test_another_plan_is_marked(self, tmp_path: Path) -> None:
        """On request a compiled run resumes uncompiled, and the record has both plans."""
        planned = project.plan(project.describe([project.ZOO["gan"]]), tmp_path)
        began = Job(**vars(planned.jobs[0]) | {"compile": "always"})
        assert execute(began, planned.registry, lambda _: None, project.stop_at(5)) == "interrupted"
        folder, _ = _run(tmp_path, "never", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [True, False]

    def test_stopped_while_it_compiles(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A compiler that was ended by the same signal is tried again at the next call."""
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

    def test_where_it_cannot_be_compiled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """The run continues uncompiled with a warning, and its plan records that."""
        monkeypatch.setattr("torch._inductor.compile", lambda *_: 1 / 0)
        folder, warnings = _run(tmp_path, "always", model="gan")
        assert [plan["compiled"] for plan in project.record(folder.path)["plans"]] == [False]
        (warning,) = warnings
        messages.check(warning, "ZeroDivisionError")
