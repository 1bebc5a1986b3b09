"""`gan-bench check`: what it says of plugins and files that are fine, faulty, broken or none at all."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from gan_bench.report.published.load import COLUMNS
from tests.support import project

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
        name = "silent"

    return [Silent]
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
    """A plugin file in the working folder."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


class TestOfAName:
    def test_fine(self, call: project.Call) -> None:
        """A line for what was checked and one for the sum, exit code 0; what is being checked goes to stderr."""
        said = call("ring8")
        assert said.code == 0
        assert re.fullmatch(
            r"ok  dataset ring8 \(gan-bench .*\): 9 of 9 checks passed\n1 checked: 9 checks passed, 0 failed\.\n",
            said.out,
        )
        assert "Checking dataset ring8" in said.err

    def test_beside_a_folder_of_that_name(self, call: project.Call) -> None:
        """A package's folder in the working folder does not hide the plugin that it was installed as."""
        Path("ring8").mkdir()
        Path("ring9").mkdir()
        assert call("ring8").code == 0
        said = call("ring9")
        assert said.code == 2
        assert "ring9 is a folder, and no plugin is called so" in said.err

    def test_verbose(self, call: project.Call) -> None:
        """Each passed check is shown with its promise."""
        said = call("ring8", "--verbose")
        assert "  passed: seeds: " in said.out
        assert said.out.count("  passed: ") == 9

    def test_of_several_kinds(self, call: project.Call) -> None:
        """A name that a model and a metric have is both; files of plugins/ count."""
        write(MODEL, "plugins/one.py")
        write(METRIC, "plugins/two.py")
        said = call("lsgan")
        assert said.code == 0
        assert "ok  model lsgan (one.py)" in said.out
        assert "ok  metric lsgan (two.py)" in said.out
        assert "2 checked" in said.out

    def test_unknown(self, call: project.Call) -> None:
        """A name that nobody has is wrong use, with the closest."""
        said = call("mgn")
        assert said.code == 2
        assert "No model, network, dataset or metric is called 'mgn'; did you mean 'mgan'?" in said.err
        assert said.out == ""

    def test_that_a_broken_file_should_bring(self, call: project.Call) -> None:
        """A model's name leads to the file that is called so, or names it, and cannot be loaded."""
        write("import no_such_module\n", "plugins/my_gan.py")
        said = call("my-gan")
        assert said.code == 1
        assert "my_gan (my_gan.py)" in said.out
        assert "No module named 'no_such_module'" in said.out

    def test_broken(self, call: project.Call) -> None:
        """A plugin of plugins/ that does not load is found by its name."""
        write("import no_such_module", "plugins/lost.py")
        said = call("lost")
        assert said.code == 1
        assert "loads: ModuleNotFoundError: No module named 'no_such_module' (lost.py:1)" in said.out

    def test_taken_twice(self, call: project.Call) -> None:
        """A name that two files claim names both."""
        write(MODEL, "plugins/one.py")
        write(MODEL, "plugins/two.py")
        said = call("lsgan")
        assert said.code != 0
        assert "one.py" in said.out + said.err
        assert "two.py" in said.out + said.err

    @pytest.mark.parametrize("name", ["", " ", "no name", "<b>gan</b>"])
    def test_odd(self, call: project.Call, name: str) -> None:
        """Names that no plugin can have are unknown, without a traceback."""
        said = call(name)
        assert said.code == 2
        assert "Traceback" not in said.err
        assert "Error: " in said.err


class TestOfAFile:
    def test_fine(self, call: project.Call) -> None:
        """Everything that the file brings is checked, and nothing else."""
        write(MODEL)
        said = call("mine.py")
        assert said.code == 0
        assert re.match(r"ok  model lsgan \(mine\.py\): (\d+) of \1 checks passed\n1 checked: ", said.out)

    def test_faulty(self, call: project.Call) -> None:
        """A finding shows place, reason and remedy, and what was not checked for it; exit code 1."""
        write(READING)
        said = call("mine.py")
        assert said.code == 1
        assert "FAILED  model lsgan (mine.py)" in said.out
        assert re.search(
            r"^  reads-no-values: .*reads a tensor's value \(mine\.py:1\)\n    reason: .*\n    remedy: ", said.out, re.M
        )
        assert "  not checked, since reads-no-values failed: devices, stacks\n" in said.out
        assert re.search(r"1 checked: \d+ checks passed, 1 failed, 2 not checked\.$", said.out.strip())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("def f(:", r"SyntaxError: .*"),
            ("Once upon a time", r"SyntaxError: .*"),
            ("import sys\nsys.exit(3)", r"SystemExit: 3 \(mine\.py:2\)"),
            ("x = 1\n", "the file brings nothing"),
            (MODEL.replace('"lsgan"', '"my gan"'), r"LSGAN\.name is 'my gan'; a name is made of letters"),
            (MODEL.replace('"lsgan"', '"gan"'), r"model 'gan' exists twice"),
            (MODEL.replace("return [LSGAN]", "return [7]"), "gan_bench_models returned int, not a class"),
        ],
    )
    def test_broken(self, call: project.Call, text: str, message: str) -> None:
        """What cannot be loaded is a finding, without a traceback."""
        write(text)
        said = call("mine.py")
        assert said.code == 1
        assert re.search(rf"^  loads: {message}", said.out, re.M)
        assert "Traceback" not in said.out + said.err

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("mine.py", b"", r"mine\.py is empty"),
            ("mine.py", b" \n", r"mine\.py is empty"),
            ("mine.py", b"\x7fELF\0\0\x01", r"mine\.py is binary"),
            ("mine.txt", b"x = 1", r"mine\.txt is no \.py file"),
            ("folder/mine.py", b"x = 1", r"folder is a folder"),
        ],
    )
    def test_no_plugin_file(self, call: project.Call, name: str, content: bytes, message: str) -> None:
        """What cannot be a plugin file is wrong use, and says why."""
        write(content, name)
        said = call(name.split("/")[0])
        assert said.code == 2
        assert re.search(message, said.err)
        assert said.out == ""

    def test_missing(self, call: project.Call) -> None:
        """So is a file that is not there."""
        assert "nowhere.py: there is no such file" in call("nowhere.py").err

    def test_only_observers(self, call: project.Call) -> None:
        """A file of observers loads, and has nothing to check."""
        write(OBSERVER)
        said = call("mine.py")
        assert said.code == 0
        assert "mine.py loads; there is nothing to check of observers." in said.out

    def test_only_figures(self, call: project.Call) -> None:
        """A file of published figures is read: what is wrong in it is a finding with file and line."""
        write(FIGURES)
        Path("figures.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        said = call("mine.py")
        assert said.code == 0
        assert said.out == "ok  published figures figures.csv: 0 rows read\n1 checked: 1 checks passed, 0 failed.\n"
        Path("figures.csv").write_text(",".join(COLUMNS) + "\nmgan\n", encoding="utf-8")
        said = call("mine.py")
        assert said.code == 1
        assert re.search(r"^  reads: .*figures\.csv:2: ", said.out, re.M)


def test_help_needs_no_torch(call: project.Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help is shown without importing what the checks need."""
    for name in [name for name in sys.modules if name.startswith("gan_bench.testing")]:
        monkeypatch.delitem(sys.modules, name)
    said = call("--help")
    assert said.code == 0
    assert "Exit codes" in said.out
    assert "gan_bench.testing" not in sys.modules
