"""Promises of tools/campaigns/outputs.py: no fault with hostile names, and each kind of fault is found."""

from __future__ import annotations

import pytest

from gan_bench import escape
from gan_bench.report.tables import formats
from tools.campaigns import outputs


def test_no_writer_has_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """Every 24th hostile name passes all writers."""
    assert outputs.main(["--quick"]) == 0, capsys.readouterr().out


def test_there_are_enough_names() -> None:
    """There are more than the 759 of an earlier campaign, all different."""
    assert len(set(outputs.names())) == len(outputs.names()) >= 759


@pytest.mark.parametrize(
    ("function", "name", "writer"),
    [
        ("markdown", "a|b", "table.md"),
        ("markdown_block", "<b>", "table.md"),
        ("latex", "50%_&", "table in LaTeX"),
        ("latex_row", "[2pt]", "table in LaTeX"),
        ("csv_cell", "=1+1", "table.csv"),
        ("one_line", "a\x1b[2J", "progress"),
        ("printable", "a\u202eb", "check"),
        ("html", "<b>", "report"),
        ("json_in_html", "</script>", "report"),
    ],
)
def test_a_writer_that_does_not_escape_is_found(
    monkeypatch: pytest.MonkeyPatch, function: str, name: str, writer: str
) -> None:
    """If a function of `escape` returned its text unchanged, the campaign would report a fault."""
    plain = (lambda cells: " & ".join(cells) + r" \\") if function == "latex_row" else (lambda text: text)
    monkeypatch.setattr(escape, function, plain)
    assert formats.escape is escape
    assert list(outputs.WRITERS[writer](name))
