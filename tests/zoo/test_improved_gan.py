"""ImprovedGAN: closeness within groups against loops, its initialisation, both losses, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gan_bench_zoo.models.gan import GAN
from gan_bench_zoo.models.improved_gan import FEATURES, GROUPS, MINIBATCH, ImprovedGAN, InGroups
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from gan_bench.contracts.model import Real
from gan_bench.contracts.network import Discriminator, Initialisation, initialise
from gan_bench.contracts.parameters import checked
from tests.support.messages import Messages
from tests.support.tiny import fake, networks, number, put, real, same, trainer, values

Array = NDArray[np.float64]
RNG = np.random.default_rng(9)
EXACT = 1e-12
A, B, C, GROUP = 2, 3, 4, 5  # features, kernels, their dimensions, samples in a group
R, F = RNG.normal(0, 1, (17, A)), RNG.normal(0, 1, (11, A))  # three groups and two left over; two groups and one


class Plain(Discriminator):
    """A discriminator whose features are the sample and whose logit is their sum."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"source": x.sum(1)}

    def features(self, x: Tensor) -> Tensor:
        return x


def _no_data(n: int, rng: torch.Generator) -> Real:
    raise AssertionError("nothing is drawn outside of initialisation")


def _judge(group: int = GROUP) -> InGroups:
    """Return a discriminator in float64 with the same random weights each time."""
    judge = InGroups(Plain(), (A,), (B, C), group, _no_data).double()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64) / 2)
    return judge


def _model(**params: Any) -> ImprovedGAN:
    params = {"group": GROUP, "kernels": B, "kernel_size": C, **params}
    model = ImprovedGAN(ImprovedGAN.Params(**params))
    put(model, discriminator=Plain() if params.get("technique") == FEATURES else _judge())
    return model


def _tensor(judge: InGroups) -> Array:
    """Return T as (A, C, B), each column of length exp(s)."""
    t = judge.t.weight.detach().numpy().T.reshape(A, C, B)
    scaled: Array = t / np.sqrt((t**2).sum(0)) * np.exp(judge.log_scale.detach().numpy())
    return scaled


def _closeness(judge: InGroups, x: Array, group: int) -> Array:
    """Return (n, B): o_b(i) without its bias, as loops over whole groups and pairs."""
    m = np.einsum("ia,acb->icb", x, _tensor(judge))
    n = len(x) // group * group
    found = np.zeros((n, B))
    for i in range(n):
        for j in range(i - i % group, i - i % group + group):
            if j != i:
                found[i] += np.exp(-np.abs(m[i] - m[j]).sum(0))
    return found


def _logits(judge: Any, x: Array, group: int = GROUP) -> Array:
    o = _closeness(judge, x, group) + judge.bias.detach().numpy()
    found: Array = x[: len(o)].sum(1) + o @ judge.head.weight.detach().numpy()[0]
    return found


def _says_real(a: Array) -> float:
    return float(np.logaddexp(0, -a).mean())


def _says_fake(a: Array) -> float:
    return float(np.logaddexp(0, a).mean())


class TestCloseness:
    @pytest.mark.parametrize("group", [2, 3, 5, 17])
    def test_sums_over_the_others_of_a_group(self, group: int) -> None:
        """o_b(i) is the sum of exp(-||M_ib - M_jb||_1) over the other samples j of the group of i."""
        judge = _judge(group)
        found = judge.closeness(judge.body.features(torch.tensor(R[: len(R) // group * group])), group)
        np.testing.assert_allclose(found.detach().numpy(), _closeness(judge, R, group), rtol=1e-10)

    def test_the_last_layer_reads_features_and_closeness(self) -> None:
        """The logit is the body's plus a linear function of o; samples beyond whole groups have none."""
        judge = _judge()
        found = judge(torch.tensor(R), GROUP)
        assert found.shape == (15,)
        np.testing.assert_allclose(found.detach().numpy(), _logits(judge, R), rtol=1e-10)

    def test_equal_samples_are_as_close_as_can_be(self) -> None:
        """In a group of equal samples each o is the number of the others; for distant samples it is 0."""
        judge = _judge()
        equal, apart = torch.ones(GROUP, A).double(), 1e4 * torch.arange(1.0, GROUP * A + 1).view(GROUP, A).double()
        assert judge.closeness(equal, GROUP).tolist() == [[GROUP - 1] * B] * GROUP
        assert judge.closeness(apart, GROUP).detach().abs().max() < 1e-12

    def test_groups_do_not_see_each_other(self) -> None:
        """A sample affects the logits of its group only."""
        judge = _judge()
        moved = R.copy()
        moved[7] += 0.5
        changed = judge(torch.tensor(moved), GROUP) != judge(torch.tensor(R), GROUP)
        assert changed.tolist() == [False] * 5 + [True] * 5 + [False] * 5

    def test_order_within_a_group_does_not_matter(self) -> None:
        """A logit does not depend on the order within the group."""
        judge = _judge()
        order = torch.tensor([3, 1, 4, 0, 2])
        x = torch.tensor(R[:GROUP])
        torch.testing.assert_close(judge(x[order], GROUP), judge(x, GROUP)[order])

    def test_the_length_of_t_does_not_matter(self) -> None:
        """T is normalised: its length does not affect a logit."""
        judge = _judge()
        before = judge(torch.tensor(R), GROUP)
        with torch.no_grad():
            judge.t.weight.mul_(10)
        torch.testing.assert_close(judge(torch.tensor(R), GROUP), before)

    def test_gradients_are_finite_differences(self) -> None:
        """Gradients by every sample and parameter are central differences in float64."""
        judge = _judge()
        names = [name for name, _ in judge.named_parameters()]
        own = [parameter.detach().clone().requires_grad_() for parameter in judge.parameters()]
        x = torch.tensor(R[:10], requires_grad=True)

        def logits(x: Tensor, *own: Tensor) -> Tensor:
            found: Tensor = functional_call(judge, dict(zip(names, own, strict=True)), (x, GROUP))
            return found

        assert torch.autograd.gradcheck(logits, (x, *own))


class TestStart:
    def _started(self, scale: float) -> tuple[InGroups, Tensor]:
        drawn: list[Tensor] = []

        def draw(n: int, rng: torch.Generator) -> Real:
            drawn.append(torch.randn(n, A, generator=rng))
            return Real(drawn[-1])

        judge = InGroups(Plain(), (A,), (B, C), GROUP, draw)
        initialise(judge, Initialisation("normal", scale), torch.Generator().manual_seed(0))
        return judge, drawn[0]

    @pytest.mark.parametrize("scale", [1e-3, 0.02, 1.0])
    def test_by_data(self, scale: float) -> None:
        """Half the distance to the nearest sample of a group is 1 on average, and o is 0, for any initialisation."""
        judge, x = self._started(scale)
        assert len(x) == GROUPS * GROUP
        apart = judge.distances(x, GROUP).detach()
        others = apart + torch.diag(torch.full((GROUP,), torch.inf))
        assert (others.amin(3).mean((0, 2)) / 2).tolist() == pytest.approx([1] * B, rel=1e-4)
        mean = (judge.closeness(x, GROUP) + judge.bias).mean(0)
        assert mean.tolist() == pytest.approx([0] * B, abs=1e-5)

    def test_equal_data_leave_it_finite(self) -> None:
        """Data that are all equal have no distances; parameters and logits are finite nevertheless."""
        judge = InGroups(Plain(), (A,), (B, C), GROUP, lambda n, rng: Real(torch.ones(n, A)))
        initialise(judge, Initialisation("normal", 0.02), torch.Generator().manual_seed(0))
        assert all(bool(torch.isfinite(parameter).all()) for parameter in judge.parameters())
        assert bool(torch.isfinite(judge(torch.ones(GROUP, A), GROUP)).all())

    def test_the_data_are_forgotten(self) -> None:
        """The initialised discriminator has no reference to the data, so copies of a model do not copy them."""
        judge, _ = self._started(0.02)
        assert not any(callable(value) for value in vars(judge).values() if not isinstance(value, type))

    def test_seeds(self) -> None:
        """The initialisation is the same for the same seed, and differs between seeds."""
        first, again, other = (values(trainer(_Small(), seed=seed).model) for seed in (0, 0, 1))
        assert same(first, again)
        assert not torch.equal(first["discriminator.log_scale"], other["discriminator.log_scale"])

    def test_footnote(self, messages: Messages) -> None:
        """A footnote reports the initialisation by data, for minibatch discrimination only."""
        (footnote,) = ImprovedGAN(ImprovedGAN.Params(group=32)).footnotes
        messages.check(footnote, 5 * 32)
        assert ImprovedGAN(ImprovedGAN.Params(technique=FEATURES)).footnotes == ()


class _Small(ImprovedGAN):
    def __init__(self, params: Any = None) -> None:
        super().__init__(params or self.Params(group=4, kernels=2, kernel_size=3))


class TestMinibatchDiscrimination:
    @pytest.mark.parametrize("label", [1.0, 0.9])
    def test_discriminator(self, label: float) -> None:
        """The loss is -E log D(x) - E log(1 - D(G(z))) over whole groups; label smoothing changes the real part."""
        model = _model(real_label=label)
        on_real, on_fake = (_logits(model.discriminator, x) for x in (R, F))
        assert (len(on_real), len(on_fake)) == (15, 10)
        expected = label * _says_real(on_real) + (1 - label) * _says_fake(on_real) + _says_fake(on_fake)
        assert number(model.discriminator_loss(real(R), fake(F))) == pytest.approx(expected, rel=1e-10)

    def test_generator(self) -> None:
        """The loss is -E log D(G(z)), or E log(1 - D(G(z))) if saturating."""
        model = _model()
        on_fake = _logits(model.discriminator, F)
        assert number(model.generator_loss(real(R), fake(F))) == pytest.approx(_says_real(on_fake), rel=1e-10)
        model = _model(saturating=True)
        assert number(model.generator_loss(real(R), fake(F))) == pytest.approx(-_says_fake(on_fake), rel=1e-10)

    def test_groups_are_as_large_for_real_as_for_generated_samples(self) -> None:
        """If the smaller draw is below one group, its size is the size of all groups, in both turns."""
        model = _model(group=12)
        on_real, on_fake = (_logits(model.discriminator, x, 11) for x in (R, F))
        assert (len(on_real), len(on_fake)) == (11, 11)
        expected = _says_real(on_real) + _says_fake(on_fake)
        assert number(model.discriminator_loss(real(R), fake(F))) == pytest.approx(expected, rel=1e-10)
        assert number(model.generator_loss(real(R), fake(F))) == pytest.approx(_says_real(on_fake), rel=1e-10)
        assert number(model.generator_loss(real(F[:4]), fake(F))) == pytest.approx(
            _says_real(_logits(model.discriminator, F, 4)), rel=1e-10
        )

    def test_gradients_are_finite_differences(self) -> None:
        """With label smoothing, gradients by every sample are central differences in float64."""
        model = _model(real_label=0.9)
        r, f = torch.tensor(R, requires_grad=True), torch.tensor(F, requires_grad=True)
        assert torch.autograd.gradcheck(lambda r, f: model.discriminator_loss(Real(r), fake(f)), (r, f))
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(Real(r.detach()), fake(f)), (f,))

    def test_collapse_costs_the_generator(self) -> None:
        """If closeness lowers a logit, more distance between equal samples lowers the generator's loss."""
        model = _model()
        judge: Any = model.discriminator
        with torch.no_grad():
            judge.head.weight.fill_(-1.0)
        spread = RNG.normal(size=(10, A))
        spread -= spread.mean(0)
        losses = [number(model.generator_loss(real(R), fake(0.3 + width * spread))) for width in (0.0, 0.1, 1.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[0] > losses[-1] + 1

    @pytest.mark.parametrize("alpha", [0.9, 0.6])
    def test_smoothing_moves_the_optimum(self, alpha: float) -> None:
        """With label alpha, the best D for equal densities is alpha / 2 (without closeness)."""
        model = _model(real_label=alpha)
        judge: Any = model.discriminator
        with torch.no_grad():
            judge.head.weight.zero_()
        best = float(np.log(alpha / (2 - alpha)))
        losses = []
        for logit in (best - 0.1, best, best + 0.1):
            x = np.full((GROUP, A), logit / A)
            losses.append(number(model.discriminator_loss(real(x), fake(x))))
        assert losses[1] == min(losses)
        assert losses[0] == pytest.approx(losses[2], abs=1e-3)


class TestFeatureMatching:
    def test_squared(self) -> None:
        """The loss is ||E h(x) - E h(G(z))||^2, each mean over a whole draw, summed over features."""
        loss = _model(technique=FEATURES).generator_loss(real(R), fake(F))
        assert number(loss) == pytest.approx(((R.mean(0) - F.mean(0)) ** 2).sum(), rel=EXACT)

    def test_absolute(self) -> None:
        """The release's loss is the mean over features of the absolute difference."""
        loss = _model(technique=FEATURES, distance="absolute").generator_loss(real(R), fake(F))
        assert number(loss) == pytest.approx(np.abs(R.mean(0) - F.mean(0)).mean(), rel=EXACT)

    def test_matched_means_cost_nothing(self) -> None:
        """Equal means have no loss and no gradient, however different the samples are."""
        f = torch.tensor(R - R.mean(0), requires_grad=True)
        loss = _model(technique=FEATURES).generator_loss(real(np.zeros((4, A))), fake(f))
        (gradient,) = torch.autograd.grad(loss, f)
        assert number(loss) == pytest.approx(0, abs=1e-25)
        assert gradient.abs().max() < 1e-12

    def test_discriminator_is_gans(self) -> None:
        """The discriminator's loss is GAN's."""
        gan = put(GAN(), discriminator=Plain())
        found = _model(technique=FEATURES).discriminator_loss(real(R), fake(F))
        assert number(found) == pytest.approx(number(gan.discriminator_loss(real(R), fake(F))), rel=EXACT)

    @pytest.mark.parametrize("distance", ["squared", "absolute"])
    def test_gradients_are_finite_differences(self, distance: str) -> None:
        """Gradients by every generated sample are central differences in float64."""
        model = _model(technique=FEATURES, distance=distance)
        f = torch.tensor(F, requires_grad=True)
        assert torch.autograd.gradcheck(lambda f: model.generator_loss(real(R), fake(f)), (f,))

    def test_the_features_are_what_the_heads_read(self) -> None:
        """On the mlp, h is the input of the head."""
        body = networks(hidden=8).discriminator({"source": None})
        x = torch.tensor(R, dtype=torch.float32)
        assert torch.equal(body.heads(body.features(x)).squeeze(1), body(x)["source"])


class TestModel:
    def test_kernels_belong_to_the_discriminator(self) -> None:
        """T, scale, bias and the layer on o belong to the discriminator's player and are updated."""
        t = trainer(_Small())
        own = {"t.weight", "log_scale", "bias", "head.weight"}
        assert own <= t.parameters["discriminator"].keys()
        before = values(t.model)
        t.iterate()
        after = values(t.model)
        assert not any(torch.equal(before[f"discriminator.{name}"], after[f"discriminator.{name}"]) for name in own)

    def test_sizes(self) -> None:
        """B kernels of C dimensions add A B C numbers of T, B C scales, B biases and B weights of the last layer."""
        sizes = []
        for params in (ImprovedGAN.Params(technique=FEATURES), ImprovedGAN.Params(kernels=2, kernel_size=3)):
            judge = ImprovedGAN(params).build(networks(hidden=8))["discriminator"]
            sizes.append(sum(parameter.numel() for parameter in judge.parameters()))
        assert sizes[1] - sizes[0] == 8 * 2 * 3 + 2 * 3 + 2 + 2

    def test_no_more_data_than_gan(self) -> None:
        """Both turns use the same real samples: one draw an iteration."""
        t = trainer(_Small())
        t.iterate()
        assert t.counts.real_samples == 16


class TestRefusals:
    @pytest.mark.parametrize(("batch", "fakes"), [(16, 12), (12, 16), (13, 12)])
    def test_no_whole_group(self, batch: int, fakes: int, messages: Messages) -> None:
        """A group that is larger than one of the draws is refused, with the numbers."""
        reason = ImprovedGAN(ImprovedGAN.Params(group=13)).refuses_draws(batch, fakes)
        messages.check(reason, "group = 13", f"{batch} real", f"{fakes} generated")
        assert ImprovedGAN(ImprovedGAN.Params(group=12)).refuses_draws(batch, fakes) is None

    def test_feature_matching_has_no_groups(self) -> None:
        """Feature matching allows draws of any size."""
        assert ImprovedGAN(ImprovedGAN.Params(technique=FEATURES)).refuses_draws(1, 1) is None

    @pytest.mark.parametrize(
        "params",
        [
            {"group": 1},
            {"kernels": 0},
            {"kernel_size": 0},
            {"real_label": 0.0},
            {"real_label": 1.1},
            {"technique": "both"},
            {"distance": "cosine"},
        ],
    )
    def test_out_of_range(self, params: dict[str, Any]) -> None:
        """A group of one, zero kernels, labels outside of (0, 1] and unknown names are refused."""
        told: list[str] = []
        checked(ImprovedGAN.Params, params, lambda _, message: told.append(message))
        assert len(told) == 1

    def test_what_does_not_go_together(self, messages: Messages) -> None:
        """`saturating` and `distance` are refused for the technique that does not use them."""
        with messages.raises(ValueError, "saturating", FEATURES):
            ImprovedGAN.Params(technique=FEATURES, saturating=True)
        with messages.raises(ValueError, "distance", MINIBATCH):
            ImprovedGAN.Params(distance="absolute")

    @pytest.mark.parametrize("name", ["release", "feature-matching-release"])
    def test_presets_fit_their_draws(self, name: str) -> None:
        """The draws of each preset contain at least one group."""
        preset = ImprovedGAN.presets[name]
        model = ImprovedGAN(ImprovedGAN.Params(**preset.params))
        assert model.refuses_draws(preset.protocol["batch"], preset.protocol["fakes"]) is None
