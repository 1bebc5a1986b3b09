"""Code of plugins changes nothing about the process: each part of its state is restored, and the change is named."""

from __future__ import annotations

import builtins
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.plugin_output import MOST_LINES
from gan_bench.plugins.process_state import ProcessState, undisturbed

FILES = resource.RLIMIT_NOFILE

CHANGES: dict[str, tuple[str, str, Callable[[], object]]] = {
    "folder": ("os.chdir('/')", "the working folder", os.getcwd),
    "variable": (
        "os.environ['GAN_BENCH_DATA'] = '/nowhere'",
        "environment variables (GAN_BENCH_DATA)",
        os.environ.copy,
    ),
    "no variables": ("os.environ.clear()", "environment variables", os.environ.copy),
    "no path": ("sys.path[:] = []", "sys.path", lambda: [*sys.path]),
    "warnings": ("warnings.simplefilter('always')", "warnings.filters", lambda: [*warnings.filters]),
    "signals": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal handlers",
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "timer": ("signal.setitimer(signal.ITIMER_VIRTUAL, 60)", "timers", lambda: signal.getitimer(signal.ITIMER_VIRTUAL)),
    "umask": ("os.umask(0o777)", "the umask", lambda: _umask()),
    "limits": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource limits",
        lambda: resource.getrlimit(FILES),
    ),
    "recursion": ("sys.setrecursionlimit(500)", "the recursion limit", sys.getrecursionlimit),
    "built-in": ("builtins.sorted = None", "built-in functions", lambda: vars(builtins)["sorted"]),
    "collector": ("gc.disable()", "the garbage collector", gc.isenabled),
    "dtype": ("torch.set_default_dtype(torch.float64)", "torch's default dtype", torch.get_default_dtype),
    "device": ("torch.set_default_device('meta')", "torch's default device", lambda: torch.zeros(()).device),
    "gradients": ("torch.set_grad_enabled(False)", "torch's gradient mode", torch.is_grad_enabled),
    "deterministic": (
        "torch.use_deterministic_algorithms(True)",
        "torch's deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
    ),
    "denormal": (
        "torch.set_flush_denormal(True)",
        "torch's handling of denormal numbers",
        lambda: float(torch.tensor(1e-310, dtype=torch.float64) * 1),
    ),
    "precision": (
        "torch.set_float32_matmul_precision('medium')",
        "torch's precision of products",
        torch.get_float32_matmul_precision,
    ),
    "tf32": (
        "torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32",
        "torch.backends",
        lambda: torch.backends.cudnn.allow_tf32,
    ),
    "threads": ("torch.set_num_threads(torch.get_num_threads() + 1)", "number of threads", torch.get_num_threads),
    "autocast": (
        "torch.set_autocast_enabled('cpu', True)",
        "torch's autocast",
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "hooks": (
        "torch.nn.modules.module.register_module_forward_hook(lambda *_: None)",
        "global hooks",
        lambda: len(torch.nn.modules.module._global_forward_hooks),
    ),
    "numpy": ("np.seterr(all='raise')", "np.seterr", np.geterr),
}
"""Code, the part of the state that its message names, and a function that returns the state."""


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_a_plugin_is_undone_and_named(change: str, tmp_path: Path) -> None:
    """The state after loading is that before, and a note gives the file and the part."""
    code, name, state = CHANGES[change]
    imports = "import builtins, gc, os, resource, signal, sys, warnings\nimport numpy as np\nimport torch\n"
    (tmp_path / "meddling.py").write_text(imports + code, encoding="utf-8")
    before = state()
    registry = load_plugins([tmp_path / "meddling.py"])
    assert state() == before
    assert registry.broken == []
    (note,) = registry.notes
    assert note.startswith("Plugin meddling.py ") and name in note


def test_default_random_streams_are_restored(tmp_path: Path) -> None:
    """A plugin that seeds them or draws from them changes no draw of others; drawing is not reported."""
    (tmp_path / "drawing.py").write_text(
        "import random\nimport numpy as np\nimport torch\nrandom.seed(1)\nnp.random.rand()\ntorch.manual_seed(1)\n"
    )

    def draws() -> tuple[float, float, float]:
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        load_plugins(places)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    state = ProcessState()
    places: list[Path] = []
    without = draws()
    places = [tmp_path / "drawing.py"]
    assert draws() == without
    assert load_plugins(places).notes == []
    state.restore()


def test_added_folders_hide_no_modules_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin may add a folder with its helpers to sys.path; for others the folder comes last."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "adding.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport helper_of_adding\n")
    (tmp_path / "helper_of_adding.py").write_text("")
    before = [*sys.path]
    registry = load_plugins([tmp_path / "adding.py"])
    assert registry.broken == [] and registry.notes == []
    assert sys.path == [*before, str(tmp_path)]
    del sys.modules["helper_of_adding"]


def test_filters_of_own_warnings_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may ignore its warnings; it may not ignore or raise those of others."""
    with warnings.catch_warnings():
        (tmp_path / "quiet.py").write_text(
            "import warnings\nwarnings.filterwarnings('ignore', message='of quiet')\nwarnings.simplefilter('ignore')\n"
        )
        before = [*warnings.filters]
        (note,) = load_plugins([tmp_path / "quiet.py"]).notes
        assert "warnings.filters" in note
        (added,) = [each for each in warnings.filters if each not in before]
        assert added[1] is not None


ENDS = {
    "exit": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "leave": ("import os\nos._exit(0)", "SystemExit: 0"),
    "script": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--epochs', required=True)\n"
        "parser.parse_args()",
        "SystemExit: 2",
    ),
    "input": ("input()", "EOFError"),
    "strange": ("class Strange(BaseException): pass\nraise Strange('x')", "Strange: x"),
    "mute": ("class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute", "Mute"),
    "bytes": ("import os\nraise ValueError(os.fsdecode(b'caf\\xe9'))", "ValueError: caf\\udce9"),
    "long": ("raise ValueError('x' * 1_000_000)", "ValueError: xxx"),
    "endless": (
        "from gan_bench import hookimpl\n@hookimpl\ndef gan_bench_models():\n    while True:\n        yield 1",
        "more than 1,000",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_file_that_ends_the_program_is_a_broken_plugin(
    end: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message gives the file, its line and the error; lines of output begin with the file."""
    text, error = ENDS[end]
    (tmp_path / f"{end}.py").write_text(text, encoding="utf-8")
    (broken,) = load_plugins([tmp_path]).broken
    assert broken.origin.name == f"{end}.py"
    assert error in broken.error and len(broken.error) < 3000
    broken.error.encode()
    if end in ("exit", "leave", "script"):
        assert f"({end}.py:{len(text.splitlines())})" in broken.error and "__main__" in broken.error
    out, err = capfd.readouterr()
    assert out == "" and all(line.startswith(f"{end}.py: ") for line in err.splitlines())
    assert bool(err) == (end == "script")


def test_output_of_a_plugin_is_attributed_and_bounded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It goes to standard error, a subprocess's as well, with the file's name and an end."""
    (tmp_path / "talking.py").write_text(
        "import os, sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.stdout.buffer.write(b'caf\\xe9\\n')\n"
        "for _ in range(100_000): print('more')\nos.system('echo by a shell')\n"
    )
    load_plugins([tmp_path])
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:3] == ["talking.py: one", "talking.py: two", "talking.py: caf\\xe9"]
    assert len([line for line in lines if line.startswith("talking.py")]) == MOST_LINES + 1
    assert "by a shell" in lines
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_a_fork_of_a_plugin_does_not_continue(tmp_path: Path) -> None:
    """The program continues once, although a plugin returns in two processes."""
    (tmp_path / "forking.py").write_text("import os\nos.fork()\n")
    read, write = os.pipe()
    load_plugins([tmp_path])
    os.write(write, b"x")
    os.close(write)
    time.sleep(0.2)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"x"


def test_handlers_are_restored_in_the_main_thread_only() -> None:
    """No other thread can set them; code of a plugin that runs there is not disturbed by that."""
    notes: list[str] = []

    def work() -> None:
        with undisturbed(notes.append):
            os.environ["GAN_BENCH_TEST"] = "1"

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "GAN_BENCH_TEST" not in os.environ
    assert len(notes) == 1


def write_damaged_package(folder: Path) -> Path:
    """Write an installed package that is not a plugin; return its malformed file of entry points."""
    information = folder / "unrelated-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unrelated\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[console_scripts]\nnot an entry point\n")
    return information / "entry_points.txt"


def test_installed_plugins_are_found_beside_a_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose entry points cannot be read is named, with its file; the plugins of others are loaded."""
    file = write_damaged_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load_plugins(kinds=("metrics",))
    assert "wasserstein" in registry.all("metrics")
    (broken,) = registry.broken
    assert broken.name == "unrelated"
    assert str(file) in broken.error


DAMAGED = """
import sys
from gan_bench.plugins.entry_points import tolerate_damaged_packages
tolerate_damaged_packages()
tolerate_damaged_packages()
import importlib.metadata
import torch
assert [each.name for each in importlib.metadata.entry_points(group="gan_bench")]
"""


def test_libraries_can_be_imported_beside_a_damaged_package(tmp_path: Path) -> None:
    """torch reads all entry points when it is imported, and would raise."""
    write_damaged_package(tmp_path)
    paths = os.pathsep.join([*filter(None, sys.path), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
