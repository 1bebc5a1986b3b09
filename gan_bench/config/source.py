"""A benchmark description before validation: its values, the place of each, and the plugins that it names."""

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

    A command loads plugins from `plugin_places`, then `gan_bench.config.load.load_benchmark` validates the whole.

    Attributes:
        name: the file, as messages call it; empty for a mapping from Python.
        data: the description; overrides are written into it.
        lines: where each key stands, for a file.
        flags: what stands there because a flag said so: path → ``--set protocol.batch``.
    """

    name: str
    data: dict[str, TomlValue]
    lines: Lines = field(default_factory=dict)
    flags: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """The place of a value, or of the nearest table around it: flag, file and line, or path."""
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
        """A number that sorts problems as the file is read; what came from flags or Python is last."""
        if _nearest(self.flags, path) is not None:
            return math.inf
        return _nearest(self.lines, path) or (0 if self.name else math.inf)

    def copy(self) -> Source:
        """A copy that overrides can be written into."""
        return replace(self, data={key: _own_copy(each) for key, each in self.data.items()}, flags=dict(self.flags))

    def named_plugins(self) -> list[Path]:
        """The paths in `plugins`, from the folder of the file (or the working folder); none if it is not a list."""
        names = self.data.get("plugins", [])
        found = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return [Path(self.name).parent / name for name in found] if found == names else []

    def plugin_places(self) -> list[Path]:
        """Folders and files to load the benchmark's plugins from; wrong names are reported by the validation."""
        return [*plugin_folders(self.name or None), *plugin_files(self.named_plugins(), lambda number, message: None)]


def _nearest(places: Mapping[KeyPath, T], path: KeyPath) -> T | None:
    """What is known of the longest prefix of `path`, or None."""
    return next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)


class Problems:
    """Everything found wrong with a `Source`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[tuple[float, Problem]] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Report a value of the description."""
        self._found.append((self._source.order(path), Problem(self._source.where(path), message)))

    def add_flag(self, flag: str, message: str) -> None:
        """Report a flag that never came into the description."""
        self._found.append((math.inf, Problem(flag, message)))

    def under(self, *prefix: str | int) -> Callable[[KeyPath, str], None]:
        """A function that reports values beneath `prefix`."""
        return lambda path, message: self.add((*prefix, *path), message)

    def raise_if_any(self) -> None:
        """Raise one `ConfigError` with all problems, in the order of the file."""
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
    """The benchmarks that come with gan-bench, by name."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "benchmarks"  # of a wheel; a source checkout has them beside the package
    folder = inside if inside.is_dir() else package.parent / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_benchmark(source: str | Path) -> Path:
    """The file that `source` means: a path, or the bare name of a shipped benchmark.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_benchmarks()
    if str(source) in shipped:
        return shipped[str(source)]
    what = "is a folder, not a benchmark file" if path.is_dir() else "no such file"
    message = f"{what}. Give a TOML file or the name of a shipped benchmark; {allowed(path.stem, shipped, limit=50)}"
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
        raise ConfigError([Problem(f"{path}:{line}", "not UTF-8 text; save the file as UTF-8.")]) from None


def _own_copy(value: TomlValue) -> TomlValue:
    """Mappings as dicts and sequences as lists, so that overrides change nothing of the caller's."""
    if isinstance(value, Mapping):
        return {key: _own_copy(each) for key, each in value.items()}
    return [_own_copy(each) for each in value] if isinstance(value, (list, tuple)) else value
