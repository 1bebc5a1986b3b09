"""The contract kit finds each planted fault once, and no fault in the built-in plugins."""

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
from tests.support.findings import varying
from tests.support.messages import Messages

KINDS = ("models", "networks", "datasets", "metrics")
ZOO = load_plugins()
SLOW = ("magan", "adagan")  # 150 turns in the first iteration; hundreds of classifier steps between stages
DATA = ("cifar10", "fashion-mnist", "imagenet32", "mnist", "mnist-pair", "stacked-mnist", "stl10")


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    """Markers of the checks of one plugin."""
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

PLANTED: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.Meddling, "own-parameters", ("generator_loss()", "discriminator.")),
    (faults.Stepping, "own-parameters", ("generator_loss()", "discriminator.")),
    (faults.Leaning, "own-parameters", ("constrain(), after_turn() or turns()", "discriminator.trunk.weight")),
    (faults.Detached, "learns", ("generator_loss()", "fake.x")),
    (faults.Graphless, "learns", ("generator_loss()", "fake.x")),
    (faults.Frozen, "learns", ("generate()",)),
    (faults.Vectorial, "losses", ("generator_loss()", "(16,)")),
    (faults.Idle, "learns", ("referee_loss()", "of referee")),
    (faults.Bystander, "learns", ("'discriminator'", "turns()")),
    (faults.HalfIdle, "gradients", ("discriminator.second.heads.bias", "and 1 more")),
    (faults.Dicing, "streams", ("an iteration", "torch")),
    (faults.DicingNumpy, "streams", ("an iteration", "numpy")),
    (faults.DicingBuild, "streams", ("building the model", "of random")),
    (faults.Entropy, "seeds", ("after iteration 0",)),
    (faults.Forgetful, "resumes", ("after iteration 2", "after iteration 3")),
    (faults.Promoting, "losses", ("after_turn()", "'scale' as float32", "initial_state() as int64")),
    (faults.Growing, "losses", ("after_turn()", "float32 of shape (2,)", "float32 of shape (1,)")),
    (faults.Widening, "losses", ("after_turn()", "'scale' as float64", "initial_state() as float32")),
    (faults.Broadcast, "losses", ("after_turn()", "float32 of shape (1,)", "float32 of shape ()")),
    (faults.ForgetfulState, "resumes", ("after iteration 2", "after iteration 3")),
    (faults.Single, "generators", ("with 2 generators", "generate()")),
    (faults.Copied, "generators", ("with 2 generators", "0 and 1")),
    (faults.Constant, "generators", ("with generators = 2", "is 1")),
    (faults.Lying, "index", ("sample([3, 4, 5])", "[2, 2, 2, 1")),
    (faults.Swapping, "index", ("index 0", "sample 0", "generator 2")),
    (faults.Rotating, "index", ("index 0", "sample 0", "generator 1")),
    (faults.Unbalanced, "answers", ("weights() is [1.0, 1.0, 1.0]",)),
    (faults.Exploding, "finite", ("with defaults", "loss of generator", "iteration 3")),
    (faults.Waiting, "reads-no-values", ("an iteration", "faults.py")),
    (faults.Printing, "reads-no-values", ("an iteration", "faults.py")),
    (faults.Masking, "reads-no-values", ("an iteration", "faults.py")),
    (faults.Branching, "reads-no-values", ("an iteration", "faults.py")),
    (faults.Stranded, "devices", ("an iteration", "faults.py")),
    (faults.Hosting, "devices", ("an iteration", "faults.py")),
    (faults.Unstackable, "stacks", ("with defaults", "stackable = False")),
    (faults.Offset, "stacks", ("with defaults", "stackable = False")),
    (faults.Hiding, "resumes", ("after iteration 8",)),
    (faults.Untyped, "parameters", ("Untyped.Params.beta",)),
    (faults.AnyTyped, "parameters", ("AnyTyped.Params.beta", "typing.Any")),
    (faults.Unexplained, "parameters", ("Unexplained.Params.beta",)),
    (faults.WrongDefault, "parameters", ("WrongDefault.Params.beta", "much")),
    (faults.Uncited, "citation", ("docstring of Uncited",)),
    (faults.WrongPreset, "builds", ("preset 'paper'", "'bta'")),
    (faults.Narrow, "builds", ("with share = 0", "ZeroDivisionError", "faults.py")),
    (faults.Undone, "builds", ("with defaults", "NotImplementedError", "Undone")),
    (faults.Doubled, "samples", ("generate()", "torch.float64")),
    (faults.EndsWithDiscriminator, "answers", ("last turn",)),
    (faults.Noted, "answers", ("footnotes is 'uses the labels of the data'",)),
    (faults.Wordy, "answers", ("turns() is (Turn(", "players='generator'")),
    (faults.Muted, "learns", ("generator_loss()", "zero in every iteration")),
    (faults.Ramped, "learns", ("generator_loss()", "zero in every iteration")),
    (faults.Clipped, "learns", ("generator_loss()", "zero in every iteration")),
    (faults.Weighed, "learns", ("with warm = True", "discriminator_loss()", "zero in every iteration")),
    (faults.FirstOnly, "every-generator", ("generator_loss()", "generators 1, 2")),
    (faults.Masked, "every-generator", ("generator_loss()", "generators 1, 2")),
    (faults.OneHot, "every-generator", ("generator_loss()", "generators 1, 2")),
    (faults.HalfFirst, "every-generator", ("head 'source' of discriminator", "not on those of generators 1, 2")),
    (faults.Anchored, "every-generator", ("generate()", "generators 1, 2")),
    (faults.Slice, "every-generator", ("generator.layer.weight", "copies 1, 2")),
    (faults.NoHead, "heads", ("discriminator_loss()", "head 'generator' of discriminator")),
    (faults.DetachedHead, "heads", ("discriminator_loss()", "head 'generator' of discriminator")),
    (faults.DeadTerm, "heads", ("generator_loss()", "head 'generator' of discriminator")),
    (faults.DeadSamples, "heads", ("generator_loss()", "head 'generator' of discriminator")),
    (faults.UnitOnly, "heads", ("discriminator_loss()", "outputs 1, 2 of the head 'generator'")),
    (faults.CopyOnly, "heads", ("discriminators_loss()", "output 1 of the head 'score'")),
    (faults.SeesFirst, "sources", ("discriminator_loss()", "generators 1, 2")),
    (faults.SeesIndex, "sources", ("discriminator_loss()", "generators 1, 2")),
    (faults.HalfSees, "sources", ("head 'source' of discriminator", "not on those of generators 1, 2")),
    (faults.Blind, "sources", ("no player", "real.x")),
    (faults.BlindTerm, "sources", ("no player", "real.x")),
    (faults.BlindOne, "sources", ("discriminator_loss()", "real.x")),
    (faults.Standardised, "in-parts", ("generate_all()", "number of latents")),
    (faults.Sorted, "in-parts", ("sample()", "depend on one latent")),
    (faults.Recentred, "in-parts", ("sample()", "depend on one latent")),
    (faults.BatchNormed, "in-parts", ("generate_all()", "number of latents")),
    (faults.Ranked, "in-parts", ("generate_all()", "number of latents")),
    (faults.Unread, "effects", ("Unread.Params.diversity",)),
    (faults.Shadowed, "effects", ("Shadowed.Params.beta",)),
    (faults.NothingTimes, "effects", ("NothingTimes.Params.weight",)),
    (faults.Misspelt, "effects", ("Misspelt.Params.scale",)),
    (faults.Caching, "compiles", ("with defaults", "level")),
    (faults.CachingLatents, "compiles", ("with again = True", "attribute last")),
    (faults.Clock, "compiles", ("with defaults", "differs from that of an eager one")),
    (faults.ClockTensor, "compiles", ("with defaults", "differs from that of an eager one")),
    (faults.GainOnly, "presets", ("preset 'paper'", "init_scale = 0.8")),
    (faults.GainOfOne, "presets", ("preset 'release'", "init_scale = 1")),
    (faults.GlorotOnly, "presets", ("preset 'paper'", "init = 'xavier'")),
    (faults.BetasOnly, "presets", ("preset 'paper'", "optimizer = 'rmsprop'")),
    (faults.Drifting, "seeds", ("draw()", "same state")),
    (faults.GlobalRing, "streams", ("draw()", "torch")),
    (faults.Repeating, "seeds", ("draw()", "every state")),
    (faults.Leaking, "held-out", ("1000 held-out samples",)),
    (faults.Flat, "samples", ("draw(1)", "torch.float32 of shape (2,)")),
    (faults.Unlabelled, "samples", ("draw(1)", "no labels", "classes is 8")),
    (faults.Undeclared, "samples", ("draw(1)", "labels from", "classes is None")),
    (faults.Overflowing, "samples", ("draw(1000)", "labels from 0 to 7", "classes is 7")),
    (faults.Displaced, "mixture", ("the mean of 4000 draws", "[1. 1.]")),
    (faults.UpsideDown, "direction", ("'higher'",)),
    (faults.Undirected, "declared", ("direction is 'up'",)),
    (faults.Unscaled, "declared", ("scale is 'cubic'", "log, linear, share, count")),
    (faults.Centring, "untouched", ("compute()",)),
    (faults.Tossing, "streams", ("compute()", "numpy")),
    (faults.Guessing, "seeds", ("compute()", "same samples")),
    (faults.Several, "value", ("compute()", "shape (2,)")),
    (faults.SharesAll, "generators", ("generators(3)",)),
    (faults.SharesNothing, "sharing", ("all but the input layer",)),
    (faults.Headless, "discriminator", ("['one']",)),
]
"""A faulty plugin, the check that must find the fault, and the place and values that the finding must name."""


ALLOWED = [faults.Candid, faults.Plain, faults.Spread, faults.Restarting, faults.InParts, faults.Late]
"""Plugins with unusual properties that the contracts allow."""


@pytest.mark.parametrize(("cls", "check", "parts"), PLANTED, ids=[cls.name for cls, _, _ in PLANTED])
def test_planted(cls: type[Any], check: str, parts: tuple[str, ...], messages: Messages) -> None:
    """Exactly one check finds a planted fault, and its finding has a place, a reason and a remedy."""
    (finding,) = examine(cls)
    assert finding.check == check
    assert finding.reason
    assert finding.remedy
    messages.check(finding, *parts, hide=varying(str(finding)))


@pytest.mark.parametrize(("name", "check"), OF_ZOO, ids=str)
def test_zoo(name: str, check: Check) -> None:
    """Every built-in plugin passes every check of its kind."""
    check()


@pytest.mark.parametrize("cls", [games.WGANGP, games.WGAN, games.BEGAN, games.Team, games.OneByOne, games.Learned])
def test_games(cls: type[Any]) -> None:
    """Many turns, noise, constraints, state, simultaneous players and learned weights pass the checks."""
    found = {finding.check for finding in examine(cls)}
    assert found <= {"citation", "parameters"}  # models for tests: without docstrings and explanations


@pytest.mark.parametrize("cls", ALLOWED)
def test_faultless(cls: type[Any]) -> None:
    """Declared exceptions, late effects of parameters, and data without a density have no findings."""
    assert examine(cls) == []


class TestChecks:
    def test_each_has_a_name_and_a_promise(self) -> None:
        """Names are short and unique within a kind. Ids of a parametrised test are these names."""
        for kind in KINDS:
            made = checks(next(iter(ZOO.all(kind).values())))
            assert len({check.name for check in made}) == len(made)
            assert all(re.fullmatch(r"[a-z-]+", str(check)) and check.promise for check in made)

    def test_fault(self) -> None:
        """A failed check raises one AssertionError with the observation, its consequence and a remedy."""
        check = next(check for check in checks(faults.Uncited) if check.name == "citation")
        with pytest.raises(AssertionError) as caught:
            check()
        assert isinstance(caught.value, Fault)
        for part in (caught.value.found, caught.value.reason, caught.value.remedy):
            assert part in str(caught.value)

    def test_after_a_failure_dependent_checks_are_skipped(self, messages: Messages) -> None:
        """A check that needs a failed one is skipped with the reason, both when called and when reported."""
        by_name = {check.name: check for check in checks(faults.Undone)}
        with messages.raises(unittest.SkipTest, "builds"):
            by_name["resumes"]()
        assert by_name["resumes"].report().skipped == "builds failed"

    def test_exception_of_the_plugin(self, messages: Messages) -> None:
        """An exception of the plugin is a finding with its place. A check that is called raises it."""

        class Raising(GAN):
            """A loss raises an exception (Author, 2026)."""

            name = "raising"

            def generator_loss(self, fake: Any) -> Any:
                raise RuntimeError("no luck")

        (finding,) = examine(Raising)
        assert re.fullmatch(r"RuntimeError: no luck \(test_kit\.py:\d+\)", finding.found)
        messages.check(finding, "RuntimeError: no luck", hide=varying(str(finding)))
        check = next(check for check in checks(Raising) if check.name == finding.check)
        with pytest.raises(RuntimeError, match="no luck"):
            check()

    def test_anchors_have_fewer(self) -> None:
        """A model without training has only the checks that apply to it."""
        assert [str(check) for check in checks(ZOO.get("models", "real-data"))] == [
            "parameters",
            "builds",
            "answers",
            "index",
        ]

    @pytest.mark.parametrize("thing", [int, 7, "gan", None])
    def test_of_other_objects_are_refused(self, thing: Any, messages: Messages) -> None:
        """An object that is not a class of a plugin raises PluginError."""
        with messages.raises(PluginError, repr(thing), "Model, Dataset, Metric, Network, Engine or Observer"):
            checks(thing)

    def test_leaves_the_global_streams_alone(self) -> None:
        """The checks themselves do not change the global random streams."""
        before = torch.get_rng_state()
        examine(GAN)
        assert torch.equal(torch.get_rng_state(), before)


def test_trainer() -> None:
    """The tiny trainer is public, for tests of the losses of a plugin."""
    t = trainer(GAN(), batch=8)
    t.iterate()
    assert t.iteration == 1
    assert set(t.losses) == {"discriminator", "generator"}
    assert protocol(10).fakes_each(10) == 4
