"""A run in execution: its folder, record and trainer, and the files that each evaluation writes.

A run evaluates at iteration 0, at every `every` iterations and at the end; each evaluation ends with a
checkpoint. A resumed run drops everything in its folder that is later than the checkpoint and computes it again. A
run interrupted at any moment, by any signal, therefore ends as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from gan_bench.contracts.events import Compiling, Evaluated, Progress, Report, Warned
from gan_bench.contracts.images import reduced
from gan_bench.contracts.run import CHECK_IMAGES, Job
from gan_bench.errors import StoreError, error_text
from gan_bench.evaluation.evaluate import check_in_parts, evaluate, evaluated_by_initial_averages
from gan_bench.plugins.registry import Registry
from gan_bench.running.evaluations import Evaluations
from gan_bench.running.record import Usage, execution_plan, ledger, scheduled_metrics, start_record
from gan_bench.store.attempts import read_attempt
from gan_bench.store.checkpoints import CheckpointState
from gan_bench.store.records import ErrorRecord, Ledger, RunRecord, Status
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.assembly import make_trainer
from gan_bench.training.trainer import Trainer


class Reporter:
    """Report events of one run."""

    def __init__(self, key: str, report: Report) -> None:
        self._key, self._report = key, report
        self._warnings: set[str] = set()

    def progress(self, iteration: int, iterations: int, rate: float) -> None:
        """Report the number of completed iterations, and iterations per second."""
        self._report(Progress(self._key, iteration, iterations, rate))

    def compiling(self) -> None:
        """Report that the first iteration is being compiled."""
        self._report(Compiling(self._key))

    def evaluated(self, iteration: int, iterations: int, scores: Mapping[str, float]) -> None:
        """Report an evaluation whose checkpoint is written."""
        self._report(Evaluated(self._key, iteration, iterations, scores))

    def warn(self, message: str) -> None:
        """Report a warning, each only once."""
        if message not in self._warnings:
            self._warnings.add(message)
            self._report(Warned(self._key, message))


class ActiveRun:
    """One run in execution, alone or in a stack with others.

    Attributes:
        evaluations: its scores, shares of classes and snapshots.
        usage: seconds and memory so far.
        status: how it ended, "finished", "interrupted", "diverged" or "failed"; "running" until then.
        resumed_from: the iteration of the checkpoint from which it resumed; 0 without one.
    """

    def __init__(self, job: Job, registry: Registry, report: Report) -> None:
        self.job, self.registry = job, registry
        self.reporter = Reporter(job.run.key, report)
        self.folder = RunFolder(Path(job.folder))
        self.evaluations, self.usage = Evaluations(), Usage()
        self.status: Status = "running"
        self._record: RunRecord | None = None
        self.resumed_from = 0
        self._trainer: Trainer | None = None
        self._trusts_files = False  # whether the folder is as the run, or a later evaluation, left it

    @property
    def trainer(self) -> Trainer:
        """Current iteration of the run."""
        assert self._trainer is not None
        return self._trainer

    @property
    def record(self) -> RunRecord:
        """Contents of run.json, now or after the next write."""
        assert self._record is not None
        return self._record

    @property
    def begun(self) -> bool:
        """Whether the run has a record."""
        return self._record is not None

    @property
    def last(self) -> int:
        """Last iteration of the run."""
        return self.record.iterations

    @property
    def due(self) -> bool:
        """Whether the current iteration is due for evaluation."""
        return self.job.schedule.due(self.trainer.iteration, self.last)

    def begin(self) -> None:
        """Write the record of a run that has started; keep the plan that an earlier attempt recorded."""
        earlier = self.folder.read_own(self.job.run.key)
        self.folder.sweep()
        if earlier is not None:
            unchanged = bool(earlier.files) and earlier.files == self.folder.digests()
            self._trusts_files = unchanged or bool(earlier.rescored)
        attempt = read_attempt(self.folder.path) if self.job.attempt else None
        self._record = replace(start_record(self.job, self.registry, earlier), attempts=attempt.lost if attempt else ())
        self.evaluations.errors |= self.record.metric_errors
        self.folder.write(self.record)

    def update_record(self, **changes: Any) -> None:
        """Change fields of the record; `folder.write` writes it."""
        self._record = replace(self.record, **changes)

    def set_up(self, at: int | None = None) -> None:
        """Build the trainer and resume from the newest usable checkpoint, or from the one of iteration `at`.

        Raises any exception of a plugin.
        """
        self.evaluations, self.usage = Evaluations(errors=self.evaluations.errors), Usage()
        self._trainer = trainer = make_trainer(self.job.run, self.registry, self.job.device)
        check_in_parts(trainer)
        built = replace(
            self.record.model,
            generators=trainer.model.generators,
            sharing=trainer.model.sharing,
            initial_averages=evaluated_by_initial_averages(trainer),
        )
        self.update_record(model=built, iterations=self.record.iterations if trainer.trains else 0)
        most, schedule = trainer.model.most_samples(trainer.dataset), self.job.schedule
        if most is not None and most < schedule.samples:  # the held-out size may be known only once data are loaded
            self.job = replace(self.job, schedule=replace(schedule, samples=most))
        self._resume(trainer, at)

    def settle_plan(self, *, compiled: bool, graph: bool, stack: int) -> None:
        """Record how the run is executed; a second plan means that it resumed under another one."""
        plan = execution_plan(self.job, compiled=compiled, graph=graph, stack=stack)
        if plan not in self.record.plans[-1:]:
            self.update_record(plans=(*self.record.plans, plan))
            self.folder.write(self.record)

    def evaluate(self) -> None:
        """Compute missing scores of this iteration and write all files; a checkpoint has to follow.

        Raises:
            Diverged: parameters or samples are not finite.
        """
        trainer, evaluations = self.trainer, self.evaluations
        started = time.perf_counter()
        t, schedule = trainer.iteration, self.job.schedule
        full = t in schedule.expensive_at(self.last)
        due = [
            metric
            for metric in scheduled_metrics(self.job, self.registry)
            if full or not metric.is_expensive(trainer.dataset)
        ]
        metrics = [metric for metric in due if not evaluations.has(metric, t, schedule.samples)]
        if metrics or (full and t not in evaluations.snapshots):
            compared = reduced(trainer.dataset, CHECK_IMAGES) if self.job.check else trainer.dataset
            found = evaluate(
                trainer, metrics, schedule.samples, self.job.run.seed, dataset=compared, log=self.reporter.warn
            )
            if full:
                evaluations.add_classes(t, found)
                evaluations.add_snapshot(t, trainer, found.drawn, self.job.run.seed)
            evaluations.add(t, found, trainer.losses)
        self.usage.evaluation_seconds += time.perf_counter() - started
        evaluations.write(self.folder)

    def _resume(self, trainer: Trainer, at: int | None) -> None:
        """Load evaluations from the folder, up to the iteration of a checkpoint."""
        state, passed_over = self.folder.load_checkpoint(self.job.run.key, at)
        for path in passed_over:
            reached = 0 if state is None else state["trainer"]["iteration"]
            problem = f"{path}: the checkpoint is damaged or belongs to another run."
            self.reporter.warn(f"{problem} Resuming from iteration {reached}.")
        if state is None:
            return
        trainer.load_state_dict(state["trainer"])
        self.resumed_from = trainer.iteration
        self.usage = Usage.of_checkpoint(state)
        self._read_evaluations(state)

    def _read_evaluations(self, state: CheckpointState) -> None:
        """Load evaluations up to the iteration of a checkpoint. Rows that it implies and that are lost are restored.

        Files of a run that was scored again after its end are taken as they are: some rows were dropped on purpose.
        """
        reached, evaluations = self.trainer.iteration, self.evaluations
        evaluations.read_snapshots(self.folder, reached)
        if self._trusts_files or "curve" not in state:
            evaluations.read_rows(self.folder, reached)
            return
        try:
            evaluations.read_rows(self.folder, reached)
        except StoreError as error:
            self.reporter.warn(str(error).partition(" Move ")[0])
        lost = evaluations.restore(state["curve"], state.get("classes", ""))
        if lost:
            problem = f"{lost} scores up to iteration {reached} were missing or changed"
            self.reporter.warn(f"{self.folder.path}: {problem}. They are restored from the checkpoint.")

    def checkpoint(self) -> CheckpointState:
        """Contents of a checkpoint of this run."""
        measured = self.usage.measured(self.job.device)
        usage = {**measured.to_checkpoint(), **measured.gpu_to_checkpoint()}
        curve, classes = self.evaluations.texts()
        state = {"key": self.job.run.key, "trainer": self.trainer.state_dict(), "curve": curve, "classes": classes}
        return cast(CheckpointState, {**state, **usage})

    def checkpointed(self) -> None:
        """Record the current iteration."""
        self._record_training(self.trainer)
        self.folder.write(self.record)

    def forget(self) -> None:
        """Free the trainer and its memory."""
        self._trainer = None

    def end(self, status: Status, error: BaseException | None = None) -> None:
        """Record how the run ended and the error; for a failure also the traceback.

        If the folder cannot be written, the run has failed, and a warning gives the reason.
        """
        self.status = status
        try:
            self._record_end(status, error)
        except (StoreError, OSError) as failure:
            self.status = "failed"
            self.reporter.warn(f"Its end cannot be recorded: {failure}")
        self.forget()

    def _record_end(self, status: Status, error: BaseException | None) -> None:
        if self._record is None:  # the folder contains something else, which must not be overwritten
            return
        if status == "failed" and error is not None:
            self.folder.write_error(error)
        if self._trainer is not None:
            self._record_training(self._trainer)
        if error is not None:
            name, _, message = error_text(error).partition(": ")
            self.update_record(error=ErrorRecord(name, message))
        files = {} if status in ("running", "interrupted") else self.folder.digests()
        self.update_record(status=status, metric_errors=dict(self.evaluations.errors), files=files)
        self.folder.write(self.record)

    def _record_training(self, trainer: Trainer) -> None:
        """Change the record to what training has reached, used and read."""
        reads_labels = self.record.model.reads_labels or trainer.context.label_reads.found
        model = replace(self.record.model, reads_labels=reads_labels)
        self.update_record(iteration=trainer.iteration, ledger=self._ledger(trainer), model=model)

    def _ledger(self, trainer: Trainer) -> Ledger:
        plan = self.record.plans[-1] if self.record.plans else None
        return ledger(trainer, self.job.device, plan, self.usage.measured(self.job.device))
