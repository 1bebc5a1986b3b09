"""Steps that check packages and processes, and steps that run the project's GPU tests."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from typing import Any

import torch
from _steps import Context, Failed, Skipped, Values, Work
from _workloads import ROOT

NEEDS_CUDA = "needs CUDA"
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "PIL", "matplotlib", "click", "pluggy", "rich")
RARER = ("tabulate", "ot", "torch_fidelity", "pytest")


# --- 1, 2: the environment ------------------------------------------------------------------------------------


def packages(context: Context) -> Values:
    """Import all required packages and record the versions and the device."""
    cuda = context.device == "cuda"
    missing = {}
    for name in (*PACKAGES, *RARER, *(("triton",) if cuda else ())):
        try:
            importlib.import_module(name)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    named = ("torch", "triton", "numpy", "pandas", "POT", "torch-fidelity", "gan-bench")
    facts: dict[str, Any] = {"python": sys.version.split()[0], "cores": os.cpu_count(), "missing": missing}
    for name in named:
        with suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
    if cuda:
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        facts["memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    if missing:
        raise Failed(f"cannot import {', '.join(missing)}", **facts)
    return facts


FORK = """
import os, sys, traceback
import torch._dynamo
import gan_bench.running.execute
from gan_bench.plugins.discovery import load_plugins
load_plugins([])
{more}
pid = os.fork()
if pid == 0:
    try:
        torch.zeros(1, device={device!r})
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def fork(context: Context) -> Values:
    """Use the device in a fork after a worker's imports, without and with inductor imported before it."""
    found = {}
    ways = {"as a worker": "", "with inductor": "import torch._inductor.compile_fx"}
    for name, more in [*ways.items()][: 1 if context.tiny else None]:
        ran = python("-c", FORK.format(more=more, device=context.device))
        found[name] = "works" if ran.returncode == 0 else last_line(ran.stdout)
    if found["as a worker"] != "works":
        raise Failed(found["as a worker"], **found)
    return found


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments in the project's folder, and print its output."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(ran.stdout, flush=True)
    return ran


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no output")


# --- 3, 4, 11: the project's own tests ------------------------------------------------------------------------


def tests(context: Context, *arguments: str) -> Values:
    """Run GPU tests. On a GPU it is a failure if no test runs, since a mark may be missing."""
    # plugins of this machine and warnings of its packages must not fail a test
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plain = ("-o", "addopts=", "-p", "no:cacheprovider", "-W", "default")
    ran = python("-m", "pytest", "-q", *plain, "-m", "gpu", *arguments)
    counts = {name: int(number) for number, name in re.findall(r"(\d+) (passed|failed|skipped|error)", ran.stdout)}
    said = last_line(ran.stdout)
    if context.device == "cpu" and not counts.get("passed"):
        if ran.returncode not in (0, 5):
            raise Failed(said, **counts)
        raise Skipped(NEEDS_CUDA, **counts)
    if ran.returncode or not counts.get("passed") or counts.get("skipped"):
        raise Failed(said, **counts)
    return counts


def tested(*arguments: str) -> Work:
    """Return a step that runs these GPU tests."""
    return lambda context: tests(context, *arguments)
