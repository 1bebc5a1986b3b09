"""classes.csv of a results folder: its content, reading it back, and files that are not a classes.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gan_bench
from gan_bench.contracts.scores import Share
from gan_bench.errors import StoreError
from gan_bench.results.class_shares import COLUMNS, load_classes, write_classes_csv
from gan_bench.results.load import IgnoredRunWarning, write_results_csv
from gan_bench.store.rows import class_rows
from gan_bench.store.run_folder import RunFolder
from tests.support import fabricate
from tests.support.fabricate import Model, Run
from tests.support.messages import Messages

MGAN = Model("MGAN, 2", "mgan", generators=2)
SHARES = {None: {"3": 0.5, "5": 0.25, "(none)": 0.25}, 1: {"3": 1 / 3, "5": 2 / 3, "(none)": 0.0}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seeds of a model; the second was interrupted and has no samples of generator 1."""
    fabricate.benchmark(tmp_path, [MGAN], seeds=[0, 1])
    fabricate.classes(fabricate.run(tmp_path, Run(MGAN, 0)), 2000, SHARES)
    second = fabricate.run(tmp_path, Run(MGAN, 1, status="interrupted", iteration=500))
    fabricate.classes(second, 0, {1: {"3": float("nan")}}, n=0)
    return tmp_path


class TestLoading:
    def test_gives_one_share_a_row(self, folder: Path) -> None:
        """Each row names its run. Rows of the mixture have no generator."""
        frame = gan_bench.load_classes(folder)
        assert tuple(frame.columns) == COLUMNS
        assert frame.iloc[4].tolist() == [
            "synthetic8", "ring8", "mgan", "MGAN, 2", 0, 2000, 1, "5", 2 / 3, 100, "finished",
        ]  # fmt: skip
        assert frame["generator"].isna().tolist() == [True] * 3 + [False] * 4
        assert np.isnan(frame["share"].iloc[-1]) and frame["n"].iloc[-1] == 0

    def test_of_the_file_gives_the_same(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The values are equal to the last digit, also if the file was published without its runs."""
        path = write_classes_csv(folder)
        assert path == folder / "classes.csv"
        pd.testing.assert_frame_equal(load_classes(path), load_classes(folder))
        published = tmp_path_factory.mktemp("published")
        (published / "classes.csv").write_bytes(path.read_bytes())
        (published / "results.csv").write_bytes(write_results_csv(folder).read_bytes())
        pd.testing.assert_frame_equal(load_classes(published), load_classes(folder))
        pd.testing.assert_frame_equal(load_classes(published / "results.csv"), load_classes(folder))

    def test_restores_names_of_classes(self, tmp_path: Path) -> None:
        """A name that would be a formula is written with an apostrophe, into both files, and read back without it."""
        folder = fabricate.run(fabricate.benchmark(tmp_path, [MGAN]), Run(MGAN))
        shares = {"=1+1": 0.5, "3": 0.5}
        rows = class_rows(2000, [Share(None, name, share, 100) for name, share in shares.items()])
        RunFolder(folder).write_classes(rows)
        path = write_classes_csv(tmp_path)
        assert path is not None
        for source in (folder / "classes.csv", path):
            assert "'=1+1" in source.read_text(encoding="utf-8")
        for source in (tmp_path, path):
            assert load_classes(source)["class"].tolist() == list(shares)

    def test_is_empty_if_no_metric_distinguishes_classes(self, tmp_path: Path) -> None:
        """No file is written then, and an old one is removed."""
        fabricate.run(fabricate.benchmark(tmp_path, [MGAN]), Run(MGAN))
        (tmp_path / "classes.csv").write_text("of runs that were moved away")
        assert write_classes_csv(tmp_path) is None
        assert not (tmp_path / "classes.csv").exists()
        frame = load_classes(tmp_path)
        assert frame.empty and tuple(frame.columns) == COLUMNS

    def test_leaves_out_a_damaged_file_with_a_warning(self, folder: Path, messages: Messages) -> None:
        """A line that was cut off could be read as another number."""
        file = next(folder.glob("runs/*-0/classes.csv"))
        file.write_text(file.read_text().rstrip("\n"))
        with pytest.warns(IgnoredRunWarning) as caught:
            assert load_classes(folder)["seed"].unique().tolist() == [1]
        (warning,) = caught
        messages.check(warning.message, f"runs/{file.parent.name}", "classes.csv")

    @pytest.mark.parametrize("text", ["a,b\n1,2\n", "", ",".join(COLUMNS) + "\ns,r,g,G,0,0,,3,much,9,finished\n"])
    def test_of_another_file_is_an_error(self, tmp_path: Path, text: str, messages: Messages) -> None:
        path = tmp_path / "classes.csv"
        path.write_text(text)
        with pytest.raises(StoreError) as caught:
            load_classes(path)
        messages.check(str(caught.value).partition(" (")[0], path)  # then words of pandas

    def test_of_no_results_is_an_error(self, tmp_path: Path, messages: Messages) -> None:
        with messages.raises(StoreError, tmp_path / "nowhere"):
            load_classes(tmp_path / "nowhere")
