"""Output of plugins while they are loaded: on standard error, with the name of the plugin, and not endless."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MOST_LINES = 20
"""Lines that one plugin may print while it is loaded."""

MOST_CHARACTERS = 200
"""Characters of one line."""


class _Attributed(io.RawIOBase):
    """Stream of bytes whose lines are written to standard error after the name of a plugin."""

    def __init__(self, name: str) -> None:
        self._name, self._error = name, sys.stderr
        self._line, self._lines = b"", 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Write complete lines, and remember the rest."""
        added = bytes(data)  # type: ignore[call-overload]
        if self._lines <= MOST_LINES:
            *lines, self._line = (self._line + added).split(b"\n")
            for line in lines:
                self._print(line)
            self._line = self._line[:MOST_CHARACTERS]
        return len(added)

    def end(self) -> None:
        """Write a last line that was not completed."""
        if self._line:
            self._print(self._line)

    def _print(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > MOST_LINES:
            text = "… (further output is left out)" if self._lines == MOST_LINES + 1 else ""
        else:
            text = line.decode(errors="backslashreplace")[:MOST_CHARACTERS]
        if text and self._error is not None:
            print(f"{self._name}: {text}", file=self._error, flush=True)


@contextmanager
def attributed_output(name: str) -> Iterator[None]:
    """Write output of the code of a plugin to standard error, each line after the plugin's name; give it no input.

    Standard output belongs to the answer of a command. Output that bypasses Python's streams, such as that of a
    subprocess, goes to standard error without the name.
    """
    stream = _Attributed(name)
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]
    before = sys.stdin
    sys.stdin = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield
    finally:
        sys.stdin = before
        with contextlib.suppress(ValueError):  # the plugin has closed it
            text.flush()
        stream.end()


@contextmanager
def output_to_error() -> Iterator[None]:
    """Redirect standard output to standard error, that of subprocesses included."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, ValueError):  # one of them is closed
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
