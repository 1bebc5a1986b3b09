"""Connection to a Ray cluster and its capacity. Ray is imported when it is needed: it is an optional package."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_bench.contracts.engine import Place, PlaceRequest
from gan_bench.contracts.parameters import param
from gan_bench.errors import UsageError
from gan_bench.running.engines.cluster.shares import AUTO, SHARES, WHOLE

CONNECT_SECONDS = 5.0
"""Seconds after which an address that does not answer is an error."""


@dataclass(frozen=True)
class RayParams:
    """Parameters of the engine ray."""

    address: str = param("auto", "Address of the cluster, HOST:PORT; auto is the cluster that this machine belongs to.")
    cpus_per_run: float = param(1.0, "Number of cores that are reserved for each run.", above=0)
    gpus_per_run: float | str = param(
        1.0, 'Share of a GPU that is reserved for each run, on a cluster with GPUs; "auto" for a measured share.'
    )
    results: str = param("", "Folder of results on the nodes, if its path is not the command's.")
    data: str = param("", "Folder of datasets on the nodes; by default the GAN_BENCH_DATA of each node.")

    def __post_init__(self) -> None:
        """Raise ValueError for a share that is neither a number above 0 nor "auto"."""
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
            f"--address {address}: no Ray cluster is found ({_first_line(error)}). Start one with `ray start --head`, "
            "or give HOST:PORT of its head node."
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"--address {address}: cannot connect to the Ray cluster ({_first_line(error)}). All nodes need the same "
            "versions of Python and ray as this machine."
        ) from error
    return ray


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
    match = re.fullmatch(r"(?P<host>[^:/\s]+):(?P<port>[0-9]{1,5})", address)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"--address must be auto or HOST:PORT of the head node, found {address!r}.")
    try:
        socket.create_connection((match["host"], int(match["port"])), CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"--address {address}: nothing answers there ({error.strerror or error}). Start a cluster with `ray start "
            "--head`, and give HOST:PORT as it prints them."
        ) from error


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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
