"""BibTeX entries of models, from the citations that their plugins' module docstrings begin with."""

from __future__ import annotations

import re

from gan_bench import escape

_PAPER = re.compile(r"(?P<title>[^()]+?) \((?P<source>[^()]+)\)")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")


def bibtex(plugin: str, citation: str) -> str:
    """Entry of one model.

    Title and authors are fields of the entry if the citation has the form ``Title of the Paper (Authors; Venue Year,
    arXiv ID)``. A sentence about a variant of a paper is a note instead, since it has another title.
    """
    sentence = escape.one_line(citation)
    year, arxiv = _YEAR.search(sentence), _ARXIV.search(sentence)
    paper = _PAPER.match(sentence)
    authors = _authors(paper["source"]) if paper and _is_title(paper["title"]) else ""
    fields = []
    if paper and authors:
        fields += [("title", f"{{{escape.latex(paper['title'])}}}"), ("author", authors)]
        venue = _venue(paper["source"])
        fields += [("howpublished", escape.latex(venue))] if venue else []
    else:
        fields += [("note", escape.latex(sentence))]
    fields += [("year", year[0])] if year else []
    fields += [("eprint", arxiv[0]), ("archivePrefix", "arXiv")] if arxiv else []
    return _entry("misc", re.sub(r"[^A-Za-z0-9-]+", "-", plugin) + (year[0] if year else ""), fields)


def software(version: str) -> str:
    """Entry of gan-bench."""
    fields = [("title", "{gan-bench}"), ("author", "{The gan-bench authors}"), ("version", escape.latex(version))]
    return _entry("software", "gan-bench", fields)


def _entry(kind: str, key: str, fields: list[tuple[str, str]]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _is_title(text: str) -> bool:
    """Whether each word of four letters or more begins with a capital, unlike in a sentence."""
    return all(word[0].isupper() or word == "with" for word in re.findall(r"[A-Za-z][A-Za-z-]{3,}", text))


def _authors(source: str) -> str:
    """Family names of the authors, joined as in BibTeX; empty if the source does not begin with names."""
    names = re.split(r";|, (?=arXiv|[A-Za-z ]*\d{4})", source)[0].strip()
    if not names or any(character.isdigit() for character in names):
        return ""
    others = names.endswith(" et al.")
    found = [name.strip() for name in names.removesuffix(" et al.").split(",") if name.strip()]
    return escape.latex(" and ".join([*found, *(["others"] if others else [])]))


def _venue(source: str) -> str:
    """Venue without year and number; empty if the paper is only on arXiv."""
    parts = re.split(r"[;,] ", source)[1:]
    named = [_YEAR.sub("", part).strip() for part in parts if not _ARXIV.search(part)]
    return next((part for part in named if re.search("[A-Z]{2}|[A-Z][a-z]+[A-Z]", part)), "")
