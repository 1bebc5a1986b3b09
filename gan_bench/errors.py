"""All errors that gan-bench raises on purpose.

    GanBenchError
    ├── UsageError         a command or call received an invalid value
    │   └── ConfigError    the benchmark is invalid; lists every problem, not only the first
    ├── PluginError        a plugin is unknown or clashes with another
    │   └── BrokenPluginError   a known plugin that cannot be loaded
    ├── DataError          files of a dataset or of weights are missing, damaged or of the wrong kind
    ├── StoreError         a results folder, run folder or sample file cannot be read, written or locked
    └── RunError           one run cannot continue; recorded in its folder, the others continue
        └── Diverged       parameters or samples are no longer finite; never retried

Only the command line converts these to exit codes: 0 success, 1 a run failed, 2 wrong usage, configuration,
plugin or store, 130 interrupted. A message gives the place, the problem, the allowed values and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GanBenchError(Exception):
    """Base class of all errors that gan-bench raises on purpose."""

    exit_code = 2


class UsageError(GanBenchError):
    """A command or call received an invalid value."""


@dataclass(frozen=True)
class Problem:
    """One problem of a benchmark file."""

    where: str  # "synthetic8.toml:12" or "--set protocol.batch"
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(UsageError):
    """The benchmark is invalid; `problems` has every problem, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class PluginError(GanBenchError):
    """A plugin is unknown, broken or clashes with another."""


class BrokenPluginError(PluginError):
    """A known plugin cannot be loaded."""


class DataError(GanBenchError):
    """Files of a dataset or of weights are missing, damaged or of the wrong kind."""


class StoreError(GanBenchError):
    """A results folder, run folder or sample file cannot be read, written or locked."""


class RunError(GanBenchError):
    """One run cannot continue."""

    exit_code = 1


class Diverged(RunError):
    """Parameters or samples are no longer finite."""


DISTRIBUTIONS = {"ot": "POT", "PIL": "pillow"}
"""Packages whose distribution name differs from the import name, apart from hyphens."""


def missing_package(error: BaseException) -> str:
    """Name of the package to install, if an error is about a missing one; empty for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.split(".")[0]
    name = DISTRIBUTIONS.get(top, top.replace("_", "-"))
    return f"the package {name} is not installed; install it with `pip install {name}`"


LONGEST_TEXT = 2000
"""Characters of an exception's message that are kept; the whole message is in error.txt of a run."""


def error_text(error: BaseException) -> str:
    """Class and message of an exception of foreign code: not endless, and encodable as UTF-8."""
    try:
        message = str(error)
    except Exception:  # its class is foreign code as well
        message = "its message cannot be read"
    shown = message if len(message) <= LONGEST_TEXT else f"{message[:LONGEST_TEXT]} …"
    return f"{type(error).__name__}: {shown}".encode(errors="backslashreplace").decode()
