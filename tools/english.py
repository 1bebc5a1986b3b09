"""Count phrases that the style page of CONTRIBUTING.md rules out, in docstrings, comments and pages.

    python tools/english.py                      each hit as FILE:LINE: phrase, then hits per 1,000 lines by folder
    python tools/english.py gan_bench/store      one folder or file
    python tools/english.py --limit 8 --quiet    only the counts; exit with 1 above 8 hits per 1,000 lines

Replacing a word by a synonym does not help: write the sentence again. Code, quotations in backticks, tables and
generated pages are not counted. `ALLOWED` lists the exceptions with a reason each.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PLACES = ("gan_bench", "plugins", "examples", "tools", "tests", "docs", "README.md", "CONTRIBUTING.md")
READMES = "results/published/*/README.md"
GENERATED = frozenset({"docs/commands.md", "docs/models.md"})
"""Pages written by tools from docstrings and help texts."""

PHRASES = {
    "tell": r"tells?|told|telling",
    "say": r"says?|said|saying",
    "hear": r"hears?|heard|hearing",
    "stand": r"(?:stands?|stood|standing)(?!-in)",
    "ask": r"asks? for|asked for|asking for|(?:is|are|was|were|be|been|being) asked|asked of",
    "want": r"wants?|wanted|wanting",
    "know": r"knows|knew|knows? (?:itself|themselves)|learns? of|learnt of|lets? [\w ]{1,30} know",
    "bring": r"brings?|brought|bringing",
    "go on": r"go on|goes on|going on|gone on|went on|gone",
    "where there is": r"where there (?:is|are|was)|where (?:it|they) (?:is|are|has|have) (?:one|none|no|any|some)",
    "where … else": r"where\b[^.;:]{1,120}?[,;] else",
    "what is … of": r"what (?:is|are|was) \w+ of",
    "made": r"made (?:of|ready|anew|whole|known)|makes? (?:ready|anew|known)",
    "carry out": r"carry out|carries out|carried out|carrying out",
    "anew": r"anew",
    "anybody": r"nobody|anybody|somebody|everybody|whoever",
    "by itself": r"(?:by|of) (?:itself|themselves)",
    "of its own": r"of (?:its|their|one's|his) own",
    "is none": r"(?:is|are|was|were) (?-i:none)",
    "is no X": r"(?<!there )(?:is|are|was|were) no (?!(?:longer|more|less|better|worse|larger|smaller|one)\b)\w+",
    "mend": r"mends?|mended|mending",
    "live": r"lives|lived|live in",
}
"""Patterns that are counted anywhere in a sentence, by the name of the phrase."""

SUMMARY = re.compile(
    r"(?P<question>What|How|Who|Whose|Where|When|Which)\b|(?P<whether>Whether)\b|(?P<gerund>(?!\w+thing)\w+ing)\b"
)
"""Words that are counted at the beginning of a docstring. "Whether" counts unless the docstring describes a boolean."""

NOUNS = frozenset(
    {
        "String",
        "Docstring",
        "Moving",
        "Learning",
        "Training",
        "Setting",
        "Warning",
        "Mapping",
        "Missing",
        "Scaling",
        "Rounding",
    }
)
"""Words that end like gerunds and begin a summary as nouns or adjectives."""

ALLOWED = {
    "is no reason": "an idiom that any reader knows",
    "stand for": "what a symbol means",
    "stands for": "what a symbol means",
    "an environment of its own": "the usual word for a virtual environment",
    "a process of its own": "the usual word for a process that nothing else shares",
}
"""Expressions that are not counted, with the reason for each."""

_ALLOWED = re.compile("|".join(rf"\b{re.escape(each)}\b" for each in ALLOWED), re.IGNORECASE)
_CODE = re.compile(r"``.+?``|`[^`]+`|\"[^\"\n]{1,60}\"|\]\([^)]*\)")
_PARAMETER = re.compile(r"^\s+\w+:")
_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|pragma|!/|ruff:|mypy:)")
_WORDS = re.compile(
    "|".join(rf"(?P<p{i}>\b(?:{pattern})\b)" for i, pattern in enumerate(PHRASES.values())), re.IGNORECASE
)

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Text:
    """Consecutive lines of prose.

    Attributes:
        line: number of the first line in its file.
        summary: whether the first line is the summary of a docstring.
        boolean: whether the docstring describes a boolean.
    """

    line: int
    lines: tuple[str, ...]
    summary: bool = False
    boolean: bool = False


@dataclass(frozen=True)
class Hit:
    """Phrase at a line of a file."""

    line: int
    phrase: str
    found: str


def python_texts(source: str) -> Iterator[Text]:
    """Yield docstrings of a module, its classes, functions and attributes, and comments."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            continue
        for place, statement in enumerate(body):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                continue
            if isinstance(statement.value.value, str):
                owner = node if place == 0 else body[place - 1]
                yield Text(statement.lineno, tuple(statement.value.value.split("\n")), True, _is_boolean(owner))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
            yield Text(token.start[0], (token.string.lstrip("# "),))


def _is_boolean(node: ast.AST) -> bool:
    """Whether a function returns a boolean, or an attribute is one."""
    annotation = getattr(node, "returns", None) or getattr(node, "annotation", None)
    return annotation is not None and re.search("bool|TypeGuard", ast.unparse(annotation)) is not None


def page_texts(source: str) -> Iterator[Text]:
    """Yield paragraphs of a Markdown page, without code blocks and tables."""
    paragraph: list[str] = []
    start, fenced = 1, False
    for number, line in enumerate([*source.split("\n"), ""], 1):
        fence = line.lstrip().startswith("```")
        if fence:
            fenced = not fenced
        table = line.startswith("|")  # tables of the style page contain phrases to avoid
        code = fence or fenced or table or (not paragraph and line.startswith("    "))
        if line.strip() and not code:
            start = start if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield Text(start, tuple(paragraph))
            paragraph = []


def hits(text: Text) -> Iterator[Hit]:
    """Yield the phrases of a text that are counted."""
    joined = " ".join(_PARAMETER.sub(_blank, line) if text.summary else line for line in text.lines)
    starts = [0]
    for line in text.lines:
        starts.append(starts[-1] + len(line) + 1)
    plain = _ALLOWED.sub(_blank, _CODE.sub(_blank, joined))
    for match in _WORDS.finditer(plain):
        row = sum(start <= match.start() for start in starts[1:])
        name = list(PHRASES)[int(str(match.lastgroup)[1:])]
        yield Hit(text.line + row, name, re.sub(r"\s+", " ", match[0]))
    first = SUMMARY.match(text.lines[0]) if text.summary else None
    if first and first[0] not in NOUNS and not (first["whether"] and text.boolean):
        yield Hit(text.line, "summary", first[0])


def _blank(found: re.Match[str]) -> str:
    """Replace a match by as many characters that belong to no word."""
    return "§" * len(found[0])


def texts(file: Path) -> Iterator[Text]:
    """Yield the texts of a file in which phrases are counted."""
    source = file.read_text(encoding="utf-8")
    yield from python_texts(source) if file.suffix == ".py" else page_texts(source)


def files(places: Sequence[str]) -> Iterator[Path]:
    """Yield Python files and pages below some places of the project."""
    for place in places:
        found = ROOT / place
        below = [found] if found.is_file() else sorted([*found.rglob("*.py"), *found.rglob("*.md")])
        yield from (each for each in below if each.relative_to(ROOT).as_posix() not in GENERATED)


def folder_of(name: str) -> str:
    """Return the folder that a file is counted in: two levels of the core, one level elsewhere."""
    parts = name.split("/")
    return "/".join(parts[: 2 if len(parts) > 2 and parts[0] in ("gan_bench", "plugins", "results") else 1])


def main() -> None:
    """Print hits and rates; exit with 1 above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="PLACE", help="folders or files (default: the whole project)")
    parser.add_argument("--limit", type=float, help="hits per 1,000 lines above which to exit with 1")
    parser.add_argument("--quiet", action="store_true", help="print only the counts")
    given = parser.parse_args()
    places = given.places or [*PLACES, *(str(each.relative_to(ROOT)) for each in sorted(ROOT.glob(READMES)))]

    lines, found, kinds = Counter[str](), Counter[str](), Counter[str]()
    for file in files(places):
        name = file.relative_to(ROOT).as_posix()
        for text in texts(file):
            lines[folder_of(name)] += sum(bool(line.strip()) for line in text.lines)
            for hit in hits(text):
                found[folder_of(name)] += 1
                kinds[hit.phrase] += 1
                if not given.quiet:
                    print(f"{name}:{hit.line}: {hit.found}")
    for folder in sorted(lines):
        print(f"{folder:32} {found[folder]:5} hits {1000 * found[folder] / lines[folder]:7.1f} per 1,000 lines")
    rate = 1000 * found.total() / max(1, lines.total())
    print(f"{'all':32} {found.total():5} hits {rate:7.1f} per 1,000 of {lines.total()} lines")
    print(", ".join(f"{name} {count}" for name, count in kinds.most_common()))
    sys.exit(1 if given.limit is not None and rate > given.limit else 0)


if __name__ == "__main__":
    main()
