"""Checks of the draws of a dataset: their distribution, order, repetitions, and labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.images import ImageDataset, to_pixels
from gan_bench.testing import two_samples
from gan_bench.testing.checks import refuse
from gan_bench.testing.two_samples import ERRORS, flat

SIZE = 1000
SEEN = 20_000  # training samples of a finite set that are compared with held-out ones
SHARED = 0.1  # largest share of held-out images that may be training images: published sets contain some in both
ORDERED = 8  # deviation of neighbours from random ones in standard deviations, which are estimated
CHANCE = 20  # equal samples by rounding
COUNTS = 10  # largest normalised chi-square statistic of labels
CLEAR, UNCLEAR = 8, 5  # scores of labels that belong to samples, and of labels that may be independent of them
EACH = 10  # least mean number of samples of a label

Rows = NDArray[np.float64]


class Draws:
    """Draws of one dataset, each drawn and projected once.

    Attributes:
        dataset: the dataset.
        where: its setting, for messages.
    """

    def __init__(self, dataset: Dataset, where: str) -> None:
        self.dataset, self.where = dataset, where
        self._real: dict[tuple[str, int], Real] = {}
        self._rows: dict[tuple[str, int], Rows] = {}

    @property
    def ways(self) -> list[str]:
        """The methods that draw samples; `pool` only if it is not `draw`."""
        has_pool = type(self.dataset).pool is not Dataset.pool
        return ["draw", "held_out", *(["pool"] if has_pool else [])]

    def real(self, way: str, seed: int) -> Real:
        """Return samples by one of the dataset's methods."""
        if (way, seed) not in self._real:
            self._real[way, seed] = real_of(self.dataset, way, seed)
        return self._real[way, seed]

    def rows(self, way: str, seed: int) -> Rows:
        """Return the same samples as rows of few numbers."""
        if (way, seed) not in self._rows:
            self._rows[way, seed] = flat(self.real(way, seed).x.numpy())
        return self._rows[way, seed]


def real_of(dataset: Dataset, way: str, seed: int, n: int = SIZE) -> Real:
    """Return samples by one of the dataset's methods."""
    real: Real = getattr(dataset, way)(n, torch.Generator().manual_seed(seed))
    return real


def check_distribution(draws: Draws) -> None:
    """Check that held-out samples and a pool have the distribution of draws."""
    drawn = draws.real("draw", 0)
    for way in draws.ways[1:]:
        other = draws.real(way, 1)
        found = two_samples.difference(draws.rows("draw", 0), draws.rows(way, 1))
        if found is None and drawn.label is not None and other.label is not None:
            score = two_samples.count_score(drawn.label.numpy(), other.label.numpy())
            found = f"the chi-square statistic of the labels is {score:.3g} deviations too large"
            found = found if score > COUNTS else None
        if found is not None:
            reason = "models would be trained on other data if they use a pool"
            if way == "held_out":
                reason = "the row `real-data` would not show the score of a perfect model"
            refuse(
                f"{draws.where}{way}() has another distribution than draw(): of {SIZE} samples each, {found}",
                reason,
                f"use the same values, noise, scale, classes and processing in draw() and {way}()",
            )


def check_apart(draws: Draws) -> None:
    """Check that held-out samples are not among the samples for training."""
    rows = [row.tobytes() for row in _exact(draws.real("held_out", 1), draws.dataset)]
    for way in draws.ways:
        if way == "held_out":
            continue
        shared, seen, limit = _shared(draws, way, rows)
        if shared > limit:
            refuse(
                f"{draws.where}{shared} of {len(rows)} held-out samples are among {seen} samples of {way}()",
                "the row `real-data` would not show the score of a perfect model, and memorised samples would seem new",
                "divide the samples once, with a constant seed, into those for draw() and pool() and those for "
                "held_out()",
            )


def _shared(draws: Draws, way: str, rows: list[bytes]) -> tuple[int, int, float]:
    """Return the number of held-out rows among samples for training, of how many, and the largest number by chance."""
    dataset = draws.dataset
    finite = dataset.training_size
    images = isinstance(dataset, ImageDataset)
    if images and way == "draw":
        count = min(SEEN, finite or SIZE)
        seen = {row.tobytes() for row in _exact(draws.real(way, 0), dataset)}
        seen |= {row.tobytes() for row in dataset.training().x[:count]}  # type: ignore[attr-defined]
        return sum(row in seen for row in rows), len(seen), SHARED * len(rows)
    small = images or finite is None
    real = draws.real(way, 0) if small else real_of(dataset, way, 0, min(SEEN, 4 * (finite or SIZE)))
    exact = [row.tobytes() for row in _exact(real, dataset)]
    seen = set(exact)
    if images:
        return sum(row in seen for row in rows), len(seen), SHARED * len(rows)
    # Samples of a stream are equal only by rounding, or if few values are possible: then also within a draw.
    repeated = 0 if finite is not None or real.index is not None else len(exact) - len(seen)
    return sum(row in seen for row in rows), len(seen), CHANCE + 4 * repeated


def _exact(real: Real, dataset: Dataset) -> Any:
    """Return samples as rows whose bytes are compared; of images their levels."""
    if isinstance(dataset, ImageDataset):
        return to_pixels(real.x, dataset.bounds).numpy()
    return real.x.numpy()


def check_repeats(draws: Draws) -> None:
    """Check that samples repeat neither within a draw nor at the same place of different draws."""
    rng = torch.Generator().manual_seed(0)
    first, second = (draws.dataset.draw(SIZE, rng) for _ in range(2))
    if torch.equal(first.x, second.x):
        refuse(
            f"{draws.where}two draws in succession from one random generator return the same samples",
            "every iteration would use the same data",
            "draw from the random generator itself; a copy of it, or its initial_seed(), does not advance",
        )
    other = draws.real("draw", 1)
    _check_places(first, second, other, draws.where)
    codes = _codes(torch.cat([first.x, other.x]).numpy())
    one, two = codes[: len(first.x)], codes[len(first.x) :]
    within, across = _pairs(one, one), _pairs(one, two)
    if within > across + CHANCE:
        refuse(
            f"{draws.where}draw({SIZE}) contains {SIZE - len(np.unique(one))} samples several times: {within:.0f} "
            f"pairs of equal samples in one draw, {across:.0f} in two draws",
            "a batch would contain less data than its size, and models that compare its samples would see copies",
            "draw each of the n samples independently",
        )


def _check_places(first: Real, second: Real, other: Real, where: str) -> None:
    """Check that no place of a draw always has the same sample or label."""
    same = ((first.x == other.x).flatten(1).all(1) & (second.x == other.x).flatten(1).all(1)).sum()
    codes = _codes(torch.cat([first.x, other.x]).numpy())
    expected = _pairs(codes[: len(first.x)], codes[len(first.x) :]) / SIZE
    if int(same) > 2 + 2 * expected:
        refuse(
            f"{where}{int(same)} of {SIZE} samples are the same, at the same places, in three different draws",
            "every batch would contain these samples",
            "draw all samples, and their positions in a finite set, from the random generator",
        )
    if first.label is None or other.label is None:
        return
    share, expected, score = two_samples.share_score(first.label.numpy(), other.label.numpy())
    if score > ERRORS:
        refuse(
            f"{where}{share:.0%} of the labels are the same, at the same places, in different draws; {expected:.0%} "
            "would be by chance",
            "models that use a part of a batch would always see the same classes",
            "draw the labels from the random generator, independently",
        )


def _codes(x: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each row, equal for equal rows."""
    rows = np.ascontiguousarray(x.reshape(len(x), -1))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    found: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1]
    return found


def _pairs(one: NDArray[np.int64], two: NDArray[np.int64]) -> float:
    """Return the number of pairs of equal samples in one draw, or of two draws."""
    size = int(max(one.max(), two.max())) + 1
    a, b = np.bincount(one, minlength=size), np.bincount(two, minlength=size)
    return float((a * (a - 1) / 2).sum() if one is two else (a * b).sum())


def check_order(draws: Draws) -> None:
    """Check that the samples of a draw are in random order."""
    for way in draws.ways:
        seed = int(way != "draw")
        for what, found in _orders(draws.real(way, seed), draws.rows(way, seed)):
            refuse(
                f"{draws.where}{way}({SIZE}) returns samples {found}",
                "models and metrics use parts of a draw, such as the first half or consecutive pairs, as random "
                "samples",
                f"draw each sample independently, or permute {what} with torch.randperm(n, generator=rng)",
            )


def _orders(real: Real, rows: Rows) -> Iterator[tuple[str, str]]:
    """Yield descriptions of an order of samples, each with what has to be permuted."""
    n = len(rows)
    if n < ERRORS**2:  # too few for any significance
        return
    for name, values in (("index", real.index), ("label", real.label)):
        if values is None:
            continue
        numbers = values.double().numpy()
        score = two_samples.trend(numbers)
        if abs(score) > ERRORS:
            yield "samples and labels", f"in the order of their {name}: {_correlated(score, n)}"
        score = two_samples.adjacency(numbers[:, None], labels=name == "label")
        if abs(score) > ORDERED:
            which = "equal" if name == "label" else "consecutive"
            often = "more" if score < 0 else "less"
            yield (
                "samples and labels",
                f"whose neighbours have {which} {name} values {often} often than in a random order, by "
                f"{abs(score):.0f} standard deviations",
            )
    for number, column in enumerate(rows.T):
        score = two_samples.trend(column)
        if abs(score) > ERRORS:
            yield "the samples", f"in the order of coordinate or projection {number}: {_correlated(score, n)}"
    score = two_samples.adjacency(rows)
    if abs(score) > ORDERED:
        alike = "more alike" if score < 0 else "more different"
        yield "the samples", f"whose neighbours are {alike} than in a random order, by {abs(score):.0f} deviations"


def _correlated(score: float, n: int) -> str:
    return f"the rank correlation with the position is {score / np.sqrt(n):.2f}"


def check_labels(draws: Draws) -> None:
    """Check that the labels of draws and of held-out samples belong to the samples, if similar samples show it."""
    drawn, kept = (_labelled(draws, way, seed) for way, seed in (("draw", 0), ("held_out", 1)))
    if drawn is None or kept is None or drawn[1].max() == 0:
        return
    share, expected, score = two_samples.share_score(drawn[1], two_samples.agreement(*drawn))
    few = len(drawn[0]) < EACH * len(np.unique(drawn[1]))
    if not few and score < UNCLEAR and two_samples.label_score(*drawn) < UNCLEAR:
        refuse(
            f"{draws.where}the labels of draw() do not depend on the samples: the most similar samples have equal "
            f"labels in {share:.1%} of all cases, independent labels in {expected:.1%}",
            "models that use labels would learn nothing from them",
            "return label[i] of sample x[i]: index or permute both with the same positions",
        )
    crossed, by_chance, _ = two_samples.share_score(kept[1], two_samples.agreement(*drawn, kept[0]))
    if score > CLEAR and crossed - by_chance < (share - expected) / 2 and len(kept[0]) > SIZE / 10:
        refuse(
            f"{draws.where}the labels of held_out() are not those of draw(): a held-out sample and the most similar "
            f"drawn one have equal labels in {crossed:.1%} of all cases, two drawn ones in {share:.1%}",
            "metrics would compare classes with the wrong samples",
            "number the classes alike in both, and return label[i] of sample x[i]",
        )


def _labelled(draws: Draws, way: str, seed: int) -> tuple[Rows, NDArray[np.int64]] | None:
    """Return different samples with their labels; None without labels."""
    label = draws.real(way, seed).label
    if label is None:
        return None
    rows, first = np.unique(draws.rows(way, seed), axis=0, return_index=True)
    return rows, label.numpy()[first]
