"""The report of `gan-bench run --quick`: results of each step for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from gan_bench import escape
from gan_bench.contracts.run import Job
from gan_bench.store.records import CheckRecord, RunRecord
from gan_bench.store.run_folder import RunFolder

OK, FAILED, NOTHING = "yes", "NO", "-"
STEPS = ("trained", "evaluated", "resumed", "sampled")


@dataclass(frozen=True)
class CheckedRun:
    """One model on one dataset: `cells` has a word for each of `STEPS`, `problems` the errors."""

    label: str
    dataset: str
    cells: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CheckReport:
    """Findings of a check; `problems` that concern no single run come first."""

    runs: tuple[CheckedRun, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything worked."""
        return not self.problems and not any(run.problems for run in self.runs)

    def render(self) -> str:
        """Format a plain table with a row for each model, then every problem in full."""
        several = len({run.dataset for run in self.runs}) > 1
        names = [f"{run.label} on {run.dataset}" if several else run.label for run in self.runs]
        rows = [[escape.one_line(name), *run.cells] for name, run in zip(names, self.runs, strict=True)]
        found = [*self.problems]
        found += [f"{name}: {each}" for name, run in zip(names, self.runs, strict=True) for each in run.problems]
        ending = "All checks passed." if not found else "Some checks failed:"
        table = tabulate(rows, ("model", *STEPS), tablefmt="simple", disable_numparse=True)
        return "\n".join([table, "", ending, *(f"- {escape.one_line(each)}" for each in found)])


def check_report(jobs: Sequence[Job], unprepared: Mapping[str, str]) -> CheckReport:
    """Read the results of a check from its run folders.

    Args:
        unprepared: metrics that could not be prepared, with the reason.
    """
    problems = tuple(f"metric {name} cannot be prepared: {error}" for name, error in unprepared.items())
    return CheckReport(tuple(_checked(job, len(unprepared)) for job in jobs), problems)


def _checked(job: Job, unprepared: int) -> CheckedRun:
    label, dataset = job.run.label, job.run.dataset.label
    record = RunFolder(Path(job.folder)).read()
    if record is None or record.status != "finished":
        return CheckedRun(label, dataset, (FAILED, NOTHING, NOTHING, NOTHING), (_ending(record),))
    check, trained = record.check or CheckRecord(0, "not tested"), record.iterations
    errors = record.metric_errors
    wanted = len(job.schedule.metrics) + unprepared
    evaluated = f"{len(job.schedule.metrics) - len(errors)} of {wanted} metrics"
    resumed = trained < 2 or check.resumed_from == trained // 2  # one iteration cannot be interrupted
    sample_error = check.sample_error
    problems = [f"metric {name}: {error}" for name, error in errors.items()]
    problems += [] if resumed else [f"resumed from iteration {check.resumed_from}, expected {trained // 2}"]
    problems += [f"stored generators cannot be sampled: {sample_error}"] if sample_error else []
    cells = (
        f"{trained} iteration{'s' if trained > 1 else ''}" if trained else NOTHING,
        evaluated,
        (OK if resumed else FAILED) if trained > 1 else NOTHING,
        FAILED if sample_error else OK,
    )
    return CheckedRun(label, dataset, cells, tuple(problems))


def _ending(record: RunRecord | None) -> str:
    if record is None:
        return "not started"
    return f"{record.status} at iteration {record.iteration}" + (f": {record.error}" if record.error else "")
