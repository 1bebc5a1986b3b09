"""State of the process that code of a plugin may change: read before the code runs, restored after it.

The working folder, signal handlers, settings of torch and others belong to all plugins of a process. A change by one
would change results of the others, or the place where results are written.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from gan_bench.plugins.plugin_output import output_to_error

KEPT_VARIABLES = ("KMP_", "_TORCHINDUCTOR_", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Beginnings of environment variables that libraries set for themselves and need later."""

LIBRARY_VARIABLES = ("TORCH", "TRITON", "CUDA", "CUBLAS", "CUDNN", "KINETO", "NCCL")
"""Beginnings of environment variables that torch may set while it compiles or captures iterations of a run."""

MOST_NAMES = 4
"""Environment variables that a message lists."""

GLOBAL_HOOKS = (
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_forward_hooks_always_called",
    "_global_parameter_registration_hooks",
    "_global_buffer_registration_hooks",
    "_global_module_registration_hooks",
)
"""Hooks of torch that run in every module."""

UNREADABLE = object()
"""Value of a setting that cannot be read, such as a working folder that has been removed."""


def _equal(before: Any, now: Any) -> bool:
    return bool(before == now)


def _always(before: Any, now: Any) -> bool:
    return True


def _never(before: Any, now: Any) -> bool:
    return False


def _no_detail(before: Any, now: Any) -> str:
    return ""


@dataclass(frozen=True)
class Setting:
    """One part of the state of a process.

    Attributes:
        name: of the part, as in messages.
        read: returns its value.
        write: sets it to an earlier value.
        same: whether the second value needs no restoration to the first.
        noted: whether a change from the first value to the second is reported; otherwise it is only undone.
        kept_in_run: whether it is not restored during a run, which continues with it.
        detail: returns the parts that have changed, to follow the name.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = _equal
    noted: Callable[[Any, Any], bool] = _always
    kept_in_run: bool = False
    detail: Callable[[Any, Any], str] = _no_detail

    def value(self) -> Any:
        """Return the current value, or `UNREADABLE`."""
        try:
            return self.read()
        except Exception:  # whatever a plugin has done to the library
            return UNREADABLE


class ProcessState:
    """State of the process at one time."""

    def __init__(self) -> None:
        self._values = [(setting, setting.value()) for setting in _settings()]

    def restore(self, *, in_run: bool = False) -> list[str]:
        """Restore the state; return the names of changed parts, without those whose change is not reported.

        Args:
            in_run: whether a run continues: its default random streams are not restored, nor what torch may have set.
        """
        changed = []
        for setting, before in self._values:
            if setting.kept_in_run and in_run:
                continue
            now = setting.value()
            if before is UNREADABLE or (now is not UNREADABLE and setting.same(before, now)):
                continue
            with contextlib.suppress(Exception):  # a limit that cannot be raised again; the change is reported
                setting.write(before)
            if now is UNREADABLE or setting.noted(before, now):
                changed.append(setting.name + setting.detail(before, now))
        return changed


def changes_text(changed: list[str]) -> str:
    """Describe changes that `ProcessState.restore` has undone."""
    return f"changed {', '.join(changed)}. The change is undone: code of a plugin must leave the process as it is."


@contextmanager
def undisturbed(report: Callable[[str], None]) -> Iterator[None]:
    """Run code of a plugin, and restore the state of the process after it.

    Its output goes to standard error: standard output belongs to the answer of a command. `os._exit` raises SystemExit,
    which can be reported. A process that the code has forked, and that would continue
    here as a second copy of this one, ends.

    Args:
        report: receives a description of the changes, if there are any.
    """
    process, state = os.getpid(), ProcessState()
    try:
        with _exit_raises(process), output_to_error():
            yield
    finally:
        end_fork(process)
        changed = state.restore()
        if changed:
            report(changes_text(changed))


@contextmanager
def _exit_raises(process: int) -> Iterator[None]:
    """Let `os._exit` raise SystemExit in this process."""
    leave = os._exit

    def leave_or_raise(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    os._exit = leave_or_raise
    try:
        yield
    finally:
        os._exit = leave


def end_fork(process: int) -> None:
    """End this process if it is not `process`, but a copy that code of a plugin has forked."""
    if os.getpid() != process:
        os._exit(0)


def _settings() -> list[Setting]:
    """Return all settings, those of libraries only if they are imported."""
    found = [*_PROCESS]
    if "torch" in sys.modules:
        found += _torch_settings()
    if "numpy" in sys.modules:
        found += _numpy_settings()
    return found


# --- the process ------------------------------------------------------------------------------------------------------


def _environment() -> dict[str, str]:
    return _selected_environment(library=False)


def _library_environment() -> dict[str, str]:
    return _selected_environment(library=True)


def _selected_environment(*, library: bool) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(KEPT_VARIABLES) and name.startswith(LIBRARY_VARIABLES) == library
    }


def _kept_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT_VARIABLES)}


def _add_missing(before: Mapping[str, str]) -> None:
    for name, value in before.items():
        os.environ.setdefault(name, value)


def _set_environment(before: Mapping[str, str]) -> None:
    _replace(_environment(), before)
    time.tzset()


def _set_library_environment(before: Mapping[str, str]) -> None:
    _replace(_library_environment(), before)


def _replace(now: Mapping[str, str], before: Mapping[str, str]) -> None:
    for name in now.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _variables(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the first names of variables that differ, in parentheses."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    more = ", …" if len(names) > MOST_NAMES else ""
    return f" ({', '.join(names[:MOST_NAMES])}{more})"


def _set_path(before: list[str]) -> None:
    """Restore the search path. Folders that a plugin added stay at its end, where they hide no module of others."""
    added = [entry for entry in sys.path if entry not in before]
    sys.path[:] = [*before, *added]


def _keeps_path(before: list[str], now: list[str]) -> bool:
    return now[: len(before)] == before


def _lacks_entries(before: list[Any], now: list[Any]) -> bool:
    return any(entry not in now for entry in before)


def _filters(before: list[Any], now: list[Any]) -> list[Any]:
    """Return the filters of warnings without those that a plugin set for the warnings of others.

    Libraries add filters for their messages, modules and categories when they are imported. Those stay, unless they
    turn warnings into errors.
    """
    return [each for each in now if each not in before and not _affects_others(each)] + before


def _affects_others(filter_: Any) -> bool:
    action, message, category, module, _ = filter_
    return action == "error" or not (message or module or category.__module__ != "builtins")


def _set_filters(before: list[Any]) -> None:
    warnings.filters[:] = _filters(before, [*warnings.filters])  # type: ignore[index]
    with warnings.catch_warnings():  # its end clears the cache of filters
        pass


def _keeps_filters(before: list[Any], now: list[Any]) -> bool:
    return now == _filters(before, now)


def _loses_filters(before: list[Any], now: list[Any]) -> bool:
    return _lacks_entries(before, now) or any(each not in before and _affects_others(each) for each in now)


def _handlers() -> dict[int, Any]:
    return {number: handler for number in signal.valid_signals() if (handler := signal.getsignal(number)) is not None}


def _set_handlers(before: Mapping[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():  # no other thread can change them
        return
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _active_timers() -> list[bool]:
    return [signal.getitimer(each)[0] > 0 for each in _TIMERS]


def _stop_timers(before: list[bool]) -> None:
    for each, active in zip(_TIMERS, before, strict=True):
        if not active:
            signal.setitimer(each, 0)


def _umask() -> int:
    found = os.umask(0o77)
    os.umask(found)
    return found


_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))


def _limits() -> dict[int, int]:
    return {number: resource.getrlimit(number)[0] for number in _LIMITS}


def _set_limits(before: Mapping[int, int]) -> None:
    for number, soft in before.items():
        now, hard = resource.getrlimit(number)
        if now != soft:
            resource.setrlimit(number, (soft, hard))


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr


def _set_streams(before: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = before


def _builtins() -> dict[str, Any]:
    return {name: value for name, value in vars(builtins).items() if name != "_"}


def _keeps_builtins(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return all(now.get(name, UNREADABLE) is value for name, value in before.items())


def _set_collector(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


_PROCESS = (
    # First, because what follows uses them.
    Setting("built-in functions", _builtins, vars(builtins).update, same=_keeps_builtins),
    Setting("resource limits", _limits, _set_limits),
    Setting(
        "the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, same=lambda before, now: now >= before
    ),
    Setting("the working folder", os.getcwd, os.chdir),
    Setting("environment variables", _environment, _set_environment, detail=_variables),
    Setting(
        "environment variables",
        _kept_environment,
        _add_missing,
        same=lambda before, now: before.keys() <= now.keys(),
        noted=_never,
    ),
    Setting(
        "environment variables",
        _library_environment,
        _set_library_environment,
        detail=_variables,
        kept_in_run=True,
    ),
    Setting("sys.path", lambda: [*sys.path], _set_path, _keeps_path, _lacks_entries),
    Setting("warnings.filters", lambda: [*warnings.filters], _set_filters, _keeps_filters, _loses_filters),
    Setting("signal handlers", _handlers, _set_handlers),
    Setting("timers", _active_timers, _stop_timers),
    Setting(
        "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda before: locale.setlocale(locale.LC_ALL, before)
    ),
    Setting("the umask", _umask, os.umask),
    Setting("standard streams", _streams, _set_streams),
    Setting("the garbage collector", gc.isenabled, _set_collector),
    Setting("random", random.getstate, random.setstate, noted=_never, kept_in_run=True),
)


# --- numpy and torch --------------------------------------------------------------------------------------------------


def _numpy_settings() -> list[Setting]:
    import numpy as np

    def read() -> tuple[Any, ...]:
        found: Any = np.random.get_state(legacy=True)
        name, keys, *others = found
        return name, keys.tobytes(), *others

    def write(before: tuple[Any, ...]) -> None:
        name, keys, *others = before
        np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *others))

    return [
        Setting("np.seterr", np.geterr, lambda before: np.seterr(**before)),
        Setting("np.random", read, write, noted=_never, kept_in_run=True),
    ]


def _torch_settings() -> list[Setting]:
    import torch

    def stream() -> bytes:
        return torch.get_rng_state().numpy().tobytes()

    def set_stream(before: bytes) -> None:
        torch.set_rng_state(torch.frombuffer(bytearray(before), dtype=torch.uint8))

    return [
        Setting("torch's default device", _default_device, torch.set_default_device),
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting("torch's gradient mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
        Setting("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        Setting("torch's deterministic algorithms", _deterministic, _set_deterministic),
        Setting("torch's handling of denormal numbers", _flushes_denormals, torch.set_flush_denormal),
        Setting(
            "torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        Setting("torch's autocast", _autocast, _set_autocast),
        Setting("torch's global hooks of modules", _module_hooks, _set_module_hooks),
        Setting("torch.backends", _backends, _set_backends),
        Setting("torch's random stream", stream, set_stream, noted=_never, kept_in_run=True),
    ]


def _default_device() -> Any:
    """Return the default device of new tensors, or None if none is set."""
    import torch

    return getattr(getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None), "device", None)


def _deterministic() -> tuple[bool, bool, bool]:
    import torch

    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


def _set_deterministic(before: tuple[bool, bool, bool]) -> None:
    import torch

    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.utils.deterministic.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]


def _flushes_denormals() -> bool:
    """Whether the processor rounds denormal numbers to zero; torch has no function that returns it."""
    half = float("0.5")  # computed at run time, not by Python's compiler
    return sys.float_info.min * half == 0.0


def _autocast() -> tuple[bool, Any]:
    import torch

    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def _set_autocast(before: tuple[bool, Any]) -> None:
    import torch

    torch.set_autocast_enabled("cpu", before[0])
    torch.set_autocast_dtype("cpu", before[1])


def _module_hooks() -> dict[str, dict[Any, Any]]:
    from torch.nn.modules import module

    return {name: dict(getattr(module, name)) for name in GLOBAL_HOOKS if hasattr(module, name)}


def _set_module_hooks(before: Mapping[str, Mapping[Any, Any]]) -> None:
    from torch.nn.modules import module

    for name, hooks in before.items():
        now = getattr(module, name)
        now.clear()
        now.update(hooks)


def _backends() -> tuple[bool, ...]:
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        torch._C._get_mkldnn_enabled(),
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        matmul.allow_tf32,
        matmul.allow_fp16_reduced_precision_reduction,
        matmul.allow_bf16_reduced_precision_reduction,
    )


def _set_backends(before: tuple[bool, ...]) -> None:
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    torch._C._set_mkldnn_enabled(before[0])
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = before[1:5]
    matmul.allow_tf32 = before[5]
    matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction = before[6:]
