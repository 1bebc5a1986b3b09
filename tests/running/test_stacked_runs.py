"""Runs in a stack: each has the folder it would have alone, and what happens to one is no matter to the others."""

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

SEEDS = 3
Events = list[Mapping[str, Any]]


def planned_for(results: Path, model: str | Mapping[str, Any] = "gan", stack: str | int = SEEDS) -> Planned:
    """Three seeds of a model."""
    one = project.ZOO[model] if isinstance(model, str) else model
    return project.plan(project.describe([one], seeds=SEEDS), results, stack=stack)


def run_jobs(
    planned: Planned, jobs: Sequence[Job] | None = None, stop: Callable[[], bool] = project.never
) -> tuple[list[str], Events]:
    """How each ended, and what was told."""
    events: Events = []
    return execute_stack(jobs or planned.jobs, planned.registry, events.append, stop), events


def folders(planned: Planned) -> list[RunFolder]:
    """Of the jobs, in their order."""
    return [RunFolder(Path(job.folder)) for job in planned.jobs]


def outcomes(planned: Planned) -> list[dict[str, Any]]:
    """What is equal, bit for bit, between runs under the same plan."""
    found = []
    for job in planned.jobs:
        state, _ = RunFolder(Path(job.folder)).load_checkpoint(job.run.key)
        assert state is not None
        curve = (Path(job.folder) / "curve.csv").read_text(encoding="utf-8")
        found.append({"trainer": state["trainer"], "curve": curve})
    return found


def warnings(events: Events) -> list[str]:
    """The messages among events."""
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Three seeds of GAN that trained together, to the end."""
    planned = planned_for(tmp_path_factory.mktemp("whole"))
    ended, events = run_jobs(planned)
    assert ended == ["finished"] * SEEDS and not warnings(events)
    return planned


class TestFinished:
    def test_have_the_scores_of_single_runs(self, whole: Planned, tmp_path: Path) -> None:
        """At each evaluation, up to what rounding does in 30 iterations."""
        single = planned_for(tmp_path, stack="never")
        for job in single.jobs:
            assert project.run_jobs(single, job) == "finished"
        for one, stacked in zip(folders(single), folders(whole), strict=True):
            rows = list(zip(one.read_curve(), stacked.read_curve(), strict=True))
            assert rows
            for alone, together in rows:
                assert {**alone, "value": ""} == {**together, "value": ""}
                assert float(together["value"]) == pytest.approx(float(alone["value"]), rel=2e-3, abs=1e-4, nan_ok=True)

    def test_say_how_they_were_carried_out(self, whole: Planned) -> None:
        """The plan in the ledger alone tells that there were others, and how many."""
        for folder in folders(whole):
            record = project.record(folder.path)
            assert record["ledger"]["plan"]["stack"] == SEEDS
            assert record["ledger"]["updates"] == {"discriminator": 30, "generator": 30}
            assert record["ledger"]["train_seconds"] > 0

    def test_share_one_checkpoint_file(self, whole: Planned) -> None:
        """It is written once, and each folder has it."""
        names = {tuple(path.name for path in folder.checkpoints()) for folder in folders(whole)}
        assert names == {("checkpoint-30.pt", "checkpoint-20.pt")}
        assert len({folder.checkpoints()[0].stat().st_ino for folder in folders(whole)}) == 1

    @pytest.mark.slow
    def test_tell_of_each_run(self, tmp_path: Path) -> None:
        """Every event has the key of its run."""
        planned = planned_for(tmp_path)
        _, events = run_jobs(planned)
        evaluated = [(event.key, event.iteration) for event in events if isinstance(event, Evaluated)]
        assert sorted(evaluated) == sorted((job.run.key, t) for job in planned.jobs for t in (0, 10, 15, 20, 30))

    def test_a_folder_stands_for_itself(self, whole: Planned, tmp_path: Path) -> None:
        """Copied elsewhere, its run can be sampled and evaluated again."""
        job = whole.jobs[1]
        shutil.copytree(job.folder, tmp_path / "copy")
        state, passed_over = RunFolder(tmp_path / "copy").load_checkpoint(job.run.key)
        assert state is not None and not passed_over
        assert state["key"] == job.run.key


class TestInterrupted:
    def test_anywhere_equals_uninterrupted(self, whole: Planned, tmp_path: Path) -> None:
        """Parameters, optimisers, state and curve agree to the last bit, for every member."""
        planned = planned_for(tmp_path)
        for more in (3, 7, 1, 12):
            assert run_jobs(planned, stop=project.stop_at(more))[0] == ["interrupted"] * SEEDS
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        assert project.difference(dict(enumerate(outcomes(whole))), dict(enumerate(outcomes(planned)))) is None

    def test_while_checkpoints_are_linked(self, whole: Planned, tmp_path: Path) -> None:
        """A kill left one folder a checkpoint behind the others: all go on from there, together."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, stop=project.stop_at(20))[0] == ["interrupted"] * SEEDS
        (folders(planned)[1].path / "checkpoint-20.pt").unlink()
        ended, events = run_jobs(planned)
        assert ended == ["finished"] * SEEDS and not warnings(events)
        assert project.difference(dict(enumerate(outcomes(whole))), dict(enumerate(outcomes(planned)))) is None
        assert all(len(project.record(folder.path)["plans"]) == 1 for folder in folders(planned))

    @pytest.mark.slow
    def test_a_seed_that_comes_later(self, tmp_path: Path) -> None:
        """Seeds at different iterations are not stacked with each other; each gets to its end."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, planned.jobs[:2], project.stop_at(20))[0] == ["interrupted"] * 2
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        stacked = [project.record(folder.path)["plans"][-1]["stack"] for folder in folders(planned)]
        assert stacked == [2, 2, 1]

    def test_a_finished_seed_is_left_as_it_is(self, tmp_path: Path) -> None:
        """Beside one that stopped at a checkpoint which it has as well: its generators are those that were scored."""
        planned = planned_for(tmp_path)
        assert run_jobs(planned, planned.jobs[:2])[0] == ["finished"] * 2
        assert run_jobs(planned, planned.jobs[2:], project.stop_at(20))[0] == ["interrupted"]
        before = outcomes(planned)[:2]
        assert run_jobs(planned)[0] == ["finished"] * SEEDS
        assert project.difference(dict(enumerate(before)), dict(enumerate(outcomes(planned)[:2]))) is None
        plans = [[plan["stack"] for plan in project.record(folder.path)["plans"]] for folder in folders(planned)]
        assert plans == [[2], [2], [1]]

    def test_a_precision_lasts_from_seed_to_seed(self, tmp_path: Path) -> None:
        """Evaluations are in float32; where one ends a seed, the next one's program is made in the protocol's again."""
        described = project.describe([project.ZOO["gan"]], seeds=SEEDS, protocol={"precision": "tf32"})
        planned = project.plan(described, tmp_path, stack=SEEDS, compile="always")
        seen: list[bool] = []

        def note(*_: Any) -> None:
            seen.append(torch.backends.cuda.matmul.allow_tf32)
            raise NotCompilableError("it is looked at only")

        def diverge(*_: Any, **__: Any) -> None:
            assert not torch.backends.cuda.matmul.allow_tf32
            raise Diverged("at its first evaluation")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execution_modes, "Stack", note)
            patch.setattr(execution_modes, "compile_iterations", note)
            patch.setattr(active_run, "evaluate", diverge)
            assert run_jobs(planned)[0] == ["diverged"] * SEEDS
        assert seen == [True] * (2 + SEEDS)  # twice for the stack, which is refused, then for each seed


class TestDiverged:
    def test_is_the_end_of_one(self, tmp_path: Path) -> None:
        """The neighbours of a seed that diverges end to the last bit as they do beside one that does not."""
        file = project.write(tmp_path, project.describe([{"plugin": "diverging"}], seeds=SEEDS), bad=project.BAD)
        planned = project.plan(file, tmp_path / "results", stack=SEEDS)
        ended, _ = run_jobs(planned)
        assert ended == ["diverged", "finished", "finished"]
        assert "not finite at iteration 15" in project.record(folders(planned)[0].path)["error"]["message"]
        healthy = planned_for(tmp_path / "healthy")
        run_jobs(healthy)
        pairs = list(zip(outcomes(planned), outcomes(healthy), strict=True))[1:]
        assert [project.difference(*pair) for pair in pairs] == [None, None]

    def test_where_a_stage_begins(self, tmp_path: Path) -> None:
        """What a stage finds out about one member, between evaluations, ends that member alone."""
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
        assert spoilt < record["iteration"] < 30 and "is not finite" in record["error"]["message"]


class TestFailing:
    @pytest.mark.slow
    def test_a_model_that_raises_fails_all_its_seeds(self, tmp_path: Path) -> None:
        """It is the same code; each folder has the traceback."""
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
    def test_too_little_memory_halves_the_stack(self, whole: Planned, tmp_path: Path, error: Exception) -> None:
        """From the last checkpoint, until it fits; nothing that was done is lost."""
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
        assert [message for message in warnings(events) if "3 seeds at once need more memory" in message]
        plans = [[plan["stack"] for plan in project.record(folder.path)["plans"]] for folder in folders(planned)]
        assert plans == [[3, 2, 1], [3, 2, 1], [3, 1]]
        evaluated = [(event.key, event.iteration) for event in events if isinstance(event, Evaluated)]
        assert {key: evaluated.count((key, 10)) for key, _ in evaluated} == dict.fromkeys(dict(evaluated), 1)

    def test_so_does_an_evaluation_that_needs_too_much(self, tmp_path: Path) -> None:
        """Its scores are computed where there is room for them; none is taken for undefined."""
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
    def test_one_run_that_needs_too_much_memory_has_failed(self, tmp_path: Path) -> None:
        """It is tried again by the next command."""
        planned = planned_for(tmp_path)

        def greedy(stack: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gan_bench.training.trainer.Trainer.iterate", greedy)
            assert run_jobs(planned, planned.jobs[:1])[0] == ["failed"]
        assert project.record(folders(planned)[0].path)["error"]["type"] == "OutOfMemoryError"

    def test_what_cannot_be_stacked_runs_one_by_one(self, tmp_path: Path) -> None:
        """With the reason."""
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
        assert [m for m in warnings(events) if m.startswith("Its seeds run one by one: its code waits for")]
        assert {project.record(folder.path)["ledger"]["plan"]["stack"] for folder in folders(planned)} == {1}


class TestStacks:
    def test_hold_seeds_of_one_configuration(self, tmp_path: Path) -> None:
        """As many as may be, in the order of the jobs; another model is another stack."""
        both = project.describe([project.ZOO["gan"], project.ZOO["mgan"]], seeds=5)
        planned = project.plan(both, tmp_path, stack=2)
        found = [[(job.run.label, job.run.seed) for job in stack] for stack in stacks(planned.jobs)]
        assert sorted(map(len, found)) == [1, 1, 2, 2, 2, 2]
        flat = [each for stack in found for each in stack]
        assert sorted(flat) == sorted((job.run.label, job.run.seed) for job in planned.jobs)
        assert all(len({label for label, _ in stack}) == 1 for stack in found)

    def test_anchors_stand_alone(self, tmp_path: Path) -> None:
        """There is nothing to train."""
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
    def test_by_device_and_network(self, wanted: str, device: str, heavy: bool, most: int) -> None:
        """Many small operations gain by it, on a GPU; who asks for it has it anywhere."""
        assert choose_stack(wanted, device, heavy=heavy) == most

    @pytest.mark.parametrize("wanted", ["0", "-1", "many", "1.5"])
    def test_nonsense_is_refused(self, wanted: str) -> None:
        """With what is allowed."""
        with pytest.raises(UsageError, match=f"--stack {wanted}: it is auto, never, or a number of seeds"):
            choose_stack(wanted, "cpu", heavy=False)


@pytest.mark.slow
def test_by_the_command(tmp_path: Path) -> None:
    """`--stack` reaches the worker processes; the table counts every seed."""
    project.write(tmp_path, project.describe([project.ZOO["gan"]], seeds=SEEDS))
    done = project.command("run", "tiny.toml", "--stack", str(SEEDS), "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = [project.record(folder) for folder in project.run_folders(tmp_path / "results")]
    assert [record["ledger"]["plan"]["stack"] for record in records] == [SEEDS] * SEEDS
    assert "3 finished" in done.stdout + done.stderr


@pytest.mark.slow
def test_without_links_each_folder_has_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network drives."""

    def refuse(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(os, "link", refuse)
    planned = planned_for(tmp_path)
    assert run_jobs(planned)[0] == ["finished"] * SEEDS
    for folder, job in zip(folders(planned), planned.jobs, strict=True):
        assert folder.load_checkpoint(job.run.key)[0] is not None
