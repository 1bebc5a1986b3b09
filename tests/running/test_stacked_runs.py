"""Runs in a stack: each has the folder of a single run, and no run affects the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.events import Evaluated, Warned
from gan_bench.contracts.run import Job
from gan_bench.errors import Diverged, UsageError
from gan_bench.planning.jobs import stacks
from gan_bench.planning.planned import Planned
from gan_bench.planning.prepare import choose_stack
from gan_bench.running import active_run, execution_modes
from gan_bench.running.active_run import ActiveRun
from gan_bench.running.execute import execute_stack
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages

SEEDS = 3
Events = list[Mapping[str, Any]]


def planned_for(results: Path, model: str | Mapping[str, Any] = "gan", stack: str | int = SEEDS) -> Planned:
    """Plan of a benchmark with three seeds of a model."""
    one = project.ZOO[model] if isinstance(model, str) else model
    return project.plan(project.describe([one], seeds=SEEDS), results, stack=stack)


def run_jobs(
    planned: Planned, jobs: Sequence[Job] | None = None, stop: Callable[[], bool] = project.never
) -> tuple[list[str], Events]:
    """Execute jobs in a stack; return how each ended, and the events."""
    events: Events = []
    return execute_stack(jobs or planned.jobs, planned.registry, events.append, stop), events


def folders(planned: Planned) -> list[RunFolder]:
    """Folders of the jobs, in their order."""
    return [RunFolder(Path(job.folder)) for job in planned.jobs]


def outcomes(planned: Planned) -> list[dict[str, Any]]:
    """Files of each run that are equal to the last bit between executions of the same plan."""
    found = []
    for job in planned.jobs:
        state, _ = RunFolder(Path(job.folder)).load_checkpoint(job.run.key)
        assert state is not None
        curve = (Path(job.folder) / "curve.csv").read_text(encoding="utf-8")
        found.append({"trainer": state["trainer"], "curve": curve})
    return found


def warnings(events: Events) -> list[str]:
    """Messages of the warnings among events."""
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Plan of three seeds of a GAN that were trained in one stack."""
    planned = planned_for(tmp_path_factory.mktemp("whole"))
    ended, events = run_jobs(planned)
    assert ended == ["finished"] * SEEDS and not warnings(events)
    return planned


class TestFinished:
    def test_have_the_scores_of_single_runs(self, whole: Planned, tmp_path: Path) -> None:
        """Scores of all evaluations are equal up to the rounding errors of 30 iterations."""
        single = planned_for(tmp_path, stack="never")
        for job in single.jobs:
            assert project.run_jobs(single, job) == "finished"
        for one, stacked in zip(folders(single), folders(whole), strict=True):
            rows = list(zip(one.read_curve(), stacked.read_curve(), strict=True))
            assert rows
            for alone, together in rows:
                assert {**alone, "value": ""} == {**together, "value": ""}
                assert float(together["value"]) == pytest.approx(float(alone["value"]), rel=2e-3, abs=1e-4, nan_ok=True)

    def test_record_the_size_of_the_stack(self, whole: Planned) -> None:
        """Only the plan in the ledger depends on the other members of the stack."""
        for folder in folders(whole):
            record = project.record(folder.path)
            assert record["ledger"]["plan"]["stack"] == SEEDS
            assert record["ledger"]["updates"] == {"discriminator": 30, "generator": 30}
            assert record["ledger"]["train_seconds"] > 0

    def test_share_one_checkpoint_file(self, whole: Planned) -> None:
        """A checkpoint is written once and linked to each folder."""
        names = {tuple(path.name for path in folder.checkpoints()) for folder in folders(whole)}
        assert names == {("checkpoint-30.pt", "checkpoint-20.pt")}
        assert len({folder.checkpoints()[0].stat().st_ino for folder in folders(whole)}) == 1

    @pytest.mark.slow
    def test_report_events_of_each_run(self, tmp_path: Path) -> None:
        """Every event has the key of its run."""
        planned = planned_for(tmp_path)
        _, events = run_jobs(planned)
        evaluated = [(event.key, event.iteration) for event in events if isinstance(event, Evaluated)]
        assert sorted(evaluated) == sorted((job.run.key, t) for job in planned.jobs for t in (0, 10, 15, 20, 30))

    def test_have_complete_folders(self, whole: Planned, tmp_path: Path) -> None:
        """The copy of a single folder has the checkpoint of its run."""
        job = whole.jobs[1]
        shutil.copytree(job.folder, tmp_path / "copy")
        state, passed_over = RunFolder(tmp_path / "copy").load_checkpoint(job.run.key)
        assert state is not None and not passed_over
        assert state["key"] == job.run.key


class TestInterrupted:
    def test_anywhere_equals_uninterrupted(self, whole: Planned, tmp_path: Path) -> None:
        """Parameters, optimisers, state and curve are equal to the last bit, for every member."""
        planned = planned_for(tmp_path)
        for more in (3, 7, 1, 12):
            assert run_jobs(planned, stop=project.stop_at(more))[0] == ["interrupted"] * SEEDS
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        assert project.difference(dict(enumerate(outcomes(whole))), dict(enumerate(outcomes(planned)))) is None

    def test_while_checkpoints_are_linked(self, whole: Planned, tmp_path: Path) -> None:
        """If a kill left one folder without the newest checkpoint, all members resume from the one before, stacked."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, stop=project.stop_at(20))[0] == ["interrupted"] * SEEDS
        (folders(planned)[1].path / "checkpoint-20.pt").unlink()
        ended, events = run_jobs(planned)
        assert ended == ["finished"] * SEEDS and not warnings(events)
        assert project.difference(dict(enumerate(outcomes(whole))), dict(enumerate(outcomes(planned)))) is None
        assert all(len(project.record(folder.path)["plans"]) == 1 for folder in folders(planned))

    @pytest.mark.slow
    def test_with_a_seed_at_another_iteration(self, tmp_path: Path) -> None:
        """Seeds at different iterations are not stacked; each of them finishes."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, planned.jobs[:2], project.stop_at(20))[0] == ["interrupted"] * 2
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        stacked = [project.record(folder.path)["plans"][-1]["stack"] for folder in folders(planned)]
        assert stacked == [2, 2, 1]

    def test_with_a_finished_seed(self, tmp_path: Path) -> None:
        """A finished seed does not change, even if it has the checkpoint of an interrupted seed's iteration."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, planned.jobs[:2])[0] == ["finished"] * 2
        assert run_jobs(planned, planned.jobs[2:], project.stop_at(20))[0] == ["interrupted"]
        before = outcomes(planned)[:2]
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        assert project.difference(dict(enumerate(before)), dict(enumerate(outcomes(planned)[:2]))) is None
        plans = [[plan["stack"] for plan in project.record(folder.path)["plans"]] for folder in folders(planned)]
        assert plans == [[2], [2], [1]]

    def test_with_a_precision(self, tmp_path: Path) -> None:
        """Evaluations use float32. After one that ends a seed, the next seed is built in the protocol's precision."""
        described = project.describe([project.ZOO["gan"]], seeds=SEEDS, protocol={"precision": "tf32"})
        planned = project.plan(described, tmp_path, stack=SEEDS, compile="always")
        seen: list[bool] = []

        def note(*_: Any) -> None:
            seen.append(torch.backends.cuda.matmul.allow_tf32)
            raise NotCompilableError("only the precision is recorded")

        def diverge(*_: Any, **__: Any) -> None:
            assert not torch.backends.cuda.matmul.allow_tf32
            raise Diverged("at its first evaluation")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execution_modes, "Stack", note)
            patch.setattr(execution_modes, "compile_iterations", note)
            patch.setattr(active_run, "evaluate", diverge)
            assert run_jobs(planned)[0] == ["diverged"] * SEEDS
        assert seen == [True] * (2 + SEEDS)  # twice for the stack, which fails, then once for each seed


class TestDiverged:
    def test_does_not_affect_others(self, tmp_path: Path, messages: Messages) -> None:
        """The other members of a seed that diverges have the results of a stack without it, to the last bit."""
        file = project.write(tmp_path, project.describe([{"plugin": "diverging"}], seeds=SEEDS), bad=project.BAD)
        planned = project.plan(file, tmp_path / "results", stack=SEEDS)
        ended, _ = run_jobs(planned)
        assert ended == ["diverged", "finished", "finished"]
        messages.check(project.record(folders(planned)[0].path)["error"]["message"], "discriminator.", 15)
        healthy = planned_for(tmp_path / "healthy")
        run_jobs(healthy)
        pairs = list(zip(outcomes(planned), outcomes(healthy), strict=True))[1:]
        assert [project.difference(*pair) for pair in pairs] == [None, None]

    def test_at_the_beginning_of_a_stage(self, tmp_path: Path, messages: Messages) -> None:
        """A member that a stage finds diverged, between evaluations, ends without the others."""
        planned = planned_for(tmp_path, {"plugin": "self-ensemble", "generators": 4})
        iterate, spoilt = Stack.iterate, 21  # stages begin at 0, 8, 15 and 23, evaluations at 20 and 30

        def spoiling(stack: Stack) -> None:
            if stack.leader.iteration == spoilt:
                with torch.no_grad():
                    next(stack.members[1].model.parameters()).fill_(float("nan"))
            iterate(stack)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stack, "iterate", spoiling)
            assert run_jobs(planned)[0] == ["finished", "diverged", "finished"]
        record = project.record(folders(planned)[1].path)
        assert spoilt < record["iteration"] < 30
        messages.check(record["error"]["message"], record["iteration"])


class TestFailing:
    @pytest.mark.slow
    def test_a_model_that_raises_fails_all_its_seeds(self, tmp_path: Path) -> None:
        """All seeds fail, because they share the code, and each folder has the traceback."""
        file = project.write(tmp_path, project.describe([{"plugin": "failing"}], seeds=SEEDS), bad=project.BAD)
        planned = project.plan(file, tmp_path / "results", stack=SEEDS)
        assert run_jobs(planned)[0] == ["failed"] * SEEDS
        for folder in folders(planned):
            assert "no luck" in (folder.path / "error.txt").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            pytest.param(
                RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
                marks=pytest.mark.slow,
            ),
        ],
        ids=["torch", "cublas"],
    )
    def test_out_of_memory_halves_the_stack(
        self, whole: Planned, tmp_path: Path, error: Exception, messages: Messages
    ) -> None:
        """The stack is halved until it fits, and resumes from the last checkpoint."""
        iterate = Stack.iterate

        def greedy(stack: Stack) -> None:
            if len(stack.members) > 1 and stack.leader.iteration == 15:
                raise error
            iterate(stack)

        planned = planned_for(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stack, "iterate", greedy)
            ended, events = run_jobs(planned)
        assert ended == ["finished"] * SEEDS
        messages.check(warnings(events)[0], 3, 2)
        plans = [[plan["stack"] for plan in project.record(folder.path)["plans"]] for folder in folders(planned)]
        assert plans == [[3, 2, 1], [3, 2, 1], [3, 1]]
        evaluated = [(event.key, event.iteration) for event in events if isinstance(event, Evaluated)]
        assert {key: evaluated.count((key, 10)) for key, _ in evaluated} == dict.fromkeys(dict(evaluated), 1)

    def test_out_of_memory_in_an_evaluation_halves_the_stack(self, tmp_path: Path) -> None:
        """Scores are computed in a smaller stack and are not recorded as undefined."""
        evaluate, settle, stacked = active_run.evaluate, ActiveRun.settle_plan, [SEEDS]

        def greedy(trainer: Any, *rest: Any, **more: Any) -> Any:
            if trainer.iteration == 10 and stacked[-1] > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return evaluate(trainer, *rest, **more)

        def noting(self: ActiveRun, **plan: Any) -> None:
            stacked.append(plan["stack"])
            settle(self, **plan)

        planned = planned_for(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(active_run, "evaluate", greedy)
            patch.setattr(ActiveRun, "settle_plan", noting)
            assert run_jobs(planned)[0] == ["finished"] * SEEDS
        assert {row["value"] for folder in folders(planned) for row in folder.read_curve()}.isdisjoint({"nan"})
        plans = [[plan["stack"] for plan in project.record(folder.path)["plans"]] for folder in folders(planned)]
        assert plans == [[3, 2, 1], [3, 2, 1], [3, 1]]

    @pytest.mark.slow
    def test_out_of_memory_in_a_single_run_fails_it(self, tmp_path: Path) -> None:
        """A single run without enough memory fails, so that the next command runs it again."""
        planned = planned_for(tmp_path)

        def greedy(stack: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gan_bench.training.trainer.Trainer.iterate", greedy)
            assert run_jobs(planned, planned.jobs[:1])[0] == ["failed"]
        assert project.record(folders(planned)[0].path)["error"]["type"] == "OutOfMemoryError"

    def test_seeds_that_cannot_be_stacked_run_one_at_a_time(self, tmp_path: Path, messages: Messages) -> None:
        """A warning gives the reason."""
        source = project.plugin(
            "reading",
            "def generator_loss(self, fake):",
            "    loss = super().generator_loss(fake)",
            "    return loss if loss.item() > -1 else -loss",
        )
        file = project.write(tmp_path, project.describe([{"plugin": "reading"}], seeds=SEEDS), reading=source)
        planned = project.plan(file, tmp_path / "results", stack=SEEDS)
        ended, events = run_jobs(planned)
        assert ended == ["finished"] * SEEDS
        messages.check(warnings(events)[0])
        assert {project.record(folder.path)["ledger"]["plan"]["stack"] for folder in folders(planned)} == {1}


class TestStacks:
    def test_have_seeds_of_one_configuration(self, tmp_path: Path) -> None:
        """A stack has as many seeds as allowed, in the order of the jobs, of a single model."""
        both = project.describe([project.ZOO["gan"], project.ZOO["mgan"]], seeds=5)
        planned = project.plan(both, tmp_path, stack=2)
        found = [[(job.run.label, job.run.seed) for job in stack] for stack in stacks(planned.jobs)]
        assert sorted(map(len, found)) == [1, 1, 2, 2, 2, 2]
        flat = [each for stack in found for each in stack]
        assert sorted(flat) == sorted((job.run.label, job.run.seed) for job in planned.jobs)
        assert all(len({label for label, _ in stack}) == 1 for stack in found)

    def test_have_no_anchors(self, tmp_path: Path) -> None:
        """Anchors, which are not trained, are not stacked."""
        planned = project.plan(project.describe(evaluation={"anchors": True}, seeds=2), tmp_path, stack=2)
        sizes = {(job.run.model.plugin, job.stack) for job in planned.jobs}
        assert sizes == {("gan", 2), ("real-data", 1), ("untrained", 1)}

    @pytest.mark.parametrize(
        ("wanted", "device", "heavy", "most"),
        [
            ("auto", "cpu", False, 1),
            ("auto", "cuda", False, 32),
            ("auto", "cuda", True, 1),
            ("never", "cuda", False, 1),
            ("4", "cpu", True, 4),
        ],
    )
    def test_depend_on_device_and_network(self, wanted: str, device: str, heavy: bool, most: int) -> None:
        """auto stacks seeds of small networks on a GPU; an explicit number applies to any device and network."""
        assert choose_stack(wanted, device, heavy=heavy) == most

    @pytest.mark.parametrize("wanted", ["0", "-1", "many", "1.5"])
    def test_of_an_invalid_size_are_an_error(self, wanted: str, messages: Messages) -> None:
        """The message lists the allowed values."""
        with messages.raises(UsageError, "--stack", wanted, "auto", "never"):
            choose_stack(wanted, "cpu", heavy=False)


@pytest.mark.slow
def test_by_the_command(tmp_path: Path) -> None:
    """`--stack` applies to the worker processes, and the table counts every seed."""
    project.write(tmp_path, project.describe([project.ZOO["gan"]], seeds=SEEDS))
    done = project.command("run", "tiny.toml", "--stack", str(SEEDS), "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = [project.record(folder) for folder in project.run_folders(tmp_path / "results")]
    assert [record["ledger"]["plan"]["stack"] for record in records] == [SEEDS] * SEEDS
    assert "3 finished" in done.stdout + done.stderr


@pytest.mark.slow
def test_without_links_each_folder_has_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On file systems without links, such as some network drives, each folder has a copy of the checkpoint."""

    def refuse(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(os, "link", refuse)
    planned = planned_for(tmp_path)
    assert run_jobs(planned)[0] == ["finished"] * SEEDS
    for folder, job in zip(folders(planned), planned.jobs, strict=True):
        assert folder.load_checkpoint(job.run.key)[0] is not None
