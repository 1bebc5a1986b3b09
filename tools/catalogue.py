"""Generate the page of all systems: definition, source, cost, verdict, and results on the ring.

    python tools/catalogue.py docs                                  writes docs/models.md
    python tools/catalogue.py docs --thumbnails results/zoo-ring    and docs/models/*.png, from run folders

Models and their docstrings come from the registry, results from a published results folder, and costs from the output
of `tools/speed/cost.py`. Two files are written by hand: `tools/systems.csv` (kind, and the cost that the definition
requires) and `tools/verdicts.toml` (the claim of each paper, and whether it holds here). Missing values are marked.
"""

from __future__ import annotations

import csv
import inspect
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gan_bench import escape
from gan_bench.contracts.table import Column, Row
from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import UsageError
from gan_bench.files import write_atomically
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import UNIMPLEMENTED
from gan_bench.plugins.registry import Registry
from gan_bench.report.figures.figures import thumbnails
from gan_bench.report.tables.build import build
from gan_bench.report.tables.formats import ARROWS, number
from gan_bench.results.load import StoredResults, read_results
from gan_bench.results.metrics import known_metrics

OURS = "gan-bench"
"""Distribution whose systems are listed: gan-bench without other plugins."""

PAGE, IMAGES = "models.md", "models"
KINDS = ("one generator", "several discriminators", "several generators", "uses labels", "control")
METRICS = ("symmetric_kl", "modes", "high_quality")
MODES = ("compiled", "eager")  # of an iteration; the overview shows the first one that was measured
UNMEASURED = "not measured"
ANSWERS = ("yes", "no", "partly", "not tested here")  # allowed answers of a verdict

INTRODUCTION = """\
Every model that gan-bench implements, by its name in `gan-bench list models`: its definition, whether it does what its
paper says, its source, its cost, and its results on a ring of eight Gaussians. This page is generated:
`python tools/catalogue.py docs`.

- **Cost** is the processor time of an iteration as a multiple of GAN's, with as many generated samples, measured by
  [tools/speed/cost.py](../tools/speed/cost.py) with the plugin's default parameters. Rows with other settings of the
  same plugin repeat this figure; their own cost was not measured. The required cost of a definition is counted in
  passes of networks of equal size ([tools/systems.csv](../tools/systems.csv)). The mlp's discriminator is far smaller
  than its generator, so systems that repeat only the discriminator cost less.
- **Kind** is what the system has more than one of. Systems that use labels receive the mode of each real sample; the
  others do not. A control is not a published system; it serves as a comparison.
- **modes** counts a mode with a single sample near it, and uniform noise also reaches 8. Read it together with
  **high_quality**, the share of samples near a mode, and **symmetric_kl**, which compares the densities: uniform noise
  on [-3, 3]² has 0.12 and 4.9."""


@dataclass(frozen=True)
class Sources:
    """Inputs of the page besides the registry. A results or costs file that does not exist counts as not measured.

    Attributes:
        folder: folder of the page; links are relative to it.
        results: a results folder, or a results.csv, of the ring.
        costs: output of `tools/speed/cost.py`.
        systems: kinds and required costs, by model.
        verdicts: whether the claim of each model's paper holds.
        published: folder of published results, which verdicts refer to.
    """

    folder: Path
    results: Path
    costs: Path
    systems: Path
    verdicts: Path
    published: Path

    @classmethod
    def around(cls, folder: Path, results: Path | None = None, costs: Path | None = None) -> Sources:
        """Return the default paths in the checkout that contains the folder of the documentation."""
        root = folder.resolve().parent
        published = root / "results" / "published"
        return cls(
            folder,
            results or published / "zoo-ring-cpu",
            costs or published / "cost-cpu.csv",
            root / "tools" / "systems.csv",
            root / "tools" / "verdicts.toml",
            published,
        )


@dataclass(frozen=True)
class Verdict:
    """Verdict on the claim of a model's paper.

    Attributes:
        answer: one of `ANSWERS`.
        text: claim of the paper, and the figures of this project, in Markdown.
        sources: names of the folders of published results with these figures.
        more: further measurements without published data, each with its seeds, in Markdown.
    """

    answer: str
    text: str
    sources: Sequence[str] = ()
    more: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise ValueError(f"answer must be one of {', '.join(ANSWERS)}; found {self.answer!r}")


@dataclass(frozen=True)
class System:
    """Model with its kind, costs, results and verdict."""

    name: str
    cls: type[Any]
    kind: str
    stated: Mapping[str, str]  # row of systems.csv
    costs: Sequence[Mapping[str, str]]  # a row for each mode of an iteration
    rows: Sequence[Row]  # of the table of results, one for each label
    verdict: Verdict | None


def generate(sources: Sources, registry: Registry) -> str:
    """Return the page as Markdown."""
    results = read_results(sources.results) if sources.results.exists() else None
    columns, rows = _results(results)
    systems = sorted(_systems(sources, registry, rows), key=lambda each: (_order(each.kind), each.name))
    unimplemented = [
        each for name, each in registry.unimplemented().items() if registry.origin(UNIMPLEMENTED, name).name == OURS
    ]
    parts = ["# Systems", INTRODUCTION, _about(results, rows), _overview(sources, systems, columns)]
    for system in systems:
        parts += _section(sources, system, columns)
    if unimplemented:
        parts += [
            "# Named, not implemented",
            "Models that the papers name, and the reason why each is not implemented.",
        ]
        parts += [part for each in unimplemented for part in _unimplemented(each)]
    return "\n\n".join(parts) + "\n"


def draw(results: StoredResults, folder: Path) -> dict[Path, bytes]:
    """Draw a thumbnail for each label of the first dataset with samples, by path. Raises UsageError."""
    made: dict[Path, bytes] = {}
    for label, image in thumbnails(results, _first_dataset(results)).items():
        path = _image(folder, label)
        if path in made:
            raise UsageError(f"{results.source}: label {label!r} and another label have the same picture, {path.name}.")
        made[path] = image
    return made


def _first_dataset(results: StoredResults) -> str:
    return next(iter(results.frame["dataset"]), "")


def _image(folder: Path, label: str) -> Path:
    return folder / IMAGES / f"{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-') or 'model'}.png"


# --- what is known ----------------------------------------------------------------------------------------------


def _systems(sources: Sources, registry: Registry, rows: Sequence[Row]) -> Iterator[System]:
    """Yield every model that trains and belongs to gan-bench."""
    stated = {row["model"]: row for row in _csv(sources.systems)}
    costs = _csv(sources.costs)
    verdicts = _verdicts(sources.verdicts)
    for name, cls in registry.all("models").items():
        if cls.anchor or registry.origin("models", name).name != OURS:
            continue
        said = stated.get(name, {})
        own = [row for mode in MODES for row in costs if (row["model"], row["mode"]) == (name, mode)]
        kind = said.get("kind") or _likely_kind(cls)
        yield System(name, cls, kind, said, own, [row for row in rows if row.model == name], verdicts.get(name))


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _verdicts(path: Path) -> dict[str, Verdict]:
    """Read verdicts by model. Raises UsageError."""
    if not path.is_file():
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Verdict(**entry) for name, entry in entries.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _likely_kind(cls: type[Any]) -> str:
    return KINDS[2] if cls(cls.Params()).generators > 1 else KINDS[0]


def _order(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _results(results: StoredResults | None) -> tuple[Sequence[Column], Sequence[Row]]:
    """Return the columns to show, and the rows of the first dataset, anchors included."""
    if results is None:
        return (), ()
    table = build(results, [name for name in METRICS if name in known_metrics(results)])
    return table.columns, [row for row in table.rows if row.dataset == _first_dataset(results)]


def _about(results: StoredResults | None, rows: Sequence[Row]) -> str:
    """Return a paragraph on the benchmark of the results, with the values of real data."""
    if results is None:
        return "There are no results on the ring yet."
    name = results.benchmark.name if results.benchmark else str(results.frame["benchmark"].iloc[0])
    iterations = int(results.frame["iteration"].max())
    text = (
        f"Results are those of `{escape.markdown(name)}` on {escape.markdown(_first_dataset(results))} after "
        f"{iterations:,} iterations: the mean over finished seeds with its 95 % interval (for modes the range and the "
        "seeds with all modes), and n, their number. "
        "Pictures show the final samples of the lowest seed, coloured by generator, over real data in grey."
    )
    real = next((row for row in rows if row.anchor and row.model == "real-data"), None)
    if real is not None:
        reference = ", ".join(f"{metric} {_value(real, metric)}" for metric in real.cells)
        text += f" Held-out real data have {reference}."
    return text


def _value(row: Row, metric: str) -> str:
    return escape.markdown(number(row.cells[metric], row.finished))


# --- the page ---------------------------------------------------------------------------------------------------


def _overview(sources: Sources, systems: Sequence[System], columns: Sequence[Column]) -> str:
    """Return a table with a row for each label of each system."""
    names = [column.name for column in columns] or list(METRICS)
    arrows = {column.name: ARROWS[column.info.direction] for column in columns}
    heads = ["system", "kind", "cost", *(f"{name} {arrows.get(name, '')}".strip() for name in names), "n", "samples"]
    lines = [heads, [":--", ":--", "--:", *["--:"] * (len(names) + 1), ":-:"]]
    for system in systems:
        link = f"[{system.name}](#{system.name})"
        cost = system.costs[0]["ratio"] if system.costs else UNMEASURED
        shown: Sequence[Row | None] = system.rows or [None]
        for row in shown:
            label = f"<br>{escape.markdown(row.label)}" if row else ""
            values = [_value(row, name) for name in names] if row else [UNMEASURED] * len(names)
            lines.append([link + label, system.kind, cost, *values, _count(row), _picture(sources, row, 90)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _count(row: Row | None) -> str:
    if row is None:
        return ""
    return str(row.finished) if row.complete else f"{row.finished}/{row.planned}"


def _picture(sources: Sources, row: Row | None, width: int) -> str:
    """Return the thumbnail of a label, or an empty string."""
    if row is None or not _image(sources.folder, row.label).is_file():
        return ""
    text = re.sub(r'[<>"&|\\`]', " ", row.label)
    return f'<img src="{IMAGES}/{_image(sources.folder, row.label).name}" width="{width}" alt="samples of {text}">'


def _section(sources: Sources, system: System, columns: Sequence[Column]) -> Iterator[str]:
    """Yield heading, summary, objective, choices, verdict, source, cost and results, a block each."""
    summary, *rest = _paragraphs(system.cls.__doc__)
    yield f"## {system.name}"
    yield summary
    if rest:
        yield f"**Objective.** {rest[0]}"
    if rest[1:]:
        yield "**Choices.** " + "\n\n".join(rest[1:])
    yield from _judged(sources, system.verdict)
    yield f"**Source.** {_source(sources, system)}"
    yield f"**Cost.** {_cost(system)}"
    yield f"**On the ring.** {_values_of(system, columns)}"
    pictures = [text for row in system.rows if (text := _picture(sources, row, 160))]
    if pictures:
        yield " ".join(pictures)


def _judged(sources: Sources, verdict: Verdict | None) -> Iterator[str]:
    """Yield the verdict in one line, with links to its data, then further measurements."""
    if verdict is None:
        yield "**Does it do what its paper says?** Not tested here."
        return
    folder = os.path.relpath(sources.published.resolve(), sources.folder.resolve()).replace(os.sep, "/")
    links = ", ".join(f"[{name}]({folder}/{name}/README.md)" for name in verdict.sources)
    answer = f"{verdict.answer[:1].upper()}{verdict.answer[1:]}. {_one_line(verdict.text)}"
    yield f"**Does it do what its paper says?** {answer}{f' Data: {links}.' if links else ''}"
    if verdict.more:
        yield f"**Also measured.** {' '.join(_one_line(each) for each in verdict.more)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _paragraphs(doc: str | None) -> list[str]:
    """Return a docstring's paragraphs as Markdown; indented lines and list items stay separate lines."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(doc or "It has no docstring."))
    return [_paragraph(block) for block in blocks]


def _paragraph(block: str) -> str:
    lines = block.splitlines()
    apart = any(line.startswith((" ", "- ", "* ")) for line in lines)
    texts = [escape.markdown(line) for line in (lines if apart else [block])]
    # escape what would be a heading, a list or a quotation at the start of a line
    return re.sub(r"^(\d+(?=[.)]\s)|(?=[#>+-]))(.)", r"\1\\\2", "<br>".join(texts))


def _source(sources: Sources, system: System) -> str:
    """Return the first paragraph of the module's docstring, and a link to the file."""
    module = sys.modules.get(system.cls.__module__)
    cited = _paragraphs(module.__doc__)[0] if module is not None and module.__doc__ else ""
    file = inspect.getsourcefile(system.cls)
    if file is None:
        return cited
    link = os.path.relpath(file, sources.folder.resolve()).replace(os.sep, "/")
    return f"{cited} [{escape.markdown(Path(file).name)}]({link})".strip()


def _cost(system: System) -> str:
    parts = [
        f"{row['ratio']} times GAN's iteration {row['mode']} (quartiles {row['low']} to {row['high']})"
        for row in system.costs
    ]
    text = f"{'; '.join(parts) or UNMEASURED.capitalize()}."
    if system.stated.get("required"):
        text += f" Required: {system.stated['required']}, {escape.markdown(system.stated['because'])}."
    if system.stated.get("reason"):
        text += f" Why more: {escape.markdown(system.stated['reason'])}."
    return text


def _values_of(system: System, columns: Sequence[Column]) -> str:
    """Return the results of each label as text."""
    parts = []
    for row in system.rows:
        values = ", ".join(f"{column.name} {_value(row, column.name)}" for column in columns)
        seeds = f"{_count(row)} {'seed' if row.planned == 1 else 'seeds'}"
        parts.append(f"{escape.markdown(row.label)}: {values} ({seeds})")
    return f"{'; '.join(parts) or UNMEASURED.capitalize()}."


def _unimplemented(system: Unimplemented) -> Iterator[str]:
    """Yield heading, definition, reason, requirements and source of a system that is not implemented, a block each."""
    yield f"## {system.name}"
    yield f"{escape.markdown(system.title)}: {escape.markdown(system.what)}"
    yield f"**Why not.** {escape.markdown(system.why)}"
    yield f"**Needed.** {escape.markdown(system.needs[:1].upper() + system.needs[1:])}"
    yield f"**Source.** {escape.markdown(system.source)}"


PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=PATH)
@click.option("--results", type=PATH, help="Results of the ring.  [default: results/published/zoo-ring-cpu]")
@click.option("--costs", type=PATH, help="Output of tools/speed/cost.py.  [default: results/published/cost-cpu.csv]")
@click.option("--thumbnails", "runs", type=PATH, help="A results folder with its runs, whose samples are drawn.")
def command(folder: Path, results: Path | None, costs: Path | None, runs: Path | None) -> None:
    """Write models.md, the page of all systems, into FOLDER."""
    registry = load_plugins()
    for broken in registry.broken:
        raise UsageError(f"{broken.name}: the plugin is broken and would be missing from the page: {broken.error}")
    if runs is not None:
        for path, image in draw(read_results(runs), folder).items():
            write_atomically(path, image)
    write_atomically(folder / PAGE, generate(Sources.around(folder, results, costs), registry))


if __name__ == "__main__":
    command()
