"""The contract kit: it names each planted fault once and in plain words, and passes all that is built in."""

from __future__ import annotations

import re
import unittest
from typing import Any

import pytest
import torch
from gan_bench_zoo.metrics._inception import InceptionMetric
from gan_bench_zoo.models.gan import GAN

from gan_bench.errors import PluginError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.testing import Check, Fault, checks, examine, protocol, trainer
from tests.support import faults, games

KINDS = ("models", "networks", "datasets", "metrics")
ZOO = load_plugins()
SLOW = ("magan", "adagan")  # a first iteration of 150 turns; a classifier's hundreds between stages
DATA = ("cifar10", "fashion-mnist", "imagenet32", "mnist", "mnist-pair", "stacked-mnist", "stl10")


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    """The markers of the checks of one plugin."""
    if name in SLOW:
        return [pytest.mark.slow]
    return [pytest.mark.data] if name in DATA else []


OF_ZOO = [
    pytest.param(name, check, marks=marks_of(name))
    for kind in KINDS
    for name, cls in ZOO.all(kind).items()
    if not issubclass(cls, InceptionMetric)  # in `test_inception`, with a small network: the real one takes hours
    for check in checks(cls)
]

PLANTED: list[tuple[type[Any], str, str]] = [
    (faults.Meddling, "own-parameters", r"generator_loss\(\) changes discriminator\."),
    (faults.Stepping, "own-parameters", r"generator_loss\(\) changes discriminator\."),
    (
        faults.Leaning,
        "own-parameters",
        r"constrain\(\), after_turn\(\) or turns\(\) changes discriminator\.trunk\.weight",
    ),
    (faults.Detached, "learns", r"generator_loss\(\) is detached from the generated samples"),
    (faults.Graphless, "learns", r"generator_loss\(\) is detached from the generated samples"),
    (faults.Frozen, "learns", r"generate\(\) returns samples that are detached from the generators"),
    (faults.Vectorial, "losses", r"generator_loss\(\) returns a tensor of shape \(16,\)"),
    (faults.Idle, "learns", r"referee_loss\(\) does not depend on any parameter of referee"),
    (faults.Bystander, "learns", r"player 'discriminator' has no turn"),
    (faults.HalfIdle, "gradients", r"discriminator\.second\.heads\.bias, .* and 1 more"),
    (faults.Dicing, "streams", r"an iteration draws from the global random stream of torch"),
    (faults.DicingNumpy, "streams", r"an iteration draws from the global random stream of numpy"),
    (faults.DicingBuild, "streams", r"building the model draws from the global random stream of random"),
    (faults.Entropy, "seeds", r"two runs with the same seed differ in .* after iteration 0"),
    (faults.Forgetful, "resumes", r"resumed after iteration 2 differs in .* after iteration 3"),
    (faults.Promoting, "losses", r"'scale' as float32 of shape \(\) on cpu, and initial_state\(\) as int64"),
    (faults.Growing, "losses", r"'scale' as float32 of shape \(2,\) on cpu, and initial_state\(\) as float32 of shape \(1,\)"),
    (faults.ForgetfulState, "resumes", r"resumed after iteration 2 differs in .* after iteration 3"),
    (faults.Single, "generators", r"with 2 generators, generate\(\) fails"),
    (faults.Copied, "generators", r"with 2 generators, 0 and 1 make the same samples from the same latents"),
    (faults.Constant, "generators", r"with generators = 2 the model says it has 1"),
    (faults.Lying, "index", r"sample\(\[3, 4, 5\]\) returns the index \[2, 2, 2, 1"),
    (faults.Swapping, "index", r"gives sample 0 the index 0, but generator 2 made it"),
    (faults.Rotating, "index", r"gives sample 0 the index 0, but generator 1 made it"),
    (faults.Unbalanced, "answers", r"weights\(\) is \[1\.0, 1\.0, 1\.0\]"),
    (faults.Exploding, "finite", r"with defaults, loss of generator is not finite after iteration 3"),
    (faults.Waiting, "reads-no-values", r"an iteration reads a tensor's value \(faults\.py:\d+\)"),
    (faults.Printing, "reads-no-values", r"an iteration reads a tensor's value \(faults\.py:\d+\)"),
    (faults.Masking, "reads-no-values", r"an iteration reads a tensor's value \(faults\.py:\d+\)"),
    (faults.Branching, "reads-no-values", r"an iteration reads a tensor's value \(faults\.py:\d+\)"),
    (faults.Stranded, "devices", r"an iteration fails on another device \(faults\.py:\d+\)"),
    (faults.Hosting, "devices", r"an iteration fails on another device \(faults\.py:\d+\)"),
    (faults.Unstackable, "stacks", r"seeds cannot be stacked: it holds numbers outside of its parameters and buffers"),
    (faults.Offset, "stacks", r"seeds cannot be stacked: it holds numbers outside of its parameters and buffers"),
    (faults.Hiding, "resumes", r"a run resumed after iteration 8 differs in"),
    (faults.Untyped, "parameters", r"Untyped\.Params\.beta has no type"),
    (faults.AnyTyped, "parameters", r"Params\.beta has the type typing\.Any; known are int, float"),
    (faults.Unexplained, "parameters", r"Params\.beta has no explanation"),
    (faults.WrongDefault, "parameters", r"default of .*beta breaks its own rule: beta must be a finite number"),
    (faults.Uncited, "citation", r"the docstring of Uncited cites nothing"),
    (faults.WrongPreset, "builds", r"the preset 'paper' cannot be used: unknown key 'bta'"),
    (faults.Narrow, "builds", r"with share = 0 it cannot be built: ZeroDivisionError: .* \(faults\.py:\d+\)"),
    (faults.Undone, "builds", r"with defaults it cannot be built: NotImplementedError: Undone must define build"),
    (faults.Doubled, "samples", r"generate\(\) returns torch\.float64 of shape"),
    (faults.EndsWithDiscriminator, "answers", r"the last turn of an iteration moves no generator"),
    (faults.Noted, "answers", r"footnotes is 'uses the labels of the data'"),
    (faults.Wordy, "answers", r"turns\(\) is \(Turn\(.*players='generator'"),
    (faults.Drifting, "seeds", r"draw\(\) gives other samples for the same state of its generator"),
    (faults.GlobalRing, "streams", r"draw\(\) draws from the global random stream of torch"),
    (faults.Repeating, "seeds", r"draw\(\) gives the same samples for every state"),
    (faults.Leaking, "held-out", r"held-out samples are among those of a draw for training"),
    (faults.Flat, "samples", r"draw\(1\) returns torch\.float32 of shape \(2,\)"),
    (faults.Unlabelled, "samples", r"draw\(1\) returns no labels, and classes is 8"),
    (faults.Undeclared, "samples", r"draw\(1\) returns labels from \d to \d, and classes is None"),
    (faults.Overflowing, "samples", r"returns labels from 0 to 0, and classes is 0|returns labels from \d to 7, and"),
    (faults.Displaced, "mixture", r"the mean of 4000 draws is .* that of `mixture`"),
    (faults.UpsideDown, "direction", r"higher is declared to be better"),
    (faults.Undirected, "declared", r"direction is 'up'"),
    (faults.Centring, "untouched", r"compute\(\) changes the samples in place"),
    (faults.Tossing, "streams", r"compute\(\) draws from the global random stream of numpy"),
    (faults.Guessing, "seeds", r"compute\(\) of the same samples is"),
    (faults.Several, "value", r"compute\(\) returns ndarray of shape \(2,\)"),
    (faults.SharesAll, "generators", r"generators\(3\) makes the same samples three times"),
    (faults.SharesNothing, "sharing", r"3 that share all but the input layer"),
    (faults.Headless, "discriminator", r"returns \['one'\]"),
]
"""A plugin, the check that has to name its fault, and what it has to say."""


@pytest.mark.parametrize(("cls", "check", "message"), PLANTED, ids=[cls.name for cls, _, _ in PLANTED])
def test_planted(cls: type[Any], check: str, message: str) -> None:
    """A planted fault is found by the check it belongs to, in its own words, and by no other."""
    (finding,) = examine(cls)
    assert finding.check == check
    assert re.search(message, finding.found)
    assert finding.reason
    assert finding.remedy


@pytest.mark.parametrize(("name", "check"), OF_ZOO, ids=str)
def test_zoo(name: str, check: Check) -> None:
    """Everything built in keeps every promise of its kind."""
    check()


@pytest.mark.parametrize("cls", [games.WGANGP, games.WGAN, games.BEGAN, games.Team, games.OneByOne, games.Learned])
def test_games(cls: type[Any]) -> None:
    """Many turns, noise, constraints, state, simultaneous players and learned weights are no faults."""
    found = {finding.check for finding in examine(cls)}
    assert found <= {"citation", "parameters"}  # they are written for tests: no docstrings, no explanations


@pytest.mark.parametrize("cls", [faults.Candid, faults.Plain, faults.Spread, faults.Restarting])
def test_faultless(cls: type[Any]) -> None:
    """A model that says it cannot be stacked, data without a density and a metric without a direction are fine."""
    assert examine(cls) == []


class TestChecks:
    def test_each_says_what_it_promises(self) -> None:
        """Names are short and unique within a kind; ids of a parametrised test are these names."""
        for kind in KINDS:
            made = checks(next(iter(ZOO.all(kind).values())))
            assert len({check.name for check in made}) == len(made)
            assert all(re.fullmatch(r"[a-z-]+", str(check)) and check.promise for check in made)

    def test_fault(self) -> None:
        """A failed check raises one AssertionError that shows what was found, why it matters and what to do."""
        check = next(check for check in checks(faults.Uncited) if check.name == "citation")
        with pytest.raises(AssertionError) as caught:
            check()
        assert isinstance(caught.value, Fault)
        for part in (caught.value.found, caught.value.reason, caught.value.remedy):
            assert part in str(caught.value)

    def test_what_a_failure_explains_is_skipped(self) -> None:
        """A check that builds upon a failed one is skipped and says so, alone as in a row."""
        by_name = {check.name: check for check in checks(faults.Undone)}
        with pytest.raises(unittest.SkipTest, match="since builds failed"):
            by_name["resumes"]()
        assert by_name["resumes"].report().skipped == "builds failed"

    def test_exception_of_the_plugin(self) -> None:
        """An exception of the plugin's own is a finding with its place; a check called by itself lets it through."""

        class Raising(GAN):
            """Raises in a loss (Nobody, 2026)."""

            name = "raising"

            def generator_loss(self, fake: Any) -> Any:
                raise RuntimeError("no luck")

        (finding,) = examine(Raising)
        assert re.fullmatch(r"RuntimeError: no luck \(test_kit\.py:\d+\)", finding.found)
        check = next(check for check in checks(Raising) if check.name == finding.check)
        with pytest.raises(RuntimeError, match="no luck"):
            check()

    def test_anchors_have_fewer(self) -> None:
        """A row that never trains is checked for what it does."""
        assert [str(check) for check in checks(ZOO.get("models", "real-data"))] == [
            "parameters",
            "builds",
            "answers",
            "index",
        ]

    @pytest.mark.parametrize("thing", [int, 7, "gan", None])
    def test_of_no_plugin(self, thing: Any) -> None:
        """Anything else is refused."""
        with pytest.raises(PluginError, match="no subclass of Model, Dataset, Metric or Network"):
            checks(thing)

    def test_leaves_the_global_streams_alone(self) -> None:
        """The kit itself draws from no stream that all code shares."""
        before = torch.get_rng_state()
        examine(GAN)
        assert torch.equal(torch.get_rng_state(), before)


def test_trainer() -> None:
    """A tiny trainer is public: for tests of one's own losses."""
    t = trainer(GAN(), batch=8)
    t.iterate()
    assert t.iteration == 1
    assert set(t.losses) == {"discriminator", "generator"}
    assert protocol(10).fakes_each(10) == 4
