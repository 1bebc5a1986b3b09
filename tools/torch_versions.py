"""Run the tests that depend on torch's internals with other versions of torch.

    python tools/torch_versions.py                    the lowest version that pyproject.toml declares, and the newest
    python tools/torch_versions.py lowest
    python tools/torch_versions.py 2.11.0 --slow      given versions, with the slow tests

Each version is installed in a new environment in a temporary folder, several gigabytes, which is removed afterwards. No
GPU is needed: captures are simulated, and a build of torch for CUDA forks as it does with a GPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TESTS = (
    "tests/acceleration/test_cuda_graphs.py",
    "tests/acceleration/test_stacked_seeds.py",
    "tests/acceleration/test_compilation.py",
    "tests/training/test_draws.py",
    "tests/training/test_optimisers.py",
    "tests/running/test_engines.py::TestGPUs",
)
"""Tests of recorded, stacked and compiled iterations, draws in blocks, functional optimisers, and worker forks."""

PACKAGES = ("torch", "torchvision")


def lowest() -> dict[str, str]:
    """Return the lowest versions of `PACKAGES` that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = dict(each.split(">=") for each in project["dependencies"] if ">=" in each)
    return {name: declared[name] for name in PACKAGES}


def constraints(version: str) -> list[str]:
    """Return pip's constraints: none for "newest", the declared ones for "lowest", or a version of torch."""
    if version == "newest":
        return []
    if version == "lowest":
        return [f"{name}=={number}.*" for name, number in lowest().items()]
    return [f"torch=={version}"]  # torchvision requires its matching torch


def install(folder: Path, version: str) -> Path:
    """Create an environment with this project and a version of torch, and return its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    file = folder / "constraints.txt"
    file.write_text("\n".join(constraints(version)) + "\n", encoding="utf-8")
    call(python, "-m", "pip", "install", "-q", "-c", str(file), "-e", f"{ROOT}[test]")
    return python


def call(python: Path, *arguments: str, **environment: str) -> int:
    """Run an interpreter in the project's folder with its own packages alone. Raises if pip fails."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=ROOT, env=inherited | environment, check="pip" in arguments).returncode


def try_version(version: str, marked: Sequence[str]) -> Mapping[str, object]:
    """Install a version of torch and run the tests with it."""
    with tempfile.TemporaryDirectory(prefix="torch-versions-") as folder:
        python = install(Path(folder), version)
        call(python, "-c", "import torch, torchvision; print('torch', torch.__version__, torchvision.__version__)")
        code = call(python, "-m", "pytest", "-q", *marked, *TESTS, OMP_NUM_THREADS="1", MPLBACKEND="Agg")
    return {"version": version, "passed": code == 0}


def main() -> None:
    """Test each version; exit with 1 if a test fails with any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "versions",
        nargs="*",
        metavar="VERSION",
        default=["lowest", "newest"],
        help="a version of torch, lowest or newest",
    )
    parser.add_argument("--slow", action="store_true", help="run the slow tests as well")
    given = parser.parse_args()
    found = [try_version(version, ["-m", "slow or not slow"] if given.slow else []) for version in given.versions]
    for each in found:
        print(f"torch {each['version']}: {'passed' if each['passed'] else 'FAILED'}")
    sys.exit(0 if all(each["passed"] for each in found) else 1)


if __name__ == "__main__":
    main()
