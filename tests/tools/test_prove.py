"""Promises of tools/gpu/prove.py: a failing step affects no other, a bundle is complete, and every step runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "gpu"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "speed"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "common"))

import _convert
import _supplies
from _steps import Context, Failed, Record, Skipped, Step, all_apart, apart, run_steps

from tests.support.messages import Messages

PROVE = Path(_supplies.__file__).with_name("prove.py")
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


# --- steps ----------------------------------------------------------------------------------------------------


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A context with half a minute left."""
    return Context("cpu", True, tmp_path, time.monotonic() + 30)


Outcomes = dict[str, dict[str, Any]]


@pytest.fixture
def carried(context: Context, tmp_path: Path) -> Callable[..., Outcomes]:
    """A function that runs steps and returns the entry of each in the JSON file."""

    def carry(*steps: Step, together: int = 1) -> Outcomes:
        record = Record(tmp_path / "out" / "a.json", {"command": "a"})
        run_steps(steps, context, record, together)
        return {step["name"]: step for step in stored(tmp_path)["steps"]}

    return carry


def stored(folder: Path) -> dict[str, Any]:
    """Return the content of the JSON file."""
    found: dict[str, Any] = json.loads((folder / "out" / "a.json").read_text(encoding="utf-8"))
    return found


def passes(_: Context) -> Mapping[str, Any]:
    """Print and return."""
    print("all is well")
    return {"number": 1.5}


def die() -> Any:
    """Kill this process, like one that aborts, since pytest would print a traceback of an abort."""
    os.kill(os.getpid(), signal.SIGKILL)


def dies(context: Context) -> Mapping[str, Any]:
    """Die after a note."""
    context.note(before=1)
    return die()


def hangs(context: Context) -> Mapping[str, Any]:
    """Sleep after a note."""
    context.note(before=1)
    time.sleep(60)
    return {}


def fails(_: Context) -> Mapping[str, Any]:
    """Fail a check."""
    raise Failed("it differs", gap=0.5)


def raises(_: Context) -> Mapping[str, Any]:
    """Raise an exception."""
    raise ValueError("no such thing")


def cannot(_: Context) -> Mapping[str, Any]:
    """Skip the step."""
    raise Skipped("needs CUDA", seen=0)


class TestSteps:
    """Each step runs in a separate process."""

    def test_go_on_after_any_failure(self, carried: Callable[..., Outcomes]) -> None:
        """An abort, a timeout and an exception do not affect later steps, and their notes are kept."""
        works = (dies, hangs, fails, raises, cannot, passes)
        found = carried(*(Step(work.__name__, "", work, seconds=1.0 if work is hangs else 20.0) for work in works))
        assert [found[work.__name__]["status"] for work in works] == [
            "crashed", "timed out", "failed", "failed", "skipped", "passed",
        ]  # fmt: skip
        assert found["dies"]["exit_code"] == -9 and found["hangs"]["message"] == "stopped after 1 s"
        assert found["dies"]["values"] == found["hangs"]["values"] == {"before": 1}
        assert (found["fails"]["message"], found["fails"]["values"]) == ("it differs", {"gap": 0.5})
        assert found["raises"]["message"] == "ValueError: no such thing"
        assert 'raise ValueError("no such thing")' in found["raises"]["output"]
        assert found["passes"]["values"] == {"number": 1.5} and found["passes"]["output"] == "all is well\n"

    def test_are_written_while_they_run(self, carried: Callable[..., Outcomes], tmp_path: Path) -> None:
        """A step finds earlier steps and its own entry in the file, so an interruption loses nothing."""

        def looks(_: Context) -> Mapping[str, Any]:
            return {"seen": [(step["name"], step["status"]) for step in stored(tmp_path)["steps"]]}

        found = carried(Step("first", "", passes), Step("second", "", looks))
        assert found["second"]["values"]["seen"] == [["first", "passed"], ["second", "running"]]
        assert "=== first\nall is well\n" in (tmp_path / "out" / "a.log").read_text(encoding="utf-8")

    def test_know_what_earlier_ones_found(self, carried: Callable[..., Outcomes]) -> None:
        """A step receives the statuses and values of earlier ones."""

        def depends(context: Context) -> Mapping[str, Any]:
            return {"status": context.statuses["first"], **context.values["first"]}

        found = carried(Step("first", "", passes), Step("second", "", depends))
        assert found["second"]["values"] == {"status": "passed", "number": 1.5}

    def test_that_measure_are_alone(self, carried: Callable[..., Outcomes], tmp_path: Path) -> None:
        """Other steps run in parallel; the next one waits until the step that runs alone has ended."""

        def spans(_: Context) -> Mapping[str, Any]:
            began = time.monotonic()
            time.sleep(0.8)
            return {"began": began, "ended": time.monotonic()}

        steps = [Step(name, "", spans, alone=name == "alone") for name in ("one", "two", "alone", "last")]
        found = {name: each["values"] for name, each in carried(*steps, together=2).items()}
        assert found["two"]["began"] < found["one"]["ended"]
        assert found["alone"]["began"] > max(found["one"]["ended"], found["two"]["ended"])
        assert found["last"]["began"] > found["alone"]["ended"]

    def test_are_skipped_where_no_time_is_left(
        self, context: Context, carried: Callable[..., Outcomes], messages: Messages
    ) -> None:
        """A step that has started ends by the deadline."""
        context.deadline = time.monotonic() + 1.0
        began = time.monotonic()
        found = carried(Step("hangs", "", hangs, least=0.1), Step("long", "", passes, least=5.0))
        assert time.monotonic() - began < 10
        assert found["hangs"]["status"] == "timed out"
        assert found["long"]["status"] == "skipped"
        messages.check(found["long"]["message"], "5 s")

    def test_leave_time_to_those_that_measure(self, context: Context, carried: Callable[..., Outcomes]) -> None:
        """A step that hangs is stopped before the time reserved for a later one."""
        context.deadline = time.monotonic() + 9.0
        found = carried(Step("hangs", "", hangs, least=0.1), Step("measures", "", passes, least=5.0, alone=True))
        assert [found[name]["status"] for name in ("hangs", "measures")] == ["timed out", "passed"]

    def test_may_leave_nothing_running(self, carried: Callable[..., Outcomes], tmp_path: Path) -> None:
        """Processes started by a step end with it."""

        def starts(_: Context) -> Mapping[str, Any]:
            return {"pid": subprocess.Popen(["sleep", "60"]).pid}

        pid = carried(Step("starts", "", starts))["starts"]["values"]["pid"]
        state = Path(f"/proc/{pid}/stat")
        deadline = time.monotonic() + 5
        while state.is_file() and state.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.02)


class TestApart:
    """Work in a fork."""

    def test_returns_its_value(self, tmp_path: Path) -> None:
        """The work has the given environment variables."""
        assert apart(lambda: os.environ["COLOUR"], tmp_path, COLOUR="blue") == "blue"
        assert "COLOUR" not in os.environ

    def test_fails_with_any_of_them(self, tmp_path: Path, messages: Messages) -> None:
        """Failed gives the exit code of the process."""
        with messages.raises(Failed, "-9"):
            all_apart([lambda: 1, die], tmp_path)


# --- supplies -------------------------------------------------------------------------------------------------


class TestSupplies:
    """Files for the GPU machine."""

    def test_weights_arrive_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Weights arrive in two parts of any size, bit for bit. Without the first part they are random."""
        content = np.random.default_rng(0).normal(size=1001).astype(np.float32).tobytes() + b"end"
        packed = _supplies.pack("weights.pth", content)
        kept, data = tmp_path / "kept", tmp_path / "data"
        data.mkdir()
        monkeypatch.setattr(_supplies, "KEPT", kept)
        monkeypatch.setenv("GAN_BENCH_PROOF_SUPPLIES", str(tmp_path))
        (tmp_path / "inception.2").write_bytes(packed[700:])
        messages.check(_supplies.unpack(data)["weights"], "random")
        kept.write_bytes(packed[:700])
        assert _supplies.unpack(data)["weights"] == "weights.pth"
        assert (data / "weights.pth").read_bytes() == content

    @pytest.mark.parametrize("cut", (slice(None, 900), slice(1, None), slice(None, -1)))
    def test_parts_that_do_not_fit_are_refused(self, cut: slice, messages: Messages) -> None:
        """Parts of two bundles do not fit together."""
        packed = _supplies.pack("weights.pth", bytes(range(256)) * 40)
        with pytest.raises(ValueError) as caught:
            _supplies.unpacked((packed + b"x" * 9)[cut] if cut.start else packed[cut][:-9])
        messages.check(caught.value, hide={str(caught.value.__cause__): "CAUSE"})

    def test_other_weights_are_refused(self, messages: Messages) -> None:
        """Valid numbers that differ from the packed ones are rejected."""
        head, _, body = _supplies.pack("weights.pth", b"numbers.").partition(b"\n")
        _, _, other = _supplies.pack("weights.pth", b"Numbers.").partition(b"\n")
        assert _supplies.unpacked(head + b"\n" + body) == ("weights.pth", b"numbers.")
        with messages.raises(ValueError, "SHA-256"):
            _supplies.unpacked(head + b"\n" + other)

    def test_photographs_arrive_in_their_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Photographs are in the order of the published dataset."""
        from gan_bench_zoo.datasets.cifar10 import CIFAR10

        x = np.random.default_rng(0).integers(256, size=(10_000, 3, 32, 32), dtype=np.uint8)
        x[:, :, 4:] = 7  # fewer bytes to write

        class Recipe:
            def parts(self) -> Any:
                yield x, None

        monkeypatch.setattr(CIFAR10, "missing", lambda self: None)
        monkeypatch.setattr(CIFAR10, "recipe", lambda self, split: Recipe())
        assert _supplies.write_images(tmp_path / "images.webp", print) > 0
        assert _supplies.unpack_images(tmp_path / "images.webp", tmp_path / "x.npy") == 10_000
        assert np.array_equal(np.load(tmp_path / "x.npy"), x)

    def test_a_bundle_lists_its_contents(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """Without data the missing files are reported, and the program in the bundle starts."""
        monkeypatch.setattr(_supplies, "download_wheels", lambda folder, packages: folder.mkdir())
        (tmp_path / "data").mkdir()
        monkeypatch.setenv("GAN_BENCH_DATA", str(tmp_path / "data"))
        said: list[str] = []
        assert _supplies.bundle(tmp_path / "bundle", tmp_path / "data", (), said.append)
        photographs, weights = said[:2]
        messages.check(photographs, "photographs", hide={str(tmp_path / "data"): "DATA"})
        messages.check(weights, "weights")
        names = zipfile.ZipFile(tmp_path / "bundle" / "a" / "prove.pyz").namelist()
        assert {"__main__.py", "tools/gpu/prove.py", "gan_bench/api.py", "pyproject.toml"} <= {*names}
        program = str(tmp_path / "bundle" / "b" / "prove.pyz")
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        ran = subprocess.run([sys.executable, program, "--help"], env=environment, capture_output=True, text=True)
        assert ran.returncode == 0 and "at most six minutes" in ran.stdout

    def test_one_that_is_too_large_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """The exit code is then 1."""
        monkeypatch.setattr(_supplies, "LIMIT", 0.0)
        (tmp_path / "file").write_bytes(b"x")
        said: list[str] = []
        assert not _supplies._report_on(tmp_path, said.append)
        messages.check(said[0], tmp_path)

    def test_plugins_are_found_without_an_installation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Plugins are found by the entry points of pyproject.toml."""
        from importlib import metadata

        def unknown(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(_supplies.metadata, "version", unknown)
        _supplies.declare(tmp_path)
        (found,) = metadata.Distribution.discover(path=[str(tmp_path)])
        assert found.metadata["Name"] == "gan-bench"
        assert [(each.group, each.name, each.value) for each in found.entry_points] == [
            ("gan_bench", "engines", "gan_bench.running.engines"),
            ("gan_bench", "zoo", "gan_bench_zoo"),
        ]


# --- conversion -----------------------------------------------------------------------------------------------


ROW = {
    "workload": "mgan-ring", "loop": "port", "seeds": 1, "ms": 4.0, "low": 3.0, "high": 5.0,
    "seed_iterations_per_s": 250.0, "ratio_to_port": 1.0, "ratio_to_plain": None, "ratio_to_floor": None,
    "ratio_to_fewest": None, "peak_memory_mb": 12.5, "device": "a GPU", "torch": "2.11.0", "python": "3.12.3",
    "date": "2026-01-01",
}  # fmt: skip


def proof(folder: Path, **changes: Any) -> None:
    """Write a file of a proof: one step that measured, one that failed."""
    image = {"workload": "mgan-cifar10", "loop": "ours", "ms": 6.0}
    bound = ROW | image | {"loop": "bound", "ms": 4.0}
    features = ROW | {"workload": "inception", "loop": "features", "ms": 0.5}
    values = {"rows": [ROW, ROW | image, bound, features], "verdicts": ["reached  port / ours"]}
    steps = [
        {"name": "ring", "status": "passed", "values": values},
        {"name": "generators", "status": "failed", "values": {"rows": [ROW | {"loop": "wrong"}], "verdicts": ["no"]}},
    ]
    found = {"rehearsal": False, "device": "cuda", "steps": steps} | changes
    (folder / "a.json").write_text(json.dumps(found), encoding="utf-8")


class TestConversion:
    """Conversion from JSON to the page."""

    def test_fills_the_published_file_and_the_page(self, tmp_path: Path) -> None:
        """Only steps that passed are published."""
        proof(tmp_path)
        said = _convert.convert(tmp_path, tmp_path / "to")
        with (tmp_path / "to" / "speed-cuda.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["workload"], row["loop"]) for row in rows] == [
            ("mgan-ring", "port"), ("mgan-cifar10", "ours"), ("mgan-cifar10", "bound"), ("inception", "features"),
        ]  # fmt: skip
        page = (tmp_path / "to" / "speed.md").read_text(encoding="utf-8")
        filled = page.partition("<!-- figures: cuda -->")[2].partition("<!-- end of figures -->")[0]
        assert "on a GPU (torch 2.11.0, Python 3.12.3, 2026-01-01)" in filled
        assert "| mgan-cifar10 |      6 |" in filled and "1.50 |" in filled  # 6 ms against 4 ms
        assert "Inception features, in float32: 2,000 images a second." in filled
        assert "reached  port / ours" in said and "no" not in said

    def test_refuses_a_rehearsal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """Figures of a rehearsal are not published."""
        proof(tmp_path, rehearsal=True)
        monkeypatch.setattr(_convert.speed, "published", lambda device: tmp_path / "speed.csv")
        monkeypatch.setattr(_convert, "PAGE", tmp_path / "speed.md")
        with messages.raises(SystemExit, tmp_path, "rehearsal"):
            _convert.convert(tmp_path, None)

    def test_refuses_what_has_no_figures(self, tmp_path: Path, messages: Messages) -> None:
        """A folder without files, or without a step that measured, is an error."""
        with messages.raises(SystemExit, tmp_path, "a.json"):
            _convert.convert(tmp_path, tmp_path)
        proof(tmp_path, steps=[])
        with messages.raises(SystemExit, tmp_path):
            _convert.convert(tmp_path, tmp_path)


# --- everything -----------------------------------------------------------------------------------------------


CUDA_ONLY = {"tests-data", "tests-graphs", "tests-speed", "memory"}


@pytest.mark.slow
def test_every_step_runs_at_a_tiny_size(tmp_path: Path) -> None:
    """All steps of both commands and the conversion run on a CPU, so that mistakes cost no time on a GPU."""
    out, to = tmp_path / "out", tmp_path / "to"
    ran = subprocess.run([sys.executable, str(PROVE), "--rehearse", "--out", str(out)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    proofs = [json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in "ab"]
    statuses = {step["name"]: (step["status"], step["message"]) for proof in proofs for step in proof["steps"]}
    skipped = {name for name, (status, _) in statuses.items() if status != "passed"}
    assert skipped == CUDA_ONLY and {statuses[name] for name in skipped} == {("skipped", "needs CUDA")}
    assert len(statuses) == 24
    values = {step["name"]: step["values"] for proof in proofs for step in proof["steps"]}
    assert values["killed"]["killed"]["on their way"] > 0 and not values["killed"]["different"]
    assert values["resume"]["graph"] == "equal"
    assert values["train"]["iterations"] > 0 and values["train"]["fid"] >= 0
    ran = subprocess.run([sys.executable, str(PROVE), "convert", str(out), "--to", str(to)], capture_output=True)
    assert ran.returncode == 0 and (to / "speed-cpu.csv").is_file()
