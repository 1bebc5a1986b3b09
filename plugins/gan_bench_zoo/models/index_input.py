"""MGAN's game with one generator that has its index as an input: a control of MGAN (Hoang et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from gan_bench.contracts.network import SHARED, Networks
from gan_bench_zoo.models._indexed import Indexed
from gan_bench_zoo.models.mgan import MGAN


class IndexInput(Indexed, MGAN):
    """IndexInput: MGAN's game with one generator that has its index as an input (a control, after Hoang et al., 2018).

    G_k(z) = G(z, e_k), with e_k the k-th of K unit vectors, appended to the latent: everything is shared. Parameters,
    presets, losses, discriminator and classifier are MGAN's. Any advantage of MGAN is therefore due to its separate
    input layers. This is not a published system. With beta = 1 the game is that of `infogan`, InfoGAN with a
    categorical code (Chen et al., NeurIPS 2016).
    """

    name = "index-input"

    @dataclass(frozen=True)
    class Params(MGAN.Params):
        """Parameters of MGAN, for one generator with all layers shared."""

        def __post_init__(self) -> None:
            if self.shared != "body":
                raise ValueError(f"shared = {self.shared!r} is about several generators; here is one, leave it out")

    @property
    def sharing(self) -> str:
        """Parts that are shared: all but K inputs of the generators' first layer; D and C as in MGAN."""
        of_judges = SHARED["trunk" if self.params.tied_classifier else "nothing"]
        return f"{super().sharing}; discriminator and classifier: {of_judges}"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """Build MGAN's discriminator and classifier, and one generator with K further inputs."""
        return dict(super().build(networks)) | {"generator": self.one_generator(networks)}
