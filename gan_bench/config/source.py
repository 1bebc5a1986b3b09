"""Benchmark descriptions before validation: values with their places, and plugins that they name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from gan_bench.config.toml_lines import Lines, parse
from gan_bench.contracts.parameters import KeyPath, TomlTable, TomlValue, dotted
from gan_bench.errors import ConfigError, Problem
from gan_bench.names import allowed
from gan_bench.plugins.discovery import plugin_files, plugin_folders

T = TypeVar("T")


@dataclass
class Source:
    """A benchmark description, opened once by `open_source` and not yet validated.

    A command loads plugins from `plugin_places`. Then `gan_bench.config.load.load_benchmark` validates the description.

    Attributes:
        name: path of the file, as in messages; empty for a mapping from Python.
        data: the description, into which overrides are written.
        lines: line of each key; empty for a mapping from Python.
        flags: flags that have overridden values: path → ``--set protocol.batch``.
    """

    name: str
    data: dict[str, TomlValue]
    lines: Lines = field(default_factory=dict)
    flags: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """Return the place of a value, or of the nearest table around it: flag, file and line, or path."""
        flag = _nearest(self.flags, path)
        if flag is not None:
            return flag
        if not self.name:
            # As Python would write it: benchmark[protocol].batch, benchmark[seeds][1].
            rest = dotted(path[1:])
            dot = "." if rest and not rest.startswith("[") else ""
            return f"benchmark[{path[0]}]{dot}{rest}" if path else "benchmark"
        line = _nearest(self.lines, path)
        return self.name if line is None else f"{self.name}:{line}"

    def order(self, path: KeyPath) -> float:
        """Return a sort key that orders problems as in the file; values from flags or Python come last."""
        if _nearest(self.flags, path) is not None:
            return math.inf
        return _nearest(self.lines, path) or (0 if self.name else math.inf)

    def copy(self) -> Source:
        """Copy the description, so that overrides can be written into the copy."""
        return replace(self, data={key: _own_copy(each) for key, each in self.data.items()}, flags=dict(self.flags))

    def named_plugins(self) -> list[Path]:
        """Return the paths in `plugins`, or an empty list if it is not a list of strings.

        Paths are relative to the folder of the file, or to the working folder for a mapping from Python.
        """
        names = self.data.get("plugins", [])
        found = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return [Path(self.name).parent / name for name in found] if found == names else []

    def plugin_places(self) -> list[Path]:
        """Return the folders and files of the benchmark's plugins. The validation reports wrong names."""
        return [*plugin_folders(self.name or None), *plugin_files(self.named_plugins(), lambda number, message: None)]


def _nearest(places: Mapping[KeyPath, T], path: KeyPath) -> T | None:
    """Return the place of the longest prefix of `path` that has one, or None."""
    return next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)


class Problems:
    """Collection of the problems of a `Source`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[tuple[float, Problem]] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Report a problem with a value of the description."""
        self._found.append((self._source.order(path), Problem(self._source.where(path), message)))

    def add_flag(self, flag: str, message: str) -> None:
        """Report a problem with a flag that was not written into the description."""
        self._found.append((math.inf, Problem(flag, message)))

    def under(self, *prefix: str | int) -> Callable[[KeyPath, str], None]:
        """Return a function that reports problems with values beneath `prefix`."""
        return lambda path, message: self.add((*prefix, *path), message)

    def raise_if_any(self) -> None:
        """Raise one `ConfigError` with all problems, in the order of the file, if there are any."""
        if self._found:
            raise ConfigError([problem for _, problem in sorted(self._found, key=lambda item: item[0])])


def open_source(source: str | Path | TomlTable) -> Source:
    """Read a benchmark description: a file, the name of a shipped benchmark, or a mapping from Python.

    Raises:
        ConfigError: there is no such file or benchmark, it cannot be read, or it is not TOML.
    """
    if isinstance(source, Mapping):
        return Source("", {key: _own_copy(each) for key, each in source.items()})
    path = find_benchmark(source)
    data, lines = parse(_read(path), str(path))
    return Source(str(path), data, lines)


def shipped_benchmarks() -> dict[str, Path]:
    """Return the files of the benchmarks shipped with gan-bench, by name."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "benchmarks"  # of a wheel; a source checkout has them beside the package
    folder = inside if inside.is_dir() else package.parent / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_benchmark(source: str | Path) -> Path:
    """Return the file of a benchmark, given its path or the bare name of a shipped benchmark.

    Raises:
        ConfigError: there is no such file or benchmark.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_benchmarks()
    if str(source) in shipped:
        return shipped[str(source)]
    what = "is a folder, not a benchmark file" if path.is_dir() else "does not exist"
    message = f"{what}. Give a TOML file or the name of a shipped benchmark. {allowed(path.stem, shipped, limit=50)}"
    raise ConfigError([Problem(str(source), message)])


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}.")]) from None
    try:
        return raw.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(f"{path}:{line}", "not UTF-8 text. Save the file as UTF-8.")]) from None


def _own_copy(value: TomlValue) -> TomlValue:
    """Copy mappings to dicts and sequences to lists, so that overrides do not modify the caller's values."""
    if isinstance(value, Mapping):
        return {key: _own_copy(each) for key, each in value.items()}
    return [_own_copy(each) for each in value] if isinstance(value, (list, tuple)) else value
