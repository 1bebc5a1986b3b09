"""Tests of the command line. Every error is one message with a documented exit code and without a traceback."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch

from gan_bench import cli
from gan_bench.cli.options import names
from gan_bench.config.source import shipped_benchmarks
from gan_bench.files import locked
from gan_bench.names import listed
from gan_bench.report.published.side_by_side import NOTHING
from gan_bench.running import estimate
from gan_bench.running.engines import local
from tests.support import project
from tests.support.messages import Messages

BROKEN = "import no_such_module\n"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in an empty folder. The command and its runs are executed in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    return project.caller(monkeypatch, capfd)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Tiny benchmark of two models, in the folder of `call`."""
    return project.write(tmp_path, project.describe([project.ZOO["gan"], project.ZOO["d2gan"]]))


def files(folder: Path) -> list[str]:
    """Every file below a folder, except compiled plugins."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")


class TestRun:
    def test_trains_and_prints_the_table(self, call: project.Call, tiny: Path) -> None:
        """The table is printed to standard output, all else to standard error. A second call trains nothing."""
        result = call("run", "tiny.toml", "--device", "cpu")
        assert result.code == 0
        assert re.search(r"^\| gan +\| +1 \|", result.out, re.MULTILINE)
        assert "2 runs to do, 0 done already." in result.err
        assert "Runs of this command: 2 finished. Results: results/tiny" in result.err
        again = call("run", "tiny.toml", "--device", "cpu")
        assert "All 2 runs are done." in again.err
        assert again.out == result.out

    def test_applies_overrides_selections_and_seeds(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """--set, --models, --seeds and --results determine the runs and their folder."""
        options = ("--set", "protocol.iterations=7", "--models", "d2gan", "--seeds", "5,", "--results", "elsewhere")
        assert call("run", "tiny.toml", "--device", "cpu", *options).code == 0
        (folder,) = project.run_folders(tmp_path / "elsewhere")
        record = project.record(folder)
        assert (record["model"]["plugin"], record["seed"], record["iterations"]) == ("d2gan", 5, 7)
        assert not (tmp_path / "results").exists()

    def test_quick_reports_checks(self, call: project.Call, tiny: Path, tmp_path: Path, messages: Messages) -> None:
        """--quick writes into a separate folder and prints the result of each check instead of values."""
        result = call("run", "tiny.toml", "--device", "cpu", "--quick")
        assert result.code == 0
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["tiny-quick"]
        assert not (tmp_path / "results" / "tiny-quick" / "table.md").exists()
        row = next(line for line in result.out.splitlines() if line.startswith("gan "))
        assert row.split() == ["gan", "20", "iterations", "3", "of", "3", "metrics", "yes", "yes"]
        messages.check(result.out.splitlines()[-1])

    def test_preview_has_a_separate_table(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """--preview trains a quarter of one seed into a separate folder, with a note below the table."""
        result = call("run", "tiny.toml", "--device", "cpu", "--preview", "--seeds", "3")
        assert result.code == 0
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["tiny-preview"]
        assert {project.record(folder)["iterations"] for folder in project.run_folders(tmp_path / "results")} == {8}
        assert "### tiny-preview: ring8" in result.out
        assert "- Preview: a quarter of the iterations and one seed." in result.out

    def test_preview_and_quick_exclude_each_other(
        self, call: project.Call, tiny: Path, tmp_path: Path, messages: Messages
    ) -> None:
        result = call("run", "tiny.toml", "--quick", "--preview")
        assert (result.code, result.out) == (2, "")
        messages.check(result.err, "Error: --preview", "--quick")
        assert not (tmp_path / "results").exists()

    def test_a_preview_among_results_is_not_shown(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Runs of a preview, copied into a results folder, are counted in a note and left out of the table."""
        call("run", "tiny.toml", "--device", "cpu")
        before = call("table", "results/tiny").out
        call("run", "tiny.toml", "--device", "cpu", "--preview")
        for folder in (tmp_path / "results" / "tiny-preview" / "runs").iterdir():
            shutil.copytree(folder, tmp_path / "results" / "tiny" / "runs" / folder.name)
        after = call("table", "results/tiny").out
        kept, note = after[: len(before) - 1], after[len(before) :]
        assert kept == before.rstrip("\n") and note.startswith("- 2 stored runs") and note.count("\n") == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["closed terminal", "SIGTERM"])
    def test_a_closed_terminal_is_like_ctrl_c(self, tmp_path: Path, how: str) -> None:
        """If the terminal is closed, or after `kill`, the run writes its checkpoint and the command its tables."""
        project.write(tmp_path, project.describe([{"plugin": "gate"}]), gate=project.GATE)
        gate = tmp_path / "waiting"
        gate.mkdir()
        terminal, end = pty.openpty()

        def in_a_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if nohup started the tests

        command = subprocess.Popen(
            [*project.COMMAND, "run", "tiny.toml", "--device", "cpu"],
            cwd=tmp_path,
            env=os.environ | {"TEST_GATE": str(gate), "TERM": "dumb"},
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=in_a_terminal,
        )
        os.close(end)

        def waits() -> bool:
            # The command stops if its output is not read. After its end the terminal cannot be read.
            with contextlib.suppress(OSError):
                if select.select([terminal], [], [], 0)[0]:
                    os.read(terminal, 1 << 16)
            return any(path.name.isdecimal() for path in gate.iterdir())

        project.wait_for(waits)
        if how == "SIGTERM":
            command.terminate()
            project.wait_for(lambda: waits() and command.poll() is not None)
        os.close(terminal)
        command.wait(300)
        (folder,) = project.run_folders(tmp_path / "results")
        assert (project.record(folder)["status"], project.record(folder)["iteration"]) == ("interrupted", 14)
        table = (tmp_path / "results" / "tiny" / "table.md").read_text(encoding="utf-8")
        assert "gate seed 0 was interrupted at iteration 14 of 30." in table

    def test_exits_with_1_if_a_run_failed(self, call: project.Call, tmp_path: Path) -> None:
        """A failed run does not affect the others, and has a row with a footnote."""
        models = [{"plugin": "failing"}, {"plugin": "gan"}]
        project.write(tmp_path, project.describe(models), bad=project.BAD)
        result = call("run", "tiny.toml", "--device", "cpu")
        assert result.code == 1
        assert "1 finished, 1 failed." in result.err
        assert "failing seed 0 failed at iteration 3 of 30: RuntimeError: no luck" in result.out

    def test_ignores_a_broken_plugin(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """A broken file is reported and does not affect the runs."""
        (tmp_path / "plugins" / "broken.py").write_text(BROKEN)
        result = call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        assert result.code == 0
        assert "Broken plugin broken: ModuleNotFoundError: No module named 'no_such_module' (broken.py:1)" in result.err

    def test_computes_a_metric_that_was_added(
        self, call: project.Call, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A metric that is added to the benchmark is computed by the next call, without training."""
        call("run", "tiny.toml", "--device", "cpu")
        monkeypatch.setattr("gan_bench.training.trainer.Trainer.iterate", lambda self: 1 / 0)
        text = tiny.read_text(encoding="utf-8").replace('"modes"', '"modes", "high_quality"')
        tiny.write_text(text, encoding="utf-8")
        result = call("run", "tiny.toml", "--device", "cpu")
        assert result.code == 0
        assert "high_quality" in result.out.splitlines()[2]
        rows = project.rows(tmp_path / "results" / "tiny" / "results.csv")
        assert {row["model"] for row in rows if row["metric"] == "high_quality"} == {"gan", "d2gan"}


THERE = """
from gan_bench import Engine, Place, hookimpl

class There(Engine):
    name = "there"

    @classmethod
    def place(cls, request, params):
        return Place("cpu", 7, 0, "machines elsewhere")

    def run(self, jobs):
        return True

@hookimpl
def gan_bench_engines():
    return [There]
"""


class TestDryRun:
    def test_prints_the_plan_and_writes_nothing(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Each run is printed with its status and time. No file is written."""
        before = files(tmp_path)
        result = call("run", "tiny.toml", "--device", "cpu", "--dry-run", "--workers", "2", "--seeds", "2")
        assert result.code == 0
        lines = result.out.splitlines()
        assert [line.split("\t")[:4] for line in lines[:4]] == [
            [model, "ring8", f"seed {seed}", "not started"] for seed in (0, 1) for model in ("gan", "d2gan")
        ]
        assert re.fullmatch(
            r"4 of 4 runs to do on cpu, 2 at a time: about \d+\.\d minutes, not counting evaluation\.", lines[4]
        )
        assert lines[5].startswith("Comparison by symmetric_kl: 1 comparison")
        assert [line.split()[:3] for line in lines[6:]] == [[n, "seeds", "show"] for n in ("2", "10", "20")]
        assert files(tmp_path) == before

    def test_prints_the_place_of_an_engine(self, call: project.Call, tmp_path: Path) -> None:
        """The machines of an engine, and how many runs they execute at a time, are part of the plan."""
        project.write(tmp_path, project.describe(engine={"plugin": "there"}), there=THERE)
        result = call("run", "tiny.toml", "--dry-run")
        assert result.code == 0, result.err
        assert "7 runs at a time on machines elsewhere." in result.out.splitlines()
        assert "on cpu, 7 at a time" in result.out

    def test_marks_finished_runs(self, call: project.Call, tiny: Path) -> None:
        """Nothing is to do for finished runs."""
        call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        lines = call("run", "tiny.toml", "--device", "cpu", "--dry-run").out.splitlines()
        assert lines[0] == "gan\tring8\tseed 0\tfinished\tnothing to do"
        assert lines[1].startswith("d2gan\tring8\tseed 0\tnot started\tabout")
        assert lines[2].startswith("1 of 2 runs to do")

    def test_has_no_estimate_for_a_failing_model(self, call: project.Call, tmp_path: Path) -> None:
        """A model that raises has no estimate. Its output is not part of the plan."""
        project.write(tmp_path, project.describe([{"plugin": "failing"}, {"plugin": "gan"}]), bad=project.BAD)
        result = call("run", "tiny.toml", "--device", "cpu", "--dry-run")
        assert result.code == 0
        assert result.out.splitlines()[0].endswith("time unknown: the run fails in its first iterations")
        assert "iteration 0" not in result.out

    def test_estimates_from_stored_runs(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """The time of another seed is estimated from the ledger of a finished one."""
        call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        (folder,) = project.run_folders(tmp_path / "results")
        record = project.record(folder)
        record["ledger"]["train_seconds"] = 300.0
        (folder / "run.json").write_text(json.dumps(record))
        result = call("run", "tiny.toml", "--device", "cpu", "--models", "gan", "--seeds", "2", "--dry-run")
        assert "gan\tring8\tseed 1\tnot started\tabout 300 s" in result.out
        assert "about 2.5 minutes" in result.out or "about 5.0 minutes" in result.out

    def test_estimates_the_remaining_iterations(self, tiny: Path, tmp_path: Path) -> None:
        """The estimate of an interrupted run counts only the remaining iterations."""
        planned = project.plan(tiny, tmp_path / "results", models=["gan"])
        project.run_jobs(planned, stop=project.stop_at(20))
        found = estimate.estimate(planned.todo, planned.registry, results=tmp_path / "results", workers=1)
        ledger = project.record(Path(planned.jobs[0].folder))["ledger"]
        spent = ledger["train_seconds"] + ledger["evaluation_seconds"]
        assert found.seconds[planned.jobs[0].run.key] == pytest.approx(spent / 20 * 10)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["tiny.toml", "--workers", "0"], "--workers"),
            (["tiny.toml", "--device", "tpu"], "--device"),
            (["tiny.toml", "--models", "d2gna"], "--models: "),
            (["tiny.toml", "--datasets", "rnig8"], "--datasets: "),
            (["tiny.toml", "--set", "protocol.bacth=3"], "--set protocol.bacth: "),
            (["tiny.toml", "--set", "nonsense"], "--set nonsense: "),
            (["tiny.toml", "--seeds", "x"], "--seeds: "),
            (["tiny.toml", "--seeds", "0"], "--seeds: "),
            (["tiny.toml", "--workers", "many"], "'many' is not a valid integer"),
            (["missing.toml"], "missing.toml: "),
            (["syntetic8"], "'synthetic8'"),
            (["."], ".: "),
            ([], "Missing argument 'BENCHMARK'"),
            (["tiny.toml", "--results", "tiny.toml"], "tiny.toml/tiny: "),
            (["tiny.toml", "--results", "tiny.toml/under"], "tiny.toml/under/tiny: "),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_is_one_message_and_code_2(
        self, call: project.Call, tiny: Path, tmp_path: Path, arguments: list[str], part: str, messages: Messages
    ) -> None:
        """The message has the place, the value found and the values allowed. Nothing is written."""
        before, text = files(tmp_path), tiny.read_text(encoding="utf-8")
        result = call("run", *arguments)
        assert result.code == 2
        assert part in result.err
        if not result.err.startswith("Usage: "):  # the others are click's messages
            messages.check(result.err, hide={listed(shipped_benchmarks(), limit=50): "AVAILABLE"})
        assert "Traceback" not in result.err
        assert result.out == ""
        assert (files(tmp_path), tiny.read_text(encoding="utf-8")) == (before, text)

    def test_of_cuda_without_a_device(
        self, call: project.Call, tiny: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        result = call("run", "tiny.toml", "--device", "cuda")
        assert result.code == 2
        messages.check(result.err, "Error: --device cuda: ")

    def test_of_a_benchmark_is_reported_at_once(self, call: project.Call, tmp_path: Path) -> None:
        """Every problem of the file is reported with its line."""
        models = [{"plugin": "mgna"}, {"plugin": "mgan", "beta": "x"}]
        project.write(tmp_path, project.describe(models, protocol={"batch": 0}))
        result = call("run", "tiny.toml")
        assert result.code == 2
        assert all(name in result.err for name in ("'mgna'", "'mgan'", "beta", "batch"))
        assert len(re.findall(r"tiny\.toml:\d+", result.err)) == 3

    def test_of_a_folder_in_use(self, call: project.Call, tiny: Path, tmp_path: Path, messages: Messages) -> None:
        """A second command on one folder ends at once and changes nothing."""
        with locked(tmp_path / "results" / "tiny"):
            result = call("run", "tiny.toml", "--device", "cpu")
        assert result.code == 2
        messages.check(result.err, "results/tiny: ")
        assert files(tmp_path / "results") == ["tiny/.lock"]

    def test_of_a_damaged_run_folder(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Its run fails, the other runs finish, and the folder is not changed."""
        call("run", "tiny.toml", "--device", "cpu")
        folder = project.run_folders(tmp_path / "results")[0]
        (folder / "run.json").write_text('{"format": 1, "sta')
        result = call("run", "tiny.toml", "--device", "cpu")
        assert result.code == 1
        assert "1 finished, 1 failed" in result.err
        assert (folder / "run.json").read_text() == '{"format": 1, "sta'

    def test_of_a_broken_plugin_has_the_error(self, call: project.Call, tmp_path: Path) -> None:
        """The message about a model in a broken file has the error of the file."""
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=BROKEN)
        result = call("run", "tiny.toml")
        assert result.code == 2
        assert "'mine'" in result.err and "ModuleNotFoundError: No module named 'no_such_module'" in result.err

    def test_of_a_verb_suggests_the_closest(self, call: project.Call, messages: Messages) -> None:
        """An unknown command is reported with the closest one and a list."""
        result = call("rum")
        assert result.code == 2
        messages.check(result.err.partition("\n\n")[2], "'rum'", "'run'")  # after the usage lines of click

    def test_shows_its_traceback_on_demand(self, call: project.Call, tiny: Path) -> None:
        """--debug prints the traceback before the message. The exit code is the same."""
        result = call("--debug", "run", "tiny.toml", "--workers", "0")
        assert result.code == 2
        assert result.err.startswith("Traceback")
        assert result.err.splitlines()[-1].startswith("Error: --workers")


class TestList:
    @pytest.mark.parametrize(
        ("kind", "names"),
        [
            ("models", ["gan", "mgan", "real-data"]), ("datasets", ["ring8"]), ("networks", ["mlp"]),
            ("metrics", ["modes", "wasserstein"]), ("plugins", ["gan-bench"]),
        ],
    )  # fmt: skip
    def test_lists_names_and_origins(self, call: project.Call, kind: str, names: list[str]) -> None:
        """Each plugin has a line with its origin and version."""
        result = call("list", kind)
        assert result.code == 0
        for name in names:
            assert re.search(rf"^{name} .*0\.1\.0", result.out, re.MULTILINE), name

    @pytest.mark.parametrize("kind", ["plugins", "models"])
    def test_shows_broken_plugins_with_their_error(self, call: project.Call, tmp_path: Path, kind: str) -> None:
        """A file that fails in any way has a line, and all other plugins are listed."""
        (tmp_path / "plugins").mkdir()
        for name, text in {"lost": BROKEN, "wrong": "def f(:", "gone": "raise SystemExit"}.items():
            (tmp_path / "plugins" / f"{name}.py").write_text(text)
        result = call("list", kind)
        assert result.code == 0
        assert "BROKEN lost (from lost.py): ModuleNotFoundError: No module named 'no_such_module'" in result.out
        assert "BROKEN wrong (from wrong.py): SyntaxError" in result.out
        assert "BROKEN gone (from gone.py): SystemExit" in result.out
        assert ("mgan" if kind == "models" else "gan-bench") in result.out

    def test_rejects_other_kinds(self, call: project.Call) -> None:
        """The message lists the allowed kinds."""
        result = call("list", "model")
        assert result.code == 2
        assert "'models'" in result.err


@pytest.mark.parametrize(
    ("option", "found"),
    [
        (None, None),
        ("", []),
        (" , ", []),
        ("MGAN, GAN", ["MGAN", "GAN"]),
        ('"MGAN, as released",GAN', ["MGAN, as released", "GAN"]),
        ('GAN, "a|b, c"', ["GAN", "a|b, c"]),
    ],
)
def test_lists_of_names(option: str | None, found: list[str] | None) -> None:
    """Commas separate names. A label that contains a comma is quoted."""
    assert names(option) == found


class TestTable:
    def test_appends_published_figures(self, call: project.Call, tiny: Path) -> None:
        """--published adds a second table to the first. With --format csv the notes are printed to standard error."""
        call("run", "tiny.toml", "--device", "cpu")
        first = call("table", "results/tiny").out
        result = call("table", "results/tiny", "--published")
        assert result.code == 0 and result.out.startswith(first)
        assert "### tiny: independent re-runs" in result.out[len(first) :]
        assert re.search(r"^\| d2gan +\| modes ↑ ", result.out, re.MULTILINE)
        assert r"\begin{longtable}" in call("table", "results/tiny", "--published", "--format", "latex").out
        numbers = call("table", "results/tiny", "--published", "--format", "csv")
        assert numbers.out.split("\n\n")[1].startswith("kind,dataset,label,system,")
        assert "Published figures" in numbers.err

    def test_reports_that_nothing_is_published(self, call: project.Call, tmp_path: Path) -> None:
        """Without published figures for the models and datasets, a sentence is printed instead of a table."""
        data = [{"plugin": "ring8", "radius": 3.0}]
        project.write(tmp_path, project.describe(dataset=data, seeds=1))
        call("run", "tiny.toml", "--device", "cpu")
        result = call("table", "results/tiny", "--published")
        assert result.code == 0
        assert NOTHING in result.out
        assert "- ring8: " in result.out

    def test_reports_a_wrong_figure_with_file_and_line(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """The figure is left out of the comparison."""
        call("run", "tiny.toml", "--device", "cpu")
        (tmp_path / "plugins" / "figures.csv").write_text("system\n", encoding="utf-8")
        hook = "def gan_bench_published(): return [Path(__file__).with_name('figures.csv')]\n"
        text = f"from pathlib import Path\nfrom gan_bench import hookimpl\n@hookimpl\n{hook}"
        (tmp_path / "plugins" / "figures.py").write_text(text, encoding="utf-8")
        result = call("table", "results/tiny", "--published")
        assert result.code == 0
        assert re.search(r"figures\.csv:1: .*: name, params, dataset", result.out)
        assert "figures.csv" not in call("table", "results/tiny").out


class TestProcess:
    """Tests that need a separate process."""

    @pytest.mark.parametrize("verb", [[], ["run"]])
    def test_help_is_fast(self, verb: list[str]) -> None:
        """`--help` imports neither torch nor numpy nor pandas. `gan-bench --help` lists every verb."""
        script = (
            f"import sys\nfrom gan_bench.cli import main\nsys.argv = ['gan-bench', *{verb}, '--help']\n"
            "try:\n    main()\nfinally:\n"
            "    heavy = {'torch', 'numpy', 'pandas', 'scipy', 'matplotlib', 'rich'} & set(sys.modules)\n"
            "    assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert verb or all(re.search(rf"^  {verb} ", done.stdout, re.MULTILINE) for verb in cli.VERBS)

    def test_a_closed_pipe_is_not_an_error(self, tmp_path: Path) -> None:
        """`gan-bench list models | head -1` prints one line and no traceback."""
        with project.start("list", "models", cwd=tmp_path) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""

    def test_a_terminal_without_arrows_gets_question_marks(self, tmp_path: Path) -> None:
        """A table is printed even if the encoding of standard output has no arrows. Real workers train the models."""
        project.write(tmp_path, project.describe())
        arguments = ("run", "tiny.toml", "--device", "cpu", "--workers", "1")
        done = project.command(*arguments, cwd=tmp_path, PYTHONIOENCODING="latin-1")
        assert done.returncode == 0, done.stderr
        assert "symmetric_kl ? (nats)" in done.stdout
        assert "symmetric_kl ↓ (nats)" in (tmp_path / "results/tiny/table.md").read_text(encoding="utf-8")
        assert (tmp_path / "results/tiny/table.csv").exists()
        ascii_only = project.command("table", "results/tiny", cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
