"""Time loops in turn: ratios within a round hold on a machine whose speed changes."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from _floor import floor
from _loops import Loop
from _workloads import FLOOR, PARTS, Bench, Clock, Timed, Workload, makers

from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.training.draws import MOST_ROWS
from gan_bench.training.precision import set_precision

WARM_UP = 5  # iterations of each loop before the first round
LEAST, MOST = 3, 100  # rounds
TURN_SECONDS, TURN_ITERATIONS = 0.1, 25  # limits of a loop's turn on a CPU; on a GPU a turn is a block of draws
K = TypeVar("K", bound=Hashable)


def interleaved(
    loops: Mapping[K, Loop], rounds: int, iterations: int, clock: Clock = time.perf_counter
) -> dict[K, list[float]]:
    """Return milliseconds an iteration of each loop in each round, after a warm-up."""
    for loop in loops.values():
        for _ in range(WARM_UP):
            loop()
    return in_turn(loops, range(rounds), dict.fromkeys(loops, iterations), clock)


def in_turn(
    loops: Mapping[K, Loop], rounds: Iterable[int], iterations: Mapping[K, int], clock: Clock
) -> dict[K, list[float]]:
    """Return milliseconds an iteration of each loop in each round; `iterations` gives the length of a turn."""
    times: dict[K, list[float]] = {name: [] for name in loops}
    for _ in rounds:
        for name, loop in loops.items():
            started = clock()
            for _ in range(iterations[name]):
                loop()
            times[name].append((clock() - started) / iterations[name] * 1e3)
    return times


def rounds_until(deadline: float) -> Iterator[int]:
    """Yield round numbers until the deadline, at least `LEAST` and at most `MOST`."""
    for number in range(MOST):
        if number >= LEAST and time.perf_counter() >= deadline:
            return
        yield number


def warmed(loop: Loop, bench: Bench) -> int:
    """Warm a loop up and return its number of iterations in a round."""
    loop()
    started = bench.clock()
    loop()
    seconds = bench.clock() - started
    for _ in range(WARM_UP if seconds < TURN_SECONDS else 0):
        loop()
    if bench.device == "cuda":
        return MOST_ROWS  # a whole block, because its first iteration draws for all
    return max(1, min(TURN_ITERATIONS, round(TURN_SECONDS / max(seconds, 1e-6))))


@dataclass(frozen=True)
class Measured:
    """Milliseconds an iteration of a workload, by loop and round, and peaks of GPU memory in MB."""

    workload: str
    times: Mapping[Timed, list[float]]
    peaks: Mapping[Timed, float]

    def quotient(self, above: Timed, below: Timed) -> tuple[float, float, float]:
        """Return lower quartile, median and upper quartile of the ratio of two loops' times within a round."""
        return quartiles(self.times, above, below)

    def slope(self) -> float | None:
        """Return MB for one more stacked seed."""
        stacked = {key.seeds: peak for key, peak in self.peaks.items() if key.loop == "ours"}
        if len(stacked) < 2:
            return None
        return statistics.linear_regression([*stacked], [*stacked.values()]).slope


def quartiles(times: Mapping[K, list[float]], above: K, below: K) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile of the ratio within a round."""
    ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


def measure(
    bench: Bench,
    workload: Workload,
    deadline: float,
    made: Mapping[Timed, Callable[[], Loop]] | None = None,
    *,
    with_floor: bool = True,
) -> Measured:
    """Build the loops of a workload and run them in turn until `deadline`.

    Args:
        made: function that builds each loop. Default: those of `makers`.
        with_floor: whether the floor is measured as well.
    """
    with_floor = with_floor and not workload.counts
    set_precision(workload.precision)
    loops: dict[Timed, Loop] = {}
    iterations: dict[Timed, int] = {}
    peaks: dict[Timed, float] = {}
    for key, make in (makers(bench, workload) if made is None else made).items():
        before = memory(bench)
        try:
            loops[key] = make()
        except NotCompilableError as error:
            print(f"{workload.name}: not measured: {error}")
            continue
        iterations[key] = warmed(loops[key], bench)
        if bench.device == "cuda":
            peaks[key] = torch.cuda.max_memory_allocated() / 2**20 - before
    for name, part in (floor(bench.trainers(workload)[0]) if with_floor else {}).items():
        loops[PARTS[name]], iterations[PARTS[name]] = part, warmed(part, bench)
    times = in_turn(loops, rounds_until(deadline), iterations, bench.clock)
    if with_floor:
        times[FLOOR] = [sum(parts) for parts in zip(*(times[part] for part in PARTS.values()), strict=True)]
    return Measured(workload.name, times, peaks)


def memory(bench: Bench) -> float:
    """Reset the peak of GPU memory and return MB in use."""
    if bench.device == "cpu":
        return 0.0
    gc.collect()  # trainers form reference cycles
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 2**20
