"""Simulate the statistics of `gan_bench.statistics`, and write the tables of docs/statistics.md.

    python tools/statistics/simulate.py                      print all tables
    python tools/statistics/simulate.py docs                 write them into docs/statistics.md
    python tools/statistics/simulate.py --repeats 500        quickly

Every table has its own random stream, so results depend on `--repeats` only. Values are drawn as (repeats, models,
seeds), and the functions under test are those that compare stored results.
"""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from gan_bench.contracts.metric import Scale
from gan_bench.files import write_atomically
from gan_bench.statistics.differences import mcnemar, paired_t
from gan_bench.statistics.intervals import COLLAPSE, clopper_pearson, t_interval
from gan_bench.statistics.leaders import leaders
from gan_bench.statistics.power import detectable_effect, power_of_t, seeds_needed, upper_spread
from gan_bench.statistics.scales import mean_of, transform
from gan_bench.statistics.verdicts import ALPHA, decide, holm, paired_equivalence

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

REPEATS = 20_000
MODELS = 6
MARGIN = math.log(1.25)
SIZES = range(3, 11)

BEGIN, END = "<!-- begin: tools/statistics/simulate.py -->", "<!-- end: tools/statistics/simulate.py -->"


def shared(spread: float, noise: Draw) -> Draw:
    """Return values with an effect of the seed that all models (axis 1) share, as paired seeds have."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return noise(rng, shape) + spread * rng.normal(size=(shape[0], 1, shape[2]))

    return draw


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return normal values; for a metric on the log scale, lognormal ones."""
    return rng.normal(size=shape)


def lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return skewed values that are compared without logarithms."""
    return np.exp(rng.normal(size=shape))


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return values of Student's t with three degrees of freedom."""
    return rng.standard_t(3, size=shape)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return logarithms of values of which one in five is 20 times as large."""
    return 0.2 * rng.normal(size=shape) + math.log(20) * (rng.random(shape) < 0.2)


def shares(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return log odds of shares of 1,000 samples, about 0.98 with a spread between seeds."""
    counts = rng.binomial(1_000, expit(4 + rng.normal(size=shape)))
    return transform(counts / 1_000, "share", np.full(shape, 1_000))


EXCHANGEABLE: Mapping[str, Draw] = {
    "normal": normal,
    "normal, paired": shared(2.0, normal),
    "lognormal, linear scale": lognormal,
    "t, 3 degrees of freedom": heavy,
    "shares": shares,
    "one seed in five collapses": collapsing,
}
"""Distributions of exchangeable models, on the transformed scale."""


def differences(values: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """Return differences by seed (repeats, pairs, seeds) of values (repeats, models, seeds)."""
    first, second = (np.array(each) for each in zip(*pairs, strict=True))
    return values[:, first] - values[:, second]


def against_first(models: int) -> list[tuple[int, int]]:
    """Return the default family: every model against one baseline."""
    return [(i, 0) for i in range(1, models)]


# --- tables -------------------------------------------------------------------------------------------------------


def family_wise_error(repeats: int = REPEATS, sizes: Sequence[int] = SIZES) -> dict[tuple[str, int], float]:
    """Rate of at least one "better" or "worse" among equal models, by distribution and number of seeds."""
    found = {}
    for row, (name, draw) in enumerate(EXCHANGEABLE.items()):
        for n in sizes:
            values = draw(np.random.default_rng([1, row, n]), (repeats, MODELS, n))
            for family, pairs in (
                ("baseline", against_first(MODELS)),
                ("all pairs", [*combinations(range(MODELS), 2)]),
            ):
                p = holm(paired_t(differences(values, pairs)))
                found[f"{name}; {family}", n] = float((p <= ALPHA).any(axis=1).mean())
    return found


def family_wise_error_of_counts(repeats: int = REPEATS, sizes: Sequence[int] = SIZES) -> dict[tuple[str, int], float]:
    """Rate of at least one difference between equal models by McNemar's test; half of the seeds are complete."""
    found = {}
    for n in sizes:
        complete = np.random.default_rng([2, n]).random((repeats, MODELS, n)) < 0.5
        ahead, behind = complete[:, 1:] & ~complete[:, :1], complete[:, :1] & ~complete[:, 1:]
        first, second = ahead.sum(axis=2), behind.sum(axis=2)
        # p depends on these two numbers only
        table = np.array([[_mcnemar_of(a, b) for b in range(n + 1)] for a in range(n + 1)])
        found["counts (McNemar); baseline", n] = float((holm(table[first, second]) <= ALPHA).any(axis=1).mean())
    return found


def _mcnemar_of(first: int, second: int) -> float:
    a = np.array([True] * first + [False] * second, dtype=bool)
    return mcnemar(a, ~a)


def false_equivalence(repeats: int = REPEATS, sizes: Sequence[int] = SIZES) -> dict[tuple[str, int], float]:
    """Rate of at least one "equivalent" among models that all differ from the baseline by the margin."""
    found = {}
    for row, spread in enumerate((0.02, 0.1, 0.3)):
        for n in sizes:
            values = np.random.default_rng([3, row, n]).normal(0, spread, (repeats, MODELS, n))
            values[:, 1:] += MARGIN
            p = holm(paired_equivalence(differences(values, against_first(MODELS)), MARGIN))
            found[f"equivalence, spread {spread}", n] = float((p <= ALPHA).any(axis=1).mean())
    return found


def power_with_known_spread(
    repeats: int = REPEATS, sizes: Sequence[int] = (3, 4, 5, 8, 12, 20, 40)
) -> dict[tuple[float, int], tuple[int, float]]:
    """Seeds needed, and simulated power with them, at the largest σ that each number of seeds can show.

    With a smaller σ the number is rounded up, and the power larger.
    """
    found = {}
    for comparisons in (1, 5, 28):
        alpha = ALPHA / comparisons
        for n in sizes:
            spread = MARGIN / detectable_effect(n, alpha) * (1 - 1e-9)
            needed = seeds_needed(spread, MARGIN, alpha)
            assert needed is not None
            d = np.random.default_rng([4, comparisons, n]).normal(MARGIN, spread, (repeats, needed))
            found[alpha, n] = needed, float((paired_t(d) <= alpha).mean())
    return found


def pilots(repeats: int = REPEATS, sizes: Sequence[int] = (3, 5, 10)) -> dict[tuple[int, float], tuple[float, float]]:
    """Share of pilot studies after which the true power is at least 80 %, by pilot size and true σ / margin.

    From the upper limit of the spread, and for comparison from the spread itself.
    """
    found = {}
    for n in sizes:
        for ratio in (0.5, 1.0, 2.0, 4.0):
            rng = np.random.default_rng([5, n, int(10 * ratio)])
            spreads = rng.normal(0, ratio, (repeats, n)).std(axis=1, ddof=1)
            enough = seeds_needed(ratio, 1.0)
            assert enough is not None and power_of_t(1 / ratio, enough) >= 0.8
            limits = [seeds_needed(upper_spread(float(s), n), 1.0) or math.inf for s in spreads]
            plain = [seeds_needed(float(s), 1.0) or math.inf for s in spreads]
            found[n, ratio] = float(np.mean(np.array(limits) >= enough)), float(np.mean(np.array(plain) >= enough))
    return found


def coverage(repeats: int = REPEATS, sizes: Sequence[int] = (3, 5, 8, 10)) -> dict[tuple[str, int], float]:
    """Coverage of 95 % intervals by scale and distribution."""
    found = {}
    for n in sizes:
        rng = np.random.default_rng([6, n])
        found["linear: normal", n] = _covered(rng.normal(size=(repeats, n)), "linear", 0.0)
        skewed = np.exp(rng.normal(size=(repeats, n)))
        found["log: lognormal, spread 1", n] = _covered(skewed, "log", 1.0)
        found["(linear: the same values)", n] = _covered(skewed, "linear", math.exp(0.5))
        for centre, spread, samples in ((2.0, 0.7, 10_000), (5.0, 1.0, 1_000)):
            shares = rng.binomial(samples, expit(rng.normal(centre, spread, (repeats, n)))) / samples
            name = f"share: about {expit(centre):.3f} of {samples:,}"
            found[name, n] = _covered(shares, "share", float(expit(centre)), samples)
        for p in (0.5, 0.8, 0.95):
            found[f"count: probability {p} of a complete seed", n] = coverage_of_counts(n, p)
    return found


def _covered(values: Array, scale: Scale, truth: float, samples: int | None = None) -> float:
    """Share of the rows (repeats, n) whose interval contains the truth."""
    sizes = None if samples is None else np.full(values.shape, samples)
    _, low, high = (mean_of(each, scale) for each in t_interval(transform(values, scale, sizes)))
    return float(((low <= truth) & (truth <= high)).mean())


def coverage_of_counts(n: int, p: float) -> float:
    """Exact coverage of Clopper and Pearson's interval, by enumeration of k."""
    intervals = [clopper_pearson(k, n) for k in range(n + 1)]
    return float(sum(stats.binom.pmf(each.k, n, p) for each in intervals if each.low <= p <= each.high))


def coverage_with_collapse(
    repeats: int = REPEATS, sizes: Sequence[int] = (3, 5, 8, 10)
) -> dict[tuple[str, int], tuple[float, float]]:
    """Coverage of the mean's interval if one seed in five collapses, and share of rows labelled unreliable."""
    found = {}
    for n in sizes:
        log_values = collapsing(np.random.default_rng([7, n]), (repeats, n))
        values = np.exp(log_values)
        labelled = (values > COLLAPSE * np.median(values, axis=1, keepdims=True)).any(axis=1)
        truth = math.exp(0.2**2 / 2) * (0.8 + 0.2 * 20)
        found["linear", n] = _covered(values, "linear", truth), float(labelled.mean())
        found["log", n] = _covered(values, "log", math.exp(0.2 * math.log(20))), float(labelled.mean())
    return found


def kept_marks(
    repeats: int = REPEATS, n: int = 5, spreads: Sequence[float] = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Rates of marks in benchmarks with a model three deviations worse than the best.

    A deviation is σ, the standard deviation between seeds of one model. The other models are as good as the best, or 10
    deviations worse. Values are: rate at which the worse model is marked; rate at which only others are marked; rate at
    which nothing is marked.
    """
    found = {}
    for row, spread in enumerate((*spreads, None)):
        name = "linear, no margin" if spread is None else f"log, spread {spread}"
        for models, others in ((2, 0.0), (4, 0.0), (8, 0.0), (4, 10.0), (8, 10.0)):
            means = np.array([0.0, *[others] * (models - 2), 3.0])
            values = np.random.default_rng([8, row, models, int(others)]).normal(0, 1, (repeats, models, n))
            values = (spread or 1.0) * (values + means[:, None])
            column = f"{models} models" if models == 2 else f"{models}, others {'far behind' if others else 'equal'}"
            found[name, column] = _marked(values, None if spread is None else MARGIN)
    return found


def _marked(values: Array, margin: float | None) -> tuple[float, float, float]:
    """Rates of `kept_marks` for values (repeats, models, n), lower is better, the last model the worse."""
    pairs = [*combinations(range(values.shape[1]), 2)]
    d = differences(values, pairs)
    p = holm(paired_t(d))
    equivalent = np.full(p.shape, np.nan) if margin is None else holm(paired_equivalence(d, margin))
    verdicts = decide(-d.mean(axis=2), p, equivalent)
    beaten = np.zeros(values.shape[:2], dtype=bool)
    for i, (first, second) in enumerate(pairs):
        beaten[:, second] |= verdicts[:, i] == "better"
        beaten[:, first] |= verdicts[:, i] == "worse"
    lead = leaders(values.mean(axis=2), beaten, margin)
    worse, anything = lead[:, -1], lead.any(axis=1)
    return float(worse.mean()), float((anything & ~worse).mean()), float((~anything).mean())


# --- page ---------------------------------------------------------------------------------------------------------


def tables(repeats: int) -> Iterator[str]:
    """Yield the tables as Markdown, each with a heading."""
    error = 100 * math.sqrt(ALPHA * (1 - ALPHA) / repeats)
    yield (
        f"### Family-wise error\n\nPercentage of {repeats:,} benchmarks of {MODELS} equal models with any verdict "
        f'"better" or "worse" (last three rows: with any wrong "equivalent"). Allowed: 5 plus two standard errors, '
        f"{5 + 2 * error:.2f}."
    )
    rates = family_wise_error(repeats) | family_wise_error_of_counts(repeats) | false_equivalence(repeats)
    yield _grid(rates, "distribution; family", "seeds", lambda rate: f"{100 * rate:.2f}")
    yield (
        "### Power with the seeds needed\n\nPercentage of experiments that show a true difference of the margin, at "
        "the largest spread of the differences for which each number of seeds is enough. For smaller spreads the "
        "number is rounded up, and the power is higher."
    )
    powers = {
        (f"{alpha:.4f}", n): f"{100 * power:.1f}" for (alpha, n), (_, power) in power_with_known_spread(repeats).items()
    }
    yield _grid(powers, "level of one test", "seeds", str)
    yield (
        "### Pilot studies\n\nPercentage of pilot studies after which the seeds needed reach 80 % power. In brackets: "
        "the same if they were computed from the spread itself instead of its upper limit."
    )
    few = max(200, repeats // 4)
    shares = {(f"{n} seeds", ratio): value for (n, ratio), value in pilots(few).items()}
    yield _grid(shares, "pilot", "spread / margin", lambda pair: f"{100 * pair[0]:.1f} ({100 * pair[1]:.1f})")
    yield "### Coverage\n\nPercentage of 95 % intervals that contain the true value."
    yield _grid(coverage(repeats), "scale: values", "seeds", lambda rate: f"{100 * rate:.1f}")
    yield (
        "One seed in five is 20 times as large. In brackets: percentage of rows that are labelled unreliable, because "
        "a seed is above ten times the median."
    )
    rows = coverage_with_collapse(repeats)
    yield _grid(rows, "scale", "seeds", lambda pair: f"{100 * pair[0]:.1f} ({100 * pair[1]:.1f})")
    yield (
        "### Marks\n\nPercentage of benchmarks with five seeds in which a model three deviations worse than the best "
        "is marked. A deviation is the spread between seeds of one model. In brackets: only others are marked; nothing "
        f"is marked. Up to a spread of {MARGIN / 3:.3f} the worse model is within the margin of the best, ln 1.25, so "
        "that it may be marked."
    )
    yield _grid(kept_marks(repeats), "scale", "", lambda r: f"{100 * r[0]:.2f} ({100 * r[1]:.0f}; {100 * r[2]:.0f})")


def _grid(
    cells: Mapping[tuple[str, Any], Any],
    rows: str,
    columns: str,
    shown: Callable[[Any], str],
) -> str:
    """Format values by row and column as a Markdown table."""
    names = list(dict.fromkeys(row for row, _ in cells))
    heads = list(dict.fromkeys(column for _, column in cells))
    titles = [f"{columns} {heads[0]}".strip(), *map(str, heads[1:])]
    lines = [f"| {rows} | {' | '.join(titles)} |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    lines += ["| " + " | ".join([name, *(shown(cells[name, head]) for head in heads)]) + " |" for name in names]
    return "\n".join(lines)


def _wrapped(part: str) -> str:
    """Wrap the lines of a part that are neither headings nor rows of a table."""
    return "\n".join(line if line.startswith(("|", "#")) else textwrap.fill(line, 120) for line in part.split("\n"))


def write(page: Path, text: str) -> None:
    """Replace the part of a page between the two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("docs", nargs="?", type=Path, help="folder of statistics.md")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="repeats of each cell (%(default)s)")
    arguments = parser.parse_args()
    text = "\n\n".join(_wrapped(part) for part in tables(arguments.repeats))
    if arguments.docs is None:
        print(text)
    else:
        write(arguments.docs / "statistics.md", text)


if __name__ == "__main__":
    main()
