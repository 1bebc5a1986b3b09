"""Tests of `gan-bench check` with valid, faulty, broken and missing plugins."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from gan_bench.names import listed
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import KINDS
from gan_bench.report.published.load import COLUMNS
from tests.support import project
from tests.support.messages import Messages

MODEL = '''
from gan_bench import Model, hookimpl


class LSGAN(Model):
    """Least-squares GAN (Mao et al., ICCV 2017)."""

    name = "lsgan"

    def build(self, networks):
        return {"discriminator": networks.discriminator({"score": None}), "generator": networks.generators()}

    def discriminator_loss(self, real, fake):
        on_real, on_fake = self.discriminator(real.x)["score"], self.discriminator(fake.x)["score"]
        return (on_real - 1).square().mean() + on_fake.square().mean()

    def generator_loss(self, fake):
        return (self.discriminator(fake.x)["score"] - 1).square().mean()


@hookimpl
def gan_bench_models():
    return [LSGAN]
'''

METRIC = '''
from gan_bench import Metric, hookimpl


class Spread(Metric):
    """The standard deviation of the samples."""

    name = "lsgan"
    direction = "none"
    unit = "data units"

    def compute(self, samples):
        return float(samples.x.std())


@hookimpl
def gan_bench_metrics():
    return [Spread]
'''

READING = "_loss = lambda loss: loss if loss.item() > 0 else loss\n" + MODEL.replace(
    'return (self.discriminator(fake.x)["score"] - 1).square().mean()',
    'return _loss((self.discriminator(fake.x)["score"] - 1).square().mean())',
)

OBSERVER = """
from gan_bench import hookimpl

@hookimpl
def gan_bench_observers():
    from gan_bench.contracts.observer import Observer

    class Silent(Observer):
        '''Observer that does nothing.'''

        name = "silent"

        def stopping(self):
            return

    return [Silent]
"""


ENGINE = """
from gan_bench import Engine, hookimpl

class Idle(Engine):
    '''Engine that executes nothing.'''

    name = "idle"

    def run(self, jobs):
        return True

@hookimpl
def gan_bench_engines():
    return [Idle]
"""


FIGURES = """
from pathlib import Path
from gan_bench import hookimpl

@hookimpl
def gan_bench_published():
    return [Path(__file__).with_name("figures.csv")]
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench check` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return project.caller(monkeypatch, capfd, "check")


def write(text: str | bytes, name: str = "mine.py") -> None:
    """Write a plugin file in the working folder."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


class TestOfAName:
    def test_valid(self, call: project.Call) -> None:
        """A valid plugin has one line, before the summary. Progress is printed to standard error."""
        result = call("ring8")
        assert result.code == 0
        assert re.fullmatch(
            r"ok  dataset ring8 \(gan-bench .*\): 9 of 9 checks passed\n1 checked: 9 checks passed, 0 failed\.\n",
            result.out,
        )
        assert "Checking dataset ring8" in result.err

    def test_next_to_a_folder_of_that_name(self, call: project.Call, messages: Messages) -> None:
        """The folder of a package in the working folder does not hide the installed plugin."""
        Path("ring8").mkdir()
        Path("ring9").mkdir()
        assert call("ring8").code == 0
        result = call("ring9")
        assert result.code == 2
        messages.check(result.err, "Error: ring9 ")

    def test_verbose(self, call: project.Call) -> None:
        """Each passed check is printed with its promise."""
        result = call("ring8", "--verbose")
        assert "  passed: seeds: " in result.out
        assert result.out.count("  passed: ") == 9

    def test_of_several_kinds(self, call: project.Call) -> None:
        """A name of a model and a metric selects both. Files in plugins/ are included."""
        write(MODEL, "plugins/one.py")
        write(METRIC, "plugins/two.py")
        result = call("lsgan")
        assert result.code == 0
        assert "ok  model lsgan (one.py)" in result.out
        assert "ok  metric lsgan (two.py)" in result.out
        assert "2 checked" in result.out

    def test_unknown(self, call: project.Call, messages: Messages) -> None:
        """An unknown name is an error with the closest name."""
        result = call("mgn")
        assert result.code == 2
        known = {name for kind in KINDS for name in load_plugins().all(kind)}
        messages.check(result.err, "'mgn'", "'mgan'", hide={listed(known): "AVAILABLE"})
        assert result.out == ""

    def test_of_a_broken_file(self, call: project.Call) -> None:
        """The name of a model selects a broken file of that name."""
        write("import no_such_module\n", "plugins/my_gan.py")
        result = call("my-gan")
        assert result.code == 1
        assert "my_gan (my_gan.py)" in result.out
        assert "No module named 'no_such_module'" in result.out

    def test_broken(self, call: project.Call) -> None:
        """A file in plugins/ that cannot be loaded is found by its name."""
        write("import no_such_module", "plugins/lost.py")
        result = call("lost")
        assert result.code == 1
        assert "loads: ModuleNotFoundError: No module named 'no_such_module' (lost.py:1)" in result.out

    def test_taken_twice(self, call: project.Call) -> None:
        """The message about a name that two files define has both files."""
        write(MODEL, "plugins/one.py")
        write(MODEL, "plugins/two.py")
        result = call("lsgan")
        assert result.code != 0
        assert "one.py" in result.out + result.err
        assert "two.py" in result.out + result.err

    @pytest.mark.parametrize("name", ["", " ", "no name", "<b>gan</b>"])
    def test_odd(self, call: project.Call, name: str) -> None:
        """Names that no plugin can have are unknown, without a traceback."""
        result = call(name)
        assert result.code == 2
        assert "Traceback" not in result.err
        assert "Error: " in result.err


class TestOfAFile:
    def test_valid(self, call: project.Call) -> None:
        """All plugins of the file are checked, and no others."""
        write(MODEL)
        result = call("mine.py")
        assert result.code == 0
        assert re.match(r"ok  model lsgan \(mine\.py\): (\d+) of \1 checks passed\n1 checked: ", result.out)

    def test_faulty(self, call: project.Call) -> None:
        """A finding has a place, a reason and a remedy. Checks that depend on it are listed as not checked."""
        write(READING)
        result = call("mine.py")
        assert result.code == 1
        assert "FAILED  model lsgan (mine.py)" in result.out
        assert re.search(
            r"^  reads-no-values: .*reads a tensor's value \(mine\.py:1\)\n    reason: .*\n    remedy: ",
            result.out,
            re.M,
        )
        assert re.search("^  not checked, .*reads-no-values failed: devices, stacks$", result.out, re.M)
        assert re.search(r"1 checked: \d+ checks passed, 1 failed, 2 not checked\.$", result.out.strip())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("def f(:", r"SyntaxError: .*"),
            ("Once upon a time", r"SyntaxError: .*"),
            ("import sys\nsys.exit(3)", r"SystemExit: 3 \(mine\.py:2\)"),
            ("x = 1\n", "the file provides no plugins"),
            (MODEL.replace('"lsgan"', '"my gan"'), r"LSGAN\.name .*'my gan'"),
            (MODEL.replace('"lsgan"', '"gan"'), r"Model 'gan' is defined twice"),
            (MODEL.replace("return [LSGAN]", "return [7]"), "gan_bench_models returned int"),
        ],
    )
    def test_broken(self, call: project.Call, text: str, message: str) -> None:
        """A plugin that cannot be loaded is a finding, without a traceback."""
        write(text)
        result = call("mine.py")
        assert result.code == 1
        assert re.search(rf"^  loads: {message}", result.out, re.M)
        assert "Traceback" not in result.out + result.err

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("mine.py", b""),
            ("mine.py", b" \n"),
            ("mine.py", b"\x7fELF\0\0\x01"),
            ("mine.txt", b"x = 1"),
            ("folder/mine.py", b"x = 1"),
        ],
        ids=["empty", "blank", "binary", "suffix", "folder"],
    )
    def test_not_a_plugin_file(self, call: project.Call, name: str, content: bytes, messages: Messages) -> None:
        """A path that cannot be a plugin file is an error with the reason."""
        write(content, name)
        result = call(name.split("/")[0])
        assert result.code == 2
        messages.check(result.err, name.split("/")[0])
        assert result.out == ""

    def test_missing(self, call: project.Call, messages: Messages) -> None:
        """A missing file is an error."""
        messages.check(call("nowhere.py").err, "nowhere.py")

    def test_observers(self, call: project.Call) -> None:
        """A file of observers is checked; its output is a finding, and not printed."""
        write(OBSERVER)
        result = call("mine.py")
        assert result.code == 0
        assert "ok  observer silent (mine.py): 10 of 10 checks passed\n" in result.out
        write(OBSERVER.replace("return\n", "print('stopping')\n"))
        result = call("mine.py")
        assert result.code == 1
        assert "output: stopping() prints to standard output: 'stopping" in result.out

    def test_engines(self, call: project.Call) -> None:
        """A file of engines is checked."""
        write(ENGINE)
        result = call("mine.py")
        assert result.code == 1
        assert "returns: run() returns True" not in result.out
        assert "ends: run 'finished', seed 0 is not started" in result.out

    def test_only_figures(self, call: project.Call) -> None:
        """A file of published figures is read. Errors in it are findings with file and line."""
        write(FIGURES)
        Path("figures.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        result = call("mine.py")
        assert result.code == 0
        assert result.out == "ok  published figures figures.csv: 0 rows read\n1 checked: 1 checks passed, 0 failed.\n"
        Path("figures.csv").write_text(",".join(COLUMNS) + "\nmgan\n", encoding="utf-8")
        result = call("mine.py")
        assert result.code == 1
        assert re.search(r"^  reads: .*figures\.csv:2: ", result.out, re.M)


def test_help_needs_no_torch(call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help is printed without importing the modules of the checks."""
    for name in [name for name in sys.modules if name.startswith("gan_bench.testing")]:
        monkeypatch.delitem(sys.modules, name)
    result = call("--help")
    assert result.code == 0
    assert "Exit codes" in result.out
    assert "gan_bench.testing" not in sys.modules
