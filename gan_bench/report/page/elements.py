"""Elements of HTML and SVG as escaped markup, and the templates of the sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gan_bench import escape

Attribute = str | int | float | None

_EMPTY = frozenset({"path", "use", "rect", "circle", "img"})
"""Elements that have no end tag if they have no content."""


def element(name: str, attributes: Mapping[str, Attribute], *children: str) -> Markup:
    """Element of HTML or SVG. Attributes that are None are left out; children that are not `Markup` are escaped."""
    given = "".join(f' {key}="{_attribute(key, value)}"' for key, value in attributes.items() if value is not None)
    if name in _EMPTY and not children:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{''.join(map(text, children))}</{name}>")


def text(value: str) -> str:
    """Escape a text, unless it is markup."""
    return value if isinstance(value, Markup) else escape.html(value)


def joined(parts: Iterable[Markup]) -> Markup:
    """Concatenate markup."""
    return Markup("".join(parts))


def _attribute(key: str, value: str | float) -> str:
    if isinstance(value, str):
        return value if key == "d" else text(value)  # the data of a path, which is ours, may be long
    return f"{value:g}"


def titled(title: str, attributes: Mapping[str, Attribute], *children: str) -> Markup:
    """SVG image with a title, which screen readers read instead of its parts."""
    return element("svg", {"role": "img", "aria-label": title, **attributes}, *children)


@dataclass(frozen=True)
class DataTable:
    """Plain table of the values of a chart. The first cell of a row is its heading."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def render(template: str, **values: Any) -> Markup:
    """Fill a template; every value is escaped unless it is markup."""
    return Markup(environment().get_template(template).render(**values))


@cache
def environment() -> Environment:
    """Templates of the page."""
    made = Environment(
        loader=PackageLoader("gan_bench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    made.filters["block"] = lambda value: Markup(escape.html_block(value))
    made.filters["named"] = lambda value: value if value.strip() else "(no name)"
    return made


def _printable(value: object) -> object:
    """Put texts on one line, without control characters; jinja escapes their markup."""
    return escape.one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value
