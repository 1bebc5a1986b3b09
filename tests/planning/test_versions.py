"""Results of different versions of a benchmark are never in one folder."""

from __future__ import annotations

from pathlib import Path

import gan_bench
from gan_bench.errors import StoreError
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from tests.support import project
from tests.support.messages import Messages


def planned(folder: Path, version: str | None, mode: str = "full") -> object:
    """Plan a benchmark of one model with a version."""
    described = project.describe([{"plugin": "gan"}]) | ({} if version is None else {"version": version})
    return prepare(described, Options(results=folder, quick=mode == "quick"))


def test_a_folder_of_another_version_is_refused(tmp_path: Path, messages: Messages) -> None:
    """Nothing in it is changed, and the same version is accepted."""
    described = project.describe([{"plugin": "gan"}]) | {"version": 1}
    gan_bench.run(described, results=tmp_path, progress=False)
    stored = (tmp_path / described["name"] / "benchmark.json").read_text()
    assert planned(tmp_path, "1")
    for version in ("2", None):
        with messages.raises(StoreError, str(tmp_path), hide={str(tmp_path): "TMP"}):
            planned(tmp_path, version)
    assert (tmp_path / described["name"] / "benchmark.json").read_text() == stored
    assert gan_bench.load_results(tmp_path / described["name"])["status"].eq("finished").all()


def test_a_damaged_benchmark_json_is_written_again(tmp_path: Path) -> None:
    """A file that cannot be read has no version."""
    described = project.describe([{"plugin": "gan"}])
    folder = tmp_path / described["name"]
    folder.mkdir()
    (folder / "benchmark.json").write_text("{")
    assert planned(tmp_path, "2")
