"""Promises of `gan-bench report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner

from gan_bench.cli import cli
from tests.support import fabricate
from tests.support.fabricate import Model
from tests.support.messages import Messages


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two finished runs."""
    models = [Model("GAN"), Model("MGAN")]
    folder = fabricate.benchmark(tmp_path / "results", models, seeds=(0,))
    for value, model in enumerate(models, 1):
        fabricate.run(folder, fabricate.simple(model, 0, float(value)))
    return folder


def test_writes_the_file_and_prints_its_name(results: Path, tmp_path: Path) -> None:
    """By default it is report.html in the results folder."""
    done = CliRunner().invoke(cli, ["report", str(results)], catch_exceptions=False)
    assert done.output.strip() == str(results / "report.html") and (results / "report.html").is_file()
    done = CliRunner().invoke(cli, ["report", str(results), "-o", str(tmp_path / "page.html")], catch_exceptions=False)
    assert (tmp_path / "page.html").is_file()


def test_opens_it(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the browser that Python finds."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    CliRunner().invoke(cli, ["report", str(results), "--open"], catch_exceptions=False)
    assert opened == [(results / "report.html").resolve().as_uri()]


def test_no_browser(results: Path, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
    """The file is written all the same."""
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    done = CliRunner().invoke(cli, ["report", str(results), "--open"], catch_exceptions=False)
    assert done.exit_code == 0
    messages.check(done.stderr, "report.html", hide={str(results): "RESULTS"})
