"""The tables of docs/speed.md, made from what `speed.py` published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from _workloads import COUNTED, EAGER, FLOOR, PLAIN, PORT, ROOT, Timed, ours
from tabulate import tabulate

from gan_bench.files import write_atomically

PAGE = ROOT / "docs" / "speed.md"
START, END = "<!-- figures: {device} -->\n", "<!-- end of figures -->"
RATIOS = (PORT, PLAIN, FLOOR)

Row = Mapping[str, str]


def fill(page: Path, device: str, published: Path) -> None:
    """Put the tables of a device's figures between its marks on the page."""
    text = page.read_text(encoding="utf-8")
    before, mark, after = text.partition(START.format(device=device))
    if not mark:
        raise SystemExit(f"{page}: has no line {START.format(device=device).strip()}")
    kept = after[after.index(END) :]
    write_atomically(page, f"{before}{mark}\n{tables(published)}\n\n{kept}")


def tables(published: Path) -> str:
    """Of every machine a caption, its workloads, and what more generators cost."""
    with published.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    machines = [[row for row in rows if row["device"] == name] for name in dict.fromkeys(row["device"] for row in rows)]
    return "\n\n".join(part for own in machines for part in (caption(own), *of_workloads(own), *of_generators(own)))


def caption(rows: Sequence[Row]) -> str:
    """Where, with what and when it was measured."""
    found = dict.fromkeys(f"torch {row['torch']}, Python {row['python']}, {row['date']}" for row in rows)
    return f"Milliseconds of one iteration of one seed, medians, on {rows[0]['device']} ({'; '.join(found)})."


def of_workloads(rows: Sequence[Row]) -> Iterator[str]:
    """One row a workload, where any was measured: the loops, and ours as multiples of three of them."""
    found = {(row["workload"], Timed(row["loop"], int(row["seeds"]))): row for row in rows}
    names = dict.fromkeys(row["workload"] for row in rows if not row["loop"].startswith(COUNTED))
    stacks = sorted({key.seeds for _, key in found if key.seeds > 1})
    loops = [PORT, PLAIN, EAGER, ours(1), *map(ours, stacks), FLOOR]
    told = [loop.loop if loop.seeds == 1 else f"{loop.seeds} seeds, each" for loop in loops]
    headings = ["workload", *told, *(f"{base.loop} / ours" for base in RATIOS)]
    lines = []
    for name in names:
        times = [each_seed(found.get((name, loop))) for loop in loops]
        own = found.get((name, ours(1)), {})
        lines.append([name, *times, *(own.get(f"ratio_to_{base.loop}", "") for base in RATIOS)])
    if lines:
        yield pipes(lines, headings)


def each_seed(row: Row | None) -> str:
    """Milliseconds an iteration of one of the seeds, to three digits."""
    return "" if row is None else f"{float(row['ms']) / int(row['seeds']):.3g}"


def of_generators(rows: Sequence[Row]) -> Iterator[str]:
    """Iterations of K generators, and as multiples of the fewest's in the same round, where they were measured."""
    counted = {int(row["loop"].removeprefix(COUNTED)): row for row in rows if row["loop"].startswith(COUNTED)}
    if counted:
        lines = [[k, each_seed(row), f"{1 / float(row['ratio_to_fewest']):.2f}"] for k, row in counted.items()]
        yield pipes(lines, ["K", "ours", f"times K = {min(counted)}"])


def pipes(lines: Sequence[Sequence[object]], headings: Sequence[str]) -> str:
    """A table whose numbers stay as they are."""
    align = ["left", *["right"] * (len(headings) - 1)]
    return str(tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align))
