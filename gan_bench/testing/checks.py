"""A check, what it finds, and how checks build upon one another."""

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
        found: what was seen, and with which settings.
        reason: why it matters.
        remedy: what to do.
    """

    def __init__(self, found: str, reason: str, remedy: str) -> None:
        self.found, self.reason, self.remedy = found, reason, remedy
        super().__init__(f"{found}\n  reason: {reason}\n  remedy: {remedy}")


class Absent(unittest.SkipTest):
    """Why nothing can be said here: files that have to be fetched are not on this machine."""


@dataclass(frozen=True)
class Finding:
    """A fault as `gan-bench check` shows it.

    Attributes:
        check: name of the check.
        promise: what the check asks for, in a line.
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
    """How a check ended: a finding, or why it was not carried out (a failed one that it builds upon), or neither."""

    check: Check
    finding: Finding | None = None
    skipped: str = ""


class Check:
    """One promise of a contract; call it to check it.

    Attributes:
        name: kebab-case.
        promise: one line.
        needs: the checks whose failure would make this one's result meaningless.
    """

    def __init__(self, name: str, promise: str, run: Callable[[], None], needs: tuple[Check, ...] = ()) -> None:
        self.name, self.promise, self.needs = name, promise, needs
        self._run = run
        self._ended: list[Exception | SystemExit | None] = []

    def __call__(self) -> None:
        """Pass silently, or raise `Fault`, the plugin's own exception, or SkipTest where a needed check failed."""
        blocking = self._blocking()
        if blocking:
            raise unittest.SkipTest(f"not checked, since {blocking}")
        error = self._error()
        if error is not None:
            raise error

    def report(self) -> Report:
        """Carry it out, and say how it ended."""
        blocking = self._blocking()
        error = None if blocking else self._error()
        if error is None or isinstance(error, Absent):
            return Report(self, skipped=blocking or str(error or ""))
        fault = error if isinstance(error, Fault) else _own_exception(error)
        return Report(self, Finding(self.name, self.promise, fault.found, fault.reason, fault.remedy))

    def _error(self) -> Exception | SystemExit | None:
        """What the check raised; it is carried out once."""
        if not self._ended:
            try:
                self._run()
                self._ended.append(None)
            except (Exception, SystemExit) as error:  # a plugin may raise anything
                self._ended.append(error)
        return self._ended[0]

    def _blocking(self) -> str:
        """Why the first failed check beneath this one keeps it from being carried out; empty if none has failed."""
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
        "the plugin raised this exception; a run would end with it",
        "mend the line it names; in a test, the check itself shows the whole traceback",
    )


def first_line(error: BaseException) -> str:
    """An exception in a line."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def place(error: BaseException) -> str:
    """`` (my_gan.py:12)``: the innermost line of the plugin's that an exception or its causes passed; or empty."""
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
