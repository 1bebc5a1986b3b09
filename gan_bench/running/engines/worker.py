"""A worker process: reads jobs as JSON lines from standard input, reports events as JSON lines on standard output.

It imports torch and the plugins once and forks for each job, so that a run starts at once, has separate memory
and cannot crash the worker. On platforms without fork, jobs run in the worker process. If the worker's input ends, the
command that started it has ended: the run is stopped, writes its checkpoint, and the worker exits.

    in   [job, …], one, or the seeds of a stack
    out  Ready before each · Compiling, Progress, Evaluated, Warned of runs · Ended; see `messages`

The end of a run is recorded in its run.json: a plugin could exit with any code.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from gan_bench.running.engines.interrupts import unblock
from gan_bench.running.engines.messages import Ended, Message, Ready, decode_jobs, encode_message

if TYPE_CHECKING:
    from gan_bench.contracts.run import Job


class _Stop:
    """Flag set by SIGTERM; the run checks it before each iteration."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command forwards Ctrl-C of the terminal
        unblock()

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


def main(places: list[str]) -> None:
    """Process jobs until the input ends; `places` are plugin files, and folders of plugin files."""
    stop = _Stop()
    # A plugin may query GPUs on import. With NVML that does not initialise CUDA, which would make forks fail.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # output of a plugin must not be parsed as an event

    import torch._dynamo  # an optimiser's first step imports it, which takes longer than a short run

    import gan_bench.running.execute  # noqa: F401 - before forking, once for all jobs
    from gan_bench.plugins.discovery import load_plugins

    registry = load_plugins([Path(place) for place in places])
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_end)
    commands = os.fdopen(0, "rb", buffering=0)  # unbuffered: `_wait` watches the descriptor
    while not stop.requested:
        _send(out, Ready())
        line = commands.readline()
        if not line:
            return
        jobs = decode_jobs(line)
        if jobs[0].likely_compiled and jobs[0].device == "cpu":
            # Import once here instead of in each fork, which takes a second. Not for a GPU: with some versions of torch
            # the import initialises CUDA, and CUDA cannot be used in a fork of a process that has initialised it.
            import torch._inductor.compile_fx  # noqa: F401
        _send(out, Ended(_serve(jobs, registry, out, stop, wake)))


def _serve(jobs: Sequence[Job], registry: Any, out: IO[str], stop: _Stop, wake: int) -> str:
    if not hasattr(os, "fork"):
        _run(jobs, registry, out, stop)
        return ""
    child = os.fork()
    log = Path(jobs[0].folder) / "log.txt"
    if child == 0:
        _child(jobs, log, registry, out, stop)
    return _outcome(_wait(child, stop, wake), log)


def _child(jobs: Sequence[Job], log_file: Path, registry: Any, out: IO[str], stop: _Stop) -> None:
    """Run the jobs in this forked process and exit without the parent's clean-up."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _run(jobs, registry, out, stop)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(jobs: Sequence[Job], registry: Any, out: IO[str], stop: _Stop) -> None:
    from gan_bench.running.execute import execute_stack

    execute_stack(jobs, registry, lambda event: _send(out, event), stop)


def _wait(child: int, stop: _Stop, wake: int) -> int:
    """Wait for the child; pass a stop request on to it, and stop it if the command has ended."""
    watched = [wake, 0]
    forwarded = False
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if stop.requested and not forwarded:
            os.kill(child, signal.SIGTERM)
            forwarded = True
        for ready in select.select(watched, [], [], 5.0)[0]:
            if ready == wake:
                os.read(wake, 512)
            elif not stop.requested:  # nothing is sent while a job runs: readable means closed
                stop.requested = True
                watched.remove(0)


def _outcome(status: int, log: Path) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by signal {number} ({signal.strsignal(number)})"
    code = os.WEXITSTATUS(status)
    return f"the process ended with exit code {code}; see runs/{log.parent.name}/log.txt" if code else ""


def _send(out: IO[str], message: Message) -> None:
    with contextlib.suppress(BrokenPipeError):  # the command has ended; the run still writes its checkpoint
        out.write(encode_message(message))


if __name__ == "__main__":
    main(sys.argv[1:])
