"""Terms of adversarial losses as functions of logits, finite for finite logits.

``sp(a) = log(1 + exp(a))``; a discriminator's probability is ``sigmoid(a)``. Every function is a mean over its own
batch, so that the real and the generated half of a loss weigh 1 each for all batch sizes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bce_real(logits: Tensor) -> Tensor:
    """-log sigmoid(a) = sp(-a), averaged: low if the discriminator classifies the samples as real."""
    return F.softplus(-logits).mean()


def bce_fake(logits: Tensor) -> Tensor:
    """-log(1 - sigmoid(a)) = sp(a), averaged: low if the discriminator classifies the samples as generated."""
    return F.softplus(logits).mean()
