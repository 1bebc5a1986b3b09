"""Kill real commands at random moments, resume them, and compare what they leave with uninterrupted ones.

    python tools/campaigns/kills.py                            200 kills over all kinds of commands: about an hour
    python tools/campaigns/kills.py --quick                    four kills, below a minute
    python tools/campaigns/kills.py --only stacked --kills 20  one kind

The signals are SIGINT, SIGTERM, SIGHUP, SIGKILL, SIGQUIT, SIGPIPE, and SIGSTOP followed by SIGCONT. Each is sent to the
command, to a worker, to a run's process or to all of them. A trial starts in a new folder, is killed up to four times,
and is resumed until the command ends with exit code 0. Then the tensors of checkpoints, curves, shares of classes,
samples, tables, prepared images and records without times are compared bit for bit with those of an uninterrupted
command. Counted are tracebacks, commands that do not end, processes and temporary files that are left, commands that
cannot be resumed, and differences. All must be 0; the exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]

import numpy as np  # noqa: E402 - after the path
import torch  # noqa: E402
from _comparison import differences  # noqa: E402
from _kinds import Kind, kinds  # noqa: E402
from _processes import STARTED, children, marked, send, start  # noqa: E402

from gan_bench.store.checkpoints import load_tensors  # noqa: E402

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGKILL,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGSTOP,
)
TARGETS = ("command", "worker", "run", "all")

LIMIT = 600.0
"""Seconds after which a command counts as one that does not end; an uninterrupted one takes a few."""

KILLS = 4
"""Largest number of kills of a trial."""

ATTEMPTS = 3
"""Number of commands without a kill that may be necessary until one ends with exit code 0."""

MARK = "GAN_BENCH_CAMPAIGN"
"""Environment variable of a trial's processes."""

OUTPUTS = ("out.txt", "err.txt", "started")
BAD = ("Traceback (most recent", "Exception ignored", "Fatal Python error", "Segmentation fault", "terminate called")
PASSING = frozenset({"provenance", "resumed", "rescored", "digest", "files"})
"""Values of run.json that depend on times, on the process, or on interruptions."""

TIMES = frozenset({"train_seconds", "compile_seconds", "evaluation_seconds", "peak_memory_mb"})
FAULTS = ("traceback", "hang", "process", "file", "resume", "differs")


@dataclass
class Whole:
    """Uninterrupted command of a kind: what it leaves, its output, and seconds until and after its first write."""

    files: Mapping[str, Any]
    out: str
    before: float
    after: float

    def shorten(self) -> None:
        """Expect less time, so that signals arrive before a command has ended."""
        self.before, self.after = 0.7 * self.before, 0.7 * self.after


@dataclass
class Trial:
    """Commands in one folder: what was sent to them, at most `most` signals, and what was wrong."""

    kind: str
    number: int
    most: int
    history: list[str] = field(default_factory=list)
    kills: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    commands: int = 0


# --- what a command leaves ------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, Any]:
    """Return everything in a trial's folder that must be equal bit for bit, by path."""
    places = (folder / "results", folder / "data")
    paths = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): _content(path) for path in paths if not path.name.endswith(".lock")}


def _content(path: Path) -> Any:
    match path.name:
        case "run.json":
            return _without_times(json.loads(path.read_text(encoding="utf-8")))
        case "prepared.json":
            values = json.loads(path.read_text(encoding="utf-8"))
            return values | {"files": {name: file["sha256"] for name, file in values["files"].items()}}
        case "samples.npz":
            with np.load(path) as stored:
                return {name: torch.from_numpy(stored[name]) for name in stored.files}
        case "results.csv" | "table.csv":
            return list(_rows_without_times(path))
        case "table.md" | "report.html":
            return ""  # their values are those of table.csv; a report has times and commands as well
    if path.suffix == ".pt":
        return _of_checkpoint(load_tensors(path))
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix != ".csv" else path.read_text(encoding="utf-8")


def _without_times(value: Mapping[str, Any]) -> dict[str, Any]:
    ledger = {name: each for name, each in (value["ledger"] or {}).items() if name not in TIMES}
    return {name: each for name, each in value.items() if name not in PASSING} | {"ledger": ledger}


def _rows_without_times(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("metric") not in TIMES:
                yield {name: value for name, value in row.items() if name not in TIMES}


def _of_checkpoint(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values in a checkpoint file without times, by the key of their run."""
    if state is None:
        return {"damaged": True}
    runs = state.get("runs", {state.get("key"): state})
    return {key: {name: each[name] for name in each if name not in TIMES} for key, each in runs.items()}


def left_files(folder: Path) -> list[str]:
    """Temporary files."""
    return [str(path) for ending in ("*.tmp", "*.part") for path in folder.rglob(ending)]


# --- commands -------------------------------------------------------------------------------------------------------


class Command:
    """One command in a trial's folder.

    Attributes:
        begun: time of the last `time.monotonic` before it processed its arguments.
    """

    def __init__(self, kind: Kind, folder: Path, shared: Path) -> None:
        self.kind, self.folder, self.mark = kind, folder, f"{MARK}={folder}"
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)
        cache = (folder if kind.cold else shared) / "inductor"
        environment = {
            MARK: str(folder),
            STARTED: str(folder / "started"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
            "OMP_NUM_THREADS": "1",
        }
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            self.process = start(kind.command(), folder, out, err, environment)
        self.wait_for((folder / "started").exists)
        self.begun, self._since = time.monotonic(), (folder / "started").stat().st_mtime_ns

    def wait_for(self, condition: Callable[[], bool], seconds: float = LIMIT) -> bool:
        """Wait until a condition holds and return True; return False if the command ends, or after some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            if condition():
                return True
            time.sleep(0.005)
        return False

    def has_written(self) -> bool:
        """Whether it has written a file into the results or the data folder."""
        for place in (self.folder / "results", self.folder / "data"):
            for path in place.rglob("*"):
                with suppress(OSError):
                    if path.stat().st_mtime_ns > self._since and not path.name.endswith(".lock"):
                        return True
        return False

    def wait(self, seconds: float = LIMIT) -> int | None:
        """Wait until the command has ended and return its exit code; None after some seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def targets(self, name: str) -> list[int]:
        """Processes of a target; empty if it has none now."""
        everything = marked(self.mark)
        workers = [each for each in children(self.process.pid) if each in everything]
        found = {
            "all": everything,
            "worker": workers[:1],
            "run": [child for each in workers[:1] for child in children(each)][:1],
        }
        return found.get(name, [self.process.pid])

    def send(self, number: signal.Signals, target: str, pause: float) -> str:
        """Send a signal to a target, or to the command if it has no such process now; return which.

        Stopped processes continue after `pause` seconds.
        """
        processes = self.targets(target)
        if not processes:
            processes, target = [self.process.pid], "command"
        send(processes, number)
        if number == signal.SIGSTOP:
            time.sleep(pause)
            send(processes, signal.SIGCONT)
        return target

    def text(self, name: str) -> str:
        """Output of the command."""
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")


def check(trial: Trial, command: Command) -> None:
    """Add faults of a command that has ended, or should have: output, and processes that are left."""
    trial.commands += 1
    if command.wait() is None:
        trial.faults.append(("hang", f"not ended after {LIMIT:.0f} s: {command.text('err.txt')[-300:]}"))
    until = time.monotonic() + LIMIT
    while (left := marked(command.mark)) and time.monotonic() < until:
        time.sleep(0.02)
    if left:
        trial.faults.append(("process", f"{len(left)} processes are left"))
        send(left, signal.SIGKILL)
        command.process.wait()
    logs = {str(path): path.read_text(errors="replace") for path in command.folder.glob("results/*/runs/*/log.txt")}
    for name, text in ({each: command.text(each) for each in OUTPUTS[:2]} | logs).items():
        if any(each in text for each in BAD):
            trial.faults.append(("traceback", f"{name}: {text[:200]} ... {text[-1000:]}"))
    if command.process.returncode == 2:
        trial.faults.append(("resume", f"exit code 2: {command.text('err.txt')[-300:]}"))


# --- trials ---------------------------------------------------------------------------------------------------------


class Campaign:
    """Trials of several kinds, until each has its number of kills."""

    def __init__(self, out: Path, kills: Mapping[str, int], seed: int) -> None:
        self.out, self.left, self.seed = out, dict(kills), seed
        self.references = out / "whole"
        self.kinds = kinds(out / "pictures")
        self.trials: list[Trial] = []
        self._wholes: dict[str, Whole] = {}
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._deck = self._cards(random.Random(f"{seed}/deck"))

    @staticmethod
    def _cards(rng: random.Random) -> Iterator[tuple[signal.Signals, str]]:
        """All pairs of signal and target in random order, again and again."""
        while True:
            cards = [(number, target) for number in SIGNALS for target in TARGETS]
            rng.shuffle(cards)
            yield from cards

    def whole(self, name: str) -> Whole:
        """Uninterrupted command of a kind, executed once."""
        with self._making:
            if name not in self._wholes:
                self._wholes[name] = self._uninterrupted(self.kinds[name])
            return self._wholes[name]

    def _uninterrupted(self, kind: Kind) -> Whole:
        if kind.after is not None and kind.after not in self._wholes:
            self._wholes[kind.after] = self._uninterrupted(self.kinds[kind.after])
        folder = self.references / kind.name
        kind.prepare(folder, self.references)
        command = Command(kind, folder, self.out)
        command.wait_for(command.has_written)
        written = time.monotonic()
        code = command.wait()
        if code != 0:
            raise SystemExit(f"{kind.name}: exit code {code}: {command.text('err.txt')[-2000:]}")
        ended = time.monotonic()
        return Whole(contents(folder), command.text("out.txt"), written - command.begun, ended - written)

    def work(self) -> None:
        """Execute trials until no kill is left."""
        while (trial := self._next()) is not None:
            self._run(trial)
            with self._lock:
                self.left[trial.kind] += trial.most - trial.kills
                if trial.kills == 0:  # the machine is faster than it was
                    self._wholes[trial.kind].shorten()
            faults = "; ".join(f"{kind}: {detail}" for kind, detail in trial.faults) or "ok"
            print(f"{trial.number} {trial.kind} [{', '.join(trial.history)}] {faults}", flush=True)

    def _next(self) -> Trial | None:
        """A trial of the kind with the most kills left, which takes some of them; None if none is left."""
        with self._lock:
            name = max(self.left, key=self.left.__getitem__)
            most = min(KILLS, self.left[name])
            if most == 0:
                return None
            self.left[name] -= most
            self.trials.append(Trial(name, len(self.trials), most))
            return self.trials[-1]

    def _run(self, trial: Trial) -> None:
        """Kill a command, and those that resume it, then compare."""
        kind, whole = self.kinds[trial.kind], self.whole(trial.kind)
        rng = random.Random(f"{self.seed}/{trial.number}")
        folder = self.out / f"{trial.number}-{kind.name}"
        kind.prepare(folder, self.references)
        unharmed = 0
        while unharmed < ATTEMPTS:
            command, kills = Command(kind, folder, self.out), trial.kills
            if trial.kills < trial.most:
                self._kill(trial, command, whole, rng)
            check(trial, command)
            trial.history.append(f"exit code {command.process.returncode}")
            if command.process.returncode == 0:
                self._compare(trial, folder, whole, command.text("out.txt") if kind.keeps else None)
                break
            unharmed += trial.kills == kills
        else:
            trial.faults.append(("resume", f"{trial.history[-1]}: {command.text('err.txt')[-500:]}"))
        if not trial.faults:
            shutil.rmtree(folder)

    def _kill(self, trial: Trial, command: Command, whole: Whole, rng: random.Random) -> None:
        """Send signals to a command until it ends, or the trial has had its kills."""
        early = command.kind.keeps or rng.random() < 0.25
        if not early:
            command.wait_for(command.has_written)
        wait = rng.uniform(0, whole.before + (whole.after if command.kind.keeps else 0) if early else whole.after)
        while trial.kills < trial.most:
            if command.wait(wait) is not None:
                return
            with self._lock:
                number, target = next(self._deck)
            target = command.send(number, target, rng.uniform(0.05, 1.0))
            trial.kills += 1
            when = f"{time.monotonic() - command.begun:.1f} s"
            trial.history.append(f"{number.name} to {target} after {when}")
            if rng.random() < 0.6:
                return
            wait = rng.uniform(0, 1.5)

    def _compare(self, trial: Trial, folder: Path, whole: Whole, out: str | None) -> None:
        found = differences(whole.files, contents(folder))
        trial.faults += [("differs", each) for each in found[:3]]
        trial.faults += [("file", path) for path in left_files(folder)]
        if out is not None and out != whole.out:
            trial.faults.append(("differs", "output"))


def draw_pictures(folder: Path, count: int = 400) -> None:
    """Write images of random pixels."""
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three kills of stacked seeds, one of their evaluation")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="only these kinds")
    parser.add_argument("--kills", type=int, metavar="N", help="number of kills of each kind; default: 200 in all")
    parser.add_argument("--seed", type=int, default=0, help="seed of signals and moments (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trials at a time (default: one per core)")
    parser.add_argument("--out", type=Path, help="new folder for trials with faults; default: a temporary one")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT would write memory images
    with tempfile.TemporaryDirectory() as temporary:
        out = (options.out or Path(temporary)).resolve()
        wanted = {kind.name: options.kills or kind.kills for kind in kinds(out).values()}
        if options.quick:
            wanted = {"stacked": 3, "evaluate": 1}
        wanted = {name: number for name, number in wanted.items() if name in (options.only or wanted)}
        draw_pictures(out / "pictures")
        campaign = Campaign(out, wanted, options.seed)
        with ThreadPoolExecutor(options.jobs) as pool:
            for future in [pool.submit(campaign.work) for _ in range(options.jobs)]:
                future.result()
        return report(campaign)


def report(campaign: Campaign) -> int:
    """Print the counts; return 1 if there is a fault."""
    faults = Counter(kind for trial in campaign.trials for kind, _ in trial.faults)
    sent = Counter(text.partition(" ")[0] for trial in campaign.trials for text in trial.history if " to " in text)
    commands = sum(trial.commands for trial in campaign.trials)
    values = sum(count_values(campaign.whole(trial.kind).files) for trial in campaign.trials)
    print(", ".join(f"{count} {name}" for name, count in sorted(sent.items())))
    print(
        f"{sum(trial.kills for trial in campaign.trials)} kills, {len(campaign.trials)} trials, {commands} commands, "
        f"{values:,} values: {', '.join(f'{faults[kind]} {kind}' for kind in FAULTS)}"
    )
    return int(bool(faults))


def count_values(value: Any) -> int:
    """Number of values that are compared."""
    if isinstance(value, Mapping):
        return sum(map(count_values, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(count_values, value))
    return value.numel() if isinstance(value, torch.Tensor) else value.count("\n") if isinstance(value, str) else 1


if __name__ == "__main__":
    sys.exit(main())
