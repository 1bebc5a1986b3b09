"""A tiny benchmark on the ring, misbehaving plugins for it, and the real command: what tests of running need."""

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
"""The six models, small."""

HEAD = """
from __future__ import annotations
import os, signal, sys, time
from pathlib import Path
import torch
from gan_bench import hookimpl
from gan_bench_zoo.models.gan import GAN
"""


def plugin(name: str, *body: str) -> str:
    """The file of a plugin: a GAN of this name with methods, line by line."""
    lines = (
        f"class {name.capitalize()}(GAN):",
        '    """What a test needs."""',
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
    """A GAN that waits in iteration 13 to be stopped, where the environment names a folder to say so in.

    The file that it writes there is named after its process and holds its parent's, the worker's.
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
    """Raises in its fourth iteration, unless a file says that it is mended."""
    name = "failing"

    def turns(self, iteration):
        print("iteration", iteration)
        if iteration == 3 and not Path("mended").exists():
            raise RuntimeError("no luck \\u2193")
        return super().turns(iteration)

class Diverging(GAN):
    """Its parameters are NaN from iteration 12 on."""
    name = "diverging"

    def turns(self, iteration):
        if iteration == 12:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))
        return super().turns(iteration)

class Suicidal(GAN):
    """Kills its own process in iteration 12, unless a file says that it is mended."""
    name = "suicidal"

    def turns(self, iteration):
        if iteration == 12 and not Path("mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().turns(iteration)

class Leaving(GAN):
    """Leaves with an exit code that could be taken for a finished run's."""
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
    """The benchmark as a mapping; `changes` of one key each: ``name``, ``seeds``, or a dict for a section."""
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
        benchmark[key] = benchmark[key] | value if isinstance(value, dict) else value
    return benchmark


def write(folder: Path, benchmark: Mapping[str, Any], **plugins: str) -> Path:
    """A benchmark as ``NAME.toml``, with plugin files beside it; the path of the file."""
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
    """The benchmark made ready on the CPU."""
    return prepare(source, Options(results=results, device="cpu", **options))


def never() -> bool:
    """Let a run go on to its end."""
    return False


def stop_at(iteration: int) -> Callable[[], bool]:
    """Ask to stop before iteration `iteration`, counted from where a run starts."""
    asked = iter(range(iteration + 1))
    return lambda: next(asked) == iteration


def run_jobs(planned: Planned, job: Job | None = None, *, stop: Callable[[], bool] = never) -> str:
    """Carry out a job, the first if not said otherwise, in this process."""
    return execute(job or planned.jobs[0], planned.registry, lambda _: None, stop)


def run_folders(results: Path) -> list[Path]:
    """The run folders of all benchmarks of a results folder, sorted."""
    return sorted(path.parent for path in results.glob("*/runs/*/run.json"))


def record(folder: Path) -> dict[str, Any]:
    """The plain values of run.json."""
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def by_label(results: Path) -> dict[str, dict[str, Any]]:
    """The record of each model's run, by plugin; with one seed."""
    records = map(record, run_folders(results))
    return {each["model"]["plugin"]: each for each in records}


def outcome(folder: Path) -> dict[str, Any]:
    """What must be equal, bit for bit, of a run: everything but times, memory and where it ran."""
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
    """Where two nested outcomes first differ, tensors compared bit for bit; None where they are equal."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return f"{where}: {sorted(map(str, first))} against {sorted(map(str, second))}"
        pairs = ((first[key], second[key], f"{where}/{key}") for key in first)
        return next((found for each in pairs if (found := difference(*each))), None)
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and torch.equal(first, second)
        return None if same else f"{where}: tensors differ"
    return None if first == second else f"{where}: {first!r} against {second!r}"


# a shell's job in the background ignores Ctrl-C, and so would what the tests start from there
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
        start_new_session=True,  # a signal of the test reaches nobody but whom it is meant for
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
    """A csv file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class InProcess(Engine):
    """An engine without processes: jobs are carried out one by one, right here."""

    name = "local"

    def run(self, jobs: Sequence[Job]) -> bool:
        registry = load_plugins(self.setup.plugin_places)
        for job in jobs:
            self.observer.started(job.run)
            status = execute(job, registry, lambda _: None, never)
            self.observer.ended(job.run, status, "")
        return True


class Said(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


def caller(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *verb: str) -> Call:
    """Calls `gan-bench`, or a verb of it, in this process."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["gan-bench", *verb, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return call
