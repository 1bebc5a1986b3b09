"""Capture of standard output, that of subprocesses included."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator

MOST = 1000
"""Bytes that are read of the output."""


@contextlib.contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """Replace standard output; yields a function that returns the begin of what was printed."""
    stream = io.StringIO()
    with tempfile.TemporaryFile() as file, contextlib.redirect_stdout(stream):
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)

        def printed() -> str:
            return stream.getvalue() or os.pread(file.fileno(), MOST, 0).decode(errors="backslashreplace")

        try:
            yield printed
        finally:
            os.dup2(kept, 1)
            os.close(kept)
