"""Messages between a command and its workers: one JSON object a line.

Code of a plugin may write to any descriptor of its process. A message therefore begins on a new line, and lines that
are not messages are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned
from gan_bench.contracts.run import Job
from gan_bench.running.engines.identity import Identity, Question
from gan_bench.store.records import RecordError, convert


@dataclass(frozen=True)
class Ready:
    """A worker waits for jobs."""


@dataclass(frozen=True)
class Started:
    """A worker has started the process `pid` for its jobs."""

    pid: int


@dataclass(frozen=True)
class Ended:
    """A worker's jobs have ended.

    Attributes:
        detail: how their process was killed, or its exit code; empty if it exited normally.
        killed: whether a signal ended the process.
    """

    detail: str
    killed: bool = False


Message = Ready | Started | Ended | Identity | Event
_KINDS: dict[str, type[Message]] = {
    "ready": Ready,
    "started": Started,
    "ended": Ended,
    "identity": Identity,
    "compiling": Compiling,
    "progress": Progress,
    "evaluated": Evaluated,
    "warning": Warned,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode_message(message: Message) -> str:
    """Encode a message of a worker as a line, after the end of any line that something else has begun."""
    return "\n" + json.dumps({"event": _NAMES[type(message)], **msgspec.to_builtins(message)}) + "\n"


def decode_message(line: str | bytes) -> Message | None:
    """Decode the message in a line of a worker; return None for a line that is not a message."""
    try:
        values = json.loads(line)  # not msgspec's decoder: scores may be nan
        return convert(values, _KINDS[values["event"]])
    except (ValueError, TypeError, KeyError, RecursionError, RecordError):
        return None


def encode_jobs(jobs: Sequence[Job]) -> str:
    """Encode jobs that are executed together as a line for a worker."""
    return json.dumps(msgspec.to_builtins(list(jobs))) + "\n"


def encode_question(question: Question) -> str:
    """Encode a question as a line for a worker."""
    return json.dumps(msgspec.to_builtins(question)) + "\n"


def decode_request(line: str | bytes) -> list[Job] | Question:
    """Decode the jobs, or the question, in a line for a worker."""
    values = json.loads(line)
    return convert(values, list[Job]) if isinstance(values, list) else convert(values, Question)
