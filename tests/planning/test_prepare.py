"""Tests of the preparation of a benchmark: its file is read once."""

from __future__ import annotations

import builtins
import io
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gan_bench
from gan_bench.config import source
from gan_bench.config.load import shipped_benchmarks
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from gan_bench.running.engines import local
from tests.support import project


class Counts:
    """Numbers of times that a benchmark file is located, opened, parsed and scanned."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.located = self.opened = self.parsed = self.scanned = 0
        text = file.read_text(encoding="utf-8")
        self.count(monkeypatch, builtins, "open", "opened", lambda path: _is(path, file))
        self.count(monkeypatch, io, "open", "opened", lambda path: _is(path, file))
        self.count(monkeypatch, tomllib, "loads", "parsed", lambda given: given == text)
        self.count(monkeypatch, source, "find_benchmark", "located", lambda _: True)
        self.count(monkeypatch, source, "parse", "scanned", lambda given, name: given == text)

    def count(
        self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, what: str, meant: Callable[..., bool]
    ) -> None:
        """Count the calls of a function whose arguments fulfil `meant`."""
        function = getattr(module, name)

        def counted(*arguments: Any, **others: Any) -> Any:
            if meant(*arguments[: meant.__code__.co_argcount]):
                setattr(self, what, getattr(self, what) + 1)
            return function(*arguments, **others)

        monkeypatch.setattr(module, name, counted)


def _is(path: Any, file: Path) -> bool:
    return isinstance(path, str | os.PathLike) and Path(path).resolve() == file.resolve()


def check_once(counts: Counts) -> None:
    """Assert that each step was executed once."""
    assert vars(counts) == {"located": 1, "opened": 1, "parsed": 1, "scanned": 1}


class TestSingleRead:
    """A command locates, opens, parses and scans its benchmark file once."""

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A benchmark that names a plugin file."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(local, "LocalEngine", project.InProcess)
        (tmp_path / "mine.py").write_text(project.plugin("mine"), encoding="utf-8")
        return project.write(tmp_path, project.describe([{"plugin": "mine"}]) | {"plugins": ["mine.py"]})

    def test_of_the_planner(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = Counts(file, monkeypatch)
        planned = prepare(file, Options(results=tmp_path / "results", overrides=["protocol.batch=64"]))
        assert [job.run.label for job in planned.jobs] == ["mine"]
        check_once(counts)

    def test_of_a_shipped_benchmark(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = Counts(shipped_benchmarks()["synthetic8"], monkeypatch)
        prepare("synthetic8", Options(results=tmp_path, models=["GAN"], seeds=1))
        check_once(counts)

    def test_of_the_command_line(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        counts = Counts(file, monkeypatch)
        assert project.caller(monkeypatch, capfd, "run")(file.name, "--device", "cpu").code == 0
        check_once(counts)

    def test_of_python(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = Counts(file, monkeypatch)
        gan_bench.run(file, results=tmp_path / "results", device="cpu", progress=False)
        check_once(counts)
