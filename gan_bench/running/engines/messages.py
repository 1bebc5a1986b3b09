"""Messages between a command and its workers: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gan_bench.contracts.events import Compiling, Evaluated, Event, Progress, Warned
from gan_bench.contracts.run import Job
from gan_bench.store.records import convert


@dataclass(frozen=True)
class Ready:
    """A worker waits for jobs."""


@dataclass(frozen=True)
class Ended:
    """A worker's jobs have ended; `detail` describes how their process was killed, empty if it was not."""

    detail: str


Message = Ready | Ended | Event
_KINDS: dict[str, type[Message]] = {
    "ready": Ready,
    "ended": Ended,
    "compiling": Compiling,
    "progress": Progress,
    "evaluated": Evaluated,
    "warning": Warned,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode_message(message: Message) -> str:
    """Encode a message of a worker as a line."""
    return json.dumps({"event": _NAMES[type(message)], **msgspec.to_builtins(message)}) + "\n"


def decode_message(line: str | bytes) -> Message:
    """Decode the message in a line of a worker."""
    values = json.loads(line)  # not msgspec's decoder: scores may be nan
    return convert(values, _KINDS[values["event"]])


def encode_jobs(jobs: Sequence[Job]) -> str:
    """Encode jobs that are executed together as a line for a worker."""
    return json.dumps(msgspec.to_builtins(list(jobs))) + "\n"


def decode_jobs(line: str | bytes) -> list[Job]:
    """Decode the jobs in a line for a worker."""
    return convert(json.loads(line), list[Job])
