"""Steps of the first command: whether the code runs on this GPU and computes the right values."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from _comparison import differences
from _environment import NEEDS_CUDA, fork, packages, tested
from _killed import killed
from _rates import COUNTS
from _runs import (
    InProcess,
    final_state,
    ring,
    synthetic8,
    through_workers,
)
from _steps import Context, Failed, Skipped, Step, Values, all_apart, apart
from _workloads import WORKLOADS, Bench, one_program, registry, together

from gan_bench.acceleration import cuda_graphs
from gan_bench.acceleration.compilation import as_traced
from gan_bench.acceleration.cuda_graphs import captured
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.api import load_run
from gan_bench.training.trainer import Trainer

# --- 5, 6: whole runs through workers -------------------------------------------------------------------------


def worker(context: Context) -> Values:
    """Run one seed through a worker, then three stacked; require CUDA graphs and no warning."""
    iterations, every = (4, 2) if context.tiny else (300, 100)
    benchmark = synthetic8(context, iterations, every)
    found = {}
    for name, seeds, stack in (("single", 1, "never"), ("stacked", 3, "3")):
        options = {"models": ["MGAN"], "seeds": seeds, "compile": "never", "stack": stack}
        ran = through_workers(context, f"worker-{name}", benchmark, **options)
        found[name] = ran.facts()
        context.note(**found)
        ran.require(context, graph=True, compiled=False, stack=seeds)
    return found


def compiled(context: Context) -> Values:
    """Run MGAN compiled, with and without shared noise, and three stacked seeds of three models."""
    iterations, every = (4, 2) if context.tiny else (200, 100)
    benchmark = synthetic8(context, iterations, every)
    mgan = next(model for model in benchmark["model"] if model["plugin"] == "mgan")
    shared = mgan | {"label": "MGAN, shared noise", "shared_noise": True}
    compile = "never" if context.tiny else "always"  # in a rehearsal the C++ compiler would take a minute
    single = {"seeds": 1, "compile": compile, "stack": "never"}
    stacked = {"seeds": 3, "compile": compile, "stack": "3"}
    stacked["models"] = ["GAN"] if context.tiny else ["MGAN", "D2GAN", "GAN"]
    ran = {
        "single": through_workers(context, "compiled-single", benchmark | {"model": [mgan, shared]}, **single),
        "stacked": through_workers(context, "compiled-stacked", benchmark, **stacked),
    }
    found = {name: each.facts() for name, each in ran.items()}
    context.note(**found)
    ran["single"].require(context, graph=True, compiled=True, stack=1)
    ran["stacked"].require(context, graph=True, compiled=True, stack=3)
    return found


# --- 7: interrupted and resumed -------------------------------------------------------------------------------


def resume(context: Context) -> Values:
    """Compare an interrupted and resumed run with an uninterrupted one, as a CUDA graph and compiled.

    Each part runs in a separate process. A compiled part also has a separate compilation cache, so that nothing is
    reused.
    """
    iterations, half = (6, 3) if context.tiny else (200, 100)
    runs = ring(context, registry(), iterations, half)
    found: dict[str, Any] = {}
    for plan in ("never",) if context.tiny else ("never", "always"):
        name = "graph" if plan == "never" else "compiled"
        whole, parts = (context.folder / f"resume-{name}-{part}" for part in ("whole", "parts"))
        later = (context.folder / f"inductor-{name}-{i}" for i in range(3))
        for folder, stop in ((whole, None), (parts, half + half // 2), (parts, None)):
            jobs = runs.jobs(folder, compile=plan)
            apart(partial(runs.run_jobs, jobs, stop), context.folder, TORCHINDUCTOR_CACHE_DIR=str(next(later)))
        (one,), (other,) = (folder.glob("*") for folder in (whole, parts))
        found[name] = differences(final_state(one), final_state(other)) or "equal"
        context.note(**found)
    if any(value != "equal" for value in found.values()):
        raise Failed("a resumed run differs from an uninterrupted one", **found)
    return found


# --- 8, 9: images and checkpoints -----------------------------------------------------------------------------


def images(context: Context) -> Values:
    """Train DCGAN on random images in three precisions, and load the checkpoint of each on a CPU."""
    found: dict[str, Any] = {}
    known = registry()
    for name in ("mgan-cifar10", "mgan-cifar10-tf32", "mgan-cifar10-bfloat16"):
        workload = WORKLOADS[name]
        if context.tiny:
            workload = replace(workload, model={**workload.model, "generators": 3}, data={**workload.data, "size": 16})
        runs = InProcess(context, known, workload, 2 if context.tiny else 50, 2 if context.tiny else 50)
        (job,) = runs.jobs(context.folder / name)
        warnings = runs.run_jobs([job])
        found[workload.precision] = warnings or "finished"
        context.note(**found)
        if warnings:
            raise Failed(f"{name}: {warnings[0]}", **found)
        found[f"{workload.precision} on a CPU"] = [*load_run(job.folder, registry=known).sample(4).x.shape]
    return found


def checkpoints(context: Context) -> Values:
    """Load a checkpoint of the device on a CPU, and one of a CPU on the device, where training resumes."""
    runs = ring(context, registry(), 20, 10)
    there, here = (runs.jobs(context.folder / f"checkpoints-{name}")[0] for name in ("device", "cpu"))
    runs.run_jobs([there])
    on_cpu = load_run(there.folder, registry=runs.registry, device="cpu").sample(8).x
    runs.run_jobs([replace(here, device="cpu")], stop_at=15)
    on_device = load_run(here.folder, registry=runs.registry, device=context.device).sample(8).x
    runs.run_jobs([here])
    return {"on a CPU": [*on_cpu.shape], "on the device": [*on_device.shape]}


# --- 10: what fails -------------------------------------------------------------------------------------------


def failing_capture(context: Context) -> Values:
    """Check that a process stays usable after a failed capture, with and without the guard of later captures.

    Both cases run in separate processes, because torch may abort.
    """
    found = {"guarded": apart(partial(_after_failure, context, guarded=True), context.folder)}
    context.note(**found)
    try:
        found["unguarded"] = apart(partial(_after_failure, context, guarded=False), context.folder)
    except Failed as error:
        found["unguarded"] = {"second": str(error)}
    return found


def _after_failure(context: Context, *, guarded: bool) -> dict[str, str]:
    """Fail a capture and try another one; return the messages. Raises Failed if later results are wrong."""
    recorder = cuda_graphs.record if context.device == "cuda" else _played
    x, y = torch.zeros(4, device=context.device), torch.ones(4, device=context.device)

    def waits(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        if recorder is _played:
            raise RuntimeError("operation not permitted when stream is capturing")
        return [x + y.sum().item()]

    try:
        cuda_graphs.Captured(waits, [x, y], 1, recorder)
        raise Failed("a capture that waits for the device did not fail")
    except NotCompilableError as error:
        found = {"first": str(error)}
    if guarded:
        cuda_graphs.free_memory()
    else:
        cuda_graphs.forget_failure()
        if context.device == "cuda":
            torch.cuda.empty_cache()
    try:
        (result,) = cuda_graphs.Captured(lambda x, y: [x + y], [x, y], 1, recorder)(x, y)
        found["second"] = "works" if result.sum().item() == 4 else "computes something else"
    except NotCompilableError as error:
        found["second"] = str(error)
    if (x + y).sum().item() != 4 or found["second"] == "computes something else":
        raise Failed("the device computes something else after a failed capture", **found)
    return found


def _played(work: Callable[[], Sequence[torch.Tensor]]) -> tuple[Callable[[], None], Sequence[torch.Tensor]]:
    """Record work for a rehearsal: a replay calls the work again."""
    results = list(work())

    def replay() -> None:
        for place, value in zip(results, work(), strict=True):
            place.copy_(value)

    return replay, results


def memory(context: Context) -> Values:
    """Check that stacked seeds which do not fit in memory are split into two stacks."""
    most = 2 if context.tiny else 32
    cuda = context.device == "cuda"

    def peak(seeds: int, limit: float | None = None) -> Any:
        runs = ring(context, registry(), 4, 4)
        if cuda and limit is not None:
            torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
        warnings = runs.run_jobs(runs.jobs(context.folder / f"memory-{seeds}-{limit is not None}", seeds))
        return {"warnings": warnings, "bytes": torch.cuda.max_memory_reserved() if cuda else 0}

    half, whole = all_apart([partial(peak, most // 2), partial(peak, most)], context.folder)
    found = {"16 seeds": half, "32 seeds": whole}
    context.note(**found)
    if not cuda:
        raise Skipped(NEEDS_CUDA, **found)
    found["limited"] = apart(partial(peak, most, (half["bytes"] + whole["bytes"]) / 2), context.folder)
    if not any(str(most // 2) in warning for warning in found["limited"]["warnings"]):
        raise Failed("there is no warning that the run continues with 16 seeds at a time", **found)
    return found


# --- values: stacked, recorded and eager ----------------------------------------------------------------------


def agreement(context: Context) -> Values:
    """Compare parameters after some recorded and stacked iterations with those of eager iterations.

    The distance is a share of the distance that training moved the parameters, since kernels add up in another order.
    """
    iterations, seeds = (3, 2) if context.tiny else (10, 10)
    bench = Bench(registry(), context.device)
    workload = WORKLOADS["mgan-ring"]
    workload = replace(workload, protocol={"iterations": 50}) if context.tiny else workload
    compiler = captured(as_traced) if context.device == "cuda" else as_traced
    start, eager, recorded = (bench.trainers(workload)[0] for _ in range(3))
    members = bench.trainers(workload, seeds)
    loops = [eager.iterate, together([recorded], compiler), together(members, compiler)]
    for loop in loops:
        for _ in range(iterations):
            loop()
    moved = distance(start, eager)
    found = {"graph": distance(eager, recorded) / moved, "stacked": distance(eager, members[0]) / moved}
    if not all(value < 0.02 for value in found.values()):
        raise Failed("parameters differ by more than 2 % of the distance that training moved them", **found)
    return found


def distance(one: Trainer, other: Trainer) -> float:
    """Return the Euclidean distance between the parameters of two trainers."""
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return math.sqrt(sum((a.detach() - b.detach()).double().square().sum().item() for a, b in pairs))


# --- programs, compiled before they are measured --------------------------------------------------------------


def programs(context: Context) -> Values:
    """Compile the programs of later measurements in parallel, since torch caches the kernels."""
    counted = [("mgan-generators", 1, {"generators": k}) for k in COUNTS]
    ways: list[tuple[str, int, dict[str, Any]]] = [("mgan-ring", 1, {}), ("mgan-ring", 10, {}), *counted]

    def make(name: str, seeds: int, model: dict[str, Any]) -> float:
        began = time.monotonic()
        bench = Bench(registry(), context.device)
        if context.tiny:
            together(bench.trainers(WORKLOADS[name], min(seeds, 2), **model), as_traced)
        else:
            one_program(bench, WORKLOADS[name], seeds, **model)
        return round(time.monotonic() - began, 1)

    ways = ways[1:2] if context.tiny else ways
    seconds = all_apart([partial(make, *way) for way in ways], context.folder)
    return {f"{name}, {seeds} seeds, {model}": value for (name, seeds, model), value in zip(ways, seconds, strict=True)}


DATA_TESTS = ("tests/zoo/test_datasets.py", "tests/running/test_provenance.py")

STEPS = (
    Step("packages", "1: packages and driver", packages, 60),
    Step("fork", "2: the device in a fork after a worker's imports", fork, 60),
    Step("failing-capture", "10: a failed capture leaves the process usable", failing_capture, 45),
    Step(
        "tests-data",
        "3: GPU tests of data and provenance",
        tested(*DATA_TESTS),
        60,
    ),
    Step("checkpoints", "9: checkpoints from device to CPU and back", checkpoints, 60),
    Step("worker", "5: runs through a worker, single and stacked", worker, 90),
    Step("images", "8: DCGAN in three precisions", images, 90),
    Step("tests-graphs", "4: GPU tests of recorded iterations", tested("tests/acceleration/test_cuda_graphs.py"), 120),
    Step("tests-speed", "11: GPU tests of the speed scripts", tested("tests/tools/test_speed.py"), 120),
    Step("agreement", "stacked and recorded against eager iterations", agreement, 90),
    Step("resume", "7: stopped and resumed, recorded and compiled", resume, 150),
    Step("memory", "10: stacked seeds that need too much memory", memory, 120),
    Step("compiled", "6: compiled runs, single and stacked", compiled, 180),
    Step("programs", "compile the programs to be measured", programs, 150),
    Step("killed", "synthetic8, ten stacked seeds, killed and resumed", killed, 180, least=30),
)
