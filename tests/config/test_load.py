"""The benchmark file, validated whole; plugins here are plain classes, torch is not needed."""

from __future__ import annotations

import re
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
from gan_bench.names import allowed
from gan_bench.plugins.discovery import load_plugins

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@dataclass(frozen=True)
class FakePreset:
    """The two attributes of a preset that reading takes."""

    params: Mapping[str, Any]
    protocol: Mapping[str, Any]


class FakeModel:
    """The attributes of a model that reading takes."""

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
        """MGAN's, with ranges."""

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
        """No range, so that reading has to look."""

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
        return f"{batch} real and {fakes} generated samples are not to its taste"


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
        """One width."""

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
        """One length."""

        radius: float = param(2.0, "Radius.", above=0)

    def __init__(self, params: Any) -> None:
        self.params = params


class Grid(Ring):
    name = "grid25"


class Kl:
    name = "symmetric_kl"
    needs = 1

    def refuses(self, dataset: Any) -> str | None:
        return None


class Modes(Kl):
    name = "modes"

    def refuses(self, dataset: Any) -> str | None:
        return "it has no modes." if isinstance(dataset, Grid) else None


class FakeRegistry:
    """Serves the classes above."""

    classes: ClassVar[Mapping[str, list[Any]]] = {
        "models": [Gan, Mgan, Noted, Vague, Particular, Picky, Raising, RealData, Untrained],
        "networks": [Mlp, Dcgan],
        "datasets": [Ring, Grid],
        "metrics": [Kl, Modes],
    }

    def all(self, kind: str) -> dict[str, Any]:
        return {item.name: item for item in self.classes[kind]}

    def get(self, kind: str, name: str) -> Any:
        if name not in self.all(kind):
            raise PluginError(f"No {kind[:-1]} is called {name!r}; {allowed(name, self.all(kind))}")
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
    """Everything that is wrong with a description."""
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return [str(problem) for problem in caught.value.problems]


def with_model(lines: str) -> str:
    """The good file with one more model, whose plugin is at line 18."""
    return f"{GOOD}[[model]]\n{lines}\n"


@pytest.mark.usefixtures("folder")
class TestGoodFiles:
    def test_everything_is_resolved(self) -> None:
        """Defaults are filled in, values have their types, anchors come last with real data first."""
        benchmark = load()
        assert (benchmark.name, benchmark.seeds, benchmark.source) == ("small", (0, 1, 2), "b.toml")
        assert [(d.plugin, d.label, d.params) for d in benchmark.datasets] == [("ring8", "ring8", {"radius": 2.0})]
        assert benchmark.protocol == Protocol(iterations=2000, fakes=1024, network_params={"hidden": 128})
        assert benchmark.evaluation == Evaluation(metrics=("symmetric_kl", "modes"))
        assert [model.label for model in benchmark.models] == ["GAN", "MGAN", "real-data", "untrained"]
        assert [model.anchor for model in benchmark.models] == [False, False, True, True]
        mgan = benchmark.models[1]
        assert repr(mgan.params) == "{'generators': 8, 'beta': 1.0}"
        assert all(model.protocol == benchmark.protocol and not model.departures for model in benchmark.models)

    def test_a_mapping_is_the_same_as_a_file_and_is_left_alone(self) -> None:
        """From Python the same form holds, tuples stand for lists, and the mapping is not changed."""
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

    def test_an_opened_file_is_left_alone(self) -> None:
        """Overrides and seeds of one validation are not those of the next."""
        Path("b.toml").write_text(GOOD, encoding="utf-8")
        source = open_source("b.toml")
        changed = load_benchmark(source, FakeRegistry(), overrides=["model.MGAN.beta=2"], seeds=1)
        again = load_benchmark(source, FakeRegistry())
        assert (changed.seeds, changed.models[1].params["beta"]) == ((0,), 2.0)
        assert (again.seeds, again.models[1].params["beta"]) == ((0, 1, 2), 1.0)

    def test_fakes_are_as_many_as_real_samples_where_nothing_is_said(self) -> None:
        """fakes = batch, for a model that changes its batch too."""
        text = with_model('plugin = "gan"\nlabel = "b"\nprotocol = { batch = 64 }').replace("fakes = 1024", "")
        benchmark = load(text)
        assert benchmark.protocol.fakes == 512
        assert benchmark.models[2].protocol.fakes == 64
        assert benchmark.models[2].departures == (
            "batch: 64 instead of 512",
            "fakes: 64 in total instead of 512 in total",
        )

    def test_anchors_can_be_left_out_or_given(self) -> None:
        """`anchors = false` leaves them out; one that is given explicitly is not repeated."""
        text = GOOD.replace("[evaluation]", "[evaluation]\nanchors = false")
        assert [model.label for model in load(text).models] == ["GAN", "MGAN"]
        text = GOOD.replace('plugin = "gan"\nlabel = "GAN"', 'plugin = "untrained"')
        assert [model.label for model in load(text).models] == ["MGAN", "untrained", "real-data"]

    def test_a_network_takes_parameters(self) -> None:
        """`network` is a name or a table; its parameters are resolved and a departure shows them."""
        text = with_model('plugin = "gan"\nlabel = "wide"\nprotocol.network = { plugin = "mlp", hidden = 256 }')
        wide = load(text).models[2]
        assert (wide.protocol.network, wide.protocol.network_params) == ("mlp", {"hidden": 256})
        assert wide.departures == ("network: mlp (hidden 256) instead of mlp (hidden 128)",)

    def test_the_same_model_may_stand_several_times(self) -> None:
        """A sweep is one file with several labels; the same plugin twice as a dataset likewise."""
        text = with_model('plugin = "mgan"\nlabel = "MGAN β = 0.5, K=4"\nbeta = 0.5\ngenerators = 4')
        assert [m.params["beta"] for m in load(text).models if m.plugin == "mgan"] == [1.0, 0.5]

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self) -> None:
        """What editors on Windows write is read."""
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
        """What differs is told; equal values, however written, are no departure."""
        model = load(with_model(f'plugin = "mgan"\nlabel = "x"\nprotocol = {protocol}')).models[2]
        assert list(model.departures) == sentences
        assert sentences or model.protocol == load().protocol

    def test_a_per_player_departure_names_every_player(self) -> None:
        """Players that a table does not name keep the benchmark's value."""
        text = with_model('plugin = "gan"\nlabel = "x"\n[model.protocol]\nlearning_rate = { generator = 1e-3 }')
        assert load(text).models[2].protocol.learning_rate == {"discriminator": 2e-4, "generator": 1e-3}

    def test_the_common_protocol_may_have_tables(self) -> None:
        """A table in [protocol] holds for the players that a model has, and is no departure."""
        table = "learning_rate = { discriminator = 1e-4, critic = 3e-4 }"
        text = with_model('plugin = "picky"\ngenerators = 2').replace("[protocol]", f"[protocol]\n{table}")
        assert problems(text) == ["b.toml:18: model 'picky' refuses dataset 'ring8': it has no labels."]
        table = "learning_rate = { discriminator = 1e-4 }"
        benchmark = load(GOOD.replace("[protocol]", f"[protocol]\n{table}"))
        assert benchmark.models[0].protocol.learning_rate == {"discriminator": 1e-4, "generator": 2e-4}
        assert benchmark.models[0].departures == ()
        assert benchmark.models[3].protocol.learning_rate == 2e-4  # untrained has a generator only

    def test_a_preset_gives_defaults_that_explicit_keys_override(self) -> None:
        """Preset, then the entry's own keys, player by player."""
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

    def test_a_standing_footnote_follows_the_departures(self) -> None:
        """What a model says of all its rows stands with what it has otherwise; the other rows have none of it."""
        benchmark = load(with_model('plugin = "noted"\nprotocol = { iterations = 100 }'))
        standing = ("iterations: 100 instead of 2000", "uses the labels of the data")
        assert benchmark.models[2].departures == standing
        assert [model.departures for model in benchmark.models if model.plugin != "noted"] == [()] * 4
        assert quick(benchmark).models[2].departures == standing[1:]

    def test_mistakes_of_a_preset_are_reported_at_the_entry(self) -> None:
        """A preset is a plugin's text and is checked like the file's."""
        found = problems(with_model('plugin = "mgan"\nlabel = "x"\npreset = "broken"'))
        assert found == [
            "b.toml:17: beta must be a finite number >= 0, found -1.",
            "b.toml:20: latents cannot be \"frsh\"; did you mean 'fresh'? Known: fresh, shared.",
        ]


@pytest.mark.usefixtures("folder")
class TestMistakes:
    def test_seven_mistakes_are_seven_problems_in_the_order_of_the_file(self) -> None:
        """Everything at once, each with its line, what was found, what is allowed, and the nearest name."""
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
        assert problems(text) == [
            "b.toml:1: name must be made of letters, digits, '.', '_' and '-', no '.' first, "
            'at most 80 characters, found "my benchmark".',
            "b.toml:2: seed 5 stands twice; seeds must be distinct.",
            "b.toml:5: No dataset is called 'ring9'; did you mean 'ring8'? Known: grid25, ring8.",
            "b.toml:8: unknown key 'lerning_rate'; did you mean 'learning_rate'? Known: batch, betas, decay, "
            "ema, fakes, fakes_per_generator, flip, init, init_scale, iterations, latent, latent_size, latents, "
            "learning_rate, network, optimizer, precision.",
            "b.toml:13: No metric is called 'mode'; did you mean 'modes'? Known: modes, symmetric_kl.",
            "b.toml:18: generators must be a whole number >= 1, found 0.",
            "b.toml:19: beta must be a finite number >= 0, found nan.",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (
                'plugin = "gan"\nlabel = "GAN"',
                "plugin = {}",
                "b.toml:11: plugin must be a string, found a table.",
            ),
            ("seeds = 3", "seed = 3", "b.toml:2: unknown key 'seed'; did you mean 'seeds'? Known: "),
            (
                "seeds = 3",
                "seeds = 0",
                "b.toml:2: seeds must be a count from 1 to 10000 or a list of exact seeds",
            ),
            ("seeds = 3", "seeds = 1.5", "b.toml:2: seeds must be a count"),
            ("seeds = 3", "seeds = true", "b.toml:2: seeds must be a count"),
            ("seeds = 3", "seeds = []", "b.toml:2: seeds must be 1 to 10000 seeds, found a list of 0"),
            (
                "seeds = 3",
                "seeds = [-1]",
                "b.toml:2: a seed must be a whole number from 0 to 2^63 - 1, found -1",
            ),
            (
                "seeds = 3",
                'seeds = [\n0, "1"]',
                'b.toml:3: a seed must be a whole number from 0 to 2^63 - 1, found "1"',
            ),
            ('"small"', '".hidden"', "b.toml:1: name must be made of letters"),
            ('"small"', '"a/b"', "b.toml:1: name must be made of letters"),
            ('"small"', f'"{"a" * 81}"', "b.toml:1: name must be made of letters"),
            ('"small"', '""', "b.toml:1: name must be made of letters"),
            ('"small"', '"x-preview"', "b.toml:1: names that end in -preview are reserved for --preview"),
            ('"small"', '"x-quick"', "b.toml:1: names that end in -quick are reserved for --quick"),
            ('"small"', "3", "b.toml:1: name must be a string, the name of the results folder; found 3."),
            (
                'name = "small"',
                "",
                "b.toml: name must be a string, the name of the results folder; it is missing.",
            ),
            (
                "[[dataset]]",
                "[dataset]",
                "b.toml:3: dataset must be tables with double brackets, [[dataset]], found a",
            ),
            ('plugin = "ring8"', "", "b.toml:3: plugin is missing. Known: grid25, ring8."),
            (
                'plugin = "ring8"',
                "plugin = 8",
                "b.toml:4: plugin must be a string, found 8. Known: grid25, ring8.",
            ),
            ('"ring8"', '"ring8"\nradius = 0', "b.toml:5: radius must be a finite number > 0, found 0."),
            (
                '"ring8"',
                '"ring8"\nradus = 1',
                "b.toml:5: unknown key 'radus'; did you mean 'radius'? Known: label, plug",
            ),
            ('"ring8"', '"grid25"', "b.toml:9: metric 'modes' refuses dataset 'grid25': it has no modes."),
            ("fakes = 1024", "batch = 0", "b.toml:7: batch must be a whole number >= 1, found 0."),
            (
                "fakes = 1024",
                "fakes = 4",
                "b.toml:13: 8 generators share 4 fakes a draw, fewer than one each; lower",
            ),
            (
                "fakes = 1024",
                "fakes = 9\nfakes_per_generator = 2",
                "b.toml:8: fakes and fakes_per_generator exclude",
            ),
            ("fakes = 1024", "betas = [0.5]", "b.toml:7: betas must be two numbers, found [0.5]."),
            ("fakes = 1024", "betas = { x = [0.5] }", "b.toml:7: betas must be two numbers, found a table."),
            (
                "fakes = 1024",
                'latents = "frsh"',
                "b.toml:7: latents cannot be \"frsh\"; did you mean 'fresh'? Known",
            ),
            (
                "fakes = 1024",
                "network_params = {}",
                "b.toml:7: unknown key 'network_params'; did you mean 'network'?",
            ),
            (
                "fakes = 1024",
                "network = 3",
                'b.toml:7: network must be a name or { plugin = "…", … }, found 3.',
            ),
            (
                "fakes = 1024",
                'network = "mpl"',
                "b.toml:7: No network is called 'mpl'; did you mean 'mlp'? Known: dcgan",
            ),
            (
                "fakes = 1024",
                'network = "dcgan"',
                "b.toml:7: network 'dcgan' refuses dataset 'ring8': it makes images.",
            ),
            (
                "fakes = 1024",
                'network = { plugin = "mlp", hiden = 1 }',
                "b.toml:7: unknown key 'hiden'; did you mean 'hidden'? Known: hidden, plugin.",
            ),
            (
                "fakes = 1024",
                "learning_rate = { critic = 1 }",
                "b.toml:7: unknown player 'critic' in learning_rate; known: discriminator, generator.",
            ),
            (
                "[evaluation]",
                "[evaluation]\nsamples = 7",
                "b.toml:9: samples = 7 is fewer than the 8 generators of 'MGAN'.",
            ),
            (
                "[evaluation]",
                "[evaluation]\nevery = 0",
                "b.toml:9: every must be a whole number >= 1, found 0.",
            ),
            ('"symmetric_kl", ', '"modes", ', "b.toml:9: metric 'modes' stands twice."),
            (
                '["symmetric_kl", "modes"]',
                '"modes"',
                'b.toml:9: metrics must be a list of strings, found "modes".',
            ),
            (
                '["symmetric_kl", "modes"]',
                "[]",
                "b.toml:9: evaluation.metrics names no metric. Known: modes, symmetric_kl.",
            ),
            ('label = "GAN"', 'label = ""', "b.toml:12: label must be one line of 1 to 80 characters"),
            ('label = "GAN"', 'label = "a\\nb"', "b.toml:12: label must be one line of 1 to 80 characters"),
            ('label = "GAN"', 'label = " a"', "b.toml:12: label must be one line of 1 to 80 characters"),
            (
                'label = "GAN"',
                "label = 3",
                "b.toml:12: label must be one line of 1 to 80 characters, found 3.",
            ),
            (
                'label = "GAN"',
                'label = "untrained"',
                "b.toml:12: 'untrained' is the label of an anchor row; choose another",
            ),
            (
                'label = "GAN"',
                'label = "MGAN"',
                "b.toml:15: the label 'MGAN' is taken by the entry at b.toml:10; choose",
            ),
            ('label = "GAN"', 'preset = "x"', "b.toml:12: model 'gan' has no preset \"x\"; known: none."),
            ('label = "GAN"', "beta = 1", "b.toml:12: unknown key 'beta'; "),
            (
                'label = "GAN"',
                "protocol = 3",
                "b.toml:12: protocol must be a table such as { batch = 256 }, found 3.",
            ),
            (
                'label = "GAN"',
                "protocol = { learning_rate = { critic = 1 } }",
                "b.toml:12: unknown player 'critic' in learning_rate; known: discriminator, generator.",
            ),
            (
                'label = "GAN"',
                'protocol = { network = "dcgan" }',
                "b.toml:12: network 'dcgan' refuses dataset 'ring8': it makes images.",
            ),
            ('"gan"', '"gna"', "b.toml:11: No model is called 'gna'; did you mean 'gan'? Known: gan, mgan,"),
            ('"gan"', '"raising"', "b.toml:10: plugin 'raising' failed: RuntimeError: a bug"),
            ("beta = 1", "preset = 7", "b.toml:16: model 'mgan' has no preset 7; known: broken, release."),
        ],
    )
    def test_one_mistake_is_one_problem(self, old: str, new: str, expected: str) -> None:
        """Each kind of bad input gets exactly one clear message."""
        assert old in GOOD
        (found,) = problems(GOOD.replace(old, new, 1))
        assert found.startswith(expected)

    def test_a_models_wrong_answers_name_it(self) -> None:
        """What a plugin says of itself may be anything: it is told, with the place, and nothing else breaks."""
        assert problems(with_model('plugin = "vague"')) == [
            "b.toml:17: model 'vague': playing is none; it must be a whole number.",
            "b.toml:17: model 'vague': footnotes is \"uses the labels of the data\"; it must be a tuple of texts.",
        ]

    def test_draws_that_a_model_refuses(self) -> None:
        """Sizes of draws that do not suit a model are refused before anything runs, with both numbers."""
        assert problems(with_model('plugin = "particular"')) == [
            "b.toml:17: model 'particular': 512 real and 1024 generated samples are not to its taste."
        ]

    def test_no_generator_is_refused_even_where_the_plugin_has_no_range(self) -> None:
        """0 generators is an error of the entry; a refusal is reported beside it."""
        assert problems(with_model('plugin = "picky"')) == [
            "b.toml:17: model 'picky' refuses dataset 'ring8': it has no labels.",
            "b.toml:17: a model needs at least one generator, found 0.",
        ]

    def test_a_repeated_plugin_without_labels_says_to_add_them(self) -> None:
        """Two unlabelled entries of one plugin cannot be told apart."""
        found = problems(f'{GOOD}[[model]]\nplugin = "mgan"\n[[model]]\nplugin = "mgan"\n')
        assert found == [
            "b.toml:20: the label 'mgan' is taken by the entry at b.toml:17; give each entry a label of its own."
        ]

    def test_an_empty_file_says_what_is_needed(self) -> None:
        """Name, dataset, metrics and model have no default."""
        found = problems("")
        assert len(found) == 4
        assert all(text.startswith("b.toml: ") for text in found)

    def test_a_mapping_s_problems_name_the_path(self) -> None:
        """There is no line to point at."""
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

    def test_a_syntax_error_names_its_line(self) -> None:
        """TOML that cannot be parsed is one problem."""
        (found,) = problems(GOOD.replace("seeds = 3", "seeds ="))
        assert found.startswith("b.toml:2: not valid TOML: Invalid value")


@pytest.mark.usefixtures("folder")
class TestOverrides:
    def test_overrides_reach_every_part(self) -> None:
        """Protocol, evaluation, name, models and datasets by label or plugin; the last one wins."""
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

    def test_a_label_may_hold_dots_and_equals_signs(self) -> None:
        """The known labels decide where the path goes on."""
        text = with_model('plugin = "mgan"\nlabel = "v1.0 beta=2"\nbeta = 2')
        assert load(text, overrides=["model.v1.0 beta=2.beta=3"]).models[2].params["beta"] == 3.0

    def test_a_plugin_s_name_means_all_its_entries(self) -> None:
        """As with --models: the entry of that label, else every entry of that plugin."""
        text = with_model('plugin = "mgan"\nlabel = "other"')
        models = load(text, overrides=["model.mgan.generators=2"]).models
        assert [model.params.get("generators") for model in models[1:3]] == [2, 2]

    def test_an_override_decides_between_exclusive_settings(self) -> None:
        """`fakes_per_generator` from the command line replaces the file's `fakes`; two flags still clash."""
        protocol = load(overrides=["protocol.fakes_per_generator=64"]).protocol
        assert (protocol.fakes, protocol.fakes_per_generator) == (None, 64)
        assert "exclude each other" in problems(overrides=["protocol.fakes_per_generator=64", "protocol.fakes=8"])[0]

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ("protocol.batch=0", "--set protocol.batch: batch must be a whole number >= 1, found 0."),
            ("protocol.batch=lots", '--set protocol.batch: batch must be a whole number >= 1, found "lots".'),
            (
                "protocol.batch=1\nx = 2",
                '--set protocol.batch: batch must be a whole number >= 1, found "1\\nx = 2".',
            ),
            ("protocol.bach=1", "--set protocol.bach: unknown key 'bach'; did you mean 'batch'?"),
            ("protocol.batch", "--set protocol.batch: found no '='; write PATH=VALUE, for example"),
            ("protocl.batch=1", "--set protocl.batch: cannot set 'protocl'; did you mean 'protocol'?"),
            ("seeds=3", "--set seeds: cannot set 'seeds'; use --seeds"),
            ("protocol=3", "--set protocol: protocol must be a table such as { batch = 256 }, found 3."),
            ("name.x=3", '--set name.x: name is "small", which has no keys; set it whole.'),
            (
                "protocol.iterations.x=3",
                "--set protocol.iterations.x: protocol.iterations is 2000, which has no keys; set it whole.",
            ),
            (
                "model.MGANN.beta=1",
                "--set model.MGANN.beta: no model is called 'MGANN'; did you mean 'MGAN'? Known: GAN",
            ),
            ("model=3", "--set model: write model.LABEL.KEY=VALUE; known: GAN, MGAN, gan, mgan."),
            ("model.MGAN=3", "--set model.MGAN: write model.LABEL.KEY=VALUE; known: GAN, MGAN, gan, mgan."),
            ("model.MGAN.beta=nan", "--set model.MGAN.beta: beta must be a finite number >= 0, found nan."),
            ("model.MGAN.protocol.fakes=2", "b.toml:13: 8 generators share 2 fakes a draw"),
            (
                "dataset.ring.radius=1",
                "--set dataset.ring.radius: no dataset is called 'ring'; did you mean 'ring8'?",
            ),
        ],
    )
    def test_a_bad_override_names_the_flag(self, override: str, expected: str) -> None:
        """Its problem points at the command line, not at the file."""
        (found,) = problems(overrides=[override])
        assert found.startswith(expected)

    def test_problems_of_flags_come_after_those_of_the_file(self) -> None:
        """The file is read from top to bottom first."""
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
        """A lone number is a count; a comma makes it exact."""
        assert load(seeds=seeds).seeds == expected

    @pytest.mark.parametrize(
        "seeds", ["", ",", "a", "1,,2", "-1", "1.5", "1e3", "0,5,5", "0", "٣", [], [1, 1], -1, [0.5]]
    )
    def test_bad_seeds_name_the_flag(self, seeds: Any) -> None:
        """Every other text is one problem of --seeds."""
        (found,) = problems(seeds=seeds)
        assert found.startswith("--seeds: " if isinstance(seeds, str) else "seeds: ")

    def test_selected_models_must_exist(self) -> None:
        """By label or plugin, anchors too; a mistake elsewhere in an entry does not make its name unknown."""
        load(models=["MGAN", "gan", "real-data"])
        assert problems(models=["MGNA", "GAN"]) == [
            "--models: no model is called 'MGNA'; did you mean 'MGAN'? "
            "Known: GAN, MGAN, gan, mgan, real-data, untrained."
        ]
        assert len(problems(GOOD.replace("beta = 1", "beta = -1"), models=["MGAN"])) == 1

    def test_selected_datasets_must_exist(self) -> None:
        """By label or plugin."""
        load(datasets=["ring8"])
        assert problems(datasets=["rnig8"]) == [
            "--datasets: no dataset is called 'rnig8'; did you mean 'ring8'? Known: ring8."
        ]

    def test_a_name_means_a_label_before_a_plugin(self) -> None:
        """Where a label is spelled like a plugin, the label wins."""
        models = load(GOOD.replace('"GAN"', '"mgan"')).models
        assert [model.plugin for model in models_named(models, "mgan")] == ["gan"]
        assert [model.label for model in models_named(models, "gan")] == ["mgan"]
        assert models_named(models, "nothing") == ()


class TestFiles:
    @pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.toml")))
    def test_every_benchmark_is_shipped_and_valid(self, name: str) -> None:
        """Each file of benchmarks/ is found by its name, which it also gives its results, and is in the wheel."""
        assert load_benchmark(open_source(name), load_plugins()).name == name
        with (BENCHMARKS.parent / "pyproject.toml").open("rb") as file:
            included = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
        assert included["benchmarks"] == "gan_bench/benchmarks"

    @pytest.mark.parametrize("name", ["stl10-48", "stl10-96"])
    def test_photographs_without_labels_have_the_scores_of_those_with_labels(self, name: str) -> None:
        """By clusters where there are no classes: which generator makes what is the question of these benchmarks."""
        ours, theirs = (
            load_benchmark(open_source(each), load_plugins()).evaluation.metrics for each in (name, "cifar10")
        )
        assert ours == theirs

    def test_a_bare_name_is_a_shipped_benchmark(self, folder: Path) -> None:
        """Unless a file of that name stands in the working folder."""
        assert find_benchmark("synthetic8") == shipped_benchmarks()["synthetic8"]
        (folder / "synthetic8").write_text(GOOD)
        assert find_benchmark("synthetic8") == Path("synthetic8")

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            (
                "synthetc8",
                "synthetc8: no such file. Give a TOML file or the name of a shipped benchmark; did you mean",
            ),
            (
                "a/synthetic8.toml",
                "a/synthetic8.toml: no such file. Give a TOML file or the name of a shipped",
            ),
            (
                "empty",
                "empty: is a folder, not a benchmark file. Give a TOML file or the name of a shipped",
            ),
        ],
    )
    def test_a_missing_file_lists_the_shipped_ones(self, folder: Path, source: str, expected: str) -> None:
        """The message names the closest of them."""
        (folder / "empty").mkdir()
        with pytest.raises(ConfigError) as caught:
            load_benchmark(open_source(source), FakeRegistry())
        assert str(caught.value).startswith(expected)
        assert "synthetic8" in str(caught.value)

    def test_a_file_that_is_no_text_is_one_problem(self, folder: Path) -> None:
        """The line of the first byte that is not UTF-8 is named."""
        (folder / "b.toml").write_bytes(b"name = 'x'\n# \xff\n")
        with pytest.raises(ConfigError, match=r"^b\.toml:2: not UTF-8 text; save the file as UTF-8\.$"):
            load_benchmark(open_source("b.toml"), FakeRegistry())


@pytest.mark.usefixtures("folder")
class TestQuick:
    def test_quick_is_short_and_has_a_name_of_its_own(self) -> None:
        """20 iterations, one evaluation of 500 samples at the end, one seed."""
        text = with_model('plugin = "gan"\nlabel = "x"\nprotocol = { iterations = 100, batch = 64 }')
        short = quick(load(text, seeds="7,8"))
        assert (short.name, short.seeds) == ("small-quick", (7,))
        assert {model.protocol.iterations for model in short.models} == {short.protocol.iterations} == {20}
        assert (short.evaluation.every, short.evaluation.samples, short.evaluation.points) == (20, 500, 1)
        assert short.evaluation.metrics == ("symmetric_kl", "modes")
        assert short.models[2].departures == ("batch: 64 instead of 512",)

    def test_quick_asks_for_nothing_more_than_the_file(self) -> None:
        """Where the file is smaller, it stays as small."""
        short = quick(load(overrides=["protocol.iterations=5", "evaluation.samples=100"]))
        assert (short.protocol.iterations, short.evaluation.samples) == (5, 100)

    def test_a_preview_is_a_quarter_of_one_seed(self) -> None:
        """A quarter of every number of iterations, also in footnotes; evaluated as the file says, at fewer points."""
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
    def test_are_checked_with_the_rest(self, tmp_path: Path) -> None:
        """What is no plugin file is said with its line, among all other problems."""
        (tmp_path / "folder").mkdir()
        file = tmp_path / "b.toml"
        file.write_text('name = "b"\nplugins = [\n  "none.py",\n  "folder",\n]\n[[dataset]]\nplugin = "ring9"\n')
        with pytest.raises(ConfigError) as caught:
            load_benchmark(open_source(file), load_plugins())
        said = [str(problem) for problem in caught.value.problems]
        assert any(re.search(r"b\.toml:3: .*none\.py: there is no such file\.$", line) for line in said)
        assert any(re.search(r"b\.toml:4: .*folder is a folder\. Name its \.py files", line) for line in said)
        assert any("'ring9'" in line for line in said)

    def test_what_is_named_and_not_implemented_is_refused(self, tmp_path: Path) -> None:
        """With file, line and the reason, among all other problems, whatever else its entry says."""
        file = tmp_path / "b.toml"
        entries = '[[model]]\nplugin = "mgan"\nbeta = -1\n[[model]]\nlabel = "CoGAN"\nplugin = "cogan"\nlayers = 2\n'
        file.write_text(f'name = "b"\n[[dataset]]\nplugin = "ring8"\n[evaluation]\nmetrics = ["modes"]\n{entries}')
        registry = load_plugins()
        with pytest.raises(ConfigError) as caught:
            load_benchmark(open_source(file), registry)
        first, second = map(str, caught.value.problems)
        assert "b.toml:8: beta must be" in first
        assert second == f"{file}:11: {registry.unimplemented()['cogan'].refusal()}"
        assert (
            "Model 'cogan' (Coupled GAN) is named, not implemented. It needs data that are split into domains" in second
        )

    @pytest.mark.parametrize("value", ["mine.py", [1], {"a": "b"}])
    def test_must_be_a_list_of_files(self, value: object) -> None:
        """Anything else is an error that says so."""
        with pytest.raises(ConfigError, match="plugins must be a list of files, from the folder of the benchmark"):
            load_benchmark(open_source({"name": "b", "plugins": value}), load_plugins())
