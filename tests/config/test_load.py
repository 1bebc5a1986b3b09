"""Validation of benchmark files. Plugins here are plain classes, so that torch is not needed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gan_bench.config.load import Benchmark, load_benchmark, models_named, preview, quick, shipped_benchmarks
from gan_bench.config.source import find_benchmark, open_source
from gan_bench.contracts.parameters import NoParams, param
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.errors import ConfigError, PluginError
from gan_bench.names import allowed, listed
from gan_bench.plugins.discovery import load_plugins
from tests.support.messages import Messages

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@dataclass(frozen=True)
class FakePreset:
    """A preset with the attributes that the reader uses."""

    params: Mapping[str, Any]
    protocol: Mapping[str, Any]


class FakeModel:
    """A model with the attributes that the reader uses."""

    name: ClassVar[str]
    players: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    presets: ClassVar[Mapping[str, FakePreset]] = {}
    anchor: ClassVar[bool] = False
    footnotes: ClassVar[tuple[str, ...]] = ()
    Params: ClassVar[type[Any]] = NoParams

    def __init__(self, params: Any) -> None:
        self.params = params

    @property
    def generators(self) -> int:
        return int(getattr(self.params, "generators", 1))

    @property
    def playing(self) -> int:
        return self.generators

    def refuses(self, dataset: Any) -> str | None:
        return None

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        return None


class Gan(FakeModel):
    name = "gan"


class Mgan(FakeModel):
    name = "mgan"
    presets = {
        "release": FakePreset({"beta": 0.5}, {"learning_rate": {"discriminator": 1e-4}, "init_scale": 0.01}),
        "broken": FakePreset({"beta": -1}, {"latents": "frsh"}),
    }

    @dataclass(frozen=True)
    class Params:
        """Parameters of MGAN, with ranges."""

        generators: int = param(8, "K.", low=1)
        beta: float = param(0.125, "Weight.", low=0)


class Noted(FakeModel):
    name = "noted"
    footnotes = ("uses the labels of the data",)


class Picky(FakeModel):
    name = "picky"
    players = ("critic", "generator")

    @dataclass(frozen=True)
    class Params:
        """A number of generators without a range, so that the reader must check it."""

        generators: int = param(0, "K, without a range.")

    def refuses(self, dataset: Any) -> str | None:
        return "it has no labels."


class Vague(FakeModel):
    name = "vague"
    footnotes: Any = "uses the labels of the data"

    @property
    def playing(self) -> Any:
        return None


class Particular(FakeModel):
    name = "particular"

    def refuses_draws(self, batch: int, fakes: int) -> str | None:
        return f"{batch} real and {fakes} generated samples are not supported"


class Raising(FakeModel):
    name = "raising"

    def __init__(self, params: Any) -> None:
        raise RuntimeError("a bug")


class RealData(FakeModel):
    name = "real-data"
    players = ()
    anchor = True


class Untrained(FakeModel):
    name = "untrained"
    players = ("generator",)
    anchor = True


class Mlp:
    name = "mlp"

    @dataclass(frozen=True)
    class Params:
        """A width."""

        hidden: int = param(128, "Units.", low=1)

    def __init__(self, params: Any) -> None:
        self.params = params

    def refuses(self, dataset: Any) -> str | None:
        return None


class Dcgan(Mlp):
    name = "dcgan"

    def refuses(self, dataset: Any) -> str | None:
        return "it makes images."


class Ring:
    name = "ring8"

    @dataclass(frozen=True)
    class Params:
        """A length."""

        radius: float = param(2.0, "Radius.", above=0)

    def __init__(self, params: Any) -> None:
        self.params = params


class Grid(Ring):
    name = "grid25"


class Kl:
    name = "symmetric_kl"
    direction = "lower"
    needs = 1

    def refuses(self, dataset: Any) -> str | None:
        return None


class Modes(Kl):
    name = "modes"

    def refuses(self, dataset: Any) -> str | None:
        return "it has no modes." if isinstance(dataset, Grid) else None


class Shares(Kl):
    name = "shares"
    direction = "none"


class FakeRegistry:
    """Registry of the classes above."""

    classes: ClassVar[Mapping[str, list[Any]]] = {
        "models": [Gan, Mgan, Noted, Vague, Particular, Picky, Raising, RealData, Untrained],
        "networks": [Mlp, Dcgan],
        "datasets": [Ring, Grid],
        "metrics": [Kl, Modes, Shares],
    }

    def all(self, kind: str) -> dict[str, Any]:
        return {item.name: item for item in self.classes[kind]}

    def get(self, kind: str, name: str) -> Any:
        if name not in self.all(kind):
            raise PluginError(f"No {kind[:-1]} is called {name!r}. {allowed(name, self.all(kind))}")
        return self.all(kind)[name]


GOOD = """\
name = "small"
seeds = 3
[[dataset]]
plugin = "ring8"
[protocol]
iterations = 2_000
fakes = 1024
[evaluation]
metrics = ["symmetric_kl", "modes"]
[[model]]
plugin = "gan"
label = "GAN"
[[model]]
plugin = "mgan"
label = "MGAN"
beta = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str | Mapping[str, Any] = GOOD, **options: Any) -> Benchmark:
    """Load a description; text is written to b.toml in the working folder."""
    if isinstance(text, str):
        Path("b.toml").write_text(text, encoding="utf-8")
    return load_benchmark(open_source("b.toml" if isinstance(text, str) else text), FakeRegistry(), **options)


def problems(text: str | Mapping[str, Any] = GOOD, **options: Any) -> list[str]:
    """Problems of an invalid description."""
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return [str(problem) for problem in caught.value.problems]


def with_model(lines: str) -> str:
    """The valid file with one more model, whose first line is line 18."""
    return f"{GOOD}[[model]]\n{lines}\n"


@pytest.mark.usefixtures("folder")
class TestGoodFiles:
    def test_everything_is_resolved(self) -> None:
        """Defaults are filled in, values are converted, and anchors come last, real data before untrained models."""
        benchmark = load()
        assert (benchmark.name, benchmark.seeds, benchmark.source) == ("small", (0, 1, 2), "b.toml")
        assert [(d.plugin, d.label, d.params) for d in benchmark.datasets] == [("ring8", "ring8", {"radius": 2.0})]
        assert benchmark.protocol == Protocol(iterations=2000, fakes=1024, network_params={"hidden": 128})
        assert benchmark.evaluation == Evaluation(metrics=("symmetric_kl", "modes"))
        assert benchmark.version == ""
        assert [model.label for model in benchmark.models] == ["GAN", "MGAN", "real-data", "untrained"]
        assert [model.anchor for model in benchmark.models] == [False, False, True, True]
        mgan = benchmark.models[1]
        assert repr(mgan.params) == "{'generators': 8, 'beta': 1.0}"
        assert all(model.protocol == benchmark.protocol and not model.departures for model in benchmark.models)

    def test_comparisons_are_declared(self) -> None:
        """A file names its version, its primary metric and what its models are compared with."""
        lines = 'primary = "modes"\nbaseline = "MGAN"\nmargins = { modes = 0.5 }\noracles = ["MGAN"]\nmetrics ='
        benchmark = load("version = 2\n" + GOOD.replace("metrics =", lines))
        evaluation = benchmark.evaluation
        assert (benchmark.version, evaluation.primary, evaluation.baseline) == ("2", "modes", "MGAN")
        assert (evaluation.margins, evaluation.oracles) == ({"modes": 0.5}, ("MGAN",))

    def test_other_metrics_replace_the_primary_one(self) -> None:
        """`--set evaluation.metrics` alone needs no other primary metric, but may name one."""
        text = GOOD.replace("metrics =", 'primary = "symmetric_kl"\nmetrics =')
        override = "evaluation.metrics=['modes']"
        assert load(text, overrides=[override]).evaluation.primary == ""
        assert load(text, overrides=[override, "evaluation.primary=modes"]).evaluation.primary == "modes"
        wrong = problems(text, overrides=["evaluation.primary=mode"])
        assert [message.partition(":")[0] for message in wrong] == ["--set evaluation.primary"]

    def test_a_mapping_equals_a_file_and_is_not_modified(self) -> None:
        """A mapping from Python has the form of a file, and may contain tuples instead of lists."""
        data = {
            "name": "small",
            "seeds": (4, 2),
            "dataset": ({"plugin": "ring8"},),
            "evaluation": {"metrics": ["modes"]},
            "model": [{"plugin": "mgan"}],
        }
        benchmark = load(data, overrides=["model.mgan.beta=2", "protocol.batch=64"])
        assert (benchmark.seeds, benchmark.source, benchmark.models[0].params["beta"]) == ((4, 2), "", 2.0)
        assert data["model"] == [{"plugin": "mgan"}]
        assert "protocol" not in data

    def test_an_opened_file_is_not_modified(self) -> None:
        """Overrides and seeds of one validation do not affect the next."""
        Path("b.toml").write_text(GOOD, encoding="utf-8")
        source = open_source("b.toml")
        changed = load_benchmark(source, FakeRegistry(), overrides=["model.MGAN.beta=2"], seeds=1)
        again = load_benchmark(source, FakeRegistry())
        assert (changed.seeds, changed.models[1].params["beta"]) == ((0,), 2.0)
        assert (again.seeds, again.models[1].params["beta"]) == ((0, 1, 2), 1.0)

    def test_the_default_number_of_fakes_is_the_batch_size(self) -> None:
        """The default also follows a model that changes its batch."""
        text = with_model('plugin = "gan"\nlabel = "b"\nprotocol = { batch = 64 }').replace("fakes = 1024", "")
        benchmark = load(text)
        assert benchmark.protocol.fakes == 512
        assert benchmark.models[2].protocol.fakes == 64
        assert benchmark.models[2].departures == (
            "batch: 64 instead of 512",
            "fakes: 64 in total instead of 512 in total",
        )

    def test_anchors_can_be_left_out_or_given(self) -> None:
        """`anchors = false` removes the anchor rows, and an anchor that is listed explicitly is not added again."""
        text = GOOD.replace("[evaluation]", "[evaluation]\nanchors = false")
        assert [model.label for model in load(text).models] == ["GAN", "MGAN"]
        text = GOOD.replace('plugin = "gan"\nlabel = "GAN"', 'plugin = "untrained"')
        assert [model.label for model in load(text).models] == ["MGAN", "untrained", "real-data"]

    def test_a_network_takes_parameters(self) -> None:
        """`network` is a name or a table. Its parameters get their defaults, and a departure lists them."""
        text = with_model('plugin = "gan"\nlabel = "wide"\nprotocol.network = { plugin = "mlp", hidden = 256 }')
        wide = load(text).models[2]
        assert (wide.protocol.network, wide.protocol.network_params) == ("mlp", {"hidden": 256})
        assert wide.departures == ("network: mlp (hidden 256) instead of mlp (hidden 128)",)

    def test_a_model_may_be_listed_several_times(self) -> None:
        """A sweep lists one plugin several times with different labels."""
        text = with_model('plugin = "mgan"\nlabel = "MGAN β = 0.5, K=4"\nbeta = 0.5\ngenerators = 4')
        assert [m.params["beta"] for m in load(text).models if m.plugin == "mgan"] == [1.0, 0.5]

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self) -> None:
        """Files of Windows editors are read."""
        Path("b.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
        assert load_benchmark(open_source("b.toml"), FakeRegistry()).name == "small"


@pytest.mark.usefixtures("folder")
class TestDepartures:
    @pytest.mark.parametrize(
        ("protocol", "sentences"),
        [
            (
                "{ learning_rate = { discriminator = 1e-4 } }",
                ["learning rate of discriminator: 0.0001 instead of 0.0002"],
            ),
            ("{ learning_rate = 1e-4 }", ["learning rate: 0.0001 instead of 0.0002"]),
            (
                "{ learning_rate = { discriminator = 1e-4, generator = 1e-4 } }",
                ["learning rate: 0.0001 instead of 0.0002"],
            ),
            ("{ learning_rate = 2e-4, fakes = 1024 }", []),
            ("{ learning_rate = { generator = 2e-4 } }", []),
            ("{ betas = [0, 0.9] }", ["betas: 0.0, 0.9 instead of 0.5, 0.999"]),
            ("{ betas = { generator = [0, 0.9] } }", ["betas of generator: 0.0, 0.9 instead of 0.5, 0.999"]),
            ("{ fakes_per_generator = 128 }", ["fakes: 128 from each generator instead of 1024 in total"]),
            ('{ latents = "fresh" }', ["latents: fresh instead of shared"]),
            ("{ iterations = 100 }", ["iterations: 100 instead of 2000"]),
        ],
    )
    def test_each_departure_is_a_sentence(self, protocol: str, sentences: list[str]) -> None:
        """Each different value is described. Equal values are not departures, whatever their notation."""
        model = load(with_model(f'plugin = "mgan"\nlabel = "x"\nprotocol = {protocol}')).models[2]
        assert list(model.departures) == sentences
        assert sentences or model.protocol == load().protocol

    def test_a_per_player_departure_names_every_player(self) -> None:
        """Players that a table does not contain keep the benchmark's value."""
        text = with_model('plugin = "gan"\nlabel = "x"\n[model.protocol]\nlearning_rate = { generator = 1e-3 }')
        assert load(text).models[2].protocol.learning_rate == {"discriminator": 2e-4, "generator": 1e-3}

    def test_the_common_protocol_may_have_tables(self, messages: Messages) -> None:
        """A table in [protocol] applies to the players that a model has, and is not a departure."""
        table = "learning_rate = { discriminator = 1e-4, critic = 3e-4 }"
        text = with_model('plugin = "picky"\ngenerators = 2').replace("[protocol]", f"[protocol]\n{table}")
        (found,) = problems(text)
        messages.check(found, "b.toml:18: ", "'picky'", "'ring8'")
        table = "learning_rate = { discriminator = 1e-4 }"
        benchmark = load(GOOD.replace("[protocol]", f"[protocol]\n{table}"))
        assert benchmark.models[0].protocol.learning_rate == {"discriminator": 1e-4, "generator": 2e-4}
        assert benchmark.models[0].departures == ()
        assert benchmark.models[3].protocol.learning_rate == 2e-4  # untrained has a generator only

    def test_a_preset_gives_defaults_that_explicit_keys_override(self) -> None:
        """Keys of the entry override the preset, player by player."""
        text = with_model(
            'plugin = "mgan"\nlabel = "x"\npreset = "release"\n'
            "protocol = { learning_rate = { generator = 1e-3 }, init_scale = 0.02 }"
        )
        model = load(text).models[2]
        assert model.params == {"generators": 8, "beta": 0.5}
        assert model.protocol.learning_rate == {"discriminator": 1e-4, "generator": 1e-3}
        assert model.departures == (
            "preset release",
            "learning rate of discriminator: 0.0001 instead of 0.0002",
            "learning rate of generator: 0.001 instead of 0.0002",
        )
        assert load(text.replace("preset", "beta = 3\npreset")).models[2].params["beta"] == 3.0

    def test_footnotes_of_a_model_follow_its_departures(self) -> None:
        """Footnotes that a model declares for all its rows are listed after its departures, and for no other model."""
        benchmark = load(with_model('plugin = "noted"\nprotocol = { iterations = 100 }'))
        footnotes = ("iterations: 100 instead of 2000", "uses the labels of the data")
        assert benchmark.models[2].departures == footnotes
        assert [model.departures for model in benchmark.models if model.plugin != "noted"] == [()] * 4
        assert quick(benchmark).models[2].departures == footnotes[1:]

    def test_mistakes_of_a_preset_are_reported_at_the_entry(self, messages: Messages) -> None:
        """A preset is validated like the file."""
        first, second = problems(with_model('plugin = "mgan"\nlabel = "x"\npreset = "broken"'))
        messages.check(first, "b.toml:17: beta ")
        messages.check(second, "b.toml:20: latents ")


@pytest.mark.usefixtures("folder")
class TestMistakes:
    def test_seven_mistakes_are_seven_problems_in_the_order_of_the_file(self, messages: Messages) -> None:
        """Each problem has its line, the value found, the values allowed and the closest name."""
        text = """\
name = "my benchmark"
seeds = [0, 5, 5]

[[dataset]]
plugin = "ring9"

[protocol]
lerning_rate = 1e-4   # = [

[evaluation]
metrics = [
    "symmetric_kl",
    "mode",
]

[[model]]
plugin = "mgan"
generators = 0
beta = nan
"""
        found = problems(text)
        places = ["1: name", "2: seed", "5: ", "8: ", "13: ", "18: generators", "19: beta"]
        names = ["my benchmark", "5", "'ring8'", "'learning_rate'", "'modes'", "found 0", "found nan"]
        for message, place, name in zip(found, places, names, strict=True):
            messages.check(message, f"b.toml:{place}", name)

    @pytest.mark.parametrize(
        ("old", "new", "place"),
        [
            ('plugin = "gan"\nlabel = "GAN"', "plugin = {}", "b.toml:11"),
            ("seeds = 3", "seed = 3", "b.toml:2"),
            ("seeds = 3", "seeds = 0", "b.toml:2"),
            ("seeds = 3", "seeds = 1.5", "b.toml:2"),
            ("seeds = 3", "seeds = true", "b.toml:2"),
            ("seeds = 3", "seeds = []", "b.toml:2"),
            ("seeds = 3", "seeds = [-1]", "b.toml:2"),
            ("seeds = 3", 'seeds = [\n0, "1"]', "b.toml:3"),
            ('"small"', '".hidden"', "b.toml:1"),
            ('"small"', '"a/b"', "b.toml:1"),
            ('"small"', f'"{"a" * 81}"', "b.toml:1"),
            ('"small"', '""', "b.toml:1"),
            ('"small"', '"x-preview"', "b.toml:1"),
            ('"small"', '"x-quick"', "b.toml:1"),
            ('"small"', "3", "b.toml:1"),
            ('name = "small"', "", "b.toml"),
            ('name = "small"', 'name = "small"\nversion = 1.5', "b.toml:2"),
            ('name = "small"', 'name = "small"\nversion = "a b"', "b.toml:2"),
            ("metrics =", 'primary = "mode"\nmetrics =', "b.toml:9"),
            ("metrics = [", 'primary = "shares"\nmetrics = ["shares", ', "b.toml:9"),
            ("metrics =", 'baseline = "real-data"\nmetrics =', "b.toml:9"),
            ("metrics =", 'oracles = ["GAN", "mgan"]\nmetrics =', "b.toml:9"),
            ("metrics =", "margins = { fid = 1.0 }\nmetrics =", "b.toml:9"),
            ("metrics =", "margins = { modes = 0.0 }\nmetrics =", "b.toml:9"),
            ("[[dataset]]", "[dataset]", "b.toml:3"),
            ('plugin = "ring8"', "", "b.toml:3"),
            ('plugin = "ring8"', "plugin = 8", "b.toml:4"),
            ('"ring8"', '"ring8"\nradius = 0', "b.toml:5"),
            ('"ring8"', '"ring8"\nradus = 1', "b.toml:5"),
            ('"ring8"', '"grid25"', "b.toml:9"),
            ("fakes = 1024", "batch = 0", "b.toml:7"),
            ("fakes = 1024", "fakes = 4", "b.toml:13"),
            ("fakes = 1024", "fakes = 9\nfakes_per_generator = 2", "b.toml:8"),
            ("fakes = 1024", "betas = [0.5]", "b.toml:7"),
            ("fakes = 1024", "betas = { x = [0.5] }", "b.toml:7"),
            ("fakes = 1024", 'latents = "frsh"', "b.toml:7"),
            ("fakes = 1024", "network_params = {}", "b.toml:7"),
            ("fakes = 1024", "network = 3", "b.toml:7"),
            ("fakes = 1024", 'network = "mpl"', "b.toml:7"),
            ("fakes = 1024", 'network = "dcgan"', "b.toml:7"),
            ("fakes = 1024", 'network = { plugin = "mlp", hiden = 1 }', "b.toml:7"),
            ("fakes = 1024", "learning_rate = { critic = 1 }", "b.toml:7"),
            ("[evaluation]", "[evaluation]\nsamples = 7", "b.toml:9"),
            ("[evaluation]", "[evaluation]\nevery = 0", "b.toml:9"),
            ('"symmetric_kl", ', '"modes", ', "b.toml:9"),
            ('["symmetric_kl", "modes"]', '"modes"', "b.toml:9"),
            ('["symmetric_kl", "modes"]', "[]", "b.toml:9"),
            ('label = "GAN"', 'label = ""', "b.toml:12"),
            ('label = "GAN"', 'label = "a\\nb"', "b.toml:12"),
            ('label = "GAN"', 'label = " a"', "b.toml:12"),
            ('label = "GAN"', "label = 3", "b.toml:12"),
            ('label = "GAN"', 'label = "untrained"', "b.toml:12"),
            ('label = "GAN"', 'label = "MGAN"', "b.toml:15"),
            ('label = "GAN"', 'preset = "x"', "b.toml:12"),
            ('label = "GAN"', "beta = 1", "b.toml:12"),
            ('label = "GAN"', "protocol = 3", "b.toml:12"),
            ('label = "GAN"', "protocol = { learning_rate = { critic = 1 } }", "b.toml:12"),
            ('label = "GAN"', 'protocol = { network = "dcgan" }', "b.toml:12"),
            ('"gan"', '"gna"', "b.toml:11"),
            ('"gan"', '"raising"', "b.toml:10"),
            ("beta = 1", "preset = 7", "b.toml:16"),
        ],
    )
    def test_one_mistake_is_one_problem(self, old: str, new: str, place: str, messages: Messages) -> None:
        """A single wrong value causes a single message with its line."""
        assert old in GOOD
        (found,) = problems(GOOD.replace(old, new, 1))
        messages.check(found)
        assert found.startswith(f"{place}: ")

    def test_wrong_attributes_of_a_model_are_reported(self, messages: Messages) -> None:
        """Attributes of the wrong type are reported with the place of the entry."""
        first, second = problems(with_model('plugin = "vague"'))
        messages.check(first, "b.toml:17: ", "'vague'", "playing")
        messages.check(second, "b.toml:17: ", "'vague'", "footnotes")

    def test_draws_that_a_model_does_not_support_are_reported(self, messages: Messages) -> None:
        """Numbers of real and generated samples are checked before anything runs."""
        (found,) = problems(with_model('plugin = "particular"'))
        messages.check(found, "b.toml:17: ", "'particular'", "512", "1024")

    def test_zero_generators_are_an_error_even_without_a_range(self, messages: Messages) -> None:
        """The number of generators is checked even if the plugin declares no range, together with the datasets."""
        first, second = problems(with_model('plugin = "picky"'))
        messages.check(first, "b.toml:17: ", "'picky'", "'ring8'")
        messages.check(second, "b.toml:17: ", "found 0")

    def test_a_repeated_plugin_needs_labels(self, messages: Messages) -> None:
        """Two entries of one plugin without labels are an error at the second one."""
        (found,) = problems(f'{GOOD}[[model]]\nplugin = "mgan"\n[[model]]\nplugin = "mgan"\n')
        messages.check(found, "b.toml:20: ", "'mgan'", "b.toml:17")

    def test_an_empty_file_lists_the_required_keys(self, messages: Messages) -> None:
        """Name, dataset, metrics and model have no default."""
        found = problems("")
        assert len(found) == 4
        for text in found:
            messages.check(text, "b.toml: ")

    def test_problems_of_a_mapping_have_the_path(self) -> None:
        """A mapping has no lines."""
        data: dict[Any, Any] = {
            "name": "x",
            "dataset": [{"plugin": "ring8"}],
            "protocol": {"batch": 0, "betas": [2, 0.1]},
            "evaluation": {"metrics": ["modes"]},
            "model": [{"plugin": "gan"}, {"plugin": "mgan", "beta": "x"}],
            3: 4,
        }
        assert sorted(text.split(": ")[0] for text in problems(data)) == [
            "benchmark[3]",
            "benchmark[model][1].beta",
            "benchmark[protocol].batch",
            "benchmark[protocol].betas[0]",
        ]

    def test_a_syntax_error_has_its_line(self) -> None:
        """Invalid TOML is one problem with the parser's message."""
        (found,) = problems(GOOD.replace("seeds = 3", "seeds ="))
        assert found.startswith("b.toml:2: ") and "Invalid value" in found  # the wording of tomllib


@pytest.mark.usefixtures("folder")
class TestOverrides:
    def test_overrides_reach_every_part(self) -> None:
        """Protocol, evaluation, name, models and datasets can be overridden. The last override of a key applies."""
        benchmark = load(
            overrides=[
                "protocol.iterations=10",
                "protocol.iterations = 20",
                "protocol.network=mlp",
                "protocol.betas=[0, 0.9]",
                "evaluation.samples=50",
                "name=other",
                "model.MGAN.beta=7",
                "model.gan.protocol.learning_rate.generator=1e-3",
                "dataset.ring8.radius=1",
            ]
        )
        assert (benchmark.protocol.iterations, benchmark.protocol.betas) == (20, (0.0, 0.9))
        assert (benchmark.name, benchmark.evaluation.samples) == ("other", 50)
        assert benchmark.models[1].params["beta"] == 7.0
        assert benchmark.models[0].departures == ("learning rate of generator: 0.001 instead of 0.0002",)
        assert benchmark.datasets[0].params == {"radius": 1.0}

    def test_a_label_may_contain_dots_and_equals_signs(self) -> None:
        """The labels of the benchmark determine where a label ends."""
        text = with_model('plugin = "mgan"\nlabel = "v1.0 beta=2"\nbeta = 2')
        assert load(text, overrides=["model.v1.0 beta=2.beta=3"]).models[2].params["beta"] == 3.0

    def test_a_plugin_s_name_means_all_its_entries(self) -> None:
        """As for --models, a name refers to the entry with that label, or else to every entry with that plugin."""
        text = with_model('plugin = "mgan"\nlabel = "other"')
        models = load(text, overrides=["model.mgan.generators=2"]).models
        assert [model.params.get("generators") for model in models[1:3]] == [2, 2]

    def test_an_override_replaces_an_exclusive_setting(self, messages: Messages) -> None:
        """`fakes_per_generator` from the command line replaces the file's `fakes`, but two flags conflict."""
        protocol = load(overrides=["protocol.fakes_per_generator=64"]).protocol
        assert (protocol.fakes, protocol.fakes_per_generator) == (None, 64)
        (found,) = problems(overrides=["protocol.fakes_per_generator=64", "protocol.fakes=8"])
        messages.check(found, "--set protocol.fakes_per_generator: ", "fakes and fakes_per_generator")

    @pytest.mark.parametrize(
        ("override", "place"),
        [
            ("protocol.batch=0", "--set protocol.batch"),
            ("protocol.batch=lots", "--set protocol.batch"),
            ("protocol.batch=1\nx = 2", "--set protocol.batch"),
            ("protocol.bach=1", "--set protocol.bach"),
            ("protocol.batch", "--set protocol.batch"),
            ("protocl.batch=1", "--set protocl.batch"),
            ("seeds=3", "--set seeds"),
            ("protocol=3", "--set protocol"),
            ("name.x=3", "--set name.x"),
            ("protocol.iterations.x=3", "--set protocol.iterations.x"),
            ("model.MGANN.beta=1", "--set model.MGANN.beta"),
            ("model=3", "--set model"),
            ("model.MGAN=3", "--set model.MGAN"),
            ("model.MGAN.beta=nan", "--set model.MGAN.beta"),
            ("model.MGAN.protocol.fakes=2", "b.toml:13"),
            ("dataset.ring.radius=1", "--set dataset.ring.radius"),
        ],
    )
    def test_a_wrong_override_is_reported_at_its_flag(self, override: str, place: str, messages: Messages) -> None:
        """The place of the problem is the flag, unless the value is only wrong for one model."""
        (found,) = problems(overrides=[override])
        messages.check(found)
        assert found.startswith(f"{place}: ")

    def test_problems_of_flags_come_after_those_of_the_file(self) -> None:
        """Problems are in the order of the file, then in the order of the flags."""
        text = GOOD.replace("beta = 1", "beta = -1")
        found = problems(text, overrides=["protocol.batch=0"], seeds="x", models=["MGNA"])
        assert [each.split(": ")[0] for each in found] == [
            "b.toml:16",
            "--seeds",
            "--set protocol.batch",
            "--models",
        ]

    @pytest.mark.parametrize(
        ("seeds", "expected"),
        [
            ("3", (0, 1, 2)),
            ("0,5,7", (0, 5, 7)),
            ("5,", (5,)),
            (" 1, 2 ", (1, 2)),
            (2, (0, 1)),
            ([9, 4], (9, 4)),
            ((3,), (3,)),
            (None, (0, 1, 2)),
        ],
    )
    def test_seeds_are_a_count_or_exact(self, seeds: Any, expected: tuple[int, ...]) -> None:
        """A single number is a count, and a number with a comma is a seed."""
        assert load(seeds=seeds).seeds == expected

    @pytest.mark.parametrize(
        "seeds", ["", ",", "a", "1,,2", "-1", "1.5", "1e3", "0,5,5", "0", "٣", [], [1, 1], -1, [0.5]]
    )
    def test_wrong_seeds_are_reported_at_the_flag(self, seeds: Any) -> None:
        """Any other value is one problem."""
        (found,) = problems(seeds=seeds)
        assert found.startswith("--seeds: " if isinstance(seeds, str) else "seeds: ")

    def test_selected_models_must_exist(self, messages: Messages) -> None:
        """Models are selected by label or plugin, anchors included. A wrong parameter does not hide an entry."""
        load(models=["MGAN", "gan", "real-data"])
        (found,) = problems(models=["MGNA", "GAN"])
        messages.check(found, "--models: ", "'MGNA'", "'MGAN'")
        assert len(problems(GOOD.replace("beta = 1", "beta = -1"), models=["MGAN"])) == 1

    def test_selected_datasets_must_exist(self, messages: Messages) -> None:
        load(datasets=["ring8"])
        (found,) = problems(datasets=["rnig8"])
        messages.check(found, "--datasets: ", "'rnig8'", "'ring8'")

    def test_a_name_means_a_label_before_a_plugin(self) -> None:
        """A name that is both a label and a plugin refers to the label."""
        models = load(GOOD.replace('"GAN"', '"mgan"')).models
        assert [model.plugin for model in models_named(models, "mgan")] == ["gan"]
        assert [model.label for model in models_named(models, "gan")] == ["mgan"]
        assert models_named(models, "nothing") == ()


class TestFiles:
    @pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.toml")))
    def test_every_benchmark_is_shipped_and_valid(self, name: str) -> None:
        """Each file of benchmarks/ is found by its name, which is also that of its results, and is in the wheel."""
        assert load_benchmark(open_source(name), load_plugins()).name == name
        with (BENCHMARKS.parent / "pyproject.toml").open("rb") as file:
            included = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
        assert included["benchmarks"] == "gan_bench/benchmarks"

    @pytest.mark.parametrize("name", ["stl10-48", "stl10-96"])
    def test_photographs_without_labels_have_the_metrics_of_labelled_ones(self, name: str) -> None:
        """Metrics of classes use clusters if a dataset has no labels."""
        ours, theirs = (
            load_benchmark(open_source(each), load_plugins()).evaluation.metrics for each in (name, "cifar10")
        )
        assert ours == theirs

    def test_a_bare_name_is_a_shipped_benchmark(self, folder: Path) -> None:
        """A file of that name in the working folder takes precedence."""
        assert find_benchmark("synthetic8") == shipped_benchmarks()["synthetic8"]
        (folder / "synthetic8").write_text(GOOD)
        assert find_benchmark("synthetic8") == Path("synthetic8")

    @pytest.mark.parametrize("source", ["synthetc8", "a/synthetic8.toml", "empty"])
    def test_a_missing_file_lists_the_shipped_ones(self, folder: Path, source: str, messages: Messages) -> None:
        """The message contains the path, the closest name and all names."""
        (folder / "empty").mkdir()
        hide = {listed(shipped_benchmarks(), limit=50): "AVAILABLE"}
        with messages.raises(ConfigError, f"{source}: ", "synthetic8", hide=hide):
            load_benchmark(open_source(source), FakeRegistry())

    def test_a_file_that_is_not_text_is_one_problem(self, folder: Path, messages: Messages) -> None:
        """The place is the line of the first byte that is not UTF-8."""
        (folder / "b.toml").write_bytes(b"name = 'x'\n# \xff\n")
        with messages.raises(ConfigError, "b.toml:2: "):
            load_benchmark(open_source("b.toml"), FakeRegistry())


@pytest.mark.usefixtures("folder")
class TestQuick:
    def test_quick_is_short_and_has_a_separate_name(self) -> None:
        """A check has one seed, 20 iterations, and one evaluation of 500 samples at the end."""
        text = with_model('plugin = "gan"\nlabel = "x"\nprotocol = { iterations = 100, batch = 64 }')
        short = quick(load(text, seeds="7,8"))
        assert (short.name, short.seeds) == ("small-quick", (7,))
        assert {model.protocol.iterations for model in short.models} == {short.protocol.iterations} == {20}
        assert (short.evaluation.every, short.evaluation.samples, short.evaluation.points) == (20, 500, 1)
        assert short.evaluation.metrics == ("symmetric_kl", "modes")
        assert short.models[2].departures == ("batch: 64 instead of 512",)

    def test_quick_never_exceeds_the_file(self) -> None:
        """Smaller numbers of the file are kept."""
        short = quick(load(overrides=["protocol.iterations=5", "evaluation.samples=100"]))
        assert (short.protocol.iterations, short.evaluation.samples) == (5, 100)

    def test_a_preview_is_a_quarter_of_one_seed(self) -> None:
        """Every number of iterations is a quarter, in footnotes as well. There are fewer evaluation points."""
        text = with_model('plugin = "gan"\nlabel = "x"\nprotocol = { iterations = 100, batch = 64 }')
        short = preview(load(text, seeds="7,8", overrides=["evaluation.points=5"]))
        assert (short.name, short.seeds) == ("small-preview", (7,))
        assert [model.protocol.iterations for model in short.models] == [500, 500, 25, 500, 500]
        assert short.protocol.iterations == 500
        whole = load(text).evaluation
        assert (short.evaluation.every, short.evaluation.samples) == (whole.every, whole.samples)
        assert short.evaluation.points == 2
        assert short.models[2].departures == ("iterations: 25 instead of 500", "batch: 64 instead of 512")

    def test_a_preview_trains_at_least_once(self) -> None:
        assert preview(load(overrides=["protocol.iterations=1"])).protocol.iterations == 1


class TestPlugins:
    def test_are_checked_with_the_rest(self, tmp_path: Path, messages: Messages) -> None:
        """A path that is not a plugin file is reported with its line, together with all other problems."""
        (tmp_path / "folder").mkdir()
        file = tmp_path / "b.toml"
        file.write_text('name = "b"\nplugins = [\n  "none.py",\n  "folder",\n]\n[[dataset]]\nplugin = "ring9"\n')
        with pytest.raises(ConfigError) as caught:
            load_benchmark(open_source(file), load_plugins())
        found = {problem.where: str(problem) for problem in caught.value.problems}
        messages.check(found[f"{file}:3"], "none.py")
        messages.check(found[f"{file}:4"], "folder")
        assert "'ring9'" in found[f"{file}:7"]

    def test_a_system_that_is_not_implemented_is_an_error(self, tmp_path: Path) -> None:
        """The message has the file, the line and the reason. Other keys of the entry are not checked."""
        file = tmp_path / "b.toml"
        entries = '[[model]]\nplugin = "mgan"\nbeta = -1\n[[model]]\nlabel = "CoGAN"\nplugin = "cogan"\nlayers = 2\n'
        file.write_text(f'name = "b"\n[[dataset]]\nplugin = "ring8"\n[evaluation]\nmetrics = ["modes"]\n{entries}')
        registry = load_plugins()
        with pytest.raises(ConfigError) as caught:
            load_benchmark(open_source(file), registry)
        first, second = map(str, caught.value.problems)
        assert "b.toml:8: beta must be" in first
        assert second == f"{file}:11: {registry.unimplemented()['cogan'].refusal()}"

    @pytest.mark.parametrize("value", ["mine.py", [1], {"a": "b"}])
    def test_must_be_a_list_of_files(self, value: object, messages: Messages) -> None:
        with messages.raises(ConfigError, "benchmark[plugins]"):
            load_benchmark(open_source({"name": "b", "plugins": value}), load_plugins())
