"""Tests of trained models that draw samples."""

from __future__ import annotations

import warnings

from gan_bench_zoo.models.mix_gan import MixGAN

from gan_bench.running.stored_model import StoredModel
from tests.support.tiny import trainer


def test_one_generator_of_a_mixture_with_learned_weights() -> None:
    """No warning of torch about a weight that is a parameter reaches the user."""
    stored = StoredModel(trainer(MixGAN(MixGAN.Params(generators=3, discriminators=2))))
    assert stored.model.weights().requires_grad
    with warnings.catch_warnings(action="error"):
        assert len(stored.sample(3, generator=1).x) == 3
