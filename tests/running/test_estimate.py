"""Estimates of how long runs take."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.run import Job
from gan_bench.planning.planned import Planned
from gan_bench.running import estimate as module
from gan_bench.running.estimate import Estimates, Forecast, estimate, longest_first
from gan_bench.store.run_folder import RunFolder
from tests.support import project


def stored(results: Path, ledger: Mapping[str, Any] = {}, **changes: Any) -> Planned:
    """Plan of a benchmark with one finished run, whose ledger has 3 s of training for 30 iterations."""
    planned = project.plan(project.describe(seeds=2), results)
    project.run_jobs(planned)
    folder = RunFolder(Path(planned.jobs[0].folder))
    record = project.record(folder.path)
    times = {"train_seconds": 3.0, "evaluation_seconds": 0.6, "compile_seconds": 7.0}
    project.write_record(folder.path, record | {"ledger": record["ledger"] | times | ledger} | changes)
    return project.plan(project.describe(seeds=2), results)


def seconds(planned: Planned, **options: Any) -> list[float]:
    """Estimate the seconds of each run to do, without probes."""
    found = estimate(planned.todo, planned.registry, results=planned.folder.parent, workers=1, probe=False, **options)
    return [found.seconds[job.run.key] for job in planned.todo]


class TestEarlierRuns:
    def test_of_other_seeds_give_the_time_of_a_run(self, tmp_path: Path) -> None:
        """Training and evaluation count per iteration, compilation once."""
        assert seconds(stored(tmp_path)) == [pytest.approx(3.6 + 7)]

    def test_of_fewer_iterations_count_as_well(self, tmp_path: Path) -> None:
        """A run of four times the iterations of a preview takes four times as long."""
        stored(tmp_path)
        whole = project.plan(project.describe(name="whole", protocol={"iterations": 120}), tmp_path)
        assert seconds(whole) == [pytest.approx(4 * 3.6 + 7)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"provenance": {"cpu": "another"}},
            {"resumed": [{"cpu": "another"}]},
            {"ledger": {"device": "NVIDIA H200", "train_seconds": 3.0}},
            {"ledger": {"device": "cpu", "train_seconds": 0.5}},
            {"ledger": {}},
        ],
    )
    def test_of_another_machine_or_too_short_do_not(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        stored(tmp_path, **changes) if "ledger" not in changes else self.with_ledger(tmp_path, changes["ledger"])
        other = project.plan(project.describe(name="other"), tmp_path)
        assert all(map(math.isnan, seconds(other)))

    @pytest.mark.parametrize(("device", "known"), [("NVIDIA H200", True), ("cpu", False)])
    def test_of_any_gpu_count_if_other_machines_have_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, known: bool
    ) -> None:
        """A machine without a GPU that plans for the GPUs of a cluster estimates from runs on them."""
        monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
        planned = stored(tmp_path, {"device": device}, provenance={"cpu": "another"})
        there = replace(planned, jobs=[replace(job, device="cuda") for job in planned.jobs])
        assert math.isnan(*seconds(there)) != known

    def with_ledger(self, results: Path, ledger: dict[str, Any]) -> None:
        planned = stored(results)
        folder = RunFolder(Path(planned.jobs[0].folder))
        project.write_record(folder.path, project.record(folder.path) | {"ledger": ledger})

    def test_of_other_settings_do_not(self, tmp_path: Path) -> None:
        stored(tmp_path)
        other = project.plan(project.describe(name="other", protocol={"batch": 16}), tmp_path)
        assert all(map(math.isnan, seconds(other)))

    def test_that_are_damaged_are_skipped(self, tmp_path: Path) -> None:
        """A damaged run of another benchmark is not an error."""
        planned = stored(tmp_path)
        (Path(planned.jobs[0].folder) / "run.json").write_text('{"form')
        assert all(map(math.isnan, seconds(project.plan(project.describe(name="other"), tmp_path))))


class TestProbes:
    def test_measure_models_without_earlier_runs(self, tmp_path: Path) -> None:
        planned = project.plan(project.describe(seeds=2), tmp_path)
        found = estimate(planned.todo, planned.registry, results=tmp_path, workers=2)
        assert all(value > 0 for value in found.seconds.values()) and len(found.probed) == 1
        assert list(tmp_path.iterdir()) == []

    def test_are_left_out_if_other_machines_have_the_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The times are unknown; that is not a failure of the models."""
        monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
        planned = project.plan(project.describe(), tmp_path)
        jobs = [replace(job, device="cuda") for job in planned.todo]
        found = estimate(jobs, planned.registry, results=tmp_path, workers=1)
        assert math.isnan(*found.seconds.values()) and not found.failed

    def test_survive_models_that_fail_or_kill_their_process(self, tmp_path: Path) -> None:
        """Only the times of these models are unknown."""
        models = [{"plugin": name} for name in ("failing", "suicidal", "leaving", "gan")]
        file = project.write(tmp_path, project.describe(models), bad=project.BAD)
        planned = project.plan(file, tmp_path / "results")
        found = estimate(planned.todo, planned.registry, results=tmp_path / "results", workers=2)
        unknown = {job.run.label: math.isnan(found.seconds[job.run.key]) for job in planned.todo}
        assert unknown == {"failing": True, "suicidal": True, "leaving": True, "gan": False}
        assert len(found.failed) == 3

    def test_that_are_impossible_in_a_fork_are_not_failures_of_the_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Autograd raises in forks of a process that compiled something. The speed is then unknown."""
        message = f"Unable to handle autograd's threading {module.BAD_FORK}."
        monkeypatch.setattr(module, "_timed", lambda trainer: (_ for _ in ()).throw(RuntimeError(message)))
        planned = project.plan(project.describe(), tmp_path)
        found = estimate(planned.todo, planned.registry, results=tmp_path, workers=1)
        assert math.isnan(*found.seconds.values()) and not found.failed and not found.probed

    def test_end_when_their_time_is_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time of a model that exceeds the budget is unknown; the model does not count as failed."""
        slow = project.plugin("slow", "def turns(self, iteration):", "    time.sleep(60)")
        file = project.write(tmp_path, project.describe([{"plugin": "slow"}]), slow=slow)
        planned = project.plan(file, tmp_path / "results")
        started = time.monotonic()
        found = estimate(planned.todo, planned.registry, results=tmp_path, workers=1, budget=0.5)
        assert math.isnan(*found.seconds.values()) and not found.failed
        assert time.monotonic() - started < 60


def jobs(tmp_path: Path, labels: str, seeds: int) -> list[Job]:
    """Jobs of a benchmark with this number of seeds, and a model for each letter of `labels`."""
    models = [{"plugin": "mgan", "label": label, "generators": 2 + k} for k, label in enumerate(labels)]
    return list(project.plan(project.describe(models, seeds=seeds), tmp_path).jobs)


def known(found: list[Job], by_label: Mapping[str, float]) -> Estimates:
    """Estimates with the seconds of jobs, by label."""
    return Estimates({job.run.key: by_label[job.run.label] for job in found})


def test_the_longest_of_a_seed_starts_first(tmp_path: Path) -> None:
    """Runs of unknown duration come first, because they may be the longest; seeds keep their order."""
    found = jobs(tmp_path, "ABC", 2)
    ordered = longest_first(found, known(found, {"A": 1.0, "B": 9.0, "C": math.nan}))
    assert [(job.run.label, job.run.seed) for job in ordered] == [
        ("C", 0), ("B", 0), ("A", 0), ("C", 1), ("B", 1), ("A", 1),
    ]  # fmt: skip


class TestForecast:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [100.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        return now

    def ends(self, forecast: Forecast, found: list[Job]) -> list[float]:
        by_key = forecast.ends()
        return [by_key[job.run.key] for job in found if job.run.key in by_key]

    def test_fills_the_workers_in_order(self, tmp_path: Path, clock: list[float]) -> None:
        """Of two workers, the one with the run of 1 s also executes the run of 4 s."""
        found = jobs(tmp_path, "ABC", 1)
        estimates = known(found, {"A": 9.0, "B": 1.0, "C": 4.0})
        assert self.ends(Forecast([[job] for job in found], estimates, 2), found) == [9, 1, 5]

    def test_uses_the_mean_for_unknown_runs(self, tmp_path: Path, clock: list[float]) -> None:
        found = jobs(tmp_path, "ABC", 1)
        estimates = known(found, {"A": 9.0, "B": 1.0, "C": math.nan})
        assert self.ends(Forecast([[job] for job in found], estimates, 1), found) == [9, 10, 15]
        nothing = known(found, dict.fromkeys("ABC", math.nan))
        assert Forecast([[job] for job in found], nothing, 1).ends() == {}

    def test_follows_the_reports_of_runs(self, tmp_path: Path, clock: list[float]) -> None:
        """Reported remaining time counts from its report; the duration of a finished run applies to its other seeds."""
        found = jobs(tmp_path, "A", 2)
        forecast = Forecast([[job] for job in found], known(found, {"A": 10.0}), 1)
        forecast.start(found[0].run.key)
        clock[0] += 4
        assert self.ends(forecast, found) == [6, 16]
        forecast.report(found[0].run.key, 20.0)
        clock[0] += 5
        assert self.ends(forecast, found) == [15, 25]
        clock[0] += 11
        forecast.end(found[0].run.key, finished=True)
        assert self.ends(forecast, found[1:]) == [20]

    def test_of_other_seeds_survives_a_resumed_run(self, tmp_path: Path, clock: list[float]) -> None:
        """A resumed run scales the estimates of other seeds by its ratio of actual to expected time."""
        found = jobs(tmp_path, "A", 2)
        estimates = Estimates({found[0].run.key: 10.0, found[1].run.key: 1000.0})
        forecast = Forecast([[job] for job in found], estimates, 1)
        forecast.start(found[0].run.key)
        clock[0] += 15
        forecast.end(found[0].run.key, finished=True)
        assert self.ends(forecast, found) == [1500]

    def test_divides_the_time_of_a_stack_by_its_seeds(self, tmp_path: Path, clock: list[float]) -> None:
        found = jobs(tmp_path, "A", 4)
        forecast = Forecast([found[:2], found[2:]], known(found, {"A": 5.0}), 1)
        assert self.ends(forecast, found) == [10, 10, 20, 20]
        for job in found[:2]:
            forecast.start(job.run.key)
        clock[0] += 30
        for job in found[:2]:
            forecast.end(job.run.key, finished=True)
        assert self.ends(forecast, found[2:]) == [30, 30]


def test_a_compiled_job_prefers_the_speed_of_a_compiled_run(tmp_path: Path) -> None:
    """Of two earlier runs of the same work, the one that was executed in the same way counts."""
    planned = stored(tmp_path)
    folder = RunFolder(Path(planned.jobs[0].folder))
    record = project.record(folder.path)
    plan = record["ledger"]["plan"] | {"compiled": True}
    fast = record | {"ledger": record["ledger"] | {"plan": plan, "train_seconds": 1.4}, "key": "0" * 64}
    project.write_record(tmp_path / "other" / "runs" / f"{folder.path.name[:-12]}{'0' * 12}", fast)
    other = project.plan(project.describe(name="third"), tmp_path)
    job = replace(other.jobs[0], compile="always")
    found = estimate([job], other.registry, results=tmp_path, workers=1, probe=False)
    assert found.seconds[job.run.key] == pytest.approx(1.4 + 0.6 + 7)
