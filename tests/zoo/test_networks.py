"""Network contract, mlp and mlp-maxout: parameter counts, batched layers compared with loops, initial weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from gan_bench_zoo.datasets.gaussian_mixtures import MADGAN1D, Ring8
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.networks._layers import by_head
from gan_bench_zoo.networks.dcgan import DCGAN
from gan_bench_zoo.networks.mlp import MLP, MLPDiscriminator
from gan_bench_zoo.networks.mlp_image import MLPImage
from gan_bench_zoo.networks.mlp_maxout import MLPMaxout
from torch import Tensor, nn

from gan_bench.contracts.dataset import Dataset, Real
from gan_bench.contracts.latents import Latents
from gan_bench.contracts.network import (
    BatchedLinear,
    Bounded,
    Discriminator,
    Generators,
    Initialisation,
    Network,
    Networks,
    Sharing,
    initialise,
)
from gan_bench.errors import PluginError
from gan_bench.testing import examine
from tests.support.messages import Messages
from tests.support.tiny import Ring, put, same, trainer, values


def _networks(hidden: int = 128, latent_size: int = 256, slope: float = 0.2) -> Networks:
    return Networks(MLP(MLP.Params(hidden=hidden, slope=slope)), Ring(), latent_size)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _own(generators: nn.Module, number: int) -> BatchedLinear:
    """Return the layer of this number, which is a batch of K."""
    layer = generators.get_submodule(f"layers.{number}")
    assert isinstance(layer, BatchedLinear)
    return layer


def _linear(layer: BatchedLinear, k: int) -> nn.Linear:
    """Return layer k of a batch as a linear layer."""
    single = nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
    with torch.no_grad():
        single.weight.copy_(layer.weight[k].t())
        single.bias.copy_(layer.bias[k, 0])
    return single


def _start(module: nn.Module, kind: str = "normal", scale: float = 0.5, seed: int = 0) -> nn.Module:
    initialise(module, Initialisation(kind, scale), torch.Generator().manual_seed(seed))
    return module


class TestParameterCounts:
    """Parameter counts of MGAN's Table 3 with K = 8."""

    def test_generators(self) -> None:
        """Eight input layers of 32,896 parameters and one body have 279,938."""
        assert _count(_networks().generators(8)) == 8 * (256 * 128 + 128) + (128 * 128 + 128) + (128 * 2 + 2) == 279_938

    def test_discriminator(self) -> None:
        """Trunk and source head have 513 parameters. The head of the classifier has 1,032."""
        source = _count(_networks().discriminator({"source": None}))
        both = _count(_networks().discriminator({"source": None, "generator": 8}))
        assert (source, both - source) == (513, 1032)

    def test_mgan(self) -> None:
        """The model has no other parameters."""
        model = MGAN()
        put(model, **model.build(_networks()))
        assert _count(model) == 279_938 + 513 + 1032

    def test_nothing_shared(self) -> None:
        """K generators that share nothing have K times the parameters of one."""
        one = _count(_networks().generators(1))
        assert one == 49_666
        assert _count(_networks().generators(5, shared="nothing")) == 5 * one

    def test_copies(self) -> None:
        """M copies have M times the parameters of one."""
        assert _count(_networks().discriminator({"own": None}, copies=3)) == 3 * 513


class TestMLPGenerators:
    K, B = 3, 5

    def _latents(self) -> Tensor:
        return torch.randn(self.K, self.B, 6, generator=torch.Generator().manual_seed(1))

    def test_own_input_layers_equal_a_loop(self) -> None:
        """Batched input layers and a shared body equal K separate input layers before one body."""
        generators = _start(_networks(8, 6).generators(self.K))
        body = [generators.get_submodule(f"layers.{i}") for i in (1, 2)]
        z = self._latents()
        loop = []
        for k in range(self.K):
            hidden = F.relu(_linear(_own(generators, 0), k)(z[k]))
            loop.append(body[1](F.relu(body[0](hidden))))
        assert generators(z).shape == (self.K, self.B, 2)
        torch.testing.assert_close(generators(z), torch.stack(loop), rtol=1e-5, atol=1e-6)

    def test_nothing_shared_equals_separate_networks(self) -> None:
        """`shared = "nothing"` is K networks of three layers."""
        generators = _start(_networks(8, 6).generators(self.K, shared="nothing"))
        z = self._latents()
        loop = []
        for k in range(self.K):
            first, second, last = (_linear(_own(generators, i), k) for i in range(3))
            loop.append(last(F.relu(second(F.relu(first(z[k]))))))
        torch.testing.assert_close(generators(z), torch.stack(loop), rtol=1e-5, atol=1e-6)

    def test_own_output_layers_equal_a_loop(self) -> None:
        """`shared = "trunk"` is one body before K separate output layers."""
        generators = _start(_networks(8, 6).generators(self.K, shared="trunk"))
        body = [generators.get_submodule(f"layers.{i}") for i in (0, 1)]
        z = self._latents()
        loop = [_linear(_own(generators, 2), k)(F.relu(body[1](F.relu(body[0](z[k]))))) for k in range(self.K)]
        torch.testing.assert_close(generators(z), torch.stack(loop), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(("shared", "own"), [("body", 1), ("trunk", 1), ("nothing", 3)])
    def test_gradients_reach_their_own_generator_only(self, shared: Sharing, own: int) -> None:
        """A loss on the samples of generator 1 gives the own layers of the others a gradient of exactly 0."""
        generators = _start(_networks(8, 6).generators(self.K, shared=shared))
        generators(self._latents())[1].square().sum().backward()
        layers = [layer for layer in generators.modules() if isinstance(layer, BatchedLinear)]
        assert len(layers) == own
        for layer in layers:
            gradient = layer.get_parameter("weight").grad
            assert gradient is not None
            assert [bool(g.abs().sum() > 0) for g in gradient] == [False, True, False]

    def test_as_many_parameters_as_eight(self) -> None:
        """One generator with 415 units in each hidden layer has the parameters of MGAN's eight, within 0.1 %."""
        wide = Networks(MLP(MLP.Params(generator_hidden=415)), Ring(), 256)
        assert _count(wide.generators()) == 280_127
        assert _count(wide.generators()) == pytest.approx(_count(_networks().generators(8)), rel=1e-3)
        assert _count(wide.discriminator({"source": None})) == 513

    def test_points_on_a_line(self) -> None:
        """The output has the shape of the dataset."""
        networks = Networks(MLP(), MADGAN1D(MADGAN1D.Params()), 6)
        assert networks.generators(2)(torch.randn(2, 4, 6)).shape == (2, 4, 1)
        assert networks.discriminator({"source": None})(torch.randn(7, 1))["source"].shape == (7,)


class TestMLPMaxout:
    """Networks of PacGAN's experiments on points."""

    def _networks(self, **small: int) -> Networks:
        return Networks(MLPMaxout(MLPMaxout.Params(**small)), Ring(), 2)

    def test_parameter_counts(self) -> None:
        """Counts are those of four layers of 400 with gain and shift, and of three layers of 200 times 5 pieces."""
        layers = 2 * 400 + 400 + 3 * (400 * 400 + 400) + 400 * 2 + 2
        assert _count(self._networks().generators()) == layers + 4 * 2 * 400 == 486_402
        pieces = 2 * 1000 + 1000 + 2 * (200 * 1000 + 1000)
        assert _count(self._networks().discriminator({"source": None})) == pieces + 201 == 405_201

    def test_generator_equals_torchs_layers(self) -> None:
        """The generator equals linear layers, torch's batch normalisation in training mode, and ReLU."""
        generator = _start(self._networks(generator_hidden=8, generator_layers=2).generators())
        layers = [layer for layer in generator.modules() if isinstance(layer, BatchedLinear | nn.Linear)]
        z = torch.randn(1, 30, 2, generator=torch.Generator().manual_seed(1))
        x = z[0]
        for layer in layers[:-1]:
            linear = _linear(layer, 0) if isinstance(layer, BatchedLinear) else layer
            x = F.relu(nn.BatchNorm1d(8)(linear(x)))
        assert isinstance(layers[-1], nn.Linear)
        torch.testing.assert_close(generator(z)[0], layers[-1](x), rtol=1e-4, atol=1e-5)

    def test_maxout(self) -> None:
        """A unit returns the largest of its pieces."""
        body = _start(self._networks(hidden=3, layers=1, pieces=4).discriminator({"source": None}))
        assert isinstance(body, Discriminator)
        x = torch.randn(7, 2, generator=torch.Generator().manual_seed(1))
        pieces = body.get_submodule("layers.0")(x).view(7, 3, 4)
        assert torch.equal(body.features(x), pieces.max(-1).values)


class TestMLPDiscriminator:
    HEADS: Mapping[str, int | None] = {"source": None, "generator": 4, "one": 1}

    def _x(self, *shape: int) -> Tensor:
        return torch.randn(*shape, 2, generator=torch.Generator().manual_seed(2))

    def test_heads(self) -> None:
        """Heads are separate linear layers on one trunk with leaky ReLU. A head of None has no unit dimension."""
        body = _start(_networks(8, slope=0.2).discriminator(self.HEADS))
        x = self._x(7)
        trunk, heads = body.get_submodule("trunk"), body.get_submodule("heads")
        hidden = trunk(x)
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
        logits = hidden @ heads.get_parameter("weight").t() + heads.get_parameter("bias")
        out = body(x)
        assert {name: tuple(value.shape) for name, value in out.items()} == {
            "source": (7,),
            "generator": (7, 4),
            "one": (7, 1),
        }
        torch.testing.assert_close(out["source"], logits[:, 0])
        torch.testing.assert_close(out["generator"], logits[:, 1:5])
        torch.testing.assert_close(out["one"], logits[:, 5:])

    def test_shape(self) -> None:
        """The input has the shape of the dataset, or the requested shape."""
        pairs = _networks(8).discriminator({"source": None}, copies=2, shape=(4,))
        assert pairs(torch.zeros(7, 4))["source"].shape == (2, 7)
        assert _networks(8).discriminator({"source": None})(self._x(7))["source"].shape == (7,)

    @pytest.mark.parametrize("own_input", [False, True])
    def test_copies_equal_a_loop(self, own_input: bool) -> None:
        """M copies equal M discriminators. An input (n, d) is given to all, and an input (M, n, d) is split."""
        copies = 3
        body = _start(_networks(8).discriminator({"source": None, "class": 4}, copies=copies))
        x = self._x(copies, 7) if own_input else self._x(7)
        out = body(x)
        trunk, heads = body.get_submodule("trunk"), body.get_submodule("heads")
        assert isinstance(trunk, BatchedLinear)
        assert isinstance(heads, BatchedLinear)
        for m in range(copies):
            hidden = F.leaky_relu(_linear(trunk, m)(x[m] if own_input else x), 0.2)
            logits = _linear(heads, m)(hidden)
            torch.testing.assert_close(out["source"][m], logits[:, 0])
            torch.testing.assert_close(out["class"][m], logits[:, 1:])

    @pytest.mark.parametrize("copies", [None, 1, 3])
    def test_features_are_what_the_heads_read(self, copies: int | None) -> None:
        """Features are the hidden layer after its leaky ReLU, of each copy. Heads are linear in them."""
        body = _start(_networks(8).discriminator({"source": None, "class": 4}, copies=copies))
        assert isinstance(body, Discriminator)
        lead = () if copies is None else (copies,)
        for x in [self._x(7), self._x(*lead, 7)]:
            features = body.features(x)
            hidden = body.get_submodule("trunk")(x if copies is None else x.expand(*lead, 7, 2))
            torch.testing.assert_close(features, torch.where(hidden > 0, hidden, 0.2 * hidden))
            assert features.shape == (*lead, 7, 8)
            logits, out = body.get_submodule("heads")(features), body(x)
            torch.testing.assert_close(torch.cat([out["source"][..., None], out["class"]], -1), logits)

    def test_one_copy_keeps_its_dimension(self) -> None:
        """`copies = 1` has a batch dimension of one."""
        body: Discriminator = _networks(8).discriminator({"own": None}, copies=1)
        assert body(self._x(7))["own"].shape == (1, 7)


class TestInitialisation:
    def _layers(self, kind: str, scale: float, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
        """Return weight (out, in) and bias of every layer of two large networks, with batches of layers split."""
        networks = _networks()
        layers = []
        for module in (networks.generators(4), networks.discriminator({"source": None}, copies=2)):
            _start(module, kind, scale, seed)
            for layer in module.modules():
                if isinstance(layer, BatchedLinear):
                    layers += [(w.detach().t(), b.detach()) for w, b in zip(layer.weight, layer.bias, strict=True)]
                elif isinstance(layer, nn.Linear):
                    layers.append((layer.weight.detach(), layer.bias.detach()))
        assert len(layers) == 4 + 2 + 2 * 2
        return layers

    @pytest.mark.parametrize("kind", ["normal", "orthogonal", "xavier"])
    def test_biases_start_at_zero(self, kind: str) -> None:
        """Every bias is 0, also in batched layers."""
        assert all(not bias.any() for _, bias in self._layers(kind, 0.5))

    def test_normal(self) -> None:
        """Weights are N(0, scale²), within 4 standard errors in each layer."""
        for weight, _ in self._layers("normal", 0.02):
            n = weight.numel()
            assert float(weight.std()) == pytest.approx(0.02, abs=4 * 0.02 / math.sqrt(2 * n))
            assert float(weight.mean()) == pytest.approx(0, abs=4 * 0.02 / math.sqrt(n))

    def test_xavier(self) -> None:
        """Weights are U(-a, a) with a = gain · sqrt(6 / (in + out)), with the sizes of one layer of a batch."""
        for weight, _ in self._layers("xavier", 0.7):
            limit = 0.7 * math.sqrt(6 / sum(weight.shape))
            assert float(weight.abs().max()) <= limit
            if weight.numel() > 1000:
                assert float(weight.abs().max()) > 0.99 * limit
                assert float(weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.05)

    def test_orthogonal(self) -> None:
        """The vectors of the shorter side are orthogonal and have length `gain`."""
        for weight, _ in self._layers("orthogonal", 0.8):
            short = weight if weight.shape[0] <= weight.shape[1] else weight.t()
            torch.testing.assert_close(short @ short.t(), 0.64 * torch.eye(len(short)), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kind", ["normal", "orthogonal", "xavier"])
    def test_layers_of_a_batch_differ(self, kind: str) -> None:
        """No two layers have the same initial weights, neither of generators nor of copies."""
        first = [tuple(weight.flatten()[:4].tolist()) for weight, _ in self._layers(kind, 0.5)]
        assert len(set(first)) == len(first)

    def test_seed(self) -> None:
        """Weights of every layer depend on the seed, and are reproducible."""
        start = [self._layers("normal", 0.5, seed) for seed in (0, 0, 1)]
        for (first, _), (again, _), (other, _) in zip(*start, strict=True):
            assert torch.equal(first, again)
            assert not torch.equal(first, other)

    def test_seed_of_a_model(self) -> None:
        """Two models of one seed have the same initial weights. With another seed every weight differs."""
        first, again, other = (values(trainer(MGAN(), seed=seed).model) for seed in (3, 3, 4))
        assert same(first, again)
        assert all(not torch.equal(first[name], other[name]) for name in first if "weight" in name)

    def test_scale_reaches_the_model(self) -> None:
        """Initial weights of a model follow `init_scale` of the protocol."""
        model = trainer(MGAN(), init_scale=0.01, latent_size=400).model
        weight = model.get_parameter("generator.layers.0.weight")
        assert float(weight.detach().std()) == pytest.approx(0.01, rel=0.03)


def test_a_discriminator_without_features_says_so(messages: Messages) -> None:
    """Features are optional. A discriminator without features is reported with its class."""

    class Plain(Discriminator):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"source": x.sum(-1)}

    with messages.raises(NotImplementedError, "Plain", "features()"):
        Plain().features(torch.zeros(3, 2))


SHAPES: Mapping[str, tuple[Network, tuple[int, ...], int]] = {
    "mlp": (MLP(MLP.Params(hidden=7)), (2,), 7),
    "mlp-maxout": (MLPMaxout(MLPMaxout.Params(generator_hidden=7)), (2,), 7),
    "mlp-image": (MLPImage(MLPImage.Params(hidden=7)), (1, 8, 8), 7),
    "dcgan": (DCGAN(DCGAN.Params(width=4)), (1, 16, 16), 4 * 8 * 8),
}
"""Networks, the shape of samples, and the number of features of a generator: the input of its last layer."""


class TestFeatures:
    @pytest.mark.parametrize("shared", ["body", "trunk", "nothing"])
    @pytest.mark.parametrize("name", SHAPES)
    def test_of_generators(self, name: str, shared: Sharing) -> None:
        """Features (K, b, f) are of the same pass as the samples, and depend on one generator and one latent."""
        network, shape, size = SHAPES[name]
        body = network.generators(5, shape, 3, shared)
        initialise(body, Initialisation("normal", 0.5), torch.Generator().manual_seed(0))
        generators = Bounded(body, (-1, 1)).eval()
        z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
        samples, features = generators.with_features(z)
        assert torch.equal(samples, generators(z))
        assert features.shape == (3, 4, size) and generators.feature_size(3, 5) == size
        if evaluates_separately := generators.body.in_parts:
            z[2, 1] += 1
            changed = (generators.with_features(z)[1] != features).any(2)
            assert changed.nonzero().tolist() == [[2, 1]]
        assert evaluates_separately is (name != "mlp-maxout")
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in generators.modules())

    def test_of_generators_are_what_the_last_layer_reads(self) -> None:
        """The last layer of an mlp maps them to the points."""
        generators = MLP(MLP.Params(hidden=7)).generators(5, (2,), 3, "trunk")
        initialise(generators, Initialisation("normal", 0.5), torch.Generator())
        samples, features = generators.with_features(torch.ones(3, 4, 5))
        last = generators.layers[-1]
        assert isinstance(last, BatchedLinear)
        torch.testing.assert_close(last(features), samples)

    def test_that_cannot_be_found(self, messages: Messages) -> None:
        """A network whose layers are not modules has to define them."""

        class Plain(Generators):
            def forward(self, z: Tensor) -> Tensor:
                return z * 2

        with messages.raises(PluginError, "Plain", "with_features()"):
            Plain().with_features(torch.ones(3, 4, 5))

    @pytest.mark.parametrize("copies", [None, 2])
    @pytest.mark.parametrize("name", SHAPES)
    def test_size_of_a_discriminators(self, name: str, copies: int | None) -> None:
        """The size is that of the features."""
        network, shape, _ = SHAPES[name]
        discriminator = network.discriminator(shape, {"score": None}, copies)
        found = discriminator.features(torch.zeros(4, *shape)).shape
        assert discriminator.feature_size(shape) == found[-1]


def test_networks_know_the_latents() -> None:
    """The distribution and the size, also of a copy with another size."""
    found: list[Latents] = []

    class Asking(MGAN):
        def build(self, networks: Networks) -> Mapping[str, nn.Module]:
            found.extend((networks.latents, replace(networks, latent_size=9).latents))
            return super().build(networks)

    trainer(Asking(), latent="uniform")
    assert found == [Latents("uniform", 6), Latents("uniform", 9)]


@pytest.mark.parametrize("wrong", ["unflattened", "batch only"])
def test_the_kit_looks_at_features(wrong: str) -> None:
    """Features that are not one vector per sample are a fault."""

    class Wrong(MLPDiscriminator):
        def features(self, x: Tensor) -> Tensor:
            h = super().features(x)
            return h[..., None] if wrong == "unflattened" else h.mean(-1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return by_head(self.heads(super().features(x)), self.names)

    class Strange(MLP):
        """Features of a wrong shape (a test, 2026)."""

        def discriminator(
            self, shape: tuple[int, ...], heads: Mapping[str, int | None], copies: int | None
        ) -> Discriminator:
            return Wrong(shape[0], self.params.hidden, self.params.slope, heads, copies)

    found = [finding.check for finding in examine(Strange) if "features()" in str(finding)]
    assert found == ["discriminator"]


def test_a_network_refuses_what_it_cannot_make(messages: Messages) -> None:
    """The mlp refuses images, and the reason has the networks for images."""

    class Images(Dataset):
        name = "images"
        shape = (3, 8, 8)

        def draw(self, n: int, rng: torch.Generator) -> Real:
            raise NotImplementedError

        held_out = draw

    assert MLP().refuses(Ring8(Ring8.Params())) is None
    messages.check(MLP().refuses(Images(None)), "mlp", "images", (3, 8, 8), '"dcgan"', '"mlp-image"')
