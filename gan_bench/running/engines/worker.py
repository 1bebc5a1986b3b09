"""A worker process: reads jobs as JSON lines from standard input, reports events as JSON lines on standard output.

It imports torch and the plugins once and forks for each job, so that a run starts at once, has separate memory
and cannot crash the worker. On platforms without fork, jobs run in the worker process. If the worker's input ends, the
command that started it has ended: the run is stopped, writes its checkpoint, and the worker exits.

    in   [job, …], one, or the seeds of a stack; or a Question
    out  Ready before each · Started · Compiling, Progress, Evaluated, Warned of runs · Ended; see `messages`
         Identity, the answer to a Question

Processes that code of a plugin starts have neither these channels nor the lock of the results folder.

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
from typing import IO, TYPE_CHECKING, Any, NoReturn

from gan_bench import escape
from gan_bench.errors import StoreError
from gan_bench.files import guarded, remove
from gan_bench.plugins.entry_points import tolerate_damaged_packages
from gan_bench.running.engines.interrupts import unblock
from gan_bench.running.engines.is_alive import is_alive
from gan_bench.running.engines.messages import Ended, Message, Ready, Started, decode_request, encode_message
from gan_bench.store.attempts import fence, tokens

if TYPE_CHECKING:
    from gan_bench.contracts.run import Job

LOCK = "--lock="


class _Stop:
    """Flag set by SIGTERM; the run checks it before each iteration.

    A run also stops if both its worker and the command have ended: nothing would wait for it, and it has the lock.
    """

    def __init__(self) -> None:
        self._requested = False
        self._command = os.getppid()
        self._worker: int | None = None
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command forwards Ctrl-C of the terminal
        unblock()

    @property
    def requested(self) -> bool:
        """Whether the run should write its checkpoint and end."""
        if self._worker is not None and os.getppid() != self._worker:
            self._requested |= not is_alive(self._command)
        return self._requested

    def watch(self, worker: int) -> None:
        """Let the run's process watch whether its worker has ended."""
        self._worker = worker

    def request(self) -> None:
        """Set the flag."""
        self._requested = True

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self._requested = True

    def __call__(self) -> bool:
        return self.requested


class _PrivateDescriptors:
    """Descriptors of a worker and its runs, which are closed in processes that code of a plugin forks.

    A process that a plugin leaves behind would otherwise keep the channel to the command open and the folder locked.
    """

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = list(descriptors)
        self._forks_run = False
        for each in descriptors:
            os.set_inheritable(each, False)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._close)

    def fork_run(self) -> int:
        """Fork the process of a run, which keeps the descriptors."""
        self._forks_run = True
        try:
            return os.fork()
        finally:
            self._forks_run = False

    def _close(self) -> None:
        if self._forks_run:
            return
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
        for each in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(each)


def main(arguments: list[str]) -> None:
    """Process jobs until the input ends.

    Args:
        arguments: plugin files, and folders of plugin files; before them ``--lock=N``, the descriptor of the lock.
    """
    locks = [int(each.removeprefix(LOCK)) for each in arguments if each.startswith(LOCK)]
    places = [Path(each) for each in arguments if not each.startswith(LOCK)]
    stop = _Stop()
    # A plugin may query GPUs on import. With NVML that does not initialise CUDA, which would make forks fail.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # output of a plugin must not be parsed as an event
    commands = os.fdopen(os.dup(0), "rb", buffering=0)  # unbuffered: `_wait` watches the descriptor
    _set_empty_input()
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    tolerate_damaged_packages()
    private = _PrivateDescriptors(out.fileno(), commands.fileno(), wake, wake_end, *locks)

    import torch._dynamo  # an optimiser's first step imports it, which takes longer than a short run

    import gan_bench.running.execute  # noqa: F401 - before forking, once for all jobs
    from gan_bench.data.downloads import print_stderr
    from gan_bench.plugins.discovery import load_plugins
    from gan_bench.running.engines.identity import Question, identify
    from gan_bench.running.engines.node_data import fetch_missing

    registry = load_plugins(places)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_end)
    while not stop.requested:
        _send(out, Ready())
        line = commands.readline()
        if not line:
            return
        jobs = decode_request(line)
        if isinstance(jobs, Question):
            errors = fetch_missing(registry, jobs, print_stderr) if jobs.fetch else {}
            _send(out, identify(registry, jobs, errors))
            continue
        if jobs[0].likely_compiled and jobs[0].device == "cpu":
            # Import once here instead of in each fork, which takes a second. Not for a GPU: with some versions of torch
            # the import initialises CUDA, and CUDA cannot be used in a fork of a process that has initialised it.
            import torch._inductor.compile_fx  # noqa: F401
        _send(out, _serve(jobs, registry, out, stop, private, [wake, commands.fileno()]))


def _set_empty_input() -> None:
    """Let standard input be empty: code of a plugin that reads it must not take the jobs."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _serve(
    jobs: Sequence[Job], registry: Any, out: IO[str], stop: _Stop, private: _PrivateDescriptors, watched: list[int]
) -> Ended:
    if not hasattr(os, "fork"):
        _run(jobs, registry, out, stop)
        return Ended("")
    worker = os.getpid()
    child = private.fork_run()
    log = Path(jobs[0].folder) / "log.txt"
    if child == 0:
        stop.watch(worker)
        _child(jobs, log, registry, out, stop)
    _send(out, Started(child))
    return _outcome(_wait(child, stop, *watched), log)


def _child(jobs: Sequence[Job], log_file: Path, registry: Any, out: IO[str], stop: _Stop) -> None:
    """Run the jobs in this forked process and exit without the parent's clean-up."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with guarded(fence(tokens(jobs))):
            remove(log_file)  # a process of an earlier attempt may still have it open
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _run(jobs, registry, out, stop)
        code = 0
    except StoreError as error:  # another process has begun an attempt of the run
        print(escape.several_lines(str(error)), file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(jobs: Sequence[Job], registry: Any, out: IO[str], stop: _Stop) -> None:
    from gan_bench.running.execute import execute_stack

    execute_stack(jobs, registry, lambda event: _send(out, event), stop)


def _wait(child: int, stop: _Stop, wake: int, commands: int) -> int:
    """Wait for the child and return its status; pass a stop request on to it, and stop it if the command has ended."""
    watched = [wake, commands]
    forwarded = False
    while True:
        try:
            pid, status = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:  # a thread of a plugin has waited for it; its record shows how it ended
            return 0
        if pid:
            return status
        if stop.requested and not forwarded:
            os.kill(child, signal.SIGTERM)
            forwarded = True
        for ready in select.select(watched, [], [], 5.0)[0]:
            if ready == wake:
                os.read(wake, 512)
            elif not stop.requested:  # nothing is sent while a job runs: readable means closed
                stop.request()
                watched.remove(commands)


def _outcome(status: int, log: Path) -> Ended:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return Ended(f"killed by signal {number} ({signal.strsignal(number)})", killed=True)
    code = os.WEXITSTATUS(status)
    return Ended(f"the process ended with exit code {code}; see runs/{log.parent.name}/log.txt" if code else "")


def _send(out: IO[str], message: Message) -> None:
    with contextlib.suppress(BrokenPipeError):  # the command has ended; the run still writes its checkpoint
        out.write(encode_message(message))


def _main() -> NoReturn:
    """Run `main` and exit at once: threads and processes that a plugin has left behind are not waited for."""
    code = 1
    try:
        main(sys.argv[1:])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
