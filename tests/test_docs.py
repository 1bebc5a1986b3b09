"""Tests of the documentation: they execute every block of code in docs/ and in the README.

A block of Python or TOML with a first line ``# some/file`` is saved as that file, in the folder in which the later
blocks of its page are executed. Shell blocks are executed with two iterations of training. After a comment
``<!-- wrong: CHECK -->``, that check of `gan-bench check` must fail on the next block, after ``<!-- right: CHECK -->``
it must pass.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gan_bench
import gan_bench.testing
from gan_bench import cli
from gan_bench.cli import scaffold
from gan_bench.config.load import TOP_LEVEL, load_benchmark
from gan_bench.config.model_entries import KEYS
from gan_bench.config.source import open_source
from gan_bench.contracts import hooks
from gan_bench.contracts.parameters import describe
from gan_bench.contracts.protocol import Evaluation, Protocol
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.kinds import KINDS, PUBLISHED, UNIMPLEMENTED
from gan_bench.plugins.registry import Registry
from gan_bench.results import class_shares
from gan_bench.results.load import COLUMNS
from gan_bench.running.engines import local
from gan_bench.store.records import STATUSES
from gan_bench.testing import checks, trainer
from tests.support import project
from tools import reference

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in (README, *sorted(DOCS.glob("*.md")))}

FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]+\n)+")
FILE = re.compile(r"# ([\w/-]+\.(?:py|toml))\n")

SMALL = (
    "--set", "protocol.iterations=2", "--set", "protocol.batch=32", "--set", "protocol.fakes=32",
    "--set", "evaluation.samples=100", "--set", "evaluation.every=2", "--set", "evaluation.points=1",
    "--seeds", "1", "--device", "cpu",
)  # fmt: skip
"""Options added to `gan-bench run` by the tests, so that it takes a second."""

ELSEWHERE = {"pip", "python3", ".venv/bin/pip", "pytest", ".venv/bin/pytest", "ray", "sbatch", "srun", "ssh", "export"}
"""Other programs, which the tests do not run."""


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        file: path to save it under; empty if it is not a file.
        note: text of the HTML comment before it.
    """

    page: str
    line: int
    language: str
    code: str
    file: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    """Blocks of a page, fenced or indented, in order."""
    text = PAGES[page]
    fenced = list(FENCE.finditer(text))
    for found in sorted([*fenced, *INDENTED.finditer(text)], key=lambda match: match.start()):
        line = text.count("\n", 0, found.start()) + 1
        if found.re is FENCE:
            code = found["code"]
            name = FILE.match(code)
            file = name[1] if name else _said_before(text[: found.start()])
            yield Block(page, line, found["language"], code, file, found["note"] or "")
        elif not any(other.start() < found.start() < other.end() for other in fenced):
            yield Block(page, line, "sh", textwrap.dedent(found[0]))


def _said_before(text: str) -> str:
    """Return FILE if the last paragraph of `text` contains "save this as `FILE`", else an empty string."""
    said = re.search(r"save\s+this\s+as\s+`([^`]+)`", text.rstrip().split("\n\n")[-1])
    return said[1] if said else ""


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PLUGINS = [block for block in BLOCKS if block.file.startswith("plugins/")]
SHELL = [block for block in BLOCKS if block.language == "sh"]
TOML = [block for block in BLOCKS if block.language == "toml"]
SCRIPTS = [block for block in BLOCKS if block.language == "python" and not block.file and not block.note]
PAIRS = [block for block in BLOCKS if block.note]
TESTS = [block for block in BLOCKS if block.file.startswith("tests/")]


def file(name: str, page: str = "tutorial.md") -> Block:
    """Return the block of a page that is the file `name`."""
    return next(block for block in BLOCKS if block.page == page and block.file == name)


def save(folder: Path, *blocks: Block) -> list[Path]:
    """Write the blocks that are files, and return their paths."""
    written = []
    for block in blocks:
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            written.append(path)
    return written


def before(block: Block) -> list[Block]:
    """Return the blocks of a page up to a given one, included."""
    return [each for each in BLOCKS if each.page == block.page and each.line <= block.line]


def plugins_in(folder: Path) -> Registry:
    """Return the installed plugins and those of a folder, none of which may be broken."""
    registry = load_plugins([folder / "plugins"])
    assert registry.broken == []
    return registry


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty working folder, with runs executed in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalEngine", project.InProcess)
    return tmp_path


class TestBlocks:
    def test_every_block_is_of_a_known_kind(self) -> None:
        """All blocks are in languages that these tests execute; the file for `ray up` is validated by its own test."""
        assert {block.language for block in BLOCKS if block.page != "cluster-ray.md"} <= {"python", "toml", "sh"}
        assert sum(block.language == "yaml" for block in BLOCKS) == 1
        assert all(re.fullmatch(r"(wrong|right): [\w-]+", block.note) for block in PAIRS)

    @pytest.mark.parametrize("block", PLUGINS, ids=str)
    def test_a_plugin_loads_and_what_it_brings_works(self, block: Block, tmp_path: Path) -> None:
        """A plugin of the documentation is found and is of its hook's kind, and its models train."""
        (path,) = save(tmp_path, block)
        registry = plugins_in(tmp_path)
        brought = [(kind, cls) for kind in KINDS for cls in registry.all(kind).values() if _is_from(path, cls)]
        assert brought or _names_systems(path, registry) or _brings_figures(path, registry)
        for kind, cls in brought:
            if kind == "models":
                game = trainer(cls())
                for _ in range(2):
                    game.iterate()

    @pytest.mark.slow
    @pytest.mark.parametrize("block", PLUGINS, ids=str)
    def test_a_plugin_passes_the_kit(self, block: Block, tmp_path: Path) -> None:
        """The plugins of the documentation pass all checks."""
        (path,) = save(tmp_path, block)
        registry = plugins_in(tmp_path)
        for kind in ("models", "networks", "datasets", "metrics"):
            for cls in registry.all(kind).values():
                if _is_from(path, cls):
                    for check in checks(cls, registry):
                        check()

    @pytest.mark.parametrize("block", SCRIPTS, ids=str)
    def test_a_script_runs(self, block: Block, here: Path, results: Path) -> None:
        """A block of Python without a file name runs in a folder with results."""
        prepare(here, results, block)
        exec(compile(block.code, str(block), "exec"), {"__name__": "__main__"})

    @pytest.mark.parametrize("block", TOML, ids=str)
    def test_a_benchmark_is_valid(self, block: Block, here: Path) -> None:
        """A block of TOML is a valid benchmark, a part of one, or the pyproject.toml of a package."""
        save(here, *before(block))
        content = tomllib.loads(block.code)
        if block.file.endswith("pyproject.toml"):
            assert content["project"]["entry-points"]["gan_bench"]
            return
        if not block.file:
            content = project.describe() | content
        if "observers" in content:
            save(here, file("plugins/diary.py", "contracts.md"))
        load_benchmark(open_source(content), plugins_in(here))

    @pytest.mark.slow
    @pytest.mark.parametrize("block", TESTS, ids=str)
    def test_a_test_file_passes(self, block: Block, tmp_path: Path) -> None:
        """A test file of a page passes with the plugins that precede it on the page."""
        save(tmp_path, *before(block))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", block.file]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def _names_systems(path: Path, registry: Registry) -> bool:
    return any(registry.origin(UNIMPLEMENTED, name).path == str(path) for name in registry.unimplemented())


def _brings_figures(path: Path, registry: Registry) -> list[str]:
    return [each.name for each, origin in registry.published if origin.path == str(path.resolve())]


def _is_from(path: Path, cls: type[Any]) -> bool:
    return Path(inspect.getfile(cls)).resolve() == path.resolve()


# --- pairs of wrong and right ---------------------------------------------------------------------------------

HEAD = """
import torch
from torch.func import grad
from gan_bench import Real
from gan_bench import Noise
"""

TAIL = '''

class Example(MixtureLSGAN):
    """A pair of the tutorial (2026)."""

    name = "example"

{methods}

@hookimpl
def gan_bench_models():
    return [Example]
'''


def example(folder: Path, block: Block) -> type[Any]:
    """Build a subclass of the tutorial's model with the methods of a block."""
    base = file("plugins/mixture_lsgan.py").code.split("\n\n@hookimpl")[0]
    (folder / "plugins").mkdir()
    text = HEAD + base + TAIL.format(methods=textwrap.indent(block.code, "    "))
    (folder / "plugins" / "example.py").write_text(text, encoding="utf-8")
    return plugins_in(folder).get("models", "example")


def found_by(cls: type[Any]) -> list[str]:
    """Return the names of the checks that a class fails."""
    return [check.name for check in checks(cls) if check.report().finding]


class TestWrongAndRight:
    def test_they_come_in_pairs(self) -> None:
        """A right block follows each wrong one."""
        notes = [block.note for block in PAIRS]
        assert notes
        assert [note.replace("wrong", "right") for note in notes[::2]] == notes[1::2]
        assert all(note.startswith("wrong") for note in notes[::2])

    @pytest.mark.parametrize("block", PAIRS, ids=lambda block: f"{block}-{block.note}")
    def test_the_kit_tells_wrong_from_right(self, block: Block, tmp_path: Path) -> None:
        """The check named by a pair fails on the wrong block and passes on the right one."""
        side, name = block.note.split(": ")
        cls = example(tmp_path, block)
        (check,) = (check for check in checks(cls) if check.name == name)
        assert bool(check.report().finding) == (side == "wrong")

    @pytest.mark.slow
    @pytest.mark.parametrize("block", [b for b in PAIRS if b.note.startswith("right")], ids=str)
    def test_a_right_block_is_right_in_all(self, block: Block, tmp_path: Path) -> None:
        """A right block passes all checks."""
        assert found_by(example(tmp_path, block)) == []


# --- commands ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models of a shipped benchmark after two iterations."""
    from gan_bench.contracts.observer import Observer
    from gan_bench.planning.options import Options
    from gan_bench.planning.prepare import prepare
    from gan_bench.running.run_benchmark import run

    folder = tmp_path_factory.mktemp("docs")
    overrides = [value for flag, value in zip(SMALL[::2], SMALL[1::2], strict=True) if flag == "--set"]
    options = Options(overrides=overrides, models=["GAN", "MGAN"], seeds=1, results=folder, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalEngine", project.InProcess)
        return run(prepare("synthetic8", options), Observer()).folder


def prepare(folder: Path, results: Path, block: Block) -> None:
    """Prepare the folder of a reader who has executed the page up to this block."""
    save(folder, *before(block))
    for name in set(re.findall(r"results/([\w-]+)", block.code)):
        shutil.copytree(results, folder / "results" / name)
    np.save(folder / "samples.npy", np.random.default_rng(0).normal(size=(100, 2)))
    if "benchmarks/" in block.code:
        shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")


def commands_of(block: Block) -> list[list[str]]:
    """Split a shell block into commands, each a list of words without its comment."""
    parts = [part for line in block.code.splitlines() for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def is_ours(words: list[str]) -> bool:
    """Whether a command is `gan-bench`."""
    return words[0].endswith("gan-bench")


@pytest.fixture
def call(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call `gan-bench` in this process, with little training."""

    def called(verb: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["gan-bench", verb, *arguments, *(SMALL if verb == "run" else ())])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, " ".join(sys.argv)

    return called


class TestCommands:
    @pytest.mark.parametrize("block", [b for b in SHELL if any(map(is_ours, commands_of(b)))], ids=str)
    def test_the_commands_work(self, block: Block, here: Path, results: Path, call: Callable[..., None]) -> None:
        """The commands of a block succeed, one after the other, in the folder that its page describes."""
        prepare(here, results, block)
        for words in filter(is_ours, commands_of(block)):
            call(*words[1:])

    def test_every_other_command_installs_or_tests(self) -> None:
        """Commands that the tests do not run install packages, run pytest or start a cluster."""
        others = [words for block in SHELL for words in commands_of(block) if not is_ours(words)]
        assert {words[0] for words in others} <= ELSEWHERE
        assert all("venv" in words for words in others if words[0] == "python3")
        assert all("install" in words for words in others if words[0].endswith("pip"))


class TestContinuousIntegration:
    def test_runs_the_readmes_test_command(self) -> None:
        """`.ci/run` has the commands of the README's line, in the same order."""
        (line,) = (line for line in PAGES["README.md"].splitlines() if line.endswith(".venv/bin/pytest"))
        script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        code = "\n".join(each for each in script.splitlines() if not each.lstrip().startswith("#"))
        places = [code.index(command.strip()) for command in line.split("&&")]
        assert places == sorted(places)
        assert "\n    .venv/bin/pytest 2>&1 |" in code  # without options: the fast tests are the default


# --- completeness -------------------------------------------------------------------------------------------------


def headings(page: str, level: int) -> list[str]:
    """Headings of one level on a page."""
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return re.findall(rf"^{'#' * level} (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """Anchor of a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def first_cells(page: str) -> set[str]:
    """Code in the first cells of a page's tables."""
    return set(re.findall(r"^\| `([^`]+)`", PAGES[page], re.MULTILINE))


HOOKS = {
    "gan_bench_models": "constant-target",
    "gan_bench_networks": "linear",
    "gan_bench_datasets": "blob",
    "gan_bench_metrics": "radius",
    "gan_bench_unimplemented": "cyclegan",
    "gan_bench_engines": "here",
    "gan_bench_observers": "diary",
    "gan_bench_published": "our_figures.csv",
}
"""Hooks, each with the name of the plugin in the example under its heading."""


INTERNAL = {"Model.forward", "Noise.draw"}
"""Public methods that plugins neither call nor override."""


class TestCompleteness:
    def test_every_hook_has_a_heading(self) -> None:
        """Specifications, headings and tests have the same hooks."""
        specified = {name for name in vars(hooks) if name.startswith("gan_bench_")}
        written = [heading.strip("`") for heading in headings("contracts.md", 2) if "gan_bench" in heading]
        assert sorted(written) == sorted(specified) == sorted(HOOKS)

    @pytest.mark.parametrize(("hook", "name"), HOOKS.items())
    def test_a_hook_brings_what_its_example_says(self, hook: str, name: str, tmp_path: Path) -> None:
        """The example of a hook is registered as its kind, and the text has what it returns and when it is called."""
        text = PAGES["contracts.md"].split(f"## `{hook}`\n")[1].split("\n## ")[0]
        (block,) = (block for block in PLUGINS if block.page == "contracts.md" and block.code in text)
        (path,) = save(tmp_path, block)
        kind = hook.removeprefix("gan_bench_")
        registry = plugins_in(tmp_path)
        assert "Returns" in text and "Called" in text
        if kind == PUBLISHED:
            assert _brings_figures(path, registry) == [name]
            return
        assert _names_systems(path, registry) if kind == UNIMPLEMENTED else _is_from(path, registry.get(kind, name))
        assert registry.origin(kind, name).path == str(path.resolve())

    def test_every_contract_has_its_members_explained(self) -> None:
        """Each public attribute and method of a contract is explained under the contract's heading."""
        missing = [f"{cls.__name__}.{member}" for cls, member in _members() if not _is_explained(cls.__name__, member)]
        assert missing == []

    def test_the_benchmark_file_has_every_key(self) -> None:
        """Every key of the file, an entry, the protocol and the evaluation is in a table."""
        explained = {re.sub(r"\W", "", cell) for cell in first_cells("benchmark-file.md")}
        fields = {each.name for cls in (Protocol, Evaluation) for each in describe(cls)}
        assert {*TOP_LEVEL, *KEYS, *fields} <= explained

    def test_results_have_every_column_and_status(self) -> None:
        """Every column of results.csv and of classes.csv, and every status of a run, is explained."""
        assert {*COLUMNS, *class_shares.COLUMNS, *STATUSES} <= first_cells("results.md")

    def test_the_generated_parts_are_up_to_date(self) -> None:
        """The generated parts equal the output of `python tools/reference.py docs`."""
        for page, text in reference.generate(DOCS).items():
            assert text == page.read_text(encoding="utf-8"), "python tools/reference.py docs"

    def test_the_index_leads_to_every_page(self) -> None:
        """docs/index.md has a link to every page."""
        assert all(f"]({page})" in PAGES["index.md"] for page in PAGES if page not in ("README.md", "index.md"))

    @pytest.mark.parametrize(
        ("page", "link"),
        [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)]+)\)", PAGES[page].replace("\n", " "))],
    )
    def test_every_link_leads_somewhere(self, page: str, link: str) -> None:
        """The file and the heading of every link exist."""
        target, _, part = link.partition("#")
        folder = ROOT if page == "README.md" else DOCS
        path = (folder / target).resolve() if target else folder / page
        assert path.exists()
        if part:
            assert part in {anchor(heading) for level in (1, 2, 3) for heading in headings(path.name, level)}


def names_listed(module: str) -> list[str]:
    """Names in the first columns of the tables of a module's public names."""
    names = PAGES["contracts.md"].split("\n# Names\n")[1]
    tables = [table for table in names.split("\n\n") if table.startswith(f"| from `{module}`")]
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def imports_of_core(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of each import from gan-bench in a source; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(source)):
        found = []
        if isinstance(node, ast.ImportFrom):
            found = [(str(node.module), each.name) for each in node.names]
        elif isinstance(node, ast.Import):
            found = [(each.name, "") for each in node.names]
        yield from ((module, name) for module, name in found if module.split(".")[0] == "gan_bench")


def _authored() -> Iterator[tuple[str, str]]:
    """Code for authors of plugins: blocks of the pages, files of `gan-bench new`, and the example package."""
    yield from ((str(block), block.code) for block in BLOCKS if block.language == "python" and not block.note)
    for kind, package in itertools.product(scaffold.KINDS, (False, True)):
        made = scaffold.scaffold(kind, "an-idea", package=package)
        yield from ((f"new {kind} {path}", text) for path, text in made.files.items() if path.suffix == ".py")
    for path in (ROOT / "examples").rglob("*.py"):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


AUTHORED = dict(_authored())


class TestPublicNames:
    @pytest.mark.parametrize("module", [gan_bench, gan_bench.testing], ids=lambda module: module.__name__)
    def test_are_listed_on_the_page_of_contracts(self, module: ModuleType) -> None:
        """The page has each public name once, and no other name."""
        assert sorted(names_listed(module.__name__)) == sorted(module.__all__)

    @pytest.mark.parametrize("name", gan_bench.__all__)
    def test_can_be_imported(self, name: str) -> None:
        """Each public name can be imported."""
        assert getattr(gan_bench, name) is not None

    @pytest.mark.parametrize("source", AUTHORED.values(), ids=list(AUTHORED))
    def test_are_all_that_an_author_imports(self, source: str) -> None:
        """Plugins and their tests import from `gan_bench` and `gan_bench.testing` only."""
        public = {"gan_bench": gan_bench.__all__, "gan_bench.testing": gan_bench.testing.__all__}
        for module, name in imports_of_core(source):
            assert name in ("", *public.get(module, ())) and module in public, f"from {module} import {name}"

    def test_are_imported_in_most_of_these(self) -> None:
        """The tested sources include the files of `gan-bench new` and the example package."""
        importing = [origin for origin, source in AUTHORED.items() if any(imports_of_core(source))]
        assert sum(origin.startswith("new ") for origin in importing) == 12
        assert {origin.split("/")[0].split(":")[0] for origin in importing} >= {"tutorial.md", "examples", "README.md"}


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def places_of(path: str) -> list[Path]:
    """Files and folders that a path in CONTRIBUTING may denote, in the project, the core or the tests."""
    return [found for base in (ROOT, ROOT / "gan_bench", ROOT / "tests") if (found := base / path).exists()]


class TestContributing:
    @pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./-]+(?:/|\.py|\.csv|\.md))[`:]", CONTRIBUTING))))
    def test_every_path_exists(self, path: str) -> None:
        """The files and folders that CONTRIBUTING names exist."""
        assert places_of(path) or path.startswith(".ci/data")

    @pytest.mark.parametrize(("path", "name"), re.findall(r"`([\w/]+\.py)::(?:[^`]*::)?(\w+)", CONTRIBUTING))
    def test_every_test_exists(self, path: str, name: str) -> None:
        """The tests that CONTRIBUTING names exist."""
        assert f"def {name}(" in places_of(path)[0].read_text(encoding="utf-8")

    @pytest.mark.parametrize(("cls", "name", "path"), re.findall(r"`(\w+)\.(\w+)` in `([\w/]+\.py)`", CONTRIBUTING))
    def test_every_method_exists(self, cls: str, name: str, path: str) -> None:
        """A method named together with a path is in that file."""
        text = places_of(path)[0].read_text(encoding="utf-8")
        assert f"class {cls}" in text and f"def {name}(" in text

    def test_the_picture_has_the_layers_of_the_linter(self) -> None:
        """The list of packages has the layers of the linter, from top to bottom."""
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
        layers = [re.findall(r"\w+", layer) for layer in settings["contracts"][0]["layers"]]
        picture = CONTRIBUTING.split("\ngan_bench/\n")[1].split("\nplugins/")[0]
        column = re.search(r"^ *cli/ *", picture, re.MULTILINE)
        assert column
        drawn = [re.findall(r"\w+", line[: len(column[0])]) for line in picture.splitlines()]
        assert drawn == [["__init__", *layers[0]], *layers[1:]]


def _members() -> Iterator[tuple[type[Any], str]]:
    """Public attributes and methods that the contracts define."""
    from gan_bench.contracts import model, network
    from gan_bench.contracts.dataset import Dataset, Mixture, Real
    from gan_bench.contracts.engine import Engine
    from gan_bench.contracts.metric import Classes, Metric, Samples
    from gan_bench.contracts.observer import Observer

    contracts = (
        model.Model, model.Fake, model.Turn, model.Noise, model.Preset, Real, Dataset, Mixture, Metric, Samples,
        Classes, network.Network, network.Networks, network.Generators, network.Discriminator, model.Latents, Engine,
        Observer,
    )  # fmt: skip
    for cls in contracts:
        own: Mapping[str, Any] = vars(cls) | vars(cls).get("__annotations__", {})
        yield from (
            (cls, name) for name in own if not name.startswith("_") and f"{cls.__name__}.{name}" not in INTERNAL
        )


def _is_explained(contract: str, member: str) -> bool:
    section = re.split(r"\n##? ", PAGES["contracts.md"].split(f"\n## {contract}\n")[1])[0]
    return re.search(rf"\b{member}\b", section) is not None


# --- the README ---------------------------------------------------------------------------------------------------


class TestFirstPlugin:
    def test_it_has_fifteen_lines(self) -> None:
        """The first plugin has at most 15 lines, without blank ones."""
        lines = [line for line in file("plugins/lsgan.py", "README.md").code.splitlines() if line.strip()]
        assert len(lines) <= 15

    def test_the_tutorial_begins_with_it(self) -> None:
        """README and tutorial have the same first plugin."""
        first = file("plugins/lsgan.py").code.removeprefix("# plugins/lsgan.py\n")
        assert first == file("plugins/lsgan.py", "README.md").code

    def test_it_becomes_a_row_of_the_table(
        self, here: Path, call: Callable[..., None], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The tutorial's plugin and benchmark run, and the table has its row."""
        save(here, file("plugins/lsgan.py"), file("lsgan.toml"))
        call("run", "lsgan.toml")
        assert re.search(r"^\| LSGAN", capfd.readouterr().out, re.MULTILINE)
