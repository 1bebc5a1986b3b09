"""`gan-bench new`: says what it wrote and what comes next, or why it wrote nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import project


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> project.Call:
    """Call `gan-bench new` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    return project.caller(monkeypatch, capfd, "new")


def test_says_what_it_wrote_and_what_comes_next(call: project.Call, tmp_path: Path) -> None:
    """Three files; then check, run and pytest, ready to be copied."""
    code, out, err = call("model", "my-gan")
    assert (code, err) == (0, "")
    paths = [line.removeprefix("wrote ") for line in out.splitlines() if line.startswith("wrote ")]
    assert paths == ["plugins/my_gan.py", "tests/test_my_gan.py", "my-gan.toml"]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(paths)
    commands = [line.split("#")[0].strip() for line in out.splitlines() if "#" in line]
    assert commands == [
        "gan-bench check plugins/my_gan.py",
        "gan-bench run my-gan.toml",
        "pytest tests/test_my_gan.py",
    ]


def test_a_package_is_installed_first(call: project.Call, tmp_path: Path) -> None:
    """A folder of its own, which pip takes."""
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
    ("arguments", "message"),
    [
        (["model", "my gan"], "'my gan' cannot be the name of a plugin: a name has letters"),
        (["model", "mgan"], "A model is called 'mgan' already"),
        (["model"], "Missing argument 'NAME'"),
        (["metric", "mine"], "'metric' is not one of 'model', 'dataset'"),
    ],
)
def test_wrong_use_is_one_message_and_code_2(
    call: project.Call, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Nothing is written, and there is no traceback."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("edit", ["", "\nbroken("])
def test_a_second_time_is_refused(call: project.Call, tmp_path: Path, edit: str) -> None:
    """What was written first stays as it is, edited or not, broken or not; the message names the file."""
    call("dataset", "my-points")
    plugin = tmp_path / "plugins" / "my_points.py"
    text = plugin.read_text() + edit
    plugin.write_text(text)
    code, out, err = call("dataset", "my-points")
    assert (code, out) == (2, "")
    assert err.startswith("Error: plugins/my_points.py exists already, so nothing was written.")
    assert plugin.read_text() == text
