"""Where a run came from."""

from __future__ import annotations

import importlib
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from gan_bench.running.provenance import git_state, provenance
from gan_bench.store.records import GitState


class TestProvenance:
    def test_is_plain_and_says_what_made_a_run(self) -> None:
        """Everything fits into JSON: packages with version, machine, command and flags."""
        facts = json.loads(json.dumps(asdict(provenance("cpu"))))
        assert facts["packages"]["torch"] == importlib.metadata.version("torch")
        assert {"started", "command", "python", "platform", "cpu", "git", "deterministic"} <= facts.keys()
        assert facts["gpu"] == facts["cuda"] == ""

    def test_names_packages_that_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An absent package is said to be absent, not left out."""
        monkeypatch.setattr("gan_bench.running.provenance.PACKAGES", ("no-such-package",))
        assert provenance("cpu").packages == {"no-such-package": "not installed"}

    def test_knows_commit_and_dirtiness(self, tmp_path: Path) -> None:
        """A changed tracked file makes a checkout dirty, a new file does not; no checkout is None."""
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

    def test_does_without_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there is no git, there is no commit, and no error."""
        monkeypatch.setenv("PATH", str(tmp_path))
        assert git_state.__wrapped__(str(tmp_path)) is None

    @pytest.mark.gpu
    def test_names_the_gpu(self) -> None:
        """On a GPU its name and CUDA's version are kept as well."""
        assert provenance("cuda").gpu == torch.cuda.get_device_name()


def git(*arguments: str, cwd: Path) -> str:
    """Run git."""
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
