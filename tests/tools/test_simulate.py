"""Promises of docs/statistics.md, by quick versions of its simulations, and the page that the tool writes."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "statistics"))

import simulate

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 2_000


def error(rate: float, repeats: int = REPEATS) -> float:
    """Return four standard errors of a simulated rate."""
    return 4 * math.sqrt(rate * (1 - rate) / repeats)


def test_family_wise_error() -> None:
    """Equal models are separated in at most 5 % of benchmarks; normal ones in nearly 5 %, so the test has power."""
    found = simulate.family_wise_error(REPEATS, [3, 5, 10])
    assert max(rate for (name, _), rate in found.items() if "collapses" not in name) <= 0.05 + error(0.05)
    assert min(rate for (name, _), rate in found.items() if name.startswith("normal")) >= 0.04 - error(0.04)
    assert max(simulate.family_wise_error_of_counts(REPEATS, [5, 10]).values()) <= 0.01
    assert max(simulate.false_equivalence(REPEATS, [3, 10]).values()) <= 0.05 + error(0.05)


def test_power_with_the_seeds_needed() -> None:
    """A true difference of the margin is found in 80 % of experiments, with exactly the expected number of seeds."""
    for (_, seeds), (needed, power) in simulate.power_with_known_spread(REPEATS, [3, 5, 12]).items():
        assert needed == seeds
        assert power == pytest.approx(0.8, abs=error(0.8))


def test_pilot_studies() -> None:
    """With the upper limit of the spread at least 77 % of pilots of ten seeds reach the power; with s about half."""
    found = simulate.pilots(400, [10])
    for with_limit, with_spread in found.values():
        assert with_limit >= 0.77 - error(0.77, 400)
        assert with_spread <= 0.55 + error(0.55, 400)


def test_coverage() -> None:
    """Intervals on the right scale cover 95 %; the same values without logarithms do not."""
    found = simulate.coverage(REPEATS, [3, 8])
    for (name, _), rate in found.items():
        if name.startswith(("linear", "log", "share")):
            assert rate == pytest.approx(0.95, abs=error(0.95))
        elif name.startswith("count"):
            assert rate >= 0.95
        else:
            assert rate < 0.9
    assert all(rate < 0.92 for rate, _ in simulate.coverage_with_collapse(REPEATS, [3, 8]).values())


def test_a_worse_model_loses_its_mark() -> None:
    """A model three deviations worse is marked in at most 5 % of benchmarks, if three deviations exceed the margin."""
    found = simulate.kept_marks(1_000, spreads=(0.15, 0.5))
    assert max(rate for rate, _, _ in found.values()) <= 0.05
    assert found["log, spread 0.5", "8, others far behind"][1] > 0.95


def test_the_page_has_the_tables(tmp_path: Path) -> None:
    """The tool replaces the part between its marks and nothing else; the published page has every table."""
    page = tmp_path / "statistics.md"
    page.write_text(f"before\n{simulate.BEGIN}\nold\n{simulate.END}\nafter\n", encoding="utf-8")
    simulate.write(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{simulate.BEGIN}\n\nnew\n\n{simulate.END}\nafter\n"
    published = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    filled = published.partition(simulate.BEGIN)[2].partition(simulate.END)[0]
    assert [line for line in filled.splitlines() if line.startswith("### ")] == [
        "### Family-wise error", "### Power with the seeds needed", "### Pilot studies", "### Coverage", "### Marks"
    ]  # fmt: skip
