"""Checks that a compiled iteration has the results of an eager one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gan_bench.acceleration.compilation import as_traced, compile_iterations
from gan_bench.acceleration.model_attributes import ModelAttributes, is_tensor
from gan_bench.acceleration.tracing import KEPT, NotCompilableError, ReadsValuesError
from gan_bench.testing.checks import refuse
from gan_bench.testing.settings import Setting
from gan_bench.testing.tiny import contents
from gan_bench.training.trainer import Trainer

ITERATIONS = 3
CLOSE = {"rtol": 1e-3, "atol": 1e-5}  # float32: the operations of a trace may be summed in another order

STATE = "declare the tensor in initial_state() and change it in after_turn(), or compute it in the loss that uses it"


class Compiled:
    """Traced iterations of a model, each with a trainer at that iteration.

    Attributes:
        obstacle: reason why an iteration cannot be compiled, or None if all can.
    """

    def __init__(self) -> None:
        self.obstacle: NotCompilableError | None = None
        self._trainers: list[Trainer] = []

    def trace(self, t: Trainer) -> None:
        """Trace the next iteration.

        Raises:
            ReadsValuesError: an operation needs the value of a tensor.
        """
        try:
            compile_iterations(t, lambda message: None, as_traced)
            self._trainers.append(t)
        except ReadsValuesError:
            raise
        except NotCompilableError as error:
            self.obstacle = self.obstacle or error

    def compare(self, make: Callable[[], Trainer], setting: Setting) -> None:
        """Compare traced with eager iterations, as long as they have the same turns."""
        if self.obstacle is not None and str(self.obstacle).startswith(KEPT.partition("{}")[0]):
            refuse(
                f"with {setting}, an iteration cannot be compiled: {self.obstacle}",
                "a value that is kept on the model between turns would be a constant of the compiled iteration",
                STATE,
            )
        for compiled in self._trainers:
            eager = make()
            eager.iteration = compiled.iteration
            turns = tuple(eager.model.turns(eager.iteration))
            for _ in range(ITERATIONS):
                if tuple(eager.model.turns(eager.iteration)) != turns:
                    break
                eager.iterate()
                compiled.iterate()
                _compare(eager, compiled, setting)


def _compare(eager: Trainer, compiled: Trainer, setting: Setting) -> None:
    found = contents(compiled)
    for name, value in contents(eager).items():
        if not torch.allclose(found[name].to(value.dtype), value, equal_nan=True, **CLOSE):
            refuse(
                f"with {setting}, {name} of a compiled iteration differs from that of an eager one after iteration "
                f"{eager.iteration - 1}",
                "results would depend on whether a machine can compile: a value kept between turns or iterations is a "
                "constant of the compiled iteration",
                STATE,
            )


def check_attributes(t: Trainer, setting: Setting) -> None:
    """Check that an iteration keeps no tensor on the model. The first iteration may, which then is a constant."""
    t.iterate()
    before = ModelAttributes(t.model)
    t.iterate()
    changed = sorted(name for name, value in before.changed().items() if is_tensor(value))
    if changed:
        refuse(
            f"with {setting}, an iteration changes the attribute {changed[0]} of the model, which is a tensor",
            "the iteration could not be compiled: a value that is kept on the model would be a constant in it",
            STATE,
        )
