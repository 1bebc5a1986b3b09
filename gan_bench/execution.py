"""Carrying out one run, from wherever its folder says it got to, to its end.

A run evaluates at iteration 0, at every `every` iterations and at the end; each evaluation ends with a
checkpoint. What lies in the folder beyond the checkpoint it resumes from is dropped and computed again, so that
a run interrupted at any moment, by any signal, ends as an uninterrupted one.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.compilation import NotCompilableError, compile_iterations
from gan_bench.dataset import Dataset
from gan_bench.errors import Diverged, StoreError
from gan_bench.evaluation import Drawn, Evaluation, evaluate, fixed
from gan_bench.images import is_images
from gan_bench.metric import Metric
from gan_bench.model import Model
from gan_bench.plan import Run, dataset_of, from_plain
from gan_bench.plugins import Registry
from gan_bench.protocol import Protocol
from gan_bench.provenance import plugin_facts, provenance
from gan_bench.store import FORMAT, RunFolder, curve_rows, with_classes
from gan_bench.training import Trainer, build

COMPILE_FROM = 5_000
"""Iterations from which compiling one, which takes about ten seconds, repays itself on a CPU."""

SNAPSHOT = 512  # samples kept at each snapshot, as in MGAN's figure 2
REPORT_SECONDS = 0.5

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Schedule:
    """When and how a run is evaluated."""

    every: int
    samples: int
    metrics: tuple[str, ...]
    points: int

    def expensive_at(self, iterations: int) -> frozenset[int]:
        """The iterations that get expensive metrics and a snapshot as well: evenly spaced, both ends included."""
        return frozenset(round(iterations * i / self.points) for i in range(self.points + 1))

    def due(self, iteration: int, iterations: int) -> bool:
        """Whether an iteration is evaluated."""
        return iteration % self.every == 0 or iteration in self.expensive_at(iterations)


@dataclass(frozen=True)
class Job:
    """A run, where it lives, how it is evaluated and what it runs on: plain values that any process can read.

    Attributes:
        compile: "always", "never", or "auto": as the run began, and a new one where it is long enough to repay it.
    """

    run: Run
    folder: str
    schedule: Schedule
    device: str
    threads: int = 1
    compile: str = "auto"

    @property
    def likely_compiled(self) -> bool:
        """Whether a new run of this job is compiled, if it can be."""
        long = self.device == "cpu" and self.run.protocol["iterations"] >= COMPILE_FROM
        return not self.run.model["anchor"] and (self.compile == "always" or (self.compile == "auto" and long))

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        schedule = values["schedule"] | {"metrics": tuple(values["schedule"]["metrics"])}
        return cls(**dict(values) | {"run": Run(**values["run"]), "schedule": Schedule(**schedule)})


@dataclass
class _Progress:
    """What a run has written or will write with its next evaluation."""

    curve: list[dict[str, str]] = field(default_factory=list)
    classes: Sequence[Mapping[str, str]] = ()
    snapshots: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    metric_errors: dict[str, str] = field(default_factory=dict)


def instantiate(run: Run, registry: Registry) -> tuple[Model, Dataset, Protocol]:
    """The model (not yet built), dataset and protocol of a run."""
    model_class = registry.get("models", run.model["plugin"])
    model = model_class(from_plain(model_class.Params, run.model["params"]))
    dataset = dataset_of(run.dataset["plugin"], run.dataset["params"], registry)
    return model, dataset, from_plain(Protocol, run.protocol)


def make_trainer(run: Run, registry: Registry, device: str) -> Trainer:
    """The trainer of a run at iteration 0."""
    model, dataset, protocol = instantiate(run, registry)
    network_class = registry.get("networks", protocol.network)
    network = network_class(from_plain(network_class.Params, protocol.network_params))
    target = torch.device(device)
    build(model, network, dataset, protocol, run.seed, target)
    return Trainer(model, dataset, protocol, run.seed, target)


def load_trainer(folder: RunFolder, registry: Registry, device: str) -> Trainer:
    """The trainer of a stored run, as its newest checkpoint left it. Raises StoreError."""
    record = folder.read()
    if record is None:
        raise StoreError(f"{folder.path}: no run.json. Give a folder of results/NAME/runs/.")
    state, _ = folder.load_checkpoint(record["key"])
    if state is None:
        raise StoreError(
            f"{folder.path}: no usable checkpoint. Move the folder away and run the benchmark again to make one."
        )
    try:
        trainer = make_trainer(run_of(record), registry, device)
        trainer.load_state_dict(state["trainer"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{folder.path}: its checkpoint does not fit the model's code of today ({error}).") from error
    return trainer


def run_of(record: Mapping[str, Any]) -> Run:
    """The run that a record describes; labels are the benchmark's, so it has none."""
    names = ("benchmark", "dataset", "model", "protocol", "seed", "configuration", "key")
    return Run(label="", **{name: record[name] for name in names})


def has_score(rows: Sequence[Mapping[str, str]], metric: Metric, iteration: int, n: int) -> bool:
    """Whether rows of a curve hold a score of this version of a metric, at an iteration, from n samples."""
    wanted = (str(iteration), metric.name, str(n), str(metric.version))
    return any((row["iteration"], row["metric"], row["n"], row["version"]) == wanted for row in rows)


def snapshot(trainer: Trainer, draw: Callable[[], Drawn], seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """What a run keeps of an evaluation's samples: the first of a draw; of images those of fixed latents instead.

    Returns:
        x (n, *shape), uint8 for images, and the generator of each (n,), -1 where there is none.
    """
    kept = fixed(trainer, seed) if is_images(trainer.dataset) else draw()
    x = kept.x.cpu().numpy() if isinstance(kept.x, torch.Tensor) else kept.x[:SNAPSHOT]
    index = np.full(len(x), -1) if kept.generator is None else kept.generator[: len(x)]
    return x, index


def compute_exactly() -> None:
    """What the plan says on a GPU too: float32 in full, and convolutions that add up in the same order each time."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def metric_facts(metric: Metric, samples: int, dataset: Dataset) -> dict[str, Any]:
    """What the record of a run says of a metric that it was scored with; `note` where something was prepared for it."""
    keys = ("direction", "unit", "version", "per_generator")
    note = metric.note(dataset)
    return {key: getattr(metric, key) for key in keys} | {"samples": samples} | ({"note": note} if note else {})


def execute(job: Job, registry: Registry, report: Report, stop: Callable[[], bool]) -> str:
    """Carry out a run and record how it ended: "finished", "interrupted", "diverged" or "failed".

    Args:
        report: told of progress and evaluations, as plain dictionaries.
        stop: asked before each iteration; True checkpoints and ends the run as interrupted.
    """
    return _Execution(job, registry, report, stop).carry_out()


class _Execution:
    """One call of `execute`."""

    def __init__(self, job: Job, registry: Registry, report: Report, stop: Callable[[], bool]) -> None:
        self.job, self.registry, self.report, self.stop = job, registry, report, stop
        self.folder = RunFolder(Path(job.folder))
        self.progress = _Progress()
        self.record: dict[str, Any] = {}
        self.trainer: Trainer | None = None

    def carry_out(self) -> str:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self._begin()
        error: BaseException | None = None
        try:
            status = self._train()
        except Diverged as divergence:
            status, error = "diverged", divergence
        except Exception as failure:  # recorded; the other runs go on
            status, error = "failed", failure
            trace = traceback.format_exc().encode(errors="backslashreplace")
            (self.folder.path / "error.txt").write_bytes(trace)
        self._end(status, error)
        return status

    def _begin(self) -> None:
        """Write the record of a run that has started, keeping what an earlier attempt recorded of its plan."""
        run = self.job.run
        earlier = self.folder.read_own(run.key)
        self.folder.sweep()
        (self.folder.path / "error.txt").unlink(missing_ok=True)
        torch.set_num_threads(self.job.threads)
        compute_exactly()
        self.record = {
            "format": FORMAT,
            "key": run.key,
            "configuration": run.configuration,
            "benchmark": run.benchmark,
            "dataset": dict(run.dataset),
            "model": dict(run.model),
            "seed": run.seed,
            "protocol": dict(run.protocol),
            "status": "running",
            "iteration": 0,
            "iterations": 0 if run.model["anchor"] else run.protocol["iterations"],
            "error": None,
            "ledger": {},
            "metrics": (earlier or {}).get("metrics", {}) | self._metric_facts(),
            **self._history(earlier or {}),
        }
        self.progress.metric_errors |= (earlier or {}).get("metric_errors", {})
        self.folder.write(self.record)

    def _history(self, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Where the run started, where else it went on, and under which plans."""
        now = provenance(self.job.device) | {"plugins": plugin_facts(self.registry, self.job.run)}
        first = earlier.get("provenance", now)
        resumed = [*earlier.get("resumed", []), now] if earlier else []
        scored = {"rescored": earlier["rescored"]} if "rescored" in earlier else {}  # see `gan_bench.rescoring`
        return {"provenance": first, "resumed": resumed, "plans": [*earlier.get("plans", [])], **scored}

    def _train(self) -> str:
        self.trainer = make_trainer(self.job.run, self.registry, self.job.device)
        self.record["model"] |= {
            "generators": self.trainer.model.generators,
            "sharing": self.trainer.model.sharing,
        }
        self._take_what_there_is(self.trainer)
        self._resume(self.trainer)
        last = self.record["iterations"] if self.trainer.trains else 0
        self.record["iterations"] = last
        if self.trainer.iteration < last or not self.record["plans"]:
            compiled = self._compile(self.trainer)
            if compiled is not None:
                self._settle_plan(compiled)
        while True:
            if self.job.schedule.due(self.trainer.iteration, last):
                self._evaluate(self.trainer, last)
            if self.trainer.iteration >= last:
                return "finished"
            if not self._train_until_due(self.trainer, last):
                self._checkpoint(self.trainer)
                return "interrupted"

    def _take_what_there_is(self, trainer: Trainer) -> None:
        """No more samples than the model has: how many a data set holds out may be known only now."""
        most, schedule = trainer.model.most_samples(trainer.dataset), self.job.schedule
        if most is not None and most < schedule.samples:
            self.job = replace(self.job, schedule=replace(schedule, samples=most))

    def _compile(self, trainer: Trainer) -> bool | None:
        """Compile the iterations that are left, if they are to be; whether they are, None where asked to stop."""
        if not self._wants_compiled():
            return False
        self.report({"event": "compiling"})
        started = time.perf_counter()
        try:
            compile_iterations(trainer, self._warn)
        except NotCompilableError as error:
            if self.stop():  # the signal ends the C++ compiler as well: nothing is settled
                return None
            self._warn(f"It runs uncompiled: {error}.")
            return False
        finally:
            self.progress.compile_seconds += time.perf_counter() - started
        return True

    def _wants_compiled(self) -> bool:
        plans = self.record["plans"]
        if plans and self.job.compile == "auto":  # as it began, unless it goes on where nothing is compiled
            return bool(plans[-1]["compiled"]) and self.job.device == "cpu"
        return self.job.likely_compiled

    def _settle_plan(self, compiled: bool) -> None:
        """Record what the run runs under; a second plan says that it went on under another one."""
        plan = self._plan(compiled)
        if plan not in self.record["plans"][-1:]:
            self.record["plans"].append(plan)
            self.folder.write(self.record)

    def _train_until_due(self, trainer: Trainer, last: int) -> bool:
        """Iterate up to the next evaluation; False where asked to stop before it."""
        started = said = time.perf_counter()
        first = trainer.iteration
        schedule = self.job.schedule
        special = schedule.expensive_at(last)
        going = True
        while going:
            if self.stop():
                break
            trainer.iterate()
            t = trainer.iteration
            going = not (t % schedule.every == 0 or t in special)
            now = time.perf_counter()
            if now - said > REPORT_SECONDS:
                self._say(t, last, (t - first) / (now - started))
                said = now
        _synchronize(trainer)
        self.progress.train_seconds += time.perf_counter() - started
        return not going

    def _evaluate(self, trainer: Trainer, last: int) -> None:
        """Score what is not scored yet at this iteration, then write everything, the checkpoint last."""
        started = time.perf_counter()
        t, schedule = trainer.iteration, self.job.schedule
        full = t in schedule.expensive_at(last)
        asked = [metric for metric in self._metrics() if full or not metric.is_expensive(trainer.dataset)]
        metrics = [metric for metric in asked if not self._has(metric, t)]
        if metrics or (full and t not in self.progress.snapshots):
            found = evaluate(trainer, metrics, schedule.samples, self.job.run.seed)
            if full:
                self._keep(trainer, found, t)
            self.progress.metric_errors |= found.errors
            self.progress.curve += curve_rows(t, found.scores)
            here = {row["metric"] for row in self.progress.curve if row["iteration"] == str(t)}
            losses = [_loss_row(t, *item) for item in trainer.losses.items()]
            self.progress.curve += [row for row in losses if row["metric"] not in here]
        self.progress.evaluation_seconds += time.perf_counter() - started
        self.folder.write_classes(self.progress.classes)  # before the scores, which say that they were told
        self.folder.write_curve(self.progress.curve)
        self.folder.write_samples(self.progress.snapshots)
        self._checkpoint(trainer)
        self.report({"event": "evaluated", "iteration": t, "iterations": last, "scores": self._latest(t)})

    def _keep(self, trainer: Trainer, found: Evaluation, t: int) -> None:
        self.progress.classes = with_classes(self.progress.classes, t, found.classes)
        if t not in self.progress.snapshots:
            self.progress.snapshots[t] = snapshot(trainer, lambda: found.drawn, self.job.run.seed)

    def _has(self, metric: Metric, t: int) -> bool:
        return has_score(self.progress.curve, metric, t, self.job.schedule.samples)

    def _latest(self, t: int) -> dict[str, float]:
        rows = (row for row in self.progress.curve if row["iteration"] == str(t) and not row["generator"])
        return {row["metric"]: float(row["value"]) for row in rows}

    def _resume(self, trainer: Trainer) -> None:
        """Take over what the folder holds, up to its newest usable checkpoint."""
        state, passed_over = self.folder.load_checkpoint(self.job.run.key)
        for path in passed_over:
            reached = 0 if state is None else state["trainer"]["iteration"]
            self._warn(f"{path} is damaged or of another run; going on from iteration {reached}.")
        if state is None:
            return
        trainer.load_state_dict(state["trainer"])
        self.progress.train_seconds = float(state["train_seconds"])
        self.progress.compile_seconds = float(state["compile_seconds"])
        self.progress.peak_memory_mb = float(state["peak_memory_mb"])
        self.progress.evaluation_seconds = float(state["evaluation_seconds"])
        reached = trainer.iteration
        self.progress.curve = [row for row in self.folder.read_curve() if int(row["iteration"]) <= reached]
        self.progress.classes = [row for row in self.folder.read_classes() if int(row["iteration"]) <= reached]
        self.progress.snapshots = {t: s for t, s in self.folder.read_samples().items() if t <= reached}

    def _checkpoint(self, trainer: Trainer) -> None:
        self.folder.save_checkpoint(
            {
                "key": self.job.run.key,
                "trainer": trainer.state_dict(),
                "train_seconds": self.progress.train_seconds,
                "compile_seconds": self.progress.compile_seconds,
                "evaluation_seconds": self.progress.evaluation_seconds,
                "peak_memory_mb": self._peak_memory(),
            }
        )
        self.record["iteration"] = trainer.iteration
        self.record["ledger"] = self._ledger(trainer)
        self.folder.write(self.record)

    def _end(self, status: str, error: BaseException | None) -> None:
        self.record["status"] = status
        if self.trainer is not None:
            self.record["iteration"] = self.trainer.iteration
            self.record["ledger"] = self._ledger(self.trainer)
        if error is not None:
            self.record["error"] = {"type": type(error).__name__, "message": str(error)}
        self.record["metric_errors"] = self.progress.metric_errors
        self.folder.write(self.record)

    def _ledger(self, trainer: Trainer) -> dict[str, Any]:
        sizes = {
            name: sum(p.numel() for p in trainer.model.get_submodule(name).parameters())
            for name in trainer.model.players
        }
        return {
            "parameters": sizes,
            "updates": dict(trainer.counts.updates),
            "real_samples": trainer.counts.real_samples,
            "fake_samples": trainer.counts.fake_samples,
            "train_seconds": round(self.progress.train_seconds, 3),
            "compile_seconds": round(self.progress.compile_seconds, 3),
            "evaluation_seconds": round(self.progress.evaluation_seconds, 3),
            "peak_memory_mb": self._peak_memory(),
            "device": self._device_name(),
            "plan": self.record["plans"][-1] if self.record["plans"] else None,
        }

    def _peak_memory(self) -> float:
        """Highest resident memory of this run so far, over all its processes; on a GPU the device's."""
        now = _resident_mb() if self.job.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
        return round(max(self.progress.peak_memory_mb, now), 1)

    def _plan(self, compiled: bool) -> dict[str, Any]:
        """What must be equal for two executions of a run to agree to the last bit."""
        return {
            "device": self._device_name(),
            "threads": self.job.threads,
            "stack": 1,
            "compiled": compiled,
            "graph": False,
            "precision": "float32",
            "torch": torch.__version__,
        }

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.job.device == "cuda" else "cpu"

    def _metrics(self) -> Sequence[Metric]:
        made = (self.registry.get("metrics", name)() for name in self.job.schedule.metrics)
        return [metric for metric in made if metric.needs <= self.job.schedule.samples]

    def _metric_facts(self) -> dict[str, Any]:
        dataset = dataset_of(self.job.run.dataset["plugin"], self.job.run.dataset["params"], self.registry)
        return {metric.name: metric_facts(metric, self.job.schedule.samples, dataset) for metric in self._metrics()}

    def _warn(self, message: str) -> None:
        self.report({"event": "warning", "message": message})

    def _say(self, t: int, last: int, rate: float) -> None:
        self.report({"event": "progress", "iteration": t, "iterations": last, "rate": rate})


def _loss_row(t: int, player: str, loss: torch.Tensor) -> dict[str, str]:
    row = {"iteration": str(t), "generator": "", "metric": f"loss_{player}", "value": repr(float(loss))}
    return row | {"n": "", "version": ""}


def _synchronize(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


def _resident_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
