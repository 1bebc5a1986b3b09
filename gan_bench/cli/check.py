"""`gan-bench check`: check a plugin against the contracts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gan_bench import escape
from gan_bench.cli.output import echo

if TYPE_CHECKING:
    from gan_bench.plugins.registry import Origin, Registry

KINDS = ("models", "networks", "datasets", "metrics", "engines", "observers")
MISSING = "a plugin that cannot be loaded cannot be used in a benchmark"


@click.command("check", short_help="Check that a plugin fulfils its contract.")
@click.argument("plugin", metavar="PLUGIN|FILE")
@click.option("-v", "--verbose", is_flag=True, help="Also show the checks that passed.")
def command(plugin: str, verbose: bool) -> int:
    """Check everything that is called PLUGIN, or everything in a plugin FILE (.py).

    Models are trained for a few steps on the CPU, which takes seconds. Engines execute tiny runs, and observers receive
    made-up events. Each finding has a description, a reason and a
    remedy. To run the same checks in pytest, subclass gan_bench.testing.ModelTestCase, or the class of another kind.

    Exit codes: 0 no findings; 1 findings; 2 invalid usage.
    """
    from gan_bench.plugins.discovery import load_plugins, plugin_folders

    path = _file(plugin)
    registry = load_plugins([*plugin_folders(), *([path] if path else [])])
    shown = Output(verbose)
    things = list(_of_file(registry, path) if path else _of_name(registry, plugin))
    _show_broken(registry, path, plugin, shown)
    figures = [file for file, origin in registry.published if path and origin.path == str(path)]
    if not things and not figures and not shown.failed:
        _report_empty(registry, plugin, path, shown)
    for thing in things:
        shown.examine(thing, registry)
    for file in figures:
        shown.read(file)
    return shown.end()


@dataclass(frozen=True)
class _Plugin:
    """One plugin to check."""

    kind: str
    name: str
    cls: type[Any]
    origin: Origin

    def __str__(self) -> str:
        return f"{self.kind[:-1]} {self.name} ({self.origin})"


def _file(plugin: str) -> Path | None:
    """Path of the file argument, or None for a name. Raises UsageError for a file that is not a plugin."""
    from gan_bench.errors import UsageError
    from gan_bench.plugins.discovery import plugin_files

    path = Path(plugin)
    if not plugin or not (path.suffix or len(path.parts) > 1 or path.is_file()):
        return None  # a folder may have the name of an installed plugin

    def complain(_: int, message: str) -> None:
        raise UsageError(message)

    (found,) = plugin_files([path], complain)
    content = found.read_bytes()
    if not content.strip():
        raise UsageError(f"{path} is empty. `gan-bench new model NAME` creates a working file.")
    if b"\0" in content:
        raise UsageError(f"{path} is a binary file. A plugin is a Python file.")
    return found


def _of_file(registry: Registry, path: Path) -> Iterator[_Plugin]:
    for kind in KINDS:
        for name, cls in registry.all(kind).items():
            if registry.origin(kind, name).path == str(path):
                yield _Plugin(kind, name, cls, registry.origin(kind, name))


def _of_name(registry: Registry, name: str) -> Iterator[_Plugin]:
    """All plugins of that name. Raises PluginError if two plugins define it."""
    for kind in KINDS:
        if name in registry.all(kind):
            yield _Plugin(kind, name, registry.get(kind, name), registry.origin(kind, name))


def _show_broken(registry: Registry, path: Path | None, name: str, shown: Output) -> None:
    """Show modules of the file, or plugins of that name, that could not be loaded."""
    debug = bool(getattr(click.get_current_context().find_root(), "params", {}).get("debug"))
    for broken in registry.broken:
        if broken.origin.path == str(path) if path else broken.is_called(name):
            remedy = "fix the error" + ("; `gan-bench --debug check` shows the full traceback" if broken.trace else "")
            shown.finding(f"{broken.name} ({broken.origin})", "loads", broken.error, MISSING, remedy)
            if debug and broken.trace:
                echo(escape.several_lines(broken.trace), err=True)


def _report_empty(registry: Registry, plugin: str, path: Path | None, shown: Output) -> None:
    """Report that there is nothing to check: a file without plugins, or an unknown name."""
    from gan_bench.errors import UsageError
    from gan_bench.names import allowed
    from gan_bench.plugins.kinds import UNIMPLEMENTED

    if path is None and Path(plugin).is_dir():
        raise UsageError(f"{plugin} is a folder, and no plugin has this name. Name one of its .py files.")
    if path is None and plugin in registry.unimplemented():
        raise UsageError(registry.unimplemented()[plugin].refusal())
    if path is None:
        names = {name for kind in KINDS for name in registry.all(kind)}
        raise UsageError(f"No plugin is called {plugin!r}. {allowed(plugin, names)}")
    if any(registry.origin(UNIMPLEMENTED, name).path == str(path) for name in registry.unimplemented()):
        echo(f"{plugin} was loaded. There are no checks for systems that are not implemented.")
    else:
        shown.finding(
            plugin,
            "loads",
            "the file provides no plugins",
            "gan-bench finds the plugins of a file by its functions marked with @hookimpl",
            "end the file with @hookimpl above def gan_bench_models(): return [MyModel]; see the README",
        )


@dataclass
class Output:
    """Counts of printed findings."""

    verbose: bool
    things: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def examine(self, thing: _Plugin, registry: Registry) -> None:
        """Check one plugin and print the findings."""
        from gan_bench.testing import checks

        self.things += 1
        made = checks(thing.cls, registry)
        progress = _Progress(str(thing), len(made))
        reports = []
        for number, check in enumerate(made, 1):
            progress.log(number, check.name)
            with contextlib.redirect_stdout(sys.stderr):  # output of a plugin does not belong to the findings
                reports.append(check.report())
        progress.clear()
        wrong = sum(report.finding is not None for report in reports)
        passed = sum(report.finding is None and not report.skipped for report in reports)
        self.passed += passed
        echo(f"{'FAILED' if wrong else 'ok'}  {thing}: {passed} of {len(made)} checks passed")
        for report in reports:
            check, found = report.check, report.finding
            if found is not None:
                self.finding(str(thing), found.check, found.found, found.reason, found.remedy, heading=False)
            elif self.verbose and not report.skipped:
                echo(f"  passed: {check.name}: {check.promise}")
        # Several checks may be skipped for one reason: an earlier failure, or missing files.
        for reason in dict.fromkeys(report.skipped for report in reports if report.skipped):
            names = [report.check.name for report in reports if report.skipped == reason]
            self.skipped += len(names)
            echo(f"  not checked, because {escape.one_line(reason)}: {', '.join(names)}")

    def read(self, figures: Path) -> None:
        """Read one file of published figures and print its problems."""
        from gan_bench.errors import PluginError
        from gan_bench.report.published.load import read_figures

        thing = f"published figures {figures.name}"
        try:
            rows = len(read_figures(figures))
        except PluginError as error:
            self.finding(thing, "reads", str(error), "tables leave out a file with errors", "fix these lines")
            return
        self.things, self.passed = self.things + 1, self.passed + 1
        echo(f"ok  {thing}: {rows} rows read")

    def finding(self, thing: str, check: str, found: str, reason: str, remedy: str, *, heading: bool = True) -> None:
        """Print one finding, after a heading for its plugin if that is missing."""
        self.failed += 1
        if heading:
            self.things += 1
            echo(escape.one_line(f"FAILED  {thing}"))
        found, reason, remedy = escape.several_lines(found), escape.one_line(reason), escape.one_line(remedy)
        echo(f"  {escape.one_line(check)}: {found}\n    reason: {reason}\n    remedy: {remedy}")

    def end(self) -> int:
        """Print the summary and return the exit code."""
        skipped = f", {self.skipped} not checked" if self.skipped else ""
        echo(f"{self.things} checked: {self.passed} checks passed, {self.failed} failed{skipped}.")
        return 1 if self.failed else 0


class _Progress:
    """The check in progress: one overwritten line on a terminal, otherwise one line for the plugin."""

    def __init__(self, thing: str, checks: int) -> None:
        self.thing, self.checks = thing, checks
        self.live = sys.stderr.isatty()
        if not self.live:
            echo(f"Checking {thing} …", err=True)

    def log(self, number: int, check: str) -> None:
        """Show that a check begins."""
        if self.live:
            thing = escape.one_line(self.thing)
            click.echo(f"\r\033[KChecking {thing}: {check} ({number} of {self.checks}) …", err=True, nl=False)

    def clear(self) -> None:
        """Remove the line at the end of a plugin."""
        if self.live:
            click.echo("\r\033[K", err=True, nl=False)
