"""Promises of the report: one file without external parts, escaped, the same when written again, for any results."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gan_bench.errors import UsageError
from gan_bench.report.page.page import write_report
from gan_bench.results.load import write_results_csv
from tests.report.page.hostile import EVIL, hostile_results
from tests.support import fabricate
from tests.support.fabricate import Model, Run
from tests.support.messages import Messages

SECTIONS = (
    "answer", "table", "comparisons", "curves", "samples", "modes", "ranks", "ledger", "failures", "origin",
)  # fmt: skip
PUBLISHED = sorted((Path(__file__).resolve().parents[3] / "results" / "published").glob("*/results.csv"))
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Elements of a page, with their attributes and text. Raises AssertionError if they are not nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.visible = ""
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), f"an attribute of {tag} occurs twice"
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append((tag, found.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        key = self._open[-1][1] or self._open[-1][0] if self._open else ""
        self.texts[key] = self.texts.get(key, "") + data
        if "script" not in tags and "style" not in tags:
            self.visible += data

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        """Attributes of every element of a kind."""
        return (attributes for name, attributes in self.elements if name == tag)


def page_of(source: Path) -> Page:
    """Report of results, parsed."""
    return Page(write_report(source, source.parent / "page.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def showcase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole benchmark with a failed and a diverged run."""
    return fabricate.showcase(tmp_path_factory.mktemp("showcase") / "results")


@pytest.fixture(scope="module")
def written(showcase: Path) -> str:
    """Text of its report."""
    return write_report(showcase).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(written: str) -> Page:
    """Its elements."""
    return Page(written)


class TestFile:
    def test_is_report_html_in_the_results_folder(self, showcase: Path, written: str) -> None:
        assert (showcase / "report.html").read_text(encoding="utf-8") == written

    def test_has_all_sections_in_order(self, parsed: Page) -> None:
        found = [attributes["id"] for attributes in parsed.all("section")]
        assert tuple(found) == SECTIONS
        links = [each["href"] for each in parsed.all("a") if each["href"].startswith("#")]
        ids = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
        assert links and {link.removeprefix("#") for link in links} <= ids

    def test_identifiers_are_unique(self, parsed: Page) -> None:
        found = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
        assert len(found) == len(set(found))

    def test_is_the_same_when_written_again(self, showcase: Path, written: str) -> None:
        assert write_report(showcase).read_text(encoding="utf-8") == written

    def test_is_the_same_in_another_process(self, showcase: Path, written: str) -> None:
        """The order of sets depends on the process, which imports neither torch nor matplotlib."""
        code = (
            f"import sys; from gan_bench.report.page.page import write_report; write_report({str(showcase)!r}); "
            "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib')))"
        )
        environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        assert (showcase / "report.html").read_text(encoding="utf-8") == written

    def test_refers_to_nothing_outside(self, written: str, parsed: Page) -> None:
        """Links lead to files beside it; everything that a browser loads is a data URI or in the page."""
        for _, attributes in parsed.elements:
            for name in ("src", "srcset", "data", "poster", "action"):
                assert attributes.get(name, "data:").startswith("data:")
            assert not attributes.get("href", "").startswith(("http", "//"))
        assert list(parsed.all("link")) == []
        assert re.findall(r"@import|url\(", written) == []

    def test_has_few_bytes_without_samples(self, written: str) -> None:
        """At most 300 kB without samples for six models, five seeds and 26 evaluations."""
        frames = re.search(r'<script type="application/json" id="frames">(.*?)</script>', written, re.DOTALL)
        samples = re.search(r'<section id="samples".*?</section>', written, re.DOTALL)
        assert frames and samples
        assert len(written.encode()) - len(frames[0].encode()) - len(samples[0].encode()) <= 300_000
        assert len(written.encode()) <= 5_000_000


class TestPolicy:
    def test_allows_nothing_but_its_own_style_and_script(self, written: str, parsed: Page) -> None:
        (policy,) = (each["content"] for each in parsed.all("meta") if "http-equiv" in each)
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        script = re.findall(r"<script>(.*?)</script>", written, re.DOTALL)
        style = re.findall(r"<style>(.*?)</style>", written, re.DOTALL)
        assert len(script) == len(style) == 1
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (*script, *style)]
        assert rules == {
            "default-src": "'none'",
            "script-src": f"'sha256-{digests[0]}'",
            "style-src": f"'sha256-{digests[1]}'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
        }

    def test_there_is_nothing_that_it_would_block(self, parsed: Page) -> None:
        for _, attributes in parsed.elements:
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]

    def test_own_script_is_small(self) -> None:
        folder = Path(sys.modules[write_report.__module__].__file__ or "").parent
        assert (folder / "page.js").stat().st_size <= 15_000


class TestData:
    def test_is_json_with_every_run(self, showcase: Path, parsed: Page) -> None:
        data = json.loads(parsed.texts["data"])
        assert len(data["runs"]) == 8 * 5
        (run,) = (run for run in data["runs"] if (run["label"], run["seed"]) == ("MGAN", 2))
        at, values = run["metrics"]["symmetric_kl"]
        assert len(data["iterations"][at]) == len(values) == 26

    def test_every_chart_has_a_data_table_or_numbers(self, parsed: Page) -> None:
        """Each metric of the curves has a table of its values."""
        tables = [each for each in parsed.all("details") if each.get("class") == "data"]
        assert len(tables) >= 4 + 2  # curves of four metrics, samples, pairs

    def test_samples_are_of_every_seed(self, parsed: Page) -> None:
        frames = json.loads(parsed.texts["frames"])["0"]
        assert frames["kind"] == "points"
        assert frames["iterations"] == [0, 5000, 10_000, 15_000, 20_000, 25_000]
        assert {len(seeds) for seeds in frames["models"].values()} == {5}
        (mgan,) = (
            name for name, seeds in frames["models"].items() if len(seeds["0"][-1] or []) == 8 and name == "s0m4"
        )
        assert sum(path.count("m") for path in frames["models"][mgan]["3"][-1]) == 512


class TestAccessibility:
    def test_every_image_has_a_name(self, parsed: Page) -> None:
        for attributes in parsed.all("svg"):
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        for attributes in parsed.all("img"):
            assert attributes["alt"]

    def test_headings_descend_by_one(self, parsed: Page) -> None:
        levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_cells_of_heads_have_a_scope(self, parsed: Page) -> None:
        assert all(attributes.get("scope") in ("col", "row") for attributes in parsed.all("th"))

    def test_controls_are_hidden_without_javascript(self, written: str) -> None:
        for control in ("<select", "<input", "<button"):
            for place in (match.start() for match in re.finditer(control, written.split("<script")[0])):
                opened = written.rfind('class="tools"', 0, place)
                assert opened > 0 and "hidden" in written[opened : written.index(">", opened)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Report of results whose names are code elsewhere."""
    return page_of(hostile_results(tmp_path_factory.mktemp("hostile") / "results"))


class TestHostile:
    def test_names_are_text(self, hostile: Page) -> None:
        tags = {tag for tag, _ in hostile.elements}
        assert tags.isdisjoint({"b", "i"})
        assert len([each for each in hostile.all("script")]) == 3
        assert all(each["src"].startswith("data:") for each in hostile.all("img"))
        assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)

    def test_names_are_shown(self, hostile: Page) -> None:
        for each in EVIL[:4]:
            assert each in hostile.visible
        assert "\x1b" not in hostile.visible and "\u202e" not in hostile.visible
        assert "\\x1b[31m" in hostile.visible and "(no name)" in hostile.visible
        assert "alert(3)" in hostile.visible and "alert(4)" in hostile.visible

    def test_templates_are_not_filled_in_again(self, hostile: Page) -> None:
        assert "{{ 7 * 7 }}" in hostile.visible

    def test_data_remains_json(self, hostile: Page) -> None:
        labels = {run["label"] for run in json.loads(hostile.texts["data"])["runs"]}
        assert EVIL[0] in labels and len(labels) == len(EVIL)


class TestIncomplete:
    """Results with gaps have a report that names them."""

    def test_one_seed_of_one_model(self, tmp_path: Path) -> None:
        folder = fabricate.benchmark(tmp_path / "results", [Model("GAN")], seeds=(0,))
        fabricate.run(folder, fabricate.simple(Model("GAN"), 0, 1.0))
        page = page_of(folder)
        assert "There is no second model" in page.visible
        assert "Ranks need at least two datasets" in page.visible

    def test_no_run_at_all(self, tmp_path: Path) -> None:
        page = page_of(fabricate.benchmark(tmp_path / "results", [Model("GAN"), Model("B")], seeds=(0, 1)))
        assert "4 of 4 runs did not finish" in page.visible
        assert "Nothing can be compared" in page.visible

    def test_no_model(self, tmp_path: Path) -> None:
        page = page_of(fabricate.benchmark(tmp_path / "results", [Model("real-data", "real-data", anchor=True)]))
        assert "no models" in page.visible

    def test_a_metric_that_is_nan_in_some_seeds(self, tmp_path: Path) -> None:
        models = [Model("GAN"), Model("B")]
        folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0, 1, 2))
        for model in models:
            for seed in range(3):
                value = float("nan") if (model.label, seed) == ("B", 1) else 1.0 + seed
                fabricate.run(folder, fabricate.simple(model, seed, value))
        page = page_of(folder)
        assert "not finite" in page.visible
        runs = json.loads(page.texts["data"])["runs"]
        (run,) = (run for run in runs if (run["label"], run["seed"]) == ("B", 1))
        assert run["metrics"]["symmetric_kl"][1] == [10, "nan"]

    def test_no_finite_value(self, tmp_path: Path) -> None:
        folder = fabricate.benchmark(tmp_path / "results", [Model("GAN")], seeds=(0,))
        fabricate.run(folder, Run(Model("GAN"), rows=[(0, None, "symmetric_kl", float("inf"))], iteration=2000))
        assert "No finite value: GAN" in page_of(folder).visible

    def test_seeds_that_differ(self, tmp_path: Path) -> None:
        models = [Model("GAN"), Model("B")]
        folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0, 1, 2))
        for model, seeds in zip(models, ((0, 1, 2), (1, 2, 3, 4)), strict=True):
            for seed in seeds:
                fabricate.run(folder, fabricate.simple(model, seed, 1.0 + seed))
        assert "unpaired" in page_of(folder).visible

    def test_runs_that_did_not_finish(self, parsed: Page) -> None:
        assert "CUDA out of memory" in parsed.visible
        assert "samples of generator 0 are not finite" in parsed.visible
        assert "2 of 30 runs did not finish" in parsed.visible
        assert any(each.get("class") == "fail" for each in parsed.all("path"))

    def test_an_interrupted_benchmark(self, tmp_path: Path) -> None:
        models = [Model("GAN"), Model("B")]
        folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0, 1))
        fabricate.run(folder, fabricate.simple(models[0], 0, 1.0))
        fabricate.run(folder, Run(models[1], 0, status="running", iteration=500, rows=[(0, None, "symmetric_kl", 9.0)]))
        page = page_of(folder)
        assert "running" in page.visible and "3 of 4 runs did not finish" in page.visible

    def test_damaged_samples_classes_and_runs(self, tmp_path: Path) -> None:
        folder = fabricate.showcase(tmp_path / "results", seeds=1)
        (folder / "runs" / "mgan-ring8-0" / "samples.npz").write_bytes(b"no zip file")
        (folder / "runs" / "gan-ring8-0" / "samples.npz").unlink()
        (folder / "runs" / "gan-ring8-0" / "classes.csv").write_text("nothing\n", encoding="utf-8")
        (folder / "runs" / "unrolledgan-ring8-0" / "run.json").write_text("{", encoding="utf-8")
        page = page_of(folder)
        assert "damaged (samples.npz" in page.visible and "no samples stored" in page.visible
        assert "runs/gan-ring8-0 (classes.csv" in page.visible
        assert "runs/unrolledgan-ring8-0 (run.json" in page.visible

    def test_two_versions_of_a_metric(self, tmp_path: Path) -> None:
        models = [Model("GAN"), Model("B")]
        folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0,), versions={"symmetric_kl": 2})
        for model, version in zip(models, (1, 2), strict=True):
            rows: fabricate.Rows = [(2000, None, "symmetric_kl", 1.0)]
            fabricate.run(folder, Run(model, rows=rows, versions={"symmetric_kl": version}))
        assert "values of another version only" in page_of(folder).visible

    def test_samples_that_cannot_be_drawn(self, tmp_path: Path) -> None:
        folder = fabricate.benchmark(tmp_path / "results", [Model("GAN")], seeds=(0,))
        snapshots = (np.array([0]), np.zeros((1, 4, 5), dtype=np.float32), np.zeros((1, 4), dtype=np.int16))
        fabricate.run(folder, Run(Model("GAN"), rows=[(0, None, "symmetric_kl", 1.0)], snapshots=snapshots))
        assert "samples of shape 5 cannot be drawn" in page_of(folder).visible

    def test_results_csv_without_a_benchmark(self, showcase: Path, tmp_path: Path) -> None:
        alone = tmp_path / "results.csv"
        alone.write_bytes(write_results_csv(showcase).read_bytes())
        page = page_of(alone)
        assert "There is no benchmark.json" in page.visible
        assert "Samples are in run folders" in page.visible
        assert "MGAN" in page.visible

    @pytest.mark.parametrize("source", PUBLISHED[-2:-1], ids=lambda path: path.parent.name)
    def test_published_results(self, source: Path, tmp_path: Path) -> None:
        page = Page(write_report(source, tmp_path / "page.html").read_text(encoding="utf-8"))
        assert tuple(each["id"] for each in page.all("section")) == SECTIONS

    def test_several_parts(self, tmp_path: Path, messages: Messages) -> None:
        """Parts that were cut by seeds are one benchmark; the file has to be named."""
        models = [Model("GAN"), Model("B")]
        parts = [tmp_path / "one", tmp_path / "two"]
        for part, seeds in zip(parts, ((0, 1), (2, 3)), strict=True):
            fabricate.benchmark(part, models, seeds=seeds)
            for model in models:
                for seed in seeds:
                    fabricate.run(part, fabricate.simple(model, seed, 1.0 + seed))
        page = Page(write_report(parts, tmp_path / "page.html").read_text(encoding="utf-8"))
        assert len(json.loads(page.texts["data"])["runs"]) == 8
        assert {each["href"] for each in page.all("a")} >= {"one/benchmark.json", "two/benchmark.json"}
        with messages.raises(UsageError, "-o FILE"):
            write_report(parts)

    def test_many_models(self, tmp_path: Path) -> None:
        """All are in the tables; pairs of all are not compared, which a message explains."""
        models = [Model(f"model {i}") for i in range(200)]
        folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0, 1))
        for i, model in enumerate(models):
            for seed in (0, 1):
                fabricate.run(folder, fabricate.simple(model, seed, 1.0 + i + seed))
        page = page_of(folder)
        assert "these results have 200" in page.visible
        rows = [each for each in page.all("figure") if each.get("class", "").startswith("small")]
        assert len(rows) == 200


class TestSamples:
    def test_images_are_a_row_for_each_generator(self, tmp_path: Path) -> None:
        model = Model("MGAN", generators=3)
        folder = fabricate.benchmark(tmp_path / "results", [model], seeds=(0,))
        x = np.random.default_rng(0).integers(0, 255, (2, 24, 1, 8, 8)).astype(np.uint8)
        owner = np.tile(np.repeat(np.arange(3), 8), (2, 1)).astype(np.int16)
        rows: fabricate.Rows = [(2000, None, "symmetric_kl", 1.0)]
        fabricate.run(folder, Run(model, rows=rows, snapshots=(np.array([0, 2000]), x, owner)))
        page = page_of(folder)
        (image,) = page.all("img")
        assert image["alt"] == "Samples of MGAN; rows are its 3 generators"
        frames = json.loads(page.texts["frames"])["0"]
        assert frames["kind"] == "images" and image["src"] == frames["models"]["s0m0"]["0"][1]

    def test_seeds_beyond_the_budget_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gan_bench.report.page.sample_panels.BUDGET", 100_000)
        page = page_of(fabricate.showcase(tmp_path / "results", seeds=3))
        assert "samples of 1 of 3 seeds" in page.visible


def test_the_wheel_contains_templates_and_assets(tmp_path: Path) -> None:
    """An installed package can write reports."""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folder = root / "gan_bench" / "report" / "page"
    for path in (*folder.glob("templates/*.html"), folder / "page.css", folder / "page.js"):
        assert path.relative_to(root).as_posix() in names
