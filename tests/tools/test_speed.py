"""Promises of tools/speed/speed.py: its loops play the measured games, and its figures are computed as described.

Nothing here measures time: sizes are tiny, and clocks count their calls.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "speed"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "common"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "gpu"))

import speed
from _figures import FIGURES, judged
from _floor import floor
from _loops import GAMES, GAN, bare
from _measuring import Measured, in_turn, measure, quartiles, rounds_until
from _page import END, PAGE, START, fill, tables
from _rates import COUNTS, SEEDS
from _workloads import (
    CIFAR10,
    COUNTED,
    EAGER,
    FLOOR,
    PARTS,
    PLAIN,
    PORT,
    WORKLOADS,
    Bench,
    Workload,
    ours,
    registry,
    with_generators,
)

from gan_bench.contracts.dataset import Real
from gan_bench.contracts.model import Fake
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages

POINTS = {"batch": 8, "fakes": 16, "latent_size": 4, "network": {"plugin": "mlp", "hidden": 6}, "init_scale": 0.5}
PHOTOGRAPHS = POINTS | {"fakes": 12, "network": {"plugin": "dcgan", "width": 2}}
PAIR = {"batch": 8, "fakes_per_generator": 4, "latent_size": 4, "network": {"plugin": "mlp-image", "hidden": 6}}
TINY: Mapping[str, Workload] = {
    **{
        name: replace(WORKLOADS[name], protocol=POINTS)
        for name in ("mgan-ring", "gan-ring", "unrolled-gan-ring", "wgan-gp-ring")
    },
    "mnist-pair": replace(
        WORKLOADS["mnist-pair"], protocol=PAIR, data=WORKLOADS["mnist-pair"].data | {"count": 16, "size": 8}
    ),
    "mgan-cifar10": replace(
        WORKLOADS["mgan-cifar10"],
        model=WORKLOADS["mgan-cifar10"].model | {"generators": 3},
        protocol=PHOTOGRAPHS,
        data=WORKLOADS["mgan-cifar10"].data | {"count": 16, "size": 16},
    ),
}


@pytest.fixture(scope="module")
def bench() -> Bench:
    """A bench on a CPU."""
    return Bench(registry(), "cpu")


def game_of(bench: Bench, name: str, *, port: bool) -> tuple[GAN, Trainer]:
    """Return a game at a tiny size, and the trainer that gives its settings."""
    (trainer,) = bench.trainers(TINY[name])
    return GAMES[TINY[name].model["plugin"]](trainer, port=port), trainer


def parameters(game: GAN) -> list[Tensor]:
    """Return the parameters of all players."""
    return [*game.players.judges.parameters(), *game.players.generators.parameters()]


@pytest.mark.parametrize("port", (True, False), ids=("port", "plain"))
@pytest.mark.parametrize("name", TINY)
class TestGames:
    """Hand-written loops."""

    def test_train(self, bench: Bench, name: str, port: bool) -> None:
        """An iteration updates judges and generators, with finite losses."""
        game, _ = game_of(bench, name, port=port)
        before = [value.detach().clone() for value in parameters(game)]
        game()
        moved = [not torch.equal(old, new) for old, new in zip(before, parameters(game), strict=True)]
        judges = len([*game.players.judges.parameters()])
        assert any(moved[:judges]) and any(moved[judges:])
        assert {*game.losses} == {"judges", "generators"}
        assert all(bool(torch.isfinite(loss)) for loss in game.losses.values())

    def test_make_as_many_samples_as_the_protocol_says(self, bench: Bench, name: str, port: bool) -> None:
        """K times `each` samples are generated, of the data's shape."""
        game, trainer = game_of(bench, name, port=port)
        assert game.fakes().shape == (trainer.model.playing * trainer.each, *trainer.dataset.shape)
        assert game.real().shape == (trainer.protocol.batch, *trainer.dataset.shape)

    def test_generate_as_often_as_they_say(
        self, bench: Bench, name: str, port: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A port generates in every turn. A plain loop generates once for all turns that share latents."""
        game, trainer = game_of(bench, name, port=port)
        made, fakes = [], game.players.fakes
        monkeypatch.setattr(game.players, "fakes", lambda: made.append(1) or fakes())
        game()
        again = port or trainer.protocol.latents == "fresh"
        assert len(made) == game.judge_steps + again


@pytest.mark.parametrize("name", TINY)
class TestObjectives:
    """Losses that the loops minimise."""

    def test_are_the_models(self, bench: Bench, name: str) -> None:
        """Losses, and the generators' gradients at the samples, equal the model's."""
        game, trainer = game_of(bench, name, port=False)
        real, fake = game.real(), game.fakes().detach().requires_grad_()
        torch.manual_seed(1)
        ours_too = (game.judge_loss(real, fake), game.generator_loss(real, fake))
        theirs = losses_of(trainer, real, fake)
        for mine, theirs_ in zip(ours_too, theirs, strict=True):
            torch.testing.assert_close(mine, theirs_)
        slopes = [torch.autograd.grad(losses[1], fake)[0] for losses in (ours_too, theirs)]
        torch.testing.assert_close(*slopes)

    def test_are_played_by_networks_of_the_same_size(self, bench: Bench, name: str) -> None:
        """A port has the parameters of the model's networks, plus a shift a channel from torch's normalisation."""
        game, trainer = game_of(bench, name, port=True)
        shifts = sum(
            layer.num_features
            for layer in game.players.generators.modules()
            if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
        )
        of_model = sum(value.numel() for value in trainer.model.parameters())
        assert sum(value.numel() for value in parameters(game)) - shifts == of_model


def losses_of(trainer: Trainer, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the model's loss of all judges together, and of the generators."""
    torch.manual_seed(1)
    model = trainer.model
    n = min(len(real), len(fake))
    given: dict[str, Any] = {
        "real": Real(real),
        "fake": Fake(fake, torch.empty(len(fake), 0), trainer.context.index, model.playing),
        "noise": {"mix": torch.rand(n, *[1] * (real.dim() - 1)).view(-1)},
    }
    found = {
        name: player.loss(**{key: given[key] for key in player.arguments})
        for name, player in trainer.context.players.items()
    }
    generator = found.pop("generator")
    return torch.stack([*found.values()]).sum(), generator


class TestBare:
    """Hand-written iteration of MGAN."""

    def test_is_the_trainers(self, bench: Bench) -> None:
        """After three iterations both have the same parameters."""
        (by_hand,), (trainer,) = bench.trainers(TINY["mgan-ring"]), bench.trainers(TINY["mgan-ring"])
        loop = bare(by_hand)
        for _ in range(3):
            loop()
            trainer.iterate()
        for mine, theirs in zip(by_hand.model.parameters(), trainer.model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)


class TestFloor:
    """Arithmetic of an iteration."""

    def test_has_the_products_of_an_iteration(self, bench: Bench) -> None:
        """The counts are MGAN's: generators once, discriminator on real and fake, then on fake for the generators."""
        (trainer,) = bench.trainers(TINY["mgan-ring"])
        n, b, z, h, heads = 16, 8, 4, 6, 1 + 8
        generate, judge = z * h + h * h + h * 2, 2 * h + h * heads
        generators = n * (2 * generate + h * h + h * 2)  # gradients of weights, and of all inputs but latents
        discriminator = (b + n) * (2 * judge + h * heads)
        through = n * 2 * judge
        products = floor(trainer)["products"]
        with FlopCounterMode(display=False) as counter:
            products()
        assert counter.get_total_flops() == 2 * (generators + discriminator + through)

    @pytest.mark.parametrize("name", ("mgan-cifar10", "wgan-gp-ring"))
    def test_has_three_parts(self, bench: Bench, name: str) -> None:
        """The three parts run without changing the trainer's parameters."""
        (trainer,) = bench.trainers(TINY[name])
        before = [value.detach().clone() for value in trainer.model.parameters()]
        parts = floor(trainer)
        for part in parts.values():
            part()
        assert parts.keys() == PARTS.keys()
        assert all(map(torch.equal, before, trainer.model.parameters()))


class TestRounds:
    """Loops in turn."""

    def test_are_timed_by_iteration(self) -> None:
        """Times are milliseconds an iteration, on a clock that a loop advances."""
        now = [0.0]

        def loop(seconds: float) -> Callable[[], None]:
            return lambda: now.__setitem__(0, now[0] + seconds)

        times = in_turn({"a": loop(1.0), "b": loop(0.25)}, range(2), {"a": 2, "b": 8}, lambda: now[0])
        assert times == {"a": [1000.0, 1000.0], "b": [250.0, 250.0]}
        assert quartiles(times, "a", "b") == (4.0, 4.0, 4.0)

    def test_are_three_where_no_time_is_left(self) -> None:
        assert [*rounds_until(0.0)] == [0, 1, 2]


class Uncompiled(Bench):
    """Bench without compilation, whose clock advances at each call."""

    ticks = count()

    def compilers(self, *, heavy: bool) -> list[Any]:
        return [None]

    @property
    def clock(self) -> Callable[[], float]:
        return lambda: float(next(self.ticks))


@pytest.fixture(scope="module")
def measured(bench: Bench) -> Measured:
    """Measurements of MGAN at a tiny size, with one seed and two."""
    return measure(Uncompiled(bench.registry, "cpu", (1, 2)), TINY["mgan-ring"], 0.0)


class TestMeasuring:
    """Measurement of a whole workload."""

    def test_has_every_loop_in_every_round(self, measured: Measured) -> None:
        """The floor is the sum of its parts."""
        assert {PORT, PLAIN, EAGER, ours(1), ours(2), FLOOR, *PARTS.values()} <= measured.times.keys()
        assert {len(times) for times in measured.times.values()} == {3}
        parts = [measured.times[part] for part in PARTS.values()]
        assert measured.times[FLOOR] == [sum(each) for each in zip(*parts, strict=True)]

    def test_is_written_with_its_columns(self, measured: Measured, tmp_path: Path) -> None:
        """Each loop has a row. Rows of another device or workload are kept, and the same rows are replaced."""
        path = tmp_path / "speed-cpu.csv"
        found = speed.rows(measured, "cpu")
        speed.publish(path, [found[0] | {"device": "another"}])
        speed.publish(path, found)
        speed.publish(path, found)
        with path.open(encoding="utf-8", newline="") as file:
            stored = [*csv.DictReader(file)]
        assert tuple(stored[0]) == speed.COLUMNS
        assert len(stored) == len(found) + 1
        assert stored[0]["device"] == "another"
        assert {row["torch"] for row in stored} == {torch.__version__.split("+")[0]}


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnGPU:
    """The same on a GPU."""

    @pytest.mark.parametrize("name", ("mgan-ring", "mgan-cifar10"))
    def test_every_loop_is_measured(self, bench: Bench, name: str) -> None:
        """Recorded loops are measured too, with their peaks of memory."""
        measured = measure(Bench(bench.registry, "cuda", (1,)), TINY[name], 0.0)
        assert {PORT, PLAIN, EAGER, ours(1), FLOOR} <= measured.times.keys()
        assert all(value > 0 for times in measured.times.values() for value in times)
        assert measured.peaks[ours(1)] > 0


BY_HAND = Measured(
    "mgan-ring",
    {PORT: [8.0, 8.0, 8.0], PLAIN: [6.0, 6.0, 6.0], ours(1): [2.0, 2.0, 2.0], ours(10): [4.0, 4.0, 4.0]},
    {ours(1): 30.0, ours(10): 120.0},
)


class TestFigures:
    """Figures computed from times."""

    def test_ratios_are_of_seed_iterations(self) -> None:
        """Ten seeds in twice the time of one are five times as fast, and 20 times as fast as the port."""
        row = speed.row(BY_HAND, ours(10))
        assert (row["ms"], row["seed_iterations_per_s"]) == (4.0, 2500.0)
        assert (row["ratio_to_port"], row["ratio_to_plain"], row["ratio_to_floor"]) == (20.0, 15.0, None)
        assert row["ratio_to_fewest"] is None

    def test_numbers_of_generators_are_compared_with_the_fewest(self) -> None:
        """The ratio is within a round, since the machine may have become slower since."""
        measured = Measured("mgan-generators", {with_generators(1): [1, 2, 4], with_generators(8): [2, 4, 8]}, {})
        assert speed.row(measured, with_generators(8))["ratio_to_fewest"] == 0.5

    def test_memory_has_a_slope(self) -> None:
        """The slope is in MB a stacked seed, or None if only one number of seeds was measured."""
        assert BY_HAND.slope() == pytest.approx(10.0)
        assert replace(BY_HAND, peaks={}).slope() is None

    def test_are_reached_or_missed(self, messages: Messages) -> None:
        """The verdict uses the ratio of milliseconds in a round, scaled to seeds. It is empty without measurements."""
        said = {(f.device, f.text): f.verdict(BY_HAND) or "" for f in FIGURES if f.workload == "mgan-ring"}
        messages.check(said["cpu", "port / ours"], "reached", "port / ours", "4", "2.7")
        messages.check(said["cuda", "ten seeds / one"], "reached", "ten seeds / one", "2")
        messages.check(said["cuda", "seed-iterations of ten seeds / port's"], "MISSED")
        assert said["cpu", "floor / ours"] == ""

    def test_name_workloads_and_loops_that_there_are(self, bench: Bench) -> None:
        """A figure of a workload that was renamed would never be reported."""
        assert {figure.workload for figure in FIGURES} <= WORKLOADS.keys()

    def test_are_covered_by_the_gpu_proof(self) -> None:
        """The proof measures the workload of each GPU figure, with the compared numbers of seeds and generators."""
        figures = [figure for figure in FIGURES if figure.device == "cuda"]
        measured = {"mgan-ring", "mgan-generators", *CIFAR10}
        compared = {each.loop for figure in figures for each in (figure.above, figure.below)}
        seeds = {each.seeds for figure in figures for each in (figure.above, figure.below)}
        assert {figure.workload for figure in figures} <= measured
        assert {loop for loop in compared if loop.startswith(COUNTED)} <= {with_generators(k).loop for k in COUNTS}
        assert seeds <= {*SEEDS}

    def test_say_what_they_have_to_be(self, messages: Messages) -> None:
        messages.check(judged("a / b", 1.5, 2.0, least=True), "MISSED", "a / b", "1.5", "2")


class TestPage:
    """Tables of docs/speed.md."""

    @pytest.fixture
    def published(self, tmp_path: Path) -> Path:
        """A published file of two machines; one has a workload, the other numbers of generators."""
        where = {"device": "a machine", "torch": "2.0", "python": "3.11.7", "date": "2026-01-01"}
        elsewhere = where | {"device": "another"}
        counted = Measured("mgan-generators", {with_generators(k): [ms] * 3 for k, ms in ((1, 2.0), (8, 3.0))}, {})
        path = tmp_path / "speed-cpu.csv"
        speed.publish(path, [speed.row(BY_HAND, key) | where for key in BY_HAND.times])
        speed.publish(path, [speed.row(counted, key) | elsewhere for key in counted.times])
        return path

    def test_are_of_each_machine(self, published: Path) -> None:
        """Stacked seeds have the time of one. Ratios are those of the file. Cells without a measurement are blank."""
        first, second = tables(published).split("Milliseconds")[1:]
        assert "on a machine (torch 2.0, Python 3.11.7, 2026-01-01)." in first
        assert cells(first, "workload")[1:7] == ["port", "plain", "eager", "ours", "10 seeds, each", "floor"]
        assert cells(first, "mgan-ring") == ["mgan-ring", "8", "6", "", "2", "0.4", "", "4", "3", ""]
        assert cells(second, "8") == ["8", "3", "1.50"]
        assert "workload" not in second

    def test_are_put_between_their_marks(self, published: Path, tmp_path: Path) -> None:
        """The text around the marks is kept, and a second call changes nothing."""
        page = tmp_path / "page.md"
        page.write_text(f"above\n\n{START.format(device='cpu')}old\n{END}\n\nbelow\n", encoding="utf-8")
        for _ in range(2):
            fill(page, "cpu", published)
        text = page.read_text(encoding="utf-8")
        assert text == f"above\n\n{START.format(device='cpu')}\n{tables(published)}\n\n{END}\n\nbelow\n"

    def test_a_page_without_marks_is_refused(self, published: Path, tmp_path: Path, messages: Messages) -> None:
        """The page is not left unchanged without an error."""
        page = tmp_path / "page.md"
        page.write_text("nothing\n", encoding="utf-8")
        with messages.raises(SystemExit, page, "figures: cuda"):
            fill(page, "cuda", published)

    @pytest.mark.parametrize("device", ("cpu", "cuda"))
    def test_are_those_that_were_published(self, device: str) -> None:
        """The page in docs/ matches the file in results/."""
        after = PAGE.read_text(encoding="utf-8").partition(START.format(device=device))[2]
        shown, mark, _ = after.partition(END)
        path = speed.published(device)
        assert mark
        assert shown.strip() == (tables(path) if path.is_file() else "")


def cells(table: str, first: str) -> list[str]:
    """Return the cells of the row with this first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return next(row for row in rows if row[0] == first)


class TestCommand:
    """Workloads that the command selects."""

    def test_leaves_photographs_to_gpus(self) -> None:
        """CIFAR-10 is measured on a CPU only on request."""
        usual = [each.name for each in speed.chosen(speed.arguments([]), "cpu")]
        asked = speed.chosen(speed.arguments(["--workload", "mgan-cifar10"]), "cpu")
        assert "mgan-ring" in usual and "mgan-cifar10" not in usual
        assert [each.name for each in asked] == ["mgan-cifar10"]
