"""Tests of the validation of values by a Params dataclass."""

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
from tests.support.messages import Messages


@dataclass(frozen=True)
class Everything:
    """Parameters of every kind."""

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
    """Problems that `resolve` reports for values of `Everything`."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    made = resolve(Everything, given, lambda path, text: found.append((path, text)), **options)
    assert (made is None) == bool(found)
    return found


def accepted(**given: Any) -> Everything:
    """Instance of `Everything` from valid values."""
    made = resolve(Everything, given, lambda path, text: pytest.fail(text))
    assert made is not None
    return made


def test_an_empty_table_gives_the_defaults() -> None:
    """Parameters that are not given have their defaults."""
    assert accepted() == Everything()
    assert resolve(NoParams, {}, lambda path, text: pytest.fail(text)) == NoParams()


def test_values_are_converted_to_the_declared_type() -> None:
    """Whole numbers become floats and lists become tuples, so that equal settings have equal hashes."""
    made = accepted(beta=1, widths=[1, 2.5], names=["a"], limit=3, by_player={"d": 1}, plain=4)
    assert repr((made.beta, made.widths, made.names)) == "(1.0, (1.0, 2.5), ('a',))"
    assert (made.limit, made.by_player, made.plain) == (3, {"d": 1.0}, 4)
    assert type(accepted(count=np.int64(3)).count) is int
    assert type(accepted(beta=np.float32(0.5)).beta) is float
    assert accepted(limit=None).limit is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0),
        ("count", 65),
        ("count", 8.0),
        ("count", True),
        ("count", None),
        ("beta", float("nan")),
        ("beta", float("inf")),
        pytest.param("beta", 10**400, id="beta-too large"),
        ("beta", -0.1),
        ("beta", "big"),
        ("beta", False),
        ("rate", 0),
        ("on", 1),
        ("form", "adm"),
        ("form", 3),
        ("widths", 3),
        ("names", "a"),
        ("limit", 0),
        ("by_player", [1]),
        ("on", {"a": 1}),
    ],
)
def test_an_impossible_value_is_reported(name: str, value: Any, messages: Messages) -> None:
    """The message has the parameter, the allowed values and the value found."""
    ((path, message),) = problems_of({name: value})
    assert path == (name,)
    messages.check(message, name)


def test_elements_are_reported_with_their_path() -> None:
    """Each wrong element of a list or table is a separate problem."""
    found = problems_of({"widths": [1, -1, "x"], "by_player": {"d": 0, "g": 1}})
    assert [path for path, _ in found] == [("widths", 1), ("widths", 2), ("by_player", "d")]
    assert found[2][1].startswith("by_player.d must be")


def test_all_problems_are_reported_in_the_order_of_the_values() -> None:
    """Every problem of a table is reported, not only the first."""
    found = problems_of({"rate": -1, "unknown": 1, "count": "x", "on": 0})
    assert [path for path, _ in found] == [("rate",), ("unknown",), ("count",), ("on",)]


def test_an_unknown_key_is_reported_with_the_closest(messages: Messages) -> None:
    """Reserved keys belong to the caller. They are valid, and are suggested."""
    ((path, message),) = problems_of({"label": "x", "lable": "y"}, reserved=("label",))
    assert path == ("lable",)
    messages.check(message, "'lable'", "'label'")
    messages.check(problems_of({"bta": 1})[0][1], "'bta'", "'beta'")


def test_a_derived_field_cannot_be_given() -> None:
    """A field with a default factory is not a parameter and is not described."""
    ((path, _),) = problems_of({"derived": {}})
    assert path == ("derived",)
    assert "derived" not in {each.name for each in describe(Everything)}


def test_a_required_parameter_must_be_given(messages: Messages) -> None:
    """A field without a default is required."""

    @dataclass(frozen=True)
    class Required:
        size: int

    found: list[str] = []
    assert resolve(Required, {}, lambda path, text: found.append(text)) is None
    (message,) = found
    messages.check(message, "size")
    assert describe(Required)[0].default == "required"


def test_values_are_checked_together_by_the_class() -> None:
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


def test_checked_returns_the_valid_values() -> None:
    """Wrong and unknown values are left out, and defaults are not added."""
    assert checked(Everything, {"beta": 2, "count": 0, "x": 1}, lambda path, text: None) == {"beta": 2.0}


def test_describe_returns_type_default_range_and_explanation() -> None:
    """A description has the texts that `show` prints for a parameter."""
    rows = {each.name: each for each in describe(Everything)}
    assert rows["count"] == ("count", "int", "8", ">= 1 and <= 64", "A count.")
    assert rows["form"] == ("form", "str", '"sgd"', "one of sgd, adam", "A choice.")
    assert rows["limit"][1:4] == ("int or none", "none", ">= 1")
    assert rows["widths"][1:3] == ("list of float", "[1.0, 2.0]")
    assert rows["by_player"].type == "float or table of float"
    assert rows["plain"] == ("plain", "int", "3", "", "")


def test_the_protocol_is_described_and_checked_like_parameters() -> None:
    """Per-player tables may contain single values and lists."""
    rows = {each.name: each for each in describe(Protocol)}
    assert rows["betas"].type == "list of float or table of list of float"
    assert "network_params" not in rows
    made = resolve(Protocol, {"betas": {"generator": [0, 0.9]}}, lambda path, text: pytest.fail(text))
    assert made is not None
    assert made.betas == {"generator": (0.0, 0.9)}


def test_a_type_that_a_file_cannot_contain_is_an_error(messages: Messages) -> None:
    """The error of the plugin has the field, and is raised before any value is given."""

    @dataclass(frozen=True)
    class Strange:
        where: Path = Path()

    with messages.raises(PluginError, "Strange.where"):
        resolve(Strange, {}, lambda path, text: None)
    with messages.raises(PluginError, "int"):
        describe(int)


def test_annotations_that_cannot_be_evaluated_are_an_error(messages: Messages) -> None:
    """A name that does not exist at run time raises PluginError instead of NameError."""
    unresolved: type[Any] = dataclass(frozen=True)(
        type("Unresolved", (), {"__annotations__": {"x": "Missing"}, "x": 1})
    )
    with messages.raises(PluginError, "Unresolved", "Missing"):
        describe(unresolved)


def test_long_values_are_shortened() -> None:
    """A value takes at most 60 characters of a message."""
    assert len(shown("x" * 1000)) == 60
    assert shown(["a", True, None]) == '["a", true, none]'
