"""Kill workers that share a results folder at random moments, and compare the runs with those of the local engine.

    python tools/campaigns/leases.py                    50 kills of two workers: about half an hour
    python tools/campaigns/leases.py --kills 5          fewer
    python tools/campaigns/leases.py --workers 4        more workers beside each other

Each round queues twelve short training runs in a new folder. Workers execute them, with leases of two seconds. Every
few seconds one worker is hit: SIGKILL of its run, of its worker process, of the command or of all its processes,
SIGTERM, or SIGSTOP of all of them until their lease has expired, then SIGCONT. A worker that has ended is replaced by a
new one until all runs have ended. Each kill is printed with what the worker was doing, and at the end their numbers.

Counted are runs that have not finished, values that differ from the local engine's in any bit, files that a superseded
process has written, and workers that end with a traceback or exit code 2. All must be 0; the exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]

from _comparison import differences  # noqa: E402 - after the path
from _kinds import RING  # noqa: E402
from _processes import STARTED, children, family, send, start  # noqa: E402
from kills import BAD, contents  # noqa: E402

from gan_bench.store.leases import count_losses  # noqa: E402
from gan_bench.store.records import LostAttempt  # noqa: E402

LEASE = 2.0
"""Seconds of a lease."""

LIMIT = 600.0
"""Seconds after which a round counts as one that does not end."""

LIVES = 10
"""Kills of a round, at most."""

LOSSES = 2
"""A run that was lost this often is not hit: at the fourth time it fails, and a slow machine may lose it as well."""

EARLY = 0.1
"""Share of kills that need not wait until a worker trains."""

RESULTS = "results/leases"
JOURNAL = "GAN_BENCH_LEASES_JOURNAL"
"""Environment variable: path of a file with the writes of superseded processes."""

BENCHMARK = f"""\
name = "leases"
seeds = 4
dataset = [{{ plugin = "ring8" }}]
model = [{{ plugin = "gan" }}, {{ plugin = "mgan", generators = 3 }}, {{ plugin = "d2gan" }}]
plugins = ["journal.py"]

[protocol]
iterations = 1500
batch = {RING["batch"]}
fakes = {RING["fakes"]}
latent_size = {RING["latent_size"]}
network = {{ plugin = "mlp", hidden = 8 }}
init_scale = {RING["init_scale"]}

[evaluation]
every = 150
samples = 500
metrics = ["symmetric_kl", "modes"]
points = 2
anchors = false
"""

PLUGIN = f'''\
"""Journal of files that a superseded process has replaced: the guards are called again after each change."""

import os
from pathlib import Path

from gan_bench import files

_replace = os.replace

def replace(source, target):
    _replace(source, target)
    try:
        files.check_guards(Path(target))
    except Exception as error:
        with open(os.environ["{JOURNAL}"], "a") as journal:
            journal.write(f"{{target}}: {{error}}\\n")

class _Os:
    def __getattr__(self, name):
        return getattr(os, name)

    replace = staticmethod(replace)

files.os = _Os()
'''

TARGETS = {
    "run": "SIGKILL of the run",
    "slot": "SIGKILL of the worker process",
    "command": "SIGKILL of the command",
    "worker": "SIGKILL of all processes",
    "stop": "SIGSTOP of all, SIGCONT after the lease",
    "term": "SIGTERM of the command",
}


@dataclass
class Count:
    """Counts of a campaign."""

    kills: list[tuple[str, str]] = field(default_factory=list)  # target, and what the worker was doing
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class Job(NamedTuple):
    """Activity of a worker.

    Attributes:
        losses: number of times that its run was lost before.
    """

    text: str
    losses: int = 0


class Worker:
    """One `gan-bench worker` in the folder of a round."""

    def __init__(self, folder: Path, number: int) -> None:
        self.err = folder / f"worker-{number}.err"
        environment = {STARTED: str(folder / "started"), JOURNAL: str(folder / "journal"), "OMP_NUM_THREADS": "1"}
        arguments = ("worker", RESULTS, "--plugin", "journal.py", "--wait")
        with (folder / f"worker-{number}.out").open("wb") as out, self.err.open("wb") as err:
            self.process = start(arguments, folder, out, err, environment)

    @property
    def slot(self) -> list[int]:
        """Its worker process, if it has one."""
        return children(self.process.pid)

    @property
    def run(self) -> list[int]:
        """The process of its run, if it has one."""
        return [each for slot in self.slot for each in children(slot)]

    def job(self, results: Path) -> Job:
        """Describe the run that it executes."""
        if not self.run:
            return Job("starting or waiting")
        for path in results.glob("runs/*/attempt.json"):
            attempt, record = _read(path), _read(path.with_name("run.json"))
            if attempt["place"].endswith(f" {self.process.pid}") and record.get("status") == "running":
                done = f"iteration {record['iteration']} or later"
                losses = count_losses([LostAttempt(**each) for each in attempt["lost"]])
                return Job(f"training {record['model']['plugin']} seed {record['seed']}, {done}", losses)
        return Job("beginning a run")  # its record is not written yet

    def fault(self) -> str:
        """Reason why its end is a fault; empty otherwise."""
        text = self.err.read_text(encoding="utf-8", errors="replace")
        if any(each in text for each in BAD) or self.process.returncode == 2:
            return f"{self.err}: exit code {self.process.returncode}: {text[-1500:]}"
        return ""


class Round:
    """One queue of runs, and workers that execute it."""

    def __init__(self, folder: Path, workers: int, kills: int, rng: random.Random, count: Count) -> None:
        self.folder, self.left, self.rng, self.count = folder, kills, rng, count
        prepare(folder, "--enqueue")
        queue = folder / RESULTS / "jobs.json"
        values = json.loads(queue.read_text(encoding="utf-8"))
        queue.write_text(json.dumps(values | {"lease_seconds": LEASE}), encoding="utf-8")
        self.runs = sum(map(len, values["stacks"]))
        self.started = 0
        self.early = rng.random() < EARLY  # whether the next kill may hit a worker that does not train
        self.workers = [self._worker() for _ in range(workers)]
        self.stopped: list[tuple[float, list[int]]] = []  # when they continue, and the processes

    def _worker(self) -> Worker:
        self.started += 1
        return Worker(self.folder, self.started)

    def execute(self) -> None:
        """Kill workers until the kills are used up, and replace them until all runs have ended."""
        until = time.monotonic() + LIMIT
        next_kill = time.monotonic() + self.rng.uniform(8, 14)  # after the import of torch
        while self._ended() < self.runs or self.stopped:
            if time.monotonic() > until:
                self.count.faults["hang"] += 1
                print(f"{self.folder}: {self._ended()} of {self.runs} runs after {LIMIT:.0f} s", flush=True)
                break
            if self.left and time.monotonic() > next_kill and self._kill():
                next_kill = time.monotonic() + self.rng.uniform(1, 5)
            self._continue(time.monotonic())
            for number, worker in enumerate(self.workers):
                if worker.process.poll() is not None:
                    self._check(worker)
                    if self._ended() < self.runs:
                        self.workers[number] = self._worker()
            time.sleep(0.05)
        self._continue(float("inf"))
        for worker in self.workers:
            try:
                worker.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.count.faults["hang"] += 1
                send(family(worker.process.pid), signal.SIGKILL)
            self._check(worker)

    def _ended(self) -> int:
        leases = [json.loads(path.read_text()) for path in (self.folder / RESULTS / "leases").glob("*.json")]
        return sum(len(each["ended"]) for each in leases)

    def _kill(self) -> bool:
        """Hit one worker, preferably one that trains; return False if it has to wait."""
        alive = [each for each in self.workers if each.process.poll() is None]
        busy = [each for each in alive if each.run]
        if not alive or (not busy and not self.early):
            return False
        worker = self.rng.choice(busy or alive)
        job = worker.job(self.folder / RESULTS)
        if job.losses >= LOSSES or not (job.text.startswith("training") or self.early):
            return False
        self.early = self.rng.random() < EARLY
        target, everything = self.rng.choice([*TARGETS]), family(worker.process.pid)
        match target:
            case "run":
                send(worker.run or everything, signal.SIGKILL)
            case "slot":
                send(worker.slot or everything, signal.SIGKILL)
            case "command":
                send([worker.process.pid], signal.SIGKILL)
            case "worker":
                send(everything, signal.SIGKILL)
            case "term":
                send([worker.process.pid], signal.SIGTERM)
            case "stop":
                send(everything, signal.SIGSTOP)
                self.stopped.append((time.monotonic() + self.rng.uniform(1.5, 4) * LEASE, everything))
        self.left -= 1
        self.count.kills.append((target, job.text))
        name = f"worker {self.workers.index(worker) + 1}, {job.text}; {self._ended()} of {self.runs} runs had ended"
        print(f"kill {len(self.count.kills)}: {TARGETS[target]}: {name}", flush=True)
        return True

    def _continue(self, now: float) -> None:
        for each in [each for each in self.stopped if each[0] <= now]:
            self.stopped.remove(each)
            send(each[1], signal.SIGCONT)

    def _check(self, worker: Worker) -> None:
        if fault := worker.fault():
            self.count.faults["traceback"] += 1
            print(fault, flush=True)


def _read(path: Path) -> dict[str, Any]:
    """Contents of a JSON file; empty without one."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def prepare(folder: Path, *arguments: str) -> None:
    """Write the benchmark into a new folder and call `gan-bench run` with it."""
    folder.mkdir(parents=True)
    (folder / "leases.toml").write_text(BENCHMARK, encoding="utf-8")
    (folder / "journal.py").write_text(PLUGIN, encoding="utf-8")
    with (folder / "run.out").open("wb") as out, (folder / "run.err").open("wb") as err:
        command = ("run", "leases.toml", "--device", "cpu", *arguments)
        environment = {STARTED: str(folder / "started"), JOURNAL: str(folder / "journal"), "OMP_NUM_THREADS": "1"}
        code = start(command, folder, out, err, environment).wait(LIMIT)
    if code != 0:
        raise SystemExit(f"{folder}: exit code {code}: {(folder / 'run.err').read_text()[-2000:]}")


def runs_in(folder: Path) -> dict[str, Any]:
    """Everything in the run folders that must be equal bit for bit."""
    found = {}
    for path, value in contents(folder).items():
        if "/runs/" in path and not Path(path).name.startswith("attempt"):
            is_record = isinstance(value, Mapping) and "attempts" in value
            found[path] = {key: each for key, each in value.items() if key != "attempts"} if is_record else value
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="number of kills (default: 50)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="workers beside each other (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of kinds and moments (default: 0)")
    parser.add_argument("--out", type=Path, help="new folder for the results; default: a temporary one")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    count = Count()
    with tempfile.TemporaryDirectory() as temporary:
        out = (options.out or Path(temporary)).resolve()
        prepare(out / "local")
        expected = runs_in(out / "local")
        number = 0
        while len(count.kills) < options.kills and not count.faults["hang"]:
            folder, rng = out / f"round-{number}", random.Random(f"{options.seed}/{number}")
            kills = min(LIVES, options.kills - len(count.kills))
            trial = Round(folder, options.workers, kills, rng, count)
            trial.execute()
            count.runs += trial.runs
            compare(folder, expected, count)
            number += 1
    return report(count)


def compare(folder: Path, expected: Mapping[str, Any], count: Count) -> None:
    """Count runs that have not finished, different values, and writes of superseded processes."""
    records = [json.loads(path.read_text()) for path in folder.glob(f"{RESULTS}/runs/*/run.json")]
    count.faults["lost"] += sum(each["status"] != "finished" for each in records)
    found = differences(expected, runs_in(folder))
    count.faults["differs"] += len(found)
    for each in found[:5]:
        print(f"{folder}: {each}", flush=True)
    journal = folder / "journal"
    written = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    count.faults["double write"] += len(written)
    for line in written[:5]:
        print(f"{folder}: {line}", flush=True)


def report(count: Count) -> int:
    """Print the counts; return 1 if there is a fault."""
    in_training = Counter(target for target, job in count.kills if job.startswith("training"))
    kinds = Counter(target for target, _ in count.kills)
    for target, text in TARGETS.items():
        print(f"{kinds[target]:3} {text}, {in_training[target]} in training")
    names = ("lost", "differs", "double write", "traceback", "hang")
    faults = ", ".join(f"{count.faults[name]} {name}" for name in names)
    print(f"{len(count.kills)} kills, {in_training.total()} in training, {count.runs} runs: {faults}")
    return int(bool(count.faults.total()))


if __name__ == "__main__":
    sys.exit(main())
