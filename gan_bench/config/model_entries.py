"""The ``[[model]]`` entries of a benchmark, and the anchor rows that follow them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gan_bench.config.benchmark import ModelEntry
from gan_bench.config.entries import Reading
from gan_bench.config.protocol_layers import Layer, departures, layered, read_layer, report_unknown_players, values_of
from gan_bench.contracts.parameters import KeyPath, TomlTable, TomlValue, shown
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import SkippedModel
from gan_bench.errors import BrokenPluginError, PluginError
from gan_bench.names import allowed

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset

KEYS = ("plugin", "label", "preset", "protocol")
"""Keys of an entry other than parameters of the model."""


DRAWS = {"batch", "fakes", "fakes_per_generator"}
"""Settings that determine the number of samples in a draw."""


@dataclass(frozen=True)
class _Preset:
    """Validated settings of a model's preset; empty if the entry has no preset."""

    params: TomlTable = field(default_factory=dict)
    layer: Layer = field(default_factory=Layer)
    departures: tuple[str, ...] = ()


@dataclass
class ModelReader:
    """Reader of ``[[model]]`` entries, given the settings that all models share.

    Attributes:
        common: the benchmark's ``[protocol]``.
        datasets: instances by label; models and networks may not support all of them.
        anchors: the plugins of the anchor rows, by name.
        players: the players of every entry whose plugin was found.
        generators: the number of generators of every valid entry, by label.
        left_out: the entries whose plugins are broken.
    """

    reading: Reading
    common: Layer
    datasets: Mapping[str, Dataset]
    anchors: Mapping[str, type[Any]]
    players: list[tuple[str, ...]] = field(default_factory=list)
    generators: dict[str, int] = field(default_factory=dict)
    left_out: list[SkippedModel] = field(default_factory=list)

    def read(self, path: KeyPath, table: TomlTable) -> ModelEntry | None:
        """Read one entry; return None if its plugin is missing or broken.

        Wrong parameters are reported. The entry is then returned without parameters.
        """
        # Label and protocol are read even if the plugin is not found: all problems of an entry are reported at once.
        found = self._plugin(table, path)
        is_anchor = found is not None and found.anchor
        label = self.reading.label(table, path, reserved=() if is_anchor else self.anchors)
        own = self._layer(table.get("protocol", {}), (*path, "protocol"))
        if found is None:
            return None
        self.players.append(found.players)
        report_unknown_players(own, found.players, self.reading.problems.under(*path, "protocol"))

        # The preset overrides the common protocol, and the entry overrides its preset.
        preset = self._preset(found, table, path)
        params = self.reading.params(found, {**preset.params, **table}, path, KEYS)
        protocol = layered([self.common, preset.layer, own], found.players)
        footnotes = preset.departures + departures(protocol, layered([self.common], found.players), found.players)

        # Only an instance, here untrained, can check its parameters together and reject datasets.
        model = None if params is None else self.reading.ask(path, found.name, found, params)
        if model is not None:
            self._check(model, label, protocol, own, path)
            footnotes += self.reading.ask(path, found.name, _footnotes, model) or ()
        values = {} if params is None else values_of(params)
        return ModelEntry(found.name, label, values, protocol, footnotes, is_anchor)

    def _plugin(self, table: TomlTable, path: KeyPath) -> type[Any] | None:
        """Return the class that an entry names. If the plugin is broken, the entry is left out."""
        name = table.get("plugin")
        try:
            if isinstance(name, str):
                return self.reading.registry.get("models", name)
        except BrokenPluginError as error:
            self.left_out.append(SkippedModel(str(table.get("label", name)), str(name), str(error)))
            return None
        except PluginError:
            pass  # reported below, with its place
        return self.reading.plugin("models", table, path)

    def anchor_rows(self, models: list[ModelEntry]) -> list[ModelEntry]:
        """Return the anchor rows that `models` does not contain, with default parameters."""
        given = {model.plugin for model in models}
        missing = {name: found for name, found in self.anchors.items() if name not in given}
        return [
            ModelEntry(name, name, values_of(found.Params()), layered([self.common], found.players), anchor=True)
            for name, found in sorted(missing.items())  # real-data comes before untrained
        ]

    def check_layer(self, layer: Layer, path: KeyPath) -> None:
        """Report a dataset that the network of a layer does not support, and flips of a dataset without images."""
        from gan_bench.contracts.images import is_images  # imports torch, which the rest does not need

        points = [label for label, dataset in self.datasets.items() if not is_images(dataset)]
        if layer.values.get("flip") and points:
            complaint = f"flip = true requires images, but dataset {points[0]!r} has none."
            self.reading.problems.add((*path, "flip"), complaint)
        name = layer.values.get("network")
        if name is None:
            return
        path = (*path, "network")
        found = self.reading.registry.get("networks", name)
        network = self.reading.ask(path, name, found, found.Params(**layer.values["network_params"]))
        if network is not None:
            self.reading.check_refusals(path, f"network {name!r}", network, self.datasets)

    def _layer(self, table: TomlValue, path: KeyPath) -> Layer:
        network_of = partial(self.reading.registry.get, "networks")
        layer = read_layer(table, network_of, self.reading.problems.under(*path))
        self.check_layer(layer, path)
        return layer

    def _preset(self, found: type[Any], table: TomlTable, path: KeyPath) -> _Preset:
        name = table.get("preset")
        if name is None:
            return _Preset()
        if not isinstance(name, str) or name not in found.presets:
            hint = allowed(str(name), found.presets)
            message = f"model {found.name!r} has no preset {shown(name)}. {hint}"
            self.reading.problems.add((*path, "preset"), message)
            return _Preset()
        preset = found.presets[name]
        layer = self._layer(preset.protocol, (*path, "preset"))
        return _Preset(preset.params, layer, (f"preset {name}",))

    def _check(self, model: Any, label: str, protocol: Protocol, own: Layer, path: KeyPath) -> None:
        """Report a model that cannot be trained on these datasets or with this number of fakes."""
        self.reading.check_refusals(path, f"model {model.name!r}", model, self.datasets)
        generators = self.reading.ask(path, model.name, _count, model, "generators")
        playing = self.reading.ask(path, model.name, _count, model, "playing")
        if generators is None or playing is None:
            return
        self.generators[label] = generators
        wrong = self.common.wrong | own.wrong
        message = self._too_few(min(generators, playing), playing, protocol, wrong)
        if message:
            self.reading.problems.add((*path, "generators"), message)
        elif not wrong & DRAWS:
            fakes = protocol.fakes_each(playing) * playing
            reason = self.reading.ask(path, model.name, model.refuses_draws, protocol.batch, fakes)
            if reason is not None:
                self.reading.problems.add(path, f"model {model.name!r}: {reason}.")

    def _too_few(self, generators: int, playing: int, protocol: Protocol, wrong: Set[str]) -> str | None:
        """Describe a lack of generators or of fakes. Return None if a setting of draws is already reported as wrong."""
        if generators < 1:
            return f"a model needs at least one generator, found {generators}."
        if wrong & DRAWS or protocol.fakes_each(playing) >= 1:
            return None
        return (
            f"{playing} generators share {protocol.fakes} fakes per draw, fewer than one each. "
            f"Decrease generators, or set fakes to {generators} or more."
        )


def _count(model: Any, name: str) -> int:
    """Return a model's attribute `name`, a number of generators.

    Raises:
        PluginError: the value is not a whole number.
    """
    value = getattr(model, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise PluginError(f"model {model.name!r}: {name} must be a whole number, found {shown(value)}.")
    return value


def _footnotes(model: Any) -> tuple[str, ...]:
    """Return the footnotes of a model, which are shown below every table.

    Raises:
        PluginError: the value is not a tuple of strings.
    """
    found = model.footnotes
    if not isinstance(found, tuple | list) or not all(isinstance(text, str) for text in found):
        raise PluginError(f"model {model.name!r}: footnotes must be a tuple of strings, found {shown(found)}.")
    return tuple(found)
