"""Networks for images: sizes, parameter counts, comparison with torch's layers, running averages, and training."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from gan_bench_zoo.datasets.gaussian_mixtures import Ring8
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.mix_gan import MixGAN
from gan_bench_zoo.models.r3gan import R3GAN
from gan_bench_zoo.models.sngan import SNGAN
from gan_bench_zoo.models.unrolled_gan import UnrolledGAN
from gan_bench_zoo.models.wgan_gp import WGANGP
from gan_bench_zoo.networks._batch_norm import BatchNorm
from gan_bench_zoo.networks._convolutional import Halvings, InputLayers
from gan_bench_zoo.networks._layers import by_head
from gan_bench_zoo.networks.dcgan import DCGAN
from gan_bench_zoo.networks.mlp_image import MLPImage
from torch import Tensor, nn

from gan_bench.acceleration import compilation
from gan_bench.acceleration.compilation import compile_iterations
from gan_bench.acceleration.stacked_seeds import Stack
from gan_bench.acceleration.tracing import NotCompilableError
from gan_bench.contracts.model import Model
from gan_bench.contracts.network import (
    Autoencoder,
    Discriminator,
    Generators,
    Heads,
    Initialisation,
    JointDiscriminator,
    Network,
    Networks,
    Sharing,
    initialise,
)
from gan_bench.errors import PluginError
from gan_bench.testing import examine
from gan_bench.training.build import build
from gan_bench.training.iteration import play
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import CPU, protocol, same, side_by_side
from tests.support.tiny_images import Greys

HEADS: Mapping[str, int | None] = {"source": None, "generator": 10}
K, B, LATENT = 3, 5, 6
SHARED: list[Sharing] = ["body", "trunk", "nothing"]
RGB = (3, 32, 32)
M = TypeVar("M", bound=nn.Module)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _dcgan(**changes: Any) -> DCGAN:
    return DCGAN(DCGAN.Params(**{"width": 4, **changes}))


def _start(module: M, scale: float = 0.3) -> M:
    """Initialise weights, and set gains and shifts to different random numbers, with a fixed seed."""
    rng = torch.Generator().manual_seed(0)
    initialise(module, Initialisation("normal", scale), rng)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, BatchNorm):
                layer.gain.uniform_(0.5, 1.5, generator=rng)
                if layer.shift is not None:
                    layer.shift.uniform_(-0.5, 0.5, generator=rng)
    return module


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestCounts:
    """Parameter counts of MGAN's tables with K = 10, and of the experiments on pairs of digits."""

    def _made(self, side: int) -> tuple[nn.Module, nn.Module]:
        with torch.device("meta"):
            network = DCGAN()
            generators = network.generators(100, (3, side, side), 10, "body")
            return generators, network.discriminator((3, side, side), HEADS, None)

    def test_cifar10(self) -> None:
        """Generators have ten input layers of 835,584 and 4,106,371 more; trunk 4,108,288, heads 8,193 + 81,930."""
        generators, discriminator = self._made(32)
        inputs = generators.get_submodule("inputs")
        assert _count(inputs) == 10 * 835_584
        assert _count(generators) - _count(inputs) == 4_106_371
        assert _count(generators) == 12_462_211
        assert _count(discriminator.get_submodule("heads")) == 8_193 + 81_930
        assert _count(discriminator.get_submodule("body")) == 4_108_288

    @pytest.mark.parametrize(("side", "expected"), [(48, (26_614_915, 17_319_947)), (96, (88_446_083, 69_856_267))])
    def test_stl10(self, side: int, expected: tuple[int, int]) -> None:
        """The smallest size is 3 × 3. The tables print 4 × 4."""
        generators, discriminator = self._made(side)
        assert (_count(generators), _count(discriminator)) == expected

    def test_pairs_of_digits(self) -> None:
        """Two generators that share nothing and two discriminators of 28 × 28 have 803,650 parameters."""
        network, shape = MLPImage(), (1, 28, 28)
        generators = network.generators(100, shape, 2, "nothing")
        discriminators = [network.discriminator(shape, {"source": None}, None) for _ in range(2)]
        assert [_count(generators), *map(_count, discriminators)] == [2 * 213_184, 188_641, 188_641]

    @pytest.mark.parametrize("shared", SHARED)
    def test_one_generator_is_one(self, shared: Sharing) -> None:
        """For K = 1 the number of parameters does not depend on `shared`."""
        sizes = {_count(_dcgan().generators(LATENT, RGB, 1, how)) for how in ("body", shared)}
        assert len(sizes) == 1

    def test_learned_shifts(self) -> None:
        """`generator_centre` selects the layers with a learned shift."""
        none, first, all_ = (
            _count(_dcgan(generator_centre=centre).generators(LATENT, RGB, K, "body"))
            for centre in ("none", "input", "all")
        )
        assert (first - none, all_ - first) == (K * 4 * 4 * 16, 8 + 4)


class TestSizes:
    @pytest.mark.parametrize(
        ("side", "sides"),
        [(32, "32 16 8 4"), (48, "48 24 12 6 3"), (96, "96 48 24 12 6 3"), (28, "28 14 7 4"), (64, "64 32 16 8 4")],
    )
    def test_the_releases_rule(self, side: int, sides: str) -> None:
        """Sides are halved, rounding up, until none is longer than 4, and channels are doubled."""
        halvings = Halvings((3, side, side), 128)
        assert " ".join(str(height) for height, _ in halvings.sides) == sides
        assert halvings.channels == [3, *(128 * 2**number for number in range(len(halvings.sides) - 1))]

    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 48, 48), (2, 9, 21), (1, 4, 4), (1, 3, 17), (1, 1, 1)])
    @pytest.mark.parametrize("shared", SHARED)
    def test_any_shape(self, shape: tuple[int, ...], shared: Sharing) -> None:
        """Networks accept images whose sides are odd, different or small."""
        x = _dcgan().generators(LATENT, shape, K, shared)(_random(K, B, LATENT))
        assert x.shape == (K, B, *shape)
        assert _dcgan().discriminator(shape, HEADS, None)(x.flatten(0, 1))["generator"].shape == (K * B, 10)

    def test_of_no_image(self, messages: Messages) -> None:
        """Both networks refuse points, and dcgan raises an error for other shapes."""
        for network in (DCGAN(), MLPImage()):
            messages.check(network.refuses(Ring8(Ring8.Params())), network.name, "ring8", (2,))
            assert network.refuses(Greys()) is None
        with messages.raises(PluginError, "dcgan", (5, 6)):
            DCGAN().discriminator((5, 6), HEADS, None)


class TestBatchNorm:
    @pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3, 2)])
    @pytest.mark.parametrize("centred", [True, False])
    def test_equals_torchs(self, shape: tuple[int, ...], centred: bool) -> None:
        """Values, averages, gradients and second derivatives equal those of torch's layers."""
        ours = _start(BatchNorm(5, centred=centred, remembered=True)).double()
        theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5).double()
        with torch.no_grad():
            theirs.weight.copy_(ours.gain)
            theirs.bias.copy_(torch.zeros(5) if ours.shift is None else ours.shift)
        for seed in range(3):
            x = (_random(*shape, seed=seed).double() * 3 + 1).requires_grad_()
            torch.testing.assert_close(ours(x), theirs(x))
            torch.testing.assert_close(_second(ours, x), _second(theirs, x))
        torch.testing.assert_close(ours.mean, theirs.running_mean)
        torch.testing.assert_close(ours.variance, theirs.running_var)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))

    def test_of_one_number_is_its_shift(self) -> None:
        """For one number per channel, which torch's layers refuse, gradients and averages are finite."""
        norm = _start(BatchNorm(4, centred=True, remembered=True))
        x = _random(1, 4).requires_grad_()
        out = norm(x)
        assert norm.shift is not None
        torch.testing.assert_close(out, norm.shift[None])
        out.sum().backward()
        assert x.grad is not None and torch.equal(x.grad, torch.zeros(1, 4))
        torch.testing.assert_close(norm.variance, torch.full((4,), 0.9))
        assert torch.isfinite(norm.eval()(x)).all()

    def test_that_remembers_nothing_has_no_state(self) -> None:
        """Without running averages, evaluation equals training."""
        norm = BatchNorm(4, centred=True, remembered=False)
        x = _random(6, 4)
        assert list(norm.buffers()) == []
        assert torch.equal(norm(x), norm.eval()(x))


def _second(norm: nn.Module, x: Tensor) -> Tensor:
    """Return the gradient of the squared gradient of a function of normalised numbers."""
    (first,) = torch.autograd.grad(norm(x).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return second


class PlainGenerators(nn.Module):
    """Table 4 in torch's layers: K separate input layers with normalisation, and one body."""

    def __init__(self, channels: list[int], first: tuple[int, int, int], more: list[int], latent: int) -> None:
        super().__init__()
        units = first[0] * first[1] * first[2]
        self.first = first
        self.inputs = nn.ModuleList(nn.Linear(latent, units) for _ in range(K))
        self.input_norms = nn.ModuleList(nn.BatchNorm1d(units) for _ in range(K))
        pairs = list(pairwise(channels))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 5, stride=2, padding=2, output_padding=extra)
            for (i, o), extra in zip(pairs, more, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in pairs[:-1])

    def forward(self, z: Tensor) -> Tensor:
        hidden = [
            F.relu(norm(layer(latents))) for norm, layer, latents in zip(self.input_norms, self.inputs, z, strict=True)
        ]
        x = torch.cat(hidden).view(-1, *self.first)
        for up, norm in zip(self.up, self.norms, strict=False):
            x = F.relu(norm(up(x)))
        return self.up[-1](x).view(*z.shape[:2], -1)

    @torch.no_grad()
    def take(self, ours: nn.Module) -> PlainGenerators:
        """Copy the weights of given generators, without shifts."""
        of_layer, gain = ours.get_submodule("inputs.layer"), ours.get_parameter("inputs.norm.gain").view(K, -1)
        for k in range(K):
            _copy(self.inputs[k], of_layer.get_parameter("weight")[k].t(), of_layer.get_parameter("bias")[k, 0])
            _copy(self.input_norms[k], gain[k], torch.zeros(gain.shape[1]))
        up = [layer for layer in ours.modules() if isinstance(layer, nn.ConvTranspose2d)]
        for plain, layer in zip(self.up, up, strict=True):
            _copy(plain, layer.weight, layer.bias)
        hidden = [layer for layer in ours.get_submodule("body") if isinstance(layer, BatchNorm)]  # type: ignore[attr-defined]
        for plain, norm in zip(self.norms, hidden, strict=True):
            _copy(plain, norm.gain, torch.zeros(norm.gain.shape))
        return self


def _copy(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    layer.get_parameter("weight").copy_(weight)
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)


class TestDCGANGenerators:
    CASES = {32: ([16, 8, 4, 3], (16, 4, 4), [1, 1, 1]), 28: ([16, 8, 4, 3], (16, 4, 4), [0, 1, 1])}

    @pytest.mark.parametrize("side", CASES)
    def test_equal_table_4(self, side: int) -> None:
        """Samples in training and evaluation, and running averages, equal those of torch's layers."""
        ours = _start(_dcgan().generators(LATENT, (3, side, side), K, "body"))
        plain = PlainGenerators(*self.CASES[side], LATENT).take(ours)
        for seed in range(3):
            z = _random(K, B, LATENT, seed=seed)
            torch.testing.assert_close(ours(z).flatten(2), plain(z), rtol=1e-4, atol=1e-5)
        inputs = ours.get_submodule("inputs.norm")
        for name, theirs in (("mean", "running_mean"), ("variance", "running_var")):
            expected = torch.cat([norm.get_buffer(theirs) for norm in plain.input_norms])
            torch.testing.assert_close(inputs.get_buffer(name), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.eval()(z).flatten(2), plain.eval()(z), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("shared", SHARED)
    def test_in_evaluation_each_is_by_itself(self, shared: Sharing) -> None:
        """In evaluation a sample depends only on its latents and its generator."""
        generators = _start(_dcgan().generators(LATENT, RGB, K, shared))
        z = _random(K, B, LATENT)
        generators(z)
        before = {name: value.clone() for name, value in generators.eval().named_buffers()}
        x = generators(z)
        torch.testing.assert_close(generators(z[:, :1]), x[:, :1], rtol=1e-4, atol=1e-5)
        moved = generators(torch.cat((z[:1] + 1, z[1:])))
        torch.testing.assert_close(moved[1:], x[1:], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(moved[0], x[0])
        assert same(before, dict(generators.named_buffers()))

    def test_that_share_nothing_equal_separate_ones(self) -> None:
        """Generators that share nothing equal separate generators, also in training."""
        generators = _start(_dcgan().generators(LATENT, RGB, K, "nothing"))
        one = _dcgan().generators(LATENT, RGB, 1, "body")
        z = _random(K, B, LATENT)
        for k, x in enumerate(generators(z)):
            of = f"each.{k}."
            own = {name[len(of) :]: value for name, value in generators.named_parameters() if name.startswith(of)}
            one.load_state_dict(own, strict=False)
            torch.testing.assert_close(one(z[k : k + 1])[0], x, rtol=1e-4, atol=1e-5)

    def test_that_share_all_but_output_layers(self) -> None:
        """Only the last transposed convolution is separate for each generator."""
        generators = _start(_dcgan().generators(LATENT, RGB, K, "trunk"))
        z = _random(1, B, LATENT).expand(K, -1, -1)
        hidden: list[Tensor] = []
        generators.get_submodule("body").register_forward_hook(lambda module, inputs, out: hidden.append(out))
        x = generators(z)
        for k, part in enumerate(hidden[0].chunk(K)):
            torch.testing.assert_close(part, hidden[0][:B])
            torch.testing.assert_close(generators.get_submodule(f"outputs.{k}")(part), x[k])
        assert not torch.allclose(x[0], x[1])

    def test_without_normalisation_of_input_layers(self) -> None:
        """Without normalisation, input layers are linear layers and ReLU, as in the paper at K = 32."""
        generators = _start(_dcgan(input_norm=False).generators(LATENT, RGB, K, "body"))
        inputs = generators.get_submodule("inputs")
        assert isinstance(inputs, InputLayers) and inputs.norm is None
        z = _random(K, B, LATENT)
        weight, bias = inputs.layer.weight, inputs.layer.bias
        torch.testing.assert_close(inputs(z), F.relu(torch.einsum("kbi,kio->kbo", z, weight) + bias))

    @pytest.mark.parametrize("count", [1, 3])
    def test_one_sample_of_each(self, count: int) -> None:
        """Values and gradients are finite for one sample of each generator, in training and evaluation."""
        generators = _start(_dcgan().generators(LATENT, RGB, count, "body"))
        generators(_random(count, 1, LATENT)).square().sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in generators.parameters())
        assert torch.isfinite(generators.eval()(_random(count, 1, LATENT))).all()

    def test_weights_start_as_the_protocol_says(self) -> None:
        """Weights are N(0, scale²) in linear layers and convolutions, biases 0, gains 1."""
        generators = _dcgan(width=16).generators(100, RGB, K, "body")
        initialise(generators, Initialisation("normal", 0.02), torch.Generator().manual_seed(0))
        for name, value in generators.named_parameters():
            value = value.detach()
            if name.endswith("weight"):
                assert float(value.std()) == pytest.approx(0.02, rel=0.1), name
            else:
                assert torch.equal(value, torch.full_like(value, float(name.endswith("gain")))), name


class TestDCGANDiscriminator:
    def _features(self, body: nn.Module, x: Tensor, *, norm: bool = True, slope: float = 0.2) -> Tensor:
        """Return features of Table 4 in torch's layers, with the weights of a body."""
        for layer in (each for each in body.modules() if isinstance(each, nn.Conv2d)):
            x = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=2)
            if norm:
                of = next(each for each in self._norms(body) if len(each.gain) == x.shape[1])
                assert of.shift is not None
                plain = nn.BatchNorm2d(x.shape[1])
                with torch.no_grad():
                    _copy(plain, of.gain, of.shift)
                x = plain(x)
            x = torch.where(x > 0, x, slope * x)
        return x.flatten(1)

    def _norms(self, body: nn.Module) -> list[BatchNorm]:
        return [each for each in body.modules() if isinstance(each, BatchNorm)]

    @pytest.mark.parametrize(("norm", "slope"), [("batch", 0.2), ("none", 0.1)])
    @pytest.mark.parametrize("side", [32, 28])
    def test_equals_table_4(self, norm: str, slope: float, side: int) -> None:
        """Every layer, including the first, is normalised with a shift, and heads are linear in the features."""
        body = _start(_dcgan(norm=norm, slope=slope).discriminator((3, side, side), HEADS, None))
        x = _random(7, 3, side, side)
        expected = self._features(body, x, norm=norm == "batch", slope=slope)
        torch.testing.assert_close(body.features(x), expected, rtol=1e-4, atol=1e-5)
        heads = body.get_submodule("heads")
        logits = expected @ heads.get_parameter("weight").t() + heads.get_parameter("bias")
        torch.testing.assert_close(body(x), by_head(logits, HEADS), rtol=1e-4, atol=1e-4)
        assert len(self._norms(body)) == (3 if norm == "batch" else 0)

    def test_is_a_function_of_its_batch(self) -> None:
        """The discriminator has no running averages, and evaluation equals training."""
        body = _start(_dcgan().discriminator(RGB, HEADS, None))
        x = _random(7, *RGB)
        first = body(x)
        body(x + 1)
        assert list(body.buffers()) == []
        assert same(first, body(x)) and same(first, body.eval()(x))

    @pytest.mark.parametrize("own_input", [False, True])
    def test_copies_equal_a_loop(self, own_input: bool) -> None:
        """M copies equal M discriminators. An input without their dimension is given to all."""
        copies = _start(_dcgan().discriminator(RGB, HEADS, 2))
        x = _random(2, 7, *RGB) if own_input else _random(7, *RGB)
        out, features = copies(x), copies.features(x)
        for m in range(2):
            one = copies.get_submodule(f"each.{m}")
            assert isinstance(one, Discriminator)
            seen = x[m] if own_input else x
            assert same({name: logits[m] for name, logits in out.items()}, one(seen))
            assert torch.equal(features[m], one.features(seen))

    def test_without_batch_statistics(self) -> None:
        """Without batch statistics, logits of a sample depend on that sample only."""
        network = _dcgan(slope=0.1).without_batch_statistics()
        body = _start(network.discriminator(RGB, HEADS, None))
        x = _random(7, *RGB)
        torch.testing.assert_close(body(x[:1])["generator"], body(x)["generator"][:1], rtol=1e-4, atol=1e-5)
        assert network.params == DCGAN.Params(width=4, slope=0.1, norm="none")

    @pytest.mark.parametrize("copies", [None, 2])
    def test_of_vectors(self, copies: int | None) -> None:
        """The discriminator of vectors has two hidden layers of 1,024 units with leaky ReLU."""
        body = _start(_dcgan().discriminator((9,), {"clean": 9}, copies))
        x = _random(7, 9)
        layers = [layer for layer in body.modules() if isinstance(layer, nn.Linear)][:3]
        assert [layer.out_features for layer in layers] == [1024, 1024, 9]
        first, second, last = layers
        expected = last(F.leaky_relu(second(F.leaky_relu(first(x), 0.2)), 0.2))
        out = body(x)["clean"]
        torch.testing.assert_close(out if copies is None else out[0], expected)
        assert out.shape == (*([] if copies is None else [copies]), 7, 9)


NETWORKS: Mapping[str, Callable[[], Network]] = {
    "dcgan": _dcgan,
    "mlp-image": lambda: MLPImage(MLPImage.Params(hidden=8)),
}


@pytest.mark.parametrize("name", NETWORKS)
class TestPairsAndCopies:
    def test_a_joint_discriminator_sees_both(self, name: str) -> None:
        """Logits depend on image and vector, and heads have the requested shapes."""
        joint: JointDiscriminator = _start(NETWORKS[name]().joint_discriminator(RGB, 4, HEADS))
        x, v = _random(7, *RGB), _random(7, 4)
        out = joint(x, v)
        assert out["source"].shape == (7,) and out["generator"].shape == (7, 10)
        assert not torch.allclose(out["source"], joint(x, v + 1)["source"])
        assert not torch.allclose(out["source"], joint(x + torch.randn_like(x), v)["source"])

    def test_an_autoencoder_copies_through_its_code(self, name: str) -> None:
        """A copy has the shape of its sample, depends on it only, and has at most the rank of the code."""
        network = NETWORKS[name]()
        code = 8
        network = _dcgan(bottleneck=code) if name == "dcgan" else network
        made: Autoencoder = _start(network.autoencoder(RGB))
        x = _random(7, *RGB)
        torch.testing.assert_close(made(x[:2]), made(x)[:2], rtol=1e-4, atol=1e-4)
        assert made(x).shape == x.shape
        jacobian = torch.func.jacrev(lambda v: made(v[None])[0].flatten()[:40])(x[0]).flatten(1)
        assert int(torch.linalg.matrix_rank(jacobian, rtol=1e-4)) <= code

    def test_of_vectors_they_are_the_contracts_own(self, name: str) -> None:
        """Vectors are accepted as input."""
        network = NETWORKS[name]()
        assert network.joint_discriminator((5,), 4, HEADS)(_random(7, 5), _random(7, 4))["source"].shape == (7,)
        assert network.autoencoder((5,))(_random(7, 5)).shape == (7, 5)


class TestMLPImage:
    SHAPE = (2, 3, 4)

    def _made(self, **changes: Any) -> MLPImage:
        return MLPImage(MLPImage.Params(hidden=8, **changes))

    def test_generators(self) -> None:
        """Each of K generators is latent → H ReLU → pixels."""
        generators = _start(self._made().generators(LATENT, self.SHAPE, K, "nothing"))
        z = _random(K, B, LATENT)
        first, last = (generators.get_submodule(f"body.layers.{number}") for number in (0, 1))
        for k in range(K):
            hidden = F.relu(z[k] @ first.get_parameter("weight")[k] + first.get_parameter("bias")[k])
            pixels = hidden @ last.get_parameter("weight")[k] + last.get_parameter("bias")[k]
            torch.testing.assert_close(generators(z)[k], pixels.view(B, *self.SHAPE))

    @pytest.mark.parametrize(("shared", "own"), [("body", [True, False]), ("trunk", [False, True])])
    def test_what_generators_share(self, shared: Sharing, own: list[bool]) -> None:
        """Input or output layers are separate, as requested."""
        layers = self._made().generators(LATENT, self.SHAPE, K, shared).get_submodule("body.layers")
        assert [layer.get_parameter("weight").dim() == 3 for layer in layers.children()] == own

    @pytest.mark.parametrize("copies", [None, 2])
    def test_discriminator(self, copies: int | None) -> None:
        """The discriminator is pixels → H ReLU → heads. Copies accept a common input or one each."""
        body = _start(self._made().discriminator(self.SHAPE, HEADS, copies))
        x = _random(7, *self.SHAPE)
        trunk = body.get_submodule("body.trunk")
        weight, bias = (trunk.get_parameter(name) for name in ("weight", "bias"))
        flat = x.view(7, 24)
        if copies is None:
            expected = F.relu(flat @ weight.t() + bias)
        else:
            expected = F.relu(torch.stack([flat @ each for each in weight]) + bias)
            assert same(body(x), body(x.expand(copies, *x.shape)))
        torch.testing.assert_close(body.features(x), expected)
        lead = () if copies is None else (copies,)
        assert {name: tuple(logits.shape) for name, logits in body(x).items()} == {
            "source": (*lead, 7),
            "generator": (*lead, 7, 10),
        }


class Squares(Greys):
    """Grey squares of a size that is halved twice."""

    name = "squares"

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 12, 12)


def _trainer(model: Model, *, seed: int = 0, network: Network | None = None, **changes: Any) -> Trainer:
    """Return a trainer at iteration 0 of a model with convolutional networks on grey squares."""
    dataset, asked = Squares(), protocol(**{"init_scale": 0.1, "fakes": 18, **changes})
    build(model, network or _dcgan(), dataset, asked, seed, CPU)
    return Trainer(model, dataset, asked, seed, CPU)


def _mgan() -> Model:
    return MGAN(MGAN.Params(generators=3))


def _everything(t: Trainer) -> dict[str, Tensor]:
    return {**t.model.state_dict(), **{f"loss {name}": value for name, value in t.losses.items()}}


GAMES: Mapping[str, Callable[[], Model]] = {
    "GAN": GAN,
    "MGAN": _mgan,
    "MGAN, nothing shared": lambda: MGAN(MGAN.Params(generators=3, shared="nothing")),
    "MGAN, output layers apart": lambda: MGAN(MGAN.Params(generators=3, shared="trunk")),
    "MIX+GAN": lambda: MixGAN(MixGAN.Params(generators=3, discriminators=2)),
    "UnrolledGAN": lambda: UnrolledGAN(UnrolledGAN.Params(unroll_steps=2)),
    "WGAN-GP": lambda: WGANGP(WGANGP.Params(critic_steps=2)),
    "R3GAN": R3GAN,
    "SNGAN": SNGAN,
}


class TestGames:
    @pytest.mark.parametrize(("name", "latents"), [*((name, "shared") for name in GAMES), ("MGAN", "fresh")])
    def test_a_traced_iteration_is_an_eager_one(self, name: str, latents: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A traced iteration updates parameters, losses and running averages in place like an eager one."""
        monkeypatch.setattr(compilation, "compiled", lambda graph, *_: graph)
        settings = {"latents": latents, "optimizer": "sgd", "learning_rate": 0.002}
        eager, traced = _trainer(GAMES[name](), **settings), _trainer(GAMES[name](), **settings)
        held = dict(traced.model.named_buffers())
        compile_iterations(traced, _refuse)
        for _ in range(3):
            eager.iterate()
            traced.iterate()
        torch.testing.assert_close(_everything(traced), _everything(eager), rtol=1e-5, atol=1e-6)
        started = _everything(_trainer(GAMES[name](), **settings))
        for weight in (n for n, p in traced.model.named_parameters() if n.endswith("weight") and p.dim() > 1):
            moved = (_everything(traced)[weight] - started[weight]).abs().max()
            assert moved > 2e-5, weight  # far above the tolerance
        assert held and all(buffer is held[buffer_name] for buffer_name, buffer in traced.model.named_buffers())
        fresh = dict(_trainer(GAMES[name]()).model.named_buffers())
        assert not any(torch.equal(buffer, fresh[buffer_name]) for buffer_name, buffer in held.items())

    @pytest.mark.parametrize("name", ["GAN", "MGAN", "WGAN-GP", "SNGAN"])
    def test_channels_may_lie_last(self, name: str) -> None:
        """Weights with channels last, as on a GPU, are trained equally except for rounding."""
        settings = {"optimizer": "sgd", "learning_rate": 0.002}
        first, last = (_trainer(GAMES[name](), **settings) for _ in range(2))
        last.model.to(memory_format=torch.channels_last)
        assert any(not p.is_contiguous() for p in last.model.parameters())
        for _ in range(3):
            first.iterate()
            last.iterate()
        torch.testing.assert_close(_everything(last), _everything(first), rtol=1e-5, atol=1e-6)

    def test_a_checkpoint_is_read_whatever_its_layout(self) -> None:
        """Moments of weights with channels last, as written on a GPU, are loaded for weights of the usual layout."""
        settings = {"learning_rate": 0.01}
        there, here = _trainer(_mgan(), **settings), _trainer(_mgan(), **settings)
        there.model.to(memory_format=torch.channels_last)
        there.iterate()
        here.load_state_dict(there.state_dict())
        first, second = (
            {p: o.state[p]["exp_avg"] for o in t.optimizers.values() for p in o.state} for t in (there, here)
        )
        assert any(p.stride() != q.stride() for p, q in zip(first, second, strict=True))
        for moment, own, parameter in zip(first.values(), second.values(), second, strict=True):
            assert torch.equal(moment, own) and own.stride() == parameter.stride()

    def test_can_be_stacked(self) -> None:
        """Stacked seeds equal single seeds."""
        settings = {"optimizer": "sgd", "learning_rate": 0.002}
        singles, members = ([_trainer(_mgan(), seed=seed, **settings) for seed in (0, 1)] for _ in range(2))
        stack = Stack(members, compilation.as_traced, _refuse)
        side_by_side(singles, stack, 3)
        for one, member in zip(singles, members, strict=True):
            torch.testing.assert_close(_everything(member), _everything(one), rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    def test_a_compiled_iteration_is_an_eager_one(self) -> None:
        """An iteration compiled by torch equals an eager one."""
        eager, compiled = (_trainer(_mgan(), optimizer="sgd", learning_rate=0.002) for _ in range(2))
        try:
            compile_iterations(compiled, _refuse)
        except NotCompilableError as error:
            pytest.skip(f"torch cannot compile here: {error}")
        for _ in range(3):
            eager.iterate()
            compiled.iterate()
        torch.testing.assert_close(_everything(compiled), _everything(eager), rtol=1e-5, atol=1e-6)

    def test_a_resumed_run_is_an_uninterrupted_one(self) -> None:
        """A run resumed from a file equals an uninterrupted one bit for bit, including all averages."""
        through, resumed = _trainer(_mgan(), ema=0.9), _trainer(_mgan(), ema=0.9)
        for _ in range(3):
            through.iterate()
        file = io.BytesIO()
        torch.save(through.state_dict(), file)
        file.seek(0)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        for t in (through, resumed):
            for _ in range(3):
                t.iterate()
        assert same(_everything(through), _everything(resumed))
        assert through.average is not None and resumed.average is not None
        assert same(through.average.values, resumed.average.values)

    def test_an_averaged_generator_has_averaged_statistics(self) -> None:
        """The average includes running averages of layers, and training continues with its own values."""
        t = _trainer(_mgan(), ema=0.8)
        expected = {name: value.clone() for name, value in t.model.named_buffers()}
        for _ in range(4):
            t.iterate()
            for name, value in t.model.named_buffers():
                expected[name] = 0.8 * expected[name] + 0.2 * value
        own = {name: value.clone() for name, value in t.model.named_buffers()}
        with t.averaged():
            torch.testing.assert_close(dict(t.model.named_buffers()), expected, rtol=1e-4, atol=1e-5)
        assert same(own, dict(t.model.named_buffers()))

    def test_a_step_follows_second_derivatives_whatever_their_strides(self) -> None:
        """Gradients with other strides than their weights are applied correctly."""
        t = _trainer(R3GAN(), optimizer="sgd", learning_rate=1.0)
        (turn, _) = t.model.turns(0)
        weight = t.model.get_parameter("discriminator.body.2.weight")
        found: list[Tensor] = []

        def note(player: str, gradients: Any) -> None:
            found.extend(gradients)

        draws = t.draw((turn,))
        play(t.context, (turn,), draws, t.parameters, t.state, note)
        gradient = found[list(t.parameters["discriminator"]).index("body.2.weight")]
        assert gradient.stride() != weight.stride()
        expected = weight.detach() - gradient
        t.play((turn,), draws)
        torch.testing.assert_close(weight.detach(), expected)

    def test_a_discriminators_turn_leaves_its_network_as_it_is(self) -> None:
        """Discriminators have no buffers."""
        t = _trainer(_mgan())
        assert all(name.startswith("generator.") for name, _ in t.model.named_buffers())


def _refuse(message: str) -> None:
    raise AssertionError(message)


class Batchwise(DCGAN):
    """A network that keeps batch normalisation (a test, 2026)."""

    name = "batchwise"

    def without_batch_statistics(self) -> Network:
        return self


class Mute(MLPImage):
    """A joint discriminator of one head (a test, 2026)."""

    name = "mute"

    def joint_discriminator(self, shape: tuple[int, ...], size: int, heads: Heads) -> JointDiscriminator:
        return super().joint_discriminator(shape, size, {"one": None})


class Flattening(MLPImage):
    """Copies of a wrong shape (a test, 2026)."""

    name = "flattening"

    def autoencoder(self, shape: tuple[int, ...]) -> Autoencoder:
        made = super().autoencoder(shape)
        made.register_forward_hook(lambda module, inputs, out: out.flatten(1))
        return made


@pytest.mark.parametrize(("cls", "check"), [(Batchwise, "alone"), (Mute, "pairs"), (Flattening, "autoencoder")])
def test_the_kit_finds(cls: type[Network], check: str, messages: Messages) -> None:
    """Each fault of a network for images is found by its check."""
    (finding,) = examine(cls)
    assert finding.check == check
    messages.check(finding.found)


def test_networks_bound_generators_of_images() -> None:
    """Samples of the generators of a model are within the bounds of the data."""
    for values_, low in (("signed", -1), ("unit", 0)):
        networks = Networks(_dcgan(), Greys(Greys.Params(values=values_)), LATENT)
        generators: Generators = _start(networks.generators(K), scale=3.0)
        x = generators(_random(K, B, LATENT)).detach()
        assert low <= float(x.min()) < low + 0.1 and 0.9 < float(x.max()) <= 1
