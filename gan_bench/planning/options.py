"""Options of `gan-bench run` and `gan_bench.run`, declared once as the fields of `Options`.

A field has a type, default and help text. `gan_bench.cli.options.options_of` builds the flags of the command
line from the fields, `as_keywords` the keyword arguments of a function. Nothing here imports torch, so that
`gan-bench run --help` is fast.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

from gan_bench.contracts.modes import Mode
from gan_bench.errors import UsageError

Device = Literal["auto", "cpu", "cuda"]

P = ParamSpec("P")
Subject = TypeVar("Subject")
Chosen = TypeVar("Chosen")
Result = TypeVar("Result")


def option(
    default: Any, doc: str, *, flag: str = "", metavar: str = "", unset: str = "", repeatable: bool = False
) -> Any:
    """Declare an option as a field of a dataclass. Its type is the annotation; a `Literal` defines the choices.

    Args:
        default: the value of an omitted option.
        doc: help text, for the command line and for Python.
        flag: name on the command line, if it is not the field's.
        metavar: placeholder of the value on the command line; the choices of a `Literal` if empty.
        unset: description of the value None, for the help text.
        repeatable: whether the flag is repeated for each value; other sequences are one value, ``A,B``.
    """
    metadata = {"doc": doc, "flag": flag, "metavar": metavar, "unset": unset, "repeatable": repeatable}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Changes to a benchmark, selections from it, and settings of its execution."""

    overrides: Sequence[str] = option(
        (),
        "Override a value of the benchmark, e.g. protocol.iterations=2000. Repeatable.",
        flag="--set",
        metavar="PATH=VALUE",
        repeatable=True,
    )
    models: Sequence[str] = option(
        (),
        'Train only models with these labels or plugins, and the anchors. Quote a name that contains a comma: "A, B".',
        metavar="A,B",
    )
    datasets: Sequence[str] = option((), "Use only datasets with these labels or plugins.", metavar="A,B")
    seeds: str | int | Sequence[int] | None = option(
        None,
        "Number of seeds, or a list of seeds: 3 means 0, 1, 2; '5,' means seed 5.",
        metavar="N|A,B",
        unset="the benchmark's",
    )
    device: Device = option("auto", "Device to train on.")
    results: str | Path = option("results", "Folder for results.", metavar="DIR")
    workers: int | None = option(None, "Number of runs to train in parallel.", metavar="N", unset="one per core or GPU")
    compile: Literal["auto", "always", "never"] = option(
        "auto", "Whether to compile iterations. auto compiles long runs on a CPU."
    )
    stack: str | int = option(
        "auto",
        "Number of seeds to train as one program. auto stacks all seeds on a GPU, unless the network is convolutional.",
        metavar="auto|never|N",
    )
    engine: str | None = option(
        None, "Engine that executes the runs.", metavar="NAME", unset="the benchmark's, else local"
    )
    address: str | None = option(
        None,
        "Address of the engine's cluster; auto is the cluster that this machine belongs to.",
        metavar="auto|HOST:PORT",
        unset="the benchmark's, else the engine's",
    )
    gpus_per_run: float | str | None = option(
        None,
        "Share of a GPU that the engine reserves for each run; auto measures it.",
        metavar="auto|SHARE",
        unset="the benchmark's, else the engine's",
    )
    cpus_per_run: float | None = option(
        None,
        "Number of cores that the engine reserves for each run.",
        metavar="N",
        unset="the benchmark's, else the engine's",
    )
    observers: Sequence[str] = option(
        (),
        "Observer of the runs, in addition to those of the benchmark. Repeatable.",
        flag="--observer",
        metavar="NAME",
        repeatable=True,
    )
    plugins: Sequence[str | Path] = option(
        (),
        "Plugin file to load, in addition to those in plugins/. Repeatable.",
        flag="--plugin",
        metavar="FILE",
        repeatable=True,
    )
    preview: bool = option(
        False, "Train one seed for a quarter of the iterations. Results are written to NAME-preview."
    )
    quick: bool = option(
        False,
        "Check that everything works, with a few iterations and samples of each model. Results are written to "
        "NAME-quick.",
    )

    def __post_init__(self) -> None:
        """Raise UsageError for a value outside the choices, and for two modes at once."""
        for each in option_fields(type(self)):
            if each.choices:
                require_choice(each.flag, getattr(self, each.name), each.choices)
        if self.quick and self.preview:
            raise UsageError(
                "--preview and --quick exclude each other. --quick checks that everything works; "
                "--preview trains one seed for a quarter of the iterations."
            )

    @property
    def engine_settings(self) -> dict[str, str | float | None]:
        """Parameters of the engine that have a separate option; None for those that are not given."""
        share = self.gpus_per_run
        if isinstance(share, str):  # from the command line
            with suppress(ValueError):
                share = float(share)
        return {"address": self.address, "gpus_per_run": share, "cpus_per_run": self.cpus_per_run}

    @property
    def mode(self) -> Mode:
        """Mode that the options select: the full benchmark, a preview or a check."""
        return "quick" if self.quick else "preview" if self.preview else "full"


def require_choice(flag: str, value: str, choices: Sequence[str]) -> None:
    """Raise UsageError if `value` is not among the choices."""
    if value not in choices:
        raise UsageError(f"{flag} must be {', '.join(choices[:-1])} or {choices[-1]}, found {value!r}.")


@dataclass(frozen=True)
class OptionField:
    """One option, derived from its field."""

    name: str
    type: Any
    default: Any
    doc: str
    flag: str
    metavar: str
    unset: str
    repeatable: bool

    @property
    def help(self) -> str:
        """Help text, with the description of the value None."""
        return self.doc + (f"  [default: {self.unset}]" if self.unset else "")

    @property
    def choices(self) -> tuple[str, ...]:
        """Values of a `Literal`; empty for other types."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()


def option_fields(options: type[Any]) -> tuple[OptionField, ...]:
    """Every option of a dataclass, in the order of its fields."""
    types = typing.get_type_hints(options)
    found = []
    for field in dataclasses.fields(options):
        given = dict(field.metadata)
        given["flag"] = given["flag"] or f"--{field.name.replace('_', '-')}"
        found.append(OptionField(field.name, types[field.name], field.default, **given))
    return tuple(found)


def as_keywords(
    options: Callable[P, Chosen],
) -> Callable[[Callable[[Subject, Chosen], Result]], Callable[Concatenate[Subject, P], Result]]:
    """Decorate a function of a subject and its options so that it takes the options as keyword arguments.

    Type checkers, `inspect.signature` and `help` see every field with its type and default, and `help` its text in
    place of the line ``options: …`` of the docstring.

    Args:
        options: a dataclass whose fields `option` declares, with keyword-only arguments.
    """

    made = cast(type[Chosen], options)

    def documented(line: re.Match[str]) -> str:
        """Replacement of the docstring's line ``options: …``: one line for each option."""
        lines = []
        for each in option_fields(made):
            choices = f" One of {', '.join(each.choices)}." if each.choices else ""
            lines.append(f"{line[1]}{each.name}: {each.help}{choices}")
        return "\n".join(lines)

    def decorate(function: Callable[[Subject, Chosen], Result]) -> Callable[Concatenate[Subject, P], Result]:
        signature = inspect.signature(function)
        subject, _ = signature.parameters.values()
        signature = signature.replace(parameters=[subject, *inspect.signature(options).parameters.values()])

        @functools.wraps(function)
        def called(*arguments: Any, **given: Any) -> Result:
            chosen = signature.bind(*arguments, **given).arguments  # raises TypeError without the name of the dataclass
            return function(chosen.pop(subject.name), made(**chosen))

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__doc__ = re.sub(r"^( *)options: .*$", documented, function.__doc__ or "", flags=re.MULTILINE)
        return called

    return decorate
