"""Image benchmarks from file to results: what is evaluated, kept and refused. Real processes are in test_engine."""

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
    """The same, of 100 samples at least."""

    name, needs = "brightness_100", 100


class Prepared(Brightness):
    """Says when it is prepared."""

    name = "prepared"

    def prepare(self, dataset: Any, device: str, log: Any) -> None:
        log(f"preparing for {dataset.name} on {device}")

    def note(self, dataset: Any) -> str:
        return f"by a classifier of {dataset.name}"


class AlsoPrepared(Prepared):
    """The same under another name."""

    name = "also_prepared"


class Seen(Brightness):
    """How many training images a metric is shown."""

    name = "seen"

    def compute(self, samples: Samples) -> float:
        return float(len(samples.dataset.training()))  # type: ignore[attr-defined]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a run."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are carried out in this process."""
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    monkeypatch.setattr("gan_bench.contracts.run.CHECK_IMAGES", 20)
    monkeypatch.setattr("gan_bench.running.active_run.CHECK_IMAGES", 20)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the plugin, as the working folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "grey.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def describe(**changes: Any) -> dict[str, Any]:
    """A benchmark on grey squares."""
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
    """Carry out what is missing."""
    return run_benchmark.run(planned, observer or Observer())


class TestSamples:
    def test_are_levels_of_every_generator(self) -> None:
        """Drawn as uint8, in random order, each generator its share."""
        drawn = draw(image_trainer(MGAN(MGAN.Params(generators=3))), 90, 5)
        assert isinstance(drawn.x, torch.Tensor)
        assert drawn.x.dtype == torch.uint8 and drawn.x.shape == (90, 1, SIZE, SIZE)
        assert drawn.generator is not None and np.bincount(drawn.generator).tolist() == [30, 30, 30]
        assert not (np.diff(drawn.generator) >= 0).all()

    def test_made_in_parts_are_as_many_from_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Memory is bounded by parts: here of at most two images of each of three generators."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)))
        most: list[int] = []
        sample = trainer.model.sample
        monkeypatch.setattr(trainer.model, "sample", lambda c, *rest: (most.append(sum(c)), sample(c, *rest))[1])
        monkeypatch.setattr(evaluation, "LARGEST_PART", 2 * 3 * SIZE * SIZE)
        drawn = draw(trainer, 20, 5)
        assert drawn.generator is not None and sorted(np.bincount(drawn.generator)) == [6, 7, 7]
        assert max(most) == 6 and sum(most) == 20
        assert isinstance(drawn.x, torch.Tensor) and len(drawn.x.unique(dim=0)) == 20

    def test_that_are_not_finite_are_found_before_they_become_levels(self) -> None:
        """NaN has no level: the run has diverged."""
        trainer = image_trainer(MGAN(MGAN.Params(generators=3)))
        with torch.no_grad():
            next(trainer.model.get_submodule("generator").parameters()).fill_(float("nan"))
        trainer.model.get_submodule("generator").requires_grad_(False)
        with pytest.raises(Diverged, match="not finite"):
            check_finite(trainer, draw(trainer, 12, 0))

    def test_of_real_data_are_what_is_held_out_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No image twice, however small the parts are; all where more are asked for."""
        monkeypatch.setattr(evaluation, "LARGEST_PART", SIZE * SIZE)
        trainer = image_trainer(RealData())
        drawn = draw(trainer, 1000, 0)
        assert isinstance(drawn.x, torch.Tensor) and len(drawn.x.unique(dim=0)) == len(drawn.x) == 30
        assert drawn.generator is None

    def test_as_numbers_lie_between_the_bounds(self) -> None:
        """A metric that knows nothing of images sees the numbers that the generator made, to a level."""
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

    def test_for_pictures_are_of_the_same_latents_at_every_iteration(self) -> None:
        """Generator by generator, at least 16 of each; what the generators make of them changes."""
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
    def test_of_images_is_scored_and_kept(self, place: Path) -> None:
        """Finished, with its scores, pictures as levels, and samples from its checkpoint."""
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
        """From its generators, whose pictures are held against those that it kept."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry)
        assert (outcome.scored, outcome.unusable) == (1, 0)

    def test_of_changed_generators_is_not_scored(self, place: Path) -> None:
        """Pictures that the generators do not make today are no pictures of theirs."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        (path,) = project.run_folders(place / "results")
        folder = RunFolder(path)
        folder.write_samples({t: (255 - x, index) for t, (x, index) in folder.read_samples().items()})
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry)
        assert (outcome.scored, outcome.unusable) == (0, 1)

    def test_of_real_data_is_of_as_many_as_there_are(self, place: Path) -> None:
        """The anchor is scored on the whole test set, by metrics that need no more, and is then done."""
        evaluation = {"metrics": ["brightness", "brightness_100"], "samples": 120, "anchors": True}
        benchmark = describe(evaluation=evaluation)
        run(project.plan(benchmark, place / "results"))
        anchor = next(p for p in project.run_folders(place / "results") if "real-data" in p.name)
        rows = RunFolder(anchor).read_curve()
        assert {(row["metric"], row["n"]) for row in rows} == {("brightness", "30")}
        assert float(rows[-1]["value"]) == pytest.approx(np.mean(LEVELS), abs=1)
        assert project.plan(benchmark, place / "results").todo == []

    def test_of_real_data_is_scored_again_on_as_many_as_there_are(self, place: Path) -> None:
        """Stored real data keep their number; a metric of more samples is left out for them, and for nobody else."""
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
    """A check of a benchmark on images."""

    def check(self, place: Path, metrics: list[str], **changes: Any) -> BenchmarkOutcome:
        described = describe(evaluation={"metrics": metrics, "anchors": True, "samples": 150}, **changes)
        return run(project.plan(described, place / "results", quick=True), Observer())

    def test_computes_every_metric_on_a_few_images(self, place: Path) -> None:
        """Once a run, from 32 samples whatever a metric needs, against a few of the real images."""
        outcome = self.check(place, ["brightness", "brightness_100", "seen"])
        assert outcome.check is not None and outcome.check.passed and outcome.exit_code == 0
        (trained,) = [path for path in project.run_folders(place / "results") if "mgan" in path.name]
        rows = [row for row in RunFolder(trained).read_curve() if not row["metric"].startswith("loss")]
        iterations = str(project.record(trained)["iterations"])
        assert [(row["metric"], row["iteration"], row["n"]) for row in rows] == [
            (name, iterations, "32") for name in ("brightness", "brightness_100", "seen")
        ]
        assert float(rows[-1]["value"]) == 20  # of the 60 training images

    def test_goes_on_without_a_metric_that_cannot_be_prepared(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The report says why; the models are checked all the same."""

        def prepare(*_: Any) -> None:
            raise DataError("its weights are missing")

        monkeypatch.setattr(Prepared, "prepare", prepare)
        outcome = self.check(place, ["brightness", "prepared"])
        assert outcome.check is not None and outcome.exit_code == 1
        text = outcome.check.render()
        assert "- metric prepared cannot be prepared: DataError: its weights are missing" in text
        assert "1 of 2 metrics" in text and outcome.counts == {"finished": 3}

    def test_takes_one_dataset_of_each_kind(self, place: Path) -> None:
        """Those of one plugin differ in parameters only; a selection is followed."""
        data = [{"plugin": "greys", "label": label, "count": count} for label, count in (("A", 60), ("B", 30))]
        planned = project.plan(describe(dataset=data), place / "results", quick=True)
        assert {job.run.dataset.label for job in planned.jobs} == {"A"}
        chosen = project.plan(describe(dataset=data), place / "results", quick=True, datasets=["B", "A"])
        assert {job.run.dataset.label for job in chosen.jobs} == {"A", "B"}


class Notes(Observer):
    """Keeps what it is told of the benchmark."""

    name = "notes"

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, message: str) -> None:
        """Keep it."""
        self.told.append(message)


class TestFootnotes:
    """What stands below the table of a benchmark on images."""

    def test_of_real_data_that_run_out(self, place: Path) -> None:
        """Which metric lacks a value and why, and that all seeds score the same images."""
        evaluation = {"metrics": ["brightness", "brightness_100"], "samples": 120, "anchors": True}
        run(project.plan(describe(evaluation=evaluation, seeds=2), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        lacking, scored = [line for line in table.splitlines() if line.startswith("- real-data")]
        assert all(part in lacking for part in ("brightness_100", "100 samples", "greys holds out 30"))
        assert all(part in scored for part in ("every seed", "greys holds out 30"))
        assert "iteration of some finished runs" not in table

    def test_of_a_pool_tell_how_large_it_is(self, place: Path) -> None:
        """As large as was asked for, or as the data set is, whichever is less; of others nothing."""
        models = [{"plugin": "adagan", "generators": 2, "classifier_steps": 1}, {"plugin": "gan"}]
        models.append({**models[0], "label": "small", "pool": 50})
        run(project.plan(describe(model=models, evaluation={"samples": 20}), place / "results"))
        rows = gan_bench.table(place / "results" / "tiny").set_index("label")["departures"]
        assert "real data are a pool of 60 samples, drawn once" in rows["adagan"]
        assert "real data are a pool of 50 samples, drawn once" in rows["small"]
        assert "pool" not in rows["gan"]

    def test_of_datasets_that_are_not_run_now_are_kept(self, place: Path) -> None:
        """Nothing is prepared for them, so that their sizes may not be known."""
        data = [{"plugin": "greys", "label": "A"}, {"plugin": "greys", "label": "B", "count": 30}]
        model = [{"plugin": "cascade-gan", "generators": 2}]
        benchmark = describe(dataset=data, model=model, evaluation={"metrics": ["prepared"]})

        def told() -> tuple[Any, ...]:
            stored = read_benchmark(place / "results" / "tiny")
            sizes = {dataset.label: dataset.held_out for dataset in stored.datasets}
            return sizes, stored.models[0].footnotes, stored.metrics["prepared"].notes

        run(project.plan(benchmark, place / "results", datasets=["A"]))
        sizes, footnotes, notes = told()
        assert sizes == {"A": 30, "B": None} and footnotes.keys() == notes.keys() == {"A"}
        run(project.plan(benchmark, place / "results", datasets=["B"]))
        sizes, footnotes, notes = told()
        assert sizes == {"A": 30, "B": 15} and notes.keys() == {"A", "B"}
        pool = "real data are a pool of {} samples, drawn once"
        assert footnotes == {"A": (pool.format(60),), "B": (pool.format(30),)}

    @pytest.mark.parametrize(
        ("network", "expected"), [({"plugin": "dcgan", "width": 2}, True), ({"plugin": "flat", "hidden": 8}, False)]
    )
    def test_of_an_untrained_generator_that_averages(
        self, place: Path, network: dict[str, Any], expected: bool
    ) -> None:
        """It is normalised by what no batch has moved; a network without running averages is not spoken of."""
        protocol, evaluation = {"network": network, "iterations": 2}, {"anchors": True, "every": 2, "samples": 20}
        run(project.plan(describe(protocol=protocol, evaluation=evaluation), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert any(line.startswith("- untrained: ") for line in table.splitlines()) is expected
        assert ("running averages" in table) is expected

    def test_of_an_untrained_generator_leave_it_as_it_is(self) -> None:
        """What is tried to find out is put back."""
        settings, network = protocol(), DCGAN(DCGAN.Params(width=2))
        model = build(Untrained(), network, Greys(), settings, 0, CPU)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert evaluated_by_initial_averages(Trainer(model, Greys(), settings, 0, CPU))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class TestContents:
    def test_of_data_that_a_user_chose_are_part_of_the_key(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other files are another run; the same files are the same, and data without such files keep their keys."""

        def key(contents: str) -> str:
            monkeypatch.setattr(Greys, "contents", property(lambda self: contents))
            return project.plan(describe(), place / "results").jobs[0].run.key

        assert len({key("one"), key("other"), key("")}) == 3
        assert key("one") == key("one")

    def test_that_have_changed_are_not_scored(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A score against other files would stand beside those against the files of the run."""
        planned = project.plan(describe(), place / "results")
        run(planned)
        monkeypatch.setattr(Greys, "contents", "other")
        told: list[str] = []
        outcome = rescore(place / "results" / "tiny", ["prepared"], planned.registry, log=told.append)
        assert outcome.unusable == 1 and "its data have changed since" in told[0]


class TestPreparation:
    def test_happens_once_before_any_run(self, place: Path) -> None:
        """Metrics are told of each dataset and of the device; where nothing is to do, of nothing."""
        said: list[str] = []

        class Listening(Observer):
            def note(self, message: str) -> None:
                said.append(message)

            def started(self, run: Any) -> None:
                said.append("started")

        for expected in (["preparing for greys on cpu", "started"], []):
            said.clear()
            benchmark = describe(evaluation={"metrics": ["prepared"]})
            run(project.plan(benchmark, place / "results"), Listening())
            assert [line for line in said if line in ("preparing for greys on cpu", "started")] == expected

    def test_is_told_of_below_the_table(self, place: Path) -> None:
        """A score depends on what was prepared for it."""
        run(project.plan(describe(evaluation={"metrics": ["prepared"]}), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "prepared: by a classifier of greys." in table

    def test_by_two_classifiers_is_said_not_to_compare(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each run keeps what it was scored with: a column of two is no column of one."""
        for seed, note in enumerate(("by one", "by another")):
            monkeypatch.setattr(Prepared, "note", lambda self, dataset, note=note: note)
            run(project.plan(describe(evaluation={"metrics": ["prepared"]}, seeds=seed + 1), place / "results"))
        table = (place / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "prepared: by one." in table and "prepared: by another." in table
        (note,) = [line for line in table.splitlines() if line.startswith("- Not comparable between runs")]
        assert "prepared on greys" in note

    def test_is_told_of_below_the_table_after_another_score(self, place: Path) -> None:
        """`gan-bench evaluate` keeps what was told, and tells of what it adds; results.csv alone does as well."""
        planned = project.plan(describe(evaluation={"metrics": ["prepared"]}), place / "results")
        run(planned)
        results = place / "results" / "tiny"
        rescore(results, ["prepared", "brightness", "also_prepared"], planned.registry)
        told = "prepared, also_prepared: by a classifier of greys."
        assert told in render(results)
        shutil.rmtree(results / "runs")
        assert told in render(results)

    def test_by_another_classifier_is_done_again(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The flag says how; then every score is of one classifier, and none of the other is left."""
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
        told: list[str] = []
        outcome = rescore(results, ["prepared", "brightness"], planned.registry, log=told.append)
        assert outcome.scored == 2 and content(second.path) == untouched
        assert "all that was scored with another one is dropped: prepared" in told[-2] and "nothing to do" in told[-1]
        scores = [(row["iteration"], row["value"]) for row in first.read_curve() if row["metric"] == "prepared"]
        assert scores == [("30", "7.0")]
        assert {row["metric"] for row in first.read_repeats()} == {"brightness"}
        assert len([row for row in first.read_curve() if row["metric"] == "brightness"]) > 1
        assert "Not comparable" not in render(results) and "by another one" not in render(results)
        rescore(results, ["prepared"], planned.registry, log=told.append)
        assert "nothing to do" in told[-1] and "nothing to do" in told[-2]

    def test_by_another_classifier_is_kept_where_it_cannot_be_done_again(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scores go only when others take their place; nor do they where no classifier is here to compare with."""
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

    def test_that_is_interrupted_says_so(
        self, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while a classifier learns: no run has begun, and nothing is lost."""

        def interrupted(self: Prepared, dataset: Any, device: str, log: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Prepared, "prepare", interrupted)
        path = project.write(place, describe(evaluation={"metrics": ["prepared"]}))
        said = project.caller(monkeypatch, capfd, "run")(str(path), "--device", "cpu")
        assert said.code == 130 and "Interrupted; the same command goes on from here." in said.err
        assert not list((place / "results" / "tiny").glob("*.json"))

    def test_of_missing_data_says_what_to_fetch(self, place: Path) -> None:
        """Before anything is written, for every dataset that is missing."""
        benchmark = describe(dataset=[{"plugin": "absent", "label": "A"}, {"plugin": "absent", "label": "B"}])
        with pytest.raises(DataError, match=r"dataset 'A': fetch it\ndataset 'B': fetch it"):
            project.plan(benchmark, place / "results")
        assert not (place / "results").exists()


class TestMistakes:
    def test_a_metric_of_more_samples_than_are_drawn(self, place: Path) -> None:
        """Is refused with both numbers."""
        with pytest.raises(ConfigError, match=r"'brightness_100' needs 100 samples, and samples = 90"):
            project.plan(describe(evaluation={"metrics": ["brightness_100"]}), place / "results")

    def test_flipped_points(self, place: Path) -> None:
        """Only images have a left and a right."""
        with pytest.raises(ConfigError, match="flip = true mirrors images, and dataset 'ring8' has none"):
            project.plan(project.describe(protocol={"flip": True}), place / "results")

    def test_are_none_of_a_broken_registry(self, place: Path) -> None:
        """The plugin of these tests loads."""
        assert load_plugins([place / "plugins"]).broken == []


class TestScore:
    """Images that any program made."""

    def test_takes_levels_and_numbers(self) -> None:
        """uint8 as it is, other numbers by the dataset's bounds: the same score."""
        levels = Greys().training().x
        for x in (levels, levels / 127.5 - 1):
            (score,) = score_samples.score(x, Greys(), [Brightness()])
            assert score.value == pytest.approx(levels.mean()) and score.n == len(levels)

    def test_refuses_numbers_beyond_the_bounds(self) -> None:
        """Levels that lost their type would be taken for something else."""
        with pytest.raises(
            UsageError, match=r"values from .* to .*; images of greys lie between -1 and 1, or are uint8"
        ):
            score_samples.score(Greys().training().x.astype(float), Greys(), [Brightness()])

    def test_refuses_too_few(self) -> None:
        """With both numbers."""
        with pytest.raises(UsageError, match=r"'brightness_100' needs 100 samples; samples: 60"):
            score_samples.score(Greys().training().x, Greys(), [Many()])

    def test_of_many_datasets_are_spoken_of_while_they_are_made_ready(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each is too quick to say so itself; nothing is said before the time has come."""
        monkeypatch.setattr(prepare_data, "LOG_SECONDS", -1.0)
        told: list[str] = []
        prepare_data._prepare_metric(Brightness(), [Greys()] * 3, "cpu", told.append)
        assert told == [f"brightness is made ready: {done} of 3 datasets" for done in range(3)]
        monkeypatch.setattr(prepare_data, "LOG_SECONDS", 60.0)
        prepare_data._prepare_metric(Brightness(), [Greys()] * 3, "cpu", told.append)
        assert len(told) == 3

    def test_by_the_command_leaves_slow_metrics_to_who_asks(
        self, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Features of Inception take hours on a CPU: nobody gets them unasked, and everybody is told."""
        np.save(place / "x.npy", Greys().training().x)
        monkeypatch.setattr(Prepared, "expensive", True)
        code, out, err = project.caller(monkeypatch, capfd, "score")("x.npy", "--dataset", "greys")
        assert code == 0
        assert "brightness" in out and "prepared" not in out
        assert "--metrics" in err and "prepared" in err
