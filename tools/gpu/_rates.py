"""Steps that time iterations: against hand-written loops, and against the GPU's arithmetic."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import speed
import torch
from _figures import matrix_rate, of_cifar10, verdicts
from _loops import GAMES, Loop
from _measuring import Measured, measure
from _runs import TINY_IMAGES, TINY_RING
from _steps import PASSED, Context, Failed, Step, Values, Work
from _workloads import (
    CIFAR10,
    CIFAR10_FLOP,
    EAGER,
    PORT,
    WORKLOADS,
    Bench,
    Timed,
    Workload,
    freely,
    makers,
    one_program,
    ours,
    registry,
)

from gan_bench.acceleration.compilation import Compiler, as_traced
from gan_bench.acceleration.cuda_graphs import captured

PRECISIONS = ("float32", "tf32", "bfloat16")
SEEDS = (1, 10)
COUNTS = (1, 32)
Makers = Mapping[Timed, Callable[[], Loop]]


@dataclass(frozen=True)
class Recorded(Bench):
    """Bench whose programs are recorded as CUDA graphs without compilation, or only traced on a CPU."""

    def compilers(self, *, heavy: bool) -> list[Compiler | None]:
        """Return the only compiler."""
        return [captured(as_traced) if self.device == "cuda" else as_traced]


def graph(seeds: int) -> Timed:
    """Return the key of seeds recorded as one uncompiled program."""
    return Timed("graph", seeds)


def sized(workload: Workload, context: Context) -> Workload:
    """Return the workload, or a tiny version of it in a rehearsal."""
    if not context.tiny:
        return workload
    if "images" not in workload.data["plugin"]:
        return replace(workload, protocol={**workload.protocol, **TINY_RING})
    data = dict(workload.data) | ({"count": 16, "size": 16} if workload.data["plugin"] == "noise-images" else {})
    return replace(
        workload,
        model={**workload.model, "generators": 3},
        data=data,
        protocol={**workload.protocol, **TINY_IMAGES},
    )


def figures(context: Context, measured: Measured, said: list[str]) -> dict[str, Any]:
    """Print a workload's figures; return rows of the published file, verdicts, and memory of a stacked seed."""
    rows = speed.rows(measured, context.device)
    speed.show(rows, measured)
    print("\n".join(said), flush=True)
    slope = measured.slope()
    return {"rows": rows, "verdicts": said} | ({} if slope is None else {"mb_per_stacked_seed": round(slope, 1)})


# --- the ring -------------------------------------------------------------------------------------------------


def bench_of(context: Context) -> Bench:
    """Return a bench whose programs are compiled, or only recorded if the step `programs` failed."""
    compile = context.device == "cuda" and context.statuses.get("programs") == PASSED
    return (Bench if compile else Recorded)(registry(), context.device, (1, 2) if context.tiny else SEEDS)


def on_ring(context: Context) -> Values:
    """Time MGAN on the ring for one and ten seeds: port, plain, eager, recorded and compiled."""
    bench = bench_of(context)
    recorded = Recorded(bench.registry, bench.device)
    workload = sized(WORKLOADS["mgan-ring"], context)
    made = makers(bench, workload)
    made |= {graph(n): partial(one_program, recorded, workload, n) for n in bench.seeds or SEEDS}
    measured = timed(context, bench, workload, 80, made)
    found = figures(context, measured, verdicts(measured, bench))
    most = max(bench.seeds or SEEDS)
    found["compiled"] = type(bench) is Bench
    for name, above, below in (
        ("eager / graph", EAGER, graph(1)),
        ("port / ours", PORT, ours(1)),
        (f"{most} seeds / 1 seed", ours(most), ours(1)),
        ("graph / ours", graph(1), ours(1)),
    ):
        found[name] = quotient(measured, above, below)
    if found["port / ours"] is not None:
        found["seed-iterations a second, of the port's"] = most * (quotient(measured, PORT, ours(most)) or 0)
    return found


def quotient(measured: Measured, above: Timed, below: Timed) -> float | None:
    """Return the median ratio of two loops' times if both were measured."""
    return measured.quotient(above, below)[1] if {above, below} <= measured.times.keys() else None


def of_generators(context: Context) -> Values:
    """Time 32 generators against one."""
    bench = bench_of(context)
    workload = sized(replace(WORKLOADS["mgan-generators"], counts=COUNTS), context)
    measured = timed(context, bench, workload, 45)
    return figures(context, measured, verdicts(measured, bench)) | {"compiled": type(bench) is Bench}


def timed(
    context: Context, bench: Bench, workload: Workload, seconds: float, made: Makers | None = None, **options: bool
) -> Measured:
    """Build loops and run them in turn for `seconds` in total, or until shortly before the command's deadline."""
    torch.set_num_threads(1)
    until = time.perf_counter() + min(0.0 if context.tiny else seconds, max(0.0, context.left - 20))
    return measure(bench, workload, until, made, **options)


# --- photographs ----------------------------------------------------------------------------------------------


def matrix(context: Context) -> Values:
    """Measure matrix products: operations a second in each precision."""
    bench = Bench(registry(), context.device)
    rates = {precision: rate_of(precision, bench, context) for precision in PRECISIONS}
    return {"flop_per_s": rates, "tflop_per_s": {name: round(rate / 1e12, 2) for name, rate in rates.items()}}


def rate_of(precision: str, bench: Bench, context: Context) -> float:
    """Return operations a second in matrix products."""
    return matrix_rate(precision, bench, **({"n": 64, "times": 2} if context.tiny else {}))


def of_photographs(precision: str) -> Work:
    """Return a step that times MGAN with the networks of Table 4 in one precision."""

    def work(context: Context) -> Values:
        name = next(each for each in CIFAR10 if WORKLOADS[each].precision == precision)
        workload, bench = sized(WORKLOADS[name], context), Bench(registry(), context.device, (1,))
        whole = precision == "float32"  # the other precisions measure only the loops that are compared
        made = None if whole else _fewer(bench, workload)
        measured = timed(context, bench, workload, 35, made, with_floor=whole)
        if ours(1) not in measured.times:
            raise Failed("the iteration cannot be recorded")
        rate = context.values.get("matrix", {}).get("flop_per_s", {}).get(precision) or rate_of(
            precision, bench, context
        )
        said = verdicts(measured, bench, rate) or of_cifar10(measured, bench, rate)
        found = figures(context, measured, said)
        ms = statistics.median(measured.times[ours(1)])
        bound = CIFAR10_FLOP / rate * 1e3
        found["rows"].append(found["rows"][0] | _bound_row(bound))
        return found | {"ms": ms, "bound_ms": bound, "port / ours": quotient(measured, PORT, ours(1))}

    return work


def _fewer(bench: Bench, workload: Workload) -> Makers:
    """Return the builders of the port-style loop and ours."""
    game = GAMES[workload.model["plugin"]]
    return {
        PORT: lambda: freely(game(bench.trainers(workload)[0], port=True)),
        ours(1): partial(one_program, bench, workload, 1),
    }


def _bound_row(bound: float) -> dict[str, Any]:
    """Return values for a loop's row that replace its figures by the least time of the arithmetic."""
    figures = {"loop": "bound", "seeds": 1, "ms": bound, "low": bound, "high": bound}
    blank = ("ratio_to_port", "ratio_to_plain", "ratio_to_floor", "ratio_to_fewest", "peak_memory_mb")
    return figures | {"seed_iterations_per_s": 1e3 / bound} | dict.fromkeys(blank)


RING_STEPS = (
    Step("ring", "MGAN on the ring, loops in turn", on_ring, 130, least=60, alone=True),
    Step("generators", "32 generators against one", of_generators, 80, least=30, alone=True),
)
PHOTOGRAPH_STEPS = (
    Step("matrix", "operations a second in matrix products", matrix, 45, alone=True),
    *(
        Step(f"cifar10-{precision}", f"MGAN on CIFAR-10, {precision}", of_photographs(precision), 75, 20, alone=True)
        for precision in PRECISIONS
    ),
)
