"""Detection of models that use labels of real data, for the footnote of their rows."""

from __future__ import annotations

import sys
from typing import Any

from gan_bench.contracts.dataset import Real


class LabelReads:
    """Record of whether a model has read labels of the real data that it was given.

    It works for compiled and stacked iterations as well: their losses are called once, to be traced.

    Attributes:
        found: whether labels were read so far.
    """

    def __init__(self) -> None:
        self.found = False
        self._observed = _observed(self)

    def observe(self, real: Real) -> Real:
        """Return the same draw of real data, whose attribute `label` is observed."""
        return self._observed(**vars(real))


def _observed(reads: LabelReads) -> type[Real]:
    """Return a subclass of `Real` whose attribute `label` is observed, without further attributes."""

    class Observed(Real):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            # `dataclasses.replace` reads all fields, but the result is observed as well
            if name == "label" and value is not None and sys._getframe(1).f_globals["__name__"] != "dataclasses":
                reads.found = True
            return value

    return Observed
