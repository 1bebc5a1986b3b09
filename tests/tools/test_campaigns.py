"""Campaigns of tools/campaigns, in their small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.campaigns import plugins, records


def test_there_are_enough_misbehaving_plugins() -> None:
    """Their names differ, and each can be compiled."""
    cases = list(plugins.cases())
    assert len({case.name for case in cases}) == len(cases) >= 60
    for case in cases:
        compile(case.source, case.name, "exec")
    assert {case.name for case in cases} >= {*plugins.QUICK_RUNS}


def test_harm_is_found(tmp_path: Path) -> None:
    """Each kind of harm that a command may leave is counted."""
    (tmp_path / "results" / "tiny").mkdir(parents=True)
    (tmp_path / "out.txt").write_text("SPILLED", encoding="utf-8")
    (tmp_path / "err.txt").write_text("Traceback (most recent call last):", encoding="utf-8")
    found = plugins.examine("case", tmp_path, None, [("1",)])
    assert found.kinds.keys() == {"traceback", "hang", "harmed"}
    run = tmp_path / "results" / "tiny" / "runs" / "ring8-mgan-s0-x"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"status": "finished"}', encoding="utf-8")
    (run / "curve.csv").write_text("metric,value\nmodes,2\nmetric_x,3\n", encoding="utf-8")
    (tmp_path / "err.txt").write_text("", encoding="utf-8")
    (tmp_path / "results" / "tiny" / "table.md").touch()
    (tmp_path / "results" / "tiny" / ".lock").touch()
    (tmp_path / "out.txt").write_text("mgan", encoding="utf-8")
    assert plugins.examine("case", tmp_path, 0, [("modes", "2")]).kinds == {}
    assert plugins.examine("case", tmp_path, 0, [("modes", "1")]).kinds.keys() == {"differs"}


@pytest.mark.slow
def test_misbehaving_plugins_harm_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no command that does not end, no other run harmed, no other values."""
    assert plugins.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "0 traceback, 0 hang, 0 harmed, 0 differs" in capsys.readouterr().out


@pytest.mark.slow
def test_damaged_records_stop_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no read that does not end, no other row harmed, no changed value without a mark."""
    assert records.main(["--quick"]) == 0
    assert "no fault" in capsys.readouterr().out
