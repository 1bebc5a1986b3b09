"""The record of a run: its start, execution plans and ledger."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, replace

import torch

from gan_bench.contracts.metric import Metric, lower_needs
from gan_bench.contracts.run import Job
from gan_bench.evaluation.snapshot import metric_facts
from gan_bench.planning.runs import TRAINING_VERSION
from gan_bench.plugins.instances import dataset_of
from gan_bench.plugins.registry import Registry
from gan_bench.running.provenance import plugin_facts, provenance
from gan_bench.store.checkpoints import CheckpointState, GpuState, UsageState
from gan_bench.store.records import ExecutionPlan, GpuMemory, Ledger, ModelRecord, RunRecord
from gan_bench.training.trainer import Trainer


def scheduled_metrics(job: Job, registry: Registry) -> list[Metric]:
    """Metrics of a job that need no more samples than it has; a check lowers the numbers they need."""
    samples = job.schedule.samples
    metrics = [registry.get("metrics", name)() for name in job.schedule.metrics]
    if job.check:
        metrics = [lower_needs(metric, samples) for metric in metrics]
    return [metric for metric in metrics if metric.needs <= samples]


def start_record(job: Job, registry: Registry, earlier: RunRecord | None) -> RunRecord:
    """Build the record of a run that starts or resumes.

    Args:
        earlier: its record so far, whose history and plans are kept.
    """
    run = job.run
    dataset = dataset_of(run.dataset.plugin, run.dataset.params, registry)
    metrics = {
        metric.name: metric_facts(metric, job.schedule.samples, dataset) for metric in scheduled_metrics(job, registry)
    }
    now = provenance(job.device, plugin_facts(registry, run))
    record = RunRecord(
        key=run.key,
        configuration=run.configuration,
        benchmark=run.benchmark,
        dataset=run.dataset,
        model=ModelRecord(run.model.plugin, run.model.params, run.model.anchor),
        seed=run.seed,
        protocol=run.protocol,
        status="running",
        iterations=0 if run.model.anchor else run.protocol.iterations,
        metrics=metrics,
        provenance=now,
        training_version=TRAINING_VERSION,
    )
    if earlier is None:
        return record
    return replace(
        record,
        model=replace(record.model, reads_labels=earlier.model.reads_labels),
        metrics={**earlier.metrics, **metrics},
        metric_errors=earlier.metric_errors,
        provenance=earlier.provenance,
        resumed=(*earlier.resumed, now),
        plans=earlier.plans,
        rescored=earlier.rescored,
    )


def execution_plan(job: Job, *, compiled: bool, graph: bool, stack: int) -> ExecutionPlan:
    """Describe the execution of a job's iterations on this machine."""
    precision = job.run.protocol.precision
    return ExecutionPlan(
        device=device_name(job.device),
        threads=job.threads,
        stack=stack,
        compiled=compiled,
        graph=graph,
        precision="float32" if precision == "tf32" and job.device == "cpu" else precision,  # a CPU has no tf32
        torch=str(torch.__version__),
    )


@dataclass
class Usage:
    """Seconds and memory used by a run, over all its processes.

    Attributes:
        peak_memory_mb: of earlier processes, in MiB.
        gpu_reserved_mb: reserved on a GPU by earlier processes, in MiB.
    """

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    gpu_reserved_mb: float = 0.0

    @classmethod
    def of_checkpoint(cls, state: CheckpointState) -> Usage:
        """Read the usage from a checkpoint."""
        return cls(
            train_seconds=float(state["train_seconds"]),
            compile_seconds=float(state["compile_seconds"]),
            evaluation_seconds=float(state["evaluation_seconds"]),
            peak_memory_mb=float(state["peak_memory_mb"]),
            gpu_reserved_mb=float(state.get("gpu_reserved_mb", 0.0)),
        )

    def to_checkpoint(self) -> UsageState:
        """Convert the usage to its form in a checkpoint."""
        return {
            "train_seconds": self.train_seconds,
            "compile_seconds": self.compile_seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def gpu_to_checkpoint(self) -> GpuState:
        """Convert the memory of a GPU to its form in a checkpoint; empty on a CPU."""
        return {"gpu_reserved_mb": self.gpu_reserved_mb} if self.gpu_reserved_mb else {}

    def measured(self, device: str) -> Usage:
        """The usage including the memory of this process."""
        return replace(
            self,
            peak_memory_mb=round(max(self.peak_memory_mb, peak_memory_mb(device)), 1),
            gpu_reserved_mb=round(max(self.gpu_reserved_mb, gpu_reserved_mb(device)), 1),
        )


def ledger(trainer: Trainer, device: str, plan: ExecutionPlan | None, usage: Usage) -> Ledger:
    """Resources that a run has used so far."""
    return Ledger(
        parameters={
            name: sum(p.numel() for p in trainer.model.get_submodule(name).parameters())
            for name in trainer.model.players
        },
        updates=dict(trainer.counts.updates),
        real_samples=trainer.counts.real_samples,
        fake_samples=trainer.counts.fake_samples,
        train_seconds=round(usage.train_seconds, 3),
        compile_seconds=round(usage.compile_seconds, 3),
        evaluation_seconds=round(usage.evaluation_seconds, 3),
        peak_memory_mb=usage.peak_memory_mb,
        device=device_name(device),
        plan=plan,
        generator_samples=trainer.usage,
        gpu_memory=GpuMemory(usage.gpu_reserved_mb, gpu_total_mb()) if device == "cuda" else None,
    )


def device_name(device: str) -> str:
    """ "cpu", or the name of the GPU."""
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def peak_memory_mb(device: str) -> float:
    """Highest resident memory of this process in MiB; on a GPU the device's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def gpu_reserved_mb(device: str) -> float:
    """Highest memory that this process has reserved on its GPU in MiB; 0 on a CPU."""
    return torch.cuda.max_memory_reserved() / 2**20 if device == "cuda" else 0.0


def gpu_total_mb() -> float:
    """Memory of this process's GPU in MiB."""
    return round(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**20, 1)
