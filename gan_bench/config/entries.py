"""Reader of the parts that all entries of a benchmark share: table, plugin, label and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gan_bench.config.source import Problems, Source
from gan_bench.contracts.parameters import KeyPath, TomlTable, TomlValue, resolve, shown
from gan_bench.errors import PluginError
from gan_bench.names import listed
from gan_bench.plugins.registry import Registry

if TYPE_CHECKING:
    from gan_bench.contracts.dataset import Dataset

LONGEST_NAME = 80

A = ParamSpec("A")
T = TypeVar("T")


@dataclass
class Reading:
    """State of the reader of a benchmark description. Wrong values are reported and then ignored."""

    source: Source
    registry: Registry
    problems: Problems
    labels: dict[tuple[str, str], KeyPath] = field(default_factory=dict)  # (section, label) → its entry

    def tables(self, section: str) -> list[tuple[KeyPath, TomlTable]]:
        """Return the entries of ``[[section]]`` with their paths."""
        found = self.source.data.get(section, [])
        entries = found if isinstance(found, list) else []
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in entries):
            message = f"{section} must be a list of tables, [[{section}]], found {shown(found)}."
            self.problems.add((section,), message)
        elif not entries:
            self.problems.add((section,), f"there is no [[{section}]] entry. A benchmark needs at least one.")
        return [((section, i), entry) for i, entry in enumerate(entries) if isinstance(entry, dict)]

    def plugin(self, kind: str, table: TomlTable, path: KeyPath) -> type[Any] | None:
        """Return the class that an entry names, or None if it cannot be loaded."""
        name, path = table.get("plugin"), (*path, "plugin")
        if isinstance(name, str):
            return self.ask(path, name, self.registry.get, kind, name)
        found = "is missing" if name is None else f"must be a string, found {shown(name)}"
        self.problems.add(path, f"plugin {found}. {listed(self.registry.all(kind))}")
        return None

    def label(self, table: TomlTable, path: KeyPath, reserved: Iterable[str] = ()) -> str:
        """Return the label of an entry, which is the name of the plugin by default."""
        label = table.get("label", table.get("plugin"))
        given = "label" in table
        place = (*path, "label" if given else "plugin")
        if given and not _is_label(label):
            form = f"one line of 1 to {LONGEST_NAME} characters without spaces at its ends"
            self.problems.add(place, f"label must be {form}, found {shown(label)}.")
        elif isinstance(label, str) and label in reserved:
            self.problems.add(place, f"label {label!r} is reserved for an anchor row. Choose another label.")
        elif isinstance(label, str):  # otherwise the plugin is missing, which is already reported
            first = self.labels.setdefault((str(path[0]), label), path)
            if first != path:
                advice = "Choose another label." if given else "Give each entry a different label."
                message = f"label {label!r} is already used by the entry at {self.source.where(first)}. {advice}"
                self.problems.add(place, message)
        return str(label)

    def params(self, found: type[Any] | None, table: TomlTable, path: KeyPath, reserved: Sequence[str]) -> Any:
        """Return an instance of the plugin's `Params`, or None if a value is wrong."""
        if found is None:
            return None
        report = self.problems.under(*path)
        make = partial(resolve, found.Params, table, report, reserved=reserved)
        return self.ask(path, found.name, make)

    def ask(
        self, path: KeyPath, plugin: str, question: Callable[A, T], *arguments: A.args, **options: A.kwargs
    ) -> T | None:
        """Call a plugin's code and return the result. If it raises, report a problem that names the plugin."""
        try:
            return question(*arguments, **options)
        except PluginError as error:
            self.problems.add(path, str(error))
        except Exception as error:  # a plugin may raise anything
            self.problems.add(path, f"plugin {plugin!r} failed: {type(error).__name__}: {error}")
        return None

    def check_refusals(self, path: KeyPath, what: str, judge: Any, datasets: Mapping[str, Dataset]) -> None:
        """Report each dataset (by label) that `judge`, an instance of a plugin, does not support."""
        for label, dataset in datasets.items():
            reason = self.ask(path, judge.name, judge.refuses, dataset)
            if reason:
                self.problems.add(path, f"{what} does not support dataset {label!r}: {reason}")


def _is_label(label: TomlValue) -> bool:
    return isinstance(label, str) and 1 <= len(label) <= LONGEST_NAME and label.isprintable() and label == label.strip()
