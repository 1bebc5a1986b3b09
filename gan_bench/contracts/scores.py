"""Scores and class shares of one evaluation, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

OTHERS, NONE = "(others)", "(none)"
"""Labels of all classes that are not listed individually, and of samples that belong to no class."""


@dataclass(frozen=True)
class Share:
    """The share of one class among the samples of one generator, None for those of the whole mixture.

    It is NaN if `n`, the number of these samples, is 0.
    """

    generator: int | None
    name: str
    share: float
    n: int


@dataclass(frozen=True)
class Score:
    """One value of one metric; `generator` is None for the mixture as a whole.

    `undefined` gives the reason for a NaN of the mixture, if the metric can give one; otherwise it is empty.
    """

    metric: str
    generator: int | None
    value: float
    n: int  # samples that the metric was given
    version: int  # of the metric
    undefined: str = ""
