"""Marks of tests: what needs a GPU is found by `pytest -m gpu`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.rglob("test_*.py"))


def unmarked(source: str) -> list[str]:
    """Tests and classes that are skipped without a GPU and lack the mark."""
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
    """The mark alone skips them, see conftest.py."""
    assert unmarked(path.read_text(encoding="utf-8")) == []


def test_one_that_is_not_is_found() -> None:
    """As the test of the real recorder was not."""
    source = "@pytest.mark.skipif(not torch.cuda.is_available(), reason='')\nclass TestOnAGPU: ..."
    assert unmarked(source) == ["TestOnAGPU"]
    assert unmarked("@pytest.mark.gpu\n" + source) == []
