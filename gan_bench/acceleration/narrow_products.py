"""Transpose narrow matrix products: on a CPU torch is several times slower at few columns than at few rows.

Points have two coordinates and discriminators few outputs, so a third of the products of an iteration on points is
narrow. A B = (Bᵀ Aᵀ)ᵀ only needs views, and rounds differently.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

MAX_COLUMNS = 12
"""From 16 columns on neither form is faster; see tools/speed/products.py."""

MIN_ROWS = 32
"""Smallest number of rows that was measured; with as few rows as columns a transposition gains nothing."""

WITHOUT_ADDED_TERM: Mapping[Any, Any] = {aten.addmm.default: aten.mm.default, aten.baddbmm.default: aten.bmm.default}
"""Products with an added term, and the same products without."""

MIN_COLUMNS: Mapping[Any, int] = {aten.mm.default: 2, aten.bmm.default: 1}
"""A matrix times one column is a matrix-vector product, which is already fast."""


def transpose_narrow(graph: fx.GraphModule) -> fx.GraphModule:
    """Copy a graph of core operations with its narrow products transposed; the original is unchanged."""
    turned = fx.GraphModule(graph, copy.deepcopy(graph.graph))
    for node in [*turned.graph.nodes]:
        if _narrow(node):
            with turned.graph.inserting_before(node):
                node.replace_all_uses_with(_transposed_product(turned.graph, node))
            turned.graph.erase_node(node)
    turned.recompile()
    return turned


def _narrow(node: fx.Node) -> bool:
    product = WITHOUT_ADDED_TERM.get(node.target, node.target)
    if product not in MIN_COLUMNS or node.kwargs:
        return False
    left, right = (each.meta["val"].shape for each in node.args[-2:] if isinstance(each, fx.Node))
    return bool(MIN_COLUMNS[product] <= right[-1] <= MAX_COLUMNS and left[-2] >= MIN_ROWS)


def _transposed_product(graph: fx.Graph, node: fx.Node) -> fx.Node:
    *added, left, right = node.args
    product = graph.call_function(
        WITHOUT_ADDED_TERM.get(node.target, node.target), (_mT(graph, right), _mT(graph, left))
    )
    result = _mT(graph, product)
    if added:
        result = graph.call_function(aten.add.Tensor, (result, *added))
    # Keep the layout: the following operations, views included, were traced with it.
    result = graph.call_function(aten.clone.default, (result,), {"memory_format": torch.contiguous_format})
    result.meta = node.meta
    return result


def _mT(graph: fx.Graph, matrices: Any) -> fx.Node:
    return graph.call_function(aten.transpose.int, (matrices, -2, -1))
