"""Checks of a model's training: losses, turns of players, and capabilities that a run needs."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor

from gan_bench.testing import common
from gan_bench.testing.checks import refuse
from gan_bench.testing.model_compiled import Compiled, check_attributes
from gan_bench.testing.model_coverage import Coverage
from gan_bench.testing.model_devices import check_devices, check_stacks
from gan_bench.testing.model_losses import (
    Ledger,
    check_all_players_update,
    descend,
    record_gradients,
    representative_iterations,
    requires_gradient,
    requires_graph,
    requires_scalar,
    watch,
    without_gradient,
)
from gan_bench.testing.model_parameters import ITERATIONS, Effects, Outcome
from gan_bench.testing.model_reads import check_reads, check_traced
from gan_bench.testing.model_samples import draw_samples
from gan_bench.testing.model_subject import Subject
from gan_bench.testing.settings import Setting
from gan_bench.testing.tiny import contents, difference, trajectory
from gan_bench.training.trainer import Trainer


class TrainingChecks(Subject):
    """Checks of one model that run iterations. They do not apply to anchors."""

    def losses(self) -> None:
        """Check that each loss returns a scalar, optionally with further scalars by name."""
        for setting in self.settings():
            t = self.trainer(setting)
            watch(t, partial(requires_scalar, t), partial(descend, t))
            t.iterate()

    def own_parameters(self) -> None:
        """Check that a player's turn changes only its own parameters."""
        for setting in self.settings():
            t = self.trainer(setting)
            ledger = Ledger(t)
            watch(t, ledger.around, ledger.move)
            for _ in range(2):
                t.iterate()
                ledger.settle()

    def learns(self) -> None:
        """Check that every player's loss depends on its parameters."""
        t = self.trainer(self.settings()[0])
        check_all_players_update(t)
        for iteration in representative_iterations(t):
            t.iteration = iteration
            watch(t, partial(requires_graph, t), partial(requires_gradient, t))
            t.iterate()

        self._require("learns")

    @cached_property
    def coverage(self) -> Coverage:
        """Coverage of each setting that may switch code."""
        found = Coverage()
        for setting in self.mixtures():
            found.add(self.trainer(setting), setting)
        found.end()
        return found

    def _require(self, check: str) -> None:
        if check in self.coverage.faults:
            raise self.coverage.faults[check]

    def every_generator(self) -> None:
        """Check that the losses update each of the K generators."""
        self._require("every-generator")

    def heads(self) -> None:
        """Check that every head of a discriminator is trained by the loss of its player."""
        self._require("heads")

    def sources(self) -> None:
        """Check that discriminators are trained on real data and on samples of each generator."""
        self._require("sources")

    def gradients(self) -> None:
        """Check that every parameter gets a gradient in some setting."""
        seen: dict[str, bool | None] = {}
        for setting in self.settings():
            t = self.trainer(setting)
            for player, own in t.parameters.items():
                seen.update({f"{player}.{name}": seen.get(f"{player}.{name}") for name in own})
            watch(t, lambda player: player.loss, partial(record_gradients, t, seen))
            for iteration in representative_iterations(t):
                t.iteration = iteration
                t.iterate()
            some = without_gradient(seen)
            if not some:
                return
        refuse(
            f"parameters with no gradient, or only zero, in every setting: {', '.join(some[:3])}"
            + (f" and {len(some) - 3} more" if len(some) > 3 else ""),
            "the table would count a parameter that is never updated",
            "make a loss depend on it, or register it as a buffer",
        )

    def finite(self) -> None:
        """Check that losses, parameters and samples stay finite over some iterations."""
        for number, setting in enumerate(self.settings()):
            t = self.trainer(setting)
            for _ in range(ITERATIONS if number else 2 * ITERATIONS):
                t.iterate()
                _require_finite(t, setting)
                if t.iteration == ITERATIONS:
                    self.outcomes[setting.label] = contents(t)

    def effects(self) -> None:
        """Check that every parameter changes something."""
        Effects(self, self.outcomes).check()

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """Contents of the trainers of the check `finite`, by the name of the setting."""
        return {}

    def streams(self) -> None:
        """Check that no global random stream is used."""
        for setting in self.settings():
            common.check_streams("building the model", lambda setting=setting: self.trainer(setting))  # type: ignore[misc]
            t = self.trainer(setting)
            common.check_streams("an iteration", t.iterate)
            common.check_streams("sample()", partial(draw_samples, t, [3] * t.model.generators))

    def seeds(self) -> None:
        """Check that equal seeds give equal runs and that different seeds give different runs."""
        setting = self.settings()[0]
        with common.streams_from(1):
            first = self._run(setting)
        with common.streams_from(2):
            again = self._run(setting)
        for number, (one, other) in enumerate(zip(first, again, strict=True)):
            name = difference(one, other)
            if name:
                refuse(
                    f"two runs with the same seed differ in {name} after iteration {number}",
                    "results could not be reproduced",
                    "declare random tensors in noise() instead of drawing them, and share no state between models",
                )
        if all(difference(one, other) is None for one, other in zip(first, self._run(setting, 1), strict=True)):
            refuse(
                "two runs with different seeds are identical",
                "the interval over seeds would have width 0",
                "do not set seeds in the model: the trainer initialises and draws from the seed of the run",
            )

    def _run(self, setting: Setting, seed: int = 0) -> list[dict[str, Tensor]]:
        t = self.trainer(setting, seed)
        after = trajectory(t, 4)
        after[-1]["samples"] = draw_samples(t, [3] * t.model.generators)[0]
        return after

    def resumes(self) -> None:
        """Check that a run resumed from its checkpoint continues like an uninterrupted one."""
        for setting in self.branches():
            t = self.trainer(setting)
            stages = [stage.first for stage in t.model.stages(t.protocol.iterations)]
            for stop in (3, *(first + 1 for first in stages[1:2])):
                _check_resumes(self.trainer(setting), self.trainer(setting), stop, setting)

    def reads(self) -> None:
        """Check that an iteration neither waits for the value of a tensor nor branches on one."""
        for number, setting in enumerate(self.branches()):
            t = self.trainer(setting)
            for iteration in representative_iterations(t):
                t.iteration = iteration
                check_reads(t, setting)
                if number == 0:
                    at = self._descending(setting)
                    at.iteration = iteration
                    check_traced(at, setting, self.compiled)

    def compiles(self) -> None:
        """Check that a compiled iteration has the results of an eager one."""
        first, *others = self.branches()
        self.compiled.compare(lambda: self._descending(first), first)
        for setting in others:
            check_attributes(self.trainer(setting), setting)

    @cached_property
    def compiled(self) -> Compiled:
        """Iterations with the defaults that the check `reads` has traced."""
        return Compiled()

    def _descending(self, setting: Setting, seed: int = 0) -> Trainer:
        """Return a trainer with gradient descent, which does not amplify rounding errors of gradients."""
        return self.trainer(replace(setting, protocol={**setting.protocol, "optimizer": "sgd"}), seed)

    def devices(self) -> None:
        """Check that an iteration runs on the device of its model."""
        for setting in self.settings():
            check_devices(self.trainer(setting), setting)

    def stacks(self) -> None:
        """Check that seeds trained as one program have the same results as seeds trained separately."""
        setting = self.settings()[0]  # the state of seeds outside their modules does not depend on parameters
        check_stacks(lambda seed: self._descending(setting, seed), setting)


def _require_finite(t: Trainer, setting: Setting) -> None:
    """Check that losses, parameters and samples are finite after an iteration."""
    for name, value in contents(t).items():
        if not bool(torch.isfinite(value).all()):
            refuse(
                f"with {setting}, {name} is not finite after iteration {t.iteration - 1}",
                "the run would be recorded as diverged",
                "keep logarithms, roots and quotients away from zero: softplus and logsumexp of logits are safe",
            )


def _check_resumes(through: Trainer, resumed: Trainer, stop: int, setting: Setting) -> None:
    """Compare three iterations after a checkpoint at `stop`, as on disk, with those of the uninterrupted run."""
    trajectory(through, stop)
    draw_samples(through, [3] * through.model.generators)
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for number, (one, other) in enumerate(zip(trajectory(through, 3), trajectory(resumed, 3), strict=True)):
        name = difference(one, other)
        if name:
            refuse(
                f"with {setting}, a run resumed after iteration {stop - 1} differs in {name} after iteration "
                f"{number + stop}",
                "the model keeps state outside of checkpoints, so an interrupted run would have other results",
                "declare the state in initial_state() and update it in after_turn(), or register it as a buffer",
            )
