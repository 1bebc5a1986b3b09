"""Speed of transposed matrix products with few columns, the basis of `gan_bench.acceleration.narrow_products`.

    python tools/speed/products.py [--rounds 40] [--rows 1024] [--inner 128] [--matrices 8]

Times A B against (Bᵀ Aᵀ)ᵀ by the columns of B, in the forms that gradients of linear layers have, for one matrix and
for several at once. Both are interleaved in one process with one thread. Above 1, the transposed product is faster.

    weights   Gᵀ X, X of few columns: gradient of the weights of a layer with few inputs
    inputs    G W, W of few columns: gradient of its inputs
    outputs   X Wᵀ, Wᵀ of few columns: layer with few outputs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial

import torch
from _measuring import interleaved, quartiles
from tabulate import tabulate
from torch import Tensor

COLUMNS = (1, 2, 3, 4, 6, 8, 9, 12, 16, 32)
Pair = tuple[Tensor, Tensor]


def forms(rows: int, inner: int, columns: int, *several: int) -> Mapping[str, Pair]:
    """Return operands by form."""
    tall, wide = (torch.randn(*several, rows, n) for n in (columns, inner))
    weights = torch.randn(*several, inner, columns)
    return {
        "weights": (wide.mT, tall),
        "inputs": (wide, weights),
        "outputs": (wide, weights.mT.contiguous().mT),
    }


def gain(multiply: Callable[[Tensor, Tensor], Tensor], pair: Pair, rounds: int) -> float:
    """Return the median ratio of the plain product's time to the transposed one's."""
    left, right = pair
    loops = {
        False: partial(multiply, left, right),
        True: partial(multiply, right.mT, left.mT),
    }  # views cost nothing when compiled
    return quartiles(interleaved(loops, rounds, 5), False, True)[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of transposed matrix products with few columns.")
    parser.add_argument("--rounds", type=int, default=40, help="number of rounds  [default: 40]")
    parser.add_argument("--rows", type=int, default=1024, help="number of samples  [default: 1024]")
    parser.add_argument("--inner", type=int, default=128, help="number of units  [default: 128]")
    parser.add_argument("--matrices", type=int, default=8, help="number of matrices in a batch  [default: 8]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[list[object]] = []
    for columns in COLUMNS:
        one = forms(options.rows, options.inner, columns)
        several = forms(options.rows, options.inner, columns, options.matrices)
        gains = [gain(torch.mm, pair, options.rounds) for pair in one.values()]
        gains += [gain(torch.bmm, pair, options.rounds) for pair in several.values()]
        lines.append([columns, *(f"{value:.2f}" for value in gains)])
    names = [*one, *(f"{name}, {options.matrices} at once" for name in several)]
    print(tabulate(lines, ["columns", *names], tablefmt="github"))


if __name__ == "__main__":
    main()
