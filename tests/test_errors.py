"""Promises of the texts that list allowed names."""

from __future__ import annotations

from gan_bench.names import allowed, listed
from tests.support.messages import Messages


class TestAllowed:
    def test_goes_on_after_a_semicolon(self, messages: Messages) -> None:
        """Only the beginning of a sentence has a capital: after the question if there is one."""
        messages.check(allowed("mgna", ["gan", "mgan"]), "'mgan'", "gan, mgan")
        messages.check(allowed("nope", ["gan", "mgan"]), "gan, mgan")

    def test_knows_a_papers_spelling(self, messages: Messages) -> None:
        """A paper's capitals match lower-case names."""
        messages.check(allowed("DCGAN", ["dcgan", "mlp"]), "'dcgan'?")

    def test_is_a_sentence_where_nothing_was_found(self, messages: Messages) -> None:
        """Names are sorted, long lists are shortened, and an empty list is reported as none."""
        messages.check(listed(["b", "a"]), "a, b")
        messages.check(listed(["c", "b", "a"], limit=2), "a, b, …", "3")
        messages.check(listed([]), "none")
