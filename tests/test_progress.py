"""What is seen of a benchmark while it runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from gan_bench import progress
from gan_bench.plan import Run
from gan_bench.progress import LiveProgress, PlainProgress, make_progress

METRICS = ("symmetric_kl", "modes")


def run(label: str = "MGAN", seed: int = 0) -> Run:
    """A run that only has a name."""
    return Run("tiny", label, {"label": "ring8"}, {}, {}, seed, "c", f"{label}-{seed}")


def at(iteration: int, **more: Any) -> Mapping[str, Any]:
    """An event at an iteration of 2,000."""
    return {"iteration": iteration, "iterations": 2000, **more}


class TestPlain:
    def lines(self) -> tuple[PlainProgress, io.StringIO]:
        stream = io.StringIO()
        return PlainProgress(METRICS, stream), stream

    def test_says_when_a_run_starts_and_how_it_ends(self) -> None:
        """A line each, with the last scores in the order of the benchmark, or with the error."""
        display, stream = self.lines()
        display.planned([run(), run("GAN")], 3)
        display.started(run())
        display.evaluated(run(), at(2000, scores={"modes": 8.0, "symmetric_kl": 0.12345, "loss_generator": 1.0}))
        display.ended(run(), "finished", "")
        display.started(run("GAN"))
        display.ended(run("GAN"), "failed", "RuntimeError: no luck")
        assert stream.getvalue().splitlines() == [
            "2 runs to do, 3 done already.",
            "MGAN on ring8, seed 0 started",
            "[1/2] MGAN on ring8, seed 0 finished symmetric_kl 0.123  modes 8",
            "GAN on ring8, seed 0 started",
            "[2/2] GAN on ring8, seed 0 failed RuntimeError: no luck",
        ]

    def test_says_where_a_run_is_every_half_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Iteration of total, iterations a second, time left, last scores; not more often."""
        clock = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
        display, stream = self.lines()
        display.started(run())
        display.active[run().key].said = 0.0
        display.evaluated(run(), at(0, scores={"modes": 2.0}))
        for second in range(70):
            clock[0] = float(second)
            display.progress(run(), at(100 + second, rate=20.0))
        assert stream.getvalue().splitlines()[1:] == [
            "MGAN on ring8, seed 0 130/2,000 20 it/s, 1:33 left modes 2",
            "MGAN on ring8, seed 0 160/2,000 20 it/s, 1:32 left modes 2",
        ]

    def test_says_that_nothing_is_left(self) -> None:
        """A finished benchmark is said to be finished."""
        display, stream = self.lines()
        display.planned([], 5)
        assert stream.getvalue() == "All 5 runs are done.\n"

    def test_does_not_count_interrupted_runs_as_ended(self) -> None:
        """They are still to do."""
        display, stream = self.lines()
        display.planned([run()], 0)
        display.started(run())
        display.stopping()
        display.ended(run(), "interrupted", "")
        assert stream.getvalue().splitlines()[-2:] == [
            "Stopping: runs write their checkpoints. Ctrl-C again kills them.",
            "[0/1] MGAN on ring8, seed 0 interrupted",
        ]

    def test_passes_warnings_on(self) -> None:
        """A warning names its run."""
        display, stream = self.lines()
        display.warning(run(), "checkpoint-20.pt is damaged")
        assert stream.getvalue() == "MGAN on ring8, seed 0: checkpoint-20.pt is damaged\n"


class TestLive:
    def shown(self, display: LiveProgress) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(display._table())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def test_shows_what_goes_on(self) -> None:
        """A row for each active run with iteration, speed, time left and scores; ended ones leave."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.planned([run(seed=0), run(seed=1)], 0)
        for seed in (0, 1):
            display.started(run(seed=seed))
        display.progress(run(seed=1), at(500, rate=25.0))
        display.evaluated(run(seed=1), at(500, scores={"modes": 8.0}))
        display.ended(run(seed=0), "finished", "")
        shown = self.shown(display)
        assert "1 of 2 runs ended" in shown
        assert "seed 0" not in shown
        row = next(line for line in shown.splitlines() if "seed 1" in line)
        assert row.split() == ["MGAN", "on", "ring8,", "seed", "1", "500/2,000", "25", "1:00", "modes", "8"]

    def test_takes_labels_literally(self) -> None:
        """Square brackets of a label are no markup, in the table or above it."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.started(run("[red]K=8[/red]"))
        assert "[red]K=8[/red]" in self.shown(display)
        display.ended(run("[red]K=8[/red]"), "failed", "TypeError: [/bold]")
        assert isinstance(display.console.file, io.StringIO)
        assert "[red]K=8[/red] on ring8, seed 0 failed TypeError: [/bold]" in display.console.file.getvalue()

    def test_does_not_know_the_time_before_it_knows_the_speed(self) -> None:
        """Time left is a question mark at first."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.started(run())
        assert "?" in self.shown(display)


def test_a_display_suits_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain lines without a terminal, a live table on one."""
    assert isinstance(make_progress(METRICS), PlainProgress)
    monkeypatch.setattr(Console, "is_terminal", True)
    assert isinstance(make_progress(METRICS), LiveProgress)


@pytest.mark.parametrize(("seconds", "text"), [(None, "?"), (0.4, "0:00"), (61, "1:01"), (3725, "1:02:05")])
def test_durations_are_read_at_a_glance(seconds: float | None, text: str) -> None:
    """Minutes and seconds, hours where there are any."""
    assert progress._duration(seconds) == text
