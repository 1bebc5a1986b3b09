"""Checks that an observer keeps the promises of `gan_bench.contracts.observer`."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_bench.contracts.events import Evaluated, Progress
from gan_bench.contracts.observer import BenchmarkInfo, Observer
from gan_bench.contracts.protocol import Protocol
from gan_bench.contracts.run import DatasetRef, ModelRef, Run
from gan_bench.contracts.table import Column, Estimate, MetricInfo, Row, Table
from gan_bench.plugins.process_state import undisturbed
from gan_bench.plugins.registry import Registry
from gan_bench.running.observers import EVENTS
from gan_bench.testing import common
from gan_bench.testing.checks import Check, first_line, place, refuse
from gan_bench.testing.output import captured
from gan_bench.testing.settings import Setting, settings

LONGEST = 10.0
"""Seconds after which a call counts as blocked."""

SOON = 0.1
"""Seconds within which the fastest of several calls of a method returns."""

REPEATED = 3
"""Number of calls from which the fastest is compared with `SOON`: one slow call may be due to the machine."""

SIMILAR = 0.8
"""Similarity of a name to an event from which it counts as a misspelt one."""

CALLED_SOON = "runs wait for their observers: methods are called between two messages of the runs"

Step = tuple[str, tuple[Any, ...]]
"""An event and its arguments."""


def checks(cls: type[Any], registry: Registry | None) -> list[Check]:
    """Return the checks of one observer; they need no other plugins."""
    subject = _Subject(cls)
    described = Check("description", "the class has a docstring", subject.described)
    parameters = Check(
        "parameters", "every parameter has a type, an explanation and an allowed default", subject.params
    )
    methods = Check("methods", "methods have the names and arguments of the contract", subject.methods)
    needed = (parameters, methods)
    constructs = Check("constructs", "it can be created with all values of its parameters", subject.constructs, needed)
    prompt = Check("prompt", "methods return soon", subject.prompt, (constructs,))
    events = Check("events", "the events of a benchmark raise nothing", subject.events, (prompt,))
    endings = Check("endings", "neither do those of other commands in the same folder", subject.endings, (events,))
    untouched = Check("untouched", "methods do not change their arguments", subject.untouched, (endings,))
    output = Check("output", "nothing is printed to standard output", subject.output, (endings,))
    process = Check("process", "the process is left as it was", subject.process, (events,))
    return [described, parameters, methods, constructs, prompt, events, endings, untouched, output, process]


@dataclass
class _Played:
    """Record of an observer that received events.

    Attributes:
        observer: None if it could not be created.
        event: current or last event.
        since: when it was sent.
        seconds: durations of the calls, by event.
        error: exception that an event raised.
    """

    observer: Any = None
    event: str = "__init__"
    since: float = field(default_factory=time.perf_counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    error: BaseException | None = None


class _Subject:
    """Class of an observer under check, with the checks as methods."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    def described(self) -> None:
        common.check_described(self.cls)

    def params(self) -> None:
        common.check_parameters(self.cls)

    def methods(self) -> None:
        own = [name for name in EVENTS if _overridden(self.cls, name)]
        for name in own:
            _check_method(self.cls, name, _arguments_of(name))
        _check_method(self.cls, "__init__", (BenchmarkInfo(), None))
        if _overridden(self.cls, "receive"):
            refuse(
                f"{self.cls.__name__} overrides receive()",
                "engines call receive() of the object that they report to; an observer of a plugin gets the events by "
                "their methods",
                "override progress(), evaluated(), compiling() and warning()",
            )
        self._check_names()
        if not own:
            refuse(
                f"{self.cls.__name__} overrides no method of Observer",
                "it would receive nothing",
                f"override one of {', '.join(EVENTS)}",
            )

    def _check_names(self) -> None:
        """Check that no public method that is never called has a name like an event's."""
        similar = {name: event for name in _public(self.cls) if (event := _similar(name)) is not None}
        if not similar:
            return
        called: set[str] = set()

        def watch(observer: Any) -> None:
            for name in similar:
                with contextlib.suppress(AttributeError):  # of a class with slots
                    setattr(observer, name, _counted(getattr(observer, name), name, called))

        with _workplace() as info:
            self._play(info, _complete(), prepare=watch)
        for name in similar.keys() - called:
            refuse(
                f"{self.cls.__name__}.{name}() is no event, and nothing calls it",
                "gan-bench calls the methods of the contract only",
                f"rename it to {similar[name]}(), or begin its name with an underscore",
            )

    def constructs(self) -> None:
        for setting in settings(self.cls):
            with _workplace() as info:
                played = self._play(info, [], setting)
            if played.error is not None:
                self._refuse_error(played, f"with {setting}")

    def prompt(self) -> None:
        with _workplace() as info:
            played = self._play(info, _complete())
        for event, seconds in played.seconds.items():
            if len(seconds) >= REPEATED and min(seconds) > SOON:
                refuse(
                    f"each call of {event}() takes {min(seconds):.2f} s or longer",
                    CALLED_SOON,
                    "do the work in a thread, or collect it until final_table()",
                )

    def events(self) -> None:
        for setting in settings(self.cls):
            with _workplace() as info:
                played = self._play(info, _complete(), setting)
            if played.error is not None:
                self._refuse_error(played, f"in a benchmark with anchors, a failed and a diverged run, with {setting}")

    def endings(self) -> None:
        with _workplace() as info:
            python = BenchmarkInfo(info.name, info.results, None)
            quick = BenchmarkInfo(info.name, info.results, info.file, "quick")
            commands = (
                ("in a benchmark from a mapping, with benchmark.file None", python, _complete()),
                ("in a second command in the same results folder", info, _complete()),
                ("after Ctrl-C", info, _interrupted()),
                ("if all runs are done already", info, _nothing()),
                ("if a run fails before its first evaluation", info, _failed_early()),
                ("in a check (--quick), which has no tables", quick, _without_tables()),
            )
            for what, described, steps in commands:
                played = self._play(described, steps)
                if played.error is not None:
                    self._refuse_error(played, what)

    def untouched(self) -> None:
        before: list[str] = []

        def compare(event: str, arguments: tuple[Any, ...], *, after: bool) -> None:
            texts = [repr(each) for each in arguments]
            if not after:
                before[:] = texts
            for number, (text, now) in enumerate(zip(before, texts, strict=True)):
                if now != text:
                    name = _argument(event, number)
                    refuse(
                        f"{event}() changes its argument {name}",
                        "the display and all other observers receive the same object",
                        f"work on a copy, such as dict(…) or list(…) of what {name} contains",
                    )

        with _workplace() as info:
            for steps in (_complete(), _interrupted()):
                self._play(info, steps, inspect_call=compare, raises=True)

    def output(self) -> None:
        def require_silence(event: str) -> None:
            if text := printed():
                refuse(
                    f"{event}() prints to standard output: {text[:60]!r}",
                    "standard output is for the table of the command; the text would appear between lines of progress",
                    "write to a file, or use logging or print(…, file=sys.stderr)",
                )

        with _workplace() as info, captured() as printed:
            for steps in (_complete(), _interrupted()):
                self._play(
                    info,
                    steps,
                    inspect_call=lambda event, arguments, after: require_silence(event) if after else None,
                    prepare=lambda observer: require_silence("__init__"),
                    raises=True,
                )

    def process(self) -> None:
        changes: list[str] = []
        with _workplace() as info, undisturbed(changes.append):
            observer = self.cls(info, settings(self.cls)[0].params)
            for event, arguments in _complete():
                getattr(observer, event)(*arguments)
        if changes:
            refuse(
                f"{self.cls.__name__} {changes[0]}",
                "runs and other plugins share the process; gan-bench restores it after each event",
                "use absolute paths and objects of your own, such as benchmark.results",
            )

    def _refuse_error(self, played: _Played, when: str) -> None:
        error = played.error
        assert error is not None
        refuse(
            f"{played.event}() raises {first_line(error)}{place(error)} {when}",
            "the observer would be detached, and receive nothing after it",
            "correct the code that raises it",
        )

    def _play(
        self,
        info: BenchmarkInfo,
        steps: Sequence[Step],
        setting: Setting | None = None,
        *,
        prepare: Callable[[Any], None] = lambda observer: None,
        inspect_call: Callable[..., None] = lambda event, arguments, after: None,
        raises: bool = False,
    ) -> _Played:
        """Create the observer and send it events, in a thread: a call that blocks is left behind.

        Args:
            setting: values of the parameters; None for the defaults.
            prepare: called with the observer before the events.
            inspect_call: called before and after each event with its name and arguments.
            raises: whether to raise the exception of a call or of these functions.
        """
        played = _Played()
        params = (setting or settings(self.cls)[0]).params

        def send() -> None:
            try:
                played.observer = self.cls(info, params)
                prepare(played.observer)
                for event, arguments in steps:
                    inspect_call(event, arguments, after=False)
                    played.event, played.since = event, time.perf_counter()
                    getattr(played.observer, event)(*arguments)
                    played.seconds[event].append(time.perf_counter() - played.since)
                    inspect_call(event, arguments, after=True)
            except BaseException as error:  # a plugin may raise anything, even SystemExit
                played.error = error

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(timeout=SOON)
            if thread.is_alive() and time.perf_counter() - played.since > LONGEST:
                refuse(
                    f"{played.event}() has not returned after {LONGEST:g} s",
                    CALLED_SOON,
                    "wait for nothing; do slow work in a thread",
                )
        if raises and played.error is not None:
            raise played.error
        return played


@contextlib.contextmanager
def _workplace() -> Iterator[BenchmarkInfo]:
    """Temporary working folder with a benchmark file and a results folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.chdir(folder):
        here = Path(folder).resolve()
        results, file = here / "results" / "example", here / "example.toml"
        results.mkdir(parents=True)
        file.write_text('name = "example"\n', encoding="utf-8")
        yield BenchmarkInfo("example", results, file)


# --- names and arguments of methods ----------------------------------------------------------------------------------


def _overridden(cls: type[Any], name: str) -> bool:
    return inspect.getattr_static(cls, name) is not inspect.getattr_static(Observer, name)


def _check_method(cls: type[Any], name: str, arguments: tuple[Any, ...]) -> None:
    """Check that a method can be called with the arguments of the contract, and that the call executes it."""
    expected = f"def {name}({', '.join(inspect.signature(getattr(Observer, name)).parameters)})"
    method = inspect.getattr_static(cls, name)
    function = getattr(cls, name)
    if not callable(function):
        refuse(
            f"{cls.__name__}.{name} is no method, but {type(method).__name__}",
            "gan-bench calls it",
            f"write {expected}: …",
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        kind = "a coroutine" if inspect.iscoroutinefunction(function) else "a generator"
        refuse(f"{name}() is {kind}", "a call would execute nothing of it", f"write {expected}: …, without yield")
    bound = arguments if isinstance(method, staticmethod | classmethod) else (None, *arguments)
    try:
        inspect.signature(function).bind(*bound)
    except TypeError as error:
        refuse(f"{name}() cannot be called with its arguments: {error}", "each call would fail", f"write {expected}: …")
    except ValueError:  # a function without a signature, of an extension module
        return


def _public(cls: type[Any]) -> list[str]:
    """Names of public methods that `Observer` lacks."""
    names = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return [name for name, value in names.items() if inspect.isfunction(value) and not name.startswith("_")]


def _similar(name: str) -> str | None:
    """Event of which a name may be a misspelling; None for an event and for any other name."""
    if name in (*EVENTS, "receive"):
        return None
    bare = name.removeprefix("on_").removesuffix("_event")
    return next(iter(difflib.get_close_matches(bare, EVENTS, n=1, cutoff=SIMILAR)), None)


def _counted(method: Callable[..., Any], name: str, called: set[str]) -> Callable[..., Any]:
    """Return the method, with a note in `called` at each call."""

    def count(*arguments: Any, **named: Any) -> Any:
        called.add(name)
        return method(*arguments, **named)

    return count


def _arguments_of(event: str) -> tuple[Any, ...]:
    return next(arguments for name, arguments in [*_complete(), *_interrupted()] if name == event)


def _argument(event: str, number: int) -> str:
    return list(inspect.signature(getattr(Observer, event)).parameters)[number + 1]


# --- the events of commands ------------------------------------------------------------------------------------------


def _runs() -> list[Run]:
    """Two seeds of two models, and an anchor."""
    labels = [
        ("GAN", False, 0),
        ("MGAN, K = 4", False, 0),
        ("real-data", True, 0),
        ("GAN", False, 1),
        ("MGAN, K = 4", False, 1),
    ]
    return [
        Run(
            benchmark="example",
            label=label,
            dataset=DatasetRef("ring8", {"variance": 0.01}, "ring8"),
            model=ModelRef("real-data" if anchor else "gan", {} if anchor else {"generators": 1}, anchor),
            protocol=Protocol(iterations=1000),
            seed=seed,
            configuration=f"{number:064x}",
            key=f"{number + 100:064x}",
        )
        for number, (label, anchor, seed) in enumerate(labels)
    ]


def _table(*, complete: bool) -> Table:
    """A table with a model without values, values of one seed, and an anchor."""
    info = MetricInfo("lower", "nats", doc="Symmetric divergence.")
    several, single, eight = Estimate(0.25, 0.125, 2), Estimate(0.5, None, 1), Estimate(8.0, 0.0, 1)
    done, kl = (2, several) if complete else (1, single)
    cost = {"parameters": 1200.0, "real_samples": 5e5, "fake_samples": 5e5, "train_seconds": 1.5}
    none = dict.fromkeys(cost)
    rows = (
        Row("ring8", "GAN", "gan", False, done, 2, {"kl": kl, "modes": None}, cost, best=frozenset(["kl"])),
        Row("ring8", "MGAN, K = 4", "gan", False, 0, 2, {"kl": None, "modes": None}, none, departures=(1,)),
        Row("ring8", "real-data", "real-data", True, 1, 1, {"kl": single, "modes": eight}, none),
    )
    columns = (Column("kl", info), Column("modes", MetricInfo("higher", "modes")))
    return Table("example: mean over 2 seeds", columns, rows, ("batch: 64",), ("A note.",), ("A warning.",))


def _complete() -> list[Step]:
    """Events of a benchmark with parallel runs, a warning, a failed and a diverged run, and an anchor."""
    first, second, anchor, third, fourth = runs = _runs()
    scores = {"kl": 0.5, "modes": float("nan")}
    of_first: list[Step] = [("progress", (first, Progress(first.key, n, 1000, 250.5))) for n in (100, 200, 300, 400)]
    return [
        ("note", ("CPU, 2 workers; iterations uncompiled.",)),
        ("planned", (runs, 0)),
        ("forecast", (60.0, 180.0)),
        ("started", (first,)),
        ("compiling", (first,)),
        ("evaluated", (first, Evaluated(first.key, 0, 1000, dict(scores)))),
        ("started", (second,)),
        *of_first,
        ("warning", (first, "Training changed a setting ↓\nand 100 % of {it} is restored.")),
        ("evaluated", (first, Evaluated(first.key, 1000, 1000, dict(scores)))),
        ("ended", (first, "finished", "")),
        ("ended", (second, "failed", "RuntimeError: no luck ↓ {x} %s")),
        ("started", (anchor,)),
        ("evaluated", (anchor, Evaluated(anchor.key, 0, 0, {"kl": 0.25}))),  # an anchor has no iterations
        ("ended", (anchor, "finished", "")),
        ("interim_table", (_table(complete=False),)),
        ("started", (third,)),
        ("evaluated", (third, Evaluated(third.key, 0, 1000, {}))),
        ("ended", (third, "finished", "")),
        ("started", (fourth,)),
        ("ended", (fourth, "diverged", "Diverged: a parameter is not finite")),
        ("forecast", (0.0, 0.0)),
        ("final_table", (_table(complete=True),)),
    ]


def _interrupted() -> list[Step]:
    """Events of a command that Ctrl-C stops in its first run."""
    first = _runs()[0]
    return [
        ("planned", (_runs(), 0)),
        ("started", (first,)),
        ("progress", (first, Progress(first.key, 100, 1000, 250.5))),
        ("stopping", ()),
        ("ended", (first, "interrupted", "")),
        ("final_table", (_table(complete=False),)),
    ]


def _nothing() -> list[Step]:
    """Events of a command whose runs are all done."""
    return [("planned", ([], 5)), ("final_table", (_table(complete=True),))]


def _failed_early() -> list[Step]:
    """Events of a run that fails while it is set up."""
    first = _runs()[0]
    return [
        ("planned", ([first], 4)),
        ("started", (first,)),
        ("ended", (first, "failed", "ValueError: wrong")),
        ("final_table", (_table(complete=False),)),
    ]


def _without_tables() -> list[Step]:
    return [(event, arguments) for event, arguments in _complete() if event not in ("interim_table", "final_table")]
