"""Execution of one run, also after interruptions, kills and damage: a resumed run equals an uninterrupted one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_bench.acceleration.tracing import out_of_memory
from gan_bench.contracts.events import Evaluated, Event, Warned
from gan_bench.contracts.run import Job, Schedule
from gan_bench.planning.planned import Planned
from gan_bench.running.engines.messages import decode_request, encode_jobs
from gan_bench.running.execute import execute
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages

CHECKPOINTS = {"ema": 0.9, "decay": "linear", "latents": "fresh"}
MODELS: Mapping[str, Mapping[str, Any]] = project.ZOO | {
    "mgan, everything on": {"plugin": "mgan", "generators": 4, "protocol": CHECKPOINTS},
    "gan, rmsprop": {"plugin": "gan", "protocol": {"optimizer": "rmsprop"}},
    "gan, sgd": {"plugin": "gan", "protocol": {"optimizer": "sgd"}},
}


def run_of(results: Path, model: Mapping[str, Any], **changes: Any) -> tuple[Planned, RunFolder]:
    """Plan of a benchmark with one run, and the run's folder."""
    planned = project.plan(project.describe([model], **changes), results)
    return planned, RunFolder(Path(planned.jobs[0].folder))


def assert_same(first: RunFolder, second: RunFolder) -> None:
    """Assert that the outcomes of two runs are equal to the last bit."""
    assert project.difference(project.outcome(first.path), project.outcome(second.path)) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Folder of an uninterrupted run of a GAN."""
    planned, folder = run_of(tmp_path_factory.mktemp("whole"), project.ZOO["gan"])
    assert project.run_jobs(planned) == "finished"
    return folder


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Planned, RunFolder]:
    """Plan and folder of the same run, interrupted after 25 iterations, with checkpoints of iterations 20 and 25."""
    planned, folder = run_of(tmp_path, project.ZOO["gan"])
    assert project.run_jobs(planned, stop=project.stop_at(25)) == "interrupted"
    assert [path.name for path in folder.checkpoints()] == ["checkpoint-25.pt", "checkpoint-20.pt"]
    return planned, folder


class TestInterrupted:
    @pytest.mark.parametrize("name", MODELS)
    def test_anywhere_equals_uninterrupted(self, tmp_path: Path, name: str) -> None:
        """Parameters, optimisers, state, curve and samples are equal to the last bit, for every model."""
        planned, whole = run_of(tmp_path / "whole", MODELS[name])
        assert project.run_jobs(planned) == "finished"
        planned, cut = run_of(tmp_path / "cut", MODELS[name])
        for more in (3, 7, 1, 12):  # before, at and after evaluations: iterations 3, 10, 11 and 23
            assert project.run_jobs(planned, stop=project.stop_at(more)) == "interrupted"
        assert project.record(cut.path)["iteration"] == 23
        assert project.run_jobs(planned) == "finished"
        assert_same(whole, cut)

    @pytest.mark.parametrize(("plugin", "expected"), [("conditional-gan", True), ("gan", False)])
    def test_records_that_labels_are_read(self, tmp_path: Path, plugin: str, expected: bool) -> None:
        """The record of an interrupted, resumed and finished run has what its losses read."""
        planned, folder = run_of(tmp_path, {"plugin": plugin})
        for more, status in ((12, "interrupted"), (1000, "finished"), (1000, "finished")):
            assert project.run_jobs(planned, stop=project.stop_at(more)) == status
            assert project.record(folder.path)["model"]["reads_labels"] == expected

    def test_before_the_first_iteration(self, whole: RunFolder, tmp_path: Path) -> None:
        """A run that is stopped before its first iteration has evaluation 0, and resumes from there."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        assert project.run_jobs(planned, stop=lambda: True) == "interrupted"
        assert {row["iteration"] for row in folder.read_curve()} == {"0"}
        assert project.run_jobs(planned) == "finished"
        assert_same(whole, folder)

    def test_is_recorded(self, cut: tuple[Planned, RunFolder]) -> None:
        """The record has status, iteration and the resources used so far."""
        record = project.record(cut[1].path)
        assert (record["status"], record["iteration"], record["iterations"]) == ("interrupted", 25, 30)
        assert record["ledger"]["updates"] == {"discriminator": 25, "generator": 25}
        assert record["ledger"]["real_samples"] == 25 * 32
        assert record["error"] is None

    def test_keeps_the_seconds_of_all_attempts(self, cut: tuple[Planned, RunFolder]) -> None:
        """The times in the ledger are sums over all attempts, and every attempt has its provenance."""
        planned, folder = cut
        before = project.record(folder.path)
        project.run_jobs(planned)
        after = project.record(folder.path)
        assert after["ledger"]["train_seconds"] > before["ledger"]["train_seconds"]
        assert after["provenance"] == before["provenance"]
        assert len(after["resumed"]) == 1
        assert len(after["plans"]) == 1

    def test_under_another_plan_is_recorded(self, cut: tuple[Planned, RunFolder]) -> None:
        """A run that resumes with more threads, and may differ by rounding, has both plans in its record."""
        planned, folder = cut
        job = Job(**vars(planned.jobs[0]) | {"threads": 2})
        try:
            assert execute(job, planned.registry, lambda _: None, project.never) == "finished"
        finally:
            torch.set_num_threads(1)
        plans = project.record(folder.path)["plans"]
        assert [plan["threads"] for plan in plans] == [1, 2]


class TestKilled:
    """Folders as a kill at the worst moment leaves them; real kills are in test_engines."""

    def finish(self, cut: tuple[Planned, RunFolder], whole: RunFolder) -> list[str]:
        """Resume the run, compare it with the whole one, and return the warnings."""
        planned, folder = cut
        events: list[Event] = []
        assert execute(planned.jobs[0], planned.registry, events.append, project.never) == "finished"
        assert_same(whole, folder)
        return [event.message for event in events if isinstance(event, Warned)]

    def test_after_the_curve_and_before_the_checkpoint(
        self, cut: tuple[Planned, RunFolder], whole: RunFolder, tmp_path: Path
    ) -> None:
        """Rows and snapshots beyond the checkpoint are dropped and computed again."""
        _, folder = cut
        rows = folder.read_curve()
        folder.write_curve([*rows, *({**row, "iteration": "30", "value": "99.0"} for row in rows[:4])])
        shares = folder.read_classes()
        folder.write_classes([*shares, *({**row, "iteration": "30", "share": "9.0"} for row in shares[:4])])
        x, index = folder.read_samples()[0]
        folder.write_samples(folder.read_samples() | {30: (x + 9, index)})
        assert self.finish(cut, whole) == []

    def test_before_the_newest_checkpoint(self, cut: tuple[Planned, RunFolder], whole: RunFolder) -> None:
        """Without the newest checkpoint, the run resumes from the one before."""
        cut[1].checkpoints()[0].unlink()
        assert self.finish(cut, whole) == []

    def test_without_checkpoints(self, cut: tuple[Planned, RunFolder], whole: RunFolder) -> None:
        """Without any checkpoint, the run starts from iteration 0 and replaces curve and samples."""
        for path in cut[1].checkpoints():
            path.unlink()
        assert self.finish(cut, whole) == []

    @pytest.mark.parametrize("kept", [0, 1, 100, -1])
    def test_with_a_truncated_checkpoint(
        self, cut: tuple[Planned, RunFolder], whole: RunFolder, kept: int, messages: Messages
    ) -> None:
        """A damaged checkpoint is skipped with a warning that has its path."""
        newest = cut[1].checkpoints()[0]
        newest.write_bytes(newest.read_bytes()[:kept])
        (warning,) = self.finish(cut, whole)
        messages.check(warning, newest, "iteration 20", hide={cut[1].path.name: "RUN"})

    def test_with_both_checkpoints_damaged(
        self, cut: tuple[Planned, RunFolder], whole: RunFolder, messages: Messages
    ) -> None:
        """If all checkpoints are damaged, the run starts from iteration 0, with a warning for each."""
        paths = cut[1].checkpoints()
        for path in paths:
            path.write_bytes(b"\0" * 1000)
        for path, warning in zip(paths, self.finish(cut, whole), strict=True):
            messages.check(warning, path, "iteration 0", hide={cut[1].path.name: "RUN"})

    def test_with_the_checkpoint_of_another_run(
        self, cut: tuple[Planned, RunFolder], whole: RunFolder, tmp_path: Path
    ) -> None:
        """A checkpoint of another run is skipped, although it is valid and of a later iteration."""
        planned, other = run_of(tmp_path / "other", project.ZOO["gan"], seeds=[1])
        project.run_jobs(planned)
        foreign = cut[1].path / "checkpoint-29.pt"
        foreign.write_bytes(other.checkpoints()[0].read_bytes())
        (warning,) = self.finish(cut, whole)
        assert str(foreign) in warning

    def test_in_the_middle_of_a_write(self, cut: tuple[Planned, RunFolder], whole: RunFolder) -> None:
        """A file with a temporary name is removed and not read."""
        left = cut[1].path / ".checkpoint-30.pt.1.a.tmp"
        left.write_bytes(b"half")
        assert self.finish(cut, whole) == []
        assert not left.exists()


class TestDamaged:
    def test_samples_fail_the_run_and_stay(self, cut: tuple[Planned, RunFolder], messages: Messages) -> None:
        """Damaged snapshots are not overwritten. After their removal, as the error advises, the run resumes."""
        planned, folder = cut
        samples = folder.path / "samples.npz"
        samples.write_bytes(b"PK\x03\x04 damaged")
        assert project.run_jobs(planned) == "failed"
        assert samples.read_bytes() == b"PK\x03\x04 damaged"
        error = project.record(folder.path)["error"]
        assert error["type"] == "StoreError"
        reason = error["message"].partition("(")[2].partition(")")[0]  # numpy's or zipfile's
        messages.check(error["message"], samples, hide={reason: "REASON", folder.path.name: "RUN"})
        samples.unlink()
        assert project.run_jobs(planned) == "finished"
        assert sorted(folder.read_samples()) == [30]

    def test_folder_of_another_run_is_not_changed(self, cut: tuple[Planned, RunFolder], messages: Messages) -> None:
        """A run never writes to a folder whose record has another key."""
        planned, folder = cut
        record = project.record(folder.path) | {"key": "f" * 64}
        project.write_record(folder.path, record)
        events: list[Event] = []
        assert execute(planned.jobs[0], planned.registry, events.append, project.never) == "failed"
        assert project.record(folder.path) == record
        (warning,) = (event.message for event in events if isinstance(event, Warned))
        messages.check(warning, folder.path, hide={folder.path.name: "RUN"})


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmark of a model that fails and one that diverges."""
    folder = tmp_path_factory.mktemp("bad")
    models = [{"plugin": "failing"}, {"plugin": "diverging"}]
    return project.write(folder, project.describe(models), bad=project.BAD)


class TestFailing:
    def test_is_recorded_with_its_traceback(
        self, bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: RunFolder
    ) -> None:
        """Error and traceback are stored. After a fix of the code the run resumes, and the traceback is removed."""
        monkeypatch.chdir(tmp_path)
        planned = project.plan(bad, tmp_path)
        folder = Path(planned.jobs[0].folder)
        assert project.run_jobs(planned) == "failed"
        record = project.record(folder)
        assert (record["status"], record["iteration"]) == ("failed", 3)
        assert record["error"] == {"type": "RuntimeError", "message": "no luck ↓"}
        trace = (folder / "error.txt").read_text(encoding="utf-8")
        assert trace.startswith("Traceback") and trace.endswith("RuntimeError: no luck ↓\n")
        (tmp_path / "mended").touch()
        assert project.run_jobs(planned) == "finished"
        assert not (folder / "error.txt").exists()
        mended, plain = project.outcome(folder), project.outcome(whole.path)
        assert project.difference(mended["trainer"], plain["trainer"]) is None

    def test_before_anything_is_built(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run whose model cannot be built fails without a ledger."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        model = planned.registry.get("models", "gan")
        monkeypatch.setattr(model, "build", lambda self, networks: 1 / 0)
        assert project.run_jobs(planned) == "failed"
        record = project.record(folder.path)
        assert (record["error"]["type"], record["ledger"]) == ("ZeroDivisionError", None)

    def test_metric_does_not_affect_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A metric that raises is NaN with its error in the record; the run finishes."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        metric = planned.registry.get("metrics", "modes")

        def broken(self: Any, samples: Any) -> float:
            raise ArithmeticError("uncountable")

        monkeypatch.setattr(metric, "compute", broken)
        assert project.run_jobs(planned) == "finished"
        assert project.record(folder.path)["metric_errors"] == {"modes": "ArithmeticError: uncountable"}
        values = {(row["metric"], row["iteration"]): row["value"] for row in folder.read_curve()}
        assert values["modes", "30"] == "nan"
        assert np.isfinite(float(values["symmetric_kl", "30"]))

    @pytest.mark.parametrize(
        ("message", "memory"),
        [
            ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
            ("Triton Error [CUDA]: out of memory", True),
            ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", True),
            ("out of resource: shared memory, Required: 262144, Hardware limit: 232448", False),
            ("CUDA error: an illegal memory access was encountered", False),
        ],
    )
    def test_for_lack_of_memory_is_recognised(self, message: str, memory: bool) -> None:
        """Out-of-memory errors of libraries are recognised by their messages, also as the cause of another error."""
        assert out_of_memory(RuntimeError(message)) == memory
        outer = ValueError("while compiling")
        outer.__cause__ = RuntimeError(message)
        assert out_of_memory(outer) == memory
        assert not out_of_memory(ValueError(message))

    def test_metric_for_lack_of_memory_fails_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A metric without enough memory is not recorded as undefined: in a smaller stack it may fit."""
        planned, _ = run_of(tmp_path, project.ZOO["gan"])

        def greedy(self: Any, samples: Any) -> float:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

        monkeypatch.setattr(planned.registry.get("metrics", "modes"), "compute", greedy)
        assert project.run_jobs(planned) == "failed"


class TestDiverging:
    def test_is_found_at_the_next_evaluation(self, bad: Path, tmp_path: Path, messages: Messages) -> None:
        """NaN parameters from iteration 12 on end the run at the next evaluation; earlier files are kept."""
        planned = project.plan(bad, tmp_path)
        assert project.run_jobs(planned, planned.jobs[1]) == "diverged"
        folder = RunFolder(Path(planned.jobs[1].folder))
        record = project.record(folder.path)
        assert (record["status"], record["iteration"]) == ("diverged", 15)
        assert record["error"]["type"] == "Diverged"
        messages.check(record["error"]["message"], "discriminator.", 15)
        assert {int(row["iteration"]) for row in folder.read_curve()} == {0, 10}
        assert folder.checkpoints()[0].name == "checkpoint-10.pt"


class TestEvaluation:
    def test_happens_when_it_is_due(self, whole: RunFolder) -> None:
        """Cheap metrics are due at every interval and special point, expensive ones and snapshots at special points."""
        at: dict[str, list[int]] = {}
        for row in whole.read_curve():
            at.setdefault(row["metric"], []).append(int(row["iteration"]))
        assert at["modes"] == [0, 10, 15, 20, 30]
        assert at["wasserstein"] == [0, 15, 30]
        assert at["loss_generator"] == [10, 15, 20, 30]
        assert sorted(whole.read_samples()) == [0, 15, 30]
        assert {int(row["iteration"]) for row in whole.read_classes()} == {0, 15, 30}

    def test_stores_the_shares_of_the_modes(self, whole: RunFolder) -> None:
        """Shares of the mixture and of each generator are stored: a class for each mode, and one for other samples."""
        last = [row for row in whole.read_classes() if row["iteration"] == "30"]
        assert [(row["generator"], row["class"], row["n"]) for row in last] == [
            (generator, name, "200") for generator in ("", "0") for name in [*"01234567", "(none)"]
        ]
        assert sum(float(row["share"]) for row in last) == pytest.approx(2)

    def test_stores_no_classes_without_a_metric_of_classes(self, tmp_path: Path) -> None:
        planned, folder = run_of(tmp_path, project.ZOO["gan"], evaluation={"metrics": ["symmetric_kl"]})
        assert project.run_jobs(planned) == "finished"
        assert not (folder.path / "classes.csv").exists()

    @pytest.mark.parametrize(("samples", "n"), [(200, "200"), (100, "100")])
    def test_again_replaces_the_shares_of_its_iteration(self, tmp_path: Path, samples: int, n: str) -> None:
        """After an evaluation with a further metric, or with other samples, an iteration has one set of shares."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        project.run_jobs(planned)
        before = folder.read_classes()
        again = {"metrics": [*project.METRICS, "high_quality"], "samples": samples}
        planned, _ = run_of(tmp_path, project.ZOO["gan"], evaluation=again)
        project.run_jobs(planned)
        after = folder.read_classes()
        assert len(after) == len(before) and (after == before) == (samples == 200)
        assert {row["n"] for row in after if row["iteration"] == "30"} == {n}

    @pytest.mark.parametrize(
        ("iterations", "every", "points", "due"),
        [(30, 10, 2, [0, 10, 15, 20, 30]), (7, 100, 1, [0, 7]), (5, 2, 3, [0, 2, 3, 4, 5]), (2, 5, 9, [0, 1, 2])],
    )
    def test_always_includes_both_ends(self, iterations: int, every: int, points: int, due: list[int]) -> None:
        """The first and the last iteration are evaluated in full, for any interval."""
        schedule = Schedule(every, 10, (), points)
        assert [t for t in range(iterations + 1) if schedule.due(t, iterations)] == due
        assert {0, iterations} <= schedule.expensive_at(iterations)

    def test_of_a_metric_added_later_retrains_nothing(
        self, whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A finished run gets the new score from its stored generators; its other scores do not change."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        project.run_jobs(planned)
        before = folder.read_curve()
        evaluation = {"metrics": [*project.METRICS, "high_quality"]}
        planned, _ = run_of(tmp_path, project.ZOO["gan"], evaluation=evaluation)
        assert len(planned.todo) == 1
        monkeypatch.setattr("gan_bench.training.trainer.Trainer.iterate", lambda self: 1 / 0)
        assert project.run_jobs(planned) == "finished"
        curve = folder.read_curve()
        assert curve[: len(before)] == before
        (new,) = curve[len(before) :]
        assert (new["iteration"], new["metric"], new["n"]) == ("30", "high_quality", "200")
        monkeypatch.undo()
        planned, direct = run_of(tmp_path / "direct", project.ZOO["gan"], evaluation=evaluation)
        project.run_jobs(planned)
        (expected,) = [r for r in direct.read_curve() if (r["iteration"], r["metric"]) == ("30", "high_quality")]
        assert new == expected
        assert run_of(tmp_path, project.ZOO["gan"], evaluation=evaluation)[0].todo == []

    def test_with_another_number_of_samples_is_added(self, tmp_path: Path) -> None:
        """Scores from another number of samples do not count as evaluated."""
        planned, folder = run_of(tmp_path, project.ZOO["gan"])
        project.run_jobs(planned)
        planned, _ = run_of(tmp_path, project.ZOO["gan"], evaluation={"samples": 100})
        assert len(planned.todo) == 1
        project.run_jobs(planned)
        last = {(row["metric"], row["n"]) for row in folder.read_curve() if row["iteration"] == "30"}
        assert {("modes", "200"), ("modes", "100")} <= last
        assert run_of(tmp_path, project.ZOO["gan"], evaluation={"samples": 100})[0].todo == []

    def test_of_anchors_needs_no_training(self, tmp_path: Path) -> None:
        """Real data and the untrained model are only evaluated, at iteration 0."""
        planned = project.plan(project.describe(evaluation={"anchors": True}), tmp_path)
        anchors = [job for job in planned.jobs if job.run.model.anchor]
        assert [job.run.label for job in anchors] == ["real-data", "untrained"]
        for job in anchors:
            assert project.run_jobs(planned, job) == "finished"
            curve = RunFolder(Path(job.folder)).read_curve()
            assert {row["iteration"] for row in curve} == {"0"}
            assert {row["metric"] for row in curve} == set(project.METRICS)


MEDDLING = (
    project.HEAD
    + '''
import random
import numpy as np
from gan_bench import Metric

class Meddling(GAN):
    """Changes the process in each call of a loss, and when it is built."""
    name = "meddling"

    def build(self, networks):
        os.environ["GAN_BENCH_DATA"] = "/nowhere"
        return super().build(networks)

    def generator_loss(self, fake):
        os.chdir("/")
        np.seterr(all="raise")
        random.seed(1)
        return super().generator_loss(fake)

class Ending(Metric):
    """Ends the process."""
    name = "ending"
    direction = "none"
    unit = ""

    def compute(self, samples):
        torch.set_default_dtype(torch.float64)
        os._exit(0)

@hookimpl
def gan_bench_models():
    return [Meddling]

@hookimpl
def gan_bench_metrics():
    return [Ending]
'''
)


class TestProcess:
    def test_is_restored_after_code_of_plugins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Results are those of a GAN; each change is reported once, with the part of the run that made it."""
        monkeypatch.chdir(tmp_path)
        models = [{"plugin": "meddling"}, {"plugin": "gan"}]
        metrics = {"evaluation": {"metrics": [*project.METRICS, "ending"]}}
        file = project.write(tmp_path, project.describe(models, **metrics), meddling=MEDDLING)
        planned = project.plan(file, tmp_path / "results")
        state = os.getcwd(), os.environ.get("GAN_BENCH_DATA"), np.geterr(), torch.get_default_dtype()
        events: list[Event] = []
        for job in planned.jobs:
            assert execute(job, planned.registry, events.append, project.never) == "finished"
            assert (os.getcwd(), os.environ.get("GAN_BENCH_DATA"), np.geterr(), torch.get_default_dtype()) == state
        meddling, gan = (project.outcome(Path(job.folder)) for job in planned.jobs)
        for part in ("trainer", "curve", "samples"):
            assert project.difference(meddling[part], gan[part]) is None
        warnings = [event.message for event in events if isinstance(event, Warned)]
        key = planned.jobs[0].run.key
        own = [event.message for event in events if isinstance(event, Warned) and event.key == key]
        assert [message.split(" changed ")[0] for message in own] == ["Setting up the run", "Metric ending", "Training"]
        assert "GAN_BENCH_DATA" in own[0] and "default dtype" in own[1]
        assert "the working folder" in own[2] and "np.seterr" in own[2]
        assert len(warnings) == len(own) + 1  # the metric is one of the other run, too
        assert project.record(Path(planned.jobs[1].folder))["metric_errors"] == {"ending": "SystemExit: 0"}

    def test_begins_each_run_with_the_same_random_streams(self, tmp_path: Path) -> None:
        """A model that draws from them has the values of a new process, whatever was drawn before."""
        source = project.plugin(
            "dicing",
            "def generator_loss(self, fake):",
            "    import random, numpy",
            "    return super().generator_loss(fake) * (random.random() + numpy.random.rand() + torch.rand(()))",
        )
        file = project.write(tmp_path, project.describe([{"plugin": "dicing"}]), dicing=source)
        found = []
        for number in range(2):
            planned = project.plan(file, tmp_path / str(number))
            torch.rand(number + 1)
            np.random.rand(number + 1)
            assert project.run_jobs(planned) == "finished"
            found.append(project.outcome(Path(planned.jobs[0].folder)))
        assert project.difference(*found) is None


class TestExactness:
    def test_on_a_gpu_is_that_of_the_plan(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plan of float32 disables TF32, with 19 bits, which torch allows for convolutions by default."""
        cudnn = torch.backends.cudnn
        for name, value in (("allow_tf32", True), ("deterministic", False), ("benchmark", True)):
            monkeypatch.setattr(cudnn, name, value)
        planned = project.plan(project.describe(), tmp_path)
        found = set()

        def stop() -> bool:
            found.add((cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark))
            return False

        assert project.run_jobs(planned, stop=stop) == "finished"
        assert found == {(False, True, False)}
        assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (True, False, True)  # as before the run


class TestJob:
    def test_equals_its_copy_through_json(self, tmp_path: Path) -> None:
        """The jobs that a worker decodes equal those that the command encoded."""
        planned, _ = run_of(tmp_path, project.ZOO["mgan"])
        job = planned.jobs[0]
        assert decode_request(encode_jobs([job, job])) == [job, job]

    def test_reports_its_evaluations(self, tmp_path: Path) -> None:
        """Each evaluation is reported with its iteration and the scores of the mixture."""
        planned, _ = run_of(tmp_path, project.ZOO["gan"])
        events: list[Event] = []
        execute(planned.jobs[0], planned.registry, events.append, project.never)
        evaluated = [event for event in events if isinstance(event, Evaluated)]
        assert [event.iteration for event in evaluated] == [0, 10, 15, 20, 30]
        assert evaluated[-1].scores.keys() >= set(project.METRICS)


MEASURE = """
import resource, sys
from pathlib import Path
from tests.support import project
for iterations in (200, 2000):
    benchmark = project.describe(
        [project.ZOO["mgan"]], protocol={"iterations": iterations}, evaluation={"every": 10_000, "points": 1}
    )
    project.run_jobs(project.plan(benchmark, Path(sys.argv[1])))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_iterations(tmp_path: Path) -> None:
    """2,000 iterations need the memory of 200, to within a kilobyte per iteration."""
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    short, long = map(int, done.stdout.split())
    assert long - short < 1800  # KiB
