"""Tables of docs/speed.md, from the figures that `speed.py` published."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from _workloads import CIFAR10_FLOP, CIFAR10_ITERATIONS, COUNTED, EAGER, FLOOR, PLAIN, PORT, ROOT, Timed, ours
from tabulate import tabulate

from gan_bench.files import write_atomically

PAGE = ROOT / "docs" / "speed.md"
START, END = "<!-- figures: {device} -->\n", "<!-- end of figures -->"
BOUND, FEATURES = "bound", "features"  # loops of the GPU proof
RATIOS = (PORT, PLAIN, FLOOR)

Row = Mapping[str, str]


def fill(page: Path, device: str, published: Path) -> None:
    """Write the tables of a device's figures between its marks on the page."""
    text = page.read_text(encoding="utf-8")
    before, mark, after = text.partition(START.format(device=device))
    if not mark:
        raise SystemExit(f"{page}: has no line {START.format(device=device).strip()}")
    kept = after[after.index(END) :]
    write_atomically(page, f"{before}{mark}\n{tables(published)}\n\n{kept}")


def tables(published: Path) -> str:
    """Return for each machine a caption, its workloads, bounds of images, generator counts, and features."""
    with published.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    machines = [[row for row in rows if row["device"] == name] for name in dict.fromkeys(row["device"] for row in rows)]
    parts = (of_workloads, of_bounds, of_generators, of_features)
    return "\n\n".join(text for own in machines for text in (caption(own), *(t for part in parts for t in part(own))))


def caption(rows: Sequence[Row]) -> str:
    """Return the caption of a machine: device, versions and dates."""
    found = dict.fromkeys(f"torch {row['torch']}, Python {row['python']}, {row['date']}" for row in rows)
    return f"Milliseconds of one iteration of one seed, medians, on {rows[0]['device']} ({'; '.join(found)})."


def of_workloads(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table with a row a workload: the loops, and ours as multiples of three of them."""
    found = {(row["workload"], Timed(row["loop"], int(row["seeds"]))): row for row in rows}
    names = dict.fromkeys(row["workload"] for row in rows if not row["loop"].startswith((COUNTED, FEATURES)))
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
    """Return milliseconds an iteration of one of the seeds, to three digits."""
    return "" if row is None else f"{float(row['ms']) / int(row['seeds']):.3g}"


def of_bounds(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of image iterations against the time of their arithmetic, if both were measured."""
    bounds = {row["workload"]: float(row["ms"]) for row in rows if row["loop"] == BOUND}
    times = {row["workload"]: float(row["ms"]) for row in rows if (row["loop"], row["seeds"]) == ("ours", "1")}
    names = [name for name in bounds if name in times]
    if names:
        headings = ["workload", "ours", f"{CIFAR10_FLOP / 1e9:.0f} GFLOP at the matrix rate", "ours / that"]
        lines = []
        for name in names:
            ours, bound = times[name], bounds[name]
            minutes = ours * CIFAR10_ITERATIONS / 60e3
            lines.append([name, f"{ours:.3g}", f"{bound:.3g}", f"{ours / bound:.2f}", f"{minutes:.0f}"])
        yield pipes(lines, [*headings, "minutes for 250 epochs"])


def of_features(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the rate of Inception features, if it was measured."""
    for row in rows:
        if row["loop"] == FEATURES:
            yield f"Inception features, in float32: {1e3 / float(row['ms']):,.0f} images a second."


def of_generators(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of iterations of K generators, also as multiples of the fewest generators', if measured."""
    counted = {int(row["loop"].removeprefix(COUNTED)): row for row in rows if row["loop"].startswith(COUNTED)}
    if counted:
        lines = [[k, each_seed(row), f"{1 / float(row['ratio_to_fewest']):.2f}"] for k, row in counted.items()]
        yield pipes(lines, ["K", "ours", f"times K = {min(counted)}"])


def pipes(lines: Sequence[Sequence[object]], headings: Sequence[str]) -> str:
    """Format a table without changing its numbers."""
    align = ["left", *["right"] * (len(headings) - 1)]
    return str(tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align))
