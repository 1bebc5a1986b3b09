"""An engine as a user would write it from the contracts page: jobs are handed to a batch system, in files.

Each job is a folder in a spool with a file of its contents. A process that receives only the path of this folder, as on
another machine, executes it, and appends events to a file. The engine polls these files. A process that was lost is
replaced twice, each time by a new attempt.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gan_bench
from gan_bench import (
    Engine,
    Job,
    Place,
    PlaceRequest,
    Setup,
    UsageError,
    begin_attempt,
    execute,
    hookimpl,
    load_plugins,
    param,
    settle,
)


class Batch(Engine):
    """Processes that are started like jobs of a batch system, and send events by files."""

    name = "batch"

    @dataclass(frozen=True)
    class Params:
        """Parameters."""

        slots: int = param(2, "Number of jobs that the system executes at the same time.", low=1)
        poll: float = param(0.05, "Seconds between two looks at a job.", above=0)

    @classmethod
    def place(cls, request: PlaceRequest, params: Any) -> Place:
        """The system has CPUs only."""
        if request.device == "cuda":
            raise UsageError("--device cuda: the batch system has no GPU. Use --device cpu or --device auto.")
        workers = min(params.slots, request.workers or params.slots)
        return Place("cpu", workers, 0, f"a batch system ({params.slots} slots)")

    def run(self, jobs: Sequence[Job]) -> bool:
        """Execute all jobs."""
        waiting = list(jobs)
        active: list[Submitted] = []
        with tempfile.TemporaryDirectory() as spool:
            try:
                while waiting or active:
                    while waiting and len(active) < self.setup.workers:
                        job = waiting.pop(0)
                        self.observer.started(job.run)
                        active.append(Submitted(job, Path(spool), self.setup))
                    time.sleep(self.params.poll)
                    self.look(active)
                return True
            except KeyboardInterrupt:
                self.observer.stopping()
                for each in active:
                    each.stop()
                while active:
                    time.sleep(self.params.poll)
                    self.look(active, stopping=True)
                return False
            finally:
                for each in active:
                    each.program.kill()

    def look(self, active: list[Submitted], *, stopping: bool = False) -> None:
        """Forward new events, and end or repeat jobs whose process has ended."""
        for each in list(active):
            code = each.program.poll()  # before the events are read: afterwards there are no more
            for event in each.events():
                self.observer.receive(each.job.run, event)
            if code is None:
                continue
            if code and each.losses < 2 and not stopping:
                each.repeat(f"the process ended with exit code {code}")
                continue
            ending = settle(each.job, f"the process ended with exit code {code}")
            self.observer.ended(each.job.run, ending.status, str(ending.error or ""))
            active.remove(each)


class Submitted:
    """A job in the spool."""

    def __init__(self, job: Job, spool: Path, setup: Setup) -> None:
        self.job, self.setup, self.losses = job, setup, 0
        self.folder = spool / job.run.key[:16]
        self.submit("")

    def submit(self, cause: str) -> None:
        """Begin an attempt, and start a process for it."""
        attempt = begin_attempt(Path(self.job.folder), f"batch job {self.folder.name}", cause)
        assert attempt is not None, "another process has just begun the run"
        self.job = dataclasses.replace(self.job, attempt=attempt.token)
        self.read = 0
        self.folder.mkdir(exist_ok=True)
        (self.folder / "events").write_bytes(b"")
        relative = Path(self.job.folder).relative_to(self.setup.results)
        sources = {}
        for place in self.setup.plugin_places:
            for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
                sources[path.name] = path.read_bytes()
        content = (dataclasses.replace(self.job, folder=str(relative)), str(self.setup.results), sources)
        (self.folder / "job").write_bytes(pickle.dumps(content))
        with (self.folder / "output").open("ab") as output:
            self.program = subprocess.Popen(
                [sys.executable, "-P", __file__, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )

    def repeat(self, cause: str) -> None:
        """Execute the job again, from its last checkpoint."""
        self.losses += 1
        self.submit(cause)

    def stop(self) -> None:
        """Let the job write its checkpoint and end."""
        (self.folder / "stop").touch()

    def events(self) -> Iterator[Any]:
        """New events, each a line."""
        data = (self.folder / "events").read_bytes()[self.read :]
        *lines, rest = data.split(b"\n")
        self.read += len(data) - len(rest)
        for line in lines:
            name, values = json.loads(line)
            yield getattr(gan_bench, name)(**values)


def work(folder: Path) -> None:
    """Execute the job of a folder."""
    job, results, sources = pickle.loads((folder / "job").read_bytes())
    places = []
    for name, source in sources.items():
        places.append(folder / name)
        places[-1].write_bytes(source)

    def report(event: Any) -> None:
        line = json.dumps([type(event).__name__, dataclasses.asdict(event)])
        with (folder / "events").open("a") as file:
            file.write(line + "\n")

    here = dataclasses.replace(job, folder=str(Path(results, job.folder)))
    execute(here, load_plugins(places), report, (folder / "stop").exists)


@hookimpl
def gan_bench_engines() -> list[type[Engine]]:
    """List the engine."""
    return [Batch]


if __name__ == "__main__":
    work(Path(sys.argv[1]))
