"""The contract kit on image datasets finds each planted fault once, and no fault in sound data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gan_bench.contracts.images import ImageDataset, Pictures
from gan_bench.testing import checks, examine
from gan_bench.testing.checks import Report
from tests.support.findings import varying
from tests.support.messages import Messages
from tests.support.tiny_images import Absent, Greys


class Sound(Greys):
    """Grey squares, without a fault."""

    name = "sound"

    def __init__(self, params: Any) -> None:
        super().__init__(params)


class Shared(Sound):
    """Its test images are its training images."""

    name = "shared"

    def testing(self) -> Pictures:
        return self.training()


class Restless(Sound):
    """Each object has other images."""

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
    """Its images for a classifier have another shape."""

    name = "misjudged"
    by_channel = True

    def labelled(self) -> ImageDataset:
        return Greys(Greys.Params(channels=2, values=self.params.values))


class Outside(Sound):
    """Draws values above its bounds."""

    name = "outside"

    def draw(self, n: int, rng: Any) -> Any:
        real = super().draw(n, rng)
        return type(real)(real.x + 1, real.label, real.index)


class Short(Sound):
    """Its labels are int32."""

    name = "short"

    def testing(self) -> Pictures:
        found = super().testing()
        assert found.label is not None
        return Pictures(found.x, found.label.astype(np.int32))  # type: ignore[arg-type]

    def held_out(self, n: int, rng: Any) -> Any:
        return Sound(self.params).held_out(n, rng)


PLANTED = [
    (Shared, "held-out", ("60 of 60 images of testing()", "training()")),
    (Restless, "images", ("training()",)),
    (Misjudged, "images", ("labelled()", "3 classes", "(2, 8, 8)")),
    (Outside, "levels", ("draw()", "(-1.0, 1.0)")),
    (Short, "images", ("testing()", "int32 (30,)")),
]


@pytest.mark.parametrize(("cls", "check", "parts"), PLANTED, ids=[cls.name for cls, _, _ in PLANTED])
def test_planted(cls: type[Any], check: str, parts: tuple[str, ...], messages: Messages) -> None:
    """Exactly one check finds a planted fault."""
    (finding,) = examine(cls)
    assert finding.check == check
    messages.check(finding, *parts, hide=varying(str(finding)))


def test_faultless() -> None:
    """Sets with fewer held-out images than the checks request have no findings."""
    assert examine(Sound) == []


def test_without_files() -> None:
    """Checks that need files are skipped with the remedy as reason; the others are run."""
    reports: list[Report] = [check.report() for check in checks(Absent)]
    assert all(report.finding is None for report in reports)
    skipped = {report.check.name: report.skipped for report in reports}
    assert {name for name, why in skipped.items() if not why} == {"parameters", "description", "builds"}
    assert set(skipped.values()) == {"", "fetch it"}
