"""Damage results folders at random, and read each: nothing crashes, nothing hangs, no other run's row changes.

    python tools/campaigns/records.py                     1,000 mutated JSON records, 500 damaged run folders
    python tools/campaigns/records.py --quick             60 and 40, in seconds
    python tools/campaigns/records.py --only 17 --seed 3  one case again, with its traceback

A tiny benchmark is trained once. Each case changes one file of a copy, and then loads the results, builds the table,
and renders it in every format. Four kinds of faults are counted: an exception that is no `GanBenchError`; a case that
takes longer than 20 seconds; a row of an untouched run that differs; a value of the damaged run that differs from the
original while the table does not mention the run. The exit code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gan_bench
from gan_bench.contracts.table import Row, Table
from gan_bench.errors import GanBenchError
from gan_bench.report.tables.build import build, render_table
from gan_bench.report.tables.formats import to_frame, to_text
from gan_bench.results.class_shares import load_classes
from gan_bench.results.load import load_results, read_results
from gan_bench.results.stored_run import Unreadable, read_classes, read_snapshots

SECONDS = 20
"""Longest time of a case; a healthy one takes less than half a second."""

BENCHMARK = {
    "name": "tiny",
    "seeds": 2,
    "dataset": [{"plugin": "ring8"}],
    "protocol": {
        "iterations": 20,
        "batch": 16,
        "fakes": 16,
        "latent_size": 4,
        "network": {"plugin": "mlp", "hidden": 4},
    },
    "evaluation": {"every": 10, "samples": 100, "metrics": ["symmetric_kl", "modes", "purity"], "points": 2},
    "model": [{"plugin": "gan", "label": "GAN"}, {"plugin": "mgan", "label": "MGAN", "generators": 2}],
}

Change = Callable[[Path, random.Random], str]
"""Damages a file or folder and returns a description."""


@dataclass(frozen=True)
class Fault:
    """One case that went wrong."""

    number: int
    case: str
    kind: str
    detail: str


# --- JSON -----------------------------------------------------------------------------------------------------------


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


VALUES: Sequence[Any] = (
    None, True, False, 0, -1, 1.5, 10**400, -(2**63) - 1, float("nan"), float("inf"), "", "x", "a\nb", "\ud800",
    "\x1b[31m", "‮", "=1+1", "../..", "x" * 100_000, [], {}, [None], {"": None}, [[]], {"a": {"b": []}}, "nan",
)  # fmt: skip
"""Values put in place of another one."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from _places(each, (*path, key))


def mutate_json(file: Path, rng: random.Random) -> str:
    """Replace, remove, rename or add one value of a JSON file, or damage its bytes."""
    text = file.read_text(encoding="utf-8")
    if rng.random() < 0.15:
        return damage_bytes(file, rng)
    data = json.loads(text)
    path = rng.choice(list(_places(data)))
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    kind = rng.choice(("replace", "replace", "replace", "remove", "rename", "add", "nest"))
    value = rng.choice(VALUES)
    if kind == "remove":
        del holder[path[-1]]
    elif kind == "rename" and isinstance(holder, dict):
        holder[f"{path[-1]}_"] = holder.pop(path[-1])
    elif kind == "add" and isinstance(holder, dict):
        holder[rng.choice(("more", "format", "seed", ""))] = value
    elif kind == "nest":
        holder[path[-1]] = _deep(rng.choice((2, 50)))
    else:
        holder[path[-1]] = value
    file.write_bytes(json.dumps(data).encode("utf-8", "surrogatepass"))
    return f"{kind} {'.'.join(map(str, path))} {value!r:.40}"


# --- bytes and files ------------------------------------------------------------------------------------------------


def damage_bytes(file: Path, rng: random.Random) -> str:
    """Cut, flip, extend or replace the bytes of a file."""
    data = bytearray(file.read_bytes())
    kind = rng.choice(("cut", "flip", "empty", "zeros", "repeat", "bom", "latin", "nest", "line"))
    if kind == "cut":
        del data[rng.randrange(len(data)) :]
    elif kind == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "line":
        lines = bytes(data).splitlines(keepends=True)
        del lines[rng.randrange(len(lines))]
        data = bytearray(b"".join(lines))
    else:
        made = {
            "empty": b"",
            "zeros": bytes(len(data)),
            "repeat": bytes(data) * 2,
            "bom": b"\xef\xbb\xbf" + bytes(data),
            "latin": b"caf\xe9" + bytes(data),
            "nest": b"[" * 100_000,
        }
        data = bytearray(made[kind])
    file.write_bytes(bytes(data))
    return f"{kind} bytes of {file.name}"


def damage_folder(folder: Path, rng: random.Random) -> str:
    """Damage one file of a run folder, or the folder as a whole."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    file = rng.choice(files)
    kind = rng.choice(("bytes", "bytes", "bytes", "remove", "folder", "link", "loop", "pipe", "device", "huge",
                       "swap", "copy", "rename", "gone", "more", "nested"))  # fmt: skip
    if kind == "bytes":
        return damage_bytes(file, rng)
    if kind == "copy":
        shutil.copytree(folder, folder.with_name(f"{folder.name}-copy"))
        return "copy of the folder"
    if kind == "rename":
        folder.rename(folder.with_name("renamed"))
        return "folder renamed"
    if kind == "gone":
        shutil.rmtree(folder)
        return "folder removed"
    if kind == "more":
        (folder / "…\n=1").mkdir()
        (folder.parent / "stranger").mkdir()
        (folder.parent / "file").write_text("x")
        return "foreign files and folders"
    if kind == "swap":
        other = rng.choice([path for path in folder.parent.iterdir() if path != folder])
        shutil.copy(other / "curve.csv", folder / "curve.csv")
        return f"curve.csv of {other.name}"
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "nested":
        file.mkdir()
        (file / file.name).write_text("x")
    elif kind == "link":
        file.symlink_to("/etc/passwd")
    elif kind == "loop":
        file.symlink_to(file.name)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "huge":
        with file.open("wb") as sparse:
            sparse.truncate(1 << 41)
    return f"{kind} in place of {file.name}"


# --- reading --------------------------------------------------------------------------------------------------------


def read_all(results: Path) -> Table:
    """Read a results folder in every way that a command does."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_results(results)
        load_classes(results)
    stored = read_results(results)
    for placed in stored.runs:
        for read in (read_snapshots, read_classes):
            with suppress(Unreadable):
                read(placed.run)
    built = build(stored)
    for form in ("markdown", "csv", "latex"):
        render_table(built, form).encode("utf-8")  # type: ignore[arg-type]
    to_text(built, 80).encode("utf-8")
    to_frame(built)
    return built


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the body after some seconds."""

    def interrupt(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _rows(table: Table) -> dict[str, Row]:
    """Rows by label, without marks, which depend on the other rows."""
    return {row.label: replace(row, marked=frozenset()) for row in table.rows}


def examine(number: int, case: str, results: Path, touched: str | None, original: Table) -> Iterator[Fault]:
    """Read a damaged folder and yield what went wrong.

    Args:
        touched: label of the row whose run was damaged; None if the benchmark's record was.
    """
    try:
        with limited(SECONDS):
            found = read_all(results)
    except GanBenchError:
        if touched is not None:
            yield Fault(number, case, "stopped", "one damaged run stops the table")
        return
    except TimeoutError:
        yield Fault(number, case, "hang", "")
        return
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        yield Fault(number, case, "traceback", f"{type(error).__name__}: {error} ({trace.filename}:{trace.lineno})")
        return
    if touched is None:
        return
    before, after = _rows(original), _rows(found)
    for label, row in before.items():
        same = repr(after.get(label)) == repr(row)
        if label != touched and not same:
            yield Fault(number, case, "harmed", f"the row of {label} differs")
        unmarked = label == touched and not same and after[label].finished == row.finished
        if unmarked and not found.warnings:
            yield Fault(number, case, "unmarked", f"the row of {label} differs and nothing mentions it")


def cases(count_json: int, count_folders: int) -> Iterator[tuple[str, Change]]:
    """Names and changes of all cases."""
    for number in range(count_json):
        yield ("benchmark.json" if number % 4 == 0 else "run.json"), mutate_json
    for _ in range(count_folders):
        yield "folder", damage_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; return 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 mutated records and 40 damaged folders")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damages (default: 0)")
    parser.add_argument("--only", type=int, help="number of the only case to try")
    options = parser.parse_args(arguments)
    faults: list[Fault] = []
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        gan_bench.run(BENCHMARK, results=str(base), workers=1, compile="never", progress=False)
        base = base / "tiny"
        original = read_all(base)
        labels = {each.run.folder.name: each.entry.label for each in read_results(base).runs}
        for number, (target, change) in enumerate(cases(*((60, 40) if options.quick else (1000, 500)))):
            if options.only not in (None, number):
                continue
            rng = random.Random(f"{options.seed}/{number}")
            copy = Path(name) / "copy"
            shutil.copytree(base, copy)
            run = rng.choice(sorted((copy / "runs").iterdir()))
            path = {"benchmark.json": copy / "benchmark.json", "run.json": run / "run.json", "folder": run}[target]
            case = f"{target}: {change(path, rng)}"
            touched = None if target == "benchmark.json" else labels[run.name]
            faults += examine(number, case, copy, touched, original)
            done[target] += 1
            shutil.rmtree(copy)
    for fault in faults:
        print(f"case {fault.number}: {fault.case}\n    {fault.kind}: {fault.detail}")
    counts = Counter(fault.kind for fault in faults)
    print(", ".join(f"{count} x {target}" for target, count in done.items()), "damaged;", dict(counts) or "no fault")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
