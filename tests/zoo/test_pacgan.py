"""PacGAN: packs of neighbours, GAN's losses on them, and draws that are not a whole number of packs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.pacgan import PacGAN, Packed
from torch import Tensor, nn

from gan_bench.contracts.model import Real
from gan_bench.plugins.show import show
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, networks, number, put, real, same, trainer, values

RNG = np.random.default_rng(4)
EXACT = 1e-12


class Product(nn.Module):
    """A discriminator of packs of numbers whose logit is their product, which depends on how samples are packed."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": x.prod(1)}


def _pacgan(pack: int, **params: Any) -> PacGAN:
    model = PacGAN(PacGAN.Params(pack=pack, **params))
    put(model, discriminator=Packed(Product(), pack))
    return model


class TestLosses:
    R, F = RNG.normal(0, 1.5, (12, 1)), RNG.normal(0, 1.5, (6, 1))

    def _logits(self, x: Any, pack: int) -> Any:
        return x.reshape(-1, pack).prod(1)

    @pytest.mark.parametrize("pack", [1, 2, 3])
    def test_discriminator(self, pack: int) -> None:
        """The loss is -E log D of real packs - E log(1 - D) of generated packs, each a mean over packs."""
        loss = _pacgan(pack).discriminator_loss(real(self.R), fake(self.F))
        of_real = np.logaddexp(0, -self._logits(self.R, pack)).mean()
        of_fake = np.logaddexp(0, self._logits(self.F, pack)).mean()
        assert number(loss) == pytest.approx(of_real + of_fake, rel=EXACT)

    @pytest.mark.parametrize("pack", [1, 2, 3])
    def test_generator(self, pack: int) -> None:
        """The loss is -E log D of generated packs, or E log(1 - D) if saturating."""
        logits = self._logits(self.F, pack)
        expected = np.logaddexp(0, -logits).mean()
        assert number(_pacgan(pack).generator_loss(fake(self.F))) == pytest.approx(expected, rel=EXACT)
        saturating = _pacgan(pack, saturating=True).generator_loss(fake(self.F))
        assert number(saturating) == pytest.approx(-np.logaddexp(0, logits).mean(), rel=EXACT)

    def test_gradients_are_finite_differences(self) -> None:
        """Gradients by every sample are central differences in float64."""
        model = _pacgan(2)
        r, f = torch.tensor(self.R, requires_grad=True), torch.tensor(self.F, requires_grad=True)
        assert torch.autograd.gradcheck(lambda r, f: model.discriminator_loss(Real(r), fake(f)), (r, f))
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(fake(f)), (f,))


class TestPacks:
    def test_points_lie_side_by_side(self) -> None:
        """A pack of points in the plane is x_1, y_1, x_2, y_2, … of neighbours in the draw."""
        x = torch.arange(12.0).view(6, 2)
        logits = Packed(Echo({"source": 6}), 3)(x)["source"]
        assert logits.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]

    def test_images_lie_along_their_channels(self) -> None:
        """Packed images keep height and width; their channels are concatenated, sample by sample."""
        seen: list[Tensor] = []

        class Watch(nn.Module):
            def forward(self, x: Tensor) -> Mapping[str, Tensor]:
                seen.append(x)
                return {"source": x.flatten(1).sum(1)}

        x = torch.arange(4 * 3 * 2 * 2.0).view(4, 3, 2, 2)
        Packed(Watch(), 2)(x)
        assert torch.equal(seen[0], torch.stack([torch.cat([x[0], x[1]]), torch.cat([x[2], x[3]])]))

    @pytest.mark.parametrize(
        ("batch", "fakes", "refused"), [(16, 16, False), (16, 18, True), (17, 16, True), (2, 2, True)]
    )
    def test_draws_are_whole_packs(self, batch: int, fakes: int, refused: bool, messages: Messages) -> None:
        """A pack that does not divide a draw is refused before a run starts, with both numbers."""
        reason = PacGAN(PacGAN.Params(pack=4)).refuses_draws(batch, fakes)
        assert (reason is not None) == refused
        if refused:
            messages.check(reason, "pack = 4", f"{batch} real", f"{fakes} generated")


class TestModel:
    def test_only_the_discriminators_input_grows(self) -> None:
        """With the mlp of 8 units, each further sample adds 2 x 8 weights to the discriminator, none to G."""
        sizes = {}
        for pack in (1, 2, 4):
            players = PacGAN(PacGAN.Params(pack=pack)).build(networks())
            sizes[pack] = [sum(p.numel() for p in players[name].parameters()) for name in PacGAN.players]
        (d1, g1), (d2, g2), (d4, g4) = sizes.values()
        assert (d2 - d1, d4 - d1) == (16, 48)
        assert g1 == g2 == g4

    def test_a_pack_of_one_is_gan(self) -> None:
        """With m = 1 training is exactly that of GAN."""
        packed, plain = trainer(PacGAN(PacGAN.Params(pack=1))), trainer(GAN())
        for _ in range(3):
            packed.iterate()
            plain.iterate()
        mine = {name.replace("discriminator.body", "discriminator"): v for name, v in values(packed.model).items()}
        assert same(mine, values(plain.model))

    def test_shown(self, messages: Messages) -> None:
        """`gan-bench show pacgan` prints the size of the discriminator's input: four numbers for two points."""
        (row,) = [line for line in show("pacgan").splitlines() if line.startswith("discriminator ")]
        messages.check(row, "source", "inputs of 4")

    def test_simultaneous(self) -> None:
        """By default players alternate; with `simultaneous` one turn updates both."""
        assert [turn.players for turn in PacGAN().turns(0)] == [("discriminator",), ("generator",)]
        (turn,) = PacGAN(PacGAN.Params(simultaneous=True)).turns(0)
        assert turn.players == ("discriminator", "generator")

    def test_the_release_draws_100_packs(self) -> None:
        """The preset draws 100 packs of two, real and generated."""
        preset = PacGAN.presets["release"]
        assert preset.protocol["batch"] == preset.protocol["fakes"] == 100 * preset.params["pack"]

    def test_parameters(self) -> None:
        """The parameters are GAN's and `pack`."""
        names = {each.name for each in dataclasses.fields(PacGAN.Params)}
        assert names == {each.name for each in dataclasses.fields(GAN.Params)} | {"pack", "simultaneous"}
