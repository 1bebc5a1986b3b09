"""Checks that a network keeps the promises of `gan_bench.contracts.network`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gan_bench.contracts.network import SHARED, Discriminator, Initialisation, Network, initialise
from gan_bench.errors import PluginError
from gan_bench.plugins.registry import Registry
from gan_bench.testing import common
from gan_bench.testing import network_gradients as gradients
from gan_bench.testing.checks import Check, Fault, first_line, place, refuse
from gan_bench.testing.settings import Setting, made, settings
from gan_bench.testing.tiny import SMALL, dataset_for, difference, installed, same

LATENT = 6
EACH = 4
HEADS = {"one": None, "three": 3}
REASON = "models rely on it"
DEFAULTS = "defaults"


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one network."""
    subject = _Subject(cls, registry or installed())
    parameters = Check("parameters", "every parameter has a type, an explanation and a valid default", subject.params)
    described = Check("description", "the class has a docstring", subject.described)
    builds = Check("builds", "it can be built with the values that its parameters allow", subject.builds)
    generators = Check(
        "generators", "K generators return (K, b, *shape), each from its own latents", subject.generators, (builds,)
    )
    sharing = Check(
        "sharing",
        'generators share no parameters with shared = "nothing", some with "body" and "trunk"',
        subject.sharing,
        (generators,),
    )
    discriminator = Check(
        "discriminator",
        "a discriminator has the requested heads, and its copies are independent",
        subject.discriminator,
        (builds,),
    )
    alone = Check(
        "alone",
        "without batch statistics, the logits of a sample do not depend on other samples",
        subject.alone,
        (discriminator,),
    )
    pairs = Check(
        "pairs",
        "a joint discriminator returns logits for pairs of a sample and a vector",
        subject.pairs,
        (discriminator,),
    )
    copying = Check(
        "autoencoder", "an autoencoder returns the shape of its input", subject.autoencoder, (discriminator,)
    )
    latents = Check(
        "latents",
        "each generator depends on its own latents, and on separate parameters if nothing is shared",
        subject.latents,
        (generators, sharing),
    )
    copied = Check(
        "copies",
        "each copy of a discriminator depends on its own samples and parameters",
        subject.copies,
        (discriminator,),
    )
    heads = Check("heads", "every logit varies with the samples", subject.heads, (copied,))
    both = (generators, discriminator)
    initialised = Check(
        "seeds", "equal seeds give equal weights, different seeds give different weights", subject.seeds, both
    )
    streams = Check("streams", "a forward pass uses no global random stream", subject.streams, both)
    devices = Check("devices", "a forward pass runs on the device of the network", subject.devices, both)
    bodies = [builds, generators, sharing, latents, discriminator, copied, heads, alone, pairs, copying]
    return [parameters, described, *bodies, initialised, streams, devices]


class _Subject:
    """Class of a network under check, with the checks as methods."""

    def __init__(self, cls: type[Any], registry: Registry) -> None:
        self.cls, self.registry = cls, registry
        self._shape: tuple[int, ...] | None = None

    def params(self) -> None:
        common.check_parameters(self.cls)

    def described(self) -> None:
        common.check_described(self.cls)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the samples of a dataset that the network supports."""
        if self._shape is None:
            self._shape = dataset_for(self.cls(made(self.cls)), self.registry).shape
        return self._shape

    @property
    def build(self) -> _Build:
        """Builder of the network with its defaults, except for a small width."""
        return _Build(self.cls(made(self.cls, **SMALL)), self.shape)

    def made(self) -> list[tuple[Setting, Network]]:
        """Return the network in every setting in which it is checked."""
        return [(setting, self.cls(setting.params)) for setting in settings(self.cls, **SMALL)]

    def builds(self) -> None:
        for setting, network in [(Setting("defaults", None), self.cls(made(self.cls))), *self.made()]:
            for build in (_Build(network, self.shape).generators, _Build(network, self.shape).discriminator):
                try:
                    build()
                except Exception as error:
                    refuse(
                        f"with {setting}, the network cannot be built: {first_line(error)}{place(error)}",
                        "a benchmark may use every value that a parameter allows",
                        "correct the code, narrow the parameter's range, or reject the values in Params.__post_init__",
                    )

    def generators(self) -> None:
        _check_apart(self.build.generators(3))
        for setting, network in self.made():
            for shared in SHARED:
                for count in (1, 3):
                    module = _Build(network, self.shape).generators(count, shared)
                    _check_generators(module, count, self.shape, f"with {setting}, generators({count}, {shared!r})")

    def sharing(self) -> None:
        build = self.build
        one = _size(build.generators(1))
        sizes = {shared: _size(build.generators(3, shared)) for shared in SHARED}
        apart = sizes.pop("nothing")
        if apart != 3 * one or not all(one <= some < apart for some in sizes.values()):
            shares = ", ".join(f"3 that share {SHARED[shared]} have {size:,}" for shared, size in sizes.items())
            refuse(
                f"1 generator has {one:,} parameters, 3 that share nothing have {apart:,}, {shares}",
                "tables state which parts the generators share, and count their parameters",
                'build three times the parameters of one generator for "nothing", and fewer for "body" and "trunk"',
            )

    def discriminator(self) -> None:
        for setting, network in self.made():
            for copies in (None, 2):
                module = _Build(network, self.shape).discriminator(copies)
                _check_discriminator(module, copies, self.shape, f"with {setting}, discriminator(copies={copies})")

    def latents(self) -> None:
        for shared in SHARED:
            what = f"generators(3, {shared!r})"
            _check_apart(self.build.generators(3, shared), what)
            gradients.check_generators(partial(self._generators, shared), _latents(3), shared, what)

    def _generators(self, shared: str, seed: int) -> nn.Module:
        return self.build.generators(3, shared, seed=seed)

    def copies(self) -> None:
        for copies in (None, 2):
            x = _points(self.shape, () if copies is None else (copies,))
            what = f"discriminator(copies={copies})"
            gradients.check_discriminator(partial(self._discriminator, copies), x, copies, what)
            module = self._discriminator(copies, 0)
            if isinstance(module, Discriminator) and gradients.has_features(module):
                gradients.check_reads(_Features(module), {"samples": x}, f"features() of {what}")

    def heads(self) -> None:
        for copies in (None, 2):
            x = _points(self.shape)
            gradients.check_heads(partial(self._discriminator, copies), x, copies, f"discriminator(copies={copies})")

    def _discriminator(self, copies: int | None, seed: int) -> nn.Module:
        return self.build.discriminator(copies, seed=seed)

    def alone(self) -> None:
        for setting, network in self.made():
            module = _Build(network.without_batch_statistics(), self.shape).discriminator()
            _check_alone(module, self.shape, f"with {setting}, without_batch_statistics()")

    def pairs(self) -> None:
        for setting, network in self.made():
            if module := _offered(partial(network.joint_discriminator, self.shape, LATENT, HEADS)):
                with torch.no_grad():
                    logits = module(_points(self.shape), _latents(1)[0])
                _require_logits(logits, (), f"with {setting}, joint_discriminator()")
                if setting.label == DEFAULTS:
                    inputs = {"samples": _points(self.shape), "vectors": _latents(1)[0]}
                    gradients.check_reads(module, inputs, "joint_discriminator()")

    def autoencoder(self) -> None:
        for setting, network in self.made():
            if module := _offered(partial(network.autoencoder, self.shape)):
                with torch.no_grad():
                    _require(module(_points(self.shape)), (EACH, *self.shape), f"with {setting}, autoencoder()")
                if setting.label == DEFAULTS:
                    gradients.check_reads(module, {"samples": _points(self.shape)}, "autoencoder()")

    def seeds(self) -> None:
        build = self.build
        for make in (partial(build.generators, 3, "body"), partial(build.discriminator, 2)):
            first, again, other = (dict(make(seed=seed).state_dict()) for seed in (0, 0, 1))
            name = difference(first, again)
            if name or not difference(first, other):
                found = f"{name} differs for equal seeds" if name else "all weights are equal for different seeds"
                refuse(
                    found,
                    "runs could not be reproduced, or would not depend on the seed",
                    "leave the initial weights to `gan_bench.contracts.network.initialise`",
                )

    def streams(self) -> None:
        build = self.build
        generators, discriminator = build.generators(3), build.discriminator()
        common.check_streams("a forward pass of the generators", lambda: generators(_latents(3)))
        common.check_streams("a forward pass of the discriminator", lambda: discriminator(_points(self.shape)))

    def devices(self) -> None:
        for setting, network in self.made():
            build = _Build(network, self.shape)
            try:
                build.generators(3).to("meta")(_latents(3).to("meta"))
                build.discriminator(2).to("meta")(_points(self.shape).to("meta"))
            except Exception as error:
                raise Fault(
                    f"with {setting}, a forward pass fails on another device{place(error)}: {first_line(error)}",
                    "it would not run on a GPU: a tensor is created on the CPU, stays there or is copied there",
                    "create tensors with device=x.device, and register constants as buffers",
                ) from error


class _Features(nn.Module):
    """A discriminator that returns its features."""

    def __init__(self, body: Discriminator) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Map samples to features."""
        return self.body.features(x)


class _Build:
    """Builder of modules of one network, which are initialised as in training."""

    def __init__(self, network: Network, shape: tuple[int, ...]) -> None:
        self.network, self.shape = network, shape

    def generators(self, count: int = 3, shared: Any = "body", *, seed: int = 0) -> nn.Module:
        """Build initialised generators."""
        return _initialised(lambda: self.network.generators(LATENT, self.shape, count, shared), seed)

    def discriminator(self, copies: int | None = None, *, seed: int = 0) -> nn.Module:
        """Build an initialised discriminator with two heads."""
        return _initialised(lambda: self.network.discriminator(self.shape, HEADS, copies), seed)


def _initialised(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = make()
    initialise(module, Initialisation("normal", 0.5), torch.Generator().manual_seed(seed))
    return module


def _offered(make: Callable[[], nn.Module]) -> nn.Module | None:
    """Return an initialised module, or None if the network does not offer this kind for the shape."""
    try:
        return _initialised(make, 0)
    except PluginError:
        return None


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _latents(count: int) -> Tensor:
    return torch.randn(count, EACH, LATENT, generator=torch.Generator().manual_seed(0))


def _points(shape: tuple[int, ...], copies: tuple[int, ...] = ()) -> Tensor:
    return torch.randn(*copies, EACH, *shape, generator=torch.Generator().manual_seed(0))


def _require(x: object, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(x, Tensor) or tuple(x.shape) != shape or x.dtype != torch.float32:
        found = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        refuse(f"{what} returns {found}", REASON, f"return float32 of shape {shape}")
    if not bool(torch.isfinite(x).all()):
        refuse(f"{what} returns values that are not finite", REASON, "return finite values for weights from N(0, 0.25)")


@torch.no_grad()
def _check_apart(module: nn.Module, what: str = "generators(3)") -> None:
    """Check that three generators map the same latents to different samples."""
    x = module(_latents(3)[:1].expand(3, -1, -1).contiguous())
    if any(same(x[0], other) for other in x[1:]):
        refuse(
            f"{what} returns equal samples of several generators",
            REASON,
            "give each generator its own input layer",
        )


@torch.no_grad()
def _check_generators(module: nn.Module, count: int, shape: tuple[int, ...], what: str) -> None:
    z = _latents(count)
    _require(module(z), (count, EACH, *shape), f"{what}, in training,")
    gradients.check_untouched(_latents(count), z, what)
    module.eval()  # in training mode, shared layers may normalise the samples of all generators together
    _require(x := module(z), (count, EACH, *shape), what)
    moved = module(torch.cat([z[:1] + 1, z[1:]]))
    for k in range(1, count):
        if not torch.allclose(x[k], moved[k], rtol=1e-4, atol=1e-6):
            refuse(f"{what}: generator {k} depends on the latents of generator 0", REASON, "use z[k] for generator k")


@torch.no_grad()
def _check_discriminator(module: nn.Module, copies: int | None, shape: tuple[int, ...], what: str) -> None:
    lead = () if copies is None else (copies,)
    for x in [_points(shape)] if copies is None else [_points(shape), _points(shape, lead)]:
        given = x.clone()
        logits = module(x)
        gradients.check_untouched(given, x, what)
        _require_logits(logits, lead, what)
        if isinstance(module, Discriminator) and type(module).features is not Discriminator.features:
            _check_features(module, x, lead, what)
    if copies is not None:
        moved = module(torch.cat([x[:1] + 1, x[1:]]))
        if not torch.allclose(moved["one"][1:], logits["one"][1:], rtol=1e-4, atol=1e-6):
            refuse(f"{what}: a copy depends on the samples of another copy", REASON, "pass x[m] to copy m")


def _require_logits(logits: object, lead: tuple[int, ...], what: str) -> None:
    if not isinstance(logits, dict) or list(logits) != list(HEADS):
        found = list(logits) if isinstance(logits, dict) else type(logits).__name__
        refuse(f"{what} returns {found}", REASON, f"return a dict of logits by head: {list(HEADS)}")
    _require(logits["one"], (*lead, EACH), f"{what}, head of one logit,")
    _require(logits["three"], (*lead, EACH, 3), f"{what}, head of three logits,")


@torch.no_grad()
def _check_alone(module: nn.Module, shape: tuple[int, ...], what: str) -> None:
    """Check that the logits of the first sample do not depend on the other samples."""
    x = _points(shape)
    moved = module(torch.cat([x[:1], x[1:] + 1]))
    if not torch.allclose(module(x)["three"][0], moved["three"][0], rtol=1e-4, atol=1e-6):
        refuse(
            f"{what}: the logits of a sample depend on other samples of the batch",
            "penalties take derivatives at single samples",
            "return a network without batch normalisation in discriminators",
        )


def _check_features(module: Discriminator, x: Tensor, lead: tuple[int, ...], what: str) -> None:
    """Check that features, which are optional, are a vector for each sample."""
    features: object = module.features(x)
    size = features.shape[-1:] if isinstance(features, Tensor) else ()
    _require(features, (*lead, EACH, *size), f"{what}, features()")
