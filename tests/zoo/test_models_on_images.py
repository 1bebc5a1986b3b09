"""Every trainable model of the zoo on images: training, players of each turn, samples as pixels, and special cases.

The networks are tiny versions of both networks for images. The data are grey squares of 12 x 12, so that the
convolutional network has hidden layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from gan_bench_zoo.models._staged import JUDGED_AT_ONCE, PooledGAN, judged
from gan_bench_zoo.models.ac_gan import ACGAN
from gan_bench_zoo.models.adagan import AdaGAN
from gan_bench_zoo.models.ali import ALI
from gan_bench_zoo.models.began import BEGAN
from gan_bench_zoo.models.conditional_gan import ConditionalGAN
from gan_bench_zoo.models.dfm import DFM
from gan_bench_zoo.models.ensemble import CascadeGAN, SelfEnsemble
from gan_bench_zoo.models.magan import MAGAN
from gan_bench_zoo.models.mgan import MGAN
from gan_bench_zoo.models.multi_discriminator import MultiDiscriminator
from gan_bench_zoo.models.pacgan import PacGAN
from gan_bench_zoo.models.r3gan import R3GAN
from gan_bench_zoo.models.sngan import SNGAN
from gan_bench_zoo.models.wgan import WGAN
from gan_bench_zoo.models.wgan_gp import WGANGP
from gan_bench_zoo.networks.dcgan import DCGAN
from gan_bench_zoo.networks.mlp_image import MLPImage
from torch import Tensor

from gan_bench.contracts.model import Model, Turn
from gan_bench.contracts.network import Autoencoder, Network, Networks
from gan_bench.contracts.protocol import Protocol
from gan_bench.evaluation.evaluate import FIXED, draw, fixed
from gan_bench.plugins.discovery import load_plugins
from gan_bench.training.build import build
from gan_bench.training.trainer import Trainer
from tests.support.messages import Messages
from tests.support.tiny import CPU, WIDER, ZOO, number, protocol, put, values
from tests.support.tiny_images import Greys

CLASSES = 3  # of the grey squares
LABELLED: Mapping[str, Callable[[], Model]] = {
    "ac-gan": lambda: ACGAN(ACGAN.Params(generators=CLASSES)),
    "ac-gan, real": lambda: ACGAN(ACGAN.Params(generators=CLASSES, classified="real")),
    "conditional-gan": lambda: ConditionalGAN(ConditionalGAN.Params(generators=CLASSES)),
    "conditional-gan, saturating": lambda: ConditionalGAN(ConditionalGAN.Params(generators=CLASSES, saturating=True)),
}
MODELS = {**ZOO, **WIDER, **LABELLED}
NETWORKS: Mapping[str, Network] = {
    "dcgan": DCGAN(DCGAN.Params(width=2, bottleneck=4)),
    "mlp-image": MLPImage(MLPImage.Params(hidden=8, slope=0.2)),
}
SHAPE = (1, 12, 12)


class Squares(Greys):
    """Grey squares that a convolutional network halves twice."""

    name = "squares"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.params.channels, *SHAPE[1:])


def made(make: Callable[[], Model], network: str = "dcgan", *, iterations: int = 0, **changes: Any) -> Trainer:
    """Return a trainer of a model on grey squares, after some iterations."""
    model, dataset, settings = make(), Squares(), protocol(**changes)
    build(model, NETWORKS[network], dataset, settings, 0, CPU)
    t = Trainer(model, dataset, settings, 0, CPU)
    for _ in range(iterations):
        t.iterate()
    return t


def moved(model: Model, before: Mapping[str, Tensor]) -> set[str]:
    """Return the players with a parameter that has changed."""
    after = values(model)
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def players(turns: Any) -> set[str]:
    """Return the players of some turns."""
    return {player for turn in turns for player in turn.players}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_trains(self, name: str, network: str) -> None:
        """After three iterations all losses, parameters, buffers and state are finite, and all players are updated."""
        t = made(MODELS[name], network, init_scale=0.02)
        assert t.model.refuses(t.dataset) is None
        before = values(t.model)
        for _ in range(3):
            t.iterate()
        found = {**t.losses, **t.state, **t.model.state_dict()}
        assert [key for key, value in found.items() if not torch.isfinite(value).all()] == []
        assert moved(t.model, before) >= players(t.model.turns(0))

    def test_a_turn_moves_its_players_alone(self, name: str, network: str) -> None:
        """Each turn, also of a prelude, updates its players and no others, bit for bit."""
        t = made(MODELS[name], network)
        for turn in (*t.model.turns(0), *(turn for stage in t.model.stages(10) for turn in stage.prelude[:1])):
            before = values(t.model)
            t.play((turn,), t.draw((turn,)))
            assert moved(t.model, before) == set(turn.players)

    def test_samples_are_pixels(self, name: str, network: str) -> None:
        """Evaluated samples are uint8 images of the data's shape: of the mixture, one generator, or fixed latents."""
        t = made(MODELS[name], network, iterations=1)
        k = t.model.generators
        mixture, last, pictures = draw(t, 12, 5), draw(t, 12, 5, generator=k - 1), fixed(t, 0)
        each = max(FIXED, 4 * FIXED // k)
        for drawn, count in ((mixture, 12), (last, 12), (pictures, k * each)):
            assert isinstance(drawn.x, Tensor) and drawn.x.dtype == torch.uint8
            assert drawn.x.shape == (count, *SHAPE) and drawn.finite
        assert last.generator is not None and set(last.generator.tolist()) == {k - 1}


class TestLabels:
    @pytest.mark.parametrize("model", [ACGAN(), ConditionalGAN()])
    def test_another_number_of_classes(self, model: Model, messages: Messages) -> None:
        """Images with another number of classes are refused by a model with a generator for each class."""
        messages.check(model.refuses(Squares()), "generators = 3", 8)


class Halves(Autoencoder):
    """An autoencoder that returns half of an image, so that the energy is that of the other half."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class TestEnergies:
    def test_of_began(self) -> None:
        """The energy is the mean of the absolute difference over pixels and images: it does not depend on the size."""
        model = put(BEGAN(), discriminator=Halves())
        for size in (3, 30):
            assert number(model.energy(torch.full((5, 2, size, size), 0.5))) == pytest.approx(0.25)  # type: ignore[operator]

    def test_of_magan(self) -> None:
        """The energy of an image is the sum over pixels of the squared difference: it grows with their number."""
        model = put(MAGAN(), discriminator=Halves())
        found = model.energy(torch.full((5, 2, 3, 3), 0.5) * torch.arange(5)[:, None, None, None])  # type: ignore[operator]
        torch.testing.assert_close(found, 2 * 3 * 3 * 0.25**2 * torch.arange(5) ** 2)


class TestPacks:
    def test_lie_along_channels(self) -> None:
        """A pack of 3 images is one image with the channels of three neighbours of a draw."""
        seen: list[Tensor] = []
        t = made(lambda: PacGAN(PacGAN.Params(pack=3)))
        body = t.model.get_submodule("discriminator.body")
        body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        x = torch.rand(6, *SHAPE)
        judged = t.model.get_submodule("discriminator")(x)["source"]
        assert judged.shape == (2,)
        assert torch.equal(seen[0], torch.stack([torch.cat(list(x[:3])), torch.cat(list(x[3:]))]))


class TestEncoders:
    def test_implicit_noise_is_an_image(self) -> None:
        """The noise has the shape of an image and is appended to its channels."""
        t = made(lambda: ALI(ALI.Params(encoder="implicit")))
        assert isinstance(t.model, ALI)
        encoder = t.model.encoder
        assert t.draw_source.noise(0, (0,))["encoder"].shape == (16, *SHAPE)
        x, noise = torch.rand(2, 5, *SHAPE)
        assert torch.equal(encoder(x, noise), encoder.body(torch.cat((x, noise), 1))["latent"])
        assert not torch.equal(encoder(x, noise), encoder(x, noise.flip(0)))


class TestFeatures:
    def test_of_a_discriminator_are_asked_without_values(self) -> None:
        """The denoiser of DFM is as wide as the discriminator's features: 4 x 3 x 3 after two halvings."""
        model = DFM()
        found = model.build(Networks(NETWORKS["dcgan"], Squares(), 6))
        assert model.feature_count == 4 * 3 * 3
        assert found["denoiser"](torch.rand(2, 36))["clean"].shape == (2, 36)


class TestBatchStatistics:
    """The output of a batch-normalised discriminator for an image depends on the rest of its batch."""

    def _depends(self, make: Callable[[], Model], player: str) -> bool:
        judge = made(make).model.get_submodule(player)
        x = torch.rand(6, *SHAPE)
        alone, among = judge(x[:2])["score"], judge(x)["score"][:2]
        return not torch.allclose(alone, among, rtol=1e-4)

    @pytest.mark.parametrize(
        ("make", "player"), [(WGANGP, "critic"), (R3GAN, "discriminator"), (SNGAN, "discriminator")]
    )
    def test_never_where_slopes_count(self, make: Callable[[], Model], player: str) -> None:
        """A discriminator with a penalty on slopes, or a bound of them, does not depend on the rest of its batch."""
        assert not self._depends(make, player)

    def test_kept_by_wgan(self) -> None:
        """The critic of WGAN is batch-normalised, as in the release."""
        assert self._depends(WGAN, "critic")

    def test_never_in_adagans_classifier(self) -> None:
        """The classifier of AdaGAN weights single samples, so it does not depend on the rest of its batch."""
        judge = made(lambda: AdaGAN(AdaGAN.Params(generators=3, pool=40))).model.get_submodule("classifier")
        x = torch.rand(6, *SHAPE)
        assert torch.allclose(judge(x[:2])["data"], judge(x)["data"][:2], rtol=1e-4)


class TestPools:
    @pytest.mark.parametrize("cls", [AdaGAN, CascadeGAN])
    def test_no_larger_than_the_data(self, cls: type[PooledGAN]) -> None:
        """A pool that is larger than the data contains all of them, and a run on it completes all stages."""
        t = made(lambda: cls(cls.Params(generators=2, pool=20_000)), iterations=10)
        assert t.model.pool_size == Squares().training_size == 60
        assert t.pool.samples is not None and len(t.pool.samples.x) == 60
        assert {len(value) for value in t.state.values()} == {60}

    def test_are_judged_in_equal_parts(self) -> None:
        """Images are evaluated in parts whose sizes differ by at most one, in order; points all at once."""
        sizes: list[int] = []

        def judge(x: Tensor) -> Tensor:
            sizes.append(len(x))
            return x.flatten(1)[:, 0]

        x = torch.arange(2 * JUDGED_AT_ONCE + 1.0)
        assert torch.equal(judged(judge, x[:, None, None, None]), x)
        assert sizes == [683, 683, 683]
        assert torch.equal(judged(judge, x[:, None]), x)
        assert sizes[3:] == [len(x)]


class TestKept:
    @pytest.mark.parametrize(
        ("make", "since"),
        [
            (lambda: SelfEnsemble(SelfEnsemble.Params(generators=2)), 5),
            (lambda: CascadeGAN(CascadeGAN.Params(generators=2, pool=40)), 5),
            (lambda: AdaGAN(AdaGAN.Params(generators=2, pool=40, classifier_steps=3)), 6),
        ],
    )
    def test_running_averages_stay(self, make: Callable[[], Model], since: int) -> None:
        """Samples of a stored generator do not change after its stage, with the running averages from its end.

        For AdaGAN the averages still change while the classifier is trained.
        """
        t = made(make, iterations=since)
        before = torch.as_tensor(draw(t, 12, 5, generator=0).x)
        while t.iteration < 10:
            t.iterate()
        assert torch.equal(torch.as_tensor(draw(t, 12, 5, generator=0).x), before)
        assert not torch.equal(torch.as_tensor(draw(t, 12, 5, generator=1).x), before)

    def test_the_mixture_that_is_classified_is_the_evaluated_one(self) -> None:
        """The samples for AdaGAN's classifier are normalised by running averages, not by the draw."""
        t = made(lambda: AdaGAN(AdaGAN.Params(generators=2, pool=40)), iterations=3)
        seen: list[Tensor] = []
        t.model.get_submodule("classifier").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        turn = Turn(("classifier",), weights="even")
        draws = t.draw((turn,))
        (z,) = draws.latents.values()
        t.play((turn,), draws)
        live = t.model.get_submodule("generator")
        by_average, by_draw = live.eval()(z[:, :6])[0], live.train()(z[:, :6])[0]
        torch.testing.assert_close(seen[0][:6], by_average)
        assert not torch.allclose(seen[0][:6], by_draw, rtol=0.01)


class Digits(Squares):
    """Squares of the size of MNIST's digits."""

    name = "digits"

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 28, 28)


class TestPresets:
    @pytest.mark.parametrize("name", [name for name, cls in load_plugins().all("models").items() if cls.presets])
    def test_that_size_latents_say_their_distribution(self, name: str) -> None:
        """A preset with a latent size also has a latent distribution, so that the benchmark's is not used."""
        for preset in load_plugins().get("models", name).presets.values():
            assert "latent" in preset.protocol or "latent_size" not in preset.protocol

    @pytest.mark.parametrize(
        ("name", "beta"), [("cifar10", 0.01), ("release-cifar10", 0.01), ("stl10", 1.0), ("imagenet32", 0.1)]
    )
    def test_of_mgan(self, name: str, beta: float) -> None:
        """The presets follow Tables 4 to 7: ten generators of 12 samples, 64 real ones, a beta for each dataset."""
        preset = MGAN.presets[name]
        params = MGAN.Params(**preset.params)
        asked = Protocol(**{key: value for key, value in preset.protocol.items() if key != "network"})
        assert (params.generators, params.beta) == (10, beta)
        assert (asked.batch, asked.fakes_each(10), asked.latent, asked.latent_size) == (64, 12, "uniform", 100)
        assert preset.protocol["network"]["plugin"] == "dcgan"

    def test_of_digit_pairs(self) -> None:
        """All networks of the second paper's experiment together have 0.8 M parameters: 803,650."""
        preset = MultiDiscriminator.presets["paper"]
        model = MultiDiscriminator(MultiDiscriminator.Params(**preset.params))
        assert preset.protocol["network"] == {"plugin": MLPImage.name}
        found = model.build(Networks(MLPImage(), Digits(), preset.protocol["latent_size"]))
        assert sum(p.numel() for player in found.values() for p in player.parameters()) == 803_650
