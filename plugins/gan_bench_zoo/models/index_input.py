"""One generator that is told which one it plays: a control of MGAN (Hoang et al., ICLR 2018) that shares everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from gan_bench.contracts.network import SHARED, Networks
from gan_bench_zoo.models._indexed import Indexed
from gan_bench_zoo.models.mgan import MGAN


class IndexInput(Indexed, MGAN):
    """IndexInput: MGAN's game played by one generator that is told its index (a control, after Hoang et al., 2018).

    G_k(z) = G(z, e_k), e_k the k-th of K unit vectors beside the latent: everything is shared. Parameters, presets,
    losses, discriminator and classifier are MGAN's, so that what MGAN does better is owed to its separate input
    layers, and what this does as well is not. Not a published system; with beta = 1 it plays the game of `infogan`,
    InfoGAN with a categorical code (Chen et al., NeurIPS 2016).

    On the ring (zoo-ring: 10,000 iterations, seeds 0, 1, 2) it covers all 8 modes in every seed, an index each,
    with narrower modes than MGAN: symmetric KL 2.9, 2.4 and 1.2, MGAN's 0.30, 1.35 and 0.33.
    """

    name = "index-input"

    @dataclass(frozen=True)
    class Params(MGAN.Params):
        """As MGAN's; one generator that is all shared."""

        def __post_init__(self) -> None:
            if self.shared != "body":
                raise ValueError(f"shared = {self.shared!r} is about several generators; here is one, leave it out")

    @property
    def sharing(self) -> str:
        """All but K inputs of the first layer."""
        of_judges = SHARED["trunk" if self.params.tied_classifier else "nothing"]
        return f"{super().sharing}; discriminator and classifier: {of_judges}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """MGAN's discriminator and classifier, and one generator whose latents are longer by K."""
        return dict(super().build(networks)) | {"generator": self.one_generator(networks)}
