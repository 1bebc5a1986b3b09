"""Provenance of a run: code, packages, machine and flags, so that a figure can be traced and repeated."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_bench.contracts.run import Run
    from gan_bench.plugins.registry import Registry
from gan_bench.names import encodable
from gan_bench.plugins.code_hash import code_hash
from gan_bench.store.records import GitState, PluginFacts, Provenance

COMMAND_VARIABLE = "GAN_BENCH_COMMAND"
SHARE_VARIABLE = "GAN_BENCH_GPU_SHARE"
"""Environment variable with the largest share of a GPU's memory that a run may allocate."""

OUTSIDE_MB = 600.0
"""Memory of a process on a GPU in MiB that PyTorch's limit does not count: CUDA's context and libraries."""

PACKAGES = ("gan-bench", "torch", "numpy", "scipy", "POT", "pandas", "pluggy")


def provenance(device: str, plugins: Sequence[PluginFacts] = ()) -> Provenance:
    """Facts about this process."""
    import torch

    on_gpu = device == "cuda"
    return Provenance(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(map(encodable, command())),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu_name(),
        packages=package_versions(),
        git=git_state(str(Path(__file__).resolve().parent)),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        matmul_precision=torch.get_float32_matmul_precision(),
        gpu=torch.cuda.get_device_name() if on_gpu else "",
        cuda=str(torch.version.cuda) if on_gpu else "",
        plugins=tuple(plugins),
    )


def this_process() -> str:
    """Machine and number of this process, for messages and the ledger."""
    return f"{platform.node()}, process {os.getpid()}"


def command() -> tuple[str, ...]:
    """Command line that started the benchmark: of this process, or of the one that started this worker."""
    passed = os.environ.get(COMMAND_VARIABLE)
    if passed is not None:
        return tuple(json.loads(passed))
    name = Path(sys.argv[0]).name
    return ("gan-bench" if name == "__main__.py" else name, *sys.argv[1:])


def command_for_workers() -> dict[str, str]:
    """Environment variable that passes the command to worker processes."""
    return {COMMAND_VARIABLE: json.dumps(command())}


@cache
def git_state(folder: str) -> GitState | None:
    """Commit and dirtiness of the checkout that contains `folder`; None outside a checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return GitState(commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))


def _git(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def package_versions() -> dict[str, str]:
    """Versions of this package and of those that compute."""
    return {name: package_version(name) for name in PACKAGES}


def package_version(package: str) -> str:
    """Version of an installed package, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def cpu_name() -> str:
    """Model of the processor and number of cores."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def plugin_facts(registry: Registry, run: Run) -> list[PluginFacts]:
    """Origin and hash of the code of a run's model, dataset and network."""
    used = {"models": run.model.plugin, "datasets": run.dataset.plugin, "networks": run.protocol.network}
    facts = []
    for kind, name in used.items():
        origin, code = registry.origin(kind, name), code_hash(registry.get(kind, name))
        facts.append(PluginFacts(kind[:-1], name, origin.name, origin.version, origin.path, code))
    return facts
