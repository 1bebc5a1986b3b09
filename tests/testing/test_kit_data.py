"""The contract kit finds plausible mistakes in metrics, datasets and networks, each by the check of its promise."""

from __future__ import annotations

from typing import Any

import pytest

from gan_bench.testing import examine
from tests.support import faults_data as faults
from tests.support.findings import varying
from tests.support.messages import Messages

METRICS: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.RunningMean, "stateless", ("first call", "samples far from it")),
    (faults.SmoothedOfClass, "stateless", ("first call",)),
    (faults.BestSoFar, "stateless", ("first call",)),
    (faults.FirstScale, "stateless", ("first call", "a call with real data")),
    (faults.ScaleByDataset, "stateless", ("first call", "a call with real data")),
    (faults.CachedBySeed, "stateless", ("first call", "a call with real data")),
    (faults.CachedByAddress, "stateless", ("first call", "samples far from it")),
    (faults.CachedCentre, "stateless", ("first call", "a call with real data")),
    (faults.SpoiledResult, "stateless", ("the same Samples object",)),
    (faults.Unresponsive, "responds", ("one sample repeated",)),
    (faults.Summed, "size", ("the number of samples", "150", "600")),
    (faults.Norm, "size", ("the square root of the number",)),
    (faults.SummedPairs, "size", ("the square of the number",)),
    (faults.FixedNumber, "size", ("the number of samples",)),
    (faults.DividedTwice, "size", ("the inverse number",)),
    (faults.Counted, "size", ("the number of samples",)),
    (faults.SummedByGenerator, "size", ("the number of samples",)),
    (faults.Halves, "order", ("random order", "sorted")),
    (faults.Steps, "order", ("random order", "sorted")),
    (faults.FirstFew, "order", ("random order", "sorted")),
    (faults.Blocks, "index", ("samples.generator is shuffled",)),
    (faults.Unselected, "index", ("samples.generator is shuffled",)),
    (faults.SortingInPlace, "untouched", ("compute()",)),
    (faults.ClippingInPlace, "untouched", ("compute()",)),
    (faults.Renumbering, "untouched", ("compute()",)),
    (faults.ReseedingStream, "streams", ("compute()", "numpy")),
    (faults.TorchStream, "streams", ("compute()", "torch")),
]
"""A faulty plugin, the check that must find the fault, and parts of the finding."""

DATASETS: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.ShiftedHeldOut, "distribution", ("held_out()", "1000 samples each")),
    (faults.WideHeldOut, "distribution", ("held_out()", "nearest samples")),
    (faults.NoiselessHeldOut, "distribution", ("held_out()", "nearest samples")),
    (faults.LacksMode, "distribution", ("held_out()",)),
    (faults.Standardised, "distribution", ("held_out()",)),
    (faults.SwappedAxes, "distribution", ("held_out()",)),
    (faults.BalancedHeldOut, "distribution", ("held_out()",)),
    (faults.PoolOfOneClass, "distribution", ("pool()",)),
    (faults.ScaledPool, "distribution", ("pool()",)),
    (faults.PoolOfHeldOut, "held-out", ("samples of pool()",)),
    (faults.HeldOutOfTraining, "held-out", ("samples of draw()",)),
    (faults.Unindexed, "held-out", ("samples of draw()",)),
    (faults.OtherDivision, "held-out", ("samples of draw()",)),
    (faults.SortedByLabel, "order", ("draw(1000)", "order of their label")),
    (faults.SortedByCoordinate, "order", ("draw(1000)", "coordinate or projection 0")),
    (faults.SortedByIndex, "order", ("draw(1000)", "order of their index")),
    (faults.Consecutive, "order", ("draw(1000)", "index")),
    (faults.SortedHeldOut, "order", ("held_out(1000)", "order of their label")),
    (faults.HalfOfOneMode, "order", ("draw(1000)",)),
    (faults.BlocksOfModes, "order", ("draw(1000)", "label")),
    (faults.Chain, "order", ("draw(1000)", "more alike")),
    (faults.Doubling, "repeats", ("draw(1000)", "several times")),
    (faults.Buffered, "repeats", ("draw(1000)", "several times")),
    (faults.InitialSeed, "repeats", ("in succession",)),
    (faults.CopiedStream, "repeats", ("in succession",)),
    (faults.SameStart, "repeats", ("20 of 1000 samples",)),
    (faults.SameLabels, "repeats", ("labels are the same",)),
    (faults.ShuffledLabels, "labels", ("draw()",)),
    (faults.RolledLabels, "labels", ("draw()",)),
    (faults.ImagesOfTraining, "held-out", ("samples of draw()",)),
    (faults.Inverted, "distribution", ("held_out()",)),
    (faults.SortedImages, "order", ("draw(1000)", "label")),
    (faults.MixedImages, "labels", ("draw()",)),
    (faults.ReversedHeldOutLabels, "labels", ("held_out()",)),
    (faults.RandomHeldOutLabels, "labels", ("held_out()",)),
]

NETWORKS: list[tuple[type[Any], str, tuple[str, ...]]] = [
    (faults.SameLatents, "latents", ("generator 2 ignores its latents",)),
    (faults.HalfOfLatents, "latents", ("generator 1 ignores 3 of 6 latents",)),
    (faults.CommonLatents, "latents", ("'nothing'", "generator 0 depends on the latents of generator 2")),
    (faults.FirstRow, "latents", ("'nothing'", "generators 0 and 1 share layers.2.weight")),
    (faults.SharedNorm, "latents", ("'nothing'", "generators 0 and 1 share layers.0.bias")),
    (faults.NoGradient, "latents", ("output of generator 1",)),
    (faults.EqualWithTrunk, "latents", ("'trunk'", "equal samples")),
    (faults.ClampsLatents, "generators", ("in place",)),
    (faults.OneCoordinate, "copies", ("ignores 50%",)),
    (faults.BlindCopy, "copies", ("copies=2", "copy 1")),
    (faults.FirstTrunk, "copies", ("copies 0 and 1 share trunk.weight",)),
    (faults.EqualCopies, "copies", ("copies 0 and 1 have the same logits",)),
    (faults.BlindFeatures, "copies", ("features()", "ignores the samples")),
    (faults.ShiftsSamples, "discriminator", ("in place",)),
    (faults.ConstantHead, "heads", ("head 'one'", "same for all samples")),
    (faults.ConstantLogit, "heads", ("logit 2 of head 'three'", "same for all samples")),
    (faults.RepeatedHead, "heads", ("head 'one' and logit 0 of head 'three' are equal",)),
    (faults.ExpandedLogit, "heads", ("head 'one' and logit 0 of head 'three' are equal",)),
    (faults.IgnoresVectors, "pairs", ("ignores the vectors",)),
    (faults.ConstantCopy, "autoencoder", ("ignores the samples",)),
]

PLANTED = [*METRICS, *DATASETS, *NETWORKS]


@pytest.mark.parametrize(("cls", "check", "parts"), PLANTED, ids=[cls.name for cls, _, _ in PLANTED])
def test_planted(cls: type[Any], check: str, parts: tuple[str, ...], messages: Messages) -> None:
    """Exactly one check finds a planted fault, and its finding has a reason and a remedy."""
    (finding,) = examine(cls)
    assert finding.check == check
    assert finding.reason
    assert finding.remedy
    messages.check(finding, *parts, hide=varying(str(finding)))


@pytest.mark.parametrize(
    "cls", [faults.Width, faults.Position, faults.FiniteRing, faults.Images, faults.Rounded, faults.Unevenly]
)
def test_faultless(cls: type[Any]) -> None:
    """The plugins that the faults are planted in have no findings."""
    assert examine(cls) == []
