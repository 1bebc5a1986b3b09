"""What makes two runs the same, and which runs a benchmark has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gan_bench.config.load import load_benchmark
from gan_bench.config.source import open_source
from gan_bench.contracts.run import Run
from gan_bench.planning import runs as plan_module
from gan_bench.planning.runs import plan
from gan_bench.plugins.discovery import load_plugins
from gan_bench.plugins.registry import Registry
from gan_bench.store.records import convert
from tests.support import project


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The installed plugins."""
    return load_plugins()


def runs(registry: Registry, benchmark: dict[str, Any]) -> list[Run]:
    """The runs of a benchmark."""
    return plan(load_benchmark(open_source(benchmark), registry), registry)


def key(registry: Registry, model: dict[str, Any] | None = None, **changes: Any) -> str:
    """The key of the only run of a benchmark."""
    (run,) = runs(registry, project.describe([model or {"plugin": "mgan", "generators": 4}], **changes))
    return run.key


class TestKey:
    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "other"},
            {"dataset": [{"plugin": "ring8", "label": "the ring"}]},
            {"evaluation": {"every": 5}},
            {"evaluation": {"samples": 300, "points": 1}},
            {"evaluation": {"metrics": ["modes"]}},
            {"model": {"plugin": "mgan", "generators": 4, "label": "ours"}},
            {"model": {"plugin": "mgan", "generators": 4, "beta": 0.125}},
            {"protocol": {"learning_rate": 2e-4}},
        ],
    )
    def test_is_untouched_by_what_does_not_train(self, registry: Registry, changes: dict[str, Any]) -> None:
        """Names, labels, evaluation and defaults that are written out make no other run."""
        assert key(registry, **changes) == key(registry)

    @pytest.mark.parametrize(
        "changes",
        [
            {"seeds": [1]},
            {"dataset": [{"plugin": "ring8", "radius": 1.5}]},
            {"dataset": [{"plugin": "grid25"}]},
            {"model": {"plugin": "mgan", "generators": 4, "beta": 0.25}},
            {"model": {"plugin": "mad-gan", "generators": 4}},
            {"model": {"plugin": "mgan", "generators": 4, "protocol": {"learning_rate": {"discriminator": 1e-4}}}},
            {"protocol": {"iterations": 31}},
            {"protocol": {"batch": 33}},
            {"protocol": {"latents": "fresh"}},
            {"protocol": {"network": {"plugin": "mlp", "hidden": 9}}},
            {"protocol": {"ema": 0.5}},
        ],
    )
    def test_changes_with_what_trains(self, registry: Registry, changes: dict[str, Any]) -> None:
        """Seed, data, parameters and protocol make another run."""
        assert key(registry, **changes) != key(registry)

    def test_changes_with_the_code(self, tmp_path: Path) -> None:
        """An edited model is another model; a metric beside it is none of its business."""
        keys = []
        for text in (project.GATE, project.GATE, project.GATE + "EDITED = True\n"):
            project.write(tmp_path, project.describe(), gate=text)
            keys.append(key(load_plugins([tmp_path / "plugins"]), {"plugin": "gate"}))
        assert keys[0] == keys[1] != keys[2]

    def test_changes_with_the_training_version(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A core that trains differently makes other runs."""
        before = key(registry)
        monkeypatch.setattr(plan_module, "TRAINING_VERSION", plan_module.TRAINING_VERSION + 1)
        assert key(registry) != before

    def test_without_the_seed_is_the_configuration(self, registry: Registry) -> None:
        """Seeds of one row share their configuration and nothing else."""
        first, second = runs(registry, project.describe(seeds=[3, 8]))
        assert first.configuration == second.configuration
        assert first.key != second.key


class TestRuns:
    def test_go_seed_by_seed(self, registry: Registry) -> None:
        """Early results cover all models."""
        found = runs(registry, project.describe([project.ZOO["gan"], project.ZOO["d2gan"]], seeds=[4, 2]))
        assert [(run.seed, run.label) for run in found] == [(4, "gan"), (4, "d2gan"), (2, "gan"), (2, "d2gan")]

    def test_cover_every_dataset(self, registry: Registry) -> None:
        """Model × dataset × seed."""
        found = runs(registry, project.describe(dataset=[{"plugin": "ring8"}, {"plugin": "grid25"}], seeds=2))
        assert [(run.seed, run.dataset.label) for run in found] == [
            (0, "ring8"), (0, "grid25"), (1, "ring8"), (1, "grid25"),
        ]  # fmt: skip

    def test_that_are_the_same_are_one(self, registry: Registry) -> None:
        """Two labels of one configuration train once."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        assert [run.label for run in runs(registry, project.describe(twice))] == ["A"]

    def test_have_folders_that_say_what_they_are(self, registry: Registry) -> None:
        """Dataset, model and seed can be read off the name; the key makes it unique."""
        (run,) = runs(registry, project.describe(seeds=[7]))
        assert run.folder == f"ring8-gan-s7-{run.key[:12]}"

    def test_survive_a_trip_through_json(self, registry: Registry) -> None:
        """What any process reads is what was planned."""
        (run,) = runs(registry, project.describe([project.ZOO["mgan"]]))
        assert convert(json.loads(json.dumps(msgspec.to_builtins(run))), Run) == run
