"""Runs of benchmarks for the checks, executed by workers or in this process and compared bit for bit."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import _warned
from _steps import Context, Failed
from _workloads import BENCHMARKS, WORKLOADS, Workload

import gan_bench
from gan_bench.contracts.events import Event, Warned
from gan_bench.contracts.run import Job, Schedule
from gan_bench.plugins.registry import Registry
from gan_bench.running.execute import execute_stack
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder

METRIC = "sliced_wasserstein"
TINY_RING: Mapping[str, Any] = {
    "batch": 8,
    "fakes": 32,
    "latent_size": 4,
    "network": {"plugin": "mlp", "hidden": 6},
}
TINY_IMAGES: Mapping[str, Any] = {
    "batch": 4,
    "fakes": 6,
    "latent_size": 4,
    "network": {"plugin": "dcgan", "width": 2},
}


def synthetic8(context: Context, iterations: int, every: int, samples: int = 1000) -> dict[str, Any]:
    """Return the benchmark synthetic8 as a mapping, shortened, with one cheap metric and no anchors."""
    source = tomllib.loads((BENCHMARKS / "synthetic8.toml").read_text(encoding="utf-8"))
    protocol = source["protocol"] | {"iterations": iterations} | (TINY_RING if context.tiny else {})
    samples = 64 if context.tiny else samples
    evaluation = {"every": every, "samples": samples, "points": 1, "metrics": [METRIC], "anchors": False}
    return source | {"protocol": protocol, "evaluation": evaluation}


@dataclass(frozen=True)
class Carried:
    """Records and warnings of a call of `gan_bench.run`."""

    records: Mapping[str, RunRecord]
    warnings: Sequence[str]

    def require(self, context: Context, **plan: Any) -> None:
        """Raise `Failed` unless all runs finished with this plan and without a warning."""
        wrong = [f"{name}: {record.status}" for name, record in self.records.items() if not finished(record)]
        if context.device == "cuda":
            wrong += [
                f"{name}: {key} is {getattr(record.plans[-1], key)}, not {value}"
                for name, record in self.records.items()
                if record.plans
                for key, value in plan.items()
                if getattr(record.plans[-1], key) != value
            ]
        wrong += [f"warning: {each}" for each in self.warnings]
        if wrong or not self.records:
            raise Failed("; ".join(wrong) or "there are no runs", **self.facts())

    def facts(self) -> dict[str, Any]:
        """Return statuses, plans and warnings."""
        runs = {
            name: {
                "status": record.status,
                "error": str(record.error or ""),
                "plan": asdict(record.plans[-1]) if record.plans else None,
            }
            for name, record in self.records.items()
        }
        return {"runs": runs, "warnings": [*self.warnings]}


def finished(record: RunRecord) -> bool:
    """Whether a run has finished."""
    return record.status == "finished"


def records_of(results: Path) -> dict[str, RunRecord]:
    """Return the records of all runs below a results folder, by the name of the run's folder."""
    found = {path.parent.name: RunFolder(path.parent).read() for path in sorted(results.glob("*/runs/*/run.json"))}
    return {name: record for name, record in found.items() if record is not None}


def through_workers(context: Context, name: str, benchmark: Mapping[str, Any], **options: Any) -> Carried:
    """Run a benchmark with `gan_bench.run`, whose workers are separate processes."""
    told = context.folder / f"{name}.warnings"
    told.write_text("", encoding="utf-8")
    os.environ[_warned.VARIABLE] = str(told)
    plugins = [Path(_warned.__file__)]
    folder = context.folder / name
    gan_bench.run(
        benchmark,
        device=context.device,
        results=folder,
        workers=1,
        plugins=plugins,
        observers=[_warned.Warnings.name],
        progress=False,
        **options,
    )
    warnings = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    return Carried(records_of(folder), warnings)


@dataclass(frozen=True)
class InProcess:
    """Runs of a workload, executed in this process.

    Attributes:
        workload: model and benchmark to train.
        iterations: number of iterations.
        every: iterations between checkpoints.
        samples: samples of an evaluation.
    """

    context: Context
    registry: Registry
    workload: Workload
    iterations: int
    every: int
    samples: int = 256

    def jobs(self, folder: Path, seeds: int = 1, device: str | None = None, compile: str = "never") -> list[Job]:
        """Return a job for each seed."""
        tiny = TINY_IMAGES if "images" in self.workload.data["plugin"] else TINY_RING
        protocol = {**self.workload.protocol, "iterations": self.iterations, **(tiny if self.context.tiny else {})}
        schedule = Schedule(self.every, 32 if self.context.tiny else self.samples, (METRIC,), 1)
        return [
            Job(run, str(folder / run.folder), schedule, device or self.context.device, compile=compile, stack=seeds)
            for run in replace(self.workload, protocol=protocol).runs(self.registry, seeds)
        ]

    def run_jobs(self, jobs: Sequence[Job], stop_at: int | None = None) -> list[str]:
        """Execute jobs together, stopped before iteration `stop_at` counted from here; return their warnings."""
        warnings: list[str] = []
        asked = count()

        def report(event: Event) -> None:
            if isinstance(event, Warned):
                warnings.append(event.message)
                print(event.message, flush=True)

        stop: Callable[[], bool] = (lambda: next(asked) >= stop_at) if stop_at is not None else (lambda: False)
        statuses = execute_stack(jobs, self.registry, report, stop)
        wanted = "finished" if stop_at is None else "interrupted"
        if any(status != wanted for status in statuses):
            records = [RunFolder(Path(job.folder)).read() for job in jobs]
            errors = [str(record.error or "") if record else "no record" for record in records]
            raise Failed(f"runs ended {statuses}, not {wanted}: {errors}", warnings=warnings)
        return warnings


def ring(context: Context, registry: Registry, iterations: int, every: int) -> InProcess:
    """Return runs of MGAN on the ring."""
    return InProcess(context, registry, WORKLOADS["mgan-ring"], iterations, every)


# --- comparison -----------------------------------------------------------------------------------------------


def final_state(folder: Path) -> dict[str, Any]:
    """Return what must be equal bit for bit in finished runs: the last checkpoint and the scores."""
    stored = RunFolder(folder)
    record = stored.read()
    state, _ = stored.load_checkpoint(record.key if record else "")
    if state is None:
        raise Failed(f"{folder.name} has no usable checkpoint")
    return {"trainer": state["trainer"], "curve": stored.read_curve()}
