"""Tests of `gan-bench evaluate` with a metric that is added after the runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_bench.names import listed
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.engines import local
from tests.support import project
from tests.support.messages import Messages

SPREAD = '''
from gan_bench import Metric, hookimpl


class Spread(Metric):
    """Standard deviation of the samples."""

    name = "spread"
    direction = "higher"
    unit = "data units"

    def compute(self, samples):
        print("a plugin prints")
        return samples.x.std()


@hookimpl
def gan_bench_metrics():
    return [Spread]
'''


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, in a folder with results of two models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    project.write(tmp_path, project.describe([project.ZOO["gan"], project.ZOO["mgan"]]))
    called = project.caller(monkeypatch, capfd)
    called("run", "tiny.toml", "--device", "cpu")
    (tmp_path / "plugins" / "spread.py").write_text(SPREAD, encoding="utf-8")
    return called


def test_prints_the_table_with_the_metric(call: project.Call, messages: Messages) -> None:
    """The table is printed to standard output, a line for each run to standard error. `table` then prints the same."""
    result = call("evaluate", "results/tiny", "--metrics", "spread, purity")
    assert result.code == 0
    assert "spread ↑ (data units)" in result.out.splitlines()[2] and "purity (share)" in result.out.splitlines()[2]
    assert "a plugin prints" not in result.out
    assert "[1/2] gan on ring8, seed 0: spread " in result.err
    messages.check(result.err.splitlines()[-1], "spread, purity")
    assert call("table", "results/tiny").out == result.out


def test_applies_samples_models_and_plugin_files(call: project.Call, tmp_path: Path) -> None:
    """--samples, --models and --plugin determine which scores are computed."""
    (tmp_path / "plugins" / "spread.py").rename(tmp_path / "mine.py")
    options = ("--samples", "50", "--models", "gan", "--plugin", "mine.py")
    assert call("evaluate", "results/tiny", "--metrics", "spread", *options).code == 0
    rows = [row for row in project.rows(tmp_path / "results/tiny/results.csv") if row["metric"] == "spread"]
    assert [(row["label"], row["n"]) for row in rows] == [("gan", "50")]


def test_reports_broken_plugins(call: project.Call, tmp_path: Path) -> None:
    """A broken file is reported and does not affect the metric."""
    (tmp_path / "plugins" / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    result = call("evaluate", "results/tiny", "--metrics", "spread")
    assert result.code == 0
    assert "Broken plugin broken: ModuleNotFoundError: No module named 'no_such_module'" in result.err


def test_repeats_separate_evaluation_noise_from_training_noise(
    call: project.Call, tmp_path: Path, messages: Messages
) -> None:
    """--repeats prints a table of noise, also written to the results folder. The table of scores does not change."""
    before = call("table", "results/tiny").out
    result = call("evaluate", "results/tiny", "--metrics", "modes", "--repeats", "3", "--models", "mgan")
    assert result.code == 0
    assert result.out.startswith("### ring8: evaluation noise and training noise")
    messages.check(result.err.splitlines()[-1], "mgan on ring8, seed 0: ", 2)
    (row,) = project.rows(tmp_path / "results/tiny/evaluation-noise.csv")
    assert (row["label"], row["metric"], row["draws"], row["training_sd"]) == ("mgan", "modes", "3", "nan")
    assert call("table", "results/tiny").out == before


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["results/tiny", "--metrics", "spraed"], "'spraed'"),
        (["results/tiny", "--metrics", ","], "metric"),
        (["results/tiny"], "Missing option '--metrics'"),
        (["results/tiny", "--metrics", "spread", "--samples", "0"], "0 is not in the range x>=1"),
        (["results/tiny", "--metrics", "spread", "--repeats", "1"], "1 is not in the range x>=2"),
        (["results/tiny", "--metrics", "spread", "--models", "gna"], "'gna'"),
        (["results/tyni", "--metrics", "spread"], "results/tyni"),
        (["tiny.toml", "--metrics", "spread"], "tiny.toml: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_message_and_code_2(
    call: project.Call, arguments: list[str], part: str, messages: Messages
) -> None:
    """The message has the place, the value found and the values allowed."""
    result = call("evaluate", *arguments)
    assert (result.code, result.out) == (2, "")
    assert part in result.err and "Traceback" not in result.err
    if not result.err.startswith("Usage: "):  # the others are click's messages
        messages.check(result.err, hide={listed(load_plugins([Path("plugins")]).all("metrics")): "AVAILABLE"})
