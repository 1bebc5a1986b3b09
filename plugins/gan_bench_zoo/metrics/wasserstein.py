"""Wasserstein-1 distance between the histogram of the samples and the true mixture, by an exact solver.

Atoms of the true side are the centres of the cells with P > 1e-7, renormalised. Atoms of the model are the centres of
the occupied cells, and every sample outside the box at its position. If there are more than 1,000 such samples, 1,000
of them, evenly spaced in their order, have the same total mass, because the time of the solver increases faster than
the number of atoms. The distance is then an approximation.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gan_bench.contracts.metric import Samples
from gan_bench.errors import RunError
from gan_bench_zoo.metrics.histogram import Histogram, HistogramMetric, histogram

Atoms = tuple[NDArray[np.float64], NDArray[np.float64]]  # positions (n, d), masses (n,) that sum to 1
NEGLIGIBLE = 1e-7
MOST_OUTSIDE = 1000
ITERATIONS = 2_000_000
BACKENDS = {"PYTORCH": "torch", "JAX": "jax", "CUPY": "cupy", "TENSORFLOW": "tensorflow"}


class Wasserstein(HistogramMetric):
    """Wasserstein-1 distance on the histogram; exact with up to 1,000 points outside the box; ideal `ring8`: 0.03."""

    name = "wasserstein"
    direction = "lower"
    unit = "data units"
    scale = "log"
    expensive = True

    def compute(self, samples: Samples) -> float:
        """Return a float >= 0. Raises RunError if the solver did not reach the optimum."""
        h = histogram(samples)
        return transport_cost(_true_atoms(h), _model_atoms(h, samples.x))


def _true_atoms(h: Histogram) -> Atoms:
    cells = np.flatnonzero(h.true[:-1] > NEGLIGIBLE)
    return h.box.centres(cells), h.true[cells] / h.true[cells].sum()


def _model_atoms(h: Histogram, x: NDArray[np.float64]) -> Atoms:
    cells = np.flatnonzero(h.model[:-1])
    outside = np.flatnonzero(h.cells == h.box.outside)
    chosen = outside
    if len(outside) > MOST_OUTSIDE:
        chosen = outside[np.arange(MOST_OUTSIDE) * len(outside) // MOST_OUTSIDE]
    each = h.model[-1] / max(len(chosen), 1)
    places = np.concatenate([h.box.centres(cells), x[chosen]])
    return places, np.append(h.model[cells], np.full(len(chosen), each))


def transport_cost(a: Atoms, b: Atoms) -> float:
    """Return the smallest mean Euclidean distance of a transport from one weighted set of points to the other.

    It is computed by network simplex in the plane, and in closed form on a line. Raises RunError if the simplex stops
    early.
    """
    ot = _pot()
    (x, p), (y, q) = a, b
    if x.shape[1] == 1:
        return float(ot.emd2_1d(x, y, p, q, metric="euclidean"))
    with warnings.catch_warnings():  # the log contains the same warning
        warnings.simplefilter("ignore")
        cost, log = ot.emd2(p, q, cdist(x, y), numItermax=ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RunError(f"wasserstein: the transport solver stopped before the optimum: {log['warning']}")
    return float(cost)


def _pot() -> ModuleType:
    """Import POT without array libraries that are not already loaded. By default it imports all that are installed.

    They take seconds to import, and scoring a file needs none of them.
    """
    switches = {f"POT_BACKEND_DISABLE_{key}" for key, name in BACKENDS.items() if name not in sys.modules}
    added = switches - os.environ.keys()
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        return importlib.import_module("ot")
    finally:
        for key in added:
            del os.environ[key]
