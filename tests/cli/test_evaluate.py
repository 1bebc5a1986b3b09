"""`gan-bench evaluate`: a metric in a file that came after the runs, in the table with the next command."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_bench.running.engines import local
from tests.support import project

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
    """Call `gan-bench` in this process, in a folder with the results of two models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    project.write(tmp_path, project.describe([project.ZOO["gan"], project.ZOO["mgan"]]))
    called = project.caller(monkeypatch, capfd)
    called("run", "tiny.toml", "--device", "cpu")
    (tmp_path / "plugins" / "spread.py").write_text(SPREAD, encoding="utf-8")
    return called


def test_prints_the_table_with_the_metric(call: project.Call) -> None:
    """The table goes to standard output, a line for each run to standard error; `table` shows the same from then on."""
    said = call("evaluate", "results/tiny", "--metrics", "spread, purity")
    assert said.code == 0
    assert "spread ↑ (data units)" in said.out.splitlines()[2] and "purity (share)" in said.out.splitlines()[2]
    assert "a plugin prints" not in said.out
    assert "[1/2] gan on ring8, seed 0: spread " in said.err
    assert "The table now shows spread, purity as well." in said.err
    assert call("table", "results/tiny").out == said.out


def test_takes_samples_models_and_plugin_files(call: project.Call, tmp_path: Path) -> None:
    """--samples, --models and --plugin do what they say."""
    (tmp_path / "plugins" / "spread.py").rename(tmp_path / "mine.py")
    options = ("--samples", "50", "--models", "gan", "--plugin", "mine.py")
    assert call("evaluate", "results/tiny", "--metrics", "spread", *options).code == 0
    rows = [row for row in project.rows(tmp_path / "results/tiny/results.csv") if row["metric"] == "spread"]
    assert [(row["label"], row["n"]) for row in rows] == [("gan", "50")]


def test_names_broken_plugins_and_goes_on(call: project.Call, tmp_path: Path) -> None:
    """A broken file beside the metric hurts nobody."""
    (tmp_path / "plugins" / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    said = call("evaluate", "results/tiny", "--metrics", "spread")
    assert said.code == 0
    assert "Broken plugin broken: ModuleNotFoundError: No module named 'no_such_module'" in said.err


def test_repeats_tell_evaluation_from_training_noise(call: project.Call, tmp_path: Path) -> None:
    """Another table on standard output, which stands in the results folder as well; the table of scores is the same."""
    before = call("table", "results/tiny").out
    said = call("evaluate", "results/tiny", "--metrics", "modes", "--repeats", "3", "--models", "mgan")
    assert said.code == 0
    assert said.out.startswith("### ring8: evaluation noise and training noise")
    assert "mgan on ring8, seed 0: drawn 2 times more" in said.err
    (row,) = project.rows(tmp_path / "results/tiny/evaluation-noise.csv")
    assert (row["label"], row["metric"], row["draws"], row["training_sd"]) == ("mgan", "modes", "3", "nan")
    assert call("table", "results/tiny").out == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results/tiny", "--metrics", "spraed"], "No metric is called 'spraed'; did you mean 'spread'?"),
        (["results/tiny", "--metrics", ","], "No metric is named"),
        (["results/tiny"], "Missing option '--metrics'"),
        (["results/tiny", "--metrics", "spread", "--samples", "0"], "0 is not in the range x>=1"),
        (["results/tiny", "--metrics", "spread", "--repeats", "1"], "1 is not in the range x>=2"),
        (["results/tiny", "--metrics", "spread", "--models", "gna"], "no model is called 'gna'; did you mean 'gan'?"),
        (["results/tyni", "--metrics", "spread"], "results/tyni: no such results folder or file. "),
        (["tiny.toml", "--metrics", "spread"], "tiny.toml: is a file. Give a results folder"),
    ],
)
def test_wrong_use_is_one_message_and_code_2(call: project.Call, arguments: list[str], message: str) -> None:
    """It says what was found and what is allowed."""
    said = call("evaluate", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err and "Traceback" not in said.err
