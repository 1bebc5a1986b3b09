"""run.json and benchmark.json as typed records, with one codec for both.

Records are written in the current format. Those of format 1 are read as well, see `migrate_run`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any, Literal, TypeVar, get_args

import msgspec

from gan_bench.contracts.metric import Scale
from gan_bench.contracts.modes import Mode
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.contracts.run import DatasetRef, JsonValue, ModelRef, Plain, SkippedModel
from gan_bench.contracts.table import MetricInfo
from gan_bench.names import encodable

FORMAT = 2
OLDER_FORMATS = (1,)

DIGEST = "digest"
"""Key of the digest in run.json; the digest belongs to the file, not to the record."""

Status = Literal["running", "interrupted", "finished", "failed", "diverged"]
STATUSES: tuple[Status, ...] = get_args(Status)

T = TypeVar("T")
R = TypeVar("R", "RunRecord", "BenchmarkRecord")


_SURROGATE = re.compile(r"\\u[dD]|[\ud800-\udfff]")
"""Half of a surrogate pair in the text of a file."""


class RecordError(ValueError):
    """Reason why a record cannot be read, with the field."""


@dataclass(frozen=True)
class ErrorRecord:
    """Exception that ended a run."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


@dataclass(frozen=True)
class ExecutionPlan:
    """Conditions that must be equal for two executions of a run to agree to the last bit.

    On a GPU, the driver and the libraries as well; see `compilation.reproducible` for compiled ones.

    Attributes:
        device: "cpu", or the name of the GPU.
        stack: seeds that trained together.
        graph: whether iterations were recorded as CUDA graphs.
        torch: its version.
    """

    device: str = "cpu"
    threads: int = 1
    stack: int = 1
    compiled: bool = False
    graph: bool = False
    precision: str = "float32"
    torch: str = ""


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a GPU in MiB.

    Attributes:
        reserved_mb: the highest that a process has reserved for tensors, caches of the allocator included.
        total_mb: of the GPU.
    """

    reserved_mb: float
    total_mb: float


@dataclass(frozen=True)
class Ledger:
    """Resources that a run has used so far.

    Attributes:
        parameters: player → number of parameters.
        updates: player → optimiser steps.
        fake_samples: samples that losses received; those of a model that chooses generators are the chosen ones.
        generator_samples: number of them from each generator; empty if each draw has the same number of each.
        peak_memory_mb: highest resident memory in MiB; on a GPU the device's.
        plan: the last execution plan.
        gpu_memory: of all seeds that trained together; None on a CPU, and in records of earlier versions.
    """

    parameters: Mapping[str, int] = field(default_factory=dict)
    updates: Mapping[str, int] = field(default_factory=dict)
    real_samples: int = 0
    fake_samples: int = 0
    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    device: str = "cpu"
    plan: ExecutionPlan | None = None
    generator_samples: tuple[int, ...] = ()
    gpu_memory: GpuMemory | None = None


@dataclass(frozen=True)
class ModelRecord(ModelRef):
    """Model of a run, with facts that are known once it is built.

    Attributes:
        sharing: what generators share, in words.
        initial_averages: whether it was evaluated with batch-norm statistics at their initial values.
        reads_labels: whether it read labels of real data in training.
    """

    generators: int = 1
    sharing: str = ""
    initial_averages: bool = False
    reads_labels: bool = False


@dataclass(frozen=True)
class MetricFacts:
    """A metric that a run was scored with.

    Attributes:
        note: description of its prepared files.
        scale: None in files that do not have it.
    """

    direction: str = "none"
    unit: str = ""
    version: int = 1
    per_generator: bool = False
    samples: int = 0
    note: str = ""
    scale: Scale | None = None


@dataclass(frozen=True)
class GitState:
    """State of the checkout that was used."""

    commit: str
    dirty: bool


@dataclass(frozen=True)
class PluginFacts:
    """Origin and hash of the code of a plugin; `origin` is a package or a file."""

    kind: str
    name: str
    origin: str
    version: str
    path: str
    code: str


@dataclass(frozen=True)
class Provenance:
    """Code, packages, machine and flags of a process that executed a run.

    Attributes:
        started: ISO 8601, UTC.
        git: None outside a checkout.
        gpu, cuda: empty on a CPU.
    """

    started: str = ""
    command: tuple[str, ...] = ()
    python: str = ""
    platform: str = ""
    cpu: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    git: GitState | None = None
    deterministic: bool = False
    cudnn_benchmark: bool = False
    matmul_precision: str = ""
    gpu: str = ""
    cuda: str = ""
    plugins: tuple[PluginFacts, ...] = ()


@dataclass(frozen=True)
class MetricCode:
    """Origin and hash of the code of a metric."""

    origin: str
    code: str


@dataclass(frozen=True)
class Rescored:
    """A later evaluation of a finished run: its metrics, number of samples and process."""

    metrics: Mapping[str, MetricCode]
    samples: int
    provenance: Provenance


@dataclass(frozen=True)
class CheckRecord:
    """Findings of a check on one run.

    Attributes:
        resumed_from: the iteration of the checkpoint that it resumed from.
        sample_error: why its stored generators could not be sampled; empty if they could, None if not tried.
    """

    resumed_from: int
    sample_error: str | None = None


@dataclass(frozen=True)
class LostAttempt:
    """An attempt of a run that ended without a result, as its machine was lost: its place, and the cause.

    Attributes:
        iteration: of the last checkpoint when the next attempt began.
    """

    number: int
    place: str
    cause: str
    iteration: int = 0


@dataclass(frozen=True)
class RunRecord:
    """run.json: a run's definition, progress, resources and machine.

    Attributes:
        training_version: of the core that trains it, see `planning.runs.TRAINING_VERSION`; 0 if unknown.
        iterations: the iteration that the run ends with; 0 for anchors.
        ledger: None if it failed before its networks were built.
        metrics: those that it was scored with.
        metric_errors: metric → message of its failure.
        provenance: of the process that started it; `resumed`, of those that resumed it.
        plans: one, and a further one for each change of machine or mode of execution.
        files: SHA-256 of the files with scores and samples at the end of the run; empty while they may change, and in
            records of earlier versions.
        attempts: attempts that were lost, for runs on a cluster.
    """

    key: str
    configuration: str
    benchmark: str
    dataset: DatasetRef
    model: ModelRecord
    seed: int
    protocol: Protocol
    status: Status
    iteration: int = 0
    iterations: int = 0
    error: ErrorRecord | None = None
    ledger: Ledger | None = None
    metrics: Mapping[str, MetricFacts] = field(default_factory=dict)
    metric_errors: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    resumed: tuple[Provenance, ...] = ()
    plans: tuple[ExecutionPlan, ...] = ()
    rescored: tuple[Rescored, ...] = ()
    check: CheckRecord | None = None
    training_version: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    attempts: tuple[LostAttempt, ...] = ()
    format: int = FORMAT

    @property
    def notes(self) -> dict[str, str]:
        """Notes on prepared files, by metric."""
        return {name: facts.note for name, facts in self.metrics.items() if facts.note}


@dataclass(frozen=True)
class StoredDataset:
    """One dataset of a stored benchmark.

    Attributes:
        params: None in files that do not have them.
        held_out: samples held out; None if they never run out, or in files that do not have it.
    """

    label: str
    plugin: str
    params: Plain | None = None
    held_out: int | None = None


@dataclass(frozen=True)
class StoredEntry:
    """One model of a stored benchmark.

    Attributes:
        departures: footnotes about settings that differ from the protocol.
        configurations: dataset label → hash of its runs.
        params: None in files that do not have them.
        footnotes: dataset label → further footnotes.
        other_params: phrases about parameters that differ from the defaults; empty in files that do not have them.
        citation: first paragraph of the docstring of the plugin's module; empty if unknown.
    """

    label: str
    plugin: str
    anchor: bool
    departures: tuple[str, ...]
    configurations: Mapping[str, str]
    params: Plain | None = None
    footnotes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_params: tuple[str, ...] = ()
    citation: str = ""


@dataclass(frozen=True)
class BenchmarkRecord:
    """benchmark.json: the requested models, datasets and settings, whether or not they have run.

    `file` is the text of the benchmark file, without overrides; empty for a mapping from Python or if unknown.
    """

    name: str
    seeds: tuple[int, ...]
    evaluation: Evaluation
    protocol: Protocol
    datasets: tuple[StoredDataset, ...]
    models: tuple[StoredEntry, ...]
    metrics: Mapping[str, MetricInfo]
    left_out: tuple[SkippedModel, ...] = ()
    mode: Mode = "full"
    file: str = ""
    version: str = ""
    format: int = FORMAT


def encode(record: RunRecord | BenchmarkRecord) -> str:
    """Encode a record as the text of its file. A run's record contains a digest of its other values."""
    values = msgspec.to_builtins(record)
    if isinstance(record, RunRecord):
        values[DIGEST] = _digest(values)
    return json.dumps(values, indent=1) + "\n"


def _digest(values: Mapping[str, JsonValue]) -> str:
    """SHA-256 of the values of a record, whatever their order."""
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _encodable(value: Any) -> Any:
    """Replace halves of surrogate pairs, which JSON may contain and no output can encode, by their escapes."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value


def decode(text: str | bytes, kind: type[R]) -> R:
    """Decode a record.

    Raises:
        RecordError: it is not JSON, of an unknown format, or a field is missing or has another type.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(str(error)) from error
    if not isinstance(values, dict):
        raise RecordError(f"expected an object, found {values!a:.40}")
    found = values.get("format")
    if found not in (FORMAT, *OLDER_FORMATS) or isinstance(found, bool):
        supported = f"this version of gan-bench supports formats 1 to {FORMAT}"
        raise RecordError(f"format {found!r:.40} is not supported; {supported}")
    try:
        expected = values.pop(DIGEST, None)
        if expected is not None and expected != _digest(values):
            raise RecordError("its values differ from those that were written")
        if _SURROGATE.search(text):  # rare, and the replacement takes longer than the rest
            values = _encodable(values)
    except RecursionError as error:
        raise RecordError("its values are nested too deeply") from error
    if found != FORMAT and kind is RunRecord:
        try:
            values = migrate_run(values)
        except (AttributeError, TypeError) as error:
            raise RecordError(f"damaged record of format {found} ({error})") from error
    if kind is RunRecord and isinstance(values.get("protocol"), dict):
        # A setting of a later version changes what was trained, so it cannot be ignored as other fields can.
        unknown = values["protocol"].keys() - {each.name for each in fields(Protocol)}
        if unknown:
            raise RecordError(f"protocol.{min(unknown)}: unknown setting")
    return convert(values | {"format": FORMAT}, kind)


def migrate_run(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A run.json of format 1 as one of the current format.

    Format 1 had an empty object for an unknown ledger, and provenance among other fields.
    """
    now = dict(values)
    if not now.get("ledger"):
        now["ledger"] = None
    for name in ("provenance", "resumed", "rescored"):
        found = now.get(name)
        if isinstance(found, dict):
            now[name] = _migrate_provenance(found)
        elif isinstance(found, list):
            now[name] = [_migrate_provenance(each) if isinstance(each, dict) else each for each in found]
    rescored = now.get("rescored")
    if isinstance(rescored, list):
        now["rescored"] = [
            {"metrics": _migrate_code(each.get("metrics", {})), "samples": each.get("samples", 0), "provenance": each}
            for each in rescored
        ]
    return now


def _migrate_provenance(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    plugins = values.get("plugins") or []
    if isinstance(plugins, list):  # else it is reported as a field of another type
        plugins = [{"origin": each.get("from", ""), **each} for each in plugins]
    return {**values, "cuda": values.get("cuda") or "", "plugins": plugins}


def _migrate_code(metrics: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    return {name: {"origin": facts.get("from", ""), "code": facts.get("code", "")} for name, facts in metrics.items()}


def convert(values: object, kind: type[T]) -> T:
    """Plain values as an instance of a dataclass, or of a list of such. Raises RecordError."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise RecordError(_explained(str(error))) from error
    except RecursionError as error:
        raise RecordError("its values are nested too deeply") from error


def _explained(message: str) -> str:
    """Rewrite msgspec's message with the field first: "Expected `int`, got `str` - at `$.seed`"."""
    problem, _, place = message.partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".")
    problem = problem.replace("`", "").replace("Object missing required field ", "missing ")
    return f"{where}: {problem[0].lower()}{problem[1:]}" if where else f"{problem[0].lower()}{problem[1:]}"
