"""MNIST family: handwritten digits, pairs of digits, three digits as channels, and Fashion-MNIST.

MNIST: LeCun, Cortes and Burges, 1998. Fashion-MNIST: Xiao, Rasul and Vollgraf, arXiv:1708.07747. Stacked MNIST:
Che et al., ICLR 2017, and Metz et al., ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_bench.contracts.dataset import Real
from gan_bench.contracts.images import ImageDataset, Pictures, to_floats
from gan_bench.contracts.parameters import param
from gan_bench.data.image_datasets import PreparedImages
from gan_bench.data.recipes import Part, Recipe
from gan_bench.errors import DataError
from gan_bench_zoo.datasets._idx import IdxImages, IdxParams

if TYPE_CHECKING:
    import torch

DIGITS = tuple("0123456789")
CHUNK = 10_000  # triples stacked at a time


class MNIST(IdxImages):
    """MNIST: handwritten digits, 60,000 for training and 10,000 for testing (LeCun, Cortes and Burges, 1998)."""

    name = "mnist"
    folder = "MNIST"
    megabytes = 12
    class_names = DIGITS

    @classmethod
    def published(cls) -> tuple[Sequence[str], Mapping[str, str]]:
        """Mirrors and checksums of torchvision."""
        from torchvision.datasets import MNIST as published

        return published.mirrors, dict(published.resources)


class FashionMNIST(IdxImages):
    """Fashion-MNIST: ten kinds of clothes, in the format of MNIST (Xiao, Rasul and Vollgraf, 2017)."""

    name = "fashion-mnist"
    folder = "FashionMNIST"
    megabytes = 31
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
    )  # fmt: skip

    @classmethod
    def published(cls) -> tuple[Sequence[str], Mapping[str, str]]:
        """Mirrors and checksums of torchvision."""
        from torchvision.datasets import FashionMNIST as published

        return published.mirrors, dict(published.resources)


class _OfMNIST(ImageDataset):
    """Images composed of MNIST digits. They require the files of MNIST, and their classifier is trained on MNIST."""

    def digits(self) -> MNIST:
        """Return MNIST with the same image size and pixel range, always the same object: it opens its files once."""
        kept: MNIST = self.__dict__.setdefault("_digits", MNIST(IdxParams(self.params.size, self.params.values)))
        return kept

    def labelled(self) -> ImageDataset:
        """Return MNIST, so that the classifier covers every digit."""
        return self.digits()

    def fetch(self, say: Callable[[str], None]) -> None:
        """Download MNIST."""
        self.digits().fetch(say)


class MNISTPair(_OfMNIST):
    """Two of MNIST's digits, as in the second paper's pairs (LeCun, Cortes and Burges, 1998).

    Labels are 0 for `first` and 1 for `second`. `class_names` are the two digits. Classes of the pair are matched by
    name with those of `labelled()`, which has all ten digits. The classifier can therefore recognise other digits.
    """

    name = "mnist-pair"

    @dataclass(frozen=True)
    class Params(IdxParams):
        """Parameters of `mnist`, and the two digits."""

        first: int = param(3, "First digit.", low=0, high=9)
        second: int = param(5, "Second digit, different from the first.", low=0, high=9)

        def __post_init__(self) -> None:
            if self.first == self.second:
                raise ValueError(f"first and second are both {self.first}; a pair is two different digits.")

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, size, size)."""
        return self.digits().shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The two digits as strings."""
        return str(self.params.first), str(self.params.second)

    def missing(self) -> str | None:
        """Return the missing files of MNIST."""
        return self.digits().missing()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Prepare MNIST, from which the two digits are taken."""
        self.digits().prepare(say)

    def training(self) -> Pictures:
        """Return both digits of MNIST's training set, in its order."""
        return self._part("training")

    def testing(self) -> Pictures:
        """Return both digits of MNIST's test set, in its order."""
        return self._part("testing")

    def _part(self, which: str) -> Pictures:
        kept: dict[str, Pictures] = self.__dict__.setdefault("_kept", {})
        if which not in kept:
            x, label = _labelled(getattr(self.digits(), which)())
            is_second = label == self.params.second
            chosen = is_second | (label == self.params.first)
            kept[which] = Pictures(x[chosen], is_second[chosen].astype(np.int64))
        return kept[which]


class StackedMNIST(_OfMNIST, PreparedImages):
    """Stacked MNIST: three random digits as the channels of an image, 1000 modes (Che et al., 2017; Metz et al., 2017).

    The label is 100 a + 10 b + c for the digits a, b, c. There are two protocols, which define different tasks:

    `unrolled` (Metz et al.): new triples of training digits are drawn in every iteration, so `Real.index` is None. A
    fixed set, if requested, has 60,000 such triples. 26,000 triples of test digits are held out.

    `veegan` (Srivastava et al., 2017, as in PacGAN's released code): 128,000 fixed triples of the training and the test
    digits together. No digit is left to hold out, so 26,000 further triples of the same digits are held out. Its papers
    train on pixels between 0 and 1, `values = "unit"`.

    The papers do not publish their triples. The fixed ones are drawn here with a constant seed.
    """

    name = "stacked-mnist"
    by_channel = True
    class_names = tuple(f"{number:03}" for number in range(1000))

    @dataclass(frozen=True)
    class Params(IdxParams):
        """Parameters of `mnist`, and the protocol."""

        variant: str = param(
            "unrolled", "Protocol: new triples every iteration, or 128,000 fixed ones.", choices=("unrolled", "veegan")
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.params.size, self.params.size)

    def absent(self) -> str | None:
        """Return the missing files of MNIST."""
        return self.digits().missing()

    def missing(self) -> str | None:
        """Return the missing files of MNIST, which `draw` and the classifier require."""
        return self.absent()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Prepare MNIST, and the fixed triples."""
        self.digits().prepare(say)
        super().prepare(say)

    def recipe(self, split: str) -> Recipe:
        """Return the recipe of the fixed triples of one split."""
        size = self.params.size
        count = self.count(split)
        settings = {"variant": self.params.variant, "size": size, "count": count, "seed": len(split)}
        name = f"{self.name}-{self.params.variant}-{size}-{split}"

        def parts() -> Iterator[Part]:
            x, label = self._digits_of(split)
            # the legacy generator: its stream is the same in every version of numpy
            rng = np.random.RandomState(len(split))
            triples = rng.randint(0, len(x), size=(count, 3))
            for start in range(0, count, CHUNK):
                chosen = triples[start : start + CHUNK]
                yield x[chosen][:, :, 0], label[chosen] @ np.array([100, 10, 1])

        return Recipe(name, self.name, (3, size, size), settings, {"mnist": "prepared"}, parts)

    def _digits_of(self, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        digits = self.digits()
        train, test = _labelled(digits.training()), _labelled(digits.testing())
        if self.params.variant == "veegan":
            return np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
        return train if split == "train" else test

    def draw(self, n: int, rng: torch.Generator) -> Real:
        """Draw `n` triples: new ones if the protocol is `unrolled`, else from the fixed set."""
        if self.params.variant == "veegan":
            return super().draw(n, rng)
        import torch

        x, label = self.digits().training().on(rng.device)
        assert label is not None
        chosen = torch.randint(len(x), (n, 3), generator=rng, device=rng.device)
        a, b, c = label[chosen].unbind(1)
        return Real(to_floats(x[chosen].squeeze(2), self.bounds), 100 * a + 10 * b + c)

    def count(self, split: str) -> int:
        """Return the number of fixed triples in a split."""
        return 26_000 if split == "test" else 128_000 if self.params.variant == "veegan" else 60_000


def _labelled(pictures: Pictures) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if pictures.label is None:
        raise DataError("MNIST was prepared without labels. Remove its folder; it is prepared anew.")
    return pictures.x, pictures.label
