"""Layers of the protocol that all models share, and departures of a model from it.

A protocol is built in layers: the benchmark's ``[protocol]``, then a model's preset, then the model's own
``protocol = {…}``. A model may depart from any setting, including the number of iterations. Each departure becomes a
footnote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gan_bench.contracts.parameters import TomlTable, TomlValue, checked, resolve, shown
from gan_bench.contracts.protocol import PER_PLAYER, Protocol
from gan_bench.errors import PluginError
from gan_bench.names import allowed

if TYPE_CHECKING:
    from gan_bench.contracts.parameters import Report


NetworkOf = Callable[[str], type[Any]]
"""Function that returns the network plugin with a name, or raises PluginError."""


@dataclass(frozen=True)
class Layer:
    """Protocol settings of one table.

    Attributes:
        values: valid settings, converted; `network` is followed by `network_params`.
        wrong: keys with an impossible value, which is already reported.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()


def read_layer(table: TomlValue, network_of: NetworkOf, report: Report) -> Layer:
    """Validate one table of protocol settings."""
    if not isinstance(table, Mapping):
        report((), f"protocol must be a table such as {{ batch = 256 }}, found {shown(table)}.")
        return Layer()
    plain = {name: value for name, value in table.items() if name != "network"}
    values = checked(Protocol, plain, report, reserved=("network",))
    if "network" in table:
        values |= _network(table["network"], network_of, report)
    if "fakes" in table and "fakes_per_generator" in table:
        report(("fakes_per_generator",), "fakes and fakes_per_generator exclude each other. Set only one of them.")
    if not _pairs(values.get("betas", (0, 0))):
        report(("betas",), f"betas must be two numbers, found {shown(table['betas'])}.")
        del values["betas"]
    return Layer(values, frozenset(map(str, table)) - set(values))


def _pairs(betas: Sequence[float] | Mapping[str, Sequence[float]]) -> bool:
    return all(len(pair) == 2 for pair in (betas.values() if isinstance(betas, Mapping) else [betas]))


def _network(value: TomlValue, network_of: NetworkOf, report: Report) -> TomlTable:
    """Convert ``network = "mlp"`` or ``network = { plugin = "mlp", hidden = 64 }`` to two fields of `Protocol`."""
    table = {"plugin": value} if isinstance(value, str) else value
    name = table.get("plugin") if isinstance(table, Mapping) else None
    if not isinstance(table, Mapping) or not isinstance(name, str):
        report(("network",), f'network must be a name or {{ plugin = "…", … }}, found {shown(value)}.')
        return {}
    try:
        network = network_of(name)
        params = resolve(
            network.Params, table, lambda path, text: report(("network", *path), text), reserved=("plugin",)
        )
    except PluginError as error:
        report(("network",), str(error))
        return {}
    return {} if params is None else {"network": name, "network_params": values_of(params)}


def values_of(params: Any) -> TomlTable:
    """Return the values of a `Params` instance by name."""
    return {each.name: getattr(params, each.name) for each in dataclasses.fields(params)}


def report_unknown_players(layer: Layer, players: Iterable[str], report: Report) -> None:
    """Report every player of a per-player table that is not among `players`."""
    known = list(players)
    for name in PER_PLAYER:
        value = layer.values.get(name)
        for player in value if isinstance(value, Mapping) else ():
            if player not in known:
                report((name, player), f"unknown player {player!r} in {name}. {allowed(str(player), known)}")


def layered(layers: Sequence[Layer], players: Sequence[str]) -> Protocol:
    """Build the protocol of a model with these players; later layers override earlier ones.

    A per-player table is completed to all players. If all players have the same value, it becomes that value. Settings
    with the same effect therefore compare equal.
    """
    protocol = Protocol()
    for layer in layers:
        values = dict(layer.values)
        if "fakes" in values or "fakes_per_generator" in values:
            # One replaces the other, whichever an earlier layer has.
            values = {"fakes": None, "fakes_per_generator": None} | values
        for name in PER_PLAYER:
            table = values.get(name)
            if isinstance(table, Mapping):
                # Players that the table does not name keep the values of earlier layers.
                full = {player: table.get(player, protocol.of(player, name)) for player in players}
                each = list(full.values()) or [getattr(protocol, name)]
                values[name] = each[0] if all(value == each[0] for value in each) else full
        protocol = dataclasses.replace(protocol, **values)
    return with_fakes(protocol)


def with_fakes(protocol: Protocol) -> Protocol:
    """Set the number of fakes to the number of real samples if the protocol has none."""
    if protocol.fakes is not None or protocol.fakes_per_generator is not None:
        return protocol
    return dataclasses.replace(protocol, fakes=protocol.batch)


def departures(own: Protocol, common: Protocol, players: Sequence[str]) -> tuple[str, ...]:
    """Describe each departure of a model's protocol from the benchmark's, in a sentence for the footnotes."""
    sentences = []
    for name in (each.name for each in dataclasses.fields(Protocol)):
        if name in ("network_params", "fakes_per_generator"):  # parts of the sentences on network and fakes
            continue
        called = name.replace("_", " ")
        if any(isinstance(getattr(each, name), Mapping) for each in (own, common)):
            for player in players:
                new, old = own.of(player, name), common.of(player, name)
                if new != old:
                    sentences.append(f"{called} of {player}: {_plain(new)} instead of {_plain(old)}")
        else:
            text, before = _setting_text(name, own), _setting_text(name, common)
            if text != before:
                sentences.append(f"{called}: {text} instead of {before}")
    return tuple(sentences)


def other_params(own: Mapping[str, TomlValue], defaults: Mapping[str, TomlValue]) -> tuple[str, ...]:
    """Describe each parameter of a model that differs from its default, in a phrase for the notes of a table."""
    return tuple(
        f"{name} {_plain(value) or 'empty'} instead of {_plain(defaults[name]) or 'empty'}"
        for name, value in own.items()
        if name in defaults and value != defaults[name]
    )


def _setting_text(name: str, protocol: Protocol) -> str:
    if name == "fakes" and protocol.fakes_per_generator is not None:
        return f"{protocol.fakes_per_generator} from each generator"
    if name == "fakes":
        return f"{protocol.fakes} in total"
    if name == "network" and protocol.network_params:
        params = ", ".join(f"{key} {_plain(value)}" for key, value in protocol.network_params.items())
        return f"{protocol.network} ({params})"
    return _plain(getattr(protocol, name))


def _plain(value: TomlValue) -> str:
    """Format a value for a sentence, without quotes and brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, tuple) else shown(value).strip('"')
