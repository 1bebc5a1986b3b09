"""TOML with line numbers: the standard library's parser, and a scanner for the line of each key.

`tomllib` returns values without positions. The scanner reads the same text after `tomllib` has accepted it, and maps
key paths to lines: ``("model", 2, "beta")`` → 31. It converts no values, which keeps it small.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

from gan_bench.contracts.parameters import KeyPath, TomlValue
from gan_bench.errors import ConfigError, Problem

Lines = dict[KeyPath, int]
"""Line (from 1) of every table, key and array element."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SPACES = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'  # up to two quotes may directly precede the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_ATOM = re.compile(r"[^,\]}#\n]+")  # numbers, booleans, dates
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(text: str, name: str) -> tuple[dict[str, TomlValue], Lines]:
    """Parse TOML; return its data and the line of every key.

    Raises:
        ConfigError: the text is not TOML; its one problem names the file `name` and the line.
    """
    text = text.replace("\r\n", "\n")
    try:
        return tomllib.loads(text), key_lines(text)
    except RecursionError:
        raise ConfigError([Problem(name, "arrays or tables are nested too deeply.")]) from None
    except ValueError as error:  # TOMLDecodeError, or the error of int() for thousands of digits
        raise ConfigError([_syntax_problem(text, name, str(error))]) from None


def _syntax_problem(text: str, name: str, message: str) -> Problem:
    place = _PLACE.search(message)
    if place is None:
        return Problem(name, f"not valid TOML: {message}.")
    line = int(place[1]) if place[1] else text.rstrip("\n").count("\n") + 1
    column = f" (column {place[2]})" if place[2] else " (end of file)"
    return Problem(f"{name}:{line}", f"not valid TOML: {message[: place.start()]}{column}.")


def key_lines(text: str) -> Lines:
    """Return the line of every table, key and array element of valid TOML with ``\\n`` line ends."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Recursive-descent scanner of valid TOML that records only positions."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: Lines = {}
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._last: dict[KeyPath, int] = {}  # position of the newest element of each array of tables

    def document(self) -> None:
        """Scan all headers, and the pairs beneath each."""
        table: KeyPath = ()
        self._take(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._take(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        *parents, name = self._key()
        self.at += brackets
        path = (*self._current(parents), name)
        self.lines.setdefault(path, line)
        if brackets == 2:
            self._last[path] = self._last.get(path, -1) + 1
            path = (*path, self._last[path])
            self.lines[path] = line
        return path

    def _current(self, parents: list[str]) -> KeyPath:
        """Return the path of parent tables, in which an array of tables means its newest element."""
        path: KeyPath = ()
        for name in parents:
            path = (*path, name)
            if path in self._last:
                path = (*path, self._last[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self.at += 1  # the equals sign
        self._take(_SPACES)
        self._value(path)

    def _key(self) -> list[str]:
        """Scan a dotted key and the spaces around it, and return its parts."""
        names = []
        while True:
            self._take(_SPACES)
            names.append(self._key_part())
            self._take(_SPACES)
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _key_part(self) -> str:
        if self.text[self.at] not in "\"'":
            return self._take(_BARE_KEY)
        quoted = self._take(_STRING)
        return next(iter(tomllib.loads(f"{quoted} = 0")))  # resolves its escapes

    def _value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if opening in "\"'" else _ATOM)

    def _array(self, path: KeyPath) -> None:
        position = 0
        while self._another("]"):
            self.lines[(*path, position)] = self._line()
            self._value((*path, position))
            position += 1

    def _inline_table(self, path: KeyPath) -> None:
        while self._another("}"):
            self._pair(path)

    def _another(self, closing: str) -> bool:
        """Step over the opening bracket or a comma. If no element follows, step over `closing` and return False."""
        self._take(_BLANK)
        if self.text[self.at] != closing:
            self.at += 1
            self._take(_BLANK)
        if self.text[self.at] != closing:
            return True
        self.at += 1
        return False

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, f"the scanner found invalid TOML at line {self._line()}"
        self.at = match.end()
        return match[0]

    def _line(self) -> int:
        return bisect_right(self._ends, self.at - 1) + 1
