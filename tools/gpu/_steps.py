"""Steps of a proof: each runs in a forked process with a time limit and writes its result as soon as it ends.

The process that forks never initialises CUDA, since a fork of a process with CUDA cannot use the GPU. A step that
aborts, hangs or is killed does not affect other steps.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLL = 0.05  # seconds
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
TAIL = 4_000  # characters of a step's output in the JSON file
PASSED, FAILED, SKIPPED, TIMED_OUT, CRASHED = "passed", "failed", "skipped", "timed out", "crashed"
UNFINISHED = "unfinished"  # of results that a running step has noted


class Failed(Exception):
    """Failure of a check. `values` are recorded beside the message."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.values = values


class Skipped(Failed):
    """Signal that a step cannot run here; the message gives the reason."""


@dataclass
class Context:
    """Environment of a step.

    Attributes:
        device: "cuda", or "cpu" in a rehearsal.
        tiny: whether sizes are those of a rehearsal.
        folder: for temporary files; shared by the steps of a command.
        deadline: end of the command by `time.monotonic`.
        statuses: statuses of finished steps, by name.
        values: results of finished steps, by name.
        partial: file for the step's results so far.
    """

    device: str
    tiny: bool
    folder: Path
    deadline: float
    statuses: dict[str, str] = field(default_factory=dict)
    values: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    partial: Path | None = None

    @property
    def left(self) -> float:
        """Return seconds until the deadline."""
        return self.deadline - time.monotonic()

    def note(self, **values: Any) -> None:
        """Record results so far, which survive if the step is killed."""
        if self.partial is not None:
            write_json(self.partial, {"status": UNFINISHED, "message": "", "values": values})


Values = Mapping[str, Any]
Work = Callable[[Context], Values]


@dataclass(frozen=True)
class Step:
    """Step with its limits.

    Attributes:
        seconds: time limit, after which the step is killed.
        least: seconds below which the step is skipped; reserved for a step that is `alone`.
        alone: whether no other step may run at the same time, because this one measures time.
    """

    name: str
    title: str
    work: Work
    seconds: float = 60.0
    least: float = 5.0
    alone: bool = False


def write_json(path: Path, value: Any) -> None:
    """Replace a file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


class Record:
    """JSON file of a command, rewritten after each change, and the log of all output beside it."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.log = path, path.with_suffix(".log")
        self.started = time.monotonic()
        self.facts = dict(facts)
        self.steps: dict[str, dict[str, Any]] = {}
        self.log.write_text("", encoding="utf-8")
        self.write()

    def set(self, step: Step, **values: Any) -> None:
        """Update the record of a step."""
        self.steps.setdefault(step.name, {"name": step.name, "title": step.title}).update(values)
        self.write()

    def write(self) -> None:
        """Write the file."""
        seconds = round(time.monotonic() - self.started, 1)
        write_json(self.path, {**self.facts, "seconds": seconds, "steps": [*self.steps.values()]})

    def append(self, step: Step, text: str) -> None:
        """Append the output of a step to the log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"=== {step.name}\n{text}\n")


class _Running:
    """Step in a separate process, which has to end within `left` seconds."""

    def __init__(self, step: Step, context: Context, left: float) -> None:
        self.step, self.started = step, time.monotonic()
        self.limit = min(step.seconds, left)
        own = context.folder / "steps"
        own.mkdir(exist_ok=True)
        self.output, self.result = own / f"{step.name}.log", own / f"{step.name}.json"
        self.seen = 0
        self.timed_out = False
        context.partial = self.result
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _child(step, context, self.output, self.result)

    @property
    def seconds(self) -> float:
        """Return seconds since the start."""
        return time.monotonic() - self.started

    def ended(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs. A step past its limit is stopped."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.signal(signal.SIGKILL)  # processes that the step left running
            return os.waitstatus_to_exitcode(status)
        if self.seconds > self.limit + GRACE:
            self.signal(signal.SIGKILL)
        elif self.seconds > self.limit and not self.timed_out:
            self.timed_out = True
            self.signal(signal.SIGTERM)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to the process group of the step."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def news(self, *, last: bool = False) -> dict[str, Any]:
        """Return the result file if it changed since the last call or if `last`; otherwise an empty mapping."""
        with suppress(OSError, ValueError):
            changed = self.result.stat().st_mtime_ns
            if changed != self.seen or last:
                self.seen = changed
                found: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
                return found
        return {}


def _child(step: Step, context: Context, output: Path, result: Path) -> None:
    """Run a step in this forked process, write its result and exit."""
    code = 1
    try:
        os.setsid()
        log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        found = outcome(step.work, context)
        write_json(result, found)
        code = 0 if found["status"] in (PASSED, SKIPPED) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def outcome(work: Work, context: Context) -> dict[str, Any]:
    """Run the work of a step and return its status, message and values."""
    try:
        return {"status": PASSED, "message": "", "values": dict(work(context))}
    except Failed as error:
        status = SKIPPED if isinstance(error, Skipped) else FAILED
        return {"status": status, "message": str(error), "values": error.values}
    except Exception as error:
        traceback.print_exc()
        return {"status": FAILED, "message": f"{type(error).__name__}: {error}", "values": {}}


def run_steps(steps: Sequence[Step], context: Context, record: Record, together: int) -> None:
    """Run steps in order, several at once unless a step is `alone`, until all have ended or the time is up."""
    waiting, running = deque(steps), list[_Running]()
    try:
        while waiting or running:
            while waiting and _may_start(waiting[0], running, together):
                step = waiting.popleft()
                later = sum(each.least + GRACE for each in waiting if each.alone)
                _start(step, running, context, record, context.left - later)
            time.sleep(POLL)
            for each in [*running]:
                _attend(each, running, context, record)
    finally:  # also if the command itself is interrupted
        for each in running:
            each.signal(signal.SIGKILL)


def _attend(each: _Running, running: list[_Running], context: Context, record: Record) -> None:
    """Record a running step: its result if it has ended, otherwise its changed results."""
    code = each.ended()
    if code is not None:
        running.remove(each)
        _end(each, code, context, record)
    elif news := each.news():
        record.set(each.step, **news | {"status": "running", "seconds": round(each.seconds, 1)})


def _may_start(step: Step, running: Sequence[_Running], together: int) -> bool:
    if step.alone or any(each.step.alone for each in running):
        return not running
    return len(running) < together


def _start(step: Step, running: list[_Running], context: Context, record: Record, left: float) -> None:
    """Start a step if the `left` seconds suffice; time for later steps that measure is already subtracted."""
    if left < step.least:
        context.statuses[step.name] = SKIPPED
        record.set(step, status=SKIPPED, message=f"no time left: needs {step.least:.0f} s", values={}, seconds=0.0)
        return
    record.set(step, status="running", message="", values={})
    running.append(_Running(step, context, left))


def _end(each: _Running, code: int, context: Context, record: Record) -> None:
    """Record the result of a step; if it has none, record that it was stopped or crashed."""
    text = each.output.read_text(encoding="utf-8", errors="replace") if each.output.is_file() else ""
    found = {"status": UNFINISHED, "message": "", "values": {}} | each.news(last=True)
    if found["status"] == UNFINISHED and each.timed_out:
        found |= {"status": TIMED_OUT, "message": f"stopped after {each.limit:.0f} s"}
    elif found["status"] == UNFINISHED:
        found |= {"status": CRASHED, "message": f"exit code {code}"}
    status, message = found["status"], found["message"]
    context.statuses[each.step.name], context.values[each.step.name] = status, found["values"]
    record.set(each.step, **found, exit_code=code, seconds=round(each.seconds, 1), output=text[-TAIL:])
    record.append(each.step, text)
    print(f"{each.step.name:22s} {status:9s} {each.seconds:6.1f} s  {message}".rstrip(), flush=True)


def apart(work: Callable[[], Any], folder: Path, **environment: str) -> Any:
    """Call work in a fork of this process, in which CUDA is not initialised, and return its JSON value.

    Raises:
        Failed: the work raised an exception, aborted or was killed.
    """
    (value,) = all_apart([work], folder, **environment)
    return value


def all_apart(works: Iterable[Callable[[], Any]], folder: Path, **environment: str) -> list[Any]:
    """Call several works at the same time; see `apart`."""
    started = [_forked(work, folder / f"apart-{os.getpid()}-{i}.json", environment) for i, work in enumerate(works)]
    ended = [(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), path) for pid, path in started]
    values = []
    for code, path in ended:
        if code != 0 or not path.is_file():
            raise Failed(f"a process of this step ended with exit code {code}")
        values.append(json.loads(path.read_text(encoding="utf-8")))
        path.unlink()
    return values


def _forked(work: Callable[[], Any], path: Path, environment: Mapping[str, str]) -> tuple[int, Path]:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.environ.update(environment)
            write_json(path, work())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid, path
