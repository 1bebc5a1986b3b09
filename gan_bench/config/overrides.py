"""Overrides of a benchmark from the command line: ``--set PATH=VALUE``, ``--seeds``, ``--observer`` and ``--engine``.

A path begins with name, version, protocol, evaluation, observers or engine, or with the label of a model or dataset:
``model.MGAN.beta``, ``dataset.ring8.radius``. As everywhere, a name refers to the entry with that label, or else to all
entries with that plugin.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from gan_bench.config.source import Problems, Source
from gan_bench.contracts.parameters import KeyPath, TomlValue, shown
from gan_bench.names import allowed, matching

SECTIONS = ("name", "version", "protocol", "evaluation", "model", "dataset", "observers", "engine")
EXCLUSIVE = {"fakes": "fakes_per_generator", "fakes_per_generator": "fakes"}
"""Keys of a protocol that exclude each other."""


def apply_overrides(source: Source, overrides: Sequence[str], problems: Problems) -> None:
    """Write each ``PATH=VALUE`` into the description.

    From then on, problems with the value are reported at its flag instead of a line of the file.
    """
    for text in overrides:
        root = re.split(r"[.=]", text.strip(), maxsplit=1)[0]
        if "=" not in text:
            message = "'=' is missing. Write PATH=VALUE, for example protocol.iterations=2000."
            problems.add_flag(f"--set {text}", message)
        elif root in ("model", "dataset"):
            _set_in_entries(source, root, text.strip(), problems)
        elif root in SECTIONS:
            keys, value = split_setting(text)
            _set(source, (), keys, value, _flag(text), problems)
        else:
            hint = "Use --seeds." if root == "seeds" else allowed(root, SECTIONS)
            problems.add_flag(_flag(text), f"{root!r} cannot be set. {hint}")


def apply_seeds(source: Source, seeds: str | int | Sequence[int], problems: Problems) -> None:
    """Replace the seeds of the description by `seeds`."""
    flag = "--seeds" if isinstance(seeds, str) else "seeds"
    value = seeds_from_text(seeds) if isinstance(seeds, str) else seeds
    if value is None:
        problems.add_flag(flag, f"must be a count (3) or exact seeds (0,5,7 or 5,), found {shown(seeds)}.")
        return
    source.data["seeds"] = value if isinstance(value, int) else list(value)
    source.flags["seeds",] = flag


def apply_observers(source: Source, names: Sequence[str]) -> None:
    """Add observers to the description; those of the file keep their parameters."""
    tables = source.data.setdefault("observers", {})
    for name in names:
        if isinstance(tables, dict) and name not in tables:  # the validation reports any other value
            tables[name] = {}
            source.flags["observers", name] = f"--observer {name}"


def apply_engine(source: Source, name: str | None, settings: Mapping[str, TomlValue]) -> None:
    """Write the engine and its parameters into the description. Another engine than the file's has no other ones.

    Args:
        name: name of the engine; None for the file's.
        settings: parameter → value; None for one that is not given.
    """
    table = source.data.setdefault("engine", {})
    if not isinstance(table, dict):  # reported by the validation
        return
    if name is not None and table.get("plugin", "local") != name:
        kept = {key: value for key, value in table.items() if ("engine", key) in source.flags}  # by --set
        table = source.data["engine"] = {**kept, "plugin": name}
        source.flags["engine",] = source.flags["engine", "plugin"] = f"--engine {name}"
    for key, value in settings.items():
        if value is not None:
            table[key] = value
            source.flags["engine", key] = f"--{key.replace('_', '-')}"
    if not table:
        del source.data["engine"]


def seeds_from_text(text: str) -> int | list[int] | None:
    """Parse a count (``"3"``) or exact seeds (``"0,5,7"``, ``"5,"``). Return None for any other text."""
    parts = [part.strip() for part in text.split(",")]
    listed = parts[:-1] if len(parts) > 1 and not parts[-1] else parts
    if not all(re.fullmatch(r"[0-9]{1,19}", part) for part in listed):
        return None
    return int(listed[0]) if len(parts) == 1 else [int(part) for part in listed]


def _set_in_entries(source: Source, section: str, text: str, problems: Problems) -> None:
    """Set ``model.LABEL.key=value``. Labels may contain dots and equals signs, so the known labels are compared."""
    entries = entry_names(source.data.get(section))
    rest = text.removeprefix(section).removeprefix(".")
    known = sorted({name for pair in entries for name in pair}, key=len, reverse=True)
    name = next((name for name in known if rest.startswith(f"{name}.")), None)
    if name is None:
        found = re.split(r"[.=]", rest, maxsplit=1)[0]
        unknown = f"no {section} is called {found!r}. {allowed(found, {label for label, _ in entries})}"
        complete = found and found not in known
        message = unknown if complete else f"write {section}.LABEL.KEY=VALUE. {allowed('', known)}"
        problems.add_flag(_flag(text), message)
        return
    keys, value = split_setting(rest[len(name) + 1 :])
    flag = f"--set {section}.{name}.{'.'.join(keys)}"
    for index in matching(name, entries):
        _set(source, (section, index), keys, value, flag, problems)


def entry_names(entries: TomlValue) -> list[tuple[str, str]]:
    """Return label and plugin of each entry of a description that is not validated yet."""
    tables = entries if isinstance(entries, list) else []
    plugins = [str(table.get("plugin", "")) if isinstance(table, dict) else "" for table in tables]
    labels = [str(table.get("label", "")) if isinstance(table, dict) else "" for table in tables]
    return [(label or plugin, plugin) for label, plugin in zip(labels, plugins, strict=True)]


def _set(source: Source, start: KeyPath, keys: list[str], value: TomlValue, flag: str, problems: Problems) -> None:
    """Write `value` at ``start + keys``, and create the tables on the way."""
    table: Any = source.data
    for step in start:
        table = table[step]
    for depth, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            text = f"{'.'.join(keys[:depth])} is {shown(table)}, which has no keys. Set the whole value."
            problems.add_flag(flag, text)
            return
    path = (*start, *keys)
    other = EXCLUSIVE.get(keys[-1])
    if other is not None and (*path[:-1], other) not in source.flags:
        table.pop(other, None)  # the flag replaces a key of the file that it excludes
    table[keys[-1]] = value
    source.flags[path] = flag


def split_setting(text: str) -> tuple[list[str], TomlValue]:
    """Parse ``KEY.KEY=VALUE`` into keys and a value, which is TOML or, without quotes, text such as a path."""
    key, _, value = text.partition("=")
    return [part.strip() for part in key.split(".")], _value(value.strip())


def _value(text: str) -> TomlValue:
    """Parse a TOML value. Other text is a plain string, so that ``protocol.network=mlp`` needs no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def _flag(text: str) -> str:
    return f"--set {text.partition('=')[0].strip()}"
