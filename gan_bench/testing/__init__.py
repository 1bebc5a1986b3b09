"""Contract kit: checks that a plugin keeps the promises of the built-in ones, in seconds on a CPU.

The author of a plugin adds its checks as tests:

    class TestMyGAN(ModelTestCase):
        plugin = MyGAN

Each check is a test, which passes or raises `Fault` with the observation, its consequence and a remedy. If a check
needs another one that has failed, it raises `unittest.SkipTest`, so that each mistake is reported once.
"""

from __future__ import annotations

from gan_bench.testing.cases import (
    DatasetTestCase,
    EngineTestCase,
    MetricTestCase,
    ModelTestCase,
    NetworkTestCase,
    ObserverTestCase,
)
from gan_bench.testing.checks import Check, Fault, Finding
from gan_bench.testing.kit import checks, examine
from gan_bench.testing.tiny import protocol, trainer

__all__ = [
    "Check",
    "DatasetTestCase",
    "EngineTestCase",
    "Fault",
    "Finding",
    "MetricTestCase",
    "ModelTestCase",
    "NetworkTestCase",
    "ObserverTestCase",
    "checks",
    "examine",
    "protocol",
    "trainer",
]
