"""Scores and class shares of one evaluation, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

OTHERS, NONE = "(others)", "(none)"
"""What stands for the classes that are not told one by one, and for samples that are of no class."""


@dataclass(frozen=True)
class Share:
    """The share of one class among the samples of one generator, None for those of the whole mixture.

    It is NaN where `n`, how many samples these are, is 0.
    """

    generator: int | None
    name: str
    share: float
    n: int


@dataclass(frozen=True)
class Score:
    """One value of one metric; `generator` is None for the mixture as a whole.

    `undefined` says why the mixture's value is NaN, as far as the metric knows; else it is empty.
    """

    metric: str
    generator: int | None
    value: float
    n: int  # samples that the metric was given
    version: int  # of the metric
    undefined: str = ""
