"""Tiny benchmark on the ring, faulty plugins, and the real command, for tests of runs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from gan_bench import cli
from gan_bench.contracts.engine import Engine
from gan_bench.contracts.run import Job
from gan_bench.planning.options import Options
from gan_bench.planning.planned import Planned
from gan_bench.planning.prepare import prepare
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.execute import execute
from gan_bench.store.checkpoints import load_tensors
from gan_bench.store.run_folder import RunFolder

METRICS = ("symmetric_kl", "modes", "wasserstein")
ITERATIONS = 30

ZOO: Mapping[str, Mapping[str, Any]] = {
    "gan": {"plugin": "gan"},
    "unrolled-gan": {"plugin": "unrolled-gan", "unroll_steps": 2},
    "d2gan": {"plugin": "d2gan"},
    "mgan": {"plugin": "mgan", "generators": 4},
    "mad-gan": {"plugin": "mad-gan", "generators": 2},
    "multi-discriminator": {"plugin": "multi-discriminator", "generators": 2},
}
"""Small settings of six models."""

HEAD = """
from __future__ import annotations
import os, signal, sys, time
from pathlib import Path
import torch
from gan_bench import hookimpl
from gan_bench_zoo.models.gan import GAN
"""


def plugin(name: str, *body: str) -> str:
    """Return the text of a plugin file: a GAN of this name, with methods given line by line."""
    lines = (
        f"class {name.capitalize()}(GAN):",
        '    """A model for a test."""',
        f'    name = "{name}"',
        *(f"    {line}" for line in body),
        "@hookimpl",
        "def gan_bench_models():",
        f"    return [{name.capitalize()}]",
    )
    return HEAD + "\n".join(lines) + "\n"


GATE = (
    HEAD
    + '''
class Gate(GAN):
    """GAN that waits in iteration 13 until it is stopped, if the environment variable TEST_GATE is a folder.

    While it waits, the folder contains a file named after its process ID, with that of its parent, the worker.
    """
    name = "gate"

    def turns(self, iteration):
        folder = os.environ.get("TEST_GATE")
        if iteration == 13 and folder:
            written = Path(folder, f".{os.getpid()}")
            written.write_text(str(os.getppid()))
            written.rename(Path(folder, str(os.getpid())))
            asked = signal.getsignal(signal.SIGTERM)
            while not (hasattr(asked, "__self__") and asked.__self__.requested):
                time.sleep(0.01)
        return super().turns(iteration)

@hookimpl
def gan_bench_models():
    return [Gate]
'''
)

BAD = (
    HEAD
    + '''
class Failing(GAN):
    """GAN that raises in its fourth iteration unless the file `mended` exists."""
    name = "failing"

    def turns(self, iteration):
        print("iteration", iteration)
        if iteration == 3 and not Path("mended").exists():
            raise RuntimeError("no luck \\u2193")
        return super().turns(iteration)

class Diverging(GAN):
    """GAN whose parameters are NaN from iteration 12 on."""
    name = "diverging"

    def turns(self, iteration):
        if iteration == 12:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))
        return super().turns(iteration)

class Suicidal(GAN):
    """GAN that kills its process in iteration 12 unless the file `mended` exists."""
    name = "suicidal"

    def turns(self, iteration):
        if iteration == 12 and not Path("mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().turns(iteration)

class Leaving(GAN):
    """GAN that exits with a code that resembles that of a finished run."""
    name = "leaving"

    def turns(self, iteration):
        if iteration == 12 and not Path("mended").exists():
            os._exit(10)
        return super().turns(iteration)

@hookimpl
def gan_bench_models():
    return [Failing, Diverging, Suicidal, Leaving]
'''
)


def describe(models: Sequence[Mapping[str, Any]] = (ZOO["gan"],), **changes: Any) -> dict[str, Any]:
    """Return the benchmark as a mapping.

    A change replaces a value such as ``name`` or ``seeds``, or updates a section with a dict.
    """
    benchmark: dict[str, Any] = {
        "name": "tiny",
        "seeds": 1,
        "dataset": [{"plugin": "ring8"}],
        "protocol": {
            "iterations": ITERATIONS,
            "batch": 32,
            "fakes": 32,
            "latent_size": 8,
            "network": {"plugin": "mlp", "hidden": 8},
            "init_scale": 0.5,
        },
        "evaluation": {"every": 10, "samples": 200, "metrics": list(METRICS), "points": 2, "anchors": False},
        "model": [dict(model) for model in models],
    }
    for key, value in changes.items():
        benchmark[key] = benchmark.get(key, {}) | value if isinstance(value, dict) else value
    return benchmark


def write(folder: Path, benchmark: Mapping[str, Any], **plugins: str) -> Path:
    """Write a benchmark to ``NAME.toml`` and plugins to files beside it, and return the path of the benchmark."""
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    for name, text in plugins.items():
        (folder / "plugins" / f"{name}.py").write_text(text, encoding="utf-8")
    lines = [f"{key} = {_toml(value)}" for key, value in benchmark.items()]
    path = folder / f"{benchmark['name']}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, (list, tuple)) else json.dumps(value)


def plan(source: Any, results: Path, **options: Any) -> Planned:
    """Prepare the benchmark for the CPU."""
    return prepare(source, Options(results=results, device="cpu", **options))


def never() -> bool:
    """Return False, so that a run is not stopped."""
    return False


def stop_at(iteration: int) -> Callable[[], bool]:
    """Return a function that stops a run before iteration `iteration`, counted from its start."""
    asked = iter(range(iteration + 1))
    return lambda: next(asked) == iteration


def run_jobs(planned: Planned, job: Job | None = None, *, stop: Callable[[], bool] = never) -> str:
    """Execute a job in this process, by default the first, and return its status."""
    return execute(job or planned.jobs[0], planned.registry, lambda _: None, stop)


def run_folders(results: Path) -> list[Path]:
    """Return the sorted run folders of all benchmarks in a results folder."""
    return sorted(path.parent for path in results.glob("*/runs/*/run.json"))


def record(folder: Path) -> dict[str, Any]:
    """Return run.json as plain values, without their digest."""
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    found.pop("digest", None)
    return found


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def by_label(results: Path) -> dict[str, dict[str, Any]]:
    """Return the record of each run by plugin, for one seed."""
    records = map(record, run_folders(results))
    return {each["model"]["plugin"]: each for each in records}


def outcome(folder: Path) -> dict[str, Any]:
    """Return everything in a run that must be reproducible bit for bit: all but times, memory and device."""
    state = load_tensors(RunFolder(folder).checkpoints()[0])
    assert state is not None
    run = record(folder)
    with np.load(folder / "samples.npz") as samples:
        arrays = {name: torch.from_numpy(samples[name]) for name in samples.files}
    return {
        "trainer": state["trainer"],
        "curve": (folder / "curve.csv").read_text(encoding="utf-8"),
        "classes": (folder / "classes.csv").read_text(encoding="utf-8"),
        "samples": arrays,
        "record": {name: run[name] for name in ("key", "status", "iteration", "iterations", "error", "metrics")},
        "counts": {name: run["ledger"][name] for name in ("updates", "real_samples", "fake_samples")},
    }


def difference(first: Any, second: Any, where: str = "") -> str | None:
    """Return the first difference of two nested outcomes, None if they are equal. Tensors are compared bit for bit."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return f"{where}: {sorted(map(str, first))} against {sorted(map(str, second))}"
        pairs = ((first[key], second[key], f"{where}/{key}") for key in first)
        return next((found for each in pairs if (found := difference(*each))), None)
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and torch.equal(first, second)
        return None if same else f"{where}: tensors differ"
    return None if first == second else f"{where}: {first!r} against {second!r}"


# background jobs of a shell ignore Ctrl-C, and so would commands that tests start in them
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
COMMAND = (sys.executable, "-c", HEED + "from gan_bench.cli import main; main()")


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `gan-bench`."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # signals of the test reach only this command
    )


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `gan-bench` to its end."""
    with start(*arguments, cwd=cwd, **environment) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and return its value."""
    while not (value := condition()):
        time.sleep(0.02)
    return value


def rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a csv file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class InProcess(Engine):
    """Engine that executes jobs one by one in this process."""

    name = "local"

    def run(self, jobs: Sequence[Job]) -> bool:
        registry = load_plugins(self.setup.plugin_places)
        for job in jobs:
            self.observer.started(job.run)
            status = execute(job, registry, lambda _: None, never)
            self.observer.ended(job.run, status, "")
        return True


class Said(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


def caller(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *verb: str) -> Call:
    """Return a function that calls `gan-bench`, or a verb of it, in this process."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["gan-bench", *verb, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return call
