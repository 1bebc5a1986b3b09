"""Promise of the mark `gpu`: `pytest -m gpu` selects all tests that need a GPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.rglob("test_*.py"))


def unmarked(source: str) -> list[str]:
    """Return tests and classes that are skipped without a GPU and lack the mark."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            decorators = [ast.unparse(each) for each in node.decorator_list]
            needs = any("cuda.is_available" in each for each in decorators)
            if needs and "pytest.mark.gpu" not in decorators:
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_all_that_need_a_gpu_are_marked(path: Path) -> None:
    """Only the mark skips them, see conftest.py."""
    assert unmarked(path.read_text(encoding="utf-8")) == []


def test_one_that_is_not_is_found() -> None:
    """A class that is skipped by a condition and lacks the mark is found."""
    source = "@pytest.mark.skipif(not torch.cuda.is_available(), reason='')\nclass TestOnAGPU: ..."
    assert unmarked(source) == ["TestOnAGPU"]
    assert unmarked("@pytest.mark.gpu\n" + source) == []
