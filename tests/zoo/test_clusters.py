"""Metrics of images without labels, whose modes are clusters of Inception features."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.metrics import _clusters, _inception, _reference
from gan_bench_zoo.metrics._clusters import Clusters, clustered, clusters_of, lloyd, nearest_of, spread
from gan_bench_zoo.metrics._inception_reference import reference
from gan_bench_zoo.metrics._modes import assignment, weights_of
from gan_bench_zoo.metrics.divergence import EPSILON, ForwardKL, ReverseKL, SymmetricKL
from gan_bench_zoo.metrics.modes import ModeKL, Modes
from gan_bench_zoo.metrics.sliced_wasserstein import SlicedWasserstein, _directions
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from gan_bench.contracts.metric import Metric
from gan_bench.contracts.observer import Observer
from gan_bench.errors import DataError
from gan_bench.running import run_benchmark
from gan_bench.running.engines import local
from gan_bench.store.run_folder import RunFolder
from tests.support import project, standin
from tests.support.messages import Messages
from tests.support.metrics import refusal
from tests.support.standin import StandIn
from tests.support.tiny_images import LEVELS, Greys
from tests.zoo.test_image_metrics import BY_CLASS, QUALITY, Exact, Unlabelled, flat, real, samples, value

EVERY: list[type[Metric]] = [*BY_CLASS, SlicedWasserstein]


@pytest.fixture(autouse=True)
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Data root with weights only, and as many clusters as levels of brightness."""
    standin.empty(tmp_path, monkeypatch)
    monkeypatch.setattr(_clusters, "CLUSTERS", len(LEVELS))
    return standin.install(tmp_path, monkeypatch)


def blobs(*sizes: int, d: int = 5, apart: float = 50.0) -> NDArray[np.float32]:
    """Return vectors near the corners of a simplex, with the given number near each."""
    rng = np.random.default_rng(0)
    centres = apart * np.eye(d)[: len(sizes)]
    return (np.repeat(centres, sizes, axis=0) + rng.normal(size=(sum(sizes), d))).astype(np.float32)


def noise(n: int, d: int = 6) -> NDArray[np.float32]:
    """Return vectors without clusters."""
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


class TestKMeans:
    def test_first_centres_are_different_vectors(self) -> None:
        """The initial centres are always the same."""
        x = noise(200)
        centres = spread(x, 20)
        assert len({row.tobytes() for row in centres}) == 20 and (cdist(centres, x).min(axis=1) == 0).all()
        np.testing.assert_array_equal(spread(x, 20), centres)

    def test_first_centres_are_far_apart(self) -> None:
        """With as many blobs as centres, each blob has one."""
        assert sorted(spread(blobs(30, 30, 30, 30), 4).argmax(axis=1)) == [0, 1, 2, 3]

    def test_of_few_different_vectors_has_no_more_centres_than_these(self) -> None:
        x = np.repeat(noise(3), 40, axis=0)
        assert len(spread(x, 10)) == 3 and len(clustered(x[:40]).centres) == 1

    def test_agrees_with_scipys(self) -> None:
        """From the same initial centres, the result equals scipy's."""
        x = noise(300)
        first = spread(x, 7)
        expected, mode = kmeans2(x, first, iter=_clusters.STEPS, minit="matrix")
        found = lloyd(x, first)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.array_equal(nearest_of(x, found), mode) and not np.allclose(found, first)

    def test_a_centre_that_nothing_is_near_to_stays_and_is_no_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A centre without vectors does not move, and is not a cluster."""
        x = blobs(10, 20)
        far = np.concatenate([x[[0, -1]], np.full((1, 5), 1e4, dtype=np.float32)])
        found = lloyd(x, far)
        np.testing.assert_array_equal(found[2], far[2])
        monkeypatch.setattr(_clusters, "spread", lambda *given: far)
        assert clustered(x).weights == pytest.approx([1 / 3, 2 / 3])

    def test_finds_blobs_and_their_shares(self) -> None:
        """Centres are the means of the blobs."""
        x = blobs(50, 30, 20)
        found = clustered(x)
        order = found.centres.argmax(axis=1)
        assert found.weights[np.argsort(order)].tolist() == [0.5, 0.3, 0.2]
        means = np.stack([part.mean(axis=0) for part in np.split(x, [50, 80])])
        np.testing.assert_allclose(found.centres[np.argsort(order)], means, rtol=1e-5)

    def test_nearest_is_the_nearest(self) -> None:
        x, centres = noise(400), noise(9) * 2
        assert np.array_equal(nearest_of(x, centres), cdist(x, centres).argmin(axis=1))

    @pytest.mark.parametrize(("images", "clusters"), [(5_000, 100), (990, 99), (60, 6), (7, 1)])
    def test_has_ten_vectors_a_cluster_on_average(
        self, images: int, clusters: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are at most a hundred clusters."""
        monkeypatch.undo()
        found = clustered(noise(images))
        assert len(found.centres) == clusters and found.weights.sum() == pytest.approx(1)


class TestKeeping:
    def test_is_computed_once_a_machine(self, network: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        """Clusters are computed from the reference features, and another process only reads them."""
        first = clusters_of(Unlabelled(), "cpu")
        expected = clustered(reference(Unlabelled(), "cpu").features)
        np.testing.assert_array_equal(first.centres, expected.centres)
        monkeypatch.setattr(_reference, "_recent", {})
        monkeypatch.setattr(_clusters, "clustered", None)
        again = clusters_of(Unlabelled(), "cpu")
        np.testing.assert_array_equal(again.centres, first.centres)
        np.testing.assert_array_equal(again.weights, first.weights)
        assert network.shown == 60

    @pytest.mark.parametrize("damage", ["torn", "of another kind"])
    def test_that_is_damaged_is_computed_anew(
        self, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Damaged clusters are computed again from the stored features."""
        first = clusters_of(Unlabelled(), "cpu")
        (path,) = (tmp_path / "cache" / "clusters").glob("*.npz")
        if damage == "torn":
            path.write_bytes(path.read_bytes()[:100])
        else:
            np.savez(path, centres=first.centres, weights=first.weights[:1])
        monkeypatch.setattr(_reference, "_recent", {})
        np.testing.assert_array_equal(clusters_of(Unlabelled(), "cpu").centres, first.centres)

    def test_of_other_images_is_another(self, tmp_path: Path) -> None:
        """Other images have separate clusters."""
        for count in (60, 63):
            clusters_of(Unlabelled(Greys.Params(count=count)), "cpu")
        assert len(list((tmp_path / "cache" / "clusters").glob("*.npz"))) == 2

    def test_digest_tells_other_centres(self) -> None:
        """Other centres have another digest."""
        a, b = (Clusters(noise(n), np.full(n, 1 / n)) for n in (3, 4))
        assert a.digest != b.digest and len(a.digest) == 8


class TestScores:
    def test_modes_are_the_clusters(self) -> None:
        """Each brightness is a mode, every image is of high quality, and weights are shares of the training set."""
        given = samples(flat([*LEVELS, *LEVELS, 45]), Unlabelled())
        found = assignment(given)
        assert len(set(found.mode[:3])) == 3 and found.high_quality.all()
        assert np.array_equal(found.mode[3:6], found.mode[:3]) and found.mode[6] == found.mode[0]
        assert weights_of(given).tolist() == pytest.approx([1 / 3] * 3)

    def test_agree_with_scipys_entropy(self) -> None:
        """The expected histogram is smoothed, and its cell "outside" is empty."""
        given = samples(flat([40] * 50 + [120] * 30 + [200] * 20), Unlabelled())
        p, q = ((1 - EPSILON) * np.array([*h, 0]) + EPSILON / 4 for h in ([1 / 3] * 3, [0.5, 0.3, 0.2]))
        forward, reverse = stats.entropy(p, q), stats.entropy(q, p)
        assert value(ForwardKL, given) == pytest.approx(forward)
        assert value(ReverseKL, given) == pytest.approx(reverse)
        assert value(SymmetricKL, given) == pytest.approx((forward + reverse) / 2)
        assert value(ModeKL, given) == pytest.approx(stats.entropy([0.5, 0.3, 0.2], [1 / 3] * 3))
        assert value(Modes, given) == 3

    def test_of_generators_on_a_cluster_each_are_as_on_a_class_each(self) -> None:
        """Values are the same for exact classes and for clusters."""
        generator = np.arange(300) % 3
        pixels = flat(np.array(LEVELS)[generator])
        for kind in BY_CLASS:
            by_class, by_cluster = (
                value(kind, samples(pixels, data, generator, 3)) for data in (Exact(), Unlabelled())
            )
            assert by_cluster == pytest.approx(by_class, abs=1e-12), kind.name

    def test_sliced_wasserstein_is_on_inceptions_features(self) -> None:
        """With as many samples as training images, the value is scipy's distance of two sets."""
        given = samples(real(60, seed=3), Unlabelled(), seed=5)
        found = _inception.features(given).double().numpy()
        true = reference(Unlabelled(), "cpu").features.astype(np.float64)
        expected = [stats.wasserstein_distance(found @ u, true @ u) for u in _directions(standin.SMALL, 5)]
        assert value(SlicedWasserstein, given) == pytest.approx(np.mean(expected), rel=1e-4)

    def test_look_at_no_image_twice(self, network: StandIn) -> None:
        """All metrics share the features of samples and of training images."""
        for kind in EVERY:
            kind().prepare(Unlabelled(), "cpu", print)
        given = samples(real(100), Unlabelled(), np.arange(100) % 2, 2)
        for kind in EVERY:
            kind().compute(given)
        assert network.shown == 60 + 100

    @pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
    def test_of_one_image_repeated_are_finite(self, kind: type[Metric]) -> None:
        assert math.isfinite(value(kind, samples(flat([90] * 200), Unlabelled(), np.arange(200) % 4, 4)))


class TestMetrics:
    @pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
    def test_are_expensive_where_inception_looks_at_samples(self, kind: type[Metric]) -> None:
        """Metrics on classes and on points are not expensive."""
        metric = kind()
        assert metric.refuses(Unlabelled()) is None and metric.is_expensive(Unlabelled())
        assert not any(metric.is_expensive(data) for data in (Greys(), Exact(), Ring8(Ring8.Params())))

    def test_refuse_what_inception_cannot_look_at(self, messages: Messages) -> None:
        """Images of two channels are refused."""
        messages.check(refusal(EVERY, Unlabelled(Greys.Params(channels=2))), "unlabelled", 2)

    def test_of_quality_are_refused(self, messages: Messages) -> None:
        """Quality is undefined, because every image has a nearest cluster."""
        messages.check(refusal(QUALITY, Unlabelled()), "METRIC", "unlabelled")

    def test_say_which_clusters(self, messages: Messages) -> None:
        """The note has the weights, the number of clusters and their digest. It is empty before they are computed."""
        assert SymmetricKL().note(Unlabelled()) == ""
        SymmetricKL().prepare(Unlabelled(), "cpu", print)
        digest = clusters_of(Unlabelled(), "cpu").digest
        weights = _inception.WHOLE, "0" * 12
        messages.check(SymmetricKL().note(Unlabelled()), *weights, 3, digest, hide={digest: "DIGEST"})
        messages.check(SlicedWasserstein().note(Unlabelled()), *weights, 60)

    @pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
    def test_without_weights_say_what_fetches_them(self, kind: type[Metric], tmp_path: Path) -> None:
        """Missing weights are reported with the command that downloads them. The note is empty."""
        (tmp_path / _inception.WHOLE).unlink()
        with pytest.raises(DataError, match="gan-bench data fetch inception"):
            kind().prepare(Unlabelled(), "cpu", print)
        assert kind().note(Unlabelled()) == ""


RUN = """
from tests.zoo.test_image_metrics import Unlabelled
from tests.support.tiny_images import Flat, Greys
from gan_bench import hookimpl

@hookimpl
def gan_bench_datasets():
    return [Unlabelled]

@hookimpl
def gan_bench_networks():
    return [Flat]
"""


def test_runs_compute_them_at_full_points_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: StandIn
) -> None:
    """With one full point, the metrics are computed at the first and last iteration, and the table has the note."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "grey.py").write_text(RUN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    described: dict[str, Any] = project.describe(
        [{"plugin": "mgan", "generators": 3}],
        dataset=[{"plugin": "unlabelled"}],
        protocol={"network": {"plugin": "flat", "hidden": 8}},
        evaluation={"metrics": ["symmetric_kl", "purity"], "samples": 100, "every": 10, "points": 1},
    )
    outcome = run_benchmark.run(project.plan(described, tmp_path / "results"), Observer())
    assert outcome.counts == {"finished": 1}
    (path,) = project.run_folders(tmp_path / "results")
    rows = [row for row in RunFolder(path).read_curve() if row["metric"] in ("symmetric_kl", "purity")]
    assert {row["iteration"] for row in rows} == {"0", str(project.ITERATIONS)}
    assert network.shown == 60 + 2 * 100
    table = (tmp_path / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
    assert clusters_of(Unlabelled(), "cpu").digest in table
