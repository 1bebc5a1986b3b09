"""Identity of a process that executes runs: versions, code and data, which have to be those of the command."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.contracts.run import DatasetRef, Job
from gan_bench.errors import error_text
from gan_bench.plugins.code_hash import code_hash
from gan_bench.running.provenance import package_versions

if TYPE_CHECKING:
    from gan_bench.contracts.metric import Fetchable
    from gan_bench.plugins.registry import Registry

MISSING = "missing: "
"""Prefix of a value in place of a hash: a plugin cannot be loaded, or files of a dataset are missing."""


@dataclass(frozen=True)
class Question:
    """Plugins, by kind and name, and datasets that a process has to identify.

    Attributes:
        fetch: whether it downloads files of datasets and metrics that are missing.
    """

    plugins: Sequence[tuple[str, str]]
    datasets: Sequence[DatasetRef]
    fetch: bool = False


@dataclass(frozen=True)
class Identity:
    """Versions, code and data of a process that executes runs.

    Attributes:
        versions: of Python and packages.
        code: hashes of plugins, by kind and name.
        data: hashes of data, by label.
        weights: files of weights that metrics use, by name; empty texts for those that exist.
    """

    versions: Mapping[str, str]
    code: Mapping[str, str]
    data: Mapping[str, str]
    weights: Mapping[str, str] = field(default_factory=dict)


def question_about(jobs: Sequence[Job], *, fetch: bool = False) -> Question:
    """Question about everything that jobs use."""
    plugins: dict[tuple[str, str], None] = {}
    for job in jobs:
        run = job.run
        used = [("models", run.model.plugin), ("datasets", run.dataset.plugin), ("networks", run.protocol.network)]
        plugins |= dict.fromkeys([*used, *(("metrics", name) for name in job.schedule.metrics)])
    return Question(tuple(plugins), tuple({job.run.dataset.label: job.run.dataset for job in jobs}.values()), fetch)


def identify(registry: Registry, question: Question, errors: Mapping[str, str] | None = None) -> Identity:
    """Answer a question about this process.

    Args:
        errors: why files are missing, by label of the dataset or name of the weights, if they could not be downloaded.
    """
    errors = errors or {}
    code = {f"{kind[:-1]} {name}": _code(registry, kind, name) for kind, name in question.plugins}
    return Identity(
        versions={"Python": ".".join(platform.python_version_tuple()[:2]), **package_versions()},
        code={"gan-bench": _core(), **code},
        data={each.label: _contents(registry, each, errors.get(each.label)) for each in question.datasets},
        weights={name: _weights(each, errors.get(name)) for name, each in weights_of(registry, question).items()},
    )


def weights_of(registry: Registry, question: Question) -> dict[str, Fetchable]:
    """Files of weights that the metrics of a question use, by name; without metrics that cannot be loaded."""
    found: dict[str, Fetchable] = {}
    for kind, name in question.plugins:
        if kind == "metrics":
            with suppress(Exception):  # a plugin may raise anything; its missing code is reported
                found |= registry.get(kind, name).fetchable
    return found


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
            phrases.append(f"dataset {label!r} is not available ({_reason(other)})")
        elif other != value:
            phrases.append(f"the files of dataset {label!r} differ")
    for name, value in expected.weights.items():
        other = found.weights.get(name, f"{MISSING}no metric there uses them")
        if other.startswith(MISSING) and not value.startswith(MISSING):
            phrases.append(f"weights {name!r} are not available ({_reason(other)})")
    return phrases


def remedy_for(phrases: Sequence[str]) -> str:
    """Advice for a node with such differences."""
    if any("not available" in phrase for phrase in phrases):
        return (
            "Run `gan-bench data fetch NAME` on that node, or let nodes download missing files with "
            "engine.fetch = true. If the files are elsewhere on the nodes, set engine.data."
        )
    return "Install the same versions, plugins and data on all nodes."


def _reason(value: str) -> str:
    return value.removeprefix(MISSING).rstrip(".")


def _code(registry: Registry, kind: str, name: str) -> str:
    try:
        return code_hash(registry.get(kind, name))
    except Exception as error:  # a plugin may raise anything
        return MISSING + error_text(error).rstrip(".")


def _contents(registry: Registry, dataset: DatasetRef, error: str | None) -> str:
    from gan_bench.plugins.instances import dataset_of

    try:
        found = dataset_of(dataset.plugin, dataset.params, registry)
        missing = found.missing()
        return MISSING + (error or missing) if missing else found.contents
    except Exception as error:  # a plugin may raise anything
        return MISSING + error_text(error).rstrip(".")


def _weights(weights: Fetchable, error: str | None) -> str:
    try:
        return "" if weights.found() else MISSING + (error or "the file does not exist")
    except Exception as problem:  # a plugin may raise anything
        return MISSING + error_text(problem)


@cache
def _core() -> str:
    """Hash of the sources of this package: a checkout may differ from another one of the same version."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
