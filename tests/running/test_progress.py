"""What is seen of a benchmark while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gan_bench.contracts.events import Evaluated, Progress
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef, ModelRef, Run
from gan_bench.contracts.table import Column, Estimate, MetricInfo, Row, Table
from gan_bench.results.load import LEDGER
from gan_bench.running import progress
from gan_bench.running.progress import LiveProgress, PlainProgress, QuietConsole, make_progress

METRICS = ("symmetric_kl", "modes")


def run(label: str = "MGAN", seed: int = 0) -> Run:
    """A run that only has a name."""
    dataset, model = DatasetRef("ring8", {}, "ring8"), ModelRef("mgan", {})
    return Run("tiny", label, dataset, model, Protocol(), seed, "c", f"{label}-{seed}")


def at(iteration: int, **scores: float) -> Evaluated:
    """An evaluation at an iteration of 2,000."""
    return Evaluated("key", iteration, 2000, scores)


def trained(iteration: int, rate: float) -> Progress:
    """An event at an iteration of 2,000."""
    return Progress("key", iteration, 2000, rate)


class TestPlain:
    def lines(self) -> tuple[PlainProgress, io.StringIO]:
        stream = io.StringIO()
        return PlainProgress(METRICS, stream), stream

    def test_says_when_a_run_starts_and_how_it_ends(self) -> None:
        """A line each, with the last scores in the order of the benchmark, or with the error."""
        display, stream = self.lines()
        display.planned([run(), run("GAN")], 3)
        display.started(run())
        display.evaluated(run(), at(2000, modes=8.0, symmetric_kl=0.12345, loss_generator=1.0))
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
        display.active[run().key].last_logged = 0.0
        display.evaluated(run(), at(0, modes=2.0))
        for second in range(70):
            clock[0] = float(second)
            display.progress(run(), trained(100 + second, rate=20.0))
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

    def test_prints_the_table_so_far(self) -> None:
        """Whole, without its notes, which are in table.md."""
        display, stream = self.lines()
        display.interim_table(comparison(1, rows=2))
        shown = stream.getvalue()
        assert "tiny (1 of 5 seeds): ring8" in shown and "row1" in shown and "a note" not in shown
        assert "Notes on this table: table.md." in shown

    def test_says_how_long_all_runs_take(self) -> None:
        """With each run that has ended, but for the last."""
        display, stream = self.lines()
        display.planned([run(), run("GAN")], 0)
        for label in ("MGAN", "GAN"):
            display.started(run(label))
            display.forecast(60.0, 600.5)
            display.ended(run(label), "finished", "")
        assert [line for line in stream.getvalue().splitlines() if line.startswith("[")] == [
            "[1/2] MGAN on ring8, seed 0 finished (about 10 min left)",
            "[2/2] GAN on ring8, seed 0 finished",
        ]

    def test_keeps_what_plugins_say_on_one_line(self) -> None:
        """Without characters that a terminal obeys."""
        display, stream = self.lines()
        display.started(run())
        display.ended(run(), "failed", "ValueError: first\n\x1b[2Jsecond")
        display.warning(run(), "a\nb")
        assert stream.getvalue().splitlines()[1:] == [
            "[1/0] MGAN on ring8, seed 0 failed ValueError: first  [2Jsecond",
            "MGAN on ring8, seed 0: a b",
        ]

    def test_passes_warnings_on(self) -> None:
        """A warning names its run."""
        display, stream = self.lines()
        display.warning(run(), "checkpoint-20.pt is damaged")
        assert stream.getvalue() == "MGAN on ring8, seed 0: checkpoint-20.pt is damaged\n"


class TestLive:
    def shown(self, display: LiveProgress) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(display._shown())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def test_shows_what_goes_on(self) -> None:
        """A row for each active run with iteration, speed, time left and scores; ended ones leave."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.planned([run(seed=0), run(seed=1)], 0)
        for seed in (0, 1):
            display.started(run(seed=seed))
        display.progress(run(seed=1), trained(500, rate=25.0))
        display.evaluated(run(seed=1), at(500, modes=8.0))
        display.ended(run(seed=0), "finished", "")
        shown = self.shown(display)
        assert "1 of 2 runs ended" in shown
        assert "seed 0" not in shown
        row = next(line for line in shown.splitlines() if "seed 1" in line)
        assert row.split() == ["MGAN", "on", "ring8,", "seed", "1", "500/2,000", "25", "it/s", "1:00", "modes", "8"]

    def test_keeps_the_last_table_above_the_runs(self) -> None:
        """Cut where the terminal has no room for all of it, since what is too long cannot be redrawn."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=60, height=20))
        display.started(run())
        for seeds in (1, 2):
            display.interim_table(comparison(seeds, rows=4))
        lines = self.shown(display).splitlines()
        assert lines[0] == "tiny (2 of 5 seeds): ring8"
        assert [line.split()[0] for line in lines[2:8]] == ["model", "-----", "row0", "row1", "row2", "row3"]
        assert "MGAN on ring8, seed 0" in lines[-1]
        display.interim_table(comparison(3, rows=40))
        lines = self.shown(display).splitlines()
        assert len(lines) <= 20 and "… the whole table is in table.md" in lines
        assert "MGAN on ring8, seed 0" in lines[-1]
        display.live.stop()

    def test_fits_a_terminal_that_is_resized(self) -> None:
        """No line is wider than the terminal is now."""
        console = Console(file=io.StringIO(), width=120, height=30)
        display = LiveProgress(METRICS, console)
        display.started(run("a label that is longer than others"))
        display.interim_table(comparison(1, rows=2))
        display.evaluated(run("a label that is longer than others"), at(5, symmetric_kl=1.0, modes=8.0))
        for width in (120, 60, 40):
            console.width = width
            shown = Console(file=io.StringIO(), width=width)
            shown.print(display._shown())
            assert isinstance(shown.file, io.StringIO)
            assert max(map(len, shown.file.getvalue().splitlines())) <= width
        display.live.stop()

    def test_cuts_labels_before_counters(self) -> None:
        """At 60 columns a long label leaves iteration, speed and time left as they are."""
        long = "a label of forty characters, if not more"
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=60))
        display.started(run(long))
        display.progress(run(long), trained(500, rate=25.0))
        shown = Console(file=io.StringIO(), width=60)
        shown.print(display._shown())
        assert isinstance(shown.file, io.StringIO)
        row = shown.file.getvalue().splitlines()[-1]
        assert "500/2,000" in row and "25 it/s" in row and "1:00" in row and "…" in row
        display.live.stop()

    def test_shows_the_time_that_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of all runs together, counted down since it was known; nothing after Ctrl-C."""
        clock = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        assert "left" not in self.shown(display).splitlines()[0]
        display.forecast(60.0, 1200.0)
        clock[0] = 300.0
        assert "5:00 so far, about 15 min left" in self.shown(display)
        display.stopping()
        assert "left" not in self.shown(display).splitlines()[0]

    def test_draws_nothing_before_the_first_run(self) -> None:
        """A thread that redraws would not survive the forks that measure models."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        with display:
            display.planned([run()], 0)
            assert not display.live.is_started
            display.started(run())
            assert display.live.is_started
        assert not display.live.is_started

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


def comparison(seeds: int, rows: int) -> Table:
    """A table of so many seeds out of five."""
    cells = {"modes": Estimate(8.0, None, 1)}
    ledger = dict.fromkeys(LEDGER, 1.0)
    shown = [Row("ring8", f"row{i}", "gan", False, seeds, seeds, cells, ledger) for i in range(rows)]
    return Table(f"tiny ({seeds} of 5 seeds)", (Column("modes", MetricInfo()),), tuple(shown), (), ("a note",), ())


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, ""), (0.05, "20.0 s/it"), (0.99, "1.0 s/it"), (1.0, "1 it/s"), (412.3, "412 it/s")]
)
def test_speeds_below_one_iteration_a_second_are_seconds(rate: float, text: str) -> None:
    """Slow iterations are not shown as 0 it/s."""
    assert progress.speed(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (3600.0, "60 min"), (9000.0, "2.5 h")]
)
def test_durations_in_words_have_two_digits(seconds: float, text: str) -> None:
    """Of seconds, minutes or hours."""
    assert progress.in_words(seconds) == text


def test_a_closed_stream_ends_no_run() -> None:
    """A pipe or terminal that is closed meanwhile: what cannot be shown is not shown."""
    stream = io.StringIO()
    stream.close()
    PlainProgress(METRICS, stream).note("nobody reads this")

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    PlainProgress(METRICS, Broken()).note("nor this")
    LiveProgress(METRICS, QuietConsole(file=Broken(), width=80)).note("nor this")


def test_a_display_suits_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain lines without a terminal, a live table on one."""
    assert isinstance(make_progress(METRICS), PlainProgress)
    monkeypatch.setattr(Console, "is_terminal", True)
    assert isinstance(make_progress(METRICS), LiveProgress)
    monkeypatch.setattr(Console, "is_dumb_terminal", True)
    assert isinstance(make_progress(METRICS), PlainProgress)


@pytest.mark.parametrize(("seconds", "text"), [(None, "?"), (0.4, "0:00"), (61, "1:01"), (3725, "1:02:05")])
def test_durations_are_read_at_a_glance(seconds: float | None, text: str) -> None:
    """Minutes and seconds, hours where there are any."""
    assert progress.duration(seconds) == text
