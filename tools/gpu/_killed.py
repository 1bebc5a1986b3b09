"""Step that kills a benchmark with stacked seeds and compares the resumed one with an uninterrupted one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from _comparison import differences
from _processes import kill
from _runs import final_state, finished, records_of, synthetic8
from _steps import Context, Failed, Values, write_json
from _workloads import ROOT

from gan_bench.errors import StoreError
from gan_bench.store.records import ExecutionPlan, RunRecord


def killed(context: Context) -> Values:
    """Compare ten stacked seeds of synthetic8, killed once and resumed, with an uninterrupted command."""
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
        kill(whole)
    ran = {name: records_of(context.folder / f"killed-{name}") for name in ("whole", "parts")}
    found = {"killed": before} | _compared(context, ran)
    unfinished = [name for records in ran.values() for name, record in records.items() if not finished(record)]
    plans = {(plan["graph"], plan["stack"]) for plan in found["plans"]}
    wrong = context.device == "cuda" and plans != {(True, seeds)}
    if unfinished or found["different"] or wrong or len(ran["whole"]) != len(ran["parts"]):
        raise Failed(f"unfinished: {unfinished}; different: {len(found['different'])}; plans: {plans}", **found)
    return found


def _command(context: Context, seeds: int, models: Sequence[str], name: str) -> subprocess.Popen[bytes]:
    """Start the benchmark in a new Python process, which starts its own workers."""
    arguments = f"seeds={seeds}, models={models!r}, device={context.device!r}, compile='never', stack={seeds}"
    code = (
        "import json, gan_bench; gan_bench.run("
        f"json.load(open({str(context.folder / 'killed-benchmark.json')!r})), {arguments}, workers=1, "
        f"results={str(context.folder / f'killed-{name}')!r})"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


def _kill_half_way(process: subprocess.Popen[bytes], results: Path, tiny: bool) -> dict[str, Any]:
    """Kill a command and its workers between two checkpoints of some runs; return the counts of runs by state."""
    while process.poll() is None:
        with suppress(StoreError):
            records = records_of(results)
            on_the_way = [each for each in records.values() if 0 < _reached(each) < each.iterations]
            if on_the_way and (tiny or any(map(finished, records.values()))):
                kill(process)
                left = records_of(results).values()
                return {"finished": sum(map(finished, left)), "on their way": sum(not finished(each) for each in left)}
        time.sleep(0.01)
    raise Failed(f"the command ended with exit code {process.returncode} before it was killed")


def _reached(record: RunRecord) -> int:
    """Return the iteration that a run has recorded, or 0 if it has ended."""
    return record.iteration if record.status == "running" else 0


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until a command ends. Raises Failed if its exit code is not 0."""
    if process.wait() != 0:
        raise Failed(f"the command ended with exit code {process.returncode}")


def _compared(context: Context, ran: Mapping[str, Mapping[str, RunRecord]]) -> dict[str, Any]:
    """Return the differing runs, the execution plans, and training seconds by model of runs with a ledger."""
    different = {}
    folders = {name: sorted((context.folder / f"killed-{name}").glob("*/runs/*")) for name in ran}
    for one, other in zip(folders["whole"], folders["parts"], strict=True):
        found = differences(final_state(one), final_state(other))
        if found:
            different[one.name] = found[:3]
    plans = [plan for records in ran.values() for record in records.values() for plan in record.plans]
    seconds: dict[str, float] = {}
    for each in ran["whole"].values():
        if each.ledger is not None:
            model = each.model.plugin
            seconds[model] = round(seconds.get(model, 0.0) + each.ledger.train_seconds, 2)
    unique = [dict(items) for items in {tuple(sorted(_plain(plan).items())) for plan in plans}]
    return {"compared": len(folders["whole"]), "different": different, "plans": unique, "train_seconds": seconds}


def _plain(plan: ExecutionPlan) -> dict[str, Any]:
    return {key: getattr(plan, key) for key in ("compiled", "graph", "stack")}
