"""Provenance of runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from gan_bench.running.provenance import command_for_workers, git_state, provenance
from gan_bench.store.records import GitState


class TestProvenance:
    def test_can_be_encoded_as_json(self) -> None:
        """Provenance has packages with versions, machine, command and flags as plain values."""
        facts = json.loads(json.dumps(asdict(provenance("cpu"))))
        assert facts["packages"]["torch"] == importlib.metadata.version("torch")
        assert {"started", "command", "python", "platform", "cpu", "git", "deterministic"} <= facts.keys()
        assert facts["gpu"] == facts["cuda"] == ""

    def test_names_packages_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing package is listed as not installed."""
        monkeypatch.setattr("gan_bench.running.provenance.PACKAGES", ("no-such-package",))
        assert provenance("cpu").packages == {"no-such-package": "not installed"}

    def test_has_the_command_of_the_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker records the command line of the process that started it, whatever its own."""
        monkeypatch.setattr(sys, "argv", ["/bin/gan-bench", "run", "café.toml"])
        assert provenance("cpu").command == ("gan-bench", "run", "café.toml")
        passed = command_for_workers()
        monkeypatch.setattr(sys, "argv", ["/package/worker.py", "plugins"])
        assert provenance("cpu").command == ("worker.py", "plugins")
        for name, value in passed.items():
            monkeypatch.setenv(name, value)
        assert provenance("cpu").command == ("gan-bench", "run", "café.toml")

    def test_has_commit_and_dirtiness(self, tmp_path: Path) -> None:
        """A changed tracked file makes a checkout dirty, an untracked file does not. Outside a checkout it is None."""
        (tmp_path / "repo").mkdir()
        git("init", "-q", cwd=tmp_path / "repo")
        (tmp_path / "repo" / "file").write_text("1")
        git("add", "file", cwd=tmp_path / "repo")
        git("-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "m", cwd=tmp_path / "repo")
        (tmp_path / "repo" / "new").write_text("")
        commit = git("rev-parse", "HEAD", cwd=tmp_path / "repo")
        assert git_state.__wrapped__(str(tmp_path / "repo")) == GitState(commit, dirty=False)
        (tmp_path / "repo" / "file").write_text("2")
        assert git_state.__wrapped__(str(tmp_path / "repo")) == GitState(commit, dirty=True)
        assert git_state.__wrapped__(str(tmp_path)) is None

    def test_has_no_commit_without_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a git program the commit is None."""
        monkeypatch.setenv("PATH", str(tmp_path))
        assert git_state.__wrapped__(str(tmp_path)) is None

    @pytest.mark.gpu
    def test_names_the_gpu(self) -> None:
        """Provenance on a GPU has its name."""
        assert provenance("cuda").gpu == torch.cuda.get_device_name()


def git(*arguments: str, cwd: Path) -> str:
    """Run git."""
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
