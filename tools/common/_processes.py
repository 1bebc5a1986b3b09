"""Processes of the command `gan-bench`: start, list and signal them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

STARTED = "GAN_BENCH_COMMAND_STARTED"
"""Environment variable: path of a file that the command creates before it processes its arguments."""

# Background jobs of a shell ignore some signals, and so would the commands that they start.
CODE = f"""
import os, signal
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from gan_bench.cli import main
open(os.environ["{STARTED}"], "w").close()
main()
"""


def start(
    arguments: Iterable[str], folder: Path, out: IO[bytes], err: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `gan-bench` in a new session, in a folder and with further environment variables."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )


def children(process: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) == process:
                found.append(int(stat.parent.name))
    return found


def family(process: int) -> list[int]:
    """Return a process and its descendants."""
    found = [process]
    for each in found:
        found += children(each)
    return found


def marked(text: str) -> list[int]:
    """Return processes that started with this text in their environment, orphans included."""
    found: list[int] = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if text.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found


def send(processes: Iterable[int], number: int) -> None:
    """Send a signal to processes that have not ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a process and all its descendants; a gentler signal would let workers write checkpoints."""
    if process.poll() is None:
        send(family(process.pid), signal.SIGKILL)
        process.wait()
