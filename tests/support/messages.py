"""Messages recorded in one golden file, so that their wording can be edited without editing tests.

A test asserts the kind of a problem (the exception's class, the exit code) and its place (file, line, key, label). The
whole message is compared with `tests/messages.json`. After changing a message, record it and read the difference:

    pytest -n0 --update-messages tests/config/test_load.py
    git diff tests/messages.json

Messages of other libraries and of the operating system do not belong there: they change with their versions.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "messages.json"
OPTION = "--update-messages"


class Messages:
    """Messages of one test, compared with the recorded ones in the order in which the test checks them.

    Args:
        test: identifier of the test, `FILE::CLASS::NAME[PARAMETERS]`.
        hidden: texts that differ between machines and runs, each with what is recorded in its place.
        update: whether messages are recorded instead of compared.
    """

    def __init__(self, test: str, hidden: Mapping[str, str], update: bool) -> None:
        self.test = test
        self.hidden = dict(hidden)
        self.update = update
        self.found: list[str] = []

    def check(self, message: object, *parts: object, hide: Mapping[str, str] | None = None) -> None:
        """Compare a message with the recorded one.

        Args:
            message: the whole text; an exception stands for its text.
            parts: the place and the values that the message must name, whatever its wording.
            hide: further texts that differ between runs, each with what is recorded in its place.
        """
        text = str(message)
        for part in parts:
            assert str(part) in text, f"the message does not name {str(part)!r}:\n{text}"
        for each, label in {**self.hidden, **(hide or {})}.items():
            text = text.replace(each, label)
        self.found.append(text)
        if self.update:
            return
        place = len(self.found) - 1
        recorded = read().get(self.test, [])
        assert place < len(recorded), f"message {place + 1} of {self.test} is not recorded; use {OPTION}:\n{text}"
        assert text == recorded[place]

    @contextmanager
    def raises(
        self, kind: type[BaseException], *parts: object, hide: Mapping[str, str] | None = None
    ) -> Iterator[pytest.ExceptionInfo[BaseException]]:
        """Expect an exception of the class `kind` whose message names `parts` and is worded as recorded."""
        with pytest.raises(kind) as caught:
            yield caught
        self.check(caught.value, *parts, hide=hide)

    def write(self) -> None:
        """Record the messages that the test has checked."""
        recorded = {test: texts for test, texts in read.__wrapped__().items() if is_test(test)}
        recorded.pop(self.test, None)
        if self.found:
            recorded[self.test] = self.found
        GOLDEN.write_text(json.dumps(dict(sorted(recorded.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")


@cache
def read() -> dict[str, list[str]]:
    """Recorded messages by test, in the order in which each test checks them."""
    recorded: dict[str, list[str]] = json.loads(GOLDEN.read_text("utf-8"))
    return recorded


def is_test(test: str) -> bool:
    """Whether a recorded test still exists; its parameters are not looked at."""
    path, *names = re.sub(r"\[.*", "", test, flags=re.DOTALL).split("::")
    return (ROOT / path).is_file() and names[-1] in _functions(ROOT / path)


@cache
def _functions(path: Path) -> frozenset[str]:
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)
    )


def hidden_texts(tmp_path: Path) -> dict[str, str]:
    """Paths of this machine, each with what is recorded in its place; longer ones first."""
    return {str(tmp_path): "TMP", str(ROOT): "PROJECT", sys.prefix: "PREFIX", str(Path.home()): "HOME"}


def plugin_lists(message: object) -> dict[str, str]:
    """Shortened lists of plugins in a message, each with what is recorded instead: every new plugin changes them."""
    return {found: "PLUGINS" for found in re.findall(r"[\w-]+(?:, [\w-]+)+, … \(\d+[^)]*\)", str(message))}
