"""Tests of the lines of TOML keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_bench.config.toml_lines import key_lines, parse
from gan_bench.errors import ConfigError

TEXT = '''# name = "comment"
name = "x" # a = [1
"quoted key".inner = 1
'literal # key' = 2
[protocol]
learning_rate = { generator = 1e-4, "discriminator" = { deep = [1, 2] } }
network.plugin = "mlp"
text = """
[model]
a = 1 \\""" still """""
raw = \'\'\'
b = 2''\'\'\'

[evaluation]
metrics = [
  "a", # first ] "
  "b = [",

  ["c",
   "d"],
]
when = 1979-05-27 07:32:00
[[model]]
plugin = "one"
[model.protocol]
batch = 1
[[model]]
plugin = "two"
beta = nan
[[model.part]]
k = 1
[[model.part]]
k = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("quoted key",), 3),
        (("quoted key", "inner"), 3),
        (("literal # key",), 4),
        (("protocol",), 5),
        (("protocol", "learning_rate"), 6),
        (("protocol", "learning_rate", "generator"), 6),
        (("protocol", "learning_rate", "discriminator", "deep", 1), 6),
        (("protocol", "network", "plugin"), 7),
        (("protocol", "text"), 8),
        (("protocol", "raw"), 11),
        (("evaluation",), 14),
        (("evaluation", "metrics"), 15),
        (("evaluation", "metrics", 0), 16),
        (("evaluation", "metrics", 1), 17),
        (("evaluation", "metrics", 2), 19),
        (("evaluation", "metrics", 2, 1), 20),
        (("evaluation", "when"), 22),
        (("model", 0), 23),
        (("model", 0, "plugin"), 24),
        (("model", 0, "protocol"), 25),
        (("model", 0, "protocol", "batch"), 26),
        (("model", 1, "plugin"), 28),
        (("model", 1, "beta"), 29),
        (("model", 1, "part", 0, "k"), 31),
        (("model", 1, "part", 1, "k"), 33),
    ],
)
def test_each_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    """Tables, dotted keys, inline tables, arrays and their elements have their lines."""
    assert key_lines(TEXT)[path] == line


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path} | {each for key, inner in items for each in _paths(inner, (*path, key))}


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), "", "# only\n", "a=1", "a = {}\nb = [ ]\n"])
def test_the_scanner_sees_what_the_parser_sees(text: str) -> None:
    """Exactly the paths of the parsed data have a line."""
    data, lines = parse(text, "x.toml")
    assert set(lines) | {()} == _paths(data)


def test_the_shipped_benchmarks_scan_completely() -> None:
    """Every path of a shipped benchmark has a line, too."""
    files = list((Path(__file__).parents[2] / "benchmarks").glob("*.toml"))
    assert files
    for file in files:
        data, lines = parse(file.read_text(), file.name)
        assert set(lines) | {()} == _paths(data)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = \n", "x.toml:2"),
        ("a = 1\n\nb 2", "x.toml:3"),
        ("a = 1\na = 2\n", "x.toml:2"),
        ('a = 1\nb = "open\n', "x.toml:2"),
        ("a = [1,\n2,\n", "x.toml:2"),
        ("[[a]]\n[a]\n", "x.toml:2"),
        ("a = " + "9" * 5000, "x.toml"),
        ("a = " + "[" * 20_000, "x.toml"),
    ],
)
def test_a_syntax_error_becomes_one_problem_with_its_line(text: str, where: str) -> None:
    """Invalid TOML raises ConfigError with file and line, and no other exception."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.toml")
    (problem,) = caught.value.problems
    assert problem.where == where
    assert "(at line" not in problem.message
