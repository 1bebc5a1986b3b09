"""Checks of a network by gradients: which inputs and parameters each generator, copy and head depends on.

Several generators or copies are often one module with fused parameters, so entries of parameters are compared instead
of parameters. A ReLU may block a gradient for some weights. A dependence is therefore missing only if it is missing for
several initialisations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.contracts.network import Discriminator
from gan_bench.testing.checks import refuse

SEEDS = (0, 1, 2)
IGNORED = 0.1  # largest share of the numbers of a sample that a discriminator may ignore, such as a border
REASON = "it would be counted and shown as a part that is trained, and never learn"

Make = Callable[[int], nn.Module]


def check_generators(make: Make, z: Tensor, shared: str, what: str) -> None:
    """Check that each generator depends on its own latents, and with "nothing" on no parameter of another one."""
    reached = torch.zeros(z.shape[0], z.shape[2], dtype=torch.bool)
    for seed in SEEDS:
        module = make(seed).train(shared == "nothing")  # else shared layers may normalise all samples together
        if seed == 0:
            used = [_entries(module, lambda: module(z)[k]) for k in range(len(z))]  # noqa: B023 - called at once
            _check_parts(used, "generator", shared == "nothing", what)
        for k in range(len(z)):
            found = _gradient(module, z, lambda given: module(given)[k]) != 0  # noqa: B023
            for other in range(len(z)):
                if other != k and found[other].any():
                    refuse(
                        f"{what}: generator {k} depends on the latents of generator {other}",
                        "generators would not be independent parts of a mixture",
                        "use z[k] for generator k, and normalise the samples of each generator separately",
                    )
            reached[k] |= found[k].any(0)
        if reached.all():
            return
    (k, *_) = (~reached).any(1).nonzero().flatten().tolist()
    ignored, size = int((~reached[k]).sum()), z.shape[2]
    refuse(
        f"{what}: generator {k} ignores {'its latents' if ignored == size else f'{ignored} of {size} latents'}",
        "it would generate the same sample, or a set of fewer dimensions than the latents have",
        "pass all of z[k] through the layers of generator k",
    )


def check_discriminator(make: Make, x: Tensor, copies: int | None, what: str) -> None:
    """Check that each copy depends on its own samples and parameters, and that copies differ."""
    reached = torch.zeros(copies or 1, *x.shape[(1 if copies is None else 2) :], dtype=torch.bool)
    for seed in SEEDS:
        module = make(seed)
        if copies is not None and seed == 0:
            used = [_entries(module, lambda: _logits(module(x))[m]) for m in range(copies)]  # noqa: B023
            _check_parts(used, "copy", True, what)
            _check_different(module, x, what)
        for m in range(copies or 1):
            found = _gradient(module, x, lambda given: _logits(module(given))[slice(None) if copies is None else m])  # noqa: B023
            found = (found[None] if copies is None else found) != 0
            if found[[other for other in range(len(found)) if other != m]].any():
                refuse(
                    f"{what}: copy {m} depends on the samples of another copy",
                    "each copy has a batch of its own",
                    "pass x[m] to copy m",
                )
            reached[m] |= found[m].any(0)
        if reached.flatten(1).float().mean(1).min() > 1 - IGNORED:
            return
    shares = reached.flatten(1).float().mean(1)
    m = int(shares.argmin())
    refuse(
        f"{what}: {'the discriminator' if copies is None else f'copy {m}'} ignores {1 - float(shares[m]):.0%} of the "
        "numbers of a sample",
        "generators would not learn these numbers",
        "pass the whole sample through the layers",
    )


def check_heads(make: Make, x: Tensor, copies: int | None, what: str) -> None:
    """Check that every logit of every copy varies with the samples and that no two are equal."""
    constant: dict[str, Tensor] = {}
    for seed in SEEDS:
        module = make(seed)
        with torch.no_grad():
            logits: Mapping[str, Tensor] = module(x)
        for name, value in _units(logits, copies).items():
            still = (value - value[:, :1]).abs().amax(1) <= 1e-6 * value.abs().amax(1)  # (copies, units)
            constant[name] = constant.get(name, still) & still
        if seed == 0:
            _check_distinct(_units(logits, copies), what)
    for name, still in constant.items():
        if still.any():
            m, unit = still.nonzero()[0].tolist()
            place = f"logit {unit} of head {name!r}" if still.shape[1] > 1 else f"head {name!r}"
            refuse(
                f"{what}: {place}{'' if copies is None else f' of copy {m}'} is the same for all samples",
                REASON,
                "compute all heads from the features of the samples",
            )


def check_reads(module: nn.Module, inputs: Mapping[str, Tensor], what: str) -> None:
    """Check that the output of a module depends on each of its inputs."""
    given = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    output: Any = module(*given.values())
    total = _weighted(_logits(output) if isinstance(output, dict) else output)
    found = torch.autograd.grad(total, list(given.values()), allow_unused=True) if total.requires_grad else ()
    for name, gradient in zip(given, found or [None] * len(given), strict=True):
        if gradient is None or not gradient.any():
            refuse(f"{what} ignores the {name}", REASON, f"pass the {name} through the layers")


def check_untouched(given: Tensor, after: Tensor, what: str) -> None:
    """Check that a forward pass has not changed its input."""
    if not torch.equal(given, after):
        refuse(
            f"{what} changes its input in place",
            "losses that use the same samples or latents again would use the changed ones",
            "remove inplace=True from the first layer, or work on a copy",
        )


def _units(logits: Mapping[str, Tensor], copies: int | None) -> dict[str, Tensor]:
    """Return the logits of each head as (copies, samples, units)."""
    found = {}
    for name, value in logits.items():
        value = value[None] if copies is None else value
        found[name] = value[..., None] if value.dim() == 2 else value
    return found


def _check_distinct(units: Mapping[str, Tensor], what: str) -> None:
    named = [
        (f"logit {number} of head {name!r}" if value.shape[2] > 1 else f"head {name!r}", value[..., number])
        for name, value in units.items()
        for number in range(value.shape[2])
    ]
    for (first, one), (second, other) in combinations(named, 2):
        if torch.equal(one, other) and not (one == one[:, :1]).all():
            refuse(
                f"{what}: {first} and {second} are equal",
                "two losses would train the same output",
                "give each logit its own weights in the last layer",
            )


def _check_different(module: nn.Module, x: Tensor, what: str) -> None:
    with torch.no_grad():
        logits = _logits(module(x[:1].expand_as(x).contiguous()))
    for first, second in combinations(range(len(x)), 2):
        if torch.equal(logits[first], logits[second]):
            refuse(
                f"{what}: copies {first} and {second} have the same logits for the same samples",
                "copies with equal weights receive equal gradients and remain equal",
                "initialise each copy separately",
            )


def _check_parts(used: Sequence[Mapping[str, Tensor]], kind: str, separate: bool, what: str) -> None:
    """Check that each part has parameters, and that parts that must be separate have none in common."""
    for number, entries in enumerate(used):
        if not any(each.any() for each in entries.values()):
            refuse(
                f"{what}: no parameter of the module changes the output of {kind} {number}",
                REASON,
                "register its layers as submodules (nn.ModuleList), and do not detach its output",
            )
    if not separate:
        return
    for (first, one), (second, other) in combinations(enumerate(used), 2):
        common = [name for name in one if name in other and (one[name] & other[name]).any()]
        if common:
            plural = "generators" if kind == "generator" else "copies"
            refuse(
                f"{what}: {plural} {first} and {second} share {common[0]}",
                "tables state that they share nothing, and each would be trained by the losses of the others",
                f"use the k-th row of a fused parameter, or a module, for the k-th {kind} only",
            )


def _entries(module: nn.Module, output: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Return for each parameter which of its entries the output depends on."""
    parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    total = _weighted(output())
    if not parameters or not total.requires_grad:
        return {}
    found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {name: each != 0 for name, each in zip(parameters, found, strict=True) if each is not None}


def _gradient(module: nn.Module, x: Tensor, output: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the gradient of a random combination of outputs with respect to the input; 0 without a dependence."""
    given = x.clone().requires_grad_()
    total = _weighted(output(given))
    found = torch.autograd.grad(total, given, allow_unused=True)[0] if total.requires_grad else None
    return torch.zeros_like(x) if found is None else found


def _weighted(x: Tensor) -> Tensor:
    """Return a random combination: the sum of a normalised batch has no gradient."""
    return (x * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).sum()


def _logits(logits: Mapping[str, Tensor]) -> Tensor:
    """Return the logits of all heads, (n, units) or (copies, n, units), with a last dimension for units."""
    least = min(value.dim() for value in logits.values())
    return torch.cat([value[..., None] if value.dim() == least else value for value in logits.values()], -1)


def has_features(module: nn.Module) -> bool:
    """Whether a discriminator defines its features."""
    return isinstance(module, Discriminator) and type(module).features is not Discriminator.features
