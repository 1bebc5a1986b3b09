"""Section with runs that did not finish: the head of their error, and results that are left out."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from gan_bench.contracts.table import Row
from gan_bench.files import read_file
from gan_bench.report.page.contents import FINISHED, Contents
from gan_bench.report.page.elements import render
from gan_bench.results.load import FINISHED as FINISHED_METRIC
from gan_bench.results.stored_run import StoredRun

_LINES = 30
"""Largest number of lines of a traceback that are shown, from its end."""


@dataclass(frozen=True)
class Failure:
    """One run that did not finish."""

    label: str
    dataset: str
    seed: int
    status: str
    iteration: str
    error: str
    traceback: str


def section(contents: Contents) -> Markup:
    """Body of the section."""
    results = contents.results
    benchmark = results.benchmark
    return render(
        "failures.html",
        failures=_failures(contents),
        missing=[f"{row.label} on {row.dataset}: {text}" for row in contents.table.rows if (text := _missing(row))],
        left_out=[f"{each.label}: {each.error}" for each in benchmark.left_out] if benchmark else [],
        warnings=contents.table.warnings,
        metric_errors=_metric_errors(contents),
    )


def _failures(contents: Contents) -> list[Failure]:
    frame = contents.results.frame
    found = frame[(frame["metric"] == FINISHED_METRIC) & (frame["status"] != FINISHED)]
    runs = {item.run.key: item.run for item in contents.results.runs}
    return [_failure(row, runs.get(str(row.key))) for row in found.itertuples(index=False)]


def _failure(row: object, run: StoredRun | None) -> Failure:
    values = {name: getattr(row, name) for name in ("label", "dataset", "seed", "status", "iteration")}
    of = f" of {run.record.iterations:,}" if run else ""
    error = str(run.record.error) if run and run.record.error else "no error is recorded"
    return Failure(
        str(values["label"]),
        str(values["dataset"]),
        int(values["seed"]),
        str(values["status"]),
        f"{int(values['iteration']):,}{of}",
        error,
        _traceback(run) if run else "",
    )


def _traceback(run: StoredRun) -> str:
    """End of the stored traceback; empty without one."""
    try:
        text = read_file(run.folder / "error.txt").decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip("\n").split("\n")[-_LINES:])


def _missing(row: Row) -> str:
    """Number of runs of a row that are planned and have not finished."""
    absent = row.planned - row.finished
    return f"{absent} of {row.planned} planned seeds have not finished" if absent > 0 else ""


def _metric_errors(contents: Contents) -> list[str]:
    """Failures of metrics, each once with the runs that it concerns."""
    runs: dict[tuple[str, str], list[str]] = {}
    for item in contents.results.runs:
        for metric, message in item.run.record.metric_errors.items():
            runs.setdefault((metric, message), []).append(f"{item.entry.label} seed {item.run.seed}")
    return [f"{metric}: {message} ({_few(found)})" for (metric, message), found in runs.items()]


def _few(found: list[str]) -> str:
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
