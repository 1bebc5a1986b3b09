"""The campaign that kills commands: it finds what differs, and finds nothing in a few kills."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "campaigns"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "common"))

import kills
from _comparison import differences

from tests.support import project


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a trial whose command has ended."""
    folder = tmp_path_factory.mktemp("trained")
    assert project.run_jobs(project.plan(project.describe(), folder / "results")) == "finished"
    return folder


def _next_bit(path: Path) -> None:
    """Change the last bit of one number in a checkpoint."""
    state = torch.load(path, weights_only=True)
    first = next(iter(state["trainer"]["model"].values()))
    first.view(-1).view(torch.int32)[0] ^= 1
    torch.save(state, path)


def _sample(path: Path) -> None:
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["x"].flat[0] += 1
    np.savez_compressed(path, **arrays)


def _text(path: Path) -> None:
    path.write_text(path.read_text().replace("finished", "failed").replace("0.", "1."))


class TestContents:
    def test_leave_out_times(self, trained: Path, tmp_path: Path) -> None:
        """Two executions of the same run are equal."""
        assert project.run_jobs(project.plan(project.describe(), tmp_path / "results")) == "finished"
        assert not differences(kills.contents(trained), kills.contents(tmp_path))

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("checkpoint-30.pt", _next_bit),
            ("samples.npz", _sample),
            ("curve.csv", _text),
            ("classes.csv", _text),
            ("run.json", _text),
            ("curve.csv", Path.unlink),
            ("log.txt", Path.touch),
        ],
    )
    def test_contain_every_value(self, trained: Path, tmp_path: Path, name: str, change: object) -> None:
        """A change of one bit, and a file too many or too few, are found."""
        shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
        (run,) = tmp_path.glob("results/*/runs/*")
        assert callable(change)
        change(run / name)
        assert differences(kills.contents(trained), kills.contents(tmp_path))

    def test_leave_out_temporary_files(self, trained: Path, tmp_path: Path) -> None:
        """Those are listed separately."""
        (tmp_path / ".curve.csv.1.tmp").touch()
        assert kills.left_files(tmp_path) and not kills.left_files(trained)


@pytest.mark.slow
def test_quick() -> None:
    """Four kills of real commands leave nothing behind and change no value."""
    done = subprocess.run([sys.executable, kills.__file__, "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kills" in done.stdout
