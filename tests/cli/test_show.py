"""`gan-bench show`: what a plugin is, from its own code; what it cannot tell is said, without a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator

from gan_bench.contracts.protocol import Protocol
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.show import show
from tests.support import project

PLUGINS = '''
"""Papers of one's own (arXiv 0000.00000)."""
from dataclasses import dataclass
import torch
from torch import nn
from gan_bench import Dataset, Metric, Model, hookimpl, param
from gan_bench_zoo.models.gan import GAN


class Twice(Model):
    """Of two kinds."""
    name = "ring8"

    def build(self, networks):
        raise RuntimeError("not today")


class Own(GAN):
    name = "own"
    stackable = False

    def build(self, networks):
        body = nn.Sequential(networks.generators(3, shared="nothing"), nn.Linear(2, 2))
        return {"discriminator": nn.Linear(2, 1), "generator": body}


class Needy(GAN):
    """Has no default."""
    name = "needy"

    @dataclass(frozen=True)
    class Params:
        """One."""
        size: int = param(__import__("dataclasses").MISSING, "Size.", low=1)


class Refusing(GAN):
    """Not for points."""
    name = "refusing"

    def refuses(self, dataset):
        return "points are not images"


class Wrong(GAN):
    """Its presets are none."""
    name = "wrong"
    presets = {"paper": "its own"}


class Images(Dataset):
    """No density.

        an indented
          drawing

    - a list
    """
    name = "images"
    shape = (3, 4)

    def draw(self, n, rng): ...
    def held_out(self, n, rng): ...


class Unmade(Images):
    """Cannot be made."""
    name = "unmade"

    def __init__(self, params):
        raise OSError("no disk")


@hookimpl
def gan_bench_models():
    return [Twice, Own, Needy, Refusing, Wrong]


@hookimpl
def gan_bench_datasets():
    return [Images, Unmade]
'''


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench` in this process, in a folder with plugins."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(PLUGINS, encoding="utf-8")
    return project.caller(monkeypatch, capfd)


def line_of(text: str, name: str) -> str:
    """What stands beside a name."""
    found = re.search(rf"^{re.escape(name)}  +(.*)$", text, re.MULTILINE)
    assert found, f"no line {name!r} in\n{text}"
    return found[1]


class TestModel:
    def test_tells_what_it_is(self) -> None:
        """Docstring, citation, players, sharing, presets, parameters with type, default, range and explanation."""
        text = show("multi-discriminator")
        assert text.startswith("multi-discriminator (model)\n===========================\n\nMulti-discriminator MGAN:")
        assert "arXiv 1802.01568" in text.replace("\n", " ")
        assert line_of(text, "players") == "discriminator, supplementary, generator"
        assert line_of(text, "turns") == "discriminator; then supplementary; then generator"
        assert line_of(show("wgan"), "turns") == "critic (5 times); then generator"
        assert (line_of(text, "generating"), line_of(text, "generators")) == ("generator", "2")
        assert (line_of(text, "anchor"), line_of(text, "stackable")) == ("no", "yes")
        assert line_of(text, "from").startswith("gan-bench ")
        assert line_of(text, "file").endswith("multi_discriminator.py")
        assert 'Preset "paper"\n    The paper\'s MNIST setting' in text
        assert 'parameters: generators = 2, supplementary = "single"' in text
        assert "protocol: batch = 128, fakes_per_generator = 128, learning_rate = 0.001, betas = [0.9, 0.999]" in text
        assert re.search(r"^weight +float +1\.0 +>= 0 +w, weight of the supplementary", text, re.MULTILINE)
        assert re.search(r'^balance +str +"mean" +one of mean, none +Average', text, re.MULTILINE)

    def test_tells_what_networks_it_asks_for(self) -> None:
        """Heads, copies and sharing; and the number of parameters, as computed by hand from the sizes."""
        hidden, latent, k = 128, Protocol().latent_size, MultiDiscriminator.Params().generators
        generator = (latent + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * 2
        discriminator = (2 + 1) * hidden + hidden + 1
        text = show("multi-discriminator").partition("\nNetworks")[2]
        assert line_of(text, "discriminator").split(None, 1) == [
            f"{discriminator:,}",
            "a discriminator with head source (1)",
        ]
        assert line_of(text, "supplementary").split(None, 1) == [
            f"{k * discriminator:,}",
            "2 copies of a discriminator with head own (1)",
        ]
        assert line_of(text, "generator").split(None, 1) == [f"{k * generator:,}", "2 generators, sharing nothing"]
        shared = show("mgan")
        assert line_of(shared, "discriminator").endswith("a discriminator with heads source (1), generator (8)")
        assert line_of(shared, "generator").endswith("8 generators, sharing all but the input layer")

    def test_of_ones_own(self, call: project.Call) -> None:
        """Networks inside a module of one's own are found; a file is its own origin; no docstring is said."""
        text = call("show", "own").out
        assert "It has no docstring." in text and "Papers of one's own (arXiv 0000.00000)." in text
        assert (line_of(text, "from"), line_of(text, "stackable")) == ("mine.py", "no: each seed trains by itself")
        assert line_of(text, "file").endswith("plugins/mine.py")
        assert line_of(text, "discriminator") == "3             a module of its own"
        assert line_of(text, "generator").endswith("3 generators, sharing nothing")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("needy", "missing 1 required positional argument: 'size'"),
            ("refusing", "it refuses ring8: points are not images"),
            ("ring8", "RuntimeError: not today"),
        ],
    )
    def test_that_cannot_be_built_says_why(self, call: project.Call, name: str, reason: str) -> None:
        """The rest of it is shown."""
        said = call("show", name, "--kind", "model")
        assert said.code == 0
        assert "Networks: unknown. It cannot be built with its defaults, for ring8" in said.out
        assert reason in " ".join(said.out.split())

    def test_that_holds_nothing(self) -> None:
        """An anchor without networks says so."""
        text = show("real-data")
        assert "Networks: none." in text and "No parameters." in text
        assert line_of(text, "anchor").startswith("yes")

    def test_leaves_the_global_stream_alone(self) -> None:
        """Building a model to show it draws nobody's random numbers."""
        registry = load_plugins()
        torch.manual_seed(5)
        expected = torch.rand(3)
        for name in registry.all("models"):
            torch.manual_seed(5)
            show(name)
            assert torch.equal(torch.rand(3), expected), name


class TestOtherKinds:
    def test_dataset(self) -> None:
        """Shape, and the exact density where there is one."""
        text = show("mad-gan-1d")
        assert (line_of(text, "shape"), line_of(text, "modes")) == ("(1,)", "5, equal weights")
        assert line_of(text, "std") == "1 to 3 in each direction"
        assert line_of(show("ring8"), "std") == "0.1414 in each direction"

    def test_dataset_without_density(self, call: project.Call) -> None:
        """It is said; drawings and lists in a docstring keep their lines."""
        text = call("show", "images").out
        assert (line_of(text, "shape"), line_of(text, "density")[:7]) == ("(3, 4)", "unknown")
        assert "    an indented\n      drawing\n" in text and "\n- a list\n" in text

    def test_dataset_that_cannot_be_made(self, call: project.Call) -> None:
        """The reason stands where its shape would."""
        assert "cannot be made of its defaults (OSError: no disk)" in call("show", "unmade").out

    def test_metric(self) -> None:
        """Direction, unit, version, and how it is computed."""
        text = show("dead_generators", kind="metrics")
        assert (line_of(text, "direction"), line_of(text, "unit")) == ("lower is better", "generators")
        assert (line_of(text, "version"), line_of(text, "expensive")) == ("1", "no")
        assert line_of(text, "per generator").startswith("yes")
        assert line_of(show("wasserstein"), "expensive").startswith("yes")

    @pytest.mark.parametrize("kind", ["networks", "engines"])
    def test_any_other(self, kind: str) -> None:
        """Its docstring and its origin."""
        (name, cls) = next(iter(load_plugins(kinds=(kind,)).all(kind).items()))
        assert cls.__doc__ is not None
        text = show(name, kind=kind)
        assert cls.__doc__.split("\n")[0] in text and line_of(text, "from").startswith("gan-bench ")


class TestUnimplemented:
    """Systems that are named and have no model."""

    def test_tells_what_it_is_and_why_not(self) -> None:
        """Name, source, what it is, why it cannot be compared, and what would be needed."""
        text = show("cogan")
        assert text.startswith(
            "cogan (named, not implemented)\n==============================\n\nCoupled GAN: Two pairs"
        )
        assert line_of(text, "source").startswith("Coupled Generative Adversarial Networks (Liu, Tuzel;")
        assert line_of(text, "why not here").startswith("It needs data that are split into domains beforehand")
        assert line_of(text, "needed").startswith("a dataset with the domain of each sample")
        assert line_of(text, "from").startswith("gan-bench ")
        assert show("cogan", kind="models") == text

    def test_stands_after_what_has_its_name(self, call: project.Call, tmp_path: Path) -> None:
        """A dataset of the name comes first; a model of the name replaces it."""
        renamed = PLUGINS.replace('name = "images"', 'name = "cogan"')
        (tmp_path / "plugins" / "mine.py").write_text(renamed, encoding="utf-8")
        both = call("show", "cogan").out
        assert both.index("cogan (dataset)") < both.index("cogan (named, not implemented)")
        assert "named, not implemented" not in call("show", "cogan", "--kind", "dataset").out
        taken = PLUGINS.replace('name = "own"', 'name = "cogan"')
        (tmp_path / "plugins" / "mine.py").write_text(taken, encoding="utf-8")
        text = call("show", "cogan").out
        assert "cogan (model)" in text and "named, not implemented" not in text


class TestCommand:
    def test_shows_all_kinds_of_a_name_or_one(self, call: project.Call) -> None:
        """Where a model and a dataset share a name, --kind chooses."""
        both = call("show", "ring8").out
        assert both.index("ring8 (model)") < both.index("ring8 (dataset)")
        one = call("show", "ring8", "--kind", "dataset").out
        assert "(model)" not in one and one.strip() in both

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_fits_the_terminal(self, call: project.Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        """No line of the zoo is longer, paths aside."""
        monkeypatch.setenv("COLUMNS", str(width))
        registry = load_plugins()
        names = [name for kind in ("models", "datasets", "metrics", "networks") for name in registry.all(kind)]
        for name in [*names, *registry.unimplemented()]:
            lines = call("show", name).out.splitlines()
            long = [line for line in lines if len(line) > width and not line.startswith("file ")]
            assert not long, name

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["mgna"], "Nothing is called 'mgna'; did you mean 'mgan'?"),
            (["cogn"], "Nothing is called 'cogn'; did you mean 'cogan'?"),
            (["cogan", "--kind", "metric"], "No metric is called 'cogan'; it is a system that is not implemented."),
            (["mgan", "--kind", "metric"], "No metric is called 'mgan'; there is a model of this name."),
            (["wasserstien", "--kind", "metric"], "Nothing is called 'wasserstien'; did you mean 'wasserstein'?"),
            (["broken"], "'broken' is broken: ModuleNotFoundError: No module named 'no_such_module'"),
            (["wrong"], "model 'wrong' (from mine.py) cannot be shown: AttributeError"),
            (["mgan", "--kind", "models"], "'model'"),
            (["mgan", "--plugin", "missing.py"], "missing.py: there is no such file"),
            ([], "Missing argument 'NAME'"),
        ],
    )
    def test_wrong_use_is_one_message_and_code_2(
        self, call: project.Call, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        """It names the closest of any kind, or what is wrong."""
        (tmp_path / "plugins" / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
        said = call("show", *arguments)
        assert (said.code, said.out) == (2, "")
        assert message in said.err and "Traceback" not in said.err

    def test_of_a_name_that_two_claim_names_both(self, call: project.Call, tmp_path: Path) -> None:
        """Neither is shown."""
        (tmp_path / "plugins" / "other.py").write_text(PLUGINS, encoding="utf-8")
        said = call("show", "own")
        assert said.code == 2
        assert "model 'own' exists twice, from mine.py" in said.err and "other.py" in said.err

    @pytest.mark.parametrize(("name", "kind"), [("modes", "metric"), ("ring8", "dataset")])
    def test_needs_no_torch_for_data_and_metrics(self, name: str, kind: str) -> None:
        """With --kind, a dataset or metric is shown at once."""
        script = (
            "import sys\nfrom gan_bench.cli import cli\n"
            f"cli(['show', {name!r}, '--kind', {kind!r}], standalone_mode=False)\n"
            "assert 'torch' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"{name} ({kind})" in done.stdout
