"""Choice of one generator for each sample, by given probabilities and Gumbel noise.

argmax_k (log p_k + g_k) with independent standard Gumbel g_k is k with probability p_k. The noise is drawn before an
iteration, so that the choice is tensor code without a random stream, and its relaxation can be differentiated: Gumbel
softmax (Jang, Gu, Poole; ICLR 2017, arXiv 1611.01144).
"""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(n: int, generators: int, rng: torch.Generator) -> Tensor:
    """(n, K) float32 standard Gumbel numbers, on the generator's device."""
    exponential = torch.empty(n, generators, device=rng.device).exponential_(generator=rng)
    return -exponential.clamp(min=torch.finfo(exponential.dtype).tiny).log()


def choose(probabilities: Tensor, gumbel: Tensor) -> Tensor:
    """Index (n,) int64 of the chosen generators; one of probability 0 is never chosen."""
    return (probabilities.detach().log() + gumbel).argmax(1)


def straight_through(probabilities: Tensor, gumbel: Tensor, temperature: float | Tensor) -> Tensor:
    """One-hot choices (n, K) of `choose`, whose gradient is that of softmax((log p + g) / temperature)."""
    hard = one_hot(choose(probabilities, gumbel), probabilities.shape[1]).to(probabilities.dtype)
    logits = probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log() + gumbel
    soft = (logits / temperature).softmax(1)
    return hard + (soft - soft.detach())


def one_hot(index: Tensor, generators: int) -> Tensor:
    """(n, K) bool, true at each index."""
    return index[:, None] == torch.arange(generators, device=index.device)


def pick(candidates: Tensor, index: Tensor) -> Tensor:
    """Samples (n, *shape) of the chosen generators among candidates (K, n, *shape)."""
    place = index.view(1, -1, *[1] * (candidates.dim() - 2)).expand(1, *candidates.shape[1:])
    return candidates.gather(0, place)[0]
