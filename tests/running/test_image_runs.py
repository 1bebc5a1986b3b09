"""Image benchmarks from file to results. Real processes are in test_engines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.anchors import RealData, Untrained
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.networks.dcgan import DCGAN

import gan_bench
from gan_bench.api import load_run
from gan_bench.contracts.metric import Metric, Samples
from gan_bench.contracts.observer import Observer
from gan_bench.errors import ConfigError, DataError, Diverged, UsageError
from gan_bench.evaluation import evaluate as evaluation
from gan_bench.evaluation import score_samples
from gan_bench.evaluation.evaluate import check_finite, draw, evaluate, evaluated_by_initial_averages, fixed
from gan_bench.planning.planned import Planned
from gan_bench.plugins.discovery import load_plugins
from gan_bench.report.tables.build import render
from gan_bench.results.load import read_benchmark
from gan_bench.running import prepare_data, run_benchmark
from gan_bench.running.engines import local
from gan_bench.running.repeated_draws import repeat
from gan_bench.running.rescore import rescore
from gan_bench.running.run_benchmark import BenchmarkOutcome
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer
from tests.support import project
from tests.support.messages import Messages
from tests.support.tiny import CPU, protocol
from tests.support.tiny_images import LEVELS, SIZE, Greys, image_trainer

PLUGIN = """
from tests.support.tiny_images import Absent, Flat, Greys
from tests.running.test_image_runs import AlsoPrepared, Brightness, Many, Prepared, Seen
from gan_bench import hookimpl

@hookimpl
def gan_bench_datasets():
    return [Greys, Absent]

@hookimpl
def gan_bench_networks():
    return [Flat]

@hookimpl
def gan_bench_metrics():
    return [Brightness, Many, Prepared, AlsoPrepared, Seen]
"""


class Brightness(Metric):
    """The mean level of all pixels."""

    name, direction, unit = "brightness", "none", "levels"

    def compute(self, samples: Samples) -> float:
        assert samples.pixels is not None
        return float(samples.pixels.double().mean())


class Many(Brightness):
    """The same, from at least 100 samples."""

    name, needs = "brightness_100", 100


class Prepared(Brightness):
    """The same, prepared for a dataset with a message and a note."""

    name = "prepared"

    def prepare(self, dataset: Any, device: str, log: Any) -> None:
        log(f"preparing for {dataset.name} on {device}")

    def note(self, dataset: Any) -> str:
        return f"by a classifier of {dataset.name}"


class AlsoPrepared(Prepared):
    """The same under another name."""

    name = "also_prepared"


class Seen(Brightness):
    """Number of training images of the dataset that a metric receives."""

    name = "seen"

    def compute(self, samples: Samples) -> float:
        return float(len(samples.dataset.training()))  # type: ignore[attr-defined]


def content(folder: Path) -> dict[str, bytes]:
    """Read every file of a run."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute runs in this process."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    monkeypatch.setattr("gan_bench.contracts.run.CHECK_IMAGES", 20)
    monkeypatch.setattr("gan_bench.running.active_run.CHECK_IMAGES", 20)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a folder with the plugin and make it the working folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "grey.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def describe(**changes: Any) -> dict[str, Any]:
    """Describe a benchmark on grey squares."""
    models = [{"plugin": "mgan", "generators": 3}]
    base = project.describe(
        models,
        dataset=[{"plugin": "greys"}],
        protocol={"network": {"plugin": "flat", "hidden": 8}},
        evaluation={"metrics": ["brightness"], "samples": 90},
    )
    for key, value in changes.items():
        base[key] = base[key] | value if isinstance(value, dict) else value
    return base


def run(planned: Planned, observer: Observer | None = None) -> BenchmarkOutcome:
    """Execute missing runs."""
    return run_benchmark.run(planned, observer or Observer())


class TestSamples:
    def test_are_levels_of_every_generator(self) -> None:
        """Samples are uint8, in random order, with equal numbers of each generator."""
        drawn = draw(image_trainer(MGAN(MGAN.Params(generators=3))), 90, 5)
        assert isinstance(drawn.x, torch.Tensor)
        assert drawn.x.dtype == torch.uint8 and drawn.x.shape == (90, 1, SIZE, SIZE)
        assert drawn.generator is not None and np.bincount(drawn.generator).tolist() == [30, 30, 30]
        assert not (np.diff(drawn.generator) >= 0).all()

    def test_drawn_in_parts_have_equal_numbers_of_each_generator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Samples are drawn in parts to bound memory: here at most two images of each of three generators."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)))
        most: list[int] = []
        sample = trainer.model.sample
        monkeypatch.setattr(trainer.model, "sample", lambda c, *rest: (most.append(sum(c)), sample(c, *rest))[1])
        monkeypatch.setattr(evaluation, "LARGEST_PART", 2 * 3 * SIZE * SIZE)
        drawn = draw(trainer, 20, 5)
        assert drawn.generator is not None and sorted(np.bincount(drawn.generator)) == [6, 7, 7]
        assert max(most) == 6 and sum(most) == 20
        assert isinstance(drawn.x, torch.Tensor) and len(drawn.x.unique(dim=0)) == 20

    def test_that_are_not_finite_are_found_before_conversion(self, messages: Messages) -> None:
        """Samples with NaN, which cannot be converted to levels, raise Diverged."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)))
        with torch.no_grad():
            next(trainer.model.get_submodule("generator").parameters()).fill_(float("nan"))
        trainer.model.get_submodule("generator").requires_grad_(False)
        with messages.raises(Diverged, "generator.", 0):
            check_finite(trainer, draw(trainer, 12, 0))

    def test_of_real_data_are_distinct_held_out_images(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No image is drawn twice, even in small parts; a request for more returns all."""
        monkeypatch.setattr(evaluation, "LARGEST_PART", SIZE * SIZE)
        trainer = image_trainer(RealData())
        drawn = draw(trainer, 1000, 0)
        assert isinstance(drawn.x, torch.Tensor) and len(drawn.x.unique(dim=0)) == len(drawn.x) == 30
        assert drawn.generator is None

    def test_as_numbers_lie_between_the_bounds(self) -> None:
        """A metric of points receives the numbers of the generator, rounded to levels, within the dataset's bounds."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)), Greys(Greys.Params(values="unit")))
        seen: list[Samples] = []

        class Keeping(Brightness):
            def compute(self, samples: Samples) -> float:
                seen.append(samples)
                return super().compute(samples)

        evaluate(trainer, [Keeping()], 30, 0)
        (samples,) = seen
        assert samples.pixels is not None and len(samples) == 30
        assert samples.x.shape == (30, 1, SIZE, SIZE) and samples.x.dtype == np.float64
        assert np.allclose(samples.x * 255, samples.pixels.numpy(), atol=1e-9)

    def test_for_figures_are_from_the_same_latents_at_every_iteration(self) -> None:
        """At least 16 samples of each generator, in order; they differ only after training."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)))
        first, again = fixed(trainer, 0), fixed(trainer, 0)
        for _ in range(20):
            trainer.iterate()
        later = fixed(trainer, 0)
        assert isinstance(first.x, torch.Tensor) and isinstance(again.x, torch.Tensor)
        assert isinstance(later.x, torch.Tensor)
        assert torch.equal(first.x, again.x) and not torch.equal(first.x, later.x)
        assert first.generator is not None and np.bincount(first.generator).min() >= 16
        assert (np.diff(first.generator) >= 0).all()


class TestRun:
    def test_of_images_is_scored_and_stored(self, place: Path) -> None:
        """A finished run has scores, snapshots of levels, and a checkpoint that can be sampled."""
        planned = project.plan(describe(), place / "results")
        assert run(planned).counts == {"finished": 1}
        (path,) = project.run_folders(place / "results")
        rows = [row for row in RunFolder(path).read_curve() if row["metric"] == "brightness"]
        assert {row["n"] for row in rows} == {"90"} and all(0 <= float(row["value"]) <= 255 for row in rows)
        kept = RunFolder(path).read_samples()
        assert sorted(kept) == [0, 15, 30]
        assert all(x.dtype == np.uint8 and x.shape[1:] == (1, SIZE, SIZE) for x, _ in kept.values())
        drawn = load_run(path, registry=planned.registry).sample(7, generator=2)
        assert isinstance(drawn.x, np.ndarray) and drawn.x.dtype == np.uint8
        assert drawn.generator is not None and drawn.generator.tolist() == [2] * 7

    def test_stored_is_scored_by_another_metric(self, place: Path) -> None:
        """A further metric scores the stored generators after a comparison of their images with the snapshot."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry)
        assert (outcome.scored, outcome.unusable) == (1, 0)

    def test_of_changed_generators_is_not_scored(self, place: Path) -> None:
        """A run whose generators draw other images than its snapshot is not scored."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        (path,) = project.run_folders(place / "results")
        folder = RunFolder(path)
        folder.write_samples({t: (255 - x, index) for t, (x, index) in folder.read_samples().items()})
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry)
        assert (outcome.scored, outcome.unusable) == (0, 1)

    def test_of_real_data_uses_all_held_out_images(self, place: Path) -> None:
        """The anchor is scored on all held-out images, by metrics that need no more of them."""
        evaluation = {"metrics": ["brightness", "brightness_100"], "samples": 120, "anchors": True}
        benchmark = describe(evaluation=evaluation)
        run(project.plan(benchmark, place / "results"))
        anchor = next(p for p in project.run_folders(place / "results") if "real-data" in p.name)
        rows = RunFolder(anchor).read_curve()
        assert {(row["metric"], row["n"]) for row in rows} == {("brightness", "30")}
        assert float(rows[-1]["value"]) == pytest.approx(np.mean(LEVELS), abs=1)
        assert project.plan(benchmark, place / "results").todo == []

    def test_of_real_data_is_scored_again_on_all_held_out_images(self, place: Path) -> None:
        """A metric that needs more samples than are held out is left out for real data only."""
        evaluation = {"samples": 150, "anchors": True, "metrics": ["brightness"]}
        planned = project.plan(describe(evaluation=evaluation), place / "results")
        run(planned)
        outcome = rescore(place / "results" / "tiny", ["prepared", "brightness_100"], planned.registry)
        assert outcome.exit_code == 0
        anchor = next(p for p in project.run_folders(place / "results") if "real-data" in p.name)
        rows = [row for row in RunFolder(anchor).read_curve() if row["metric"] != "brightness"]
        assert [(row["metric"], row["n"]) for row in rows] == [("prepared", "30")]
        assert project.record(anchor)["metrics"]["prepared"]["samples"] == 30
        trained = next(p for p in project.run_folders(place / "results") if "mgan" in p.name)
        assert {row["n"] for row in RunFolder(trained).read_curve() if row["metric"] == "brightness_100"} == {"150"}


class TestCheck:
    """Checks (`--quick`) of a benchmark on images."""

    def check(self, place: Path, metrics: list[str], **changes: Any) -> BenchmarkOutcome:
        described = describe(evaluation={"metrics": metrics, "anchors": True, "samples": 150}, **changes)
        return run(project.plan(described, place / "results", quick=True), Observer())

    def test_computes_every_metric_on_a_few_images(self, place: Path) -> None:
        """Each metric is computed once per run, from 32 samples and 20 of the 60 training images."""
        outcome = self.check(place, ["brightness", "brightness_100", "seen"])
        assert outcome.check is not None and outcome.check.passed and outcome.exit_code == 0
        (trained,) = [path for path in project.run_folders(place / "results") if "mgan" in path.name]
        rows = [row for row in RunFolder(trained).read_curve() if not row["metric"].startswith("loss")]
        iterations = str(project.record(trained)["iterations"])
        assert [(row["metric"], row["iteration"], row["n"]) for row in rows] == [
            (name, iterations, "32") for name in ("brightness", "brightness_100", "seen")
        ]
        assert float(rows[-1]["value"]) == 20

    def test_continues_without_a_metric_that_cannot_be_prepared(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """The report has the error of the metric, and the models are checked without it."""

        def prepare(*_: Any) -> None:
            raise DataError("its weights are missing")

        monkeypatch.setattr(Prepared, "prepare", prepare)
        outcome = self.check(place, ["brightness", "prepared"])
        assert outcome.check is not None and outcome.exit_code == 1
        messages.check(
            outcome.check.render(), "metric prepared ", "DataError: its weights are missing", "1 of 2 metrics"
        )
        assert outcome.counts == {"finished": 3}

    def test_takes_one_dataset_of_each_kind(self, place: Path) -> None:
        """Of datasets of one plugin, the first is checked, unless others are selected."""
        data = [{"plugin": "greys", "label": label, "count": count} for label, count in (("A", 60), ("B", 30))]
        planned = project.plan(describe(dataset=data), place / "results", quick=True)
        assert {job.run.dataset.label for job in planned.jobs} == {"A"}
        chosen = project.plan(describe(dataset=data), place / "results", quick=True, datasets=["B", "A"])
        assert {job.run.dataset.label for job in chosen.jobs} == {"A", "B"}


def notes_with(table: str, text: str) -> list[str]:
    """Notes below a table that contain this text."""
    return [line for line in table.splitlines() if line.startswith("- ") and text in line]


class TestFootnotes:
    """Notes below the table of a benchmark on images."""

    def test_of_real_data_that_run_out(self, place: Path, messages: Messages) -> None:
        """A note gives the metric without a value and the reason, another that all seeds score the same images."""
        evaluation = {"metrics": ["brightness", "brightness_100"], "samples": 120, "anchors": True}
        run(project.plan(describe(evaluation=evaluation, seeds=2), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        missing, repeated = notes_with(table, "real-data")
        messages.check(missing, "brightness_100", 100, 30)
        messages.check(repeated, 30)

    def test_of_a_pool_have_its_size(self, place: Path, messages: Messages) -> None:
        """The size of a pool is the requested one or that of the dataset, whichever is less; others have no note."""
        models = [{"plugin": "adagan", "generators": 2, "classifier_steps": 1}, {"plugin": "gan"}]
        models.append({**models[0], "label": "small", "pool": 50})
        run(project.plan(describe(model=models, evaluation={"samples": 20}), place / "results"))
        rows = gan_bench.table(place / "results" / "tiny").set_index("label")["departures"]
        messages.check(rows["adagan"], 60)
        messages.check(rows["small"], 50)
        assert "pool" not in rows["gan"]

    def test_of_unselected_datasets_are_kept(self, place: Path, messages: Messages) -> None:
        """Notes on datasets that are not selected are kept, because nothing is prepared for them now."""
        data = [{"plugin": "greys", "label": "A"}, {"plugin": "greys", "label": "B", "count": 30}]
        model = [{"plugin": "cascade-gan", "generators": 2}]
        benchmark = describe(dataset=data, model=model, evaluation={"metrics": ["prepared"]})

        def noted() -> tuple[Any, ...]:
            stored = read_benchmark(place / "results" / "tiny")
            sizes = {dataset.label: dataset.held_out for dataset in stored.datasets}
            return sizes, stored.models[0].footnotes, stored.metrics["prepared"].notes

        run(project.plan(benchmark, place / "results", datasets=["A"]))
        sizes, footnotes, notes = noted()
        assert sizes == {"A": 30, "B": None} and footnotes.keys() == notes.keys() == {"A"}
        run(project.plan(benchmark, place / "results", datasets=["B"]))
        sizes, footnotes, notes = noted()
        assert sizes == {"A": 30, "B": 15} and notes.keys() == {"A", "B"}
        for label, size in (("A", 60), ("B", 30)):
            (footnote,) = footnotes[label]
            messages.check(footnote, size)

    @pytest.mark.parametrize(
        ("network", "expected"), [({"plugin": "dcgan", "width": 2}, True), ({"plugin": "flat", "hidden": 8}, False)]
    )
    def test_of_an_untrained_generator_with_running_averages(
        self, place: Path, network: dict[str, Any], expected: bool, messages: Messages
    ) -> None:
        """A note explains running averages at their initial values; networks without them have no such note."""
        protocol, evaluation = {"network": network, "iterations": 2}, {"anchors": True, "every": 2, "samples": 20}
        run(project.plan(describe(protocol=protocol, evaluation=evaluation), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        found = notes_with(table, "untrained: ")
        assert len(found) == expected
        for note in found:
            messages.check(note)

    def test_of_an_untrained_generator_do_not_change_it(self) -> None:
        """The draw that detects running averages restores them."""
        settings, network = protocol(), DCGAN(DCGAN.Params(width=2))
        model = build(Untrained(), network, Greys(), settings, 0, CPU)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert evaluated_by_initial_averages(Trainer(model, Greys(), settings, 0, CPU))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class TestContents:
    def test_of_user_files_are_part_of_the_key(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Runs on other files have other keys; runs on equal files have equal keys."""

        def key(contents: str) -> str:
            monkeypatch.setattr(Greys, "contents", property(lambda self: contents))
            return project.plan(describe(), place / "results").jobs[0].run.key

        assert len({key("one"), key("other"), key("")}) == 3
        assert key("one") == key("one")

    def test_that_have_changed_are_not_scored(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A run is not scored against other files than its own."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        monkeypatch.setattr(Greys, "contents", "other")
        lines: list[str] = []
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry, log=lines.append)
        assert outcome.unusable == 1
        messages.check(lines[0], "[1/1] mgan on greys, seed 0: ")


class TestPreparation:
    def test_happens_once_before_any_run(self, place: Path) -> None:
        """Metrics are prepared for each dataset and device; if no run is missing, for none."""
        events: list[str] = []

        class Listening(Observer):
            def note(self, message: str) -> None:
                events.append(message)

            def started(self, run: Any) -> None:
                events.append("started")

        for expected in (["preparing for greys on cpu", "started"], []):
            events.clear()
            benchmark = describe(evaluation={"metrics": ["prepared"]})
            run(project.plan(benchmark, place / "results"), Listening())
            assert [line for line in events if line in ("preparing for greys on cpu", "started")] == expected

    def test_has_a_note_below_the_table(self, place: Path) -> None:
        """The table describes the prepared files that a score depends on."""
        run(project.plan(describe(evaluation={"metrics": ["prepared"]}), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "prepared: by a classifier of greys." in table

    def test_by_two_classifiers_is_marked_as_not_comparable(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """Each run keeps the note of its scores, and the table marks a column with two notes."""
        for seed, note in enumerate(("by one", "by another")):
            monkeypatch.setattr(Prepared, "note", lambda self, dataset, note=note: note)
            run(project.plan(describe(evaluation={"metrics": ["prepared"]}, seeds=seed + 1), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "prepared: by one." in table and "prepared: by another." in table
        (note,) = notes_with(table, "prepared on greys")
        messages.check(note, "gan-bench evaluate RESULTS --metrics prepared")

    def test_has_a_note_below_the_table_after_another_score(self, place: Path) -> None:
        """`gan-bench evaluate` keeps notes and adds those of new metrics; they are also in results.csv."""
        planned = project.plan(describe(evaluation={"metrics": ["prepared"]}), place / "results")
        run(planned)
        results = place / "results" / "tiny"
        rescore(results, ["prepared", "brightness", "also_prepared"], planned.registry)
        note = "prepared, also_prepared: by a classifier of greys."
        assert note in render(results)
        shutil.rmtree(results / "runs")
        assert note in render(results)

    def test_by_another_classifier_is_repeated(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """After the command that the table's note gives, all scores are by one classifier."""
        planned = project.plan(describe(evaluation={"metrics": ["prepared", "brightness"]}, seeds=2), place / "results")
        run(planned)
        results = place / "results" / "tiny"
        repeat(results, ["prepared", "brightness"], planned.registry, draws=2)
        first, second = (RunFolder(path) for path in project.run_folders(place / "results"))
        record = project.record(first.path)
        record["metrics"]["prepared"]["note"] = "by another one"
        project.write_record(first.path, record)
        assert "gan-bench evaluate RESULTS --metrics prepared" in render(results)
        untouched = content(second.path)
        monkeypatch.setattr(Prepared, "compute", lambda self, samples: 7.0)
        lines: list[str] = []
        outcome = rescore(results, ["prepared", "brightness"], planned.registry, log=lines.append)
        assert outcome.scored == 2 and content(second.path) == untouched
        for number, line in enumerate(lines[-2:], 1):
            messages.check(line, f"[{number}/2] mgan on greys, seed {number - 1}: ")
        scores = [(row["iteration"], row["value"]) for row in first.read_curve() if row["metric"] == "prepared"]
        assert scores == [("30", "7.0")]
        assert {row["metric"] for row in first.read_repeats()} == {"brightness"}
        assert len([row for row in first.read_curve() if row["metric"] == "brightness"]) > 1
        assert "prepared on greys" not in render(results) and "by another one" not in render(results)
        before = content(first.path)
        rescore(results, ["prepared"], planned.registry)
        assert content(first.path) == before and content(second.path) == untouched

    def test_by_another_classifier_is_kept_if_it_cannot_be_repeated(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scores are removed only if new ones replace them, and never without a classifier to compare with."""
        planned = project.plan(describe(evaluation={"metrics": ["prepared"]}), place / "results")
        run(planned)
        (path,) = project.run_folders(place / "results")
        monkeypatch.setattr(Prepared, "note", lambda self, dataset: "")
        before = content(path)
        assert rescore(place / "results" / "tiny", ["prepared"], planned.registry).scored == 1
        assert content(path) == before
        monkeypatch.setattr(Prepared, "note", lambda self, dataset: "by another one")
        with monkeypatch.context() as patch:
            patch.setattr(Prepared, "compute", lambda self, samples: 1 / 0)
            assert rescore(place / "results" / "tiny", ["prepared"], planned.registry).unusable == 1
        assert content(path) == before
        for checkpoint in path.glob("checkpoint*"):
            checkpoint.unlink()
        before = content(path)
        assert rescore(place / "results" / "tiny", ["prepared"], planned.registry).unusable == 1
        assert content(path) == before

    def test_can_be_interrupted(
        self, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """After Ctrl-C during the training of a classifier, no run has started."""

        def interrupted(self: Prepared, dataset: Any, device: str, log: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Prepared, "prepare", interrupted)
        path = project.write(place, describe(evaluation={"metrics": ["prepared"]}))
        ended = project.caller(monkeypatch, capfd, "run")(str(path), "--device", "cpu")
        assert ended.code == 130
        messages.check(ended.err)
        assert not list((place / "results" / "tiny").glob("*.json"))

    def test_of_missing_data_lists_the_files(self, place: Path) -> None:
        """Every dataset without files is listed before anything is written."""
        benchmark = describe(dataset=[{"plugin": "absent", "label": "A"}, {"plugin": "absent", "label": "B"}])
        with pytest.raises(DataError, match=r"dataset 'A': fetch it\ndataset 'B': fetch it"):
            project.plan(benchmark, place / "results")
        assert not (place / "results").exists()


class TestMistakes:
    def test_a_metric_of_more_samples_than_are_drawn(self, place: Path, messages: Messages) -> None:
        """The error has both numbers of samples."""
        with messages.raises(ConfigError, "'brightness_100'", 100, 90):
            project.plan(describe(evaluation={"metrics": ["brightness_100"]}), place / "results")

    def test_flipped_points(self, place: Path, messages: Messages) -> None:
        """`flip` is an error for a dataset without images."""
        with messages.raises(ConfigError, "flip", "'ring8'"):
            project.plan(project.describe(protocol={"flip": True}), place / "results")

    def test_are_not_caused_by_a_broken_plugin(self, place: Path) -> None:
        """The plugin of these tests loads."""
        assert load_plugins([place / "plugins"]).broken == []


class TestScore:
    """Scores of images from any program."""

    def test_accepts_levels_and_numbers(self) -> None:
        """uint8 levels and numbers within the dataset's bounds have the same score."""
        levels = Greys().training().x
        for x in (levels, levels / 127.5 - 1):
            (score,) = score_samples.score(x, Greys(), [Brightness()])
            assert score.value == pytest.approx(levels.mean()) and score.n == len(levels)

    def test_rejects_numbers_beyond_the_bounds(self, messages: Messages) -> None:
        """Levels as floating-point numbers are an error instead of a wrong score."""
        with messages.raises(UsageError, "samples: ", "greys", -1, 1):
            score_samples.score(Greys().training().x.astype(float), Greys(), [Brightness()])

    def test_rejects_too_few(self, messages: Messages) -> None:
        """The error has both numbers of samples."""
        with messages.raises(UsageError, "samples: ", "'brightness_100'", 100, 60):
            score_samples.score(Greys().training().x, Greys(), [Many()])

    def test_of_many_datasets_report_the_progress_of_preparation(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """Preparation reports at intervals, because quick datasets report nothing themselves."""
        monkeypatch.setattr(prepare_data, "LOG_SECONDS", -1.0)
        lines: list[str] = []
        prepare_data._prepare_metric(Brightness(), [Greys()] * 3, "cpu", lines.append)
        for done, line in enumerate(lines):
            messages.check(line, "brightness", f"{done} of 3")
        assert len(lines) == 3
        monkeypatch.setattr(prepare_data, "LOG_SECONDS", 60.0)
        prepare_data._prepare_metric(Brightness(), [Greys()] * 3, "cpu", lines.append)
        assert len(lines) == 3

    def test_by_the_command_omits_slow_metrics_by_default(
        self, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Metrics that may take hours on a CPU are computed only on request; a message lists them."""
        np.save(place / "x.npy", Greys().training().x)
        monkeypatch.setattr(Prepared, "expensive", True)
        code, out, err = project.caller(monkeypatch, capfd, "score")("x.npy", "--dataset", "greys")
        assert code == 0
        assert "brightness" in out and "prepared" not in out
        assert "--metrics" in err and "prepared" in err
