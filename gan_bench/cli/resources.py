"""Messages about resources of the machine that are missing: memory, open files, space for the output."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from gan_bench.errors import UsageError

LEAST_MEMORY = 256 * 2**20
EACH_CORE = 64 * 2**20
"""Address space in bytes that numpy needs when it is imported; without it, OpenBLAS ends the process."""

MEMORY = "Free memory, or raise the limit (ulimit -v); training needs about 10 GB of address space."
TEMPORARY = "Set the environment variable TMPDIR to a folder that can be written."
REMEDIES = {
    errno.EMFILE: "Raise the number of open files (ulimit -n).",
    errno.ENFILE: "Close other programs: the machine has too many open files.",
    errno.ENOSPC: "Make room on the disk, or choose another place.",
    errno.EAGAIN: "Raise the number of processes (ulimit -u), or close other programs.",
    errno.ENOMEM: MEMORY,
}


def require_process() -> None:
    """Raise UsageError if libraries would end the process while they are imported.

    MKL needs a working directory, and OpenBLAS some address space.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("The working directory does not exist. Change to another one.") from None
    _require_address_space()


def _require_address_space() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every platform
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        needed = LEAST_MEMORY + EACH_CORE * (os.cpu_count() or 1)
        if allowed != resource.RLIM_INFINITY and allowed < needed:
            found = f"{allowed / 2**20:,.0f} MiB"
            raise UsageError(
                f"The address space is limited to {found}, and {needed / 2**20:,.0f} MiB are needed. {MEMORY}"
            )


def require_temporary_folder() -> None:
    """Raise UsageError if there is no folder for temporary files, which torch needs when it is imported."""
    import tempfile

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise UsageError(f"There is no folder for temporary files. {TEMPORARY}") from None


def missing_resource(error: BaseException) -> str:
    """Return a message about the resource that an error is about, with the remedy; empty for any other error."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"There is not enough memory{f' ({text})' if text else ''}. {MEMORY}"
    if isinstance(error, ImportError) and ("map segment" in text or "allocate memory" in text):
        return f"There is not enough address space to load a library ({text}). {MEMORY}"
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return f"No thread can be started. {REMEDIES[errno.EAGAIN]}"
    if isinstance(error, OSError) and ("temporary directory" in text or "cache directory" in text):
        return f"There is no folder for temporary files ({text.rstrip('.')}). {TEMPORARY}"
    if isinstance(error, OSError):
        place = "Standard output" if error.filename is None and error.errno == errno.ENOSPC else error.filename
        where = f"{os.fsencode(place).decode(errors='backslashreplace')}: " if isinstance(place, (str, bytes)) else ""
        return f"{where}{error.strerror or text}. {REMEDIES.get(error.errno or 0, '')}".rstrip()
    return ""


def open_standard_streams() -> None:
    """Replace closed standard streams by the null device: files that are opened later must not get their numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def flush_output() -> None:
    """Write what is buffered for standard output, so that errors are raised here instead of at the exit."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def discard_output() -> None:
    """Let Python exit without another error of standard output and standard error, which cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
