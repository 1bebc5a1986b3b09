"""What messages say of names that are allowed."""

from __future__ import annotations

from gan_bench.names import allowed, listed


class TestAllowed:
    def test_goes_on_after_a_semicolon(self) -> None:
        """A capital begins a sentence only: after the question where there is one."""
        assert allowed("mgna", ["gan", "mgan"]) == "did you mean 'mgan'? Known: gan, mgan."
        assert allowed("nope", ["gan", "mgan"]) == "known: gan, mgan."

    def test_knows_a_papers_spelling(self) -> None:
        """Names are lower case here, and nobody has to know."""
        assert allowed("DCGAN", ["dcgan", "mlp"]).startswith("did you mean 'dcgan'?")

    def test_is_a_sentence_where_nothing_was_found(self) -> None:
        """In order; of many only some, and of none that there are none."""
        assert listed(["b", "a"]) == "Known: a, b."
        assert listed(["c", "b", "a"], limit=2) == "Known: a, b, … (3 in all)."
        assert listed([]) == "Known: none."
