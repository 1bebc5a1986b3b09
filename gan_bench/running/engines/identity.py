"""Identity of a process that executes runs: versions, code and data, which have to be those of the command."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.contracts.run import DatasetRef, Job
from gan_bench.errors import error_text
from gan_bench.plugins.code_hash import code_hash
from gan_bench.running.provenance import package_versions

if TYPE_CHECKING:
    from gan_bench.plugins.registry import Registry

MISSING = "missing: "
"""Prefix of a value in place of a hash: a plugin cannot be loaded, or files of a dataset are missing."""


@dataclass(frozen=True)
class Question:
    """Plugins, by kind and name, and datasets that a process has to identify."""

    plugins: Sequence[tuple[str, str]]
    datasets: Sequence[DatasetRef]


@dataclass(frozen=True)
class Identity:
    """Versions of Python and packages, hashes of code by kind and name, and hashes of data by label."""

    versions: Mapping[str, str]
    code: Mapping[str, str]
    data: Mapping[str, str]


def question_about(jobs: Sequence[Job]) -> Question:
    """Question about everything that jobs use."""
    plugins: dict[tuple[str, str], None] = {}
    for job in jobs:
        run = job.run
        used = [("models", run.model.plugin), ("datasets", run.dataset.plugin), ("networks", run.protocol.network)]
        plugins |= dict.fromkeys([*used, *(("metrics", name) for name in job.schedule.metrics)])
    return Question(tuple(plugins), tuple({job.run.dataset.label: job.run.dataset for job in jobs}.values()))


def identify(registry: Registry, question: Question) -> Identity:
    """Answer a question about this process."""
    code = {f"{kind[:-1]} {name}": _code(registry, kind, name) for kind, name in question.plugins}
    return Identity(
        versions={"Python": ".".join(platform.python_version_tuple()[:2]), **package_versions()},
        code={"gan-bench": _core(), **code},
        data={each.label: _contents(registry, each) for each in question.datasets},
    )


def differences(expected: Identity, found: Identity) -> list[str]:
    """Phrases about everything in which two identities differ; empty if runs are the same in both processes."""
    phrases = [
        f"{name} is {found.versions.get(name, 'unknown')} in place of {version}"
        for name, version in expected.versions.items()
        if found.versions.get(name) != version
    ]
    for name, value in expected.code.items():
        other = found.code.get(name, "")
        if other.startswith(MISSING):
            phrases.append(f"{name} cannot be loaded ({other.removeprefix(MISSING)})")
        elif other != value:
            phrases.append(f"the code of {name} differs")
    for label, value in expected.data.items():
        other = found.data.get(label, "")
        if other.startswith(MISSING):
            phrases.append(f"dataset {label!r} is not available ({other.removeprefix(MISSING)})")
        elif other != value:
            phrases.append(f"the files of dataset {label!r} differ")
    return phrases


def _code(registry: Registry, kind: str, name: str) -> str:
    try:
        return code_hash(registry.get(kind, name))
    except Exception as error:  # a plugin may raise anything
        return MISSING + error_text(error).rstrip(".")


def _contents(registry: Registry, dataset: DatasetRef) -> str:
    from gan_bench.plugins.instances import dataset_of

    try:
        found = dataset_of(dataset.plugin, dataset.params, registry)
        missing = found.missing()
        return MISSING + missing if missing else found.contents
    except Exception as error:  # a plugin may raise anything
        return MISSING + error_text(error).rstrip(".")


@cache
def _core() -> str:
    """Hash of the sources of this package: a checkout may differ from another one of the same version."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
