"""One generator that is told which one it plays: a control of MGAN (Hoang et al., ICLR 2018) that shares everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from gan_bench.network import Networks
from gan_bench_zoo.models.mgan import MGAN


class IndexInput(MGAN):
    """IndexInput: MGAN's game played by one generator that is told its index (a control, after Hoang et al., 2018).

    G_k(z) = G(z, e_k), e_k the k-th of K unit vectors beside the latent: everything is shared. Parameters, presets,
    losses, discriminator and classifier are MGAN's, so that what MGAN does better is owed to its separate input
    layers, and what this does as well is not. Not a published system; nearest is InfoGAN with a categorical code
    (Chen et al., NeurIPS 2016), whose classifier learns in the generator's turn, here in the discriminator's.
    """

    name = "index-input"

    @property
    def sharing(self) -> str:
        """All but K inputs of the first layer."""
        return "generators: all, the index is an input; discriminator and classifier: all but the output layer"

    def build(self, networks: Networks) -> Mapping[str, nn.Module]:
        """MGAN's discriminator and classifier, and one generator whose latents are longer by K."""
        wider = replace(networks, latent_size=networks.latent_size + self.generators)
        return dict(super().build(networks)) | {"generator": wider.generators()}

    def generate(self, z: Tensor) -> Tensor:
        """(K, b, latent size) to (K, b, *shape), each latent with the unit vector of its generator beside it."""
        k, each, _ = z.shape
        index = torch.eye(k, dtype=z.dtype, device=z.device)[:, None].expand(k, each, k)
        together: Tensor = self.generator(torch.cat((z, index), 2).flatten(0, 1)[None])
        return together.view(k, each, *together.shape[2:])
