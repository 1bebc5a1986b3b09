"""Compare GANs with several generators: one benchmark file in, one comparison table out.

These functions are for scripts and notebooks; `gan-bench --help` describes the command line. Names are imported on
first use, so that reading results needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not follow `__getattr__`
    from gan_bench.api import evaluate as evaluate
    from gan_bench.api import load_run as load_run
    from gan_bench.api import run as run
    from gan_bench.contracts.dataset import Dataset as Dataset
    from gan_bench.contracts.dataset import Mixture as Mixture
    from gan_bench.contracts.dataset import Real as Real
    from gan_bench.contracts.engine import Engine as Engine
    from gan_bench.contracts.engine import Place as Place
    from gan_bench.contracts.engine import PlaceRequest as PlaceRequest
    from gan_bench.contracts.engine import Setup as Setup
    from gan_bench.contracts.events import Compiling as Compiling
    from gan_bench.contracts.events import Evaluated as Evaluated
    from gan_bench.contracts.events import Progress as Progress
    from gan_bench.contracts.events import Warned as Warned
    from gan_bench.contracts.hooks import hookimpl as hookimpl
    from gan_bench.contracts.images import ImageDataset as ImageDataset
    from gan_bench.contracts.images import Pictures as Pictures
    from gan_bench.contracts.images import is_images as is_images
    from gan_bench.contracts.images import to_floats as to_floats
    from gan_bench.contracts.images import to_pixels as to_pixels
    from gan_bench.contracts.losses import bce_fake as bce_fake
    from gan_bench.contracts.losses import bce_real as bce_real
    from gan_bench.contracts.metric import UNINDEXED as UNINDEXED
    from gan_bench.contracts.metric import Classes as Classes
    from gan_bench.contracts.metric import Fetchable as Fetchable
    from gan_bench.contracts.metric import Metric as Metric
    from gan_bench.contracts.metric import Samples as Samples
    from gan_bench.contracts.model import Fake as Fake
    from gan_bench.contracts.model import Latents as Latents
    from gan_bench.contracts.model import Model as Model
    from gan_bench.contracts.model import Noise as Noise
    from gan_bench.contracts.model import Preset as Preset
    from gan_bench.contracts.model import Stage as Stage
    from gan_bench.contracts.model import Turn as Turn
    from gan_bench.contracts.network import SHARED as SHARED
    from gan_bench.contracts.network import Autoencoder as Autoencoder
    from gan_bench.contracts.network import BatchedLinear as BatchedLinear
    from gan_bench.contracts.network import Discriminator as Discriminator
    from gan_bench.contracts.network import Generators as Generators
    from gan_bench.contracts.network import Heads as Heads
    from gan_bench.contracts.network import Initialisation as Initialisation
    from gan_bench.contracts.network import JointDiscriminator as JointDiscriminator
    from gan_bench.contracts.network import Network as Network
    from gan_bench.contracts.network import Networks as Networks
    from gan_bench.contracts.network import initialise as initialise
    from gan_bench.contracts.observer import BenchmarkInfo as BenchmarkInfo
    from gan_bench.contracts.observer import Observer as Observer
    from gan_bench.contracts.parameters import param as param
    from gan_bench.contracts.run import Job as Job
    from gan_bench.contracts.run import Run as Run
    from gan_bench.contracts.table import Table as Table
    from gan_bench.contracts.unimplemented import Unimplemented as Unimplemented
    from gan_bench.data.downloads import cache_file as cache_file
    from gan_bench.data.downloads import data_root as data_root
    from gan_bench.data.image_datasets import PreparedImages as PreparedImages
    from gan_bench.data.image_datasets import PublishedImages as PublishedImages
    from gan_bench.data.image_datasets import SourceFile as SourceFile
    from gan_bench.data.recipes import Part as Part
    from gan_bench.data.recipes import Recipe as Recipe
    from gan_bench.errors import DataError as DataError
    from gan_bench.errors import PluginError as PluginError
    from gan_bench.errors import UsageError as UsageError
    from gan_bench.planning.jobs import stacks as stacks
    from gan_bench.plugins.discovery import load_plugins as load_plugins
    from gan_bench.report.page.page import write_report as write_report
    from gan_bench.report.published.load import published as published
    from gan_bench.report.tables.build import render_table as render_table
    from gan_bench.report.tables.build import table as table
    from gan_bench.report.tables.verdicts import compare as compare
    from gan_bench.results.class_shares import load_classes as load_classes
    from gan_bench.results.load import load_results as load_results
    from gan_bench.running.engines.local import settle as settle
    from gan_bench.running.execute import execute as execute
    from gan_bench.running.execute import execute_stack as execute_stack
    from gan_bench.running.stored_model import StoredModel as StoredModel
    from gan_bench.store.attempts import begin_attempt as begin_attempt

_HOMES = {
    "evaluate": "gan_bench.api",
    "load_run": "gan_bench.api",
    "run": "gan_bench.api",
    "Dataset": "gan_bench.contracts.dataset",
    "Mixture": "gan_bench.contracts.dataset",
    "Real": "gan_bench.contracts.dataset",
    "Engine": "gan_bench.contracts.engine",
    "Place": "gan_bench.contracts.engine",
    "PlaceRequest": "gan_bench.contracts.engine",
    "Setup": "gan_bench.contracts.engine",
    "Compiling": "gan_bench.contracts.events",
    "Evaluated": "gan_bench.contracts.events",
    "Progress": "gan_bench.contracts.events",
    "Warned": "gan_bench.contracts.events",
    "hookimpl": "gan_bench.contracts.hooks",
    "ImageDataset": "gan_bench.contracts.images",
    "Pictures": "gan_bench.contracts.images",
    "is_images": "gan_bench.contracts.images",
    "to_floats": "gan_bench.contracts.images",
    "to_pixels": "gan_bench.contracts.images",
    "bce_fake": "gan_bench.contracts.losses",
    "bce_real": "gan_bench.contracts.losses",
    "UNINDEXED": "gan_bench.contracts.metric",
    "Classes": "gan_bench.contracts.metric",
    "Fetchable": "gan_bench.contracts.metric",
    "Metric": "gan_bench.contracts.metric",
    "Samples": "gan_bench.contracts.metric",
    "Fake": "gan_bench.contracts.model",
    "Latents": "gan_bench.contracts.model",
    "Model": "gan_bench.contracts.model",
    "Noise": "gan_bench.contracts.model",
    "Preset": "gan_bench.contracts.model",
    "Stage": "gan_bench.contracts.model",
    "Turn": "gan_bench.contracts.model",
    "SHARED": "gan_bench.contracts.network",
    "Autoencoder": "gan_bench.contracts.network",
    "BatchedLinear": "gan_bench.contracts.network",
    "Discriminator": "gan_bench.contracts.network",
    "Generators": "gan_bench.contracts.network",
    "Heads": "gan_bench.contracts.network",
    "Initialisation": "gan_bench.contracts.network",
    "JointDiscriminator": "gan_bench.contracts.network",
    "Network": "gan_bench.contracts.network",
    "Networks": "gan_bench.contracts.network",
    "initialise": "gan_bench.contracts.network",
    "BenchmarkInfo": "gan_bench.contracts.observer",
    "Observer": "gan_bench.contracts.observer",
    "param": "gan_bench.contracts.parameters",
    "Job": "gan_bench.contracts.run",
    "Run": "gan_bench.contracts.run",
    "Table": "gan_bench.contracts.table",
    "Unimplemented": "gan_bench.contracts.unimplemented",
    "cache_file": "gan_bench.data.downloads",
    "data_root": "gan_bench.data.downloads",
    "PreparedImages": "gan_bench.data.image_datasets",
    "PublishedImages": "gan_bench.data.image_datasets",
    "Part": "gan_bench.data.recipes",
    "Recipe": "gan_bench.data.recipes",
    "SourceFile": "gan_bench.data.image_datasets",
    "DataError": "gan_bench.errors",
    "PluginError": "gan_bench.errors",
    "UsageError": "gan_bench.errors",
    "stacks": "gan_bench.planning.jobs",
    "load_plugins": "gan_bench.plugins.discovery",
    "published": "gan_bench.report.published.load",
    "write_report": "gan_bench.report.page.page",
    "render_table": "gan_bench.report.tables.build",
    "table": "gan_bench.report.tables.build",
    "compare": "gan_bench.report.tables.verdicts",
    "load_classes": "gan_bench.results.class_shares",
    "load_results": "gan_bench.results.load",
    "settle": "gan_bench.running.engines.local",
    "execute": "gan_bench.running.execute",
    "execute_stack": "gan_bench.running.execute",
    "StoredModel": "gan_bench.running.stored_model",
    "begin_attempt": "gan_bench.store.attempts",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gan_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
