"""Description of a plugin's class in plain text: docstring, facts, parameters, and the networks it requests.

Errors of plugins are caught: a fact that cannot be computed is reported missing with the reason; the rest is shown.
Nothing here imports torch unless a model is shown.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from gan_bench import escape
from gan_bench.contracts.parameters import describe, shown
from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import PluginError
from gan_bench.names import allowed
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import KINDS, UNIMPLEMENTED
from gan_bench.plugins.registry import Registry

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Mixture


Fact = tuple[str, str]

DATASET = "ring8"
"""Dataset for which a model's networks are built when it is shown."""

BETTER = {"lower": "lower is better", "higher": "higher is better", "none": "none (descriptive)"}


def show(name: str, places: Sequence[Path] = (), *, kind: str | None = None, width: int = 100) -> str:
    """Describe everything called `name`; several kinds one after the other.

    For a system that is listed without an implementation, the description gives the reason.

    Args:
        places: plugin files, and folders of plugin files, in addition to the installed plugins.
        kind: one of `gan_bench.plugins.kinds.KINDS`; None for any kind.
        width: of a line; a table whose words are longer may pass it.

    Raises:
        PluginError: no plugin has the name, it is broken, or two plugins define it.
    """
    registry = load_plugins(places, kinds=_needed(kind))
    kinds = [each for each in ([kind] if kind else KINDS) if name in registry.all(each)]
    texts = [_shown(registry.get(each, name), each, registry, width) for each in kinds]
    system = registry.unimplemented().get(name)
    if system is not None:
        texts.append(_unimplemented(system, registry, width))
    if not texts:
        raise PluginError(_missing(name, kind, registry if kind is None else load_plugins(places)))
    return "\n\n\n".join(texts)


def _unimplemented(system: Unimplemented, registry: Registry, width: int) -> str:
    """Describe a system without a model."""
    title = f"{system.name} (not implemented)"
    facts = [
        ("source", system.source),
        ("reason", system.why),
        ("needed", system.needs),
        ("from", str(registry.origin(UNIMPLEMENTED, system.name))),
    ]
    what = _filled(f"{system.title}: {system.what}", width)
    return f"{title}\n{'=' * len(title)}\n\n{what}\n\n{_listed(facts, width)}"


def _shown(cls: type[Any], kind: str, registry: Registry, width: int) -> str:
    try:
        return "\n\n".join(_sections(cls, kind, registry, width))
    except Exception as error:  # the class of a plugin may raise anything
        what = f"{kind[:-1]} {cls.name!r} (from {registry.origin(kind, cls.name)})"
        raise PluginError(f"{what} cannot be shown: {_error_text(error)}.") from error


def _needed(kind: str | None) -> Sequence[str]:
    """Kinds to load: a model needs a network and a dataset."""
    if kind is None:
        return KINDS
    return ("models", "networks", "datasets") if kind == "models" else (kind,)


def _missing(name: str, kind: str | None, registry: Registry) -> str:
    """Message that nothing has the name, with the closest name of any kind."""
    for broken in registry.broken:
        if broken.name == name:
            return f"{name!r} is broken: {broken.error} (from {broken.origin}, {broken.origin.path})."
    others = [each[:-1] for each in KINDS if name in registry.all(each)]
    if others:
        return (
            f"No {(kind or '').removesuffix('s')} is called {name!r}. There is a {' and a '.join(others)} of this name."
        )
    if name in registry.unimplemented():
        return f"No {(kind or '').removesuffix('s')} is called {name!r}. It is a system that is not implemented."
    names = {*registry.unimplemented(), *(each for one in KINDS for each in registry.all(one))}
    files = "; ".join(f"{broken.origin}: {broken.error}" for broken in registry.broken)
    return f"No plugin is called {name!r}. {allowed(name, names)}" + (f" Not loaded: {files}." if files else "")


def _sections(cls: type[Any], kind: str, registry: Registry, width: int) -> Iterator[str]:
    yield _title(cls, kind)
    yield from _docstring(cls, kind, width)
    yield _listed([*_facts(cls, kind), *_origin(cls, kind, registry)], width)
    if kind == "models":
        yield from _presets(cls, width)
    if hasattr(cls, "Params"):
        yield _parameters(cls, width)
    if kind == "models":
        yield _networks(cls, registry, width)


def _title(cls: type[Any], kind: str) -> str:
    text = f"{cls.name} ({kind[:-1]})"
    return f"{text}\n{'=' * len(text)}"


def _docstring(cls: type[Any], kind: str, width: int) -> Iterator[str]:
    """Docstring of the class; for a model also the first paragraph of its file, which cites the paper."""
    doc = escape.several_lines(inspect.cleandoc(cls.__doc__ or "No docstring."))
    yield "\n\n".join(_wrapped(paragraph, width) for paragraph in re.split(r"\n\s*\n", doc))
    module = sys.modules.get(cls.__module__)
    if kind == "models" and module is not None and module.__doc__:
        yield _wrapped(escape.several_lines(inspect.cleandoc(module.__doc__).split("\n\n")[0]), width)


def _wrapped(paragraph: str, width: int) -> str:
    """Wrap a paragraph to `width`; lists and indented lines, such as code, are unchanged."""
    if any(line.startswith((" ", "-", "*", "|")) for line in paragraph.splitlines()):
        return paragraph
    return _filled(" ".join(paragraph.split()), width)


def _listed(facts: Sequence[Fact], width: int) -> str:
    """Format two columns: names and their descriptions."""
    left = max(len(name) for name, _ in facts) + 2
    lines = (_wrapped(escape.one_line(text), width - left).replace("\n", "\n" + " " * left) for _, text in facts)
    return "\n".join(f"{name:{left}}{text}" for (name, _), text in zip(facts, lines, strict=True))


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Format a table whose last column takes the remaining width."""
    share = width // 5  # minimum width of a wrapped column
    first = [[_filled(text, share, hyphens=True) for text in row[:-1]] for row in rows]
    columns = zip((f"{header}  " for header in headers[:-1]), *first, strict=True)  # tabulate pads headers by two
    taken = sum(max(len(line) for text in column for line in text.split("\n")) + 2 for column in columns)
    last = [_filled(row[-1], max(share, width - taken)) for row in rows]
    together = [[*texts, text] for texts, text in zip(first, last, strict=True)]
    return str(tabulate(together, headers=headers, disable_numparse=True))


def _filled(text: str, width: int, *, hyphens: bool = False) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=hyphens)


def _origin(cls: type[Any], kind: str, registry: Registry) -> list[Fact]:
    origin = registry.origin(kind, cls.name)
    try:
        file = inspect.getsourcefile(cls) or origin.path
    except (TypeError, OSError):
        file = origin.path
    return [("from", str(origin)), ("file", file)]


def _facts(cls: type[Any], kind: str) -> list[Fact]:
    facts: Mapping[str, Callable[[type[Any]], list[Fact]]] = {
        "models": _model_facts,
        "datasets": _dataset_facts,
        "metrics": _metric_facts,
    }
    return facts[kind](cls) if kind in facts else []


def _metric_facts(cls: type[Any]) -> list[Fact]:
    return [
        ("direction", BETTER.get(cls.direction, str(cls.direction))),
        ("unit", str(cls.unit) or "none"),
        ("scale", str(cls.scale)),
        ("version", str(cls.version)),
        ("per generator", "yes: one value for each, and one for the mixture" if cls.per_generator else "no"),
        ("expensive", "yes: computed at a few iterations only, including the last" if cls.expensive else "no"),
    ]


def _dataset_facts(cls: type[Any]) -> list[Fact]:
    """Facts about the dataset with its default parameters."""
    try:
        dataset = cls(cls.Params())
        shape, mixture = dataset.shape, dataset.mixture
        return [("shape", f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"), *_mixture_facts(mixture)]
    except Exception as error:  # a plugin may raise anything
        return [("shape", f"unknown: the dataset cannot be created with its defaults ({_error_text(error)})")]


def _mixture_facts(mixture: Mixture | None) -> list[Fact]:
    if mixture is None:
        return [("density", "unknown: metrics that need an exact density do not support it")]
    modes = f"{len(mixture.means)}, {'equal weights' if len(set(mixture.weights.tolist())) == 1 else 'unequal weights'}"
    low, high = float(mixture.stds.min()), float(mixture.stds.max())
    deviation = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return [("density", "exact, a Gaussian mixture"), ("modes", modes), ("std", f"{deviation} along each axis")]


def _model_facts(cls: type[Any]) -> list[Fact]:
    facts = [
        ("players", ", ".join(cls.players) or "none"),
        ("generating", ", ".join(cls.generating) or "none: no player generates its samples"),
        ("anchor", "yes: a reference row of the table, never trained" if cls.anchor else "no"),
        ("stackable", "yes" if cls.stackable else "no: each seed is trained separately"),
    ]
    try:
        model = cls(cls.Params())
        more = [("generators", str(model.generators)), ("sharing", model.sharing or "none")]
        return [*facts[:1], ("turns", _turns(model)), *facts[1:2], *more, *facts[2:]]
    except Exception as error:  # a plugin may raise anything
        return [*facts, ("defaults", f"the model cannot be created with them ({_error_text(error)})")]


def _turns(model: Any) -> str:
    """Players of the first iteration in order: ``critic (5 times); then generator``."""
    runs = [(movers, len(list(run))) for movers, run in groupby(turn.players for turn in model.turns(0))]
    turns = [" and ".join(movers) + (f" ({count} times)" if count > 1 else "") for movers, count in runs]
    return "; then ".join(turns) or "none"


def _presets(cls: type[Any], width: int) -> Iterator[str]:
    """Describe each preset: its docstring, its parameters, and its departures from the protocol."""
    for name, preset in cls.presets.items():
        lines = [_wrapped(preset.doc, width - 4)]
        for what, values in (("parameters", preset.params), ("protocol", preset.protocol)):
            if values:
                settings = ", ".join(f"{key} = {shown(value)}" for key, value in values.items())
                lines.append(_wrapped(f"{what}: {settings}", width - 4))
        yield f'Preset "{name}"\n' + textwrap.indent("\n".join(lines), "    ")


def _parameters(cls: type[Any], width: int) -> str:
    rows = [tuple(map(escape.one_line, each)) for each in describe(cls.Params)]
    if not rows:
        return "No parameters."
    return "Parameters\n\n" + _table(("name", "type", "default", "range", "description"), rows, width)


def _networks(cls: type[Any], registry: Registry, width: int) -> str:
    """Networks and number of parameters of each player, from building the model as a benchmark would."""
    from gan_bench.contracts.protocol import Protocol

    protocol = Protocol()
    built = (
        f"with default parameters for {DATASET}, network {protocol.network} and latents of size {protocol.latent_size}"
    )
    try:
        rows = _held(cls, registry, protocol)
    except Exception as error:  # a plugin may raise anything
        return _wrapped(f"Networks: unknown. The model cannot be built {built}: {_error_text(error)}", width)
    if not rows:
        return "Networks: none."
    return (
        _wrapped(f"Networks, built {built}", width) + "\n\n" + _table(("player", "parameters", "contains"), rows, width)
    )


def _held(cls: type[Any], registry: Registry, protocol: Any) -> list[tuple[str, str, str]]:
    """Rows of player, number of parameters and networks. Raises any error of the plugins."""
    import torch

    from gan_bench.plugins.network_recorder import NetworkRecorder

    dataset_class = registry.get("datasets", DATASET)
    dataset, model = dataset_class(dataset_class.Params()), cls(cls.Params())
    reason = model.refuses(dataset)
    if reason is not None:
        raise PluginError(f"it does not support {DATASET}: {reason}")
    network = registry.get("networks", protocol.network)
    with torch.random.fork_rng(devices=[]):  # building a model must not change the caller's random state
        networks = NetworkRecorder(network(network.Params()), dataset, protocol.latent_size)
        players = model.build(networks)
    rows = []
    for name, player in players.items():
        inside = [text for made, text in networks.requested if any(module is made for module in player.modules())]
        count = sum(parameter.numel() for parameter in player.parameters())
        rows.append((name, f"{count:,}", "; ".join(inside) or "a custom module"))
    return rows


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
