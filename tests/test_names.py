"""Foreign text that can be encoded, where it enters."""

from __future__ import annotations

import io
import os
import sys

import pytest

from gan_bench.contracts.events import Warned
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef, ModelRef, Run
from gan_bench.names import encodable
from gan_bench.running import provenance
from gan_bench.running.progress import PlainProgress

UNDECODABLE = os.fsdecode(b"caf\xe9.npy")


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    """Other text is unchanged, pairs included."""
    assert encodable(UNDECODABLE) == "caf\\udce9.npy"
    assert encodable("Größe \U0001f600 \x1b") == "Größe \U0001f600 \x1b"


def test_warnings_and_arguments_can_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning of a plugin and an argument of the command may contain a file name that is not UTF-8."""
    run = Run("tiny", "GAN", DatasetRef("ring8", {}, "ring8"), ModelRef("gan", {}), Protocol(), 0, "c", "key")
    received: list[str] = []
    display = PlainProgress((), io.StringIO())
    display.warning = lambda run, message: received.append(message)  # type: ignore[method-assign]
    display.receive(run, Warned("key", UNDECODABLE))
    assert received == ["caf\\udce9.npy"]
    monkeypatch.setattr(sys, "argv", ["gan-bench", UNDECODABLE])
    assert provenance.provenance("cpu").command[-1] == "caf\\udce9.npy"
