"""Promises of run folders: written completely, read without trust, and locked for one command."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef
from gan_bench.contracts.scores import Score, Share
from gan_bench.errors import StoreError
from gan_bench.files import locked
from gan_bench.store import layout
from gan_bench.store.checkpoints import load_tensors, save_checkpoints
from gan_bench.store.records import DIGEST, ModelRecord, RunRecord, encode
from gan_bench.store.rows import class_rows, curve_rows, with_classes
from gan_bench.store.run_folder import RunFolder
from tests.support.messages import Messages

KEY = "a" * 64
RECORD = RunRecord(
    key=KEY,
    configuration="c" * 64,
    benchmark="tiny",
    dataset=DatasetRef("ring8", {}),
    model=ModelRecord("gan", {}),
    seed=0,
    protocol=Protocol(),
    status="finished",
    iteration=3,
)
PLAIN: dict[str, Any] = {name: value for name, value in json.loads(encode(RECORD)).items() if name != DIGEST}


def checkpoint(iteration: int, key: str = KEY) -> dict[str, Any]:
    """Return the smallest content of a checkpoint."""
    trainer = {"iteration": iteration, "model": {"weight": torch.full((2, 2), float(iteration))}}
    seconds = {"train_seconds": 1.0, "compile_seconds": 0.0, "evaluation_seconds": 0.5, "peak_memory_mb": 100.0}
    return {"key": key, "trainer": trainer, **seconds}


def names(folder: RunFolder) -> list[str]:
    """Return the file names of a run folder's checkpoints, the newest first."""
    return [path.name for path in folder.checkpoints()]


class TestRecord:
    def test_comes_back_as_written(self, tmp_path: Path) -> None:
        """run.json contains exactly the written values, and there is no other file."""
        folder = RunFolder(tmp_path / "new" / "run")
        folder.write(RECORD)
        assert folder.read() == RECORD
        assert os.listdir(folder.path) == ["run.json"]

    def test_is_none_where_there_is_none(self, tmp_path: Path) -> None:
        """A folder that is missing or below a file is a run that has not started."""
        (tmp_path / "file").write_text("")
        assert RunFolder(tmp_path / "missing").read() is None
        assert RunFolder(tmp_path / "file" / "run").read() is None

    @pytest.mark.parametrize(
        "text",
        [
            "", "{", '{"format": 1', "[]", "null", "\x00", '{"format": 3}', '{"format": 1}', "[" * 100_000,
            json.dumps(PLAIN | {"status": None}), json.dumps(PLAIN | {"key": 7}), json.dumps(PLAIN)[:-10],
        ],
        ids=[
            "empty", "brace", "truncated format", "list", "null", "zero", "format 3", "format 1", "nested",
            "status null", "key 7", "truncated",
        ],
    )  # fmt: skip
    def test_that_cannot_be_understood_is_an_error_that_names_the_file(
        self, tmp_path: Path, text: str, messages: Messages
    ) -> None:
        """A truncated or foreign run.json is not taken for a run, and not overwritten by reading."""
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
        with pytest.raises(StoreError) as caught:
            RunFolder(tmp_path).read()
        messages.check(caught.value, tmp_path / "run.json", hide={str(caught.value.__cause__): "CAUSE"})
        assert (tmp_path / "run.json").read_text(encoding="utf-8") == text

    def test_that_is_not_text_is_an_error(self, tmp_path: Path, messages: Messages) -> None:
        """Bytes that are not UTF-8 are reported."""
        (tmp_path / "run.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(StoreError) as caught:
            RunFolder(tmp_path).read()
        messages.check(caught.value, tmp_path / "run.json", hide={str(caught.value.__cause__): "CAUSE"})

    def test_of_another_run_is_refused(self, tmp_path: Path, messages: Messages) -> None:
        """A folder of another run is not taken for this one."""
        RunFolder(tmp_path).write(RECORD)
        assert RunFolder(tmp_path).read_own(KEY) == RECORD
        with messages.raises(StoreError, tmp_path):
            RunFolder(tmp_path).read_own("b" * 64)


class TestCurve:
    def test_keeps_every_digit(self, tmp_path: Path) -> None:
        """A value is read back as the same float, also if it is not finite."""
        values = [0.1 + 0.2, 1e-300, float("inf"), float("nan")]
        scores = [Score("modes", k, value, 200, 3) for k, value in enumerate(values)]
        RunFolder(tmp_path).write_curve(curve_rows(40, scores))
        rows = RunFolder(tmp_path).read_curve()
        np.testing.assert_array_equal([float(row["value"]) for row in rows], values)
        assert rows[1] == dict(iteration="40", generator="1", metric="modes", value="1e-300", n="200", version="3")

    def test_gives_the_mixture_no_generator(self, tmp_path: Path) -> None:
        """The mixture's row has an empty generator."""
        assert curve_rows(0, [Score("modes", None, 1.0, 5, 1)])[0]["generator"] == ""

    @pytest.mark.parametrize(
        "text",
        [
            "other,columns\n1,2\n",
            ",".join(layout.CURVE_COLUMNS) + "\n10,,modes\n",
            ",".join(layout.CURVE_COLUMNS) + "\nten,,modes,1.0,5,1\n",
            ",".join(layout.CURVE_COLUMNS) + "\n10,,modes,1.0,5,1,more\n",
            ",".join(layout.CURVE_COLUMNS) + '\n10,,"modes,1.0,5,1\n',
        ],
        ids=["other columns", "short row", "no number", "long row", "open quotation"],
    )
    def test_that_is_damaged_is_an_error(self, tmp_path: Path, text: str, messages: Messages) -> None:
        """Scores are never dropped silently: a curve with an invalid row is an error."""
        (tmp_path / "curve.csv").write_text(text, encoding="utf-8")
        with pytest.raises(StoreError) as caught:
            RunFolder(tmp_path).read_curve()
        messages.check(caught.value, tmp_path / "curve.csv", hide={str(caught.value.__cause__): "CAUSE"})

    def test_that_is_missing_is_empty(self, tmp_path: Path) -> None:
        """A run before its first evaluation has no rows."""
        assert RunFolder(tmp_path).read_curve() == []

    def test_is_plain_csv(self, tmp_path: Path) -> None:
        """The file has a header and one line a row, as other programs expect."""
        RunFolder(tmp_path).write_curve(curve_rows(0, [Score("modes", None, 2.0, 5, 1)]))
        text = (tmp_path / "curve.csv").read_text(encoding="utf-8")
        assert list(csv.reader(io.StringIO(text))) == [
            list(layout.CURVE_COLUMNS),
            ["0", "", "modes", "2.0", "5", "1"],
        ]


class TestClasses:
    def test_names_are_no_formulas(self, tmp_path: Path) -> None:
        """Such a name has an apostrophe in the file only. Control characters are escaped."""
        names, folder = ["=1+1", "@x", "'-x", "-5"], RunFolder(tmp_path)
        folder.write_classes(class_rows(40, [Share(None, name, 0.25, 9) for name in [*names, "\x1b[2J"]]))
        text = (tmp_path / "classes.csv").read_text(encoding="utf-8")
        assert [row["class"] for row in csv.DictReader(io.StringIO(text))] == ["'=1+1", "'@x", "''-x", "-5", r"\x1b[2J"]
        rows = folder.read_classes()
        assert [row["class"] for row in rows] == [*names, r"\x1b[2J"]
        folder.write_classes(rows)
        assert (tmp_path / "classes.csv").read_text(encoding="utf-8") == text

    def test_come_back_as_written(self, tmp_path: Path) -> None:
        """Class names and all digits of shares are kept. The share of a generator without samples is NaN."""
        shares = [Share(None, 'a, "b"', 1 / 3, 9), Share(1, "日本", float("nan"), 0)]
        RunFolder(tmp_path).write_classes(with_classes([], 40, shares))
        assert RunFolder(tmp_path).read_classes() == [
            {"iteration": "40", "generator": "", "class": 'a, "b"', "share": repr(1 / 3), "n": "9"},
            {"iteration": "40", "generator": "1", "class": "日本", "share": "nan", "n": "0"},
        ]

    def test_replace_those_of_their_iteration_alone(self) -> None:
        """Scores of more samples have other shares, and an evaluation without shares keeps the stored ones."""
        before = with_classes(with_classes([], 0, [Share(None, "a", 1.0, 9)]), 40, [Share(None, "a", 0.5, 9)])
        after = with_classes(before, 40, [Share(None, "a", 0.25, 99)])
        assert [(row["iteration"], row["share"]) for row in after] == [("0", "1.0"), ("40", "0.25")]
        assert with_classes(before, 40, []) == before

    def test_that_nobody_told_are_no_file(self, tmp_path: Path) -> None:
        RunFolder(tmp_path).write_classes([])
        assert os.listdir(tmp_path) == [] == RunFolder(tmp_path).read_classes()

    def test_that_are_damaged_are_an_error_that_says_what_to_do(self, tmp_path: Path, messages: Messages) -> None:
        (tmp_path / "classes.csv").write_text(",".join(layout.CLASS_COLUMNS) + "\n10,,a\n", encoding="utf-8")
        with messages.raises(StoreError, f"{tmp_path / 'classes.csv'}:2"):
            RunFolder(tmp_path).read_classes()


class TestSamples:
    def snapshots(self) -> dict[int, tuple[Any, Any]]:
        x = np.arange(12, dtype=np.float32).reshape(6, 2)
        return {0: (x, np.zeros(6, dtype=np.int16)), 30: (x + 1, np.full(6, -1, dtype=np.int16))}

    def test_come_back_by_iteration(self, tmp_path: Path) -> None:
        """Values, generators and iterations are those written."""
        RunFolder(tmp_path).write_samples(self.snapshots())
        stored = RunFolder(tmp_path).read_samples()
        assert list(stored) == [0, 30]
        np.testing.assert_array_equal(stored[30][0], self.snapshots()[30][0])
        assert stored[30][1].tolist() == [-1] * 6
        assert (stored[0][0].dtype, stored[0][1].dtype) == (np.float32, np.int16)

    def test_are_cut_to_the_smallest_snapshot(self, tmp_path: Path) -> None:
        """A run that was resumed with fewer samples has an array of one shape."""
        snapshots = self.snapshots() | {60: (np.ones((4, 2)), np.zeros(4))}
        RunFolder(tmp_path).write_samples(snapshots)
        assert {t: x.shape for t, (x, _) in RunFolder(tmp_path).read_samples().items()} == dict.fromkeys(
            (0, 30, 60), (4, 2)
        )

    def test_of_which_there_are_none_are_not_written(self, tmp_path: Path) -> None:
        """If the file was removed, the run continues without it."""
        RunFolder(tmp_path).write_samples({})
        assert os.listdir(tmp_path) == []
        assert RunFolder(tmp_path).read_samples() == {}

    def test_that_are_damaged_are_an_error(self, tmp_path: Path) -> None:
        """A truncated file or one with a flipped bit is read correctly or reported, and always closed."""
        RunFolder(tmp_path).write_samples(self.snapshots())
        whole = (tmp_path / "samples.npz").read_bytes()
        draw = random.Random(0)
        for _ in range(200):
            damaged = bytearray(whole)
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            self.read_damaged(tmp_path, damaged if draw.random() < 0.5 else whole[: draw.randrange(len(whole))])

    def read_damaged(self, folder: Path, data: bytes) -> None:
        (folder / "samples.npz").write_bytes(data)
        try:
            stored = RunFolder(folder).read_samples()
        except StoreError as error:
            assert "samples.npz" in str(error)
        else:
            np.testing.assert_array_equal(stored[30][0], self.snapshots()[30][0])

    def test_that_are_pickled_are_never_unpickled(self, tmp_path: Path) -> None:
        """An archive that contains an object is rejected."""
        np.savez(tmp_path / "samples.npz", iterations=np.array([Bomb(tmp_path)], dtype=object), x=0, generator=0)
        with pytest.raises(StoreError, match=r"samples\.npz"):
            RunFolder(tmp_path).read_samples()
        assert not (tmp_path / "exploded").exists()


class Bomb:
    """Object that writes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (Path.touch, (self.folder / "exploded",))


class TestCheckpoints:
    def test_the_newest_of_this_run_comes_back(self, tmp_path: Path) -> None:
        """The newest is the one with the highest number: 100 is newer than 20."""
        folder = RunFolder(tmp_path)
        for iteration in (20, 100):
            save_checkpoints({folder.path: checkpoint(iteration)})
        state, passed_over = folder.load_checkpoint(KEY)
        assert state is not None
        assert torch.equal(state["trainer"]["model"]["weight"], torch.full((2, 2), 100.0))
        assert passed_over == []

    def test_two_are_kept(self, tmp_path: Path) -> None:
        """Older ones are removed, so that a folder does not grow."""
        folder = RunFolder(tmp_path)
        for iteration in (0, 10, 20, 30):
            save_checkpoints({folder.path: checkpoint(iteration)})
        assert names(folder) == ["checkpoint-30.pt", "checkpoint-20.pt"]

    def test_a_damaged_later_one_pushes_nothing_out(self, tmp_path: Path) -> None:
        """Unusable files of later iterations do not displace the run's usable checkpoints."""
        folder = RunFolder(tmp_path)
        for name in ("checkpoint-90.pt", "checkpoint-80.pt"):
            (tmp_path / name).write_bytes(b"damaged")
        for iteration in (10, 20, 30):
            save_checkpoints({folder.path: checkpoint(iteration)})
        state, passed_over = folder.load_checkpoint(KEY)
        assert state is not None
        assert state["trainer"]["iteration"] == 30
        assert [path.name for path in passed_over] == ["checkpoint-90.pt", "checkpoint-80.pt"]
        assert names(folder)[2:] == ["checkpoint-30.pt", "checkpoint-20.pt"]

    @pytest.mark.parametrize("damage", ["empty", "text", "cut", "foreign", "incomplete", "folder", "pickle"])
    def test_that_cannot_be_used_is_passed_over(self, tmp_path: Path, damage: str) -> None:
        """The one before it is used, and the file is kept."""
        folder = RunFolder(tmp_path)
        save_checkpoints({folder.path: checkpoint(10)})
        newest = tmp_path / "checkpoint-20.pt"
        spoil(newest, damage)
        state, passed_over = folder.load_checkpoint(KEY)
        assert state is not None
        assert state["trainer"]["iteration"] == 10
        assert passed_over == [newest]
        assert newest.exists()

    def test_without_any_there_is_none(self, tmp_path: Path) -> None:
        """Files with other names are not checkpoints."""
        for name in ("checkpoint-.pt", "checkpoint-x.pt", "checkpoint-²0.pt", "checkpoint-5.pt.tmp"):
            (tmp_path / name).touch()
        assert RunFolder(tmp_path).load_checkpoint(KEY) == (None, [])

    def test_any_damage_is_noticed(self, tmp_path: Path) -> None:
        """With a flipped bit, a checkpoint is read correctly or not at all."""
        save_checkpoints({tmp_path: checkpoint(10)})
        whole = (tmp_path / "checkpoint-10.pt").read_bytes()
        draw = random.Random(0)
        refused = 0
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            (tmp_path / "x.pt").write_bytes(damaged)
            state = load_tensors(tmp_path / "x.pt")
            refused += state is None
            assert state is None or torch.equal(state["trainer"]["model"]["weight"], torch.full((2, 2), 10.0))
        assert refused > 50

    @pytest.mark.parametrize("form", ["pickle", "torch", "zip"])
    def test_a_pickle_bomb_is_never_executed(self, tmp_path: Path, form: str) -> None:
        """A foreign file is not unpickled, whatever its form."""
        path = tmp_path / "checkpoint-10.pt"
        data = pickle.dumps({"key": KEY, "trainer": Bomb(tmp_path)})
        if form == "pickle":
            path.write_bytes(data)
        elif form == "torch":
            torch.save(checkpoint(10) | {"trainer": Bomb(tmp_path)}, path)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", data)
                archive.writestr("archive/version", "3\n")
        assert RunFolder(tmp_path).load_checkpoint(KEY) == (None, [path])
        assert not (tmp_path / "exploded").exists()

    def test_what_a_killed_write_left_is_swept(self, tmp_path: Path) -> None:
        """Temporary files are removed, and others are kept."""
        for name in (".checkpoint-10.pt.123.abcd.tmp", "checkpoint-10.pt", ".hidden"):
            (tmp_path / name).touch()
        RunFolder(tmp_path).sweep()
        assert sorted(os.listdir(tmp_path)) == [".hidden", "checkpoint-10.pt"]


def spoil(path: Path, damage: str) -> None:
    """Replace a checkpoint by something else."""
    if damage == "folder":
        path.mkdir()
    elif damage == "foreign":
        torch.save(checkpoint(20, key="b" * 64), path)
    elif damage == "incomplete":
        torch.save({"key": KEY}, path)
    elif damage == "cut":
        torch.save(checkpoint(20), path)
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_bytes({"empty": b"", "text": b"hello", "pickle": pickle.dumps({"key": KEY})}[damage])


class TestLock:
    def test_keeps_a_second_command_out(self, tmp_path: Path, messages: Messages) -> None:
        """A folder is used by one command at a time."""
        with locked(tmp_path), messages.raises(StoreError, tmp_path), locked(tmp_path):
            pass
        with locked(tmp_path):
            pass

    def test_dies_with_its_process(self, tmp_path: Path) -> None:
        """After kill -9 nothing has to be removed by hand."""
        script = f"from pathlib import Path; from gan_bench.files import locked; import time\n" \
            f"with locked(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(600)"  # fmt: skip
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(StoreError), locked(tmp_path):
                pass
            holder.kill()
            holder.wait()
            with locked(tmp_path):
                pass

    def test_says_where_nothing_can_be_written(self, tmp_path: Path, messages: Messages) -> None:
        """A results folder that is a file, or below one, is reported."""
        (tmp_path / "file").write_text("precious")
        for folder in (tmp_path / "file", tmp_path / "file" / "results"):
            with pytest.raises(StoreError) as caught, locked(folder):
                pass
            cause = caught.value.__cause__
            assert isinstance(cause, OSError)
            messages.check(caught.value, folder, "--results", hide={str(cause.strerror): "CAUSE"})
        assert (tmp_path / "file").read_text() == "precious"
