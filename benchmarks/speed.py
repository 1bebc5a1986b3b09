"""How fast an iteration is, against plainly written loops: MGAN on the ring (and K = 1 against K = 32).

    python benchmarks/speed.py [--rounds 20] [--iterations 25]

All loops run interleaved in one process with one thread, a few iterations each in turn, and every figure is a
ratio within the same round, so that a noisy machine blurs the result but does not bend it.

    port      in the style of a public port: a list of generators, fresh latents in each turn, stock Adam, numpy data
    plain     the same loop with our algorithm: both turns share latents and one forward pass
    bare      our iteration written out by hand: batched input layers, fused Adam, nothing of the harness
    eager     `Trainer.iterate`, uncompiled: against `bare` it shows what the harness costs
    ours      `Trainer.iterate`, compiled, as long runs are
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_bench.assembly import make_trainer
from gan_bench.compilation import compile_iterations
from gan_bench.config import load_benchmark
from gan_bench.execution import execute
from gan_bench.job import Job, Schedule
from gan_bench.plan import Run, plan
from gan_bench.plugins import Registry, load_plugins
from gan_bench.randomness import Randomness

BATCH, FAKES, LATENT, HIDDEN, BETA = 512, 1024, 256, 128, 0.125
STEP = {"lr": 2e-4, "betas": (0.5, 0.999)}
WARM_UP = 5  # iterations of each loop before the first round
Loop = Callable[[], None]
Clock = Callable[[], float]


def ring(n: int, rng: np.random.Generator) -> Tensor:
    """N points of ring8, the numpy way."""
    angle = 2 * np.pi * rng.integers(8, size=n) / 8
    points = 2 * np.stack([np.sin(angle), np.cos(angle)], 1) + rng.normal(0, 0.02**0.5, (n, 2))
    return torch.from_numpy(points.astype(np.float32))


class PlainMGAN:
    """MGAN as one would write it down: K input layers in a list, a body, a trunk and two heads."""

    def __init__(self, k: int, *, shared_latents: bool) -> None:
        self.k, self.each, self.shared_latents = k, FAKES // k, shared_latents
        self.inputs = nn.ModuleList(nn.Linear(LATENT, HIDDEN) for _ in range(k))
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
        self.trunk = nn.Sequential(nn.Linear(2, HIDDEN), nn.LeakyReLU(0.2))
        self.d, self.c = nn.Linear(HIDDEN, 1), nn.Linear(HIDDEN, k)
        critics = [*self.trunk.parameters(), *self.d.parameters(), *self.c.parameters()]
        self.d_step = torch.optim.Adam(critics, **STEP)
        self.g_step = torch.optim.Adam([*self.inputs.parameters(), *self.body.parameters()], **STEP)
        self.rng = np.random.default_rng(0)

    def fakes(self) -> tuple[Tensor, Tensor]:
        """Samples and the index of their generators."""
        made = [self.body(layer(torch.randn(self.each, LATENT))) for layer in self.inputs]
        labels = [torch.full((self.each,), i, dtype=torch.long) for i in range(self.k)]
        return torch.cat(made), torch.cat(labels)

    def __call__(self) -> None:
        """One iteration."""
        bce = F.binary_cross_entropy_with_logits
        real = ring(BATCH, self.rng)
        fake, label = self.fakes()
        on_real, on_fake = self.trunk(real), self.trunk(fake.detach())
        real_logit, fake_logit = self.d(on_real), self.d(on_fake)
        loss = bce(real_logit, torch.ones_like(real_logit)) + bce(fake_logit, torch.zeros_like(fake_logit))
        loss = loss + F.cross_entropy(self.c(on_fake), label)
        self.d_step.zero_grad()
        loss.backward()
        self.d_step.step()
        if not self.shared_latents:
            fake, label = self.fakes()
        features = self.trunk(fake)
        logit = self.d(features)
        loss = bce(logit, torch.ones_like(logit)) + BETA * F.cross_entropy(self.c(features), label)
        self.g_step.zero_grad()
        loss.backward()
        self.g_step.step()


def bare(run: Run, registry: Registry) -> Loop:
    """The iteration that `Trainer` carries out for MGAN, written out by hand on the same networks and draws."""
    trainer = make_trainer(run, registry, "cpu")
    model, dataset, randomness = trainer.model, trainer.dataset, Randomness(run.seed, torch.device("cpu"))
    generator, discriminator = model.get_submodule("generator"), model.get_submodule("discriminator")
    d_own, g_own = list(discriminator.parameters()), list(generator.parameters())
    d_step, g_step = (torch.optim.Adam(own, fused=True, **STEP) for own in (d_own, g_own))
    counter = iter(range(10**9))

    def iterate() -> None:
        t = next(counter)
        z = trainer.latents.draw(FAKES, randomness.at("latents", t, 0)).view(8, -1, LATENT)
        fake = generator(z).flatten(0, 1)
        real = dataset.draw(BATCH, randomness.at("data", t, 0)).x
        judged = discriminator(fake.detach())
        loss = F.softplus(-discriminator(real)["source"]).mean() + F.softplus(judged["source"]).mean()
        (loss + F.cross_entropy(judged["generator"], trainer.rules.index)).backward(inputs=d_own)
        d_step.step()
        d_step.zero_grad()
        judged = discriminator(fake)
        apart = F.cross_entropy(judged["generator"], trainer.rules.index)
        (F.softplus(-judged["source"]).mean() + BETA * apart).backward(inputs=g_own)
        g_step.step()
        g_step.zero_grad()

    return iterate


def ours(k: int, registry: Registry) -> Loop:
    """`Trainer.iterate`, compiled."""
    trainer = make_trainer(mgan(k, registry), registry, "cpu")
    started = time.perf_counter()
    compile_iterations(trainer, print)
    print(f"K = {k}: compiled in {time.perf_counter() - started:.1f} s")
    return trainer.iterate


def mgan(k: int, registry: Registry, iterations: int = 25_000) -> Run:
    """MGAN's run of seed 0 on the ring, as synthetic8.toml has it but for K."""
    source = {
        "name": "speed",
        "seeds": 1,
        "dataset": [{"plugin": "ring8"}],
        "protocol": {"iterations": iterations, "batch": BATCH, "fakes": FAKES},
        "evaluation": {"metrics": ["symmetric_kl"], "anchors": False},
        "model": [{"plugin": "mgan", "generators": k, "beta": BETA}],
    }
    return plan(load_benchmark(source, registry), registry)[0]


def interleaved(
    loops: dict[str, Loop], rounds: int, iterations: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds an iteration of each loop in each round."""
    for loop in loops.values():
        for _ in range(WARM_UP):
            loop()
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            started = clock()
            for _ in range(iterations):
                loop()
            times[name].append((clock() - started) / iterations * 1e3)
    return times


def quartiles(times: dict[str, list[float]], above: str, below: str) -> tuple[float, float, float]:
    """The lower quartile, median and upper quartile of the ratio within a round."""
    ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


def ratio(times: dict[str, list[float]], above: str, below: str) -> str:
    """The median of the ratio within a round, and its quartiles."""
    low, middle, high = quartiles(times, above, below)
    return f"{above} / {below}: {middle:.2f}  (quartiles {low:.2f} to {high:.2f})"


def whole_run(registry: Registry, iterations: int) -> str:
    """Share of evaluation, and memory, of a run as `gan-bench run` carries it out."""
    metrics = ("symmetric_kl", "wasserstein", "modes", "high_quality", "sliced_wasserstein", "purity", "generator_jsd")
    with tempfile.TemporaryDirectory() as folder:
        schedule = Schedule(every=1000, samples=10_000, metrics=metrics, points=5)
        job = Job(mgan(8, registry, iterations), str(Path(folder) / "run"), schedule, "cpu", compile="always")
        started = time.perf_counter()
        execute(job, registry, lambda _: None, lambda: False)
        total = time.perf_counter() - started
        ledger = json.loads((Path(folder) / "run" / "run.json").read_text())["ledger"]
    other = total - ledger["train_seconds"] - ledger["compile_seconds"]  # building, evaluations, checkpoints
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"a run of {iterations:,} iterations, {total:.1f} s: {other / total:.1%} outside training, "
        f"{ledger['compile_seconds']:.1f} s for compiling beside; peak memory {memory:,.0f} MB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of an iteration against plainly written loops.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=25)
    options = parser.parse_args()
    torch.set_num_threads(1)
    registry = load_plugins()
    loops: dict[str, Loop] = {
        "port": PlainMGAN(8, shared_latents=False),
        "plain": PlainMGAN(8, shared_latents=True),
        "bare": bare(mgan(8, registry), registry),
        "eager": make_trainer(mgan(8, registry), registry, "cpu").iterate,
        "ours": ours(8, registry),
        "K=1": ours(1, registry),
        "K=32": ours(32, registry),
    }
    times = interleaved(loops, options.rounds, options.iterations)
    for name, values in times.items():
        print(f"{name:6s} {statistics.median(values):6.2f} ms an iteration")
    for above, below in (("port", "ours"), ("plain", "ours"), ("eager", "ours"), ("eager", "bare"), ("K=32", "K=1")):
        print(ratio(times, above, below))
    print(whole_run(registry, 4000))


if __name__ == "__main__":
    main()
