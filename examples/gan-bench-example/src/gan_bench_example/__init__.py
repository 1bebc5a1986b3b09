"""Example of a package with an entry point: a model and a dataset for gan-bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_bench import hookimpl

if TYPE_CHECKING:
    from gan_bench import Dataset, Model


@hookimpl
def gan_bench_models() -> list[type[Model]]:
    """Register the model. It is imported here, so that scoring samples on the Swiss roll needs no torch."""
    from gan_bench_example.stackelberg import StackelbergGAN

    return [StackelbergGAN]


@hookimpl
def gan_bench_datasets() -> list[type[Dataset]]:
    """Register the Swiss roll."""
    from gan_bench_example.swiss_roll import SwissRoll

    return [SwissRoll]
