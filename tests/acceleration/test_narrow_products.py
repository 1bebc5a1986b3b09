"""Promises of narrow products: those with few columns are transposed, and the rest of the graph is unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch._inductor
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_bench.acceleration.compilation import compiled
from gan_bench.acceleration.narrow_products import MAX_COLUMNS, MIN_ROWS, transpose_narrow
from gan_bench.acceleration.tracing import traced

aten = torch.ops.aten
PRODUCTS = {aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default}
ROWS, INNER = MIN_ROWS, 7

Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def plain(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Multiply, and take a view that assumes a row-major result."""
    return (left @ right).view(-1).sin()


def biased(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Multiply and add, as a linear layer does."""
    return torch.addmm(bias, left, right).view(-1)


def batched_biased(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Multiply and add batches, as several linear layers do at once."""
    return torch.baddbmm(bias, left, right).flatten(0, 1)


def scaled(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Multiply and add with factors, which torch handles."""
    return torch.addmm(bias, left, right, beta=2.0, alpha=0.5)


def operands(rows: int, columns: int, *batch: int, bias: tuple[int, ...] = ()) -> list[Tensor]:
    """Return left, right and bias, in float64."""
    rng = torch.Generator().manual_seed(0)
    shapes = (*batch, rows, INNER), (*batch, INNER, columns), bias
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


class Columns(TorchDispatchMode):
    """Mode that records the number of columns of each product."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        if func in PRODUCTS:
            self.seen.append(args[-1].shape[-1])
        return func(*args, **(kwargs or {}))


def columns_of(graph: Callable[..., Any], given: Sequence[Tensor]) -> list[int]:
    """Return the columns of a graph's products, in order."""
    with Columns() as columns:
        graph(*given)
    return columns.seen


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (plain, operands(ROWS, 2)),
        (plain, operands(ROWS, MAX_COLUMNS)),
        (plain, operands(ROWS, 1, 3)),
        (plain, operands(ROWS, 2, 3)),
        (biased, operands(ROWS, 3, bias=(3,))),
        (biased, operands(ROWS, 3, bias=(ROWS, 3))),
        (batched_biased, operands(ROWS, 1, 3, bias=(3, 1, 1))),
        (batched_biased, operands(ROWS, 2, 3, bias=(1, ROWS, 2))),
    ],
)
def test_narrow_products_are_turned(function: Function, given: list[Tensor]) -> None:
    """Values and strides are unchanged; the new product's columns are the old one's rows."""
    graph = traced(function, given)
    turned = transpose_narrow(graph)
    assert columns_of(graph, given) == [given[1].shape[-1]]
    assert columns_of(turned, given) == [ROWS]
    expected, found = graph(*given), turned(*given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (plain, operands(ROWS, 1)),
        (plain, operands(ROWS, MAX_COLUMNS + 1)),
        (plain, operands(ROWS - 1, 2)),
        (scaled, operands(ROWS, 2, bias=(2,))),
    ],
)
def test_others_stay(function: Function, given: list[Tensor]) -> None:
    """Products with a vector, with many columns, with few rows or with factors are unchanged."""
    graph = traced(function, given)
    assert transpose_narrow(graph).code == graph.code


def test_torch_is_given_the_turned_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a CPU, torch compiles the transposed graph."""
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, _: graph)
    given = operands(ROWS, 2)
    assert columns_of(compiled(traced(plain, given), given, 0), given) == [ROWS]


def test_what_was_given_stays() -> None:
    """The original graph is unchanged, because it is run too."""
    graph = traced(plain, operands(ROWS, 2))
    before = graph.code
    transpose_narrow(graph)
    assert graph.code == before


def test_several_in_a_row() -> None:
    """Both products are transposed if one's result is the other's operand."""

    def chain(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
        return (left @ right) @ bias

    given = [*operands(ROWS, 3)[:2], torch.ones(3, 2, dtype=torch.float64)]
    graph = traced(chain, given)
    turned = transpose_narrow(graph)
    assert columns_of(turned, given) == [ROWS, ROWS]
    torch.testing.assert_close(turned(*given), graph(*given), rtol=1e-12, atol=1e-12)


def test_constants_may_be_operands() -> None:
    """A tensor that a model holds outside its modules is a constant of the graph."""
    held = operands(ROWS, 2)[1]
    given = [operands(ROWS, 2)[0]]
    graph = traced(lambda left: left @ held, given)
    turned = transpose_narrow(graph)
    assert columns_of(turned, given) == [ROWS]
    torch.testing.assert_close(turned(*given), graph(*given), rtol=1e-12, atol=1e-12)
