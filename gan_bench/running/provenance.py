"""Where a run came from: code, packages, machine and flags, so that a figure can be traced and repeated."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_bench.contracts.run import Run
    from gan_bench.plugins.registry import Registry
from gan_bench.plugins.code_hash import code_hash

PACKAGES = ("gan-bench", "torch", "numpy", "scipy", "POT", "pandas", "pluggy")


def provenance(device: str) -> dict[str, Any]:
    """Facts about this process, as plain values."""
    import torch

    facts: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git_state(str(Path(__file__).resolve().parent)),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
    return facts


@cache
def git_state(folder: str) -> dict[str, Any] | None:
    """Commit and dirtiness of the checkout that holds `folder`; None where it is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@cache
def cpu_name() -> str:
    """The processor's model and the number of cores."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def plugin_facts(registry: Registry, run: Run) -> list[dict[str, str]]:
    """Where the code of a run's model, dataset and network came from: package and version, or file; and its hash."""
    used = {"models": run.model["plugin"], "datasets": run.dataset["plugin"], "networks": run.protocol["network"]}
    facts = []
    for kind, name in used.items():
        origin = registry.origin(kind, name)
        place = {"from": origin.name, "version": origin.version, "path": origin.path}
        facts.append({"kind": kind[:-1], "name": name, **place, "code": code_hash(registry.get(kind, name))})
    return facts
