"""Kill nodes of a real Ray cluster during a benchmark, and measure the engine ray against the local one.

    python tools/campaigns/cluster.py                                    50 kills, 1,000 anchor runs: more than an hour
    python tools/campaigns/cluster.py --kills 1 --anchors 30 --seeds 2   a small size

The cluster has a head node without cores and two nodes with two cores each, all on this machine. First the benchmark of
60 training runs is executed by the local engine. Then it is executed on the cluster while random nodes are killed at
random moments, each replaced by a new one, again and again until the number of kills is reached. Each kill is printed
with the runs of its node and the iterations that they had reached. Every run must finish with the values of the local
engine, bit for bit. Then anchors are executed by both engines in turns, some seeds at a time, so that other programs
slow down both. Printed are runs a second, without the first fifth of each turn, their ratio, and the processor time of
the command per run, of Python and of Ray's threads. The exit code is 1 after a lost run or a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.support import project, ray_nodes  # noqa: E402 - after the path

MODELS = ({"plugin": "gan"}, {"plugin": "mgan", "generators": 4}, {"plugin": "d2gan"})
COMMAND = (sys.executable, "-m", "gan_bench")
PAUSES = (4.0, 12.0)
"""Least and most seconds between two kills; a new slot takes several seconds to start."""

RUNS_OF_A_SEED = 3
"""Runs of each seed in the benchmark of anchors."""


@dataclass
class Execution:
    """A command that has ended.

    Attributes:
        code: exit code.
        ends: number of runs that ended.
        counted: those of the following measurements, without the first fifth: some slots start later than others.
        seconds: that these took, from the end of one run to the end of the last.
        python: seconds of processor time of the command's main thread, without the processes that it started.
        threads: the same of its other threads, which are Ray's.
    """

    code: int
    ends: int
    counted: int
    seconds: float
    python: float
    threads: float

    def __add__(self, other: Execution) -> Execution:
        return Execution(
            max(self.code, other.code),
            self.ends + other.ends,
            self.counted + other.counted,
            self.seconds + other.seconds,
            self.python + other.python,
            self.threads + other.threads,
        )


@dataclass
class Kills:
    """Kills of one campaign: for each, the node's runs and their iterations."""

    history: list[dict[str, Any]] = field(default_factory=list)

    def in_training(self) -> int:
        """Number of kills with a run in training."""
        return sum(in_training(kill["runs"]) for kill in self.history)


def execute(arguments: Sequence[str], folder: Path) -> Execution:
    """Execute `gan-bench` and measure when its runs end."""
    ends: list[float] = []
    processor: list[tuple[float, float]] = []
    with (folder / "out.txt").open("ab") as out:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, stdout=out, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        assert process.stderr is not None
        with (folder / "err.txt").open("a", encoding="utf-8") as err:
            for line in process.stderr:
                err.write(line)
                if re.match(r"\[[0-9]+/[0-9]+\]", line):
                    ends.append(time.monotonic())
                    processor.append(own_seconds(process.pid))
    if not ends:
        return Execution(process.wait(), 0, 0, 0.0, 0.0, 0.0)
    first = len(ends) // 5
    python, threads = (after - before for before, after in zip(processor[first], processor[-1], strict=True))
    return Execution(process.wait(), len(ends), len(ends) - 1 - first, ends[-1] - ends[first], python, threads)


def own_seconds(process: int) -> tuple[float, float]:
    """Processor time of the main thread of a process, and of its other threads, so far."""
    main = _seconds(Path(f"/proc/{process}/task/{process}/stat"))
    return main, _seconds(Path(f"/proc/{process}/stat")) - main


def _seconds(stat: Path) -> float:
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_nodes(
    nodes: ray_nodes.Nodes, results: Path, kills: Kills, most: int, rng: random.Random, end: threading.Event
) -> None:
    """Kill random nodes until enough are killed or the benchmark ends; nine of ten kills wait for a run in training."""
    while len(kills.history) < most and not end.wait(rng.uniform(*PAUSES)):
        any_run, candidates = rng.random() < 0.1, list[str]()
        while not candidates and not end.wait(0.1):
            active = active_runs(results)
            dead = {kill["node"] for kill in kills.history}  # their runs may not have begun another attempt yet
            candidates = sorted(each for each in active.keys() - dead if any_run or in_training(active[each]))
        if candidates:
            node = rng.choice(candidates)
            kills.history.append({"node": node, "runs": active[node]})
            print(f"kill {len(kills.history)}: node {node}, {json.dumps(active[node])}", flush=True)
            nodes.replace(node)


def in_training(runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run is between its first and its last iteration."""
    return any(0 < each["iteration"] < each["of"] for each in runs)


def active_runs(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Runs in execution by the beginning of their node's identifier."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in results.glob("*/runs/*/attempt.json"):
        try:
            place = json.loads(path.read_text(encoding="utf-8"))["place"]
            record = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not begun yet
            continue
        if record["status"] == "running" and "node" in place:
            name = f"{record['model']['plugin']} seed {record['seed']}"
            found.setdefault(place[-8:], []).append(
                {"run": name, "iteration": record["iteration"], "of": record["iterations"]}
            )
    return found


def benchmark(iterations: int, seeds: int) -> dict[str, Any]:
    """Benchmark of three models."""
    return project.describe(
        MODELS,
        seeds=seeds,
        protocol={"iterations": iterations},
        evaluation={"every": max(1, iterations // 10)},
    )


def anchors(seeds: int) -> dict[str, Any]:
    """Benchmark whose runs are anchors, but for one model."""
    return project.describe(
        seeds=seeds, name="anchors", evaluation={"anchors": True, "samples": 200, "metrics": ["modes"]}
    )


def campaign_of_kills(
    folder: Path, nodes: ray_nodes.Nodes, most: int, described: Mapping[str, Any], rng: random.Random
) -> int:
    """Kill nodes, compare, and return the number of faults."""
    file = project.write(folder, described)
    same = ("run", str(file), "--device", "cpu")
    whole = execute([*same, "--results", "local"], folder)
    print(f"local: exit code {whole.code}, {whole.ends} runs, {whole.seconds:.0f} s", flush=True)
    kills, faults, rounds = Kills(), 0, 0
    while len(kills.history) < most:
        rounds += 1
        results, end = folder / f"ray-{rounds}", threading.Event()
        killer = threading.Thread(target=kill_nodes, args=(nodes, results, kills, most, rng, end))
        killer.start()
        done = execute([*same, "--engine", "ray", "--address", nodes.address, "--results", str(results)], folder)
        end.set()
        killer.join()
        found = compare(folder / "local", results)
        faults += len(found) + (done.code != 0)
        print(
            f"round {rounds}: exit code {done.code}, {len(found)} faults {found[:3]}, {done.seconds:.0f} s", flush=True
        )
        shutil.rmtree(results)
    print(f"{len(kills.history)} kills, {kills.in_training()} in training, {faults} faults")
    return faults


def compare(expected: Path, found: Path) -> list[str]:
    """Runs that are missing, or differ from those of the local engine."""
    faults = []
    for path in project.run_folders(expected):
        other = found / path.relative_to(expected)
        if not (other / "run.json").exists() or project.record(other)["status"] != "finished":
            faults.append(f"{path.name} is lost")
        elif (text := project.difference(project.outcome(other), project.outcome(path))) is not None:
            faults.append(f"{path.name}{text}")
    return faults


def campaign_of_anchors(folder: Path, nodes: ray_nodes.Nodes, runs: int, turn: int) -> int:
    """Measure both engines on anchors, `turn` runs at a time; return the number of commands that failed."""
    seeds = max(1, runs // RUNS_OF_A_SEED)
    file = project.write(folder, anchors(seeds))
    engines = {"local": (), "ray": ("--address", nodes.address, "--cpus-per-run", "1")}
    found: dict[str, list[Execution]] = {name: [] for name in engines}
    size = max(1, turn // RUNS_OF_A_SEED)
    for number, start in enumerate(range(0, seeds, size)):
        chosen = ",".join(map(str, range(start, min(seeds, start + size)))) + ","
        for name in sorted(engines, reverse=bool(number % 2)):
            more = ("--engine", name, *engines[name], "--workers", "2", "--seeds", chosen, "--results", name)
            found[name].append(execute(["run", str(file), "--device", "cpu", *more], folder))
        report_rates({name: reduce(add, each) for name, each in found.items()})
    return sum(each.code != 0 for some in found.values() for each in some)


def report_rates(found: Mapping[str, Execution]) -> None:
    """Print runs a second and processor time per run, so far."""
    rates = {name: each.counted / each.seconds if each.seconds else 0.0 for name, each in found.items()}
    for name, each in found.items():
        python, threads = (1000 * value / max(1, each.counted) for value in (each.python, each.threads))
        times = f"{python:.1f} ms a run of the command's Python, {threads:.1f} ms of other threads"
        print(f"{name}: {each.ends} runs, {rates[name]:.2f} a second, {times}")
    print(f"ratio: {rates['ray'] / rates['local']:.2f}" if rates["local"] else "ratio: unknown", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both campaigns; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="number of killed nodes (default: 50)")
    parser.add_argument("--anchors", type=int, default=1000, metavar="N", help="number of anchor runs (default: 1000)")
    parser.add_argument(
        "--turn", type=int, default=100, metavar="N", help="anchor runs of one engine before the other's (default: 100)"
    )
    parser.add_argument("--iterations", type=int, default=1000, metavar="N", help="of a training run (default: 1000)")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="of each of three models (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of nodes and moments (default: 0)")
    options = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as temporary, ray_nodes.cluster(Path(temporary) / "cluster") as nodes:
        for name in ("kills", "anchors"):
            (Path(temporary) / name).mkdir()
        if options.anchors:
            faults += campaign_of_anchors(Path(temporary) / "anchors", nodes, options.anchors, options.turn)
        if options.kills:
            rng = random.Random(options.seed)
            described = benchmark(options.iterations, options.seeds)
            faults += campaign_of_kills(Path(temporary) / "kills", nodes, options.kills, described, rng)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
