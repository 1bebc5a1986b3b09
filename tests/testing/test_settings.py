"""The settings that the contract kit tries a plugin with."""

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
        """Some of each."""

        size: int = param(4, "A number.", low=1, high=10_000)
        rate: float = param(0.5, "A rate.", above=0, high=1)
        style: str = param("a", "A choice.", choices=("a", "b", "c"))
        fast: bool = param(True, "A switch.")
        most: int | None = param(3, "Perhaps a number.")
        label: str = param("x", "Any text.")


def tried(cls: Any) -> set[str]:
    """The settings by what they are called."""
    return {str(setting) for setting in settings(cls)}


def test_each_parameter_alone() -> None:
    """Choices and switches in full, None where allowed, near bounds, and a value on either side of the default."""
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
    """A number is no other code path; a choice, a switch and None are."""
    branching = {str(setting) for setting in settings(Thing) if setting.branches}
    assert branching == {"defaults", "style = 'b'", "style = 'c'", "fast = False", "most = None"}


def test_refused_values_are_left_out() -> None:
    """What a range or __post_init__ refuses is not tried; a preset sets several values at once."""
    found = tried(MultiDiscriminator)
    assert "supplementary = 'single'" in found
    assert "generators = 3" in found
    assert "generators = 1" not in found
    assert "preset 'paper'" in found
    assert allowed(MultiDiscriminator, {"generators": 3, "supplementary": "single"}) is None


def test_required_values() -> None:
    """A parameter without a default gets a value that it allows."""

    class Demanding:
        """Nothing has a default."""

        @dataclass(frozen=True)
        class Params:
            """All required."""

            size: int
            share: float
            fast: bool

    assert made(Demanding) == Demanding.Params(1, 1.0, True)
    assert made(Demanding, size=7, unknown=3) == Demanding.Params(7, 1.0, True)
