"""Connection to a Ray cluster and its capacity. Ray is imported when it is needed: it is an optional package."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_bench.contracts.engine import Place, PlaceRequest
from gan_bench.contracts.parameters import param
from gan_bench.errors import RunError, UsageError
from gan_bench.running.engines.cluster.shares import AUTO, SHARES, WHOLE

CONNECT_SECONDS = 5.0
"""Seconds after which an address that does not answer is an error."""

HEAD_SECONDS = 5.0
"""Seconds between two looks whether the head node answers."""

MOST_UNANSWERED = 3
"""Looks in succession without an answer after which the head node is lost.

Ray exits the process after a minute without the head node. Until then, runs have to write their checkpoints.
"""

ANSWER_SECONDS = 2.0
"""Seconds after which the head node has not answered."""


@dataclass(frozen=True)
class RayParams:
    """Parameters of the engine ray."""

    address: str = param("auto", "Address of the cluster, HOST:PORT; auto is the cluster that this machine belongs to.")
    cpus_per_run: float = param(1.0, "Number of cores that are reserved for each run.", above=0)
    gpus_per_run: float | str = param(
        1.0, 'Share of a GPU that is reserved for each run, on a cluster with GPUs; "auto" for a measured share.'
    )
    results: str = param("", "Folder of results on the nodes, if its path is not the command's.")
    storage: str = param(
        "shared",
        "Storage of runs: a results folder that all nodes see, or files that are shipped to the command.",
        choices=("shared", "shipped"),
    )
    scratch: str = param("", "Folder for scratch files on the nodes; by default the system's for temporary files.")
    data: str = param("", "Folder of datasets on the nodes; by default the GAN_BENCH_DATA of each node.")
    fetch: bool = param(False, "Whether nodes download files of datasets and metrics that they lack.")

    def __post_init__(self) -> None:
        """Raise ValueError for parameters that exclude each other, and a share that is not > 0 or "auto"."""
        if self.storage == "shipped" and self.results:
            raise ValueError("results is a folder on the nodes, which storage = shipped does not use. Set one of them.")
        share = self.gpus_per_run
        if share != AUTO and (isinstance(share, str) or share <= 0):
            raise ValueError(f'gpus_per_run must be a number > 0 or "auto", found {share!r}.')

    @property
    def fixed_share(self) -> float | None:
        """Share of a GPU of each run; None if it is measured."""
        return None if isinstance(self.gpus_per_run, str) else self.gpus_per_run

    @property
    def least_share(self) -> float:
        """Smallest share of a GPU that a run may have."""
        return SHARES[-1] if self.fixed_share is None else self.fixed_share


def load_ray() -> Any:
    """Import Ray. Raises UsageError if it is not installed."""
    try:
        with warnings.catch_warnings(), _same_process_state():
            warnings.simplefilter("ignore")
            import ray

        ray.init  # a folder of this name in the working folder is imported as well  # noqa: B018
    except (ModuleNotFoundError, AttributeError) as error:
        raise UsageError(
            "--engine ray: the package ray is not installed. Install it with `pip install 'gan-bench[ray]'`, on all "
            "nodes of the cluster, or use --engine local."
        ) from error
    return ray


def connect(address: str) -> Any:
    """Connect this process to a cluster, unless it is connected, and return Ray. Raises UsageError on failure."""
    ray = load_ray()
    if ray.is_initialized():
        return ray
    _require_answer(address)
    try:
        with warnings.catch_warnings(), _same_process_state():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except ConnectionError as error:
        raise UsageError(
            f"--address {address}: no Ray cluster is found ({_one_line(error)}). Start one with `ray start --head`, "
            "or give HOST:PORT of its head node."
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"--address {address}: cannot connect to the Ray cluster ({_one_line(error)}). All nodes need the same "
            "versions of Python and ray as this machine."
        ) from error
    return ray


class HeadNode:
    """Watches whether the head node of the connected cluster answers.

    Args:
        address: HOST:PORT.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.address, self._clock = address, clock
        self._due, self._unanswered = clock() + HEAD_SECONDS, 0

    def require(self) -> None:
        """Look every `HEAD_SECONDS`. Raises RunError if the head node is lost, before Ray exits this process."""
        if self._clock() < self._due:
            return
        self._unanswered = 0 if _answers(self.address, ANSWER_SECONDS) is None else self._unanswered + 1
        self._due = self._clock() + HEAD_SECONDS
        if self._unanswered >= MOST_UNANSWERED:
            raise RunError(
                f"The head node of the Ray cluster at {self.address} no longer answers. Start the cluster again; the "
                "same command then continues from the last checkpoints, as it does with --engine local."
            )


def disconnect() -> None:
    """End the connection of this process, if there is one."""
    ray = load_ray()
    if ray.is_initialized():
        ray.shutdown()


def capacity(nodes: Sequence[Mapping[str, Any]], params: RayParams, request: PlaceRequest) -> Place:
    """Room for runs on nodes, as `ray.nodes` describes them. Raises UsageError without any."""
    for name, value in (("cpus_per_run", params.cpus_per_run), ("gpus_per_run", params.least_share)):
        if value > 1 and value != int(value):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} must be a fraction of 1 or a whole number, found {value:g}.")
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    cpus, gpus = (sum(each.get(name, 0) for each in resources) for name in ("CPU", "GPU"))
    if request.device == "cuda" and not gpus:
        raise UsageError(
            f"--device cuda: the Ray cluster at {params.address} has no GPU. Add a node with GPUs, or use --device cpu."
        )
    device = "cuda" if gpus and request.device != "cpu" else "cpu"
    need = needs(params, device, params.least_share)
    room = sum(min(int(each.get(name, 0) / value) for name, value in need.items()) for each in resources)
    if not room:
        wanted = " and ".join(f"{name} {value:g}" for name, value in need.items())
        raise UsageError(
            f"--engine ray: no node of the cluster at {params.address} has room for a run, which needs {wanted}. Add "
            "nodes, or reserve less with --cpus-per-run and --gpus-per-run."
        )
    working = sum(1 for each in resources if each.get("CPU", 0) >= params.cpus_per_run)
    hardware = [f"{working} node{'s' if working > 1 else ''}", f"{cpus:g} CPUs"]
    hardware += [f"{gpus:g} GPUs"] if device == "cuda" else []
    workers = room if request.workers is None else min(room, request.workers)
    description = f"a Ray cluster ({', '.join(hardware)})"
    if device == "cuda" and params.fixed_share is None:
        description += ", at most: GPU shares are measured, and the first run of each model has a whole GPU"
    return Place(device, workers, int(gpus) if device == "cuda" else 0, description)


def gpus_of(nodes: Sequence[Mapping[str, Any]]) -> float:
    """Number of GPUs of nodes, as `ray.nodes` describes them."""
    return sum(float(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"])


def needs(params: RayParams, device: str, share: float = WHOLE) -> dict[str, float]:
    """Resources that a slot with a share of a GPU reserves, by their names in Ray."""
    return {"CPU": params.cpus_per_run} | ({"GPU": share} if device == "cuda" else {})


def _require_answer(address: str) -> None:
    """Raise UsageError unless something answers at HOST:PORT: Ray itself waits for a minute."""
    if address == "auto":
        return
    match = re.fullmatch(r"[^:/\s]+:([0-9]{1,5})", address)
    if match is None or int(match[1]) > 65535:
        raise UsageError(f"--address must be auto or HOST:PORT of the head node, found {address!r}.")
    error = _answers(address, CONNECT_SECONDS)
    if error is not None:
        raise UsageError(
            f"--address {address}: nothing answers there ({error.strerror or error}). Start a cluster with `ray start "
            "--head`, and give HOST:PORT as it prints them."
        ) from error


def _answers(address: str, seconds: float) -> OSError | None:
    """Error of a connection to HOST:PORT within some seconds; None if there is none."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        return error
    return None


@contextlib.contextmanager
def _same_process_state() -> Iterator[None]:
    """Restore what Ray changes: environment variables, and the handler of SIGTERM, by one without checkpoints."""
    environment = dict(os.environ)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _one_line(error: BaseException) -> str:
    """Text of an error of Ray in one line: a difference of versions is a list of several."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")
