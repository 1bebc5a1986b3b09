"""Trained models, loaded from run folders to draw samples from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from gan_bench.contracts.images import is_images
from gan_bench.contracts.run import Run
from gan_bench.errors import DataError, StoreError, UsageError
from gan_bench.evaluation.evaluate import DrawnSamples, draw
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Registry
from gan_bench.running.run_plugins import require_plugins
from gan_bench.store.records import RunRecord
from gan_bench.store.run_folder import RunFolder
from gan_bench.training.assembly import make_trainer
from gan_bench.training.trainer import Trainer


class StoredModel:
    """Model with the parameters that a stored run ended with."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.model = trainer.model
        self.iteration = trainer.iteration

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """Shape (C, H, W) of samples that are uint8 images; None for other samples."""
        return self._trainer.dataset.shape if is_images(self._trainer.dataset) else None

    @property
    def generators(self) -> int:
        """Number of generators, K."""
        return self.model.generators

    def sample(
        self,
        n: int,
        *,
        generator: int | None = None,
        seed: int = 0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> DrawnSamples:
        """Draw n samples of the mixture, or of one generator; `progress` receives the number drawn so far.

        Returns:
            `x` (n, *shape), float32 or uint8 for images, and `generator` (n,) int64, the index of each sample's
            generator (None for real data). The same seed gives the same samples.
        """
        if n < 1:
            raise UsageError(f"n must be at least 1, found {n}.")
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 - 1, found {seed}.")
        if generator is not None and not 0 <= generator < self.generators:
            raise UsageError(f"generator must be from 0 to {self.generators - 1}, found {generator}.")
        if generator is not None and float(self.model.weights().detach()[generator]) == 0:
            raise UsageError(f"generator {generator} has weight 0 in the mixture at iteration {self.iteration}.")
        self._require_data(n)
        with undisturbed(lambda changes: None):
            drawn = draw(self._trainer, n, seed, generator=generator, progress=progress)
        return replace(drawn, x=drawn.x.cpu().numpy()) if isinstance(drawn.x, Tensor) else drawn

    def _require_data(self, n: int) -> None:
        """Raise DataError if an anchor of real data lacks its files, UsageError if they have fewer than n samples."""
        dataset = self._trainer.dataset
        if self.model.generating:
            return
        if (missing := dataset.missing()) is not None:
            raise DataError(missing)
        most = self.model.most_samples(dataset)
        if most is not None and n > most:
            raise UsageError(f"n must be at most {most}, the number of held-out samples, found {n}.")


def load_trainer(
    folder: RunFolder, registry: Registry, device: str, log: Callable[[str], None] = lambda line: None
) -> Trainer:
    """Load the trainer of a stored run from its newest usable checkpoint.

    Args:
        log: receives a message for each newer checkpoint that is damaged or of another run.

    Raises:
        PluginError: the run's model, dataset or network is not loaded.
        StoreError: there is no checkpoint, or it does not fit the present code.
    """
    record = folder.read()
    if record is None:
        raise StoreError(f"{folder.path}: run.json is missing. Select a folder in results/NAME/runs/.")
    require_plugins(record, registry, f"{folder.path}: ")
    state, passed_over = folder.load_checkpoint(record.key)
    if state is None:
        damaged = ", ".join(path.name for path in passed_over)
        found = f" (damaged or of another run: {damaged})" if damaged else ""
        raise StoreError(
            f"{folder.path}: no usable checkpoint{found}. Move the folder away and run the benchmark again."
        )
    for path in passed_over:
        log(f"{path}: the checkpoint is damaged or belongs to another run. Loading one of an earlier iteration.")
    try:
        with undisturbed(lambda changes: log(f"Building the model {changes}")):
            trainer = make_trainer(run_of(record), registry, device)
            trainer.load_state_dict(state["trainer"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        problem = f"{folder.path}: the checkpoint does not match the current code of the model"
        raise StoreError(f"{problem} ({error}).") from error
    return trainer


def run_of(record: RunRecord) -> Run:
    """Run of a record; it has no labels, because those belong to a benchmark."""
    return Run(
        benchmark=record.benchmark,
        label="",
        dataset=record.dataset,
        model=record.model,
        protocol=record.protocol,
        seed=record.seed,
        configuration=record.configuration,
        key=record.key,
    )
