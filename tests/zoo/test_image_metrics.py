"""Metrics of labelled images: by classes, exact or from a classifier, and by features of the classifier."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo import classifiers
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics import _classified, _reference
from gan_bench_zoo.metrics._classified import classified, reference_of
from gan_bench_zoo.metrics._modes import ModeMetric, assignment, weights_of
from gan_bench_zoo.metrics._reference import Moments
from gan_bench_zoo.metrics.classifier import ClassifierScore, FrechetClassifier, frechet, score_of
from gan_bench_zoo.metrics.divergence import EPSILON, ForwardKL, ReverseKL, SymmetricKL
from gan_bench_zoo.metrics.generator_jsd import GeneratorJSD, divergence
from gan_bench_zoo.metrics.generators import (
    DeadGenerators,
    GeneratorHighQuality,
    GeneratorModes,
    MutualInformation,
    Purity,
)
from gan_bench_zoo.metrics.image_classes import MajorityClasses, OutsideClasses
from gan_bench_zoo.metrics.modes import HighQuality, ModeKL, Modes, Modes10Pct
from gan_bench_zoo.metrics.sliced_wasserstein import SlicedWasserstein, _directions
from gan_bench_zoo.metrics.wasserstein import Wasserstein
from numpy.typing import NDArray
from scipy import linalg, stats
from torch import Tensor

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.contracts.metric import Metric, Samples
from tests.support.messages import Messages
from tests.support.metrics import refusal
from tests.support.tiny_images import LEVELS, Greys

GOOD_WITHIN = 20  # levels
QUALITY: list[type[Metric]] = [HighQuality, GeneratorHighQuality, OutsideClasses]
BY_CLASS: list[type[Metric]] = [
    SymmetricKL,
    ForwardKL,
    ReverseKL,
    Modes,
    Modes10Pct,
    ModeKL,
    GeneratorModes,
    Purity,
    DeadGenerators,
    MutualInformation,
    GeneratorJSD,
    MajorityClasses,
]
BY_FEATURES: list[type[Metric]] = [SlicedWasserstein, ClassifierScore, FrechetClassifier]
EVERY = QUALITY + BY_CLASS + BY_FEATURES


class Exact(Greys):
    """Greys with exact classes: the nearest brightness, of high quality if it is near."""

    name = "exact"

    def exact_classes(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        distance = (pixels.float().mean(dim=(1, 2, 3))[:, None] - torch.tensor(LEVELS)).abs()
        return distance.argmin(dim=1), distance.min(dim=1).values < GOOD_WITHIN


class Pair(Greys):
    """Two of the three greys, in reverse order."""

    name = "pair"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("bright", "dark")

    def labelled(self) -> ImageDataset:
        return Greys()

    def training(self) -> Pictures:
        """Return three bright images for each dark one."""
        pictures = Greys().training()
        assert pictures.label is not None
        bright, dark = (np.flatnonzero(pictures.label == label) for label in (2, 0))
        chosen = np.concatenate([bright[:15], dark[:5]])
        return Pictures(pictures.x[chosen], np.repeat([0, 1], [15, 5]))


class Stacked(Greys):
    """Three greys as channels, 27 classes."""

    name = "stacked"
    by_channel = True

    def __init__(self) -> None:
        super().__init__(Greys.Params(channels=3))

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(f"{a}{b}{c}" for a in "012" for b in "012" for c in "012")

    def labelled(self) -> ImageDataset:
        return Greys()


class Unlabelled(Greys):
    """Greys without classes."""

    name = "unlabelled"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ()


class Renamed(Pair):
    """A pair with a class name that its classifier does not have."""

    name = "renamed"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("bright", "shade")


class Wide(Greys):
    """Greys whose classifier has another number of channels."""

    name = "wide"

    def labelled(self) -> ImageDataset:
        return Greys(Greys.Params(channels=3))


class ByBrightness:
    """Classifier without training: probabilities decrease with the distance to a brightness."""

    record = SimpleNamespace(sha256="0" * 64)

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.seen += len(pixels)
        x = pixels.float()
        mean = x.mean(dim=(1, 2, 3))
        logits = -(mean[:, None] - torch.tensor(LEVELS)).abs() / 10
        features = torch.stack([mean, x[:, :, 0].mean(dim=(1, 2)), x[:, :, :, 0].mean(dim=(1, 2))], dim=1)
        return logits.log_softmax(dim=1).numpy(), features.numpy()


@pytest.fixture(autouse=True)
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ByBrightness]:
    """Classifier of all greys, in an empty data root."""
    monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(_reference, "_recent", {})
    made = ByBrightness()
    monkeypatch.setattr(classifiers, "classifier_of", lambda *given: made)
    yield made


def flat(levels: Any, channels: int = 1) -> Tensor:
    """Return images of constant levels (n,), or of constant levels per channel (n, channels)."""
    level = torch.as_tensor(np.asarray(levels), dtype=torch.uint8)
    per_channel = level[:, None].expand(-1, channels) if level.dim() == 1 else level
    return per_channel[:, :, None, None].expand(-1, -1, 8, 8).contiguous()


def samples(pixels: Tensor, dataset: ImageDataset, generator: Any = None, k: int = 1, seed: int = 0) -> Samples:
    """Return images as input of metrics."""
    return Samples(None, dataset, pixels=pixels, generator=generator, generators=k, seed=seed)


def value(kind: type[Metric], given: Samples) -> float:
    """Return a metric as one number."""
    metric = kind()
    found = metric.compute(given)
    return metric.combine(np.asarray(found)) if metric.per_generator else float(found)


def real(n: int, seed: int = 0, channels: int = 1) -> Tensor:
    """Return images like those of the training set, of random classes."""
    rng = np.random.default_rng(seed)
    level = rng.choice(LEVELS, (n, channels, 1, 1)) + rng.integers(-9, 10, (n, channels, 8, 8))
    return torch.from_numpy(level.astype(np.uint8))


class TestAssignment:
    def test_follows_the_dataset_where_it_knows_classes(self, classifier: ByBrightness) -> None:
        """A classifier is not used."""
        found = assignment(samples(flat([30, 70, 205, 130]), Exact()))
        assert found.mode.tolist() == [0, 0, 2, 1]
        assert found.high_quality.tolist() == [True, False, True, True]
        assert classifier.seen == 0

    def test_follows_the_classifier_elsewhere(self) -> None:
        """Without exact classes, the mode is the likeliest class of the classifier."""
        found = assignment(samples(flat([30, 70, 205, 130]), Greys()))
        assert found.mode.tolist() == [0, 0, 2, 1] and found.high_quality.all()

    def test_maps_the_classes_of_a_part_by_name(self) -> None:
        """Images of the third class are assigned to the likeliest class of the pair, with low quality."""
        found = assignment(samples(flat([200, 40, 125, 115]), Pair()))
        assert found.mode.tolist() == [0, 1, 0, 1]
        assert found.high_quality.tolist() == [True, True, False, False]

    def test_counts_tuples_of_channels_as_digits(self) -> None:
        """Modes are 100 a + 10 b + c in base 3."""
        found = assignment(samples(flat([[40, 40, 200], [120, 40, 40], [200, 200, 200], [40, 120, 200]]), Stacked()))
        assert found.mode.tolist() == [2, 9, 26, 5] and found.high_quality.all()

    def test_weights_are_the_shares_of_the_training_set_or_equal_of_tuples(self) -> None:
        """Weights are shares of the training set, and equal for tuples."""
        assert weights_of(samples(flat([0]), Pair())).tolist() == [0.75, 0.25]
        assert weights_of(samples(flat([0] * 3, 3), Stacked())).tolist() == [1 / 27] * 27

    def test_classifies_once_for_all_metrics(self, classifier: ByBrightness) -> None:
        """All metrics share the output of the classifier."""
        given = samples(real(1000), Greys(), np.arange(1000) % 3, 3)
        reference_of(Greys())
        classifier.seen = 0
        for kind in BY_CLASS + BY_FEATURES:
            kind().compute(given)
        assert classifier.seen == 1000


class TestClasses:
    """Classes that metrics on modes return, named as in the dataset."""

    def test_are_those_of_the_images(self) -> None:
        """The label of an image of no class is -1."""
        found = Modes().classes(samples(flat([200, 40, 125, 115]), Pair()))
        assert (found.label.tolist(), found.names, found.exhaustive) == ([0, 1, -1, -1], ("bright", "dark"), False)

    def test_are_exhaustive_where_every_image_is_of_some_class(self) -> None:
        """Classes are exhaustive if the classifier has no other class, or for tuples, but not for exact classes."""
        greys, exact = (Modes().classes(samples(flat([40, 70]), data())) for data in (Greys, Exact))
        assert (greys.label.tolist(), greys.exhaustive) == ([0, 0], True)
        assert (exact.label.tolist(), exact.exhaustive) == ([0, -1], False)
        stacked = Modes().classes(samples(flat([[40, 40, 200]]), Stacked()))
        assert (stacked.names[stacked.label[0]], stacked.exhaustive) == ("002", True)


class TestDivergences:
    def test_agree_with_scipys_entropy(self) -> None:
        """Shares of classes and of images of no class are smoothed as histograms of points are."""
        given = samples(flat([200] * 50 + [40] * 30 + [120] * 20), Pair())
        p, q = ((1 - EPSILON) * np.array(h) + EPSILON / 3 for h in ([0.75, 0.25, 0], [0.5, 0.3, 0.2]))
        assert value(ForwardKL, given) == pytest.approx(stats.entropy(p, q))
        assert value(ReverseKL, given) == pytest.approx(stats.entropy(q, p))
        assert value(SymmetricKL, given) == pytest.approx((stats.entropy(p, q) + stats.entropy(q, p)) / 2)

    def test_of_samples_in_the_right_shares_are_zero(self) -> None:
        assert value(SymmetricKL, samples(flat([200] * 30 + [40] * 10), Pair())) == pytest.approx(0, abs=1e-12)

    def test_mode_kl_of_tuples_is_pacgans(self) -> None:
        """The value is KL(shares of the tuples ‖ 1/27) without smoothing. Reverse KL differs by its smoothing."""
        pixels = real(500, channels=3)
        counts: dict[tuple[int, ...], int] = {}
        for image in pixels.float().mean(dim=(2, 3)):
            triple = tuple(int(abs(image[c] - torch.tensor(LEVELS)).argmin()) for c in range(3))
            counts[triple] = counts.get(triple, 0) + 1
        expected = sum(n / 500 * math.log(n / 500 * 27) for n in counts.values())
        given = samples(pixels, Stacked())
        assert value(ModeKL, given) == pytest.approx(expected)
        assert value(ReverseKL, given) == pytest.approx(expected, abs=2e-3)
        assert value(Modes, given) == len(counts)

    def test_floor_of_mode_kl_of_tuples(self) -> None:
        """The mean for a perfect model is (M-1)/(2n)."""
        found = [value(ModeKL, samples(real(2600, seed, channels=3), Stacked())) for seed in range(12)]
        assert np.mean(found) == pytest.approx(26 / 5200, rel=0.25)


class TestModes:
    def test_are_counted_by_hand(self) -> None:
        """One sample counts as a mode, but is less than a tenth of the true share."""
        given = samples(flat([40] * 98 + [120] + [70]), Exact())
        assert value(Modes, given) == 2 and value(Modes10Pct, given) == 1
        assert value(HighQuality, given) == 0.99 and value(OutsideClasses, given) == pytest.approx(0.01)

    def test_what_is_of_no_class_of_a_part_is_outside(self) -> None:
        """Images of a class that is not in the pair are outside."""
        given = samples(flat([200, 40, 120, 120]), Pair(), np.array([0, 1, 1, 1]), 2)
        assert value(OutsideClasses, given) == 0.5
        assert GeneratorHighQuality().compute(given) == pytest.approx([1, 1 / 3])

    def test_quality_is_refused_where_everything_is_of_some_class(self, messages: Messages) -> None:
        """Metrics on quality refuse images that always have a class."""
        for dataset in (Greys(), Stacked()):
            messages.check(refusal(QUALITY, dataset), "METRIC", dataset.name)
        assert all(kind().refuses(Pair()) is None and kind().refuses(Exact()) is None for kind in QUALITY)


class TestGenerators:
    def test_of_a_pair_on_a_class_each(self) -> None:
        """Success in the second paper is two distinct majority classes of high purity."""
        generator = np.repeat([0, 1], 20)
        given = samples(flat([40] * 19 + [200] + [200] * 20), Pair(), generator, 2)
        assert MajorityClasses().compute(given).tolist() == [1, 0]
        assert value(MajorityClasses, given) == 2
        assert Purity().compute(given).tolist() == [0.95, 1]
        assert GeneratorModes().compute(given).tolist() == [2, 1]
        assert value(DeadGenerators, given) == 0

    def test_of_a_pair_on_the_same_class(self) -> None:
        """There is one majority class, and one of the two generators is dead."""
        given = samples(flat([40] * 40), Pair(), np.repeat([0, 1], 20), 2)
        assert value(MajorityClasses, given) == 1 and value(DeadGenerators, given) == 1
        assert value(MutualInformation, given) == 0

    def test_mutual_information_of_a_class_each_is_log_k(self) -> None:
        generator = np.arange(300) % 3
        given = samples(flat(np.array(LEVELS)[generator]), Greys(), generator, 3)
        assert value(MutualInformation, given) == pytest.approx(math.log(3))

    def test_divergence_of_generators_is_that_of_their_classes(self) -> None:
        rng = np.random.default_rng(0)
        generator, label = rng.integers(2, size=400), rng.integers(3, size=400)
        shuffles = np.random.default_rng(7)
        expected = divergence(label, generator) - np.mean(
            [divergence(label, shuffles.permutation(generator)) for _ in range(5)]
        )
        given = samples(flat(np.array(LEVELS)[label]), Greys(), generator, 2, seed=7)
        assert value(GeneratorJSD, given) == pytest.approx(float(expected))

    def test_a_generator_that_makes_no_class_has_no_majority(self) -> None:
        """A generator without samples of any class has no majority class."""
        given = samples(flat([40] * 5 + [70] * 5), Exact(), np.repeat([0, 1], 5), 2)
        assert np.array_equal(MajorityClasses().compute(given), [0, np.nan], equal_nan=True)
        assert value(MajorityClasses, given) == 1


class TestSlicedWasserstein:
    def test_agrees_with_scipy_along_each_direction(self) -> None:
        """With as many samples as training images, the value is the exact distance of two sets."""
        given = samples(real(60, seed=3), Greys(), seed=5)
        found = classified(given).features.astype(np.float64)
        true = reference_of(Greys()).features.astype(np.float64)
        expected = np.mean([stats.wasserstein_distance(found @ u, true @ u) for u in _directions(3, 5)])
        assert value(SlicedWasserstein, given) == pytest.approx(expected, rel=1e-4)

    def test_of_another_number_of_samples_comes_close_to_scipy(self) -> None:
        """With more samples than training images, the value is close to scipy's."""
        given = samples(real(1000, seed=3), Greys(), seed=5)
        found = classified(given).features.astype(np.float64)
        true = reference_of(Greys()).features.astype(np.float64)
        expected = np.mean([stats.wasserstein_distance(found @ u, true @ u) for u in _directions(3, 5)])
        assert value(SlicedWasserstein, given) == pytest.approx(expected, rel=0.02)

    def test_of_the_training_set_is_nothing(self) -> None:
        """The distance of the training set from itself is 0."""
        pixels = torch.from_numpy(Greys().training().x).flip(0)
        assert value(SlicedWasserstein, samples(pixels, Greys())) == pytest.approx(0, abs=1e-5)


class TestFrechet:
    def test_agrees_with_scipys_matrix_root(self) -> None:
        rng = np.random.default_rng(0)
        a, b = (Moments(9, rng.normal(size=6), np.cov(rng.normal(size=(6, 40)) * s)) for s in (1, 2))
        root = linalg.sqrtm(a.covariance @ b.covariance).real
        expected = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
        assert frechet(a, b) == pytest.approx(expected) == frechet(b, a)

    def test_of_one_dimension_is_its_closed_form(self) -> None:
        """The value is (difference of means)² + (difference of standard deviations)²."""
        a, b = Moments(2, np.array([1.0]), np.array([[4.0]])), Moments(2, np.array([3.0]), np.array([[25.0]]))
        assert frechet(a, b) == pytest.approx(4 + 9)

    def test_to_a_point_is_finite(self) -> None:
        """The value is the distance of the means plus the variance of the other distribution."""
        a, b = Moments(2, np.zeros(3), np.zeros((3, 3))), Moments(2, np.ones(3), np.diag([1.0, 2.0, 0.0]))
        assert frechet(a, b) == pytest.approx(6) == frechet(b, a)

    def test_of_samples_is_that_of_the_moments_of_their_features(self) -> None:
        given = samples(real(1000, channels=3), Stacked())
        found, training = classified(given).features, torch.from_numpy(Stacked().training().x)
        true = classified(samples(training, Stacked())).features
        assert found.shape == (1000, 9)
        root = linalg.sqrtm(np.cov(found.T) @ np.cov(true.T)).real
        spread = np.trace(np.cov(found.T) + np.cov(true.T) - 2 * root)
        expected = np.square(found.mean(axis=0, dtype=float) - true.mean(axis=0, dtype=float)).sum() + spread
        assert value(FrechetClassifier, given) == pytest.approx(expected, rel=1e-4)


class TestClassifierScore:
    def test_is_the_number_of_classes_at_best_and_one_at_worst(self) -> None:
        """The score is between 1 and the number of classes."""
        sure = np.eye(4)[np.arange(400) % 4][:, None]
        assert score_of(sure) == pytest.approx(4)
        assert score_of(sure[:1].repeat(9, axis=0)) == 1
        assert score_of(np.full((9, 1, 4), 0.25)) == pytest.approx(1)

    def test_agrees_with_its_definition(self) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(5), size=30)
        expected = math.exp(np.mean([stats.entropy(each, p.mean(axis=0)) for each in p]))
        assert score_of(p[:, None]) == pytest.approx(expected)

    def test_of_parts_is_that_of_the_joint_classes(self) -> None:
        p = np.random.default_rng(0).dirichlet(np.ones(3), size=(20, 2))
        joint = np.einsum("na,nb->nab", p[:, 0], p[:, 1]).reshape(20, 1, 9)
        assert score_of(p) == pytest.approx(score_of(joint))

    def test_is_the_mean_of_ten_parts(self) -> None:
        """If each part has one class, the score is 1."""
        assert value(ClassifierScore, samples(flat(np.repeat(LEVELS[:2], 500)), Greys())) == pytest.approx(1)
        assert value(ClassifierScore, samples(flat(np.tile(LEVELS[:2], 500)), Greys())) > 1.9


class TestReference:
    def test_is_of_the_whole_training_set(self) -> None:
        found = reference_of(Pair())
        features = ByBrightness()(torch.from_numpy(Pair().training().x))[1]
        assert found.moments.count == 20
        np.testing.assert_allclose(found.moments.mean, features.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.moments.covariance, np.cov(features.T), rtol=1e-4)
        np.testing.assert_array_equal(found.features, features)

    def test_is_the_same_in_parts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        whole = reference_of(Greys())
        monkeypatch.setattr(_reference, "PART", 7)
        monkeypatch.setattr(_reference, "_recent", {})
        monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path / "other"))
        parts = reference_of(Greys())
        np.testing.assert_allclose(parts.moments.covariance, whole.moments.covariance)
        np.testing.assert_array_equal(parts.features, whole.features)

    @pytest.mark.parametrize("damaged", [False, True])
    def test_is_kept_and_computed_anew_where_it_is_damaged(
        self, damaged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier: ByBrightness
    ) -> None:
        """A stored reference is read, and a damaged one is computed again."""
        first = reference_of(Greys())
        (path,) = (tmp_path / "cache" / "classifiers").glob("features-*.npz")
        if damaged:
            path.write_bytes(path.read_bytes()[:200])
        monkeypatch.setattr(_reference, "_recent", {})
        classifier.seen = 0
        np.testing.assert_array_equal(reference_of(Greys()).features, first.features)
        assert classifier.seen == (60 if damaged else 0)


class TestRefusals:
    def test_images_without_labels(self, messages: Messages) -> None:
        """Metrics on features of the classifier refuse images without labels."""
        messages.check(refusal([ClassifierScore, FrechetClassifier], Unlabelled()), "METRIC", "unlabelled")

    def test_images_of_another_shape_than_their_classifiers(self, messages: Messages) -> None:
        """All metrics refuse images of another shape than those of the classifier."""
        messages.check(refusal(EVERY, Wide()), "METRIC", "wide", "greys")

    def test_classes_that_the_classifier_does_not_know(self, messages: Messages) -> None:
        """Metrics on classes refuse classes that are not labels of the classifier."""
        messages.check(refusal(BY_CLASS, Renamed()), "METRIC", "renamed", "greys")
        assert all(kind().refuses(Pair()) is None and kind().refuses(Stacked()) is None for kind in BY_CLASS)

    def test_points(self, messages: Messages) -> None:
        """Metrics on the output of the classifier refuse points."""
        kinds = [MajorityClasses, OutsideClasses, ClassifierScore, FrechetClassifier]
        messages.check(refusal(kinds, Ring8(Ring8.Params())), "METRIC", "ring8")

    def test_a_histogram_of_places_is_of_points(self, messages: Messages) -> None:
        """Metrics on the histogram of points refuse images."""
        messages.check(refusal([Wasserstein], Greys()), "METRIC", "greys")


class TestPreparation:
    def test_of_classes_that_the_data_know_is_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exact classes need no preparation and have no note."""
        monkeypatch.setattr(classifiers, "classifier_of", None)
        for kind in BY_CLASS:
            kind().prepare(Exact(), "cpu", print)
            assert kind().note(Exact()) == ""

    def test_trains_the_classifier_and_says_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Preparation trains the classifier, and the note identifies it."""
        asked: list[str] = []
        made = ByBrightness()

        def counted(dataset: ImageDataset, *given: Any) -> ByBrightness:
            asked.append(dataset.name)
            return made

        monkeypatch.setattr(classifiers, "classifier_of", counted)
        monkeypatch.setattr(classifiers, "record_of", lambda dataset: f"the classifier of {dataset.name}")
        for kind in EVERY:
            kind().prepare(Pair(), "cpu", print)
            assert kind().note(Pair()) == "the classifier of greys"
        assert asked == ["greys"] * len(EVERY)

    def test_notes_nothing_before(self) -> None:
        """The note is empty before preparation."""
        assert {kind().note(Pair()) for kind in EVERY} == {""}

    def test_metrics_on_modes_need_none_for_points(self) -> None:
        """Points need no preparation and have no note."""
        ring = Ring8(Ring8.Params())
        for kind in [*BY_CLASS[:-1], SlicedWasserstein]:
            kind().prepare(ring, "cpu", print)
            assert kind().note(ring) == ""


COLLAPSED = {"constant": [40] * 1200, "no class": [70] * 1200, "black": [0] * 1200}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", COLLAPSED)
def test_collapsed_generators_have_a_value(kind: type[Metric], name: str) -> None:
    """Without a sample of any class, only metrics that divide by their number are NaN."""
    generator = np.arange(1200) % 4
    found = value(kind, samples(flat(COLLAPSED[name]), Exact(), generator, 4))
    undefined = kind in (ModeKL, Purity, MutualInformation, MajorityClasses) and name != "constant"
    assert math.isnan(found) == undefined


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_values_do_not_depend_on_other_metrics_and_are_repeatable(kind: type[Metric]) -> None:
    """Values that other metrics store for the same samples do not change the result."""
    generator = np.arange(1000) % 2
    shared = samples(real(1000), Exact(), generator, 2)
    for other in EVERY:
        other().compute(shared)
    alone = kind().compute(samples(real(1000), Exact(), generator, 2))
    np.testing.assert_array_equal(kind().compute(shared), alone)


@pytest.mark.parametrize("kind", [k for k in EVERY if k.per_generator], ids=lambda kind: kind.name)
def test_without_an_index_generators_have_no_value(kind: type[Metric]) -> None:
    """Values are NaN for each of K generators."""
    assert np.isnan(kind().compute(samples(real(30), Exact(), k=3))).all()


def test_metrics_of_modes_are_all_tested_here() -> None:
    """This test fails for a new metric until it is in these lists."""
    from gan_bench_zoo import gan_bench_metrics

    on_images = {kind for kind in gan_bench_metrics() if issubclass(kind, ModeMetric | _classified.ClassifiedMetric)}
    assert on_images <= set(EVERY)
