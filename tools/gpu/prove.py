"""Check on a GPU, without network, that everything runs, that results are right, and how fast iterations are.

    python tools/gpu/prove.py --bundle DIR [--data DIR]     elsewhere: prepare DIR/a and DIR/b for the GPU machine
    python3 a/prove.pyz a --out DIR                         there, at most six minutes: checks, and the ring
    python3 b/prove.pyz b --out DIR                         there, at most six minutes: CIFAR-10
    python tools/gpu/prove.py convert DIR                   publish the figures and fill in the page on speed
    python tools/gpu/prove.py --rehearse --out DIR          all steps on a CPU, at tiny sizes

If gan-bench is installed, `python tools/gpu/prove.py a --out DIR` needs no bundle. Each step runs in a separate process
with a time limit. DIR/a.json or b.json is rewritten after each step; DIR/a.log or b.log contains the output of all.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "speed"), str(HERE.parent / "common")]

import _supplies  # noqa: E402 - found only now
from _steps import FAILED, PASSED, SKIPPED, Context, Record, Step, run_steps  # noqa: E402

SECONDS = 330.0
"""Time limit of a command, well within six minutes."""

TOGETHER = 6  # number of steps in parallel, unless they measure time


def main(given: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 1 if a step failed."""
    started = time.monotonic()
    options = arguments(given)
    with tempfile.TemporaryDirectory(prefix="gan-bench-proof-") as name:
        folder = Path(name)
        _supplies.install(folder, options.supplies)
        if options.bundle:
            return 0 if _supplies.bundle(options.bundle, options.data, [*_supplies.LACKING, *options.wheel]) else 1
        if options.command == "convert":
            from _convert import convert

            print("\n".join(convert(options.folder, options.to)))
            return 0
        prepare(folder, rehearsal=options.rehearse)
        if options.command:
            return prove(options.command, options, folder, started + options.seconds)
        return max([prove(command, options, folder, time.monotonic() + options.seconds) for command in ("a", "b")])


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("a", "b", "convert"))
    parser.add_argument("folder", nargs="?", type=Path, help="for convert: folder of a.json and b.json")
    parser.add_argument("--out", type=Path, help="folder for a.json, b.json and their logs")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit of a command  [default: 330]")
    parser.add_argument("--together", type=int, help="steps in parallel  [default: 6, at most one a core]")
    parser.add_argument(
        "--rehearse", action="store_true", help="run on a CPU at tiny sizes; both commands unless one is given"
    )
    parser.add_argument("--supplies", type=Path, help="folder of a bundle")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="prepare a bundle for the GPU machine")
    parser.add_argument("--data", type=Path, help="for --bundle: data folder  [default: GAN_BENCH_DATA]")
    parser.add_argument("--wheel", action="append", default=[], metavar="NAME", help="for --bundle: add a package")
    parser.add_argument("--to", type=Path, help="for convert: output folder  [default: results/published and docs]")
    options = parser.parse_args(given)
    if options.command == "convert" and options.folder is None:
        parser.error("convert requires the folder of a.json and b.json.")
    runs = options.command in ("a", "b") or (options.rehearse and options.command is None)
    if not options.bundle and options.command != "convert" and not (runs and options.out):
        parser.error("Give a command (a or b) with --out DIR, or --rehearse --out DIR, or --bundle DIR.")
    return options


def prepare(folder: Path, *, rehearsal: bool) -> None:
    """Set the environment variables that processes of steps inherit."""
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "MPLBACKEND": "Agg"}
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "4")  # several steps compile at the same time
    if rehearsal:
        os.environ |= {"GAN_BENCH_DATA": str(folder / "data"), "OMP_NUM_THREADS": "1"}
        (folder / "data").mkdir(exist_ok=True)


def prove(command: str, options: argparse.Namespace, folder: Path, deadline: float) -> int:
    """Run the steps of a command until `deadline`; return 1 if a step failed."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    device = "cpu" if options.rehearse else "cuda"
    facts: dict[str, Any] = {"command": command, "rehearsal": options.rehearse, "device": device, "started": now}
    record = Record(options.out / f"{command}.json", facts)
    try:
        steps = steps_of(command)
    except BaseException:
        message = traceback.format_exc()
        record.set(Step("import", "import the project", lambda _: {}), status=FAILED, message=message, values={})
        print(message)
        return 1
    context = Context(device, options.rehearse, folder, deadline)
    run_steps(steps, context, record, options.together or min(TOGETHER, os.cpu_count() or 1))
    statuses = [*context.statuses.values()]
    print(f"{command}: {statuses.count(PASSED)} of {len(statuses)} steps passed; {record.path}", flush=True)
    return 0 if {*statuses} <= {PASSED, SKIPPED} else 1


def steps_of(command: str) -> Sequence[Step]:
    """Return the steps of a command. This imports torch but does not initialise CUDA."""
    if command == "b":
        from _photographs import STEPS as OF_PHOTOGRAPHS

        return OF_PHOTOGRAPHS
    from _checks import STEPS as CHECKS
    from _rates import RING_STEPS

    return [*CHECKS, *RING_STEPS]


if __name__ == "__main__":
    sys.exit(main())
