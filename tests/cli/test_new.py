"""Tests of `gan-bench new`: the files that it lists, the next commands, and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import project


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench new` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return project.caller(monkeypatch, capfd, "new")


def test_lists_the_files_and_the_next_commands(call: project.Call, tmp_path: Path) -> None:
    """Three files are listed, then the commands to check, run and test them."""
    code, out, err = call("model", "my-gan")
    assert (code, err) == (0, "")
    paths = [line.removeprefix("Created ") for line in out.splitlines() if line.startswith("Created ")]
    assert paths == ["plugins/my_gan.py", "tests/test_my_gan.py", "my-gan.toml"]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(paths)
    commands = [line.split("#")[0].strip() for line in out.splitlines() if "#" in line]
    assert commands == [
        "gan-bench check plugins/my_gan.py",
        "gan-bench run my-gan.toml",
        "pytest tests/test_my_gan.py",
    ]


def test_a_package_is_installed_first(call: project.Call, tmp_path: Path) -> None:
    """A package is a new folder that pip can install."""
    code, out, err = call("dataset", "my-points", "--package")
    assert (code, err) == (0, "")
    commands = [line.split("#")[0].strip() for line in out.splitlines() if "#" in line]
    assert commands == [
        "cd my-points && pip install -e .",
        "gan-bench check my-points",
        "gan-bench run my-points.toml",
        "pytest tests",
    ]
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert written == [
        "my-points/README.md",
        "my-points/my-points.toml",
        "my-points/pyproject.toml",
        "my-points/src/my_points/__init__.py",
        "my-points/src/my_points/dataset.py",
        "my-points/src/my_points/py.typed",
        "my-points/tests/test_my_points.py",
    ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["model", "my gan"], "'my gan'"),
        (["model", "mgan"], "'mgan'"),
        (["model"], "Missing argument 'NAME'"),
        (["metric", "mine"], "'metric' is not one of 'model', 'dataset', 'engine'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_message_and_code_2(
    call: project.Call, tmp_path: Path, arguments: list[str], part: str
) -> None:
    """Nothing is written, and there is no traceback."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("edit", ["", "\nbroken("])
def test_a_second_call_is_an_error(call: project.Call, tmp_path: Path, edit: str) -> None:
    """The existing files are not changed, edited, broken or not. The message has the file."""
    call("dataset", "my-points")
    plugin = tmp_path / "plugins" / "my_points.py"
    text = plugin.read_text() + edit
    plugin.write_text(text)
    code, out, err = call("dataset", "my-points")
    assert (code, out) == (2, "")
    assert err.startswith("Error: plugins/my_points.py ")
    assert plugin.read_text() == text
