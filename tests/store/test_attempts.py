"""Only the last of several attempts of a run changes its folder."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gan_bench.errors import StoreError
from gan_bench.files import guarded, link_atomically, remove, write_atomically
from gan_bench.planning.options import Options
from gan_bench.planning.prepare import prepare
from gan_bench.plugins.discovery import load_plugins
from gan_bench.running.execute import execute
from gan_bench.store.attempts import Superseded, begin_attempt, fence, read_attempt
from gan_bench.store.run_folder import RunFolder
from tests.support import project
from tests.support.messages import Messages


def begin(folder: Path, place: str = "here", cause: str = "") -> str:
    """Begin an attempt and return its token."""
    attempt = begin_attempt(folder, place, cause)
    assert attempt is not None
    return attempt.token


def test_attempts_are_numbered_and_remember_the_lost_ones(tmp_path: Path) -> None:
    """Each has its own token; a lost one has the iteration of run.json, 0 if that is damaged."""
    tokens = {begin(tmp_path, "a")}
    (tmp_path / "run.json").write_text('{"iteration": 500}')
    tokens.add(begin(tmp_path, "b", "node lost"))
    (tmp_path / "run.json").write_text("[]")
    tokens.add(begin(tmp_path, "c", "expired"))
    current = read_attempt(tmp_path)
    assert current is not None and len(tokens) == 3
    assert (current.number, current.place) == (3, "c")
    assert [(lost.number, lost.place, lost.cause, lost.iteration) for lost in current.lost] == [
        (1, "a", "node lost", 500),
        (2, "b", "expired", 0),
    ]


def _race(folder: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(begin_attempt(Path(folder), "racer") is not None)


def test_a_single_process_begins_an_attempt(tmp_path: Path) -> None:
    """Of processes that begin one at the same moment, those that lose the race do not get it."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(str(tmp_path), barrier, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    won = sum(results.get() for _ in racers)
    for racer in racers:
        racer.join()
    current = read_attempt(tmp_path)
    assert current is not None and won >= 1
    assert len(list(tmp_path.glob("attempt-*.json"))) == won


@pytest.mark.parametrize("change", ["write", "replace", "link", "remove"])
def test_a_superseded_attempt_changes_nothing(tmp_path: Path, change: str, messages: Messages) -> None:
    """The new one does."""
    file, other = tmp_path / "run.json", tmp_path / "other"
    old = begin(tmp_path, "a")
    changes = {
        "write": lambda: write_atomically(tmp_path / "new", "x"),
        "replace": lambda: write_atomically(file, "x"),
        "link": lambda: link_atomically(other, file),
        "remove": lambda: remove(file),
    }
    file.write_text("first")
    other.write_text("x")
    with guarded(fence({tmp_path: old})):
        remove(tmp_path / "nothing")  # allowed
        new = begin(tmp_path.parent / tmp_path.name, "b")
    before = sorted((path.name, path.read_text()) for path in tmp_path.iterdir())
    with guarded(fence({tmp_path: old})), messages.raises(Superseded, tmp_path.name, hide={str(tmp_path): "TMP"}):
        changes[change]()
    assert sorted((path.name, path.read_text()) for path in tmp_path.iterdir()) == before
    with guarded(fence({tmp_path: new})):
        changes[change]()
    assert sorted((path.name, path.read_text()) for path in tmp_path.iterdir()) != before


def test_a_folder_without_an_attempt_is_closed_to_tokens(tmp_path: Path) -> None:
    """A folder that was moved away and created again belongs to another process."""
    with guarded(fence({tmp_path: "token"})), pytest.raises(Superseded):
        write_atomically(tmp_path / "file", "x")


@pytest.mark.parametrize(
    "text",
    ["{", '{"number": 0, "token": "", "place": ""}', '{"number": NaN, "token": "", "place": ""}', "[" * 100_000],
    ids=["half", "zero", "nan", "deep"],
)
def test_a_damaged_attempt_is_an_error(tmp_path: Path, messages: Messages, text: str) -> None:
    """The message names the file."""
    (tmp_path / "attempt.json").write_text(text)
    if len(text) > 1000:
        with pytest.raises(StoreError, match=r"attempt\.json"):
            begin_attempt(tmp_path, "here")
        return
    with messages.raises(StoreError, "attempt.json", hide={str(tmp_path): "TMP"}):
        begin_attempt(tmp_path, "here")


def test_a_claim_whose_answer_was_lost_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may report that a link exists which the same request has created; that of another process is not taken."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        """Create a link, and report the error of the repeated request."""
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", twice)
    assert begin_attempt(tmp_path, "here") is not None
    monkeypatch.setattr(os, "link", link)
    assert begin_attempt(tmp_path, "here", after=0) is None


def test_a_stale_run_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    """A run whose attempt is replaced while it trains writes nothing more; the next attempt finishes it."""
    described = project.describe([{"plugin": "gan"}])
    (job, *_) = prepare(described, Options(results=tmp_path)).jobs
    folder, registry = Path(job.folder), load_plugins()
    token = begin(folder, "slow node")
    contents: dict[str, bytes] = {}
    calls = iter(range(1000))

    def supersede() -> bool:
        """Replace the attempt at the fifth iteration, and remember the folder."""
        if next(calls) == 5:
            tokens.append(begin(folder, "other node", "not reachable"))
            contents.update({path.name: path.read_bytes() for path in folder.iterdir()})
        return False

    tokens: list[str] = []
    execute(replace(job, attempt=token), registry, lambda event: None, supersede)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert execute(replace(job, attempt=tokens[0]), registry, lambda event: None, lambda: False) == "finished"
    record = RunFolder(folder).read()
    assert record is not None
    assert [(lost.place, lost.cause) for lost in record.attempts] == [("slow node", "not reachable")]
