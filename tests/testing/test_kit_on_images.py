"""The contract kit on image datasets: what it finds, and what it lets pass."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.testing import checks, examine
from gan_bench.testing.checks import Report
from tests.support.tiny_images import Absent, Greys


class Sound(Greys):
    """Grey squares (nothing is wrong with them)."""

    name = "sound"

    def __init__(self, params: Any) -> None:
        super().__init__(params)


class Shared(Sound):
    """Holds out what it trains on."""

    name = "shared"

    def testing(self) -> Pictures:
        return self.training()


class Restless(Sound):
    """Makes other images each time that it is made."""

    name = "restless"
    made = 0

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        Restless.made += 1
        self.number = Restless.made

    def draw(self, n: int, rng: Any) -> Any:
        return Sound(self.params).draw(n, rng)

    def training(self) -> Pictures:
        return Pictures(super().training().x + np.uint8(self.number), super().training().label)


class Misjudged(Sound):
    """Names images of another size for its classifier."""

    name = "misjudged"
    by_channel = True

    def labelled(self) -> ImageDataset:
        return Greys(Greys.Params(channels=2, values=self.params.values))


class Outside(Sound):
    """Draws what is brighter than its bounds."""

    name = "outside"

    def draw(self, n: int, rng: Any) -> Any:
        real = super().draw(n, rng)
        return type(real)(real.x + 1, real.label, real.index)


class Short(Sound):
    """Its labels are of 32 bits."""

    name = "short"

    def testing(self) -> Pictures:
        found = super().testing()
        assert found.label is not None
        return Pictures(found.x, found.label.astype(np.int32))  # type: ignore[arg-type]

    def held_out(self, n: int, rng: Any) -> Any:
        return Sound(self.params).held_out(n, rng)


PLANTED = [
    (Shared, "held-out", r"60 of 60 images of testing\(\) are among 60 of training\(\)"),
    (Restless, "images", r"training\(\) gives other images when it is asked again"),
    (Misjudged, "images", r"labelled\(\) has 3 classes, shape \(2, 8, 8\)"),
    (Outside, "levels", r"draw\(\) gives values from .* and bounds is \(-1\.0, 1\.0\)"),
    (Short, "images", r"testing\(\) has as labels int32 \(30,\)"),
]


@pytest.mark.parametrize(("cls", "check", "message"), PLANTED, ids=[cls.name for cls, _, _ in PLANTED])
def test_planted(cls: type[Any], check: str, message: str) -> None:
    """A planted fault is found by the check it belongs to, and by no other."""
    (finding,) = examine(cls)
    assert finding.check == check
    assert re.search(message, finding.found)


def test_faultless() -> None:
    """Small sets, of which fewer can be held out than are asked for, are fine."""
    assert examine(Sound) == []


def test_without_files() -> None:
    """What needs them is not checked, and the reason says what to do; what needs none is."""
    reports: list[Report] = [check.report() for check in checks(Absent)]
    assert all(report.finding is None for report in reports)
    skipped = {report.check.name: report.skipped for report in reports}
    assert {name for name, why in skipped.items() if not why} == {"parameters", "description", "builds"}
    assert set(skipped.values()) == {"", "fetch it"}
