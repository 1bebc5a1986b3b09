"""Checking values against a Params dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_bench.contracts.parameters import NoParams, checked, describe, param, resolve, shown
from gan_bench.contracts.protocol import Protocol
from gan_bench.errors import PluginError


@dataclass(frozen=True)
class Everything:
    """One parameter of each kind."""

    count: int = param(8, "A count.", low=1, high=64)
    beta: float = param(0.125, "A weight.", low=0)
    rate: float = param(0.1, "A rate.", above=0)
    on: bool = param(False, "A switch.")
    form: str = param("sgd", "A choice.", choices=("sgd", "adam"))
    widths: tuple[float, ...] = param((1.0, 2.0), "A list.", low=0)
    names: tuple[str, ...] = param((), "Names.")
    limit: int | None = param(None, "An optional count.", low=1)
    by_player: float | Mapping[str, float] = param(1.0, "One value or one a player.", above=0)
    plain: int = 3
    derived: dict[str, Any] = field(default_factory=dict)


def problems_of(given: Mapping[str, Any], **options: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """What `resolve` reports of values for `Everything`."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    made = resolve(Everything, given, lambda path, text: found.append((path, text)), **options)
    assert (made is None) == bool(found)
    return found


def accepted(**given: Any) -> Everything:
    """An instance from values that must be valid."""
    made = resolve(Everything, given, lambda path, text: pytest.fail(text))
    assert made is not None
    return made


def test_nothing_given_is_all_defaults() -> None:
    """An empty table gives the defaults."""
    assert accepted() == Everything()
    assert resolve(NoParams, {}, lambda path, text: pytest.fail(text)) == NoParams()


def test_values_take_the_declared_type() -> None:
    """A whole number for a float is a float, a list is a tuple, so that equal settings hash equally."""
    made = accepted(beta=1, widths=[1, 2.5], names=["a"], limit=3, by_player={"d": 1}, plain=4)
    assert repr((made.beta, made.widths, made.names)) == "(1.0, (1.0, 2.5), ('a',))"
    assert (made.limit, made.by_player, made.plain) == (3, {"d": 1.0}, 4)
    assert type(accepted(count=np.int64(3)).count) is int
    assert type(accepted(beta=np.float32(0.5)).beta) is float
    assert accepted(limit=None).limit is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, "count must be a whole number >= 1 and <= 64, found 0."),
        ("count", 65, "count must be a whole number >= 1 and <= 64, found 65."),
        ("count", 8.0, "count must be a whole number >= 1 and <= 64, found 8.0."),
        ("count", True, "count must be a whole number >= 1 and <= 64, found true."),
        ("count", None, "count must be a whole number >= 1 and <= 64, found none."),
        ("beta", float("nan"), "beta must be a finite number >= 0, found nan."),
        ("beta", float("inf"), "beta must be a finite number >= 0, found inf."),
        ("beta", 10**400, f"beta must be a finite number >= 0, found 1{'0' * 56}...."),
        ("beta", -0.1, "beta must be a finite number >= 0, found -0.1."),
        ("beta", "big", 'beta must be a finite number >= 0, found "big".'),
        ("beta", False, "beta must be a finite number >= 0, found false."),
        ("rate", 0, "rate must be a finite number > 0, found 0."),
        ("on", 1, "on must be true or false, found 1."),
        ("form", "adm", "form cannot be \"adm\"; did you mean 'adam'? Known: adam, sgd."),
        ("form", 3, "form must be a string, found 3."),
        ("widths", 3, "widths must be a list of finite numbers >= 0, found 3."),
        ("names", "a", 'names must be a list of strings, found "a".'),
        ("limit", 0, "limit must be a whole number >= 1, found 0."),
        ("by_player", [1], "by_player must be a finite number > 0 or a table of such values, found [1]."),
        ("on", {"a": 1}, "on must be true or false, found a table."),
    ],
)
def test_an_impossible_value_is_reported(name: str, value: Any, message: str) -> None:
    """The message names the parameter, what it must be, and what was found."""
    assert problems_of({name: value}) == [((name,), message)]


def test_elements_are_reported_at_their_own_path() -> None:
    """Each bad element of a list or table is a problem of its own."""
    found = problems_of({"widths": [1, -1, "x"], "by_player": {"d": 0, "g": 1}})
    assert [path for path, _ in found] == [("widths", 1), ("widths", 2), ("by_player", "d")]
    assert found[2][1].startswith("by_player.d must be")


def test_all_problems_are_reported_in_the_order_given() -> None:
    """Not only the first one."""
    found = problems_of({"rate": -1, "unknown": 1, "count": "x", "on": 0})
    assert [path for path, _ in found] == [("rate",), ("unknown",), ("count",), ("on",)]


def test_an_unknown_key_names_the_closest() -> None:
    """Reserved keys belong to the caller: they are no problem, and are suggested."""
    ((path, message),) = problems_of({"label": "x", "lable": "y"}, reserved=("label",))
    assert path == ("lable",)
    assert message.startswith("unknown key 'lable'; did you mean 'label'? Known: beta, ")
    assert problems_of({"bta": 1})[0][1].startswith("unknown key 'bta'; did you mean 'beta'?")


def test_a_derived_field_cannot_be_given() -> None:
    """A field with a default factory is computed, never read, and not described."""
    assert problems_of({"derived": {}})[0][1].startswith("unknown key 'derived'")
    assert "derived" not in {each.name for each in describe(Everything)}


def test_a_required_parameter_may_not_be_missing() -> None:
    """A plain field without a default must be given."""

    @dataclass(frozen=True)
    class Required:
        size: int

    found: list[str] = []
    assert resolve(Required, {}, lambda path, text: found.append(text)) is None
    assert found == ["size is missing; it must be a whole number."]
    assert describe(Required)[0].default == "required"


def test_what_values_mean_together_is_the_class_s_own_check() -> None:
    """A ValueError of `__post_init__` is reported for the table as a whole."""

    @dataclass(frozen=True)
    class Ordered:
        low: float = 0.0
        high: float = 1.0

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    found: list[Any] = []
    assert resolve(Ordered, {"low": 2}, lambda path, text: found.append((path, text))) is None
    assert found == [((), "low is above high")]


def test_checked_keeps_what_is_valid() -> None:
    """The valid values of a table with mistakes, and nothing that was not given."""
    assert checked(Everything, {"beta": 2, "count": 0, "x": 1}, lambda path, text: None) == {"beta": 2.0}


def test_describe_says_type_default_range_and_explanation() -> None:
    """What `list` prints of a parameter."""
    rows = {each.name: each for each in describe(Everything)}
    assert rows["count"] == ("count", "int", "8", ">= 1 and <= 64", "A count.")
    assert rows["form"] == ("form", "str", '"sgd"', "one of sgd, adam", "A choice.")
    assert rows["limit"][1:4] == ("int or none", "none", ">= 1")
    assert rows["widths"][1:3] == ("list of float", "[1.0, 2.0]")
    assert rows["by_player"].type == "float or table of float"
    assert rows["plain"] == ("plain", "int", "3", "", "")


def test_the_protocol_is_described_and_checked_like_any_parameters() -> None:
    """Per-player tables of single values and of lists are understood."""
    rows = {each.name: each for each in describe(Protocol)}
    assert rows["betas"].type == "list of float or table of list of float"
    assert "network_params" not in rows
    made = resolve(Protocol, {"betas": {"generator": [0, 0.9]}}, lambda path, text: pytest.fail(text))
    assert made is not None
    assert made.betas == {"generator": (0.0, 0.9)}


def test_a_type_that_no_file_can_hold_is_the_plugin_s_fault() -> None:
    """It is found before any value is given, and names the field."""

    @dataclass(frozen=True)
    class Strange:
        where: Path = Path()

    with pytest.raises(PluginError, match=r"Strange\.where has the type"):
        resolve(Strange, {}, lambda path, text: None)
    with pytest.raises(PluginError, match="is no dataclass"):
        describe(int)


def test_unreadable_annotations_are_the_plugin_s_fault() -> None:
    """A name that does not exist at run time is reported as a plugin error, not a NameError."""
    unresolved: type[Any] = dataclass(frozen=True)(
        type("Unresolved", (), {"__annotations__": {"x": "Missing"}, "x": 1})
    )
    with pytest.raises(PluginError, match=r"types of Unresolved cannot be read.*Missing"):
        describe(unresolved)


def test_long_values_are_shortened() -> None:
    """A message stays a line."""
    assert len(shown("x" * 1000)) == 60
    assert shown(["a", True, None]) == '["a", true, none]'
