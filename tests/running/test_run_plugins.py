"""Plugins of stored runs are found in places of the user, and never in a place that a results folder names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gan_bench
from gan_bench.contracts.observer import Observer
from gan_bench.errors import PluginError, UsageError
from gan_bench.running.engines import local
from gan_bench.running.run_benchmark import run
from gan_bench.running.run_plugins import MOST_BENCHMARKS
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages, plugin_lists

MINE = project.plugin("mine", "pass")
HOSTILE = project.HEAD + 'Path(__file__).with_suffix(".imported").touch()\n' + MINE.removeprefix(project.HEAD)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Project whose benchmark names a plugin file in another folder, after a run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "models").mkdir()
    (folder / "models" / "mine.py").write_text(MINE, encoding="utf-8")
    described = project.describe([{"plugin": "mine"}], plugins=["models/mine.py"])
    file = project.write(folder, described)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(local, "LocalEngine", project.InProcess)
        run(project.plan(file, folder / "results"), Observer())
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty working folder with a copy of the results."""
    shutil.copytree(trained / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder_of(place: Path) -> Path:
    """Return the folder of the run."""
    (folder,) = project.run_folders(place / "results")
    return folder


class TestFound:
    def test_in_a_file_that_the_benchmark_names(self, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A benchmark file in the working folder, with the name of the run's, names the file."""
        monkeypatch.chdir(trained)
        assert gan_bench.load_run(folder_of(trained)).model.name == "mine"

    def test_in_the_working_folder(self, here: Path) -> None:
        """Files of `plugins/` in the working folder are loaded as by every command."""
        Path("plugins").mkdir()
        Path("plugins/renamed.py").write_text(MINE, encoding="utf-8")
        assert gan_bench.load_run(folder_of(here)).model.name == "mine"

    def test_in_a_named_file(self, here: Path, trained: Path) -> None:
        """`plugins` names further files, also for `evaluate`."""
        files = [trained / "models" / "mine.py"]
        assert gan_bench.load_run(folder_of(here), plugins=files).model.name == "mine"
        values = gan_bench.evaluate(here / "results" / "tiny", ["mode_kl"], plugins=files, progress=False)
        assert set(values[values["metric"] == "mode_kl"]["label"]) == {"mine"}

    def test_by_the_commands(
        self, here: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`sample` and `evaluate` find the file that a benchmark names."""
        shutil.copytree(trained / "models", "models")
        shutil.copy(trained / "tiny.toml", "tiny.toml")
        for arguments in (["sample"], ["evaluate", "--metrics", "mode_kl"]):
            said = project.caller(monkeypatch, capfd, *arguments)("results/tiny")
            assert said.code == 0
            assert "mine" in said.out

    def test_not_by_another_benchmark(self, here: Path, trained: Path) -> None:
        """A benchmark of another name, a broken one and too many of them are not used."""
        shutil.copytree(trained / "models", "models")
        text = (trained / "tiny.toml").read_text(encoding="utf-8")
        Path("a.toml").write_text(text.replace('"tiny"', '"other"'), encoding="utf-8")
        Path("b.toml").write_text("[", encoding="utf-8")
        with pytest.raises(PluginError):
            gan_bench.load_run(folder_of(here))
        for number in range(MOST_BENCHMARKS):
            Path(f"c{number}.toml").touch()
        Path("d.toml").write_text(text, encoding="utf-8")
        with pytest.raises(PluginError):
            gan_bench.load_run(folder_of(here))


class TestMissing:
    def test_has_the_recorded_file(self, here: Path, trained: Path, messages: Messages) -> None:
        """The message has what was recorded, where it was searched, and what to do."""
        with pytest.raises(PluginError) as caught:
            gan_bench.load_run(folder_of(here))
        places = {str(trained): "TRAINED", str(here): "HERE"}
        parts = (folder_of(here), "'mine'", trained / "models" / "mine.py", here / "plugins", "--plugin")
        messages.check(caught.value, *parts, hide=plugin_lists(caught.value) | places)

    def test_of_a_package(self, here: Path, messages: Messages) -> None:
        """The message names the package to install."""
        record_with(folder_of(here), origin="gan-example", version="1.0", path="gan_example")
        with pytest.raises(PluginError) as caught:
            gan_bench.load_run(folder_of(here))
        messages.check(caught.value, "gan-example 1.0", hide=plugin_lists(caught.value) | {str(here): "HERE"})

    def test_is_a_reason_to_skip(self, here: Path, trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """`evaluate` gives the same reason for each run that it skips."""
        gan_bench.evaluate(here / "results" / "tiny", ["mode_kl"])
        assert str(trained / "models" / "mine.py") in capfd.readouterr().err

    def test_a_wrong_file_is_refused(self, here: Path, messages: Messages) -> None:
        """An item of `plugins` must be a plugin file."""
        with messages.raises(UsageError, "plugins[0]", "nowhere.py"):
            gan_bench.load_run(folder_of(here), plugins=["nowhere.py"])


def test_changed_code_is_reported(here: Path, messages: Messages) -> None:
    """A file with other code than that of the run is loaded with a message; comments change nothing."""
    Path("plugins").mkdir()
    file, lines = Path("plugins/mine.py"), []
    file.write_text(MINE + "# a comment\n", encoding="utf-8")
    gan_bench.load_run(folder_of(here), log=lines.append)
    assert lines == []
    file.write_text(project.plugin("mine", "beta = 1"), encoding="utf-8")
    gan_bench.load_run(folder_of(here), log=lines.append)
    (line,) = lines
    recorded = project.record(folder_of(here))["provenance"]["plugins"][0]["path"]
    hide = {recorded: "RECORDED", str(here): "HERE"}
    messages.check(line, here / "plugins" / "mine.py", "model 'mine'", recorded, hide=hide)


def record_with(folder: Path, **facts: str) -> None:
    """Change what a run recorded about its model."""
    store = RunFolder(folder)
    record = store.read()
    assert record is not None
    changed = tuple(
        replace(each, **facts) if each.kind == "model" else each  # type: ignore[arg-type]
        for each in record.provenance.plugins
    )
    store.write(replace(record, provenance=replace(record.provenance, plugins=changed)))


def by_python(results: Path) -> Any:
    """Load the run."""
    return gan_bench.load_run(next((results / "runs").iterdir()))


def by_evaluation(results: Path) -> Any:
    """Score the runs."""
    return gan_bench.evaluate(results, ["mode_kl"], progress=False)


def by_published(results: Path) -> Any:
    """Compare the results with published values."""
    from gan_bench.report.published.side_by_side import published_comparison
    from gan_bench.report.tables.build import build
    from gan_bench.results.load import read_results

    stored = read_results(results)
    return published_comparison(stored, build(stored))


class TestHostile:
    """A results folder from elsewhere that names files with side effects, inside and outside of it."""

    @pytest.fixture
    def results(self, here: Path) -> Path:
        """Results folder with plugins, a benchmark that names them, and a record that names a file outside."""
        results = here / "results" / "tiny"
        for file in (results / "plugins" / "mine.py", results / "mine.py", here / "elsewhere" / "mine.py"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(HOSTILE, encoding="utf-8")
        project.write(results, project.describe([{"plugin": "mine"}], plugins=["mine.py", "../../elsewhere/mine.py"]))
        record_with(folder_of(here), path=str(here / "elsewhere" / "mine.py"))
        return results

    @pytest.mark.parametrize("place", [".", "results", "results/tiny", "results/tiny/runs"])
    @pytest.mark.parametrize("use", [by_python, by_evaluation, by_published])
    def test_imports_nothing(
        self, here: Path, results: Path, place: str, use: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No file is imported, whatever the working folder."""
        monkeypatch.chdir(here / place)
        try:
            use(results)
        except PluginError:
            assert use is by_python
        assert not list(here.rglob("*.imported"))

    def test_imports_nothing_for_samples(
        self, results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`sample` in the folder itself imports nothing either, and exits with 2."""
        monkeypatch.chdir(results)
        assert project.caller(monkeypatch, capfd, "sample")(".").code == 2
        assert not list(results.parent.parent.rglob("*.imported"))

    def test_the_file_would_be_noticed(self, here: Path, results: Path) -> None:
        """The side effect happens if the user names the file."""
        gan_bench.load_run(folder_of(here), plugins=[here / "elsewhere" / "mine.py"], log=lambda line: None)
        assert (here / "elsewhere" / "mine.imported").exists()
