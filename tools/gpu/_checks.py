"""The steps of the first command: does the code run on this GPU, and is what it computes right?"""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from _rates import COUNTS
from _runs import (
    InProcess,
    Record,
    differences,
    final_state,
    finished,
    records_of,
    ring,
    synthetic8,
    through_workers,
)
from _steps import Context, Failed, Skipped, Step, Values, Work, all_apart, apart, write_json
from _workloads import ROOT, WORKLOADS, Bench, one_program, registry, together

from gan_bench import graphs
from gan_bench.api import load_run
from gan_bench.compilation import as_traced
from gan_bench.graphs import captured
from gan_bench.tracing import NotCompilableError
from gan_bench.training import Trainer

NEEDS_CUDA = "needs CUDA"
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "PIL", "matplotlib", "click", "pluggy", "rich")
RARER = ("tabulate", "ot", "torch_fidelity", "pytest")


# --- 1, 2: the environment ------------------------------------------------------------------------------------


def packages(context: Context) -> Values:
    """Import every package that is needed; name the device."""
    cuda = context.device == "cuda"
    missing = {}
    for name in (*PACKAGES, *RARER, *(("triton",) if cuda else ())):
        try:
            importlib.import_module(name)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    named = ("torch", "triton", "numpy", "pandas", "POT", "torch-fidelity", "gan-bench")
    facts: dict[str, Any] = {"python": sys.version.split()[0], "cores": os.cpu_count(), "missing": missing}
    for name in named:
        with suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
    if cuda:
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        facts["memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    if missing:
        raise Failed(f"cannot import {', '.join(missing)}", **facts)
    return facts


FORK = """
import os, sys, traceback
import torch._dynamo
import gan_bench.execution
from gan_bench.plugins import load_plugins
load_plugins([])
{more}
pid = os.fork()
if pid == 0:
    try:
        torch.zeros(1, device={device!r})
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def fork(context: Context) -> Values:
    """Use the device in a fork after a worker's imports, as workers do; and with inductor imported before it."""
    found = {}
    ways = {"as a worker": "", "with inductor": "import torch._inductor.compile_fx"}
    for name, more in [*ways.items()][: 1 if context.tiny else None]:
        ran = python("-c", FORK.format(more=more, device=context.device))
        found[name] = "works" if ran.returncode == 0 else last_line(ran.stdout)
    if found["as a worker"] != "works":
        raise Failed(found["as a worker"], **found)
    return found


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python on arguments, in the project's folder; its output is printed as well."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(ran.stdout, flush=True)
    return ran


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no output")


# --- 3, 4, 11: the project's own tests ------------------------------------------------------------------------


def tests(context: Context, *arguments: str) -> Values:
    """Run GPU tests. None at all is a failure on a GPU: a missing mark must not pass for a success."""
    # no plugins of the machine, and no warning of its packages, may fail a test
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plain = ("-o", "addopts=", "-p", "no:cacheprovider", "-W", "default")
    ran = python("-m", "pytest", "-q", *plain, "-m", "gpu", *arguments)
    counts = {name: int(number) for number, name in re.findall(r"(\d+) (passed|failed|skipped|error)", ran.stdout)}
    said = last_line(ran.stdout)
    if context.device == "cpu" and not counts.get("passed"):
        if ran.returncode not in (0, 5):
            raise Failed(said, **counts)
        raise Skipped(NEEDS_CUDA, **counts)
    if ran.returncode or not counts.get("passed") or counts.get("skipped"):
        raise Failed(said, **counts)
    return counts


def tested(*arguments: str) -> Work:
    """The step that runs these GPU tests."""
    return lambda context: tests(context, *arguments)


# --- 5, 6: whole runs through workers -------------------------------------------------------------------------


def worker(context: Context) -> Values:
    """One run through a worker, then three seeds stacked: recorded as CUDA graphs, without a warning."""
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
    """Compiled runs: MGAN alone, with and without shared noise, and three stacked seeds of three models."""
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
    """A run that is stopped half way and resumed equals an uninterrupted one, as a graph and compiled.

    Each part runs in a process of its own; compiled ones also with a cache of their own, as on another day.
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
            apart(partial(runs.carry_out, jobs, stop), context.folder, TORCHINDUCTOR_CACHE_DIR=str(next(later)))
        (one,), (other,) = (folder.glob("*") for folder in (whole, parts))
        found[name] = differences(final_state(one), final_state(other)) or "equal"
        context.note(**found)
    if any(value != "equal" for value in found.values()):
        raise Failed("a resumed run differs from an uninterrupted one", **found)
    return found


# --- 8, 9: images and checkpoints -----------------------------------------------------------------------------


def images(context: Context) -> Values:
    """DCGAN on random images in three precisions; the checkpoint of the first is loaded on a CPU."""
    found: dict[str, Any] = {}
    known = registry()
    for name in ("mgan-cifar10", "mgan-cifar10-tf32", "mgan-cifar10-bfloat16"):
        workload = WORKLOADS[name]
        if context.tiny:
            workload = replace(workload, model=workload.model | {"generators": 3}, data=workload.data | {"size": 16})
        runs = InProcess(context, known, workload, 2 if context.tiny else 50, 2 if context.tiny else 50)
        (job,) = runs.jobs(context.folder / name)
        warnings = runs.carry_out([job])
        found[workload.precision] = warnings or "finished"
        context.note(**found)
        if warnings:
            raise Failed(f"{name}: {warnings[0]}", **found)
        found[f"{workload.precision} on a CPU"] = [*load_run(job.folder, registry=known).sample(4).x.shape]
    return found


def checkpoints(context: Context) -> Values:
    """A checkpoint of the device loads on a CPU, and one of a CPU on the device, where it goes on."""
    runs = ring(context, registry(), 20, 10)
    there, here = (runs.jobs(context.folder / f"checkpoints-{name}")[0] for name in ("device", "cpu"))
    runs.carry_out([there])
    on_cpu = load_run(there.folder, registry=runs.registry, device="cpu").sample(8).x
    runs.carry_out([replace(here, device="cpu")], stop_at=15)
    on_device = load_run(here.folder, registry=runs.registry, device=context.device).sample(8).x
    runs.carry_out([here])
    return {"on a CPU": float(abs(on_cpu).mean()), "on the device": float(abs(on_device).mean())}


# --- 10: what fails -------------------------------------------------------------------------------------------


def failing_capture(context: Context) -> Values:
    """A capture that fails leaves a process that goes on; and what would happen without the guard against later ones.

    Each in a process of its own, which torch may abort.
    """
    found = {"guarded": apart(partial(_after_failure, context, guarded=True), context.folder)}
    context.note(**found)
    try:
        found["unguarded"] = apart(partial(_after_failure, context, guarded=False), context.folder)
    except Failed as error:
        found["unguarded"] = {"second": str(error)}
    return found


def _after_failure(context: Context, *, guarded: bool) -> dict[str, str]:
    """What a failed capture says, and what comes of the next one; `Failed` if the process is of no more use."""
    recorder = graphs.record if context.device == "cuda" else _played
    x, y = torch.zeros(4, device=context.device), torch.ones(4, device=context.device)

    def waits(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        if recorder is _played:
            raise RuntimeError("operation not permitted when stream is capturing")
        return [x + y.sum().item()]

    try:
        graphs.Captured(waits, [x, y], 1, recorder)
        raise Failed("a capture that waits for the device did not fail")
    except NotCompilableError as error:
        found = {"first": str(error)}
    if guarded:
        graphs.free_memory()
    else:
        graphs._broken = ""
        if context.device == "cuda":
            torch.cuda.empty_cache()
    try:
        (result,) = graphs.Captured(lambda x, y: [x + y], [x, y], 1, recorder)(x, y)
        found["second"] = "works" if result.sum().item() == 4 else "computes something else"
    except NotCompilableError as error:
        found["second"] = str(error)
    if (x + y).sum().item() != 4 or found["second"] == "computes something else":
        raise Failed("the device computes something else after a failed capture", **found)
    return found


def _played(work: Callable[[], Sequence[torch.Tensor]]) -> tuple[Callable[[], None], Sequence[torch.Tensor]]:
    """A recorder for a rehearsal: replays by calling the work again."""
    results = list(work())

    def replay() -> None:
        for place, value in zip(results, work(), strict=True):
            place.copy_(value)

    return replay, results


def memory(context: Context) -> Values:
    """Stacked seeds that need more memory than there is go on as two stacks."""
    most = 2 if context.tiny else 32
    cuda = context.device == "cuda"

    def peak(seeds: int, limit: float | None = None) -> Any:
        runs = ring(context, registry(), 4, 4)
        if cuda and limit is not None:
            torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
        warnings = runs.carry_out(runs.jobs(context.folder / f"memory-{seeds}-{limit is not None}", seeds))
        return {"warnings": warnings, "bytes": torch.cuda.max_memory_reserved() if cuda else 0}

    half, whole = all_apart([partial(peak, most // 2), partial(peak, most)], context.folder)
    found = {"16 seeds": half, "32 seeds": whole}
    context.note(**found)
    if not cuda:
        raise Skipped(NEEDS_CUDA, **found)
    found["limited"] = apart(partial(peak, most, (half["bytes"] + whole["bytes"]) / 2), context.folder)
    if not any(f"{most // 2} at a time" in warning for warning in found["limited"]["warnings"]):
        raise Failed("no warning that it goes on with 16 seeds at a time", **found)
    return found


# --- values: stacked, recorded and eager ----------------------------------------------------------------------


def agreement(context: Context) -> Values:
    """Distance between parameters after some iterations: recorded and stacked ones against eager ones.

    As a share of the distance that training moved them, since kernels add up in another order.
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
        raise Failed("parameters differ by more than 2 % of the way they moved", **found)
    return found


def distance(one: Trainer, other: Trainer) -> float:
    """Between the parameters of two trainers."""
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return float(sum((a.detach() - b.detach()).double().square().sum() for a, b in pairs)) ** 0.5


# --- synthetic8, killed and resumed ---------------------------------------------------------------------------


def killed(context: Context) -> Values:
    """Ten stacked seeds of synthetic8, killed once and resumed, against an uninterrupted run of the same command."""
    iterations, every, seeds = (40, 5, 2) if context.tiny else (2000, 250, 10)
    chosen = ["GAN"] if context.tiny else []
    benchmark = synthetic8(context, iterations, every)
    write_json(context.folder / "killed-benchmark.json", benchmark)
    command = partial(_command, context, seeds, chosen)
    whole = command("whole")
    try:
        before = _kill_half_way(command("parts"), context.folder / "killed-parts", context.tiny)
        context.note(killed=before)
        _wait(command("parts"))
        _wait(whole)
    finally:
        _kill(whole)
    ran = {name: records_of(context.folder / f"killed-{name}") for name in ("whole", "parts")}
    found = {"killed": before} | _compared(context, ran)
    unfinished = [name for records in ran.values() for name, record in records.items() if not finished(record)]
    plans = {(plan["graph"], plan["stack"]) for plan in found["plans"]}
    wrong = context.device == "cuda" and plans != {(True, seeds)}
    if unfinished or found["different"] or wrong or len(ran["whole"]) != len(ran["parts"]):
        raise Failed(f"unfinished: {unfinished}; different: {len(found['different'])}; plans: {plans}", **found)
    return found


def _command(context: Context, seeds: int, models: Sequence[str], name: str) -> subprocess.Popen[bytes]:
    """The benchmark in a Python process of its own, with workers of its own."""
    arguments = f"seeds={seeds}, models={models!r}, device={context.device!r}, compile='never', stack={seeds}"
    code = (
        "import json, gan_bench; gan_bench.run("
        f"json.load(open({str(context.folder / 'killed-benchmark.json')!r})), {arguments}, workers=1, "
        f"results={str(context.folder / f'killed-{name}')!r})"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


def _kill_half_way(process: subprocess.Popen[bytes], results: Path, tiny: bool) -> dict[str, Any]:
    """Kill a command and its workers when some runs are between two checkpoints; return what had been reached."""
    while process.poll() is None:
        with suppress(ValueError, KeyError, FileNotFoundError):
            records = records_of(results)
            on_the_way = [each for each in records.values() if 0 < _reached(each) < each["iterations"]]
            if on_the_way and (tiny or any(map(finished, records.values()))):
                _kill(process)
                left = records_of(results).values()
                return {"finished": sum(map(finished, left)), "on their way": sum(not finished(each) for each in left)}
        time.sleep(0.01)
    raise Failed(f"the command ended with exit code {process.returncode} before it could be killed")


def _reached(record: Record) -> int:
    """The iteration that a run has recorded; 0 for one that has ended."""
    return int(record["iteration"]) if record["status"] == "running" else 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and to all that descend from it: workers would write their checkpoints otherwise."""
    if process.poll() is not None:
        return
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = [process.pid]
    for one in family:
        family += [pid for pid, parent in parents.items() if parent == one]
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until a command ends by itself."""
    if process.wait() != 0:
        raise Failed(f"the command ended with exit code {process.returncode}")


def _compared(context: Context, ran: Mapping[str, Mapping[str, Record]]) -> dict[str, Any]:
    """Runs that differ, the plans, and seconds of training by model, of the runs that have a ledger."""
    different = {}
    folders = {name: sorted((context.folder / f"killed-{name}").glob("*/runs/*")) for name in ran}
    for one, other in zip(folders["whole"], folders["parts"], strict=True):
        found = differences(final_state(one), final_state(other))
        if found:
            different[one.name] = found[:3]
    plans = [plan for records in ran.values() for record in records.values() for plan in record["plans"]]
    seconds: dict[str, float] = {}
    for each in ran["whole"].values():
        if "train_seconds" in each["ledger"]:
            model = each["model"]["plugin"]
            seconds[model] = round(seconds.get(model, 0.0) + each["ledger"]["train_seconds"], 2)
    unique = [dict(items) for items in {tuple(sorted(_plain(plan).items())) for plan in plans}]
    return {"compared": len(folders["whole"]), "different": different, "plans": unique, "train_seconds": seconds}


def _plain(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plan.get(key) for key in ("compiled", "graph", "stack")}


# --- programs, compiled before they are measured --------------------------------------------------------------


def programs(context: Context) -> Values:
    """Compile the programs that will be measured, at the same time: torch keeps the kernels."""
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


DATA_TESTS = ("tests/test_datasets.py", "tests/test_provenance.py")

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
    Step("tests-graphs", "4: GPU tests of recorded iterations", tested("tests/test_graphs.py"), 120),
    Step("tests-speed", "11: GPU tests of the speed scripts", tested("tests/test_speed_benchmark.py"), 120),
    Step("agreement", "stacked and recorded against eager iterations", agreement, 90),
    Step("resume", "7: stopped and resumed, recorded and compiled", resume, 150),
    Step("memory", "10: stacked seeds that need too much memory", memory, 120),
    Step("compiled", "6: compiled runs, single and stacked", compiled, 180),
    Step("programs", "compile the programs to be measured", programs, 150),
    Step("killed", "synthetic8, ten stacked seeds, killed and resumed", killed, 180, least=30),
)
