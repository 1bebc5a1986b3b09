"""What reading any entry of a benchmark takes: its table, its plugin, its label, its parameters."""

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
    """A description while it is read. Whatever is wrong is reported, and reading goes on without it."""

    source: Source
    registry: Registry
    problems: Problems
    labels: dict[tuple[str, str], KeyPath] = field(default_factory=dict)  # (section, label) → its entry

    def tables(self, section: str) -> list[tuple[KeyPath, TomlTable]]:
        """The entries of ``[[section]]`` with their paths."""
        found = self.source.data.get(section, [])
        entries = found if isinstance(found, list) else []
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in entries):
            message = f"{section} must be tables with double brackets, [[{section}]], found {shown(found)}."
            self.problems.add((section,), message)
        elif not entries:
            self.problems.add((section,), f"no [[{section}]] is given; a benchmark needs at least one.")
        return [((section, i), entry) for i, entry in enumerate(entries) if isinstance(entry, dict)]

    def plugin(self, kind: str, table: TomlTable, path: KeyPath) -> type[Any] | None:
        """The class that an entry names."""
        name, path = table.get("plugin"), (*path, "plugin")
        if isinstance(name, str):
            return self.ask(path, name, self.registry.get, kind, name)
        found = "is missing" if name is None else f"must be a string, found {shown(name)}"
        self.problems.add(path, f"plugin {found}. {listed(self.registry.all(kind))}")
        return None

    def label(self, table: TomlTable, path: KeyPath, reserved: Iterable[str] = ()) -> str:
        """The label of an entry; the plugin's name where none is given."""
        label = table.get("label", table.get("plugin"))
        given = "label" in table
        place = (*path, "label" if given else "plugin")
        if given and not _is_label(label):
            message = f"label must be one line of 1 to {LONGEST_NAME} characters, found {shown(label)}."
            self.problems.add(place, message)
        elif isinstance(label, str) and label in reserved:
            self.problems.add(place, f"{label!r} is the label of an anchor row; choose another label.")
        elif isinstance(label, str):  # else the plugin is missing, which is reported already
            first = self.labels.setdefault((str(path[0]), label), path)
            if first != path:
                advice = "choose another" if given else "give each entry a label of its own"
                message = f"the label {label!r} is taken by the entry at {self.source.where(first)}; {advice}."
                self.problems.add(place, message)
        return str(label)

    def params(self, found: type[Any] | None, table: TomlTable, path: KeyPath, reserved: Sequence[str]) -> Any:
        """An instance of the plugin's `Params`, or None where something is wrong."""
        if found is None:
            return None
        report = self.problems.under(*path)
        make = partial(resolve, found.Params, table, report, reserved=reserved)
        return self.ask(path, found.name, make)

    def ask(
        self, path: KeyPath, plugin: str, question: Callable[A, T], *arguments: A.args, **options: A.kwargs
    ) -> T | None:
        """What a plugin's code answers; an error of it becomes a problem that names the plugin."""
        try:
            return question(*arguments, **options)
        except PluginError as error:
            self.problems.add(path, str(error))
        except Exception as error:  # a plugin may raise anything
            self.problems.add(path, f"plugin {plugin!r} failed: {type(error).__name__}: {error}")
        return None

    def check_refusals(self, path: KeyPath, what: str, judge: Any, datasets: Mapping[str, Dataset]) -> None:
        """Report the datasets (by label) that `judge`, an instance of a plugin, refuses."""
        for label, dataset in datasets.items():
            reason = self.ask(path, judge.name, judge.refuses, dataset)
            if reason:
                self.problems.add(path, f"{what} refuses dataset {label!r}: {reason}")


def _is_label(label: TomlValue) -> bool:
    return isinstance(label, str) and 1 <= len(label) <= LONGEST_NAME and label.isprintable() and label == label.strip()
