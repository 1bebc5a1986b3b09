"""Counted randomness: every draw is a pure function of (seed, purpose, iteration, number).

No random stream continues from draw to draw. Adding a model or a seed therefore changes nothing for the others, two
models see the same real data at the same iteration, and resuming needs no state. Draws are equal per kind of device.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch


def seed_of(seed: int, purpose: str, *counters: int) -> int:
    """Hash all arguments to a 63-bit integer.

    torch's CPU generator uses its low 32 bits: two draws of a run may coincide, too rarely to affect statistics.
    """
    text = "/".join(map(str, (seed, purpose, *counters)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Randomness:
    """Random draws of one run on one device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self._generator = torch.Generator(device)

    def at(self, purpose: str, *counters: int) -> torch.Generator:
        """A generator seeded for this draw. The next call reseeds the same object, so draw at once."""
        self._generator.manual_seed(seed_of(self.seed, purpose, *counters))
        return self._generator


def global_streams() -> dict[str, bytes | tuple[Any, ...]]:
    """States of the random streams that all code of the process shares, by name."""
    _, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes() + _of_gpu(),
        "numpy": (np.asarray(keys).tobytes(), *rest),
        "random": random.getstate(),
    }


def _of_gpu() -> bytes:
    """State of torch's stream on the current GPU; empty if this process uses none."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state().numpy().tobytes() if used else b""
