"""Promises of run.json and benchmark.json as typed records: reading, migration and errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.contracts.run import DatasetRef, SkippedModel
from gan_bench.contracts.table import MetricInfo
from gan_bench.report.tables.build import render
from gan_bench.results.load import OF_METRIC, load_results, read_results
from gan_bench.store.records import (
    DIGEST,
    FORMAT,
    BenchmarkRecord,
    CheckRecord,
    ErrorRecord,
    ExecutionPlan,
    GitState,
    Ledger,
    MetricCode,
    MetricFacts,
    ModelRecord,
    PluginFacts,
    Provenance,
    RecordError,
    Rescored,
    RunRecord,
    StoredDataset,
    StoredEntry,
    decode,
    encode,
)
from tests.support.messages import Messages

FORMAT_1 = Path(__file__).parent / "format1"
"""Results folder written by gan-bench when run.json had format 1."""

PLACE = Provenance(
    started="2026-11-30T08:00:00+00:00",
    command=("gan-bench", "run"),
    packages={"torch": "2.6.0"},
    git=GitState("0" * 40, dirty=True),
    plugins=(PluginFacts("model", "gan", "gan-bench", "0.1.0", "zoo", "c" * 64),),
)
RUN = RunRecord(
    key="a" * 64,
    configuration="c" * 64,
    benchmark="tiny",
    dataset=DatasetRef("ring8", {"radius": 2.0}, "ring", "hash"),
    model=ModelRecord("mgan", {"generators": 8}, generators=8, sharing="trunks", initial_averages=True),
    seed=3,
    protocol=Protocol(learning_rate={"generator": 1e-3}, betas=(0.5, 0.9), network_params={"hidden": [4, 4]}),
    status="failed",
    iteration=20,
    iterations=30,
    error=ErrorRecord("ValueError", "no luck ↓"),
    ledger=Ledger({"generator": 5}, {"generator": 20}, 640, 1280, 1.5, plan=ExecutionPlan(threads=2, compiled=True)),
    metrics={"modes": MetricFacts("higher", "modes", 2, samples=500, note="by a classifier", scale="count")},
    metric_errors={"purity": "KeyError: 1"},
    provenance=PLACE,
    resumed=(PLACE, PLACE),
    plans=(ExecutionPlan(), ExecutionPlan(stack=2)),
    rescored=(Rescored({"modes": MetricCode("gan-bench 0.1.0", "d" * 64)}, 500, PLACE),),
    check=CheckRecord(10, ""),
    training_version=3,
)
BENCHMARK = BenchmarkRecord(
    name="tiny",
    seeds=(0, 1),
    evaluation=Evaluation(metrics=("modes",)),
    protocol=Protocol(),
    datasets=(StoredDataset("ring", "ring8", {}, 100),),
    models=(StoredEntry("GAN", "gan", False, ("a departure",), {"ring": "c" * 64}, {}, {"ring": ("a footnote",)}),),
    metrics={"modes": MetricInfo("higher", "modes", notes={"ring": "a note"}, scale="count")},
    left_out=(SkippedModel("Mine", "my-gan", "ImportError: no"),),
    mode="preview",
)


def _values(record: RunRecord | BenchmarkRecord) -> dict[str, Any]:
    """Values of a record without their digest, to be changed by a test."""
    values: dict[str, Any] = json.loads(encode(record))
    values.pop(DIGEST, None)
    return values


def test_files_without_a_scale_are_read() -> None:
    """Files of metrics written before `Metric.scale` existed are read, with the scale unknown."""
    run, benchmark = _values(RUN), _values(BENCHMARK)
    del run["metrics"]["modes"]["scale"], benchmark["metrics"]["modes"]["scale"]
    assert decode(json.dumps(run), RunRecord).metrics["modes"].scale is None
    assert decode(json.dumps(benchmark), BenchmarkRecord).metrics["modes"].scale is None


@pytest.mark.parametrize("record", [RUN, BENCHMARK], ids=["run", "benchmark"])
class TestCodec:
    def test_reads_what_it_writes(self, record: RunRecord | BenchmarkRecord) -> None:
        """Every field is read back equal and with the same type."""
        assert decode(encode(record), type(record)) == record

    def test_ignores_fields_of_later_versions(self, record: RunRecord | BenchmarkRecord) -> None:
        """A field that this version does not know is not an error."""
        values = _values(record) | {"later": [1]}
        assert decode(json.dumps(values), type(record)) == record


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "parts"),
        [
            ({"seed": "0"}, ["seed", "int", "str"]),
            ({"status": "lost"}, ["status", "'lost'"]),
            ({"model": {"plugin": "gan"}}, ["model", "params"]),
            ({"ledger": {"updates": {"generator": "many"}}}, ["ledger.updates[...]", "int", "str"]),
            ({"plans": [{"threads": None}]}, ["plans[0].threads", "int", "null"]),
        ],
    )
    def test_name_the_field(self, change: dict[str, Any], parts: list[str]) -> None:
        """The error gives the field, the expected type and the value found. Its wording is msgspec's."""
        with pytest.raises(RecordError) as caught:
            decode(json.dumps(_values(RUN) | change), RunRecord)
        assert all(part in str(caught.value) for part in parts)

    def test_name_a_changed_run(self, messages: Messages) -> None:
        """The digest of a run's record covers every value of it, in any order."""
        values = json.loads(encode(RUN))
        assert decode(json.dumps(dict(reversed(values.items()))), RunRecord) == RUN
        with messages.raises(RecordError):
            decode(json.dumps(values | {"seed": 4}), RunRecord)
        with pytest.raises(RecordError):
            decode(json.dumps(values | {"later": 1}), RunRecord)

    def test_text_without_an_encoding_is_escaped(self) -> None:
        """JSON may contain halves of surrogate pairs, which no output could encode."""
        change = {"benchmark": "a\ud800", "metric_errors": {"\udfff": "b\ud9ff"}}
        record = decode(json.dumps(_values(RUN) | change), RunRecord)
        assert (record.benchmark, record.metric_errors) == ("a\\ud800", {"\\udfff": "b\\ud9ff"})

    @pytest.mark.parametrize("value", [3, None, True])
    def test_name_an_unknown_format(self, value: object, messages: Messages) -> None:
        with messages.raises(RecordError, f"format {value}", "1 to 2"):
            decode(json.dumps(_values(RUN) | {"format": value}), RunRecord)

    @pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(RunRecord)])
    def test_only_for_fields_that_matter(self, name: str) -> None:
        """A field with a default may be missing. Any other missing field is reported."""
        values = {key: value for key, value in _values(RUN).items() if key != name}
        field = next(each for each in dataclasses.fields(RunRecord) if each.name == name)
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed or name == "format":
            with pytest.raises(RecordError, match=name):
                decode(json.dumps(values), RunRecord)
        else:
            assert decode(json.dumps(values), RunRecord).key == RUN.key


def _rows_and_notes(table: str) -> tuple[list[str], list[str]]:
    """Split a rendered table into the lines of its heading and rows, and its notes."""
    lines = [line for line in table.splitlines() if line]
    return [line for line in lines if line[0] in "#|"], [line for line in lines if line[0] not in "#|"]


class TestFormat1:
    def test_reads_as_before(self, messages: Messages) -> None:
        """Values, table and history of a folder of an earlier version can be read."""
        results = read_results(FORMAT_1)
        assert (results.ignored, results.others) == ((), 0)
        assert [placed.run.status for placed in results.runs] == ["finished", "finished", "failed"]
        expected = (FORMAT_1 / "results.csv").read_text(encoding="utf-8")
        frame = load_results(FORMAT_1)
        again = frame.assign(value=[repr(float(value)) for value in frame["value"]])
        again = again.drop(columns=list(OF_METRIC))  # added later
        assert again.to_csv(index=False, lineterminator="\n") == expected
        table, notes = _rows_and_notes(render(FORMAT_1))
        stored, stored_notes = _rows_and_notes((FORMAT_1 / "table.md").read_text(encoding="utf-8"))
        assert table == stored and len(notes) == len(stored_notes)
        messages.check("\n".join(notes), "20 iterations", "0.001", "ValueError: no luck")

    def test_keeps_its_history(self) -> None:
        """The history contains where it was trained and resumed, and what was scored later."""
        [finished, *_] = read_results(FORMAT_1).runs
        record = finished.run.record
        assert record.format == FORMAT
        assert record.provenance.python and record.provenance.plugins[0].origin
        assert record.rescored[0].metrics["high_quality"].code
        assert record.plans[-1].torch and record.training_version == 0

    def test_of_a_failed_run_has_no_ledger(self) -> None:
        """Format 1 has an empty object instead."""
        failed = read_results(FORMAT_1).runs[-1].run.record
        assert failed.ledger is None and failed.error is not None

    @pytest.mark.parametrize(
        "change",
        [
            {"rescored": [{"metrics": {"a": "b"}}]},
            {"rescored": [{"metrics": ["a"]}]},
            {"rescored": ["x"]},
            {"resumed": ["x"]},
            {"provenance": {"plugins": ["x"]}},
            {"provenance": {"plugins": 3}},
        ],
    )
    def test_that_is_damaged_is_an_error(self, change: dict[str, Any]) -> None:
        """A value of another type than in format 1 is reported, not dropped."""
        [path, *_] = sorted((FORMAT_1 / "runs").glob("*/run.json"))
        with pytest.raises(RecordError):
            decode(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), RunRecord)
