"""Checks of one promise each: their findings and their dependencies."""

from __future__ import annotations

import sysconfig
import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

FOREIGN = (Path(__file__).parents[1], *(Path(str(package.__file__)).parent for package in (torch, np)))
STANDARD = Path(sysconfig.get_path("stdlib"))


class Fault(AssertionError):
    """A promise that a plugin does not keep.

    Attributes:
        found: the observation, with the settings that led to it.
        reason: consequence of the fault.
        remedy: how to correct it.
    """

    def __init__(self, found: str, reason: str, remedy: str) -> None:
        self.found, self.reason, self.remedy = found, reason, remedy
        super().__init__(f"{found}\n  reason: {reason}\n  remedy: {remedy}")


class Absent(unittest.SkipTest):
    """Skip of a check because files that have to be fetched are missing; its text is the reason."""


@dataclass(frozen=True)
class Finding:
    """A fault as `gan-bench check` shows it.

    Attributes:
        check: name of the check.
        promise: requirement that the check verifies, in one line.
    """

    check: str
    promise: str
    found: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.check}: {self.found}\n  reason: {self.reason}\n  remedy: {self.remedy}"


@dataclass(frozen=True)
class Report:
    """Result of a check.

    Attributes:
        check: the check.
        finding: the fault that it found, or None.
        skipped: reason why it was skipped, such as the failure of a check that it needs; empty if it was run.
    """

    check: Check
    finding: Finding | None = None
    skipped: str = ""


class Check:
    """One promise of a contract; call it to check it.

    Attributes:
        name: name in kebab-case.
        promise: the promise in one line.
        needs: checks whose failure would make the result of this one meaningless.
    """

    def __init__(self, name: str, promise: str, run: Callable[[], None], needs: tuple[Check, ...] = ()) -> None:
        self.name, self.promise, self.needs = name, promise, needs
        self._run = run
        self._ended: list[Exception | SystemExit | None] = []

    def __call__(self) -> None:
        """Run the check.

        Raises:
            Fault: the plugin breaks the promise.
            SkipTest: a needed check failed.
            Exception: any exception that the plugin raised.
        """
        blocking = self._blocking()
        if blocking:
            raise unittest.SkipTest(f"not checked, since {blocking}")
        error = self._error()
        if error is not None:
            raise error

    def report(self) -> Report:
        """Run the check and return its result."""
        blocking = self._blocking()
        error = None if blocking else self._error()
        if error is None or isinstance(error, Absent):
            return Report(self, skipped=blocking or str(error or ""))
        fault = error if isinstance(error, Fault) else _own_exception(error)
        return Report(self, Finding(self.name, self.promise, fault.found, fault.reason, fault.remedy))

    def _error(self) -> Exception | SystemExit | None:
        """Return the exception that the check raised, or None. The check is run only once."""
        if not self._ended:
            try:
                self._run()
                self._ended.append(None)
            except (Exception, SystemExit) as error:  # a plugin may raise anything
                self._ended.append(error)
        return self._ended[0]

    def _blocking(self) -> str:
        """Return the reason why a needed check blocks this one; empty if all of them passed."""
        for check in self.needs:
            if reason := check._blocking():
                return reason
            error = check._error()
            if error is not None:
                return str(error) if isinstance(error, Absent) else f"{check.name} failed"
        return ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Check({self.name!r})"


def _own_exception(error: Exception | SystemExit) -> Fault:
    return Fault(
        f"{first_line(error)}{place(error)}",
        "the plugin raised this exception, which would end a run",
        "correct the code that raises it; run as a test, the check shows the whole traceback",
    )


def first_line(error: BaseException) -> str:
    """Format an exception in one line."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def place(error: BaseException) -> str:
    """Return the innermost line of a plugin in the tracebacks of an exception and its causes, as `` (my_gan.py:12)``.

    The text is empty if there is no such line.
    """
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for each in reversed(chain):
        frames = [frame for frame in traceback.extract_tb(each.__traceback__) if _is_plugins(frame.filename)]
        if frames:
            return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return ""


def _is_plugins(filename: str) -> bool:
    path = Path(filename)
    standard = STANDARD in path.parents and "site-packages" not in path.parts
    return path.is_absolute() and not standard and not any(folder in path.parents for folder in FOREIGN)


def refuse(found: str, reason: str, remedy: str) -> NoReturn:
    """Raise a `Fault`."""
    raise Fault(found, reason, remedy)
