"""Promises of BibTeX entries: fields of a paper's citation, or the whole sentence as a note."""

from __future__ import annotations

import re

import pytest

from gan_bench.report.page.citations import bibtex, software

MGAN = "MGAN: Training GANs with Multiple Generators (Hoang, Nguyen, Le, Phung; ICLR 2018, arXiv 1708.02556)."

CASES = {
    MGAN: {
        "title": "{MGAN: Training GANs with Multiple Generators}",
        "author": "Hoang and Nguyen and Le and Phung",
        "howpublished": "ICLR",
        "year": "2018",
        "eprint": "1708.02556",
        "archivePrefix": "arXiv",
    },
    "Generative Adversarial Nets (Goodfellow et al., NeurIPS 2014, arXiv 1406.2661).": {
        "title": "{Generative Adversarial Nets}",
        "author": "Goodfellow and others",
        "howpublished": "NeurIPS",
        "year": "2014",
        "eprint": "1406.2661",
        "archivePrefix": "arXiv",
    },
    "InfoGAN: Interpretable Representation Learning (Chen et al.; arXiv 1606.03657).": {
        "title": "{InfoGAN: Interpretable Representation Learning}",
        "author": "Chen and others",
        "eprint": "1606.03657",
        "archivePrefix": "arXiv",
    },
    "MGAN's game with one generator: a control of MGAN (Hoang et al., ICLR 2018).": {
        "note": "MGAN's game with one generator: a control of MGAN (Hoang et al., ICLR 2018).",
        "year": "2018",
    },
    "A 100% new {model} of _mine_": {"note": r"A 100\% new \{model\} of \_mine\_"},
}


@pytest.mark.parametrize(("citation", "fields"), CASES.items())
def test_fields(citation: str, fields: dict[str, str]) -> None:
    """A sentence that is not a title is a note, so that no title is invented."""
    entry = bibtex("mgan", citation)
    assert dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE)) == fields


def test_keys_are_valid() -> None:
    """A key has the name of the plugin and the year."""
    assert bibtex("mgan", MGAN).startswith("@misc{mgan2018,\n")
    assert bibtex("my, model}", "Nothing").startswith("@misc{my-model-,\n")


def test_software() -> None:
    """The entry of the project has its version."""
    assert "  version = {1.2}," in software("1.2")
