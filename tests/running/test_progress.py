"""Progress display of a benchmark."""

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
from tests.support.messages import Messages

METRICS = ("symmetric_kl", "modes")


def run(label: str = "MGAN", seed: int = 0) -> Run:
    """Run with a label and a seed."""
    dataset, model = DatasetRef("ring8", {}, "ring8"), ModelRef("mgan", {})
    return Run("tiny", label, dataset, model, Protocol(), seed, "c", f"{label}-{seed}")


def at(iteration: int, **scores: float) -> Evaluated:
    """Evaluation at one of 2,000 iterations."""
    return Evaluated("key", iteration, 2000, scores)


def trained(iteration: int, rate: float) -> Progress:
    """Progress at one of 2,000 iterations."""
    return Progress("key", iteration, 2000, rate)


class TestPlain:
    def lines(self) -> tuple[PlainProgress, io.StringIO]:
        stream = io.StringIO()
        return PlainProgress(METRICS, stream), stream

    def test_prints_the_start_and_end_of_a_run(self, messages: Messages) -> None:
        """A run has two lines; the second has its last scores in the order of the benchmark, or its error."""
        display, stream = self.lines()
        display.planned([run(), run("GAN")], 3)
        display.started(run())
        display.evaluated(run(), at(2000, modes=8.0, symmetric_kl=0.12345, loss_generator=1.0))
        display.ended(run(), "finished", "")
        display.started(run("GAN"))
        display.ended(run("GAN"), "failed", "RuntimeError: no luck")
        first, *lines = stream.getvalue().splitlines()
        messages.check(first, 2, 3)
        assert lines == [
            "MGAN on ring8, seed 0 started",
            "[1/2] MGAN on ring8, seed 0 finished symmetric_kl 0.123  modes 8",
            "GAN on ring8, seed 0 started",
            "[2/2] GAN on ring8, seed 0 failed RuntimeError: no luck",
        ]

    def test_prints_the_position_of_a_run_every_half_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line has the iteration and their number, iterations per second, time left and last scores."""
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

    def test_reports_a_finished_benchmark(self, messages: Messages) -> None:
        display, stream = self.lines()
        display.planned([], 5)
        messages.check(stream.getvalue(), 5)

    def test_does_not_count_interrupted_runs_as_ended(self, messages: Messages) -> None:
        display, stream = self.lines()
        display.planned([run()], 0)
        display.started(run())
        display.stopping()
        display.ended(run(), "interrupted", "")
        stopping, last = stream.getvalue().splitlines()[-2:]
        messages.check(stopping, "Ctrl-C")
        assert last == "[0/1] MGAN on ring8, seed 0 interrupted"

    def test_prints_interim_tables(self, messages: Messages) -> None:
        """An interim table is printed whole, without its notes, which are in table.md."""
        display, stream = self.lines()
        display.interim_table(comparison(1, rows=2))
        shown = stream.getvalue()
        assert "tiny (1 of 5 seeds): ring8" in shown and "row1" in shown and "a note" not in shown
        messages.check(shown.strip().splitlines()[-1], "table.md")

    def test_prints_the_time_left_of_all_runs(self) -> None:
        """The line of an ended run has the time left, except for the last run."""
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

    def test_cuts_long_messages(self) -> None:
        """A message of 2 MB is one line of little more than a thousand characters, with its length."""
        display, stream = self.lines()
        display.warning(run(), "x" * 2_000_000)
        assert len(stream.getvalue()) < 1_100 and "(2,000,000 characters)" in stream.getvalue()

    def test_prints_texts_of_plugins_on_one_line(self) -> None:
        """Texts of plugins are printed without control characters of terminals."""
        display, stream = self.lines()
        display.started(run())
        display.ended(run(), "failed", "ValueError: first\n\x1b[2Jsecond")
        display.warning(run(), "a\nb")
        assert stream.getvalue().splitlines()[1:] == [
            "[1/0] MGAN on ring8, seed 0 failed ValueError: first \\x1b[2Jsecond",
            "MGAN on ring8, seed 0: a b",
        ]

    def test_prints_warnings_with_their_run(self) -> None:
        display, stream = self.lines()
        display.warning(run(), "checkpoint-20.pt is damaged")
        assert stream.getvalue() == "MGAN on ring8, seed 0: checkpoint-20.pt is damaged\n"


class TestLive:
    def shown(self, display: LiveProgress) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(display._shown())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def test_shows_active_runs(self) -> None:
        """Each active run has a row with iteration, speed, time left and scores; ended runs have none."""
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

    def test_keeps_the_last_table_above_the_runs(self, messages: Messages) -> None:
        """A table longer than the terminal is cut, because it could not be redrawn."""
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
        assert len(lines) <= 20
        (cut,) = (line for line in lines if line.startswith("…"))
        messages.check(cut, "table.md")
        assert "MGAN on ring8, seed 0" in lines[-1]
        display.live.stop()

    def test_fits_a_terminal_that_is_resized(self) -> None:
        """After a change of the terminal's width, no line is wider."""
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
        """At 60 columns a long label is shortened; iteration, speed and time left are not."""
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

    def test_cuts_labels_before_scores(self) -> None:
        """At 80 columns a long label is shortened in its middle, so that its scores are shown whole."""
        long = "a label of forty characters, if not more"
        console = Console(file=io.StringIO(), width=80)
        display = LiveProgress(METRICS, console)
        display.planned([run(long), run()], 0)
        display.started(run(long))
        display.evaluated(run(long), at(500, symmetric_kl=0.12345, modes=8.0))
        shown = Console(file=io.StringIO(), width=80)
        shown.print(display._shown())
        assert isinstance(shown.file, io.StringIO) and isinstance(console.file, io.StringIO)
        row = shown.file.getvalue().splitlines()[-1]
        assert "symmetric_kl 0.123  modes 8" in row and row.startswith("a lab") and "seed 0" in row
        display.ended(run(long), "finished", "")
        last = console.file.getvalue().splitlines()[-1]
        assert last.endswith("finished symmetric_kl 0.123  modes 8") and len(last) <= 80
        display.live.stop()

    def test_shows_the_time_left(self, monkeypatch: pytest.MonkeyPatch, messages: Messages) -> None:
        """The time left of all runs counts down from its forecast, and is not shown after Ctrl-C."""
        clock = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        assert "min" not in self.shown(display).splitlines()[0]
        display.forecast(60.0, 1200.0)
        clock[0] = 300.0
        messages.check(self.shown(display).splitlines()[0], "5:00", "15 min")
        display.stopping()
        assert "min" not in self.shown(display).splitlines()[0]

    def test_draws_nothing_before_the_first_run(self) -> None:
        """The thread that redraws starts with the first run, because processes are forked before it."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        with display:
            display.planned([run()], 0)
            assert not display.live.is_started
            display.started(run())
            assert display.live.is_started
        assert not display.live.is_started

    def test_prints_labels_literally(self) -> None:
        """Square brackets in a label are printed, not interpreted as markup."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.started(run("[red]K=8[/red]"))
        assert "[red]K=8[/red]" in self.shown(display)
        display.ended(run("[red]K=8[/red]"), "failed", "TypeError: [/bold]")
        assert isinstance(display.console.file, io.StringIO)
        assert "[red]K=8[/red] on ring8, seed 0 failed TypeError: [/bold]" in display.console.file.getvalue()

    def test_shows_an_unknown_time_before_the_speed_is_known(self) -> None:
        """Before the first progress, the time left is a question mark."""
        display = LiveProgress(METRICS, Console(file=io.StringIO(), width=120))
        display.started(run())
        assert "?" in self.shown(display)


def comparison(seeds: int, rows: int) -> Table:
    """Table of the first `seeds` of five seeds."""
    cells = {"modes": Estimate(8.0, None, None, (8.0,))}
    ledger = dict.fromkeys(LEDGER, 1.0)
    shown = [Row("ring8", f"row{i}", "gan", False, seeds, seeds, cells, ledger) for i in range(rows)]
    return Table(f"tiny ({seeds} of 5 seeds)", (Column("modes", MetricInfo()),), tuple(shown), (), ("a note",), ())


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, ""), (0.05, "20.0 s/it"), (0.99, "1.0 s/it"), (1.0, "1 it/s"), (412.3, "412 it/s")]
)
def test_speeds_below_one_iteration_a_second_are_seconds(rate: float, text: str) -> None:
    """Speeds below 1 it/s are shown as seconds per iteration, not as 0 it/s."""
    assert progress.speed(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (3600.0, "60 min"), (9000.0, "2.5 h")]
)
def test_durations_in_words_have_two_digits(seconds: float, text: str) -> None:
    """Durations are in seconds, minutes or hours."""
    assert progress.in_words(seconds) == text


def test_a_closed_stream_ends_no_run() -> None:
    """Lines for a closed pipe or terminal are dropped without an error."""
    stream = io.StringIO()
    stream.close()
    PlainProgress(METRICS, stream).note("not shown")

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    PlainProgress(METRICS, Broken()).note("not shown")
    LiveProgress(METRICS, QuietConsole(file=Broken(), width=80)).note("not shown")


def test_a_display_suits_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The display is live on a terminal that can redraw, and plain otherwise."""
    assert isinstance(make_progress(METRICS), PlainProgress)
    monkeypatch.setattr(Console, "is_terminal", True)
    assert isinstance(make_progress(METRICS), LiveProgress)
    monkeypatch.setattr(Console, "is_dumb_terminal", True)
    assert isinstance(make_progress(METRICS), PlainProgress)


@pytest.mark.parametrize(("seconds", "text"), [(None, "?"), (0.4, "0:00"), (61, "1:01"), (3725, "1:02:05")])
def test_durations_are_read_at_a_glance(seconds: float | None, text: str) -> None:
    """Durations have minutes and seconds, and hours if they are not 0."""
    assert progress.duration(seconds) == text
