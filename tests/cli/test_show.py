"""Tests of `gan-bench show`: the description of a plugin from its code, and reasons for missing facts."""

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
from tests.support.messages import Messages

PLUGINS = '''
"""Models of a paper (arXiv 0000.00000)."""
from dataclasses import dataclass
import torch
from torch import nn
from gan_bench import Dataset, Metric, Model, hookimpl, param
from gan_bench_zoo.models.gan import GAN


class Twice(Model):
    """Model with the name of a dataset."""
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
    """Model with a required parameter."""
    name = "needy"

    @dataclass(frozen=True)
    class Params:
        """One."""
        size: int = param(__import__("dataclasses").MISSING, "Size.", low=1)


class Refusing(GAN):
    """Model that does not support points."""
    name = "refusing"

    def refuses(self, dataset):
        return "points are not images"


class Wrong(GAN):
    """Model with an invalid preset."""
    name = "wrong"
    presets = {"paper": "its own"}


class Images(Dataset):
    """Images without a density.

        an indented
          drawing

    - a list
    """
    name = "images"
    shape = (3, 4)

    def draw(self, n, rng): ...
    def held_out(self, n, rng): ...


class Unmade(Images):
    """Dataset that cannot be created."""
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
    """Text next to a name."""
    found = re.search(rf"^{re.escape(name)}  +(.*)$", text, re.MULTILINE)
    assert found, f"no line {name!r} in\n{text}"
    return found[1]


class TestModel:
    def test_shows_facts_and_parameters(self) -> None:
        """The description has docstring, citation, facts, presets and parameters with type, default, range and text."""
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

    def test_shows_the_networks(self) -> None:
        """Networks have heads, copies, sharing and the number of parameters, here computed from the sizes."""
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

    def test_of_a_file(self, call: project.Call) -> None:
        """Networks inside a custom module are listed. The origin is the file. A missing docstring is reported."""
        text = call("show", "own").out
        assert "No docstring." in text and "Models of a paper (arXiv 0000.00000)." in text
        assert line_of(text, "from") == "mine.py" and line_of(text, "stackable").startswith("no")
        assert line_of(text, "file").endswith("plugins/mine.py")
        assert line_of(text, "discriminator") == "3             a custom module"
        assert line_of(text, "generator").endswith("3 generators, sharing nothing")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("needy", "missing 1 required positional argument: 'size'"),
            ("refusing", "ring8: points are not images"),
            ("ring8", "RuntimeError: not today"),
        ],
    )
    def test_that_cannot_be_built_has_the_reason(self, call: project.Call, name: str, reason: str) -> None:
        """The reason is shown instead of the networks. All other facts are shown."""
        result = call("show", name, "--kind", "model")
        assert result.code == 0
        assert "Networks: unknown." in result.out
        assert reason in " ".join(result.out.split())

    def test_without_networks(self) -> None:
        text = show("real-data")
        assert "Networks: none." in text and "No parameters." in text
        assert line_of(text, "anchor").startswith("yes")

    def test_does_not_change_the_global_random_state(self) -> None:
        """A model is built for its description without changing the random state of the caller."""
        registry = load_plugins()
        torch.manual_seed(5)
        expected = torch.rand(3)
        for name in registry.all("models"):
            torch.manual_seed(5)
            show(name)
            assert torch.equal(torch.rand(3), expected), name


class TestOtherKinds:
    def test_dataset(self) -> None:
        """A dataset has a shape and, if it has an exact density, its modes."""
        text = show("mad-gan-1d")
        assert (line_of(text, "shape"), line_of(text, "modes")) == ("(1,)", "5, equal weights")
        assert line_of(text, "std").startswith("1 to 3 ")
        assert line_of(show("ring8"), "std").startswith("0.1414 ")

    def test_dataset_without_density(self, call: project.Call) -> None:
        """The density is unknown. Drawings and lists in a docstring keep their line breaks."""
        text = call("show", "images").out
        assert (line_of(text, "shape"), line_of(text, "density")[:7]) == ("(3, 4)", "unknown")
        assert "    an indented\n      drawing\n" in text and "\n- a list\n" in text

    def test_dataset_that_cannot_be_created(self, call: project.Call) -> None:
        """The reason is shown instead of the shape."""
        assert "(OSError: no disk)" in " ".join(call("show", "unmade").out.split())

    def test_metric(self) -> None:
        """A metric has direction, unit, version and the conditions of its computation."""
        text = show("dead_generators", kind="metrics")
        assert (line_of(text, "direction"), line_of(text, "unit")) == ("lower is better", "generators")
        assert line_of(text, "scale") == "count"
        assert (line_of(text, "version"), line_of(text, "expensive")) == ("1", "no")
        assert line_of(text, "per generator").startswith("yes")
        assert line_of(show("wasserstein"), "expensive").startswith("yes")

    @pytest.mark.parametrize("kind", ["networks", "engines"])
    def test_any_other(self, kind: str) -> None:
        """Plugins of other kinds have docstring and origin."""
        (name, cls) = next(iter(load_plugins(kinds=(kind,)).all(kind).items()))
        assert cls.__doc__ is not None
        text = show(name, kind=kind)
        assert cls.__doc__.split("\n")[0] in text and line_of(text, "from").startswith("gan-bench ")


class TestUnimplemented:
    """Descriptions of systems without a model."""

    def test_shows_what_it_is_and_the_reason(self) -> None:
        """The description has name, source, reason and requirements."""
        text = show("cogan")
        assert text.startswith("cogan (not implemented)\n=======================\n\nCoupled GAN: Two pairs")
        assert line_of(text, "source").startswith("Coupled Generative Adversarial Networks (Liu, Tuzel;")
        assert line_of(text, "reason").startswith("It needs data that are split into domains beforehand")
        assert line_of(text, "needed").startswith("a dataset with the domain of each sample")
        assert line_of(text, "from").startswith("gan-bench ")
        assert show("cogan", kind="models") == text

    def test_follows_plugins_of_its_name(self, call: project.Call, tmp_path: Path) -> None:
        """A dataset of the same name comes first. A model of the same name replaces it."""
        renamed = PLUGINS.replace('name = "images"', 'name = "cogan"')
        (tmp_path / "plugins" / "mine.py").write_text(renamed, encoding="utf-8")
        both = call("show", "cogan").out
        assert both.index("cogan (dataset)") < both.index("cogan (not implemented)")
        assert "not implemented" not in call("show", "cogan", "--kind", "dataset").out
        taken = PLUGINS.replace('name = "own"', 'name = "cogan"')
        (tmp_path / "plugins" / "mine.py").write_text(taken, encoding="utf-8")
        text = call("show", "cogan").out
        assert "cogan (model)" in text and "(not implemented)" not in text


class TestCommand:
    def test_shows_all_kinds_of_a_name_or_one(self, call: project.Call) -> None:
        """--kind selects one of several kinds with the same name."""
        both = call("show", "ring8").out
        assert both.index("ring8 (model)") < both.index("ring8 (dataset)")
        one = call("show", "ring8", "--kind", "dataset").out
        assert "(model)" not in one and one.strip() in both

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_fits_the_terminal(self, call: project.Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        """No line of the description of a zoo plugin is longer, except paths."""
        monkeypatch.setenv("COLUMNS", str(width))
        registry = load_plugins()
        names = [name for kind in ("models", "datasets", "metrics", "networks") for name in registry.all(kind)]
        for name in [*names, *registry.unimplemented()]:
            lines = call("show", name).out.splitlines()
            long = [line for line in lines if len(line) > width and not line.startswith("file ")]
            assert not long, name

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["mgna"], "Did you mean 'mgan'?"),
            (["cogn"], "Did you mean 'cogan'?"),
            (["cogan", "--kind", "metric"], "No metric is called 'cogan'."),
            (["mgan", "--kind", "metric"], "No metric is called 'mgan'."),
            (["wasserstien", "--kind", "metric"], "Did you mean 'wasserstein'?"),
            (["broken"], "ModuleNotFoundError: No module named 'no_such_module'"),
            (["wrong"], "'wrong' (from mine.py)"),
            (["mgan", "--kind", "models"], "'model'"),
            (["mgan", "--plugin", "missing.py"], "missing.py"),
            ([], "Missing argument 'NAME'"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_usage_is_one_message_and_code_2(
        self, call: project.Call, tmp_path: Path, arguments: list[str], part: str, messages: Messages
    ) -> None:
        """The message has the closest name of any kind, or the error."""
        (tmp_path / "plugins" / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
        result = call("show", *arguments)
        assert (result.code, result.out) == (2, "")
        assert part in result.err and "Traceback" not in result.err
        if ("--kind" in arguments and "called" in result.err) or "--plugin" in arguments:
            messages.check(re.sub(r"Available: .*", "AVAILABLE", result.err))

    def test_of_a_name_that_two_files_define(self, call: project.Call, tmp_path: Path) -> None:
        """Neither plugin is shown, and the message has both files."""
        (tmp_path / "plugins" / "other.py").write_text(PLUGINS, encoding="utf-8")
        result = call("show", "own")
        assert result.code == 2
        assert "'own'" in result.err and "mine.py" in result.err and "other.py" in result.err

    @pytest.mark.parametrize(("name", "kind"), [("modes", "metric"), ("ring8", "dataset")])
    def test_needs_no_torch_for_data_and_metrics(self, name: str, kind: str) -> None:
        """With --kind, a dataset or metric is shown without importing torch."""
        script = (
            "import sys\nfrom gan_bench.cli import cli\n"
            f"cli(['show', {name!r}, '--kind', {kind!r}], standalone_mode=False)\n"
            "assert 'torch' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"{name} ({kind})" in done.stdout
