"""AC-GAN: its losses with labels, the data that it refuses, and its footnote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.datasets.gaussian_mixtures import Grid25, Ring8
from gan_bench_zoo.models.ac_gan import ACGAN
from numpy.typing import NDArray

from gan_bench.contracts.model import Real
from gan_bench.contracts.parameters import NoParams, checked
from gan_bench.errors import PluginError
from tests.support.faults import Plain
from tests.support.messages import Messages
from tests.support.tiny import Echo, fake, number, put, same, spy, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(6)
K, EACH = 3, 4
R, F = RNG.normal(0, 2, (7, 1 + K)), RNG.normal(0, 2, (K * EACH, 1 + K))  # logits of D, then those of C
LABELS = np.array([0, 2, 2, 1, 0, 0, 2])
OF_FAKES = np.arange(K).repeat(EACH)
EXACT = 1e-12


def _model(**params: Any) -> ACGAN:
    model = ACGAN(ACGAN.Params(generators=K, **params))
    put(model, discriminator=Echo({"source": None, "class": K}))
    return model


def _real(x: Any = R) -> Real:
    return Real(torch.as_tensor(x), torch.as_tensor(LABELS))


def _named(logits: Array, labels: Array) -> float:
    """Return -E log C(label | sample)."""
    return float((np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]).mean())


class TestLosses:
    @pytest.mark.parametrize("classified", ["both", "real"])
    def test_discriminator(self, classified: str) -> None:
        """The loss is -L_S - L_C: means over real and over generated samples, or over real ones only for L_C."""
        expected = np.logaddexp(0, -R[:, 0]).mean() + np.logaddexp(0, F[:, 0]).mean() + _named(R[:, 1:], LABELS)
        expected += _named(F[:, 1:], OF_FAKES) if classified == "both" else 0
        loss = _model(classified=classified).discriminator_loss(_real(), fake(F, K))
        assert number(loss) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("classified", ["both", "real"])
    def test_generator(self, classified: str) -> None:
        """The loss is -E log D(G) - E log C(c | G), whatever the classifier is trained on."""
        expected = np.logaddexp(0, -F[:, 0]).mean() + _named(F[:, 1:], OF_FAKES)
        assert number(_model(classified=classified).generator_loss(fake(F, K))) == pytest.approx(expected, rel=EXACT)

    @pytest.mark.parametrize("classified", ["both", "real"])
    def test_gradients_are_finite_differences(self, classified: str) -> None:
        """Gradients by every logit are central differences in float64."""
        model = _model(classified=classified)
        r, f = torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)

        def losses(r: Any, f: Any) -> Any:
            return model.discriminator_loss(_real(r), fake(f, K)), model.generator_loss(fake(f, K))

        assert torch.autograd.gradcheck(losses, (r, f))

    def test_without_labels(self, messages: Messages) -> None:
        """A draw without labels is an error of the dataset."""
        with messages.raises(PluginError):
            _model().discriminator_loss(Real(torch.as_tensor(R)), fake(F, K))


class TestOwnership:
    def test_the_classifier_is_the_discriminators(self) -> None:
        """Trunk and both heads are updated in the discriminator's turn only, the generator in its turn only."""
        t = trainer(ACGAN(), fakes=16)
        of_d, of_g = t.model.turns(0)
        before, generator = values(t.model.discriminator), values(t.model.generator)
        t.play((of_d,), t.draw((of_d,)))
        after = values(t.model.discriminator)
        assert not (after["heads.weight"] == before["heads.weight"]).any()
        assert same(generator, values(t.model.generator))
        t.play((of_g,), t.draw((of_g,)))
        assert same(after, values(t.model.discriminator))
        assert not same(generator, values(t.model.generator))

    def test_it_sees_the_labels_of_the_draw(self) -> None:
        """Each real sample has the label of its mode."""
        model = ACGAN()
        calls = spy(model, "discriminator_loss")
        t = trainer(model)
        t.iterate()
        drawn = calls[0]["real"]
        means = torch.as_tensor(t.dataset.mixture.means, dtype=torch.float32)
        assert torch.equal(torch.cdist(drawn.x, means).argmin(1), drawn.label)


class TestData:
    def test_without_labels(self, messages: Messages) -> None:
        """Data without labels are refused, with the reason."""
        messages.check(ACGAN().refuses(Plain(NoParams())), "plain")

    def test_another_number_of_classes(self, messages: Messages) -> None:
        """The number of generators has to be the number of classes; the reason includes the right number."""
        assert ACGAN().refuses(Ring8(Ring8.Params())) is None
        messages.check(ACGAN().refuses(Grid25(Grid25.Params())), "generators = 25", 8)
        assert ACGAN(ACGAN.Params(generators=25)).refuses(Grid25(Grid25.Params())) is None

    def test_the_table_says_so(self, messages: Messages) -> None:
        """A footnote of the table reports the use of labels."""
        (footnote,) = ACGAN().footnotes
        messages.check(footnote, "labels")


@pytest.mark.parametrize("given", [{"generators": 0}, {"classified": "fake"}])
def test_impossible_parameters(given: dict[str, Any]) -> None:
    """Zero classes, and a classifier of generated samples only, are refused."""
    told: list[str] = []
    checked(ACGAN.Params, given, lambda _, message: told.append(message))
    assert len(told) == 1
