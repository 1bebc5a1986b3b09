"""Promises of the report in a real browser: sorting, filters, samples, no requests, no violations of accessibility.

The tests need playwright and axe-playwright-python (`pip install -e '.[test]'`) and a Chromium, for example Debian's
(`apt-get install chromium`). playwright's own download is not used. CHROMIUM may name another program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_bench.report.page.page import write_report
from tests.report.page.hostile import hostile_results
from tests.support import fabricate
from tests.support.fabricate import Model, Run

PROGRAM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the report is not tested in a browser: pip install -e '.[test]' installs playwright"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="the report is not tested for accessibility: pip install -e '.[test]' installs axe-playwright-python",
)
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="the report is not tested in a browser: apt-get install chromium, or set CHROMIUM"
)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Function that opens a file; afterwards, messages of the console and requests must be none but the file."""
    contexts: list[Any] = []
    messages: list[str] = []
    requests: list[str] = []

    def open_(path: Path, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "offline": True, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: (messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html.ready", state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert messages == []
    assert len([url for url in requests if not url.startswith("data:")]) == len(contexts)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of the showcase."""
    return write_report(fabricate.showcase(tmp_path_factory.mktemp("showcase") / "results", seeds=3))


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of results with hostile names."""
    return write_report(hostile_results(tmp_path_factory.mktemp("hostile") / "results"))


def labels(page: Any) -> list[str]:
    """Labels of the visible rows of models, in their order."""
    rows = page.locator("table.results tbody.models tr:visible th")
    return [re.sub(r"\d+$", "", text) for text in rows.all_inner_texts()]


def test_sort(report: Path, open_page: Open) -> None:
    """A heading sorts by its column, the better direction first; then the other way; then as before."""
    page = open_page(report)
    before = labels(page)
    heading = page.locator("table.results th", has_text="symmetric_kl")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    ascending = labels(page)
    values = page.locator("table.results tbody.models td:nth-child(4)").evaluate_all("e => e.map(x => x.dataset.value)")
    assert values == sorted(values, key=float) and ascending != before
    heading.get_by_role("button").press("Enter")  # by the keyboard
    assert heading.get_attribute("aria-sort") == "descending"
    assert labels(page) == ascending[::-1]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "none" and labels(page) == before
    assert page.locator("table.results tbody.anchors tr").count() == 2
    modes = page.locator("table.results th", has_text="modes")
    modes.get_by_role("button").click()
    assert modes.get_attribute("aria-sort") == "descending"  # higher is better


def test_filter(report: Path, open_page: Open) -> None:
    """The filter leaves models whose name contains all words, and counts them."""
    page = open_page(report)
    page.get_by_label("Filter models").fill("mgan disc")
    assert labels(page) == ["multi-discriminator MGAN"]
    assert page.locator("[data-filter] output").inner_text() == "1 of 6 models"
    page.get_by_label("Filter models").fill("")
    assert len(labels(page)) == 6


def test_columns(report: Path, open_page: Open) -> None:
    """A column that is not chosen is hidden in head and body."""
    page = open_page(report)
    page.locator("[data-columns] summary").click()
    page.get_by_label("wasserstein", exact=True).uncheck()
    assert page.locator("table.results th:visible", has_text="wasserstein").count() == 0
    shown = page.locator("table.results tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].filter(c => !c.hidden).length)"
    )
    assert len(set(shown)) == 1


def test_curves(report: Path, open_page: Open) -> None:
    """One metric is shown at a time; others than the chosen models are dimmed."""
    page = open_page(report)
    assert page.locator("[data-panel]:visible").count() == 1
    page.locator("[data-panels] select").select_option(label="modes")
    assert "modes" in page.locator("[data-panel]:visible h3").inner_text()
    page.locator(".legend button", has_text="D2GAN").click()
    assert page.locator("[data-panel]:visible figure.small:not(.dim)").count() == 1


def drawing(page: Any, model: str) -> str:
    """Paths of a model's samples."""
    return str(page.locator(f"[data-model={model}] path.g").evaluate_all("p => p.map(x => x.getAttribute('d')).join()"))


def test_samples(report: Path, open_page: Open) -> None:
    """The slider and the choice of seed replace drawings; a run without an iteration has the reason."""
    page = open_page(report)
    frames = json.loads(page.locator("#frames").text_content())["0"]
    at_end = drawing(page, "s0m4")
    assert at_end == ",".join(frames["models"]["s0m4"]["0"][-1])
    slider = page.get_by_label("Iteration", exact=True)
    slider.focus()
    slider.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "20,000"
    assert drawing(page, "s0m4") == ",".join(frames["models"]["s0m4"]["0"][-2])
    page.locator("select[data-seed]").select_option("1")
    assert drawing(page, "s0m4") == ",".join(frames["models"]["s0m4"]["1"][-2])
    assert "not stored" in page.locator("[data-model=s0m2] .absence:visible").inner_text()  # diverged at 12,000
    assert page.locator("output[data-iteration]").inner_text() == "20,000"


def test_two_models_beside_each_other(report: Path, open_page: Open) -> None:
    """Only the two chosen models are shown."""
    page = open_page(report)
    page.locator("select[data-left]").select_option(label="MGAN")
    page.locator("select[data-right]").select_option(label="GAN")
    shown = page.locator("[data-model]:visible figcaption").all_inner_texts()
    assert [text.split("\n")[0] for text in shown] == ["GAN", "MGAN"]
    page.locator("select[data-left]").select_option("")
    assert page.locator("[data-model]:visible").count() == 6


def test_footnotes(report: Path, open_page: Open) -> None:
    """A departure is in a tooltip, on focus too, and below the table."""
    page = open_page(report)
    mark = page.locator("table.results sup a").first
    mark.focus()
    tip = page.locator("#tip")
    assert tip.is_visible() and "fakes = 512" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_download(report: Path, open_page: Open, tmp_path: Path) -> None:
    """The button saves the embedded data."""
    page = open_page(report)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download the data").click()
    started.value.save_as(tmp_path / "data.json")
    assert started.value.suggested_filename == "synthetic8.json"
    data = json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))
    assert data["benchmark"] == "synthetic8" and len(data["runs"]) == 24


def test_readable_without_javascript(report: Path, open_page: Open) -> None:
    """All charts are shown, and no control that would do nothing."""
    page = open_page(report, java_script_enabled=False)
    assert page.locator("[data-panel]:visible").count() == 4
    assert page.locator("select:visible, button:visible, input:visible").count() == 0
    assert page.locator(".answer li").count() == 3
    assert page.locator("path.g").count() > 0


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_no_width_scrolls(report: Path, open_page: Open, width: int) -> None:
    """Wide tables scroll in their own box."""
    page = open_page(report, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_hostile_names(hostile_report: Path, open_page: Open) -> None:
    """Names are text: no script of theirs runs, and controls still work."""
    page = open_page(hostile_report)
    page.get_by_label("Filter models").fill("alert(1)")
    assert len(labels(page)) == 3
    page.locator(".legend button").first.click()
    page.locator("table.results th").first.hover()
    assert page.locator("#tip").is_visible() or page.locator("table.results").is_visible()
    assert page.title().startswith("</title><script>alert(2)</script>")


@pytest.mark.parametrize(("name", "scheme"), [("report", "light"), ("report", "dark"), ("hostile_report", "light")])
def test_accessible(name: str, scheme: str, open_page: Open, request: pytest.FixtureRequest) -> None:
    """axe-core finds no violation, with all tables open."""
    page = open_page(request.getfixturevalue(name), color_scheme=scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


def test_images(open_page: Open, tmp_path: Path) -> None:
    """The slider replaces sheets of images, which are scaled without smoothing."""
    models = [Model("MGAN", generators=2), Model("GAN"), Model("MAD-GAN", generators=2)]
    folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0,))
    rng = np.random.default_rng(0)
    for model in models:
        x = rng.integers(0, 255, (2, 16, 3, 8, 8)).astype(np.uint8)
        owner = np.tile(np.arange(16) % model.generators, (2, 1)).astype(np.int16)
        rows: fabricate.Rows = [(2000, None, "symmetric_kl", 1.0)]
        fabricate.run(folder, Run(model, rows=rows, snapshots=(np.array([0, 2000]), x, owner)))
    page = open_page(write_report(folder))
    image = page.locator("[data-model=s0m0] img")
    before = image.get_attribute("src")
    assert image.evaluate("i => i.complete && i.naturalWidth") == 8 * 9 - 1
    page.get_by_label("Iteration", exact=True).press("Home")
    assert image.get_attribute("src") != before
    assert image.evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"
