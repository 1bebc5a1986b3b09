"""The contract kit: check in seconds, on a CPU, that a plugin keeps the promises that the built-in ones keep.

As tests of a plugin's author:

    class TestMyGAN(ModelTestCase):
        plugin = MyGAN

Each check is a test, which passes or raises `Fault` with what was found, why it matters and what to do. A check that
builds upon another one that has failed raises `unittest.SkipTest`, so that one mistake is reported once.
"""

from __future__ import annotations

from gan_bench.testing.cases import DatasetTestCase, MetricTestCase, ModelTestCase, NetworkTestCase
from gan_bench.testing.checks import Check, Fault, Finding
from gan_bench.testing.kit import checks, examine
from gan_bench.testing.tiny import protocol, trainer

__all__ = [
    "Check",
    "DatasetTestCase",
    "Fault",
    "Finding",
    "MetricTestCase",
    "ModelTestCase",
    "NetworkTestCase",
    "checks",
    "examine",
    "protocol",
    "trainer",
]
