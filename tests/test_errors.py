"""Promises of the texts that list allowed names."""

from __future__ import annotations

from gan_bench.names import allowed, listed


class TestAllowed:
    def test_goes_on_after_a_semicolon(self) -> None:
        """Only the beginning of a sentence has a capital: after the question if there is one."""
        assert allowed("mgna", ["gan", "mgan"]) == "did you mean 'mgan'? Known: gan, mgan."
        assert allowed("nope", ["gan", "mgan"]) == "known: gan, mgan."

    def test_knows_a_papers_spelling(self) -> None:
        """A paper's capitals match lower-case names."""
        assert allowed("DCGAN", ["dcgan", "mlp"]).startswith("did you mean 'dcgan'?")

    def test_is_a_sentence_where_nothing_was_found(self) -> None:
        """Names are sorted, long lists are shortened, and an empty list is reported as none."""
        assert listed(["b", "a"]) == "Known: a, b."
        assert listed(["c", "b", "a"], limit=2) == "Known: a, b, … (3 in all)."
        assert listed([]) == "Known: none."
