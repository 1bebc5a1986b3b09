"""Promises of the recorded messages: each belongs to a test, and a changed wording is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_bench.errors import UsageError
from tests.support.messages import Messages, hidden_texts, is_test, read

THIS = "tests/test_messages.py::TestMessages::test_a_recorded_wording_is_compared"


class TestMessages:
    def test_every_recorded_message_belongs_to_a_test(self) -> None:
        assert [test for test in read() if not is_test(test)] == []

    def test_a_recorded_wording_is_compared(self, messages: Messages) -> None:
        with messages.raises(UsageError, "--workers"):
            raise UsageError("--workers: an example of a message.")
        with pytest.raises(AssertionError):
            Messages(THIS, {}, False).check("--workers: another wording.")

    def test_an_unrecorded_message_names_the_option_that_records_it(self) -> None:
        with pytest.raises(AssertionError, match="--update-messages"):
            Messages("tests/test_messages.py::unknown", {}, False).check("text")

    def test_the_place_is_asserted_whatever_is_recorded(self) -> None:
        with pytest.raises(AssertionError, match=r"does not name 'b\.toml'"):
            Messages(THIS, {}, True).check("a.toml:3: wrong", "b.toml")

    def test_paths_of_the_machine_are_not_recorded(self, tmp_path: Path) -> None:
        found = Messages(THIS, hidden_texts(tmp_path), True)
        found.check(f"{tmp_path}/b.toml: wrong", hide={"wrong": "WRONG"})
        assert found.found == ["TMP/b.toml: WRONG"]
