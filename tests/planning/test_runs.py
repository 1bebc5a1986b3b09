"""Tests of the runs of a benchmark and of the keys that identify them."""

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
    """Runs of a benchmark."""
    return plan(load_benchmark(open_source(benchmark), registry), registry)


def key(registry: Registry, model: dict[str, Any] | None = None, **changes: Any) -> str:
    """Key of the only run of a benchmark."""
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
    def test_does_not_depend_on_settings_without_effect_on_training(
        self, registry: Registry, changes: dict[str, Any]
    ) -> None:
        """Names, labels, evaluation settings and explicit defaults do not change the key."""
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
    def test_changes_with_settings_of_training(self, registry: Registry, changes: dict[str, Any]) -> None:
        """Seed, data, parameters and protocol change the key."""
        assert key(registry, **changes) != key(registry)

    def test_changes_with_the_code(self, tmp_path: Path) -> None:
        """The key changes if and only if the code of the plugin changes."""
        keys = []
        for text in (project.GATE, project.GATE, project.GATE + "EDITED = True\n"):
            project.write(tmp_path, project.describe(), gate=text)
            keys.append(key(load_plugins([tmp_path / "plugins"]), {"plugin": "gate"}))
        assert keys[0] == keys[1] != keys[2]

    def test_changes_with_the_training_version(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """A core that trains differently gives other keys."""
        before = key(registry)
        monkeypatch.setattr(plan_module, "TRAINING_VERSION", plan_module.TRAINING_VERSION + 1)
        assert key(registry) != before

    def test_without_the_seed_is_the_configuration(self, registry: Registry) -> None:
        """Runs that differ in their seed have the same configuration and different keys."""
        first, second = runs(registry, project.describe(seeds=[3, 8]))
        assert first.configuration == second.configuration
        assert first.key != second.key


class TestRuns:
    def test_are_ordered_by_seed(self, registry: Registry) -> None:
        """All models of one seed precede the next seed, so that early results cover all models."""
        found = runs(registry, project.describe([project.ZOO["gan"], project.ZOO["d2gan"]], seeds=[4, 2]))
        assert [(run.seed, run.label) for run in found] == [(4, "gan"), (4, "d2gan"), (2, "gan"), (2, "d2gan")]

    def test_cover_every_dataset(self, registry: Registry) -> None:
        """There is a run for each model, dataset and seed."""
        found = runs(registry, project.describe(dataset=[{"plugin": "ring8"}, {"plugin": "grid25"}], seeds=2))
        assert [(run.seed, run.dataset.label) for run in found] == [
            (0, "ring8"), (0, "grid25"), (1, "ring8"), (1, "grid25"),
        ]  # fmt: skip

    def test_that_are_identical_are_planned_once(self, registry: Registry) -> None:
        """Two labels of one configuration are trained once."""
        twice = [{"plugin": "gan", "label": "A"}, {"plugin": "gan", "label": "B"}]
        assert [run.label for run in runs(registry, project.describe(twice))] == ["A"]

    def test_have_descriptive_folders(self, registry: Registry) -> None:
        """The name of a folder contains dataset, model, seed and the start of the key."""
        (run,) = runs(registry, project.describe(seeds=[7]))
        assert run.folder == f"ring8-gan-s7-{run.key[:12]}"

    def test_are_equal_after_a_round_trip_through_json(self, registry: Registry) -> None:
        (run,) = runs(registry, project.describe([project.ZOO["mgan"]]))
        assert convert(json.loads(json.dumps(msgspec.to_builtins(run))), Run) == run
