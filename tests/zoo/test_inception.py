"""Inception Score, FID, KID, precision and recall: formulas, torch-fidelity's command, and cached references.

Most tests use a small network instead of Inception. Tests with the real network need GAN_BENCH_DATA.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.metrics import _inception, _reference, fid, inception_score, precision_recall
from gan_bench_zoo.metrics._inception import FEATURES, SHA256, TRUNK, TRUNK_SHA256, WHOLE, Inception, InceptionMetric
from gan_bench_zoo.metrics._inception_reference import ReferenceMetric, path_of, reference, reference_features
from gan_bench_zoo.metrics._reference import PART, Reference, moments
from gan_bench_zoo.metrics.fid import FID, FID5k, FID10k, GeneratorFID5k, fitted, frechet
from gan_bench_zoo.metrics.inception_score import InceptionScore, InceptionScore5k, InceptionScore10k, InceptionScoreSD
from gan_bench_zoo.metrics.kid import KID, kernel_distance
from gan_bench_zoo.metrics.precision_recall import GeneratorPrecision, Precision, Recall
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.contracts.metric import Samples
from gan_bench.contracts.observer import Observer
from gan_bench.errors import DataError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Origin, Registry
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.store.run_folder import RunFolder
from gan_bench.testing import checks
from tests.support import project, standin
from tests.support.messages import Messages
from tests.support.metrics import refusal
from tests.support.standin import StandIn
from tests.support.tiny import Ring
from tests.support.tiny_images import Greys

COMPARING: list[type[InceptionMetric]] = [
    FID,
    FID10k,
    FID5k,
    GeneratorFID5k,
    KID,
    Precision,
    Recall,
    GeneratorPrecision,
]
SCORING: list[type[InceptionMetric]] = [InceptionScore, InceptionScore10k, InceptionScore5k, InceptionScoreSD]


@pytest.fixture(autouse=True)
def few_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow reference sets of a few dozen images. The least number has a separate test."""
    for metric in (ReferenceMetric, FID, GeneratorFID5k):
        monkeypatch.setattr(metric, "least_real", 1)


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folder for data and caches."""
    standin.empty(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def stand_in(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The small network in place of Inception, with a file of weights."""
    return standin.install(data_root, monkeypatch)


def greys(count: int = 60, channels: int = 1) -> Greys:
    """Return grey squares."""
    return Greys(Greys.Params(count=count, channels=channels))


def samples_of(x: NDArray[np.uint8], dataset: Greys | None = None, **more: Any) -> Samples:
    """Return images as samples of a model."""
    return Samples(None, dataset or greys(), pixels=torch.from_numpy(x), **more)


def some(n: int, seed: int = 1, channels: int = 1) -> NDArray[np.uint8]:
    """Return images (n, channels, 8, 8) of noise."""
    return np.random.default_rng(seed).integers(0, 256, (n, channels, 8, 8), dtype=np.uint8)


def normal(n: int, d: int, *, seed: int = 0, shift: float = 0.0) -> Tensor:
    """Return normally distributed vectors (n, d)."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


class TestFeatures:
    def test_of_grey_images_are_those_of_the_same_in_colour(self, stand_in: StandIn) -> None:
        """A grey image is converted to three equal channels."""
        grey = some(5)
        colour = samples_of(np.repeat(grey, 3, axis=1), greys(channels=3))
        assert torch.equal(_inception.features(samples_of(grey)), _inception.features(colour))

    def test_look_at_no_image_twice(self, stand_in: StandIn) -> None:
        """Metrics of fewer and of more samples share features, in any order."""
        samples = samples_of(some(300))
        few, all_, again = (_inception.features(samples, n) for n in (40, None, 100))
        assert (len(few), len(all_), len(again)) == (40, 300, 100)
        assert stand_in.shown == 300
        assert torch.equal(all_[:40], few) and torch.equal(all_[:100], again)

    def test_go_through_the_network_in_batches_that_nothing_else_decides(
        self, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Batches do not depend on the choice of metrics: the last bits of a convolution can depend on the batch."""
        seen: list[list[int]] = []
        for order in ((None,), (7, 40, None)):
            sizes: list[int] = []
            monkeypatch.setattr(
                stand_in, "forward", lambda x, sizes=sizes: (sizes.append(len(x)), StandIn.forward(stand_in, x))[1]
            )
            samples = samples_of(some(100))
            for first in order:
                _inception.features(samples, first)
            seen.append(sizes)
        assert seen[0] == seen[1] == [32, 32, 32, 4]


class Attack:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class TestWeights:
    def test_that_are_missing_are_named_with_what_fetches_them(self, data_root: Path, messages: Messages) -> None:
        """Before a run, missing weights are reported with their path and the command to download them."""
        with messages.raises(DataError, data_root / WHOLE, "gan-bench data fetch inception"):
            FID().prepare(greys(), "cpu", print)
        assert FID().note(greys()) == ""

    def test_of_the_published_name_have_the_published_checksum(self, data_root: Path, messages: Messages) -> None:
        """A file with another checksum is an error."""
        (data_root / WHOLE).write_bytes(b"half of it")
        with messages.raises(DataError, data_root / WHOLE, SHA256):
            FID().prepare(greys(), "cpu", print)

    def test_are_never_unpickled(self, data_root: Path, messages: Messages) -> None:
        """Code in a pickle is not executed."""
        mark = data_root / "mark"
        (data_root / TRUNK).write_bytes(pickle.dumps(Attack(mark)))
        with messages.raises(DataError, data_root / TRUNK):
            FID().prepare(greys(), "cpu", print)
        torch.save({"x": Attack(mark)}, data_root / TRUNK)
        with messages.raises(DataError, data_root / TRUNK):
            FID().prepare(greys(), "cpu", print)
        assert not mark.exists()

    def test_of_another_network_are_refused(self, data_root: Path) -> None:
        """Weights must have the names and shapes of Inception. The reason is in torch's words."""
        torch.save({"fc.weight": torch.zeros(3)}, data_root / TRUNK)
        with pytest.raises(DataError, match=rf"{TRUNK} .*Missing key"):
            FID().prepare(greys(), "cpu", print)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ({"fc.weight": torch.full((3,), float("nan"))}, "fc.weight"),
            ([torch.zeros(3)], ""),
            ({"fc.weight": "text"}, ""),
        ],
        ids=["not finite", "no names", "no tensors"],
    )
    def test_of_other_contents_are_refused(self, data_root: Path, content: Any, found: str, messages: Messages) -> None:
        """A file of weights contains finite tensors by name."""
        torch.save(content, data_root / TRUNK)
        with messages.raises(DataError, data_root / TRUNK, found):
            FID().prepare(greys(), "cpu", print)

    def test_of_the_right_shapes_are_not_enough(
        self, data_root: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """The hash of the layers is compared, because any network of these shapes returns some distance."""
        monkeypatch.setattr(_inception, "_built", lambda path, state: torch.nn.Identity())
        torch.save({"fc.weight": torch.zeros(3), "conv.weight": torch.ones(3)}, data_root / TRUNK)
        with messages.raises(DataError, data_root / TRUNK, TRUNK_SHA256[:12]):
            FID().prepare(greys(), "cpu", print)

    def test_are_fetched_from_where_torch_fidelity_has_them(
        self, data_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All metrics have the same download, verified by the whole checksum."""
        asked: list[Any] = []
        monkeypatch.setattr(_inception, "download", lambda *arguments: asked.append(arguments[:3]))
        for metric in COMPARING + SCORING:
            metric.fetchable["inception"].fetch(print)
        assert len(set(asked)) == 1
        url, path, checksum = asked[0]
        assert url.endswith(f"/{WHOLE}") and path == data_root / WHOLE and checksum == SHA256

    def test_without_a_last_layer_give_no_inception_score(
        self, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A missing last layer is reported before the run, and other metrics are not affected."""
        monkeypatch.setattr(_inception, "_loaded", lambda *_: Inception(stand_in, TRUNK, "0" * 64, "trunk", False))
        for metric in SCORING:
            with pytest.raises(DataError, match=TRUNK):
                metric().prepare(greys(), "cpu", print)
        with messages.raises(DataError, TRUNK, "gan-bench data fetch inception", WHOLE):
            InceptionScore5k().compute(samples_of(some(5_000)))
        FID5k().prepare(greys(), "cpu", print)


class TestMetrics:
    def test_are_of_grey_or_colour_images(self, messages: Messages) -> None:
        """Points, and images of two channels, are refused."""
        for metric in COMPARING + SCORING:
            assert metric.expensive
            assert metric().refuses(greys()) is None and metric().refuses(greys(channels=3)) is None
        messages.check(refusal(COMPARING + SCORING, greys(channels=2)), "greys", 2)
        messages.check(refusal(COMPARING + SCORING, Ring()), "METRIC", "ring8")

    def test_say_which_weights_and_how_many_images(self, stand_in: StandIn, messages: Messages) -> None:
        """The note has the weights, and for distances the number of training images."""
        messages.check(FID().note(greys(70)), WHOLE, "0" * 12, 70)
        messages.check(InceptionScore().note(greys(70)), WHOLE, "0" * 12)

    def test_of_a_name_with_a_number_take_as_many_of_the_first(self, stand_in: StandIn) -> None:
        """Samples after the first ones of that number do not change the value."""
        x = some(5_200)
        for metric in (FID5k(), InceptionScore5k()):
            assert metric.compute(samples_of(x)) == metric.compute(samples_of(x[:5_000]))

    def test_of_real_images_read_well(self, stand_in: StandIn) -> None:
        """For the training images themselves, distances are 0, precision and recall are 1."""
        data = greys(1_000)
        samples = samples_of(data.training().x, data)
        distance = frechet(fitted(_inception.features(samples)), reference(data, "cpu").moments)
        assert distance == pytest.approx(0, abs=1e-2)  # not 0 because of rounding, of singular covariances
        assert abs(KID().compute(samples)) < 1e-2
        assert min(Precision().compute(samples), Recall().compute(samples)) > 0.99  # distances are rounded

    def test_of_one_image_repeated_are_finite(self, stand_in: StandIn) -> None:
        """The value of a collapsed generator is finite, although its covariance is zero."""
        samples = samples_of(np.repeat(some(1), 5_000, axis=0), generator=np.zeros(5_000))
        for metric in (FID5k, KID, Precision, Recall, InceptionScore5k, GeneratorFID5k, GeneratorPrecision):
            assert np.isfinite(metric().compute(samples)).all(), metric.name
        assert InceptionScore5k().compute(samples) == pytest.approx(1, abs=1e-6)
        assert Recall().compute(samples) <= 0.1


class TestGenerators:
    def test_have_a_distance_where_they_made_enough(self, stand_in: StandIn) -> None:
        """The distance is that of the first 5,000 samples of a generator. It is NaN for fewer, and without an index."""
        x = some(9_999)
        index = np.repeat([0, 1, 2], [5_000, 4_999, 0])
        value = GeneratorFID5k().compute(samples_of(x, generator=index, generators=3))
        assert value[0] == FID5k().compute(samples_of(x[:5_000])) and np.isnan(value[1:]).all()
        assert np.isnan(GeneratorFID5k().compute(samples_of(x))).all()

    def test_have_a_precision_of_their_own(self, stand_in: StandIn) -> None:
        """The generators have real images, noise, and only three samples."""
        data = greys(600)
        x = np.concatenate([data.training().x[:500], some(500), some(3)])
        index = np.repeat([0, 1, 2], [500, 500, 3])
        real, noise, few = GeneratorPrecision().compute(samples_of(x, data, generator=index, generators=3))
        assert real > 0.99 and noise < 0.5 and np.isnan(few)
        assert np.isnan(GeneratorPrecision().compute(samples_of(x, data))).all()


class TestInceptionScore:
    def test_is_the_exponential_of_the_mean_divergence(self) -> None:
        """The score equals the formula in numpy."""
        logits = normal(40, 7, seed=3).double() * 2
        p = np.exp(logits.numpy())
        p /= p.sum(axis=1, keepdims=True)
        expected = np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean())
        assert inception_score.of_logits(logits) == pytest.approx(expected, rel=1e-9)

    def test_of_sure_and_even_classes_is_their_number(self) -> None:
        """The score is the number of classes, and 1 if all samples are classified alike."""
        sure = torch.eye(8).repeat(10, 1) * 50
        assert inception_score.of_logits(sure) == pytest.approx(8, rel=1e-6)
        assert inception_score.of_logits(torch.ones(80, 8)) == pytest.approx(1, rel=1e-6)

    def test_is_of_tenths_in_random_order(self) -> None:
        """Samples are shuffled: if they are ordered by class, the score of each tenth would be 1."""
        by_class = torch.eye(10).repeat_interleave(500, 0) * 50
        scores = inception_score.of_parts(by_class, lambda features: features)
        assert scores.shape == (10,) and scores.min() > 9.8

    def test_equals_that_of_torch_fidelity(self) -> None:
        """Mean and population standard deviation over ten parts equal torch-fidelity's."""
        from torch_fidelity.metric_isc import isc_features_to_metric

        logits = normal(1_003, 12) * 3
        scores = inception_score.of_parts(logits, lambda features: features)
        expected = isc_features_to_metric(logits)
        assert scores.mean() == pytest.approx(expected["inception_score_mean"], rel=1e-9)
        assert scores.std() == pytest.approx(expected["inception_score_std"], rel=1e-9)

    def test_has_its_spread_beside_it(self, stand_in: StandIn) -> None:
        """Mean and standard deviation are those of the same ten parts."""
        samples = samples_of(some(5_000))
        scores = inception_score._scores(samples, 5_000)
        assert InceptionScore5k().compute(samples) == scores.mean()
        assert InceptionScoreSD().compute(samples) == pytest.approx(scores.std(), rel=1e-9)


class TestMoments:
    def test_are_those_of_numpy(self) -> None:
        """Moments do not depend on the division of vectors into parts."""
        x = normal(500, 20, shift=100).numpy()
        found = moments(iter((x[:3], x[3:200], x[200:])))
        assert found.count == 500
        assert np.allclose(found.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
        assert np.allclose(found.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12)

    def test_of_equal_vectors_have_no_covariance(self) -> None:
        """The covariance of equal vectors is exactly 0."""
        found = moments([np.full((7, 3), 0.1, dtype=np.float32)] * 2)
        assert not found.covariance.any() and np.array_equal(found.mean, np.full(3, np.float32(0.1), np.float64))


class TestFID:
    def test_is_the_distance_of_gaussians(self) -> None:
        """The distance equals that with scipy's matrix square root."""
        a, b = (fitted(normal(400, 6, seed=seed, shift=seed) @ normal(6, 6, seed=9 + seed)) for seed in (0, 1))
        root = np.real(sqrtm(a.covariance @ b.covariance))
        expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)
        assert frechet(a, b) == pytest.approx(expected, rel=1e-6)

    def test_of_shifted_copies_is_the_square_of_the_shift(self) -> None:
        """For equal covariances the value is the squared distance of the means: 5 dimensions, each 2 away."""
        a, b = (fitted(normal(300, 5, shift=shift)) for shift in (0, 2))
        assert frechet(a, b) == pytest.approx(20, rel=1e-4)

    def test_of_fewer_samples_than_features_is_finite(self) -> None:
        """The distance is finite for singular covariances."""
        a, b = (fitted(normal(10, 50, seed=seed)) for seed in (0, 1))
        assert np.isfinite(frechet(a, b)) and frechet(a, b) > 0


class TestKID:
    def test_is_the_unbiased_discrepancy_of_a_cubic_kernel(self) -> None:
        """If subsets contain all vectors, the value is the double sum."""
        x, y = normal(30, 16).double(), normal(30, 16, seed=1, shift=0.5).double()

        def kernel(a: Tensor, b: Tensor) -> NDArray[np.float64]:
            k: NDArray[np.float64] = ((a @ b.T / 16 + 1) ** 3).numpy()
            return k

        def off(k: NDArray[np.float64]) -> float:
            return float((k.sum() - np.trace(k)) / (30 * 29))

        expected = off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()
        assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)

    def test_of_one_distribution_lies_about_zero(self) -> None:
        """The value is about 0 for one distribution, and 0 for equal features."""
        assert abs(kernel_distance(normal(500, 16), normal(500, 16, seed=1), 100)) < 0.02
        assert kernel_distance(torch.ones(50, 16), torch.ones(50, 16)) == pytest.approx(0, abs=1e-6)


class TestPrecisionRecall:
    def test_are_shares_within_balls_of_the_third_neighbour(self) -> None:
        """Shares equal those from a matrix of all distances."""
        model, real = normal(150, 3, shift=0.7).double(), normal(120, 3, seed=1).double()
        found = precision_recall.precision_recall(model, real)

        def within(x: Tensor, centres: Tensor) -> float:
            radius = np.sort(cdist(centres, centres), axis=1)[:, 3]
            return float((cdist(x, centres) <= radius).any(axis=1).mean())

        assert found.precision == pytest.approx(within(model, real), abs=1e-6)
        assert found.recall == pytest.approx(within(real, model), abs=1e-6)
        assert 0 < found.precision < 1 and 0 < found.recall < 1

    def test_tell_repetition_from_cover(self) -> None:
        """A repeated real point has precision 1 and recall 0. Noise around the data has recall above precision."""
        real = normal(200, 4)
        repeated = precision_recall.precision_recall(real[:1].repeat(200, 1), real)
        spread = precision_recall.precision_recall(normal(200, 4, seed=1) * 5, real)
        assert repeated.precision == 1 and repeated.recall < 0.02
        assert spread.precision < 0.5 < spread.recall


class Plain(Greys):
    """Dataset of given images."""

    def __init__(self, x: NDArray[np.uint8]) -> None:
        ImageDataset.__init__(self, Greys.Params())
        self._made = [Pictures(x), Pictures(x)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._made[0].x.shape[1:]


RUN = """
from tests.zoo.test_inception import Greys
from tests.support.tiny_images import Flat
from gan_bench import hookimpl

@hookimpl
def gan_bench_datasets():
    return [Greys]

@hookimpl
def gan_bench_networks():
    return [Flat]
"""


class TestRuns:
    def test_score_what_they_prepared(self, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a run, real images are processed once and samples at each full point, and the table has the note."""
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "grey.py").write_text(RUN)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        described = project.describe(
            [{"plugin": "mgan", "generators": 3}],
            dataset=[{"plugin": "greys"}],
            protocol={"network": {"plugin": "flat", "hidden": 8}},
            evaluation={"metrics": ["kid", "generator_precision"], "samples": 1_000, "points": 1},
        )
        outcome = run_benchmark.run(project.plan(described, tmp_path / "results"), Observer())
        assert outcome.counts == {"finished": 1}
        assert stand_in.shown == 60 + 2 * 1_000
        (path,) = project.run_folders(tmp_path / "results")
        rows = [row for row in RunFolder(path).read_curve() if row["metric"] in ("kid", "generator_precision")]
        assert len(rows) == 2 * (1 + 1 + 3) and all(np.isfinite(float(row["value"])) for row in rows)
        table = (tmp_path / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert KID().note(greys()) in table


class TestReference:
    @pytest.fixture(autouse=True)
    def _with_stand_in(self, stand_in: StandIn) -> None:
        self.network = stand_in

    @pytest.mark.parametrize("metric", [FID, KID, Precision])
    def test_of_too_few_images_is_refused(
        self, metric: type[ReferenceMetric], monkeypatch: pytest.MonkeyPatch, data_root: Path, messages: Messages
    ) -> None:
        """A set with too few training images is reported with both numbers."""
        monkeypatch.setattr(metric, "least_real", 61)
        monkeypatch.setattr(InceptionMetric, "prepare", lambda *_: None)
        with messages.raises(DataError, metric.name, 61, "greys", 60):
            metric().prepare(greys(), "cpu", print)

    def forget(self) -> None:
        """Unload all references, as in a new process."""
        _reference._recent.clear()

    def same(self, a: Reference, b: Reference) -> bool:
        pairs = (
            (a.moments.mean, b.moments.mean),
            (a.moments.covariance, b.moments.covariance),
            (a.features, b.features),
        )
        return a.moments.count == b.moments.count and all(np.array_equal(x, y) for x, y in pairs)

    def test_is_of_all_training_images(self) -> None:
        """The reference has the moments of all training images and, if they are few, all features."""
        data = greys(2 * PART + 5)
        found = reference(data, "cpu")
        features = _inception.features(samples_of(data.training().x, data)).numpy()
        assert np.array_equal(found.features, features) and np.array_equal(reference_features(data), features)
        assert found.moments.count == len(features)
        assert np.allclose(found.moments.mean, features.mean(axis=0, dtype=np.float64))
        assert np.allclose(found.moments.covariance, np.cov(features.astype(np.float64), rowvar=False), atol=1e-9)

    def test_keeps_the_features_of_some_of_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Features are those of a fixed choice of different images from the whole set."""
        monkeypatch.setattr(_reference, "CHOSEN", 100)
        data = greys(700)
        features = _inception.features(samples_of(data.training().x, data)).numpy()
        chosen = _reference.chosen(700)
        assert len(set(chosen)) == 100 and chosen.min() < 50 and chosen.max() > 650
        assert np.array_equal(reference(data, "cpu").features, features[chosen])

    def test_is_computed_once_a_machine(self) -> None:
        """Another process reads the stored reference. It does not depend on labels."""
        prepared: list[str] = []
        FID().prepare(greys(), "cpu", prepared.append)
        first, shown = reference(greys(), "cpu"), self.network.shown
        self.forget()
        assert self.same(first, reference(Plain(greys().training().x), "cpu"))
        assert self.network.shown == shown == 60

    @pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no more", None], ids=["empty", "torn", "flipped"])
    def test_that_is_damaged_is_computed_anew(self, damage: bytes | None, data_root: Path) -> None:
        """A damaged file is computed again."""
        first = reference(greys(), "cpu")
        (path,) = (data_root / "cache" / "inception").glob("*.npz")
        if damage is None:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            damage = bytes(content)
        path.write_bytes(damage)
        self.forget()
        assert self.same(first, reference(greys(), "cpu"))
        assert self.network.shown == 120
        assert path.stat().st_size > 1_000

    def test_of_other_images_or_layers_is_another(self, monkeypatch: pytest.MonkeyPatch, data_root: Path) -> None:
        """A change of one pixel, or of the layers, results in another file."""
        x = some(20)
        other = x.copy()
        other[7, 0, 3, 3] ^= 1
        first, second = (reference(Plain(each), "cpu") for each in (x, other))
        monkeypatch.setattr(_inception, "_loaded", lambda *_: Inception(self.network, TRUNK, "0" * 64, "others", True))
        reference(Plain(x), "cpu")
        assert not self.same(first, second)
        assert len(list((data_root / "cache" / "inception").glob("*.npz"))) == 3

    def test_says_how_long_it_takes(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """A long computation is reported after the first images, and then every tenth."""
        clock = iter(np.arange(0.0, 1e6, 100.0))
        monkeypatch.setattr(_reference, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        told: list[str] = []
        reference(greys(4 * PART), "cpu", told.append)
        values = ("5 min", "50 %, 3 min", "70 %, 2 min", "100 %, 0 s")
        for line, value in zip(told, values, strict=True):
            messages.check(line, "1,024", "greys", value)

    def interrupted(self, monkeypatch: pytest.MonkeyPatch, data: Greys, after: int) -> Path:
        """Stop the computation of a reference after a number of images, and return the unfinished file."""
        features = Inception.features

        def stopping(network: Inception, x: Tensor) -> Tensor:
            if self.network.shown >= after:
                raise KeyboardInterrupt
            return features(network, x)

        with monkeypatch.context() as patch:
            patch.setattr(_reference, "KEPT_EVERY", 0.0)
            patch.setattr(Inception, "features", stopping)
            with pytest.raises(KeyboardInterrupt):
                reference(data, "cpu")
        self.forget()
        return _reference.unfinished(path_of(data))

    def test_that_is_interrupted_goes_on(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """A resumed computation returns the same bits, processes no image twice, and removes the unfinished file."""
        monkeypatch.setattr(_reference, "CHOSEN", 300)
        data = greys(4 * PART + 5)
        whole = reference(data, "cpu")
        path_of(data).unlink()
        self.forget()
        self.network.shown = 0
        unfinished = self.interrupted(monkeypatch, data, 3 * PART)
        assert unfinished.is_file()
        told: list[str] = []
        assert self.same(whole, reference(data, "cpu", told.append))
        assert self.network.shown == 4 * PART + 5
        messages.check(told[0], "greys", 3 * PART)
        assert not unfinished.exists() and path_of(data).is_file()

    @pytest.mark.parametrize("damage", ["torn", "flipped", "others"])
    def test_that_was_interrupted_and_damaged_begins_anew(self, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A damaged unfinished file is ignored."""
        data = greys(3 * PART)
        unfinished = self.interrupted(monkeypatch, data, 2 * PART)
        content = bytearray(unfinished.read_bytes())
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        unfinished.write_bytes(bytes(content[:-100] if damage == "torn" else content))
        if damage == "others":
            with unfinished.open("wb") as file:
                np.savez(file, count=PART, origin=[0.0], total=[0.0], products=[[0.0]], features=[[0.0]])
        self.network.shown = 0
        reference(data, "cpu")
        assert self.network.shown == 3 * PART

    def test_of_other_images_goes_on_with_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The name of an unfinished file depends on the images."""
        self.interrupted(monkeypatch, greys(3 * PART), 2 * PART)
        self.network.shown = 0
        reference(greys(3 * PART, channels=3), "cpu")
        assert self.network.shown == 3 * PART

    def test_that_was_whole_takes_what_is_left_away(self) -> None:
        """An unfinished file next to a finished one is removed."""
        data = greys()
        reference(data, "cpu")
        self.forget()
        left = _reference.unfinished(path_of(data))
        left.write_bytes(b"left")
        reference(data, "cpu")
        assert not left.exists() and self.network.shown == 60

    def test_needs_no_room_for_what_is_half_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A computation whose unfinished file cannot be written is not interrupted."""
        monkeypatch.setattr(_reference, "KEPT_EVERY", 0.0)
        data = greys(2 * PART)
        _reference.unfinished(path_of(data)).mkdir(parents=True)
        assert reference(data, "cpu").moments.count == 2 * PART

    def test_of_what_was_begun_is_told_in_time(self, messages: Messages) -> None:
        """The remaining time is estimated from the images of this process."""
        told: list[str] = []
        clock = iter([0.0, 1000.0, 1100.0, 1300.0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_reference, "time", SimpleNamespace(monotonic=lambda: next(clock)))
            progress = _reference.Progress("Features", 1000, told.append)
            progress.go_on(400)
            progress.at(500)
            progress.at(700)
        for line, value in zip(told, ("400", "8 min", "70 %, 5 min"), strict=True):
            messages.check(line, "Features", value)

    def test_that_is_quick_is_not_spoken_of(self) -> None:
        """A short computation is not reported."""
        told: list[str] = []
        reference(greys(), "cpu", told.append)
        assert told == []


# --- the contract ---------------------------------------------------------------------------------------------


class Coloured(Greys):
    """Grey squares with three channels."""

    name = "coloured"

    def __init__(self, params: Any = None) -> None:
        super().__init__(Greys.Params(count=240, channels=3))


def faults_of(metric: type[InceptionMetric]) -> list[str]:
    """Return the faults that the kit finds in a metric of a few images, and the checks that it skips."""
    registry = Registry()
    registry.add("datasets", Coloured, Origin("tests", "1", __name__))
    reports = [check.report() for check in checks(metric, registry)]
    return [str(each.finding or each.skipped) for each in reports if each.finding or each.skipped]


class TestContract:
    @pytest.mark.parametrize("metric", [*COMPARING, *SCORING], ids=lambda metric: metric.name)
    def test_is_kept(self, metric: type[InceptionMetric], stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every check of the kit passes, and no check is skipped."""
        monkeypatch.setattr(metric, "needs", 60)
        monkeypatch.setattr(fid, "EACH", 20)
        assert faults_of(metric) == []

    def test_is_kept_where_three_generators_have_few_samples_each(
        self, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kit passes although three generators have too few samples each: real data count as one generator."""
        monkeypatch.setattr(fid, "EACH", 100)
        assert faults_of(GeneratorFID5k) == []

    def test_is_checked_of_every_metric(self) -> None:
        """The test above covers all Inception metrics of the zoo; `tests/testing` covers none."""
        of_zoo = {cls for cls in load_plugins().all("metrics").values() if issubclass(cls, InceptionMetric)}
        assert of_zoo == {*COMPARING, *SCORING}


# --- the real network -----------------------------------------------------------------------------------------


@pytest.fixture
def real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder GAN_BENCH_DATA. Its weights are linked to another folder, so that no caches are written to it."""
    found = Path(os.environ.get("GAN_BENCH_DATA", ""))
    names = [name for name in (WHOLE, TRUNK) if os.environ.get("GAN_BENCH_DATA") and (found / name).is_file()]
    if not names:
        pytest.skip("the weights of Inception are missing: set GAN_BENCH_DATA to a folder that contains them")
    for name in names:
        (tmp_path / name).symlink_to(found / name)
    standin.empty(tmp_path, monkeypatch)
    return found


def smooth(n: int, seed: int) -> NDArray[np.uint8]:
    """Return colour images (n, 3, 32, 32) of large blots, which differ in Inception features."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    grown = [np.asarray(Image.fromarray(each).resize((32, 32), Image.Resampling.BICUBIC)) for each in coarse]
    return np.stack(grown).transpose(0, 3, 1, 2)


def write_pngs(folder: Path, x: NDArray[np.uint8]) -> str:
    """Write each image to a numbered file, and return the folder."""
    folder.mkdir()
    for i, image in enumerate(x.transpose(0, 2, 3, 1)):
        Image.fromarray(image).save(folder / f"{i:05d}.png")
    return str(folder)


class TestRealNetwork:
    @pytest.mark.real
    def test_scores_as_the_command_of_torch_fidelity(self, real_data: Path, tmp_path: Path) -> None:
        """Scores of images as tensors equal those of the command for two folders of files."""
        from torch_fidelity import calculate_metrics

        model, real = smooth(64, 0), smooth(64, 1) // 2 + 64
        (weights,) = tmp_path.glob("*.pth")
        expected = calculate_metrics(
            input1=write_pngs(tmp_path / "model", model),
            input2=write_pngs(tmp_path / "real", real),
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(weights),
            cuda=False,
            cache=False,
            fid=True,
            kid=True,
            prc=True,
            kid_subset_size=50,
            save_cpu_ram=True,
            verbose=False,
        )
        data = Plain(real)
        found, kept = _inception.features(samples_of(model, data)), reference(data, "cpu")
        assert frechet(fitted(found), kept.moments) == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)
        theirs = torch.from_numpy(kept.features)
        distance = kernel_distance(found, theirs, 50)
        assert distance == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3)
        shares = precision_recall.precision_recall(found, theirs)
        assert (shares.precision, shares.recall) == pytest.approx((expected["precision"], expected["recall"]), rel=1e-3)

    @pytest.mark.data
    def test_is_built_without_a_draw_from_the_global_stream(self, real_data: Path) -> None:
        """The global stream is not changed. The network has 2048 features and 1008 logits."""
        _inception._loaded.cache_clear()
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        network = _inception.inception()
        assert torch.equal(torch.rand(3), expected)
        features = network.features(torch.from_numpy(some(2)))
        assert features.shape == (2, FEATURES) and network.logits(features).shape == (2, 1008)
        assert network.classifies == (network.file == WHOLE)

    @pytest.mark.real
    def test_keeps_to_the_distance_of_cifar10s_first_images(self, real_data: Path, tmp_path: Path) -> None:
        """The distance of 5,000 training from 5,000 test images is 10.3194, as in torch-fidelity 0.4 on a CPU.

        It takes half an hour.
        """
        from gan_bench_zoo.datasets.cifar10 import CIFAR10

        if not (real_data / "cifar-10-batches-py").is_dir():
            pytest.skip("CIFAR-10 is missing in the folder GAN_BENCH_DATA")
        (tmp_path / "cifar-10-batches-py").symlink_to(real_data / "cifar-10-batches-py")
        data = CIFAR10(CIFAR10.Params())
        first = Plain(np.array(data.training().x[:5_000]))
        x = np.array(data.testing().x[:5_000])
        assert FID5k().compute(samples_of(x, first)) == pytest.approx(10.3194, abs=1e-3)
