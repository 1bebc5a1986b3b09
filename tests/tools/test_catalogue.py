"""Promises of the page of all systems: it is complete and up to date, and shows docstrings and labels unchanged."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from gan_bench import Model
from gan_bench.contracts.unimplemented import Unimplemented
from gan_bench.errors import UsageError
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Origin, Registry
from gan_bench.results.load import read_results, write_results_csv
from tests.support import fabricate
from tests.support.fabricate import HOSTILE
from tests.support.messages import Messages
from tools import catalogue
from tools.catalogue import Sources, draw, generate

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PUBLISHED = Sources.around(DOCS)
LIMIT = 1.5
OURS = Origin("gan-bench", "0.1.0", "gan_bench_zoo")

SYSTEMS = """model,kind,required,because,reason
example,control,1,GAN's passes,
costly,several generators,2,two of | everything,a *reason*
"""
COSTS = """model,mode,ratio,low,high,milliseconds,required,measured_on
costly,eager,3.5,3.4,3.6,9,2,here
costly,compiled,2.1,2.0,2.2,9,2,here
"""


class Example(Model):
    """Example: # no heading | no cell (*no author*, 2026).

    # min_G max_D |x| <b> [a](b) `c` $d$ E_{q_k} * 2, a_ and _b

    - one choice,
    - 2. another <i>

    1. that a list might begin
    """

    name = "example"


class Costly(Model):
    """Costly: a model with a docstring of one line (no authors, 2026)."""

    name = "costly"


def registry(*classes: type[Any], origin: Origin = OURS) -> Registry:
    """Build a registry of some models."""
    made = Registry()
    for cls in classes:
        made.add("models", cls, origin)
    assert made.broken == []
    return made


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A checkout with an empty folder of documentation, kinds and costs, and no results."""
    for name in ("docs", "tools", "results/published"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tools" / "systems.csv").write_text(SYSTEMS, encoding="utf-8")
    (tmp_path / "results" / "published" / "cost-cpu.csv").write_text(COSTS, encoding="utf-8")
    return Sources.around(tmp_path / "docs")


def published(sources: Sources, labels: dict[str, str], *, anchor: bool = False) -> Path:
    """Publish invented results for seeds 0 and 1, plugin by label; return the folder with the runs."""
    folder = sources.folder.parent / "results" / "zoo-ring"
    models = [fabricate.Model(label, plugin) for label, plugin in labels.items()]
    if anchor:
        models.append(fabricate.Model("real-data", "real-data", anchor=True))
    fabricate.benchmark(folder, models, seeds=[0, 1], metrics=["symmetric_kl", "modes"], name="zoo-ring")
    for number, model in enumerate(models):
        for seed in (0, 1):
            rows: fabricate.Rows = [(2000, None, "symmetric_kl", 1.5), (2000, None, "modes", 7.0 + number)]
            x = fabricate.ring(32, np.random.default_rng(seed)).astype(np.float32)
            snapshots = (np.asarray([2000]), x[None], np.zeros((1, len(x)), dtype=np.int16))
            made = fabricate.Run(model, seed, rows=rows, snapshots=snapshots)
            fabricate.run(folder, made, name=f"{number}-{seed}")
    sources.results.mkdir(parents=True)
    shutil.copy(write_results_csv(folder), sources.results)
    shutil.copy(folder / "benchmark.json", sources.results)
    return folder


def section(page: str, name: str) -> str:
    """Return the text under a system's heading."""
    return page.split(f"\n## {name}\n")[1].split("\n## ")[0].split("\n# ")[0]


def line(page: str, name: str) -> list[str]:
    """Return the cells of a system's line in the overview."""
    (found,) = re.findall(rf"^\| (\[{name}\]\(#.*) \|$", page, re.MULTILINE)
    return re.split(r" (?<!\\)\| ", found)


def shown(markdown: str) -> list[str]:
    """Return the visible text of each block, without marks."""
    parser = MarkdownIt("commonmark").enable("table")
    texts = []
    for token in parser.parse(markdown):
        if token.type == "inline":
            inside = [" " if each.type == "softbreak" else each.content for each in token.children or ()]
            texts.append("".join(inside))
    return texts


def kinds(markdown: str) -> set[str]:
    """Return the kinds of blocks and marks in Markdown."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return {each.type for token in tokens for each in (token, *(token.children or ()))}


class TestOurs:
    """The page that is in docs/."""

    def test_it_is_up_to_date(self) -> None:
        """`python tools/catalogue.py docs` would change nothing."""
        page = (DOCS / catalogue.PAGE).read_text(encoding="utf-8")
        assert page == generate(PUBLISHED, load_plugins()), "python tools/catalogue.py docs"

    def test_every_system_has_its_kind_and_what_it_requires(self) -> None:
        """systems.csv has exactly the models that train, each with a kind, a cost and its reason."""
        models = load_plugins().all("models")
        with PUBLISHED.systems.open(encoding="utf-8", newline="") as file:
            stated = {row["model"]: row for row in csv.DictReader(file)}
        ours = {name for name, cls in models.items() if cls.__module__.startswith("gan_bench_zoo.") and not cls.anchor}
        assert set(stated) == ours
        for row in stated.values():
            assert row["kind"] in catalogue.KINDS
            assert float(row["required"]) >= 1 and row["because"]

    def test_every_system_has_a_verdict(self) -> None:
        """verdicts.toml has exactly the models that train. Its sources are folders with a README."""
        verdicts = tomllib.loads(PUBLISHED.verdicts.read_text(encoding="utf-8"))
        models = load_plugins().all("models").items()
        assert set(verdicts) == {
            name for name, cls in models if cls.__module__.startswith("gan_bench_zoo.") and not cls.anchor
        }
        for name, verdict in verdicts.items():
            assert re.search(r"\d", verdict["text"]), f"{name}: no figure"
            for source in verdict["sources"]:
                assert (PUBLISHED.published / source / "README.md").is_file(), f"{name}: {source}"
        page = (DOCS / catalogue.PAGE).read_text(encoding="utf-8")
        lines = re.findall(
            r"^\*\*Does it do what its paper says\?\*\* (Yes|No|Partly|Not tested here)\. ", page, re.MULTILINE
        )
        assert len(lines) == len(verdicts)

    @pytest.mark.skipif(not PUBLISHED.costs.is_file(), reason="no costs are published")
    def test_no_system_costs_much_more_than_it_must_without_a_reason(self) -> None:
        """A system measured above 1.5 times the required cost has a reason in systems.csv."""
        with PUBLISHED.systems.open(encoding="utf-8", newline="") as file:
            stated = {row["model"]: row for row in csv.DictReader(file)}
        with PUBLISHED.costs.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        above = [row for row in rows if float(row["ratio"]) > LIMIT * float(stated[row["model"]]["required"])]
        assert [row["model"] for row in above if not stated[row["model"]]["reason"]] == []

    def test_pictures_and_page_agree(self) -> None:
        """The page shows exactly the files of docs/models."""
        page = (DOCS / catalogue.PAGE).read_text(encoding="utf-8")
        files = {f"{catalogue.IMAGES}/{path.name}" for path in (DOCS / catalogue.IMAGES).glob("*")}
        assert set(re.findall(r'<img src="([^"]+)"', page)) == files


class TestSystems:
    def test_each_has_a_line_and_a_section(self, sources: Sources) -> None:
        """Every model that trains and comes with the benchmark is listed. Anchors and other plugins' models are not."""

        class Anchor(Model):
            """An anchor (2026)."""

            name = "an-anchor"
            anchor = True

        made = registry(Example, Anchor)
        made.add("models", Costly, Origin("someone", "1", "elsewhere"))
        page = generate(sources, made)
        assert re.findall(r"^## (.+)$", page, re.MULTILINE) == ["example"]
        assert len(re.findall(r"^\| \[", page, re.MULTILINE)) == 1
        assert line(page, "example")[1] == "control"

    def test_docstrings_are_shown_as_they_are(self, sources: Sources) -> None:
        """No character of a docstring becomes a heading, a list, a link, a table or a mark."""
        text = section(generate(sources, registry(Example)), "example")
        blocks = shown(text)
        assert blocks[0] == "Example: # no heading | no cell (*no author*, 2026)."
        assert blocks[1] == "Objective. # min_G max_D |x| <b> [a](b) `c` $d$ E_{q_k} * 2, a_ and _b"
        assert blocks[2] == "Choices. - one choice,<br>- 2. another <i>"
        assert blocks[3] == "1. that a list might begin"
        assert not kinds(text) & {"heading_open", "bullet_list_open", "ordered_list_open", "em_open", "code_inline"}
        assert {each for each in kinds(text) if each.startswith("html")} == {"html_inline"}  # the line break

    def test_the_source_is_cited_and_linked(self, sources: Sources) -> None:
        """The page cites the first paragraph of the module's docstring and links to its file."""
        text = section(generate(sources, registry(Example)), "example")
        (link,) = re.findall(r"\[test_catalogue\.py\]\(([^)]+)\)", text)
        assert (sources.folder / link).resolve() == Path(__file__).resolve()
        assert (sys.modules[__name__].__doc__ or "").strip() in text

    def test_the_verdict_is_one_line_with_links_to_its_data(self, sources: Sources) -> None:
        """Text over several lines becomes one line. Further measurements follow in a separate paragraph."""
        sources.verdicts.write_text(
            '[example]\nanswer = "partly"\ntext = """\nThe paper has 8.\nIt has 7."""\nsources = ["ring"]\n'
            'more = ["One seed."]\n',
            encoding="utf-8",
        )
        text = section(generate(sources, registry(Example, Costly)), "example")
        data = "[ring](../results/published/ring/README.md)"
        assert f"\n**Does it do what its paper says?** Partly. The paper has 8. It has 7. Data: {data}.\n" in text
        assert "\n**Also measured.** One seed.\n" in text

    def test_a_system_without_a_verdict_is_not_tested(self, sources: Sources) -> None:
        """The same holds without a file of verdicts."""
        text = section(generate(sources, registry(Example)), "example")
        assert "\n**Does it do what its paper says?** Not tested here.\n" in text

    @pytest.mark.parametrize(
        "entry", ['answer = "maybe"\ntext = "8."', 'answer = "yes"', 'answer = "yes"\nsaid = "8."']
    )
    def test_wrong_verdicts_are_refused(self, sources: Sources, entry: str) -> None:
        """Another answer, a missing text and an unknown key are reported with the name of the file."""
        sources.verdicts.write_text(f"[example]\n{entry}\n", encoding="utf-8")
        with pytest.raises(UsageError, match=r"verdicts\.toml: "):
            generate(sources, registry(Example))

    def test_a_kind_that_nobody_stated_is_that_of_the_generators(self, sources: Sources) -> None:
        """Without a row in systems.csv, the kind follows from the number of generators, and the cost is unknown."""
        sources.systems.write_text(SYSTEMS.splitlines()[0] + "\n", encoding="utf-8")
        page = generate(sources, registry(Example))
        assert line(page, "example")[1] == "one generator"
        assert "Required" not in section(page, "example")

    def test_unimplemented_ones_say_why(self, sources: Sources) -> None:
        """A system that is named and not implemented is listed with its reason, escaped. Other plugins' are not."""
        made = registry(Example)
        made.add("unimplemented", Unimplemented("named", "A|B", "A paper.", "A *thing*.", "It _is_.", "a lot."), OURS)
        other = Unimplemented("other", "C", "A paper.", "A thing.", "It is.", "a lot.")
        made.add("unimplemented", other, Origin("someone", "1", "elsewhere"))
        page = generate(sources, made)
        below = page.split("\n# Named, not implemented\n")[1]
        assert re.findall(r"^## (.+)$", below, re.MULTILINE) == ["named"]
        texts = ["A|B: A *thing*.", "Why not. It _is_.", "Needed. A lot.", "Source. A paper."]
        assert shown(section(page, "named")) == texts


class TestCosts:
    def test_measured_and_required_stand_together(self, sources: Sources) -> None:
        """The overview has the compiled cost. The section has both costs, the required one, and the reason for more."""
        page = generate(sources, registry(Costly, Example))
        assert line(page, "costly")[2] == "2.1"
        (told,) = (text for text in shown(section(page, "costly")) if text.startswith("Cost."))
        assert told == (
            "Cost. 2.1 times GAN's iteration compiled (quartiles 2.0 to 2.2); 3.5 times GAN's iteration eager "
            "(quartiles 3.4 to 3.6). Required: 2, two of | everything. Why more: a *reason*."
        )

    def test_what_is_missing_is_not_measured(self, sources: Sources) -> None:
        """A system without a row, and a page without a file of costs, have no measured cost."""
        assert line(generate(sources, registry(Example)), "example")[2] == "not measured"
        sources.costs.unlink()
        page = generate(sources, registry(Costly))
        assert line(page, "costly")[2] == "not measured"
        assert "**Cost.** Not measured. Required: 2, " in section(page, "costly")


class TestResults:
    def test_without_results_everything_is_not_measured(self, sources: Sources) -> None:
        """A page is generated without any results."""
        page = generate(sources, registry(Example))
        assert "There are no results on the ring yet." in page
        assert line(page, "example")[3:5] == ["not measured"] * 2
        assert "**On the ring.** Not measured." in section(page, "example")

    def test_a_system_that_did_not_run_is_not_measured(self, sources: Sources) -> None:
        """The systems that ran have results."""
        published(sources, {"Mine": "example"})
        page = generate(sources, registry(Example, Costly))
        assert line(page, "example")[3:6] == ["1.50 (all equal)", "7 (2/2)", "2"]
        assert line(page, "costly")[3:5] == ["not measured"] * 2
        assert "Mine: symmetric_kl 1.50 (all equal), modes 7 (2/2) (2 seeds)." in section(page, "example")

    def test_real_data_stand_above(self, sources: Sources) -> None:
        """Values of held-out real data appear once, with the benchmark's name and length."""
        published(sources, {"Mine": "example"}, anchor=True)
        page = generate(sources, registry(Example))
        assert "`zoo-ring` on ring8 after 2,000 iterations" in page
        assert "Held-out real data have symmetric_kl 1.50 (all equal), modes 8 (2/2)." in page

    def test_each_label_of_a_system_has_a_line(self, sources: Sources) -> None:
        """A system with several labels has as many lines. Labels with special characters are escaped."""
        published(sources, dict.fromkeys(HOSTILE, "example"))
        page = generate(sources, registry(Example))
        lines = [text for text in page.splitlines() if text.startswith("| [example]")]
        assert len(lines) == len(HOSTILE)
        table = page[page.index("| system") : page.index("\n\n## ")]
        cells = [text.removeprefix("example<br>") for text in shown(table) if text.startswith("example<br>")]
        assert cells == list(HOSTILE)
        assert len(shown(table)) == 7 * (1 + len(HOSTILE))

    def test_a_run_that_is_missing_is_counted(self, sources: Sources) -> None:
        """One seed of two is shown as 1/2."""
        folder = published(sources, {"Mine": "example"})
        shutil.rmtree(folder / "runs" / "0-1")
        (sources.results / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
        assert line(generate(sources, registry(Example)), "example")[5] == "1/2"


class TestPictures:
    def test_they_are_drawn_from_run_folders_and_shown(self, sources: Sources) -> None:
        """There is one small PNG for each label, with the same bytes each time, in the overview and in the section."""
        folder = published(sources, {"My GAN+": "example", "Other": "costly"})
        images = draw(read_results(folder), sources.folder)
        assert [path.name for path in images] == ["my-gan.png", "other.png"]
        assert images == draw(read_results(folder), sources.folder)
        assert all(image.startswith(b"\x89PNG") for image in images.values())
        (sources.folder / "models").mkdir()
        (sources.folder / "models" / "my-gan.png").write_bytes(b"")
        page = generate(sources, registry(Example, Costly))
        assert page.count('<img src="models/my-gan.png"') == 2
        assert "other.png" not in page

    def test_two_labels_of_one_name_are_refused(self, sources: Sources, messages: Messages) -> None:
        """Two labels cannot share a picture."""
        folder = published(sources, {"MIX+GAN": "example", "MIX-GAN": "costly"})
        with messages.raises(UsageError, "mix-gan.png", "'MIX-GAN'"):
            draw(read_results(folder), sources.folder)

    def test_the_command_writes_page_and_pictures(self, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both are written to the given folder. Without run folders, existing pictures are kept."""
        folder = published(sources, {"Mine": "example"})
        monkeypatch.setattr(catalogue, "load_plugins", lambda: registry(Example))
        arguments = [str(sources.folder), "--thumbnails", str(folder)]
        assert CliRunner().invoke(catalogue.command, arguments, catch_exceptions=False).exit_code == 0
        page = (sources.folder / "models.md").read_text(encoding="utf-8")
        assert (sources.folder / "models" / "mine.png").is_file() and "models/mine.png" in page
        CliRunner().invoke(catalogue.command, [str(sources.folder)], catch_exceptions=False)
        assert (sources.folder / "models.md").read_text(encoding="utf-8") == page

    def test_nothing_is_written_while_a_model_is_broken(
        self, sources: Sources, monkeypatch: pytest.MonkeyPatch, messages: Messages
    ) -> None:
        """A model whose file cannot be imported is not silently dropped from the page."""
        made = registry(Example)
        made.add("models", Example, OURS)
        monkeypatch.setattr(catalogue, "load_plugins", lambda: made)
        with messages.raises(UsageError, "example"):
            CliRunner().invoke(catalogue.command, [str(sources.folder)], catch_exceptions=False)
        assert not (sources.folder / "models.md").exists()
