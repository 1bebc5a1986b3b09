"""Tests of the options of a run, one dataclass for the command line, `gan_bench.run` and the runner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

import gan_bench
from gan_bench import api
from gan_bench.cli.options import options_of
from gan_bench.cli.run import command
from gan_bench.errors import UsageError
from gan_bench.planning import prepare as planner
from gan_bench.planning.options import Options, as_keywords, option, option_fields
from tests.support.messages import Messages

ONLY_COMMAND_LINE = {"benchmark", "dry_run", "enqueue", "data_root"}
ONLY_PYTHON = {"benchmark", "progress"}
NAMES = {field.name for field in fields(Options)}


class Captured(Exception):
    """Arguments of the planner."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Options]]:
    """Function that calls its argument and returns the benchmark and options that reach the planner."""

    def capture(source: Any, options: Options, *, elsewhere: bool = False) -> None:
        raise Captured(source, options)

    monkeypatch.setattr(planner, "prepare", capture)
    monkeypatch.setattr(api, "prepare", capture)

    def call(function: Callable[[], Any]) -> tuple[Any, Options]:
        with pytest.raises(Captured) as caught:
            function()
        source, options = caught.value.args
        return source, options

    return call


Given = Callable[[Callable[[], Any]], tuple[Any, Options]]


class TestOneDeclaration:
    """Flags, keywords and fields have the same names, defaults and texts."""

    def test_of_names(self) -> None:
        flags = {parameter.name for parameter in command.params}
        keywords = inspect.signature(gan_bench.run).parameters.keys()
        assert flags - ONLY_COMMAND_LINE == keywords - ONLY_PYTHON == NAMES

    def test_of_types_and_defaults(self) -> None:
        keywords = inspect.signature(gan_bench.run).parameters
        for field in fields(Options):
            assert (keywords[field.name].annotation, keywords[field.name].default) == (field.type, field.default)
            assert keywords[field.name].kind is inspect.Parameter.KEYWORD_ONLY

    def test_of_texts(self) -> None:
        """Every option has a text, which is in both helps."""
        by_name = {parameter.name: parameter for parameter in command.params}
        for each in option_fields(Options):
            assert each.doc
            assert each.flag in by_name[each.name].opts
            assert f"\n        {each.name}: {each.help}" in (gan_bench.run.__doc__ or "")
            assert each.help in (by_name[each.name].get_help_record(click.Context(command)) or ("", ""))[1]

    def test_of_omitted_options(self, given: Given) -> None:
        """A command without options equals a call without keywords."""
        assert given(lambda: command.main(["b.toml"], standalone_mode=False)) == ("b.toml", Options())
        source, options = given(lambda: gan_bench.run("b.toml"))
        assert (source, {name: getattr(options, name) for name in NAMES}) == ("b.toml", vars(Options()))

    def test_of_a_further_field(self, messages: Messages) -> None:
        """A new field is a flag and a keyword with its text, and reaches the function, without any other change."""

        @dataclass(frozen=True, kw_only=True)
        class Further(Options):
            pace: Literal["slow", "fast"] = option("slow", "How fast.")

        @as_keywords(Further)
        def called(benchmark: str, options: Further) -> tuple[str, str]:
            """Call.

            Args:
                options: all.
            """
            return benchmark, options.pace

        @click.command()
        @options_of(Further)
        def verb(**options: Any) -> None:
            click.echo(Further(**options).pace)

        assert called("b.toml", pace="fast") == ("b.toml", "fast")
        assert "pace: How fast. One of slow, fast." in (called.__doc__ or "")
        assert CliRunner().invoke(verb, ["--pace", "fast"]).output == "fast\n"
        assert "--pace slow|fast" in CliRunner().invoke(verb, ["--help"]).output
        with messages.raises(UsageError, "--pace", "slow", "fast", "'medium'"):
            called("b.toml", pace="medium")


class TestValues:
    def test_of_the_command_line(self, given: Given) -> None:
        """Every flag reaches the planner with the type of its field."""
        flags = [
            "--set", "protocol.batch=64", "--set", "seeds=1", "--models", 'A, "B, C"', "--datasets", "ring8",
            "--seeds", "0,5", "--device", "cpu", "--results", "there", "--workers", "2", "--compile", "never",
            "--stack", "3", "--engine", "mine", "--plugin", "a.py", "--plugin", "b.py", "--preview",
            "--observer", "diary", "--address", "head:6379", "--gpus-per-run", "0.25", "--cpus-per-run", "2",
        ]  # fmt: skip
        _, options = given(lambda: command.main(["b.toml", *flags], standalone_mode=False))
        assert vars(options) == {
            "overrides": ("protocol.batch=64", "seeds=1"),
            "models": ["A", "B, C"],
            "datasets": ["ring8"],
            "seeds": "0,5",
            "device": "cpu",
            "results": "there",
            "workers": 2,
            "compile": "never",
            "stack": "3",
            "engine": "mine",
            "address": "head:6379",
            "gpus_per_run": "0.25",
            "cpus_per_run": 2.0,
            "observers": ("diary",),
            "plugins": ("a.py", "b.py"),
            "preview": True,
            "quick": False,
        }

    def test_of_python(self, given: Given) -> None:
        """Keywords reach the planner unchanged. The benchmark may be a keyword, too."""
        seeds: Sequence[int] = [0, 5]
        source, options = given(lambda: gan_bench.run(benchmark={}, seeds=seeds, results=Path("there"), quick=True))
        assert (source, options.seeds, options.results, options.mode) == ({}, seeds, Path("there"), "quick")

    def test_unknown(self) -> None:
        """Python's message about an unknown keyword does not contain the name of the dataclass."""
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'sedes'") as caught:
            gan_bench.run("b.toml", sedes=1)
        assert "RunOptions" not in str(caught.value)

    @pytest.mark.parametrize(
        ("wrong", "flag"),
        [
            ({"device": "tpu"}, "--device"),
            ({"compile": "often"}, "--compile"),
            ({"quick": True, "preview": True}, "--quick"),
        ],
        ids=["device", "compile", "modes"],
    )
    def test_outside_the_choices(self, wrong: dict[str, Any], flag: str, messages: Messages) -> None:
        """A wrong choice is an error before the benchmark is opened."""
        with messages.raises(UsageError, flag):
            gan_bench.run("missing.toml", **wrong)
