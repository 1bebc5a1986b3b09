"""Foreign text in an output format: terminal, Markdown, LaTeX, CSV, HTML and figures.

Labels, messages, names and docstrings come from plugins and from results folders of others. Every writer passes them
through the function of its format. A control character, a bidirectional mark or half a surrogate pair is replaced by
its escape, such as ``\\x1b``: a terminal would execute it, and an encoder would refuse it.
"""

from __future__ import annotations

import html as _html
import re

LONGEST_LINE = 1_000
"""Largest number of characters of a foreign text in a line or cell for readers. CSV is not cut."""

LONGEST_TEXT = 20_000
"""Largest number of characters of a foreign text of several lines."""

FORMULA = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH COMMERCIAL AT}")
"""Characters that make a spreadsheet compute a cell that begins with them."""


def printable(text: str) -> str:
    """Replace each character that is not printable by its escape, as in a Python string."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(text: str) -> str:
    """Put text on one line: for terminals, logs and figures. A text that is too long is cut."""
    begin = text[: 4 * LONGEST_LINE]  # splitting 2 MB into words takes time
    plain = printable(" ".join(begin.split()))
    return plain if len(plain) <= LONGEST_LINE and begin == text else cut(plain, LONGEST_LINE, whole=len(text))


def several_lines(text: str) -> str:
    """Keep line breaks and the spaces that begin a line: for messages and descriptions in a terminal."""
    if len(text) > LONGEST_TEXT:
        text = cut(text, LONGEST_TEXT, whole=len(text))
    return "\n".join(map(printable, text.expandtabs(4).replace("\r\n", "\n").split("\n")))


def cut(text: str, most: int, *, whole: int) -> str:
    """Cut a text, and append the number of characters of the `whole` text."""
    return f"{text[:most]}… ({whole:,} characters)"


def shortened(label: str, most: int, share: float = 0.5) -> str:
    """Shorten a long label in the middle: the labels of an ablation differ at the end.

    `share` of the characters that are kept are the last ones.
    """
    if len(label) <= most:
        return label
    end = int(max(0, most - 1) * share)
    return f"{label[: max(0, most - end - 1)]}…{label[len(label) - end :]}"


def markdown(text: str) -> str:
    """Escape text for a cell or a paragraph of Markdown."""
    text = re.sub(r"[\\`*|<~$]", r"\\\g<0>", one_line(text))
    text = re.sub(r"&(?=#?\w+;)|\](?=[(\[:])", r"\\\g<0>", text)
    # Inside a word Markdown leaves an underscore alone, as in symmetric_kl.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def markdown_block(text: str) -> str:
    """Escape text for a heading or list item, also what would begin a list, task, quotation or heading in it."""
    text = markdown(text)
    text = re.sub(r"^(?:[#>+=-]|\[(?=[ xX]\]))", r"\\\g<0>", text)
    text = re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", text)
    return re.sub(r"(?<!\\)(#+)$", r"\\\1", text)


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def latex_row(cells: list[str]) -> str:
    r"""Join cells of LaTeX to a row of a table.

    The command of the line above, a rule or ``\\``, takes a bracket or a star that follows as its argument; a row that
    begins with one therefore begins with an empty group.
    """
    return latex_line(" & ".join(cells)) + r" \\"


def latex_line(line: str) -> str:
    r"""Protect the beginning of a line that follows ``\\``."""
    return "{}" + line if line.startswith(("[", "*")) else line


def html(text: str) -> str:
    """Escape text for an element or a quoted attribute of HTML or SVG, on one line."""
    return _html.escape(one_line(text))


def html_block(text: str) -> str:
    """Escape text of several lines for an element of HTML that keeps white space."""
    return _html.escape(several_lines(text))


def json_in_html(text: str) -> str:
    """Escape JSON for a script element of HTML: no tag, comment or entity can begin in it."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def csv_cell(text: str) -> str:
    """Text for a cell of CSV: on one line, whole, and never a formula. A number remains a number.

    A text that a spreadsheet would compute has an apostrophe in front; `from_csv_cell` removes it.
    """
    text = printable(re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", text))
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) and not _is_number(text) else text


def from_csv_cell(cell: str) -> str:
    """Text of a cell that `csv_cell` wrote."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA) else cell


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)", text, re.ASCII) is not None


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--",
    "…": r"\ldots{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\rightarrow$",
}
