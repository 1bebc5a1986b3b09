"""Kill nodes of a real Ray cluster during a benchmark, and measure the engine ray against the local one.

    python tools/campaigns/cluster.py                                    50 kills, 1,000 anchor runs: more than an hour
    python tools/campaigns/cluster.py --kills 1 --anchors 30 --seeds 2   a small size

The cluster has a head node without cores and two nodes with two cores each, all on this machine. First the benchmark of
60 training runs is executed by the local engine. Then it is executed on the cluster while random nodes are killed at
random moments, each replaced by a new one, again and again until the number of kills is reached. Each kill is printed
with the runs of its node and the iterations that they had reached. Every run must finish with the values of the local
engine, bit for bit. Then anchors are executed by both engines: printed are runs a second between the first and the last
end, their ratio, and the processor time of the command per run. The exit code is 1 after a lost run or a difference.
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
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tests.support import project, ray_nodes  # noqa: E402 - after the path

MODELS = ({"plugin": "gan"}, {"plugin": "mgan", "generators": 4}, {"plugin": "d2gan"})
COMMAND = (sys.executable, "-m", "gan_bench")
PAUSES = (2.0, 12.0)
"""Least and most seconds between two kills; a new slot takes several seconds to start."""


@dataclass
class Execution:
    """A command that has ended.

    Attributes:
        code: exit code.
        seconds: from the first to the last end of a run.
        ends: number of runs that ended.
        processor: seconds of processor time of the command, without the processes that it started, from the first to
            the last end.
    """

    code: int
    seconds: float
    ends: int
    processor: float


@dataclass
class Kills:
    """Kills of one campaign: for each, the node's runs and their iterations."""

    history: list[dict[str, Any]] = field(default_factory=list)

    def in_training(self) -> int:
        """Number of kills with a run in training."""
        return sum(any(0 < each["iteration"] < each["of"] for each in kill["runs"]) for kill in self.history)


def execute(arguments: Sequence[str], folder: Path) -> Execution:
    """Execute `gan-bench` and measure when its runs end."""
    ends: list[float] = []
    processor: list[float] = []
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
    span = ends[-1] - ends[0] if len(ends) > 1 else 0.0
    return Execution(process.wait(), span, len(ends), max(processor, default=0.0) - min(processor, default=0.0))


def own_seconds(process: int) -> float:
    """Processor time of a process so far."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_nodes(
    nodes: ray_nodes.Nodes, results: Path, kills: Kills, most: int, rng: random.Random, end: threading.Event
) -> None:
    """Kill random nodes that execute runs, until enough are killed or the benchmark ends."""
    while len(kills.history) < most and not end.wait(rng.uniform(*PAUSES)):
        active = active_runs(results)
        if active:
            node = rng.choice(sorted(active))
            kills.history.append({"node": node, "runs": active[node]})
            print(f"kill {len(kills.history)}: node {node}, {json.dumps(active[node])}", flush=True)
            nodes.replace(node)


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


def campaign_of_anchors(folder: Path, nodes: ray_nodes.Nodes, runs: int) -> int:
    """Measure both engines on anchors; return the number of commands that failed."""
    file = project.write(folder, anchors(max(1, runs // 3)))
    found: dict[str, Execution] = {}
    for engine, more in (("local", ()), ("ray", ("--address", nodes.address, "--cpus-per-run", "1"))):
        workers = ("--workers", "2")
        arguments = ["run", str(file), "--device", "cpu", "--engine", engine, *more, *workers, "--results", engine]
        found[engine] = execute(arguments, folder)
    report_rates(found)
    return sum(each.code != 0 for each in found.values())


def report_rates(found: Mapping[str, Execution]) -> None:
    """Print runs a second and processor time per run."""
    rates = {name: (each.ends - 1) / each.seconds if each.seconds else 0.0 for name, each in found.items()}
    for name, each in found.items():
        milliseconds = 1000 * each.processor / max(1, each.ends)
        print(f"{name}: {each.ends} runs, {rates[name]:.2f} a second, {milliseconds:.1f} ms of the command a run")
    print(f"ratio: {rates['ray'] / rates['local']:.2f}" if rates["local"] else "ratio: unknown")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both campaigns; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="number of killed nodes (default: 50)")
    parser.add_argument("--anchors", type=int, default=1000, metavar="N", help="number of anchor runs (default: 1000)")
    parser.add_argument("--iterations", type=int, default=1000, metavar="N", help="of a training run (default: 1000)")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="of each of three models (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of nodes and moments (default: 0)")
    options = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as temporary, ray_nodes.cluster(Path(temporary) / "cluster") as nodes:
        for name in ("kills", "anchors"):
            (Path(temporary) / name).mkdir()
        if options.anchors:
            faults += campaign_of_anchors(Path(temporary) / "anchors", nodes, options.anchors)
        if options.kills:
            rng = random.Random(options.seed)
            described = benchmark(options.iterations, options.seeds)
            faults += campaign_of_kills(Path(temporary) / "kills", nodes, options.kills, described, rng)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
