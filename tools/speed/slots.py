"""Calculate how long a command with many slots takes and the limit of its speed from measured costs.

    python tools/speed/slots.py                           10,000 runs on 256 slots, for runs of 1 s to 1 hour
    python tools/speed/slots.py --slots 64 --attempt 100  other numbers

Nothing is executed: this is a simulation of events. Slots execute runs of equal length. One command serves them, one
event after the other. At the end of a run it settles the run, begins an attempt of the next one, which waits for the
disk, and sends it. Messages of active runs take a share of its time. A table after a seed stops it for a time that
grows with the number of stored runs; after the first four, tables take 2 % of the time at most.

The defaults were measured on two cores of a machine that executed other programs as well, on a local disk. Those of a
network file system are unknown: `--attempt` is the time of the three files of an attempt.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass

FIRST_TABLES, TABLE_SHARE = 4, 0.02
"""As in `gan_bench.running.interim_tables`."""

LENGTHS = (1, 10, 60, 600, 3600)


@dataclass(frozen=True)
class Costs:
    """Costs in seconds.

    Attributes:
        settle: the command's processor time for a run, with Ray's threads.
        attempt: until an attempt is on the disk.
        message: for a message of a slot.
        hold: between two messages of a slot that executes a run.
        start: of a slot, until it answers.
        hello: to accept a slot.
        table: to write tables, for each stored run.
        plan: to plan a run, before the first one starts.
    """

    settle: float
    attempt: float
    message: float
    hold: float
    start: float
    hello: float
    table: float
    plan: float


@dataclass(frozen=True)
class Outcome:
    """Result of a simulated command.

    Attributes:
        seconds: from its start to the last run's end.
        ideal: the same if the command took no time.
        settling, disk, messages, tables: shares of the time that the command spent with each.
        busy: share of the slots' time, from the first run to the last, in which they execute runs.
    """

    seconds: float
    ideal: float
    settling: float
    disk: float
    messages: float
    tables: float
    busy: float

    @property
    def bottleneck(self) -> str:
        """Name of the limit of the command."""
        if self.busy > 0.95:
            return "the runs"
        if self.settling + self.disk + self.messages + self.tables < 0.5:
            return "start and end"
        parts = {"settling": self.settling, "disk": self.disk, "messages": self.messages, "tables": self.tables}
        return max(parts, key=lambda name: parts[name])


def simulate(runs: int, slots: int, length: float, seeds: int, costs: Costs) -> Outcome:
    """Simulate a command.

    Args:
        length: of a run, in seconds.
    """
    speed = 1 - min(0.95, min(slots, runs) / costs.hold * costs.message)  # without the share of messages
    begin = runs * costs.plan
    events = [(begin + costs.start, slot) for slot in range(min(slots, runs))]
    heapq.heapify(events)
    free = begin  # the command has handled all earlier events
    left, ended, shown = runs, 0, 0
    settling = disk = tables = due = active = 0.0
    last = begin
    new = set(range(slots))
    while events:
        now, slot = heapq.heappop(events)
        free = max(free, now)
        if slot in new:
            new.remove(slot)
            work = costs.hello
        else:
            ended, last = ended + 1, now
            work = costs.settle
        free += work / speed
        settling += work
        complete = ended * seeds // runs
        if shown < complete < seeds and (complete <= FIRST_TABLES or free >= due):
            shown, table = complete, ended * costs.table
            free += table / speed
            tables += table
            due = free + table / TABLE_SHARE
        if left:
            left -= 1
            free += costs.attempt / speed
            disk += costs.attempt
            active += length
            heapq.heappush(events, (free + length, slot))
    waves = -(-runs // slots)
    total = last - begin
    messages = active / costs.hold * costs.message
    places = min(slots, runs) * (last - begin - costs.start)
    shares = (each / total for each in (settling, disk, messages, tables))
    return Outcome(last, begin + costs.start + waves * length, *shares, active / places)


def main() -> None:
    """Print a row for each length of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, metavar="N")
    parser.add_argument("--slots", type=int, default=256, metavar="N", help="64 GPUs, four runs on each (default: 256)")
    parser.add_argument("--seeds", type=int, default=50, metavar="N", help="seeds of the benchmark (default: 50)")
    parser.add_argument("--lengths", type=float, nargs="+", default=LENGTHS, metavar="S", help="seconds of a run")
    for name, value, doc in (
        ("settle", 12.0, "processor time of the command for a run"),
        ("attempt", 11.0, "until an attempt is on the disk"),
        ("message", 1.0, "for a message of a slot"),
        ("hold", 2000.0, "between two messages of a slot"),
        ("start", 22_000.0, "start of a slot"),
        ("hello", 5.0, "to accept a slot"),
        ("table", 1.1, "tables, for each stored run"),
        ("plan", 0.9, "plan and estimates, for each run"),
    ):
        parser.add_argument(f"--{name}", type=float, default=value, metavar="MS", help=f"{doc} (default: {value:g} ms)")
    given = parser.parse_args()
    costs = Costs(**{name: getattr(given, name) / 1000 for name in Costs.__dataclass_fields__})
    print(
        "| run | total | without the command's costs | slots busy | settling | disk | messages | tables | limited by |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|---|")
    for length in given.lengths:
        found = simulate(given.runs, given.slots, length, given.seeds, costs)
        times = " | ".join(in_words(each) for each in (length, found.seconds, found.ideal))
        shares = (found.busy, found.settling, found.disk, found.messages, found.tables)
        print(f"| {times} | {' | '.join(f'{each:.0%}' for each in shares)} | {found.bottleneck} |")


def in_words(seconds: float) -> str:
    """Format a duration."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


if __name__ == "__main__":
    main()
