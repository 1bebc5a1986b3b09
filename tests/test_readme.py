"""The README keeps its word."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

BENCHMARK = """
name = "own"
seeds = 1
[[dataset]]
plugin = "ring8"
[protocol]
iterations = 20
batch = 32
latent_size = 8
[evaluation]
samples = 200
metrics = ["symmetric_kl"]
[[model]]
plugin = "lsgan"
"""


def plugin_of_the_readme() -> str:
    """The README's Python block."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return str(block)


def test_the_plugin_has_fifteen_lines() -> None:
    """A first plugin is as short as the README promises, blank lines not counted."""
    lines = [line for line in plugin_of_the_readme().splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_plugin_becomes_a_row_of_the_table(tmp_path: Path) -> None:
    """The README's plugin, saved where the README says, runs and stands in the table."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "lsgan.py").write_text(plugin_of_the_readme(), encoding="utf-8")
    (tmp_path / "own.toml").write_text(BENCHMARK, encoding="utf-8")
    command = [sys.executable, "-c", "from gan_bench.cli import main; main()", "run", "own.toml", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| lsgan", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README.replace("\n", " ")))
def test_every_link_leads_somewhere(link: str) -> None:
    """No link of the README is dead."""
    assert (ROOT / link).exists()
