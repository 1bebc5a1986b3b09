"""`gan-bench data`: list, fetch and check files of image datasets and weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gan_bench.cli.options import data_root_option, places_of, plugin_option
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.contracts.images import ImageDataset
    from gan_bench.contracts.metric import Fetchable
    from gan_bench.plugins.registry import Registry

WRONG = 2  # the exit code for a damaged or wrong file


@click.command("data", short_help="List, download or verify image datasets and weights.")
@click.argument("action", type=click.Choice(("list", "fetch", "check")))
@click.argument("wanted", nargs=-1, metavar="[NAME]...")
@data_root_option
@plugin_option
def command(action: str, wanted: Sequence[str], plugins: Sequence[str]) -> int:
    """List image datasets and weights, fetch those called NAME, or check their files.

    `list` prints all datasets and weights with their state. `fetch` downloads files from the addresses in torchvision
    and verifies published checksums. `check` reads all files of the datasets, prepared data and weights called NAME, or
    of all without NAME; the exit code is 2 if a file is damaged.

    All benchmarks share one data folder, with torchvision's layout: --data-root if given, else the environment variable
    GAN_BENCH_DATA if set, else a cache folder.
    """
    from gan_bench.errors import UsageError
    from gan_bench.plugins.discovery import load_plugins

    registry = load_plugins(places_of(plugins), kinds=("datasets", "metrics"))
    if action == "fetch":
        return _fetch(registry, wanted)
    if action == "check":
        return _check(registry, wanted)
    if wanted:
        raise UsageError("`gan-bench data list` takes no NAME. It lists all datasets and weights.")
    return _list(registry)


def _log_stderr(line: str) -> None:
    echo(line, err=True)


def _image_datasets(registry: Registry) -> dict[str, ImageDataset | None]:
    """Every image dataset with its defaults; None for a dataset with required parameters."""
    from gan_bench.contracts.images import ImageDataset

    found: dict[str, ImageDataset | None] = {}
    for name, cls in registry.all("datasets").items():
        if issubclass(cls, ImageDataset):
            try:
                found[name] = cls(cls.Params())
            except TypeError:  # a required parameter
                found[name] = None
    return found


def _weights(registry: Registry) -> dict[str, Fetchable]:
    """Files that metrics can fetch, by name."""
    return {name: each for cls in registry.all("metrics").values() for name, each in cls.fetchable.items()}


# --- list ---------------------------------------------------------------------------------------------------


def _list(registry: Registry) -> int:
    from tabulate import tabulate

    from gan_bench.data.downloads import data_root

    rows = [_row(name, dataset) for name, dataset in _image_datasets(registry).items()]
    root = data_root()
    echo(f"Data folder: {root}" + ("\n" if root.is_dir() else ", which does not exist yet\n"))
    echo(tabulate(rows, headers=("name", "training", "test", "shape", "on disk", "state"), disable_numparse=True))
    for name, weights in _weights(registry).items():
        users = [metric for metric, cls in registry.all("metrics").items() if name in cls.fetchable]
        found = weights.found()
        state = f"missing, to be fetched with `gan-bench data fetch {name}`"
        if found is not None:
            state = f"ready, in {found} ({_size(found.stat().st_size)})"
        echo(f"\n{name}: weights for {', '.join(users)}; {state}.")
    return 0


def _row(name: str, dataset: ImageDataset | None) -> tuple[str, ...]:
    """Row of the table for one dataset, with its default parameters."""
    if dataset is None:
        return name, "", "", "", _size(_on_disk(name, None)), "requires parameters"
    counts = (_count(dataset, split) for split in ("train", "test"))
    shape = " x ".join(map(str, dataset.shape))
    return name, *counts, shape, _size(_on_disk(name, dataset)), _state(dataset)


def _count(dataset: ImageDataset, split: str) -> str:
    from gan_bench.data.image_datasets import PreparedImages

    count = dataset.count(split) if isinstance(dataset, PreparedImages) else None
    return "" if count is None else f"{count:,}"


def _state(dataset: ImageDataset) -> str:
    """State "prepared", "ready" if no file is missing, or the next step."""
    from gan_bench.contracts.dataset import Dataset
    from gan_bench.data.image_datasets import PreparedImages, PublishedImages

    if dataset.missing():
        if type(dataset).fetch is Dataset.fetch:
            return "missing, to be copied by hand"
        size = f"{dataset.megabytes:,} MB " if isinstance(dataset, PublishedImages) else ""
        return f"missing, {size}to be fetched"
    if isinstance(dataset, PreparedImages) and all(dataset.recipe(split).stored() for split in ("train", "test")):
        return "prepared"
    return "ready"


def _on_disk(name: str, dataset: ImageDataset | None) -> int:
    """Size in bytes of its files and of everything prepared from them."""
    from gan_bench.data.image_datasets import PublishedImages, below
    from gan_bench.data.recipes import prepared_sets

    prepared = sum(below(folder) for folder, _ in prepared_sets(name))
    sources = dataset.sources() if isinstance(dataset, PublishedImages) else []
    return prepared + sum(source.there.stat().st_size for source in sources if source.there.is_file())


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count else ""


# --- fetch --------------------------------------------------------------------------------------------------


def _fetch(registry: Registry, wanted: Sequence[str]) -> int:
    """Download the files of each name in turn; stop at the first failure."""
    from gan_bench.errors import UsageError

    datasets, weights = _image_datasets(registry), _weights(registry)
    if not wanted:
        raise UsageError("`gan-bench data fetch` needs a NAME. `gan-bench data list` prints all names.")
    _require_known(wanted, datasets, weights)
    for name in wanted:
        if name in weights:
            weights[name].fetch(_log_stderr)
        else:
            _fetch_dataset(name, datasets[name])
        echo(f"{name}: ready")
    return 0


def _require_known(wanted: Sequence[str], *tables: Iterable[str]) -> None:
    from gan_bench.errors import UsageError
    from gan_bench.names import allowed

    known = [each for table in tables for each in table]
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        hint = allowed(unknown, known, limit=20)
        raise UsageError(f"No image dataset or weights are called {unknown!r}. {hint}")


def _fetch_dataset(name: str, dataset: ImageDataset | None) -> None:
    from gan_bench.errors import DataError

    if dataset is None:
        raise DataError(f"{name}: there are no files to download. Its parameters give the place of its files.")
    if dataset.missing():
        dataset.fetch(_log_stderr)
        left = dataset.missing()
        if left:
            raise DataError(f"{name}: files are missing after the download: {left}")


# --- check --------------------------------------------------------------------------------------------------


def _check(registry: Registry, wanted: Sequence[str]) -> int:
    """Compare every checksum and report mismatches."""
    from gan_bench.data.downloads import data_root

    datasets, weights = _image_datasets(registry), _weights(registry)
    _require_known(wanted, datasets, weights)
    _require_folder(data_root())
    found = [*_checked(datasets, wanted), *_checked_weights(weights, wanted)]
    for what, problems in found:
        echo("\n".join(f"WRONG  {problem}" for problem in problems) or f"ok     {what}")
    if not found:
        echo(f"There are no files to check in {data_root()}.")
    return WRONG if any(problems for _, problems in found) else 0


def _require_folder(root: Path) -> None:
    """Raise DataError if a folder that the user named does not exist: a check of no files would pass."""
    from gan_bench.data.downloads import ROOT_VARIABLE
    from gan_bench.errors import DataError

    if os.environ.get(ROOT_VARIABLE) and not root.is_dir():
        raise DataError(f"{root} does not exist. Choose another folder with --data-root or {ROOT_VARIABLE}.")


def _checked(datasets: Mapping[str, ImageDataset | None], wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Checked files of datasets, with their problems."""
    from gan_bench.data.image_datasets import PublishedImages
    from gan_bench.data.recipes import check_prepared, prepared_sets

    for name in wanted or datasets:
        dataset = datasets.get(name)
        missing = dataset.missing() if dataset and wanted else None
        if missing:
            yield name, [missing]
        if isinstance(dataset, PublishedImages):
            yield from ((str(source.there), problem) for source, problem in dataset.checked())
    for folder, record in prepared_sets():
        if not wanted or (record and record.dataset in wanted):
            yield f"{folder}, prepared", check_prepared(folder)


def _checked_weights(weights: Mapping[str, Fetchable], wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Checked files of weights, with their problems."""
    from gan_bench.errors import DataError

    for name, each in weights.items():
        found = each.found()
        if found is None and name in wanted:
            yield name, [f"{name}: the weights are missing. Download them with `gan-bench data fetch {name}`."]
        if found is None or (wanted and name not in wanted):
            continue
        try:
            each.verify()
            yield f"{found}, weights", []
        except DataError as error:
            yield str(found), [str(error)]
