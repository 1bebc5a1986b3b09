"""The command line: one clear message and a documented exit code for whatever is wrong, and no traceback."""

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
from gan_bench.files import locked
from gan_bench.report.published.side_by_side import NOTHING
from gan_bench.running import estimate
from gan_bench.running.engines import local
from tests.support import project

BROKEN = "import no_such_module\n"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, in an empty folder, with runs carried out here as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    return project.caller(monkeypatch, capfd)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The tiny benchmark of two models, in the folder of `call`."""
    return project.write(tmp_path, project.describe([project.ZOO["gan"], project.ZOO["d2gan"]]))


def files(folder: Path) -> list[str]:
    """Every file below a folder but compiled plugins."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")


class TestRun:
    def test_trains_and_shows_the_table(self, call: project.Call, tiny: Path) -> None:
        """The table goes to standard output, everything else to standard error; again, there is nothing to do."""
        said = call("run", "tiny.toml", "--device", "cpu")
        assert said.code == 0
        assert re.search(r"^\| gan +\| +1 \|", said.out, re.MULTILINE)
        assert "2 runs to do, 0 done already." in said.err
        assert "Runs: 2 finished. Results: results/tiny" in said.err
        again = call("run", "tiny.toml", "--device", "cpu")
        assert "All 2 runs are done." in again.err
        assert again.out == said.out

    def test_takes_overrides_selection_and_seeds(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """--set, --models, --seeds and --results do what they say."""
        options = ("--set", "protocol.iterations=7", "--models", "d2gan", "--seeds", "5,", "--results", "elsewhere")
        assert call("run", "tiny.toml", "--device", "cpu", *options).code == 0
        (folder,) = project.run_folders(tmp_path / "elsewhere")
        record = project.record(folder)
        assert (record["model"]["plugin"], record["seed"], record["iterations"]) == ("d2gan", 5, 7)
        assert not (tmp_path / "results").exists()

    def test_quick_lists_what_works(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """--quick writes into a folder of its own, prints no values, and says of each model what worked."""
        said = call("run", "tiny.toml", "--device", "cpu", "--quick")
        assert said.code == 0
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["tiny-quick"]
        assert not (tmp_path / "results" / "tiny-quick" / "table.md").exists()
        row = next(line for line in said.out.splitlines() if line.startswith("gan "))
        assert row.split() == ["gan", "20", "iterations", "3", "of", "3", "metrics", "yes", "yes"]
        assert said.out.endswith("Everything works.\n")

    def test_preview_is_a_table_of_its_own(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """--preview trains a quarter of one seed into a folder of its own, and has a note below its table."""
        said = call("run", "tiny.toml", "--device", "cpu", "--preview", "--seeds", "3")
        assert said.code == 0
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["tiny-preview"]
        assert {project.record(folder)["iterations"] for folder in project.run_folders(tmp_path / "results")} == {8}
        assert "### tiny-preview: ring8" in said.out
        assert "- Preview: a quarter of the iterations and one seed." in said.out

    def test_preview_and_quick_exclude_each_other(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        said = call("run", "tiny.toml", "--quick", "--preview")
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("Error: --preview and --quick exclude each other")
        assert not (tmp_path / "results").exists()

    def test_a_preview_among_real_results_is_not_shown(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Runs of a preview, copied beside real ones, are counted and left out of the table."""
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
    def test_a_closed_terminal_ends_as_ctrl_c_does(self, tmp_path: Path, how: str) -> None:
        """A closed terminal, or `kill`: the run writes its checkpoint, the command its tables, and the run goes on."""
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
            # A terminal that nobody reads would stop the command; one whose command has ended cannot be read.
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

    def test_ends_with_1_where_a_run_failed(self, call: project.Call, tmp_path: Path) -> None:
        """A failed run costs the others nothing, and is a row with a footnote."""
        models = [{"plugin": "failing"}, {"plugin": "gan"}]
        project.write(tmp_path, project.describe(models), bad=project.BAD)
        said = call("run", "tiny.toml", "--device", "cpu")
        assert said.code == 1
        assert "Runs: 1 failed, 1 finished." in said.err
        assert "failing seed 0 failed at iteration 3 of 30: RuntimeError: no luck" in said.out

    def test_goes_on_beside_a_broken_plugin(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """A broken file is named and hurts nobody."""
        (tmp_path / "plugins" / "broken.py").write_text(BROKEN)
        said = call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        assert said.code == 0
        assert "Broken plugin broken: ModuleNotFoundError: No module named 'no_such_module' (broken.py:1)" in said.err

    def test_computes_a_metric_that_was_added(
        self, call: project.Call, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A metric added to the file is in the table after the next call, and nothing is trained for it."""
        call("run", "tiny.toml", "--device", "cpu")
        monkeypatch.setattr("gan_bench.training.trainer.Trainer.iterate", lambda self: 1 / 0)
        text = tiny.read_text(encoding="utf-8").replace('"modes"', '"modes", "high_quality"')
        tiny.write_text(text, encoding="utf-8")
        said = call("run", "tiny.toml", "--device", "cpu")
        assert said.code == 0
        assert "high_quality" in said.out.splitlines()[2]
        rows = project.rows(tmp_path / "results" / "tiny" / "results.csv")
        assert {row["model"] for row in rows if row["metric"] == "high_quality"} == {"gan", "d2gan"}


class TestDryRun:
    def test_says_what_would_run_and_writes_nothing(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Each run with status and time; the disk is as it was."""
        before = files(tmp_path)
        said = call("run", "tiny.toml", "--device", "cpu", "--dry-run", "--workers", "2", "--seeds", "2")
        assert said.code == 0
        lines = said.out.splitlines()
        assert [line.split("\t")[:4] for line in lines[:-1]] == [
            [model, "ring8", f"seed {seed}", "not started"] for seed in (0, 1) for model in ("gan", "d2gan")
        ]
        assert re.fullmatch(
            r"4 of 4 runs to do on cpu, 2 at a time: about \d+\.\d minutes; evaluation is not counted\.", lines[-1]
        )
        assert files(tmp_path) == before

    def test_says_what_is_done(self, call: project.Call, tiny: Path) -> None:
        """Finished runs have nothing to do."""
        call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        lines = call("run", "tiny.toml", "--device", "cpu", "--dry-run").out.splitlines()
        assert lines[0] == "gan\tring8\tseed 0\tfinished\tnothing to do"
        assert lines[1].startswith("d2gan\tring8\tseed 0\tnot started\tabout")
        assert lines[-1].startswith("1 of 2 runs to do")

    def test_survives_a_model_that_fails(self, call: project.Call, tmp_path: Path) -> None:
        """A model that raises has no estimate; what it prints is not part of the answer."""
        project.write(tmp_path, project.describe([{"plugin": "failing"}, {"plugin": "gan"}]), bad=project.BAD)
        said = call("run", "tiny.toml", "--device", "cpu", "--dry-run")
        assert said.code == 0
        assert said.out.splitlines()[0].endswith("time unknown: it fails in its first iterations")
        assert "iteration 0" not in said.out

    def test_estimates_from_what_was_measured(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """Another seed takes as long as the one that ran, by its ledger."""
        call("run", "tiny.toml", "--device", "cpu", "--models", "gan")
        (folder,) = project.run_folders(tmp_path / "results")
        record = project.record(folder)
        record["ledger"]["train_seconds"] = 300.0
        (folder / "run.json").write_text(json.dumps(record))
        said = call("run", "tiny.toml", "--device", "cpu", "--models", "gan", "--seeds", "2", "--dry-run")
        assert "gan\tring8\tseed 1\tnot started\tabout 300 s" in said.out
        assert "about 2.5 minutes" in said.out or "about 5.0 minutes" in said.out

    def test_counts_what_is_left(self, tiny: Path, tmp_path: Path) -> None:
        """A run that has begun takes as long as its other iterations."""
        planned = project.plan(tiny, tmp_path / "results", models=["gan"])
        project.run_jobs(planned, stop=project.stop_at(20))
        found = estimate.estimate(planned.todo, planned.registry, results=tmp_path / "results", workers=1)
        ledger = project.record(Path(planned.jobs[0].folder))["ledger"]
        spent = ledger["train_seconds"] + ledger["evaluation_seconds"]
        assert found.seconds[planned.jobs[0].run.key] == pytest.approx(spent / 20 * 10)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["tiny.toml", "--workers", "0"], "--workers 0: it is at least 1."),
            (["tiny.toml", "--device", "tpu"], "--device tpu: it is auto, cpu or cuda."),
            (["tiny.toml", "--models", "d2gna"], "--models: no model is called 'd2gna'; did you mean 'd2gan'?"),
            (["tiny.toml", "--datasets", "rnig8"], "--datasets: no dataset is called 'rnig8'; did you mean 'ring8'?"),
            (["tiny.toml", "--set", "protocol.bacth=3"], "did you mean 'batch'?"),
            (["tiny.toml", "--set", "nonsense"], "--set nonsense"),
            (["tiny.toml", "--seeds", "x"], "--seeds"),
            (["tiny.toml", "--seeds", "0"], "--seeds"),
            (["tiny.toml", "--workers", "many"], "'many' is not a valid integer"),
            (["missing.toml"], "missing.toml: no such file"),
            (["syntetic8"], "did you mean 'synthetic8'?"),
            (["."], "is a folder, not a benchmark file"),
            ([], "Missing argument 'BENCHMARK'"),
            (["tiny.toml", "--results", "tiny.toml"], "cannot be written"),
            (["tiny.toml", "--results", "tiny.toml/under"], "cannot be written"),
        ],
    )
    def test_is_one_clear_message_and_code_2(
        self, call: project.Call, tiny: Path, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        """It says what was found and what is allowed; nothing is written."""
        before, text = files(tmp_path), tiny.read_text(encoding="utf-8")
        said = call("run", *arguments)
        assert said.code == 2
        assert message in said.err
        assert "Traceback" not in said.err
        assert said.out == ""
        assert (files(tmp_path), tiny.read_text(encoding="utf-8")) == (before, text)

    def test_of_cuda_where_there_is_none(self, call: project.Call, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """CUDA that is not there is said to be not there."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        said = call("run", "tiny.toml", "--device", "cuda")
        assert said.code == 2
        assert said.err == "Error: --device cuda: torch finds no CUDA device here. Use --device cpu, or auto.\n"

    def test_of_a_benchmark_names_everything_at_once(self, call: project.Call, tmp_path: Path) -> None:
        """Every problem of the file stands with its line."""
        models = [{"plugin": "mgna"}, {"plugin": "mgan", "beta": "x"}]
        project.write(tmp_path, project.describe(models, protocol={"batch": 0}))
        said = call("run", "tiny.toml")
        assert said.code == 2
        assert "did you mean 'mgan'?" in said.err
        assert "beta must be a finite number" in said.err
        assert "batch must be a whole number >= 1" in said.err
        assert len(re.findall(r"tiny\.toml:\d+", said.err)) == 3

    def test_of_a_folder_in_use(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """A second command on one folder ends at once and touches nothing."""
        with locked(tmp_path / "results" / "tiny"):
            said = call("run", "tiny.toml", "--device", "cpu")
        assert said.code == 2
        assert "results/tiny is in use by another gan-bench." in said.err
        assert files(tmp_path / "results") == ["tiny/.lock"]

    def test_of_a_damaged_run_folder(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """The folder is named and left as it is."""
        call("run", "tiny.toml", "--device", "cpu")
        folder = project.run_folders(tmp_path / "results")[0]
        (folder / "run.json").write_text('{"format": 1, "sta')
        said = call("run", "tiny.toml", "--device", "cpu")
        assert said.code == 2
        assert f"{folder.name}/run.json cannot be read" in said.err
        assert (folder / "run.json").read_text() == '{"format": 1, "sta'

    def test_of_a_broken_plugin_names_it(self, call: project.Call, tmp_path: Path) -> None:
        """A benchmark that needs a broken file learns why it is broken."""
        project.write(tmp_path, project.describe([{"plugin": "mine"}]), mine=BROKEN)
        said = call("run", "tiny.toml")
        assert said.code == 2
        assert "'mine' is broken: ModuleNotFoundError: No module named 'no_such_module'" in said.err

    def test_of_a_verb_names_the_closest(self, call: project.Call) -> None:
        """Verbs are few; the nearest is named."""
        said = call("rum")
        assert said.code == 2
        assert "No verb is called 'rum'; did you mean 'run'?" in said.err

    def test_shows_its_traceback_on_demand(self, call: project.Call, tiny: Path) -> None:
        """--debug shows where an error came from; the message and the code stay."""
        said = call("--debug", "run", "tiny.toml", "--workers", "0")
        assert said.code == 2
        assert said.err.startswith("Traceback")
        assert said.err.endswith("Error: --workers 0: it is at least 1.\n")


class TestList:
    @pytest.mark.parametrize(
        ("kind", "names"),
        [
            ("models", ["gan", "mgan", "real-data"]), ("datasets", ["ring8"]), ("networks", ["mlp"]),
            ("metrics", ["modes", "wasserstein"]), ("plugins", ["gan-bench"]),
        ],
    )  # fmt: skip
    def test_names_what_is_there(self, call: project.Call, kind: str, names: list[str]) -> None:
        """Each on a line with its origin and version."""
        said = call("list", kind)
        assert said.code == 0
        for name in names:
            assert re.search(rf"^{name} .*0\.1\.0", said.out, re.MULTILINE), name

    @pytest.mark.parametrize("kind", ["plugins", "models"])
    def test_shows_broken_plugins_with_their_error(self, call: project.Call, tmp_path: Path, kind: str) -> None:
        """Whatever a file does when it is loaded, it is a line, and everything else is listed."""
        (tmp_path / "plugins").mkdir()
        for name, text in {"lost": BROKEN, "wrong": "def f(:", "gone": "raise SystemExit"}.items():
            (tmp_path / "plugins" / f"{name}.py").write_text(text)
        said = call("list", kind)
        assert said.code == 0
        assert "BROKEN lost (from lost.py): ModuleNotFoundError: No module named 'no_such_module'" in said.out
        assert "BROKEN wrong (from wrong.py): SyntaxError" in said.out
        assert "BROKEN gone (from gone.py): SystemExit" in said.out
        assert ("mgan" if kind == "models" else "gan-bench") in said.out

    def test_refuses_other_kinds(self, call: project.Call) -> None:
        """What can be listed is said."""
        said = call("list", "model")
        assert said.code == 2
        assert "'models'" in said.err


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
    """Commas separate names, double quotes keep a label with a comma together."""
    assert names(option) == found


class TestTable:
    def test_puts_published_figures_below(self, call: project.Call, tiny: Path) -> None:
        """--published adds a second table and leaves the first as it is; in csv its notes go to standard error."""
        call("run", "tiny.toml", "--device", "cpu")
        first = call("table", "results/tiny").out
        said = call("table", "results/tiny", "--published")
        assert said.code == 0 and said.out.startswith(first)
        assert "### tiny: independent re-runs" in said.out[len(first) :]
        assert re.search(r"^\| d2gan +\| modes ↑ ", said.out, re.MULTILINE)
        assert r"\begin{longtable}" in call("table", "results/tiny", "--published", "--format", "latex").out
        numbers = call("table", "results/tiny", "--published", "--format", "csv")
        assert numbers.out.split("\n\n")[1].startswith("kind,dataset,label,system,")
        assert "Published figures" in numbers.err

    def test_says_where_nothing_is_published(self, call: project.Call, tmp_path: Path) -> None:
        """Models and data that nobody reported on: a sentence, and no empty table."""
        data = [{"plugin": "ring8", "radius": 3.0}]
        project.write(tmp_path, project.describe(dataset=data, seeds=1))
        call("run", "tiny.toml", "--device", "cpu")
        said = call("table", "results/tiny", "--published")
        assert said.code == 0
        assert NOTHING in said.out
        assert "- ring8: " in said.out

    def test_names_file_and_line_of_a_wrong_figure(self, call: project.Call, tiny: Path, tmp_path: Path) -> None:
        """It is left out; the comparison is shown."""
        call("run", "tiny.toml", "--device", "cpu")
        (tmp_path / "plugins" / "figures.csv").write_text("system\n", encoding="utf-8")
        hook = "def gan_bench_published(): return [Path(__file__).with_name('figures.csv')]\n"
        text = f"from pathlib import Path\nfrom gan_bench import hookimpl\n@hookimpl\n{hook}"
        (tmp_path / "plugins" / "figures.py").write_text(text, encoding="utf-8")
        said = call("table", "results/tiny", "--published")
        assert said.code == 0
        assert re.search(r"figures\.csv:1: .*: name, params, dataset", said.out)
        assert "figures.csv" not in call("table", "results/tiny").out


class TestProcess:
    """What needs a process of its own."""

    @pytest.mark.parametrize("verb", [[], ["run"]])
    def test_help_is_instant(self, verb: list[str]) -> None:
        """`--help` imports neither torch nor numpy nor pandas, also of `run`; the first names every verb."""
        script = (
            f"import sys\nfrom gan_bench.cli import main\nsys.argv = ['gan-bench', *{verb}, '--help']\n"
            "try:\n    main()\nfinally:\n"
            "    heavy = {'torch', 'numpy', 'pandas', 'scipy', 'matplotlib', 'rich'} & set(sys.modules)\n"
            "    assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert verb or all(re.search(rf"^  {verb} ", done.stdout, re.MULTILINE) for verb in cli.VERBS)

    def test_a_closed_pipe_is_no_error(self, tmp_path: Path) -> None:
        """`gan-bench list models | head -1` shows one line and no traceback."""
        with project.start("list", "models", cwd=tmp_path) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""

    def test_a_terminal_without_arrows_gets_question_marks(self, tmp_path: Path) -> None:
        """Where standard output has no arrows, a table is shown all the same; real workers train it."""
        project.write(tmp_path, project.describe())
        arguments = ("run", "tiny.toml", "--device", "cpu", "--workers", "1")
        done = project.command(*arguments, cwd=tmp_path, PYTHONIOENCODING="latin-1")
        assert done.returncode == 0, done.stderr
        assert "symmetric_kl ? (nats)" in done.stdout
        assert "symmetric_kl ↓ (nats)" in (tmp_path / "results/tiny/table.md").read_text(encoding="utf-8")
        assert (tmp_path / "results/tiny/table.csv").exists()
        ascii_only = project.command("table", "results/tiny", cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
