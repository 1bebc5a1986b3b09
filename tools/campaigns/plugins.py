"""Run misbehaving plugins beside a healthy model through the real command, and count what they do to it.

    python tools/campaigns/plugins.py              one command for each plugin, which takes long
    python tools/campaigns/plugins.py --quick      most plugins together, in three commands
    python tools/campaigns/plugins.py --only chdir fork

Each plugin is one misbehaviour at one place: when its file is imported, in a hook, when a model is built, in a loss, in
a metric or in an observer. Four numbers are counted, and all must be 0: tracebacks on the terminal, commands that did
not end, other runs harmed, and healthy runs with other values than without the plugin. The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = (sys.executable, "-c", "from gan_bench.cli import main; main()")

LIMIT = 90.0
"""Seconds after which a command counts as one that did not end; the helpers below take longer."""

ANYWHERE = ("import", "hook", "build", "loss", "metric", "observer")
IN_RUNS = ("build", "loss")

HEAD = """\
import argparse, builtins, gc, json, locale, multiprocessing, os, random, resource, shutil, signal, subprocess, sys
import threading, time, warnings
import numpy as np
import torch
from gan_bench import Metric, Observer, hookimpl
from gan_bench_zoo.models.gan import GAN

def nap():
    time.sleep(150)

def double(module, inputs, output):
    return output * 2 if isinstance(output, torch.Tensor) else None

class Strange(BaseException):
    pass

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no message")

"""

PLACES = {
    "import": "misbehave()\n",
    "hook": """
@hookimpl
def gan_bench_models():
    misbehave()
    return []
""",
    "build": """
class Bad(GAN):
    name = "NAME"
    presets = {}
    def build(self, networks):
        misbehave()
        return super().build(networks)

@hookimpl
def gan_bench_models():
    return [Bad]
""",
    "loss": """
class Bad(GAN):
    name = "NAME"
    presets = {}
    def generator_loss(self, fake):
        found = misbehave()
        return super().generator_loss(fake) if found is None else found

@hookimpl
def gan_bench_models():
    return [Bad]
""",
    "metric": """
class Bad(Metric):
    name = "NAME"
    direction = "none"
    unit = ""
    def compute(self, samples):
        misbehave()
        return 1.0

@hookimpl
def gan_bench_metrics():
    return [Bad]
""",
    "observer": """
class Bad(Observer):
    name = "NAME"
    def started(self, run):
        misbehave()
    def evaluated(self, run, event):
        misbehave()

@hookimpl
def gan_bench_observers():
    return [Bad]
""",
}
"""Plugin that calls `misbehave` at each place."""


@dataclass(frozen=True)
class Misbehaviour:
    """Something that the code of a plugin does to the process, and the places at which it is tried."""

    name: str
    code: str
    places: tuple[str, ...] = ANYWHERE


TABLE = (
    # The process: what every run shares.
    Misbehaviour("chdir", "os.chdir('/')"),
    Misbehaviour("environment", "os.environ.clear()"),
    Misbehaviour("variables", "os.environ.update(GAN_BENCH_DATA='/nowhere', PYTHONPATH='/nowhere', TMPDIR='/nowhere')"),
    Misbehaviour("path", "sys.path[:] = ['/nowhere']"),
    Misbehaviour(
        "shadow",
        "os.makedirs('shadow', exist_ok=True)\n"
        "for name in ('ot', 'pandas', 'matplotlib', 'tabulate'):\n"
        "    open(f'shadow/{name}.py', 'w').write('raise RuntimeError(\"shadowed\")')\n"
        "sys.path.insert(0, os.path.abspath('shadow'))",
        ("import", "hook"),
    ),
    Misbehaviour("warnings", "warnings.simplefilter('error')"),
    Misbehaviour(
        "signals",
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):\n    signal.signal(number, signal.SIG_IGN)",
        ("import", "hook", "build", "loss", "metric"),
    ),
    Misbehaviour("timer", "signal.setitimer(signal.ITIMER_REAL, 1.5)", ("import", "hook", "metric", "observer")),
    Misbehaviour("locale", "locale.setlocale(locale.LC_ALL, 'C')"),
    Misbehaviour("umask", "os.umask(0o777)"),
    Misbehaviour("streams", "sys.stdout = sys.stderr = None"),
    Misbehaviour("builtins", "builtins.open = builtins.sorted = None", ("import", "hook", "build", "loss", "metric")),
    Misbehaviour("descriptors", "resource.setrlimit(resource.RLIMIT_NOFILE, (6, resource.getrlimit(7)[1]))"),
    Misbehaviour("recursion", "sys.setrecursionlimit(len(__import__('inspect').stack()) + 30)"),
    # Settings and default random streams of libraries.
    Misbehaviour("dtype", "torch.set_default_dtype(torch.float64)"),
    Misbehaviour("device", "torch.set_default_device('meta')"),
    Misbehaviour("gradients", "torch.set_grad_enabled(False)"),
    Misbehaviour("deterministic", "torch.use_deterministic_algorithms(True)"),
    Misbehaviour("denormal", "torch.set_flush_denormal(True)"),
    Misbehaviour("precision", "torch.set_float32_matmul_precision('medium')"),
    Misbehaviour("hooks", "torch.nn.modules.module.register_module_forward_hook(double)", ("import", "build", "loss")),
    Misbehaviour("random", "random.seed(1); np.random.seed(1); torch.manual_seed(1)"),
    Misbehaviour("numpy", "np.seterr(all='raise')"),
    # Output, and the channel between processes.
    Misbehaviour("prints", "print('SPILLED'); os.system('echo SPILLED')"),
    Misbehaviour("floods", "for _ in range(3000): print('SPILLED')", ("import", "hook", "build", "metric")),
    Misbehaviour(
        "channel",
        "for number in range(3, 40):\n"
        '    try: os.write(number, b\'garbage\\n\\xff\\n[]\\n{"event": "progress", "key": "?", "iteration": 1, \'\n'
        '                  b\'"iterations": 1, "rate": 1.0}\\n{"event": "ready"}{"event": \')\n'
        "    except OSError: pass",
        IN_RUNS,
    ),
    Misbehaviour("closes", "os.closerange(3, 64)", ("loss",)),
    Misbehaviour("input", "input()", ("import", "build")),
    # Processes and threads that are left behind, or that return.
    Misbehaviour("helper", "subprocess.Popen(['sleep', '150'])", ("import", "build")),
    Misbehaviour("process", "multiprocessing.get_context('fork').Process(target=nap).start()", ("import", "build")),
    Misbehaviour("thread", "threading.Thread(target=nap).start()", ("import", "build")),
    Misbehaviour(
        "daemon",
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(150)\n    os._exit(0)",
        ("import", "build"),
    ),
    Misbehaviour("fork", "os.fork()"),
    # Ends of the process.
    Misbehaviour("exit", "sys.exit(0)"),
    Misbehaviour("leave", "os._exit(0)", ("import", "hook", "build", "loss", "metric")),
    Misbehaviour("kill", "os.kill(os.getpid(), signal.SIGKILL)", IN_RUNS),
    Misbehaviour("group", "os.killpg(0, signal.SIGKILL)", ("loss",)),
    Misbehaviour("parent", "os.kill(os.getppid(), signal.SIGKILL)", ("loss",)),
    Misbehaviour("abort", "os.abort()", ("loss",)),
    Misbehaviour(
        "script",
        "p = argparse.ArgumentParser(); p.add_argument('--epochs', required=True); p.parse_args()",
        ("import",),
    ),
    # Exceptions and values.
    Misbehaviour("strange", "raise Strange('no Exception')"),
    Misbehaviour("mute", "raise Mute"),
    Misbehaviour("bytes", "raise ValueError(os.fsdecode(b'caf\\xe9.npy'))"),
    Misbehaviour("long", "raise ValueError('x' * 2_000_000)", ("import", "build", "loss")),
    Misbehaviour("recurses", "misbehave()", ("import", "loss")),
    Misbehaviour("memory", "raise MemoryError", ("import", "loss")),
    Misbehaviour("text", "return 'a loss'", ("loss",)),
    Misbehaviour("nan", "return torch.tensor(float('nan'), requires_grad=True)", ("loss",)),
)

ALONE = ("leave", "shadow")
"""Misbehaviours that `--quick` leaves out: together they would hide those of other plugins."""

QUICK_RUNS = (
    "loss_chdir",
    "build_dtype",
    "loss_dtype",
    "build_process",
    "loss_channel",
    "loss_fork",
    "loss_exit",
    "loss_kill",
    "loss_parent",
    "loss_strange",
    "build_bytes",
    "loss_bytes",
    "build_daemon",
)
"""Runs of `--quick`, each of which takes some tenths of a second."""


@dataclass(frozen=True)
class Case:
    """One misbehaviour at one place."""

    what: Misbehaviour
    place: str

    @property
    def name(self) -> str:
        """Name of the plugin."""
        return f"{self.place}_{self.what.name}"

    @property
    def source(self) -> str:
        """Text of the plugin file."""
        body = textwrap.indent(self.what.code, "    ")
        return HEAD + f"def misbehave():\n{body}\n" + PLACES[self.place].replace("NAME", self.name)


@dataclass
class Finding:
    """Result of a command with misbehaving plugins."""

    case: str
    plugins: Sequence[Case] = ()
    kinds: dict[str, str] = field(default_factory=dict)  # kind → detail
    code: int | None = None
    seconds: float = 0.0


def cases(only: Sequence[str] = ()) -> Iterator[Case]:
    """All cases, or those of the misbehaviours or cases with these names."""
    for what in TABLE:
        for place in what.places:
            case = Case(what, place)
            if not only or what.name in only or case.name in only:
                yield case


def benchmark(cases: Sequence[Case]) -> str:
    """A benchmark of a healthy model and the models and metrics of `cases`."""
    models = "".join(f'[[model]]\nplugin = "{case.name}"\n' for case in cases if case.place in IN_RUNS)
    metrics = ["symmetric_kl", "modes", *(case.name for case in cases if case.place == "metric")]
    listed = ", ".join(f'"{name}"' for name in metrics)
    observers = "".join(f"[observers.{case.name}]\n" for case in cases if case.place == "observer")
    return f"""\
name = "tiny"
seeds = 1
[[dataset]]
plugin = "ring8"
[protocol]
iterations = 20
batch = 32
fakes = 32
latent_size = 8
network = {{ plugin = "mlp", hidden = 8 }}
init_scale = 0.5
[evaluation]
every = 10
samples = 200
metrics = [{listed}]
points = 2
anchors = false
{observers}{models}
[[model]]
plugin = "mgan"
generators = 2
"""


def write(folder: Path, cases: Sequence[Case]) -> None:
    """Write the benchmark and a plugin file for each case."""
    (folder / "plugins").mkdir(parents=True)
    (folder / "tiny.toml").write_text(benchmark(cases), encoding="utf-8")
    for case in cases:
        (folder / "plugins" / f"{case.name}.py").write_text(case.source, encoding="utf-8")


def execute(folder: Path) -> tuple[int | None, float]:
    """Run the command to its end; return its exit code, or None if it did not end, and its seconds."""
    started = time.monotonic()
    arguments = ("run", "tiny.toml", "--device", "cpu", "--workers", "1", "--results", "results")
    with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            code: int | None = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = None
    for left in _processes_in(folder):  # helpers of the plugin, and of a command that did not end
        os.kill(left, signal.SIGKILL)
    process.wait()
    return code, time.monotonic() - started


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes that have output files of the folder open, which only those of its command have."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            files = [os.readlink(each) for each in (path / "fd").iterdir()]
        except OSError:
            continue
        if any(file.startswith(f"{folder}{os.sep}") for file in files):
            yield int(path.name)


def scores(folder: Path) -> list[tuple[str, ...]] | None:
    """Scores of the healthy run, without those of a plugin's metric; None if it is not finished."""
    found = list((folder / "results" / "tiny" / "runs").glob("ring8-mgan-*"))
    if len(found) != 1 or not (found[0] / "run.json").is_file():
        return None
    if '"finished"' not in (found[0] / "run.json").read_text(encoding="utf-8"):
        return None
    with (found[0] / "curve.csv").open(newline="", encoding="utf-8") as file:
        return [tuple(row.values()) for row in csv.DictReader(file) if not row["metric"].startswith("metric_")]


def examine(name: str, folder: Path, code: int | None, expected: Sequence[tuple[str, ...]] | None) -> Finding:
    """Compare what a command left with what it leaves without misbehaving plugins."""
    found = Finding(name, code=code)
    out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out.txt", "err.txt"))
    if "Traceback (most recent" in err + out or "Exception ignored" in err:
        found.kinds["traceback"] = err[err.find("Traceback") :][-300:]
    if code is None:
        found.kinds["hang"] = f"not ended after {LIMIT:.0f} s"
    now = scores(folder)
    if now is None:
        found.kinds["harmed"] = f"the healthy run is not finished, exit code {code}: {err[-300:]}"
    elif code not in (0, 1):
        found.kinds["harmed"] = f"exit code {code}: {err[-300:]}"
    elif not (folder / "results" / "tiny" / "table.md").is_file() or "mgan" not in out:
        found.kinds["harmed"] = "the table is missing"
    elif "SPILLED" in out:
        found.kinds["harmed"] = "output of the plugin is among the table"
    elif _is_locked(folder / "results" / "tiny"):
        found.kinds["harmed"] = "the results folder is still locked"
    if now is not None and expected is not None and now != list(expected):
        found.kinds["differs"] = "the scores of the healthy run differ"
    return found


def _is_locked(folder: Path) -> bool:
    with (folder / ".lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def trial(folder: Path, name: str, some: Sequence[Case], expected: Sequence[tuple[str, ...]] | None) -> Finding:
    """Run the command with the plugins of some cases."""
    place = folder / name
    write(place, some)
    code, seconds = execute(place)
    found = examine(name, place, code, expected)
    found.seconds, found.plugins = seconds, some
    return found


def campaign(folder: Path, chosen: Sequence[Case], *, together: bool) -> list[Finding]:
    """Run all cases, each in its own command or together, after a command without any."""
    healthy = trial(folder, "healthy", [], None)
    expected = scores(folder / "healthy")
    if expected is None or healthy.kinds:
        raise SystemExit(f"The benchmark without misbehaving plugins fails: {healthy.kinds}")
    groups = [(case.name, [case]) for case in chosen]
    if together:
        some = [case for case in chosen if case.what.name not in ALONE]
        loaded = [case for case in some if case.place not in IN_RUNS]
        groups = [("loaded", loaded), ("in_runs", [case for case in some if case.name in QUICK_RUNS])]
    found = []
    for name, group in groups:
        found.append(trial(folder, name, group, expected))
        what = ", ".join(f"{kind}: {detail}" for kind, detail in found[-1].kinds.items()) or "ok"
        print(f"{name}: {what} ({found[-1].code}, {found[-1].seconds:.0f} s)", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="most plugins together, in three commands")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="only these misbehaviours or plugins")
    parser.add_argument("--out", type=Path, help="folder for the commands' files; default: a temporary one")
    options = parser.parse_args(arguments)
    chosen = list(cases(options.only))
    with tempfile.TemporaryDirectory() as temporary:
        found = campaign(options.out or Path(temporary), chosen, together=options.quick)
    counts = Counter(kind for each in found for kind in each.kinds)
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in ("traceback", "hang", "harmed", "differs"))
    print(f"{sum(len(each.plugins) for each in found)} plugins in {len(found)} commands: {shown}")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
