"""Lower bound of the time of an iteration: its arithmetic alone.

    products   matrix products and convolutions, forward and backward, of the shapes and types of the traced iteration,
               one after the other on operands in the fastest layout
    draws      as many random numbers as its latents, noise and real data take
    adam       torch's fused Adam on as many parameters, as many steps

Operations between products (activations, losses, normalisation) are not counted, so no program can reach the bound. On
a GPU, products and Adam are recorded as CUDA graphs, because launches are not arithmetic. Numbers are drawn for a block
of iterations at a time, as gan-bench does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any

import torch
from _loops import Loop, fastest_convolutions
from torch import Tensor, fx

from gan_bench.acceleration.cuda_graphs import record
from gan_bench.acceleration.narrow_products import WITHOUT_ADDED_TERM
from gan_bench.acceleration.tracing import Traced
from gan_bench.training.trainer import Trainer

Call = tuple[Any, tuple[Any, ...], Mapping[str, Any]]
"""Operation of torch, its operands and its options."""

aten = torch.ops.aten
OF_MATRICES = {*WITHOUT_ADDED_TERM, *WITHOUT_ADDED_TERM.values()}  # products of their last two operands
CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
TRIALS = 5


def floor(trainer: Trainer) -> dict[str, Loop]:
    """Return the parts of a trainer's iteration as loops. Raises NotCompilableError if it cannot be traced."""
    turns = tuple(trainer.model.turns(trainer.iteration))
    traced = Traced(trainer, turns)
    products, adam = _products(traced.graph, trainer.device), _adam(trainer, traced)
    if trainer.device.type == "cuda":
        products, adam = _recorded(products), _recorded(adam)
    return {"products": products, "draws": _draws(trainer), "adam": adam}


def _recorded(loop: Loop) -> Loop:
    """Record a loop as a CUDA graph, with the fastest convolutions of cuDNN."""

    def work() -> Sequence[Tensor]:
        loop()
        return ()

    with fastest_convolutions():
        replay, _ = record(work)
    return replay


def _products(graph: fx.GraphModule, device: torch.device) -> Loop:
    """Return a loop over the products of a graph whose results are used."""
    nodes = [node for node in graph.graph.nodes if node.target in OF_MATRICES | CONVOLUTIONS and node.users]
    calls = [(node.target, fx.map_arg(node.args, lambda of: _like(of, device)), node.kwargs) for node in nodes]
    calls = [_laid_out(*call) if call[0] in OF_MATRICES else call for call in calls]

    @torch.no_grad()
    def iterate() -> None:
        for operation, operands, options in calls:
            operation(*operands, **options)

    return iterate


def _like(node: fx.Node, device: torch.device) -> Tensor:
    """Return random numbers with the shape, strides and type of a node's value."""
    value = node.meta["val"]
    length = 1 + sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    return torch.randn(length, device=device, dtype=value.dtype).as_strided(value.shape, value.stride())


def _laid_out(operation: Any, operands: tuple[Any, ...], options: Any) -> Call:
    """Return the fastest form of a product: operands in rows or columns, transposed or not."""
    *others, left, right = operands
    ways = [*product(*((each.contiguous(), each.mT.contiguous().mT) for each in (left, right)))]
    calls = [(operation, (*others, *way), options) for way in ways]
    turned = WITHOUT_ADDED_TERM.get(operation, operation)
    return min([*calls, *((turned, (below.mT, above.mT), {}) for above, below in ways)], key=_seconds)


def _seconds(call: Call) -> float:
    """Return the least time of a call in a few trials."""
    operation, operands, options = call
    found = []
    for _ in range(TRIALS):
        started = _now(operands[-1])
        operation(*operands, **options)
        found.append(_now(operands[-1]) - started)
    return min(found)


def _now(beside: Tensor) -> float:
    """Return the time in seconds after the device of a tensor has finished its work."""
    if beside.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def _adam(trainer: Trainer, traced: Traced) -> Loop:
    """Return a loop of fused Adam on copies of all parameters, as many steps as each player makes."""
    recorded = trainer.device.type == "cuda"
    steps = []
    for player, moves in traced.moves.items():
        own = [parameter.detach().clone().requires_grad_() for parameter in trainer.parameters[player].values()]
        for parameter in own:
            parameter.grad = torch.full_like(parameter, 1e-3)
        steps += [torch.optim.Adam(own, fused=True, capturable=recorded)] * moves

    def iterate() -> None:
        for step in steps:
            step.step()

    return iterate


def _draws(trainer: Trainer) -> Loop:
    """Return a loop that draws latents, noise and real data of one iteration."""
    rng = torch.Generator(trainer.device)
    blocks = cycle(range(trainer.draw_source.rows))  # the first iteration of a block draws for all of them
    drawn, rows = trainer.draw(tuple(trainer.model.turns(trainer.iteration))), trainer.draw_source.rows
    like = [*drawn.latents.values(), *(value for of in drawn.noise.values() for value in of.values())]
    numbers = [torch.empty(rows, *each.shape, device=trainer.device) for each in like]

    def iterate() -> None:
        if next(blocks):
            return
        for each in numbers:
            each.normal_(generator=rng) if trainer.protocol.latent == "normal" else each.uniform_(generator=rng)
        for _ in drawn.real:
            trainer.dataset.draw(rows * trainer.protocol.batch, rng)

    return iterate
