"""Settings in which the contract kit runs a plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator

from gan_bench.contracts.parameters import param
from gan_bench.testing.settings import allowed, made, settings


class Thing:
    """A plugin with a parameter of every kind."""

    @dataclass(frozen=True)
    class Params:
        """One parameter of each kind."""

        size: int = param(4, "A number.", low=1, high=10_000)
        rate: float = param(0.5, "A rate.", above=0, high=1)
        style: str = param("a", "A choice.", choices=("a", "b", "c"))
        fast: bool = param(True, "A switch.")
        most: int | None = param(3, "A number or none.")
        label: str = param("x", "Any text.")


def tried(cls: Any) -> set[str]:
    """Labels of the settings of a class."""
    return {str(setting) for setting in settings(cls)}


def test_each_parameter_alone() -> None:
    """Settings are all choices, both values of a switch, None if allowed, near bounds and neighbours of the default."""
    expected = {
        "defaults",
        *("size = 1", "size = 3", "size = 5"),  # 10,000 is far from 4
        *("rate = 1.0", "rate = 0.25"),
        *("style = 'b'", "style = 'c'"),
        "fast = False",
        *("most = None", "most = 2", "most = 4"),
    }
    assert tried(Thing) == expected


def test_only_what_may_switch_code_branches() -> None:
    """Choices, switches and None may select other code; numbers do not."""
    branching = {str(setting) for setting in settings(Thing) if setting.branches}
    assert branching == {"defaults", "style = 'b'", "style = 'c'", "fast = False", "most = None"}


def test_refused_values_are_left_out() -> None:
    """Values that a range or __post_init__ refuses are omitted. A preset sets several values at once."""
    found = tried(MultiDiscriminator)
    assert "supplementary = 'single'" in found
    assert "generators = 3" in found
    assert "generators = 1" not in found
    assert "preset 'paper'" in found
    assert allowed(MultiDiscriminator, {"generators": 3, "supplementary": "single"}) is None


def test_required_values() -> None:
    """A parameter without a default gets an allowed value."""

    class Demanding:
        """A plugin without defaults."""

        @dataclass(frozen=True)
        class Params:
            """Required parameters."""

            size: int
            share: float
            fast: bool

    assert made(Demanding) == Demanding.Params(1, 1.0, True)
    assert made(Demanding, size=7, unknown=3) == Demanding.Params(7, 1.0, True)
