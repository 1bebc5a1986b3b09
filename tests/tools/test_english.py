"""Promises of tools/english.py: the sentences it counts, the places it searches, and the limit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import english
from tools.english import Text, hits, page_texts, python_texts


def phrases(sentence: str, *, boolean: bool = False) -> list[str]:
    """Return the names of the phrases in a docstring of one line."""
    return [hit.phrase for hit in hits(Text(1, (sentence,), summary=True, boolean=boolean))]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The file tells of it.", "tell"),
        ("The reason that a folder says.", "say"),
        ("An observer hears of a run.", "hear"),
        ("The names stand in the header.", "stand"),
        ("A run asks for samples.", "ask"),
        ("Samples are asked of it.", "ask"),
        ("The metric wants labels.", "want"),
        ("A trainer knows its model.", "know"),
        ("It lets a reader of it know.", "know"),
        ("The models this plugin brings.", "bring"),
        ("The run goes on.", "go on"),
        ("The rate, where there is one.", "where there is"),
        ("The rate where it is given, else 0.", "where … else"),
        ("Report what is known of a run.", "what is … of"),
        ("A stack is made of runs.", "made"),
        ("Runs are carried out here.", "carry out"),
        ("The file is written anew.", "anew"),
        ("A name that nobody uses.", "anybody"),
        ("It stops by itself.", "by itself"),
        ("Each has a name of its own.", "of its own"),
        ("If the limit is none.", "is none"),
        ("The file is no dataset.", "is no X"),
        ("What a run needs.", "summary"),
        ("How many runs there are.", "summary"),
        ("Whether a run is stored.", "summary"),
        ("Going through the runs.", "summary"),
    ],
)
def test_counts(sentence: str, expected: str) -> None:
    """Each phrase is counted once, under its name."""
    assert phrases(sentence) == [expected]


@pytest.mark.parametrize(
    "sentence",
    [
        "Report a warning.",
        "The standard deviation, or None if the sample is None.",
        "Training data of one run; there is no limit.",
        "The size is no larger than 3, and no longer a tuple.",
        'Return `says` and "stands" as they are.',
        "x stands for a sample.",
        "String of digits.",
        "Settings are known once the data are loaded.",
    ],
)
def test_leaves_alone(sentence: str) -> None:
    """Ordinary English, quotations and exceptions are not counted."""
    assert phrases(sentence) == []


def test_whether_begins_the_summary_of_a_boolean() -> None:
    """The summary of a property or predicate may begin with "Whether"."""
    assert phrases("Whether a run is stored.", boolean=True) == []


def test_finds_docstrings_and_comments_but_no_code() -> None:
    """Strings, names and directives of linters count as code."""
    source = '''"""Module.

Second line says it.
"""

said: bool = True  # it hears
"""Whether it was counted."""


def told() -> str:
    """Return
    what stands."""
    return "says"  # noqa: says
'''
    found = [(hit.line, hit.phrase) for text in python_texts(source) for hit in hits(text)]
    assert sorted(found) == [(3, "say"), (6, "hear"), (12, "stand")]


def test_finds_paragraphs_but_no_code_blocks() -> None:
    """Fenced blocks, indented blocks and backticks count as code."""
    page = "# It says\n\nA run goes\non here.\n\n```\nit tells\n```\n\n    it hears\n\n- item `says`\n- stands\n"
    found = [(hit.line, hit.phrase) for text in page_texts(page) for hit in hits(text)]
    assert found == [(1, "say"), (3, "go on"), (13, "stand")]


@pytest.mark.parametrize(("limit", "code"), [("500", 1), ("1000", 0)])
def test_exits_with_1_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str, code: int
) -> None:
    """One hit in one line is a rate of 1,000."""
    (tmp_path / "page.md").write_text("It says.\n", encoding="utf-8")
    monkeypatch.setattr(english, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["english.py", "page.md", "--limit", limit])
    with pytest.raises(SystemExit) as stopped:
        english.main()
    assert stopped.value.code == code
    assert "page.md:1: says" in capsys.readouterr().out
