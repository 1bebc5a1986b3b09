"""Systems written from the documentation, which need what other models do not: a gate, a prior, clusters."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gan_bench
from gan_bench.acceleration.compilation import Compiler, as_traced, compile_iterations, compiled
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.contracts.losses import bce_real
from gan_bench.contracts.model import Model
from gan_bench.evaluation.evaluate import draw
from gan_bench.testing import examine
from gan_bench.training.trainer import Trainer
from tests.acceleration.test_compilation import _assert_close
from tests.support import outside, project
from tests.support.outside.dmwgan import DMWGAN
from tests.support.outside.megan import MEGAN
from tests.support.outside.self_conditioned import SelfConditioned
from tests.support.tiny import same, side_by_side, spy, trainer, values

FOLDER = Path(outside.__file__).parent
LONGEST = 140

SYSTEMS: Mapping[str, Callable[[], Model]] = {
    "megan": lambda: MEGAN(MEGAN.Params(generators=3, gate_hidden=5)),
    "dmwgan": lambda: DMWGAN(DMWGAN.Params(generators=3, critic_steps=2)),
    "self_conditioned": lambda: SelfConditioned(SelfConditioned.Params(generators=3, pool=24, stages=2, steps=3)),
}

systems = pytest.mark.parametrize("name", SYSTEMS)

COMPILERS = [as_traced, pytest.param(compiled, marks=pytest.mark.slow)]


def _trainer(name: str, seed: int = 0) -> Trainer:
    """Trainer of six iterations; gradient descent, since Adam magnifies gradients of zero up to rounding."""
    return trainer(SYSTEMS[name](), seed=seed, iterations=6, optimizer="sgd")


def _iterate(t: Trainer, iterations: int) -> None:
    for _ in range(iterations):
        t.iterate()


@systems
def test_is_written_with_the_public_names(name: str) -> None:
    """A system imports from `gan_bench`, and is short."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    imported = {node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {module for module in imported if module.startswith(("gan_bench", "tests"))} == {"gan_bench"}


@systems
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiled_trains_as_eager(name: str, compiler: Compiler) -> None:
    """Also after a stage that changes the state."""
    eager, other = _trainer(name), _trainer(name)
    compile_iterations(other, print, compiler)
    for t in (eager, other):
        _iterate(t, 5)
    _assert_close(eager, other)
    assert eager.usage == other.usage and sum(eager.usage) == eager.counts.fake_samples


@systems
def test_stacked_trains_as_alone(name: str) -> None:
    """Each seed with its own draws and choices."""
    single, members = ([_trainer(name, seed) for seed in (0, 1)] for _ in range(2))
    side_by_side(single, Stack(members, as_traced, print), 5)
    for one, member in zip(single, members, strict=True):
        _assert_close(one, member)
        assert one.usage == member.usage


@systems
def test_resumed_equals_uninterrupted(name: str) -> None:
    """Bit for bit, with the numbers of samples of each generator."""
    through, resumed = _trainer(name), _trainer(name)
    _iterate(through, 2)
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for t in (through, resumed):
        _iterate(t, 3)
    assert same(values(through.model), values(resumed.model))
    assert same(dict(through.state), dict(resumed.state))
    assert through.counts == resumed.counts


@systems
def test_index_is_that_of_the_generator(name: str) -> None:
    """Each sample of an evaluation is among the candidates of its generator, and of no other."""
    t = _trainer(name)
    _iterate(t, 2)
    made: list[Tensor] = []
    generate = t.model.generate
    if isinstance(t.model, MEGAN):
        forward = t.model.generator.bodies
        forward.register_forward_hook(lambda module, arguments, x: made.append(x))
    else:
        t.model.generate = lambda z: made.append(generate(z)) or made[-1]  # type: ignore[method-assign, func-returns-value]
    drawn = draw(t, 50, seed=3)
    assert drawn.generator is not None and len(drawn.x) == 50
    for x, k in zip(torch.as_tensor(drawn.x), drawn.generator, strict=True):
        assert [bool((each == x).all(1).any()) for each in torch.cat(made, 1)] == [j == k for j in range(3)]


def test_prior_of_dmwgan() -> None:
    """The gradient at the logits is r - p + alpha^t r (log r + H(r)), with p the mean of the encoder's answers."""
    t = _trainer("dmwgan")
    model = t.model
    assert isinstance(model, DMWGAN)
    logits = model.prior.logits
    with torch.no_grad():
        logits.copy_(torch.tensor([0.5, -1.0, 0.2]))
    x = t.dataset.draw(16, torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(model.prior_loss(x, {"entropy": torch.tensor(0.3)}), logits)
    r, p = logits.detach().softmax(0), model.encoder(x.x)["index"].detach().softmax(1).mean(0)
    torch.testing.assert_close(found, r - p + 0.3 * r * (r.log() - (r * r.log()).sum()))


def test_balance_of_megan() -> None:
    """The term is sum_k (C_k / N - 1/K)^2 of the numbers of samples that the discriminator receives."""
    model = SYSTEMS["megan"]()
    calls = spy(model, "generator_loss")
    t = trainer(model, optimizer="sgd", learning_rate=1e-30)  # so that the discriminator is still that of the loss
    t.iterate()
    (fake,) = (call["fake"] for call in calls)
    shares = fake.generator.bincount(minlength=3) / len(fake.x)
    expected = bce_real(t.model.get_submodule("discriminator")(fake.x)["source"])
    torch.testing.assert_close(t.losses["generator"], expected + 100 * (shares - 1 / 3).square().sum())


@systems
def test_runs(name: str, tmp_path: Path) -> None:
    """As a plugin file: the ledger has the chosen samples, and a stored model draws those of one generator."""
    model = {"plugin": name.replace("_", "-"), "generators": 3}
    source = project.write(tmp_path, project.describe([model]), **{name: (FOLDER / f"{name}.py").read_text("utf-8")})
    planned = project.plan(source, tmp_path / "results")
    assert project.run_jobs(planned) == "finished"
    (folder,) = project.run_folders(tmp_path / "results")
    ledger = project.record(folder)["ledger"]
    assert len(ledger["generator_samples"]) == 3
    assert sum(ledger["generator_samples"]) == ledger["fake_samples"] > 0
    stored = gan_bench.load_run(folder, registry=planned.registry)
    assert not stored.model.training
    index = stored.sample(300).generator
    assert index is not None
    common = int(torch.as_tensor(index).bincount().argmax())
    one = stored.sample(20, generator=common)
    assert one.generator is not None and one.generator.tolist() == [common] * 20


@pytest.mark.slow
@systems
def test_keeps_the_contract(name: str) -> None:
    """Every check of the kit passes."""
    assert examine(type(SYSTEMS[name]())) == []
