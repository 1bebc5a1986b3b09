"""Check of the place that an engine states before runs are planned."""

from __future__ import annotations

from typing import Any

from gan_bench.contracts.engine import Place, PlaceRequest
from gan_bench.errors import UsageError
from gan_bench.testing.checks import first_line, place, refuse
from gan_bench.testing.settings import made

REQUESTS = (
    PlaceRequest(),
    PlaceRequest("cpu"),
    PlaceRequest("cpu", 1),
    PlaceRequest("auto", 2),
    PlaceRequest("cuda"),
)
"""Requests of commands with various options."""


def check_place(cls: type[Any]) -> None:
    """Check that each request of a command is fulfilled or refused."""
    for request in REQUESTS:
        found = place_for(cls, request)
        if isinstance(found, Place):
            _check_values(found, request)


def place_for(cls: type[Any], request: PlaceRequest) -> Place | UsageError | None:
    """Place of an engine with its default parameters, or its refusal."""
    call = f"place() for {_text(request)}"
    try:
        found: object = cls.place(request, made(cls))
    except UsageError as error:
        return error
    except Exception as error:  # a plugin may raise anything
        refuse(
            f"{call} raises {first_line(error)}{place(error)}",
            "the user would get no message with a remedy",
            "write it as a class method (cls, request, params), and raise gan_bench.UsageError for a request that "
            "cannot be fulfilled",
        )
    if found is None or isinstance(found, Place):
        return found
    refuse(
        f"{call} returns {found!r}",
        "runs are planned for the attributes of a Place",
        "return a gan_bench.Place, or None for the machine of the command",
    )


def _check_values(found: Place, request: PlaceRequest) -> None:
    """Check that a place has valid values, which fulfil a request."""
    text = _text(request)
    devices = ("cpu", "cuda") if request.device == "auto" else (request.device,)
    if found.device not in devices:
        refuse(
            f"place() for {text} has the device {found.device!r}",
            "the command requests a device with --device, and all jobs have that of the place",
            "return the requested device, or raise gan_bench.UsageError if there is none",
        )
    most = request.workers
    if not isinstance(found.workers, int) or found.workers < 1 or (most is not None and found.workers > most):
        refuse(
            f"place() for {text} has {found.workers!r} workers",
            "the command limits the runs at the same time with --workers, and at least one must have room",
            "return at most request.workers, and raise gan_bench.UsageError if there is no room for a run",
        )
    if not isinstance(found.gpus, int) or (found.gpus > 0) != (found.device == "cuda"):
        refuse(
            f"place() for {text} has {found.gpus!r} GPUs and the device {found.device!r}",
            "the number of GPUs is 0 on a CPU, and at least 1 otherwise",
            "return the number of GPUs of the requested device",
        )
    if not isinstance(found.description, str) or not found.description.strip() or "\n" in found.description:
        refuse(
            f"place() for {text} has the description {found.description!r}",
            "the command shows it in its first line",
            "describe the hardware in a few words: a Ray cluster (2 nodes, 4 CPUs)",
        )


def _text(request: PlaceRequest) -> str:
    workers = "" if request.workers is None else f" and --workers {request.workers}"
    return f"--device {request.device}{workers}"
