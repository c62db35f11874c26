"""English text that comes with every Python, to train on when no source is given.

It is whatever reads like prose in Python's help topics and in the docstrings of its standard
library: no tables, code, doctests or signatures.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

EMBEDDED_VERSION = 2
"""Version of the choice of passages; a corpus made from another version is made again."""

_CHARACTERS = 1_050_000
_FEWEST_CHARACTERS, _FEWEST_WORDS = 40, 8  # of a paragraph
_LONGEST_LINE = 90
_LEAST_PROSE = 0.92  # share of letters, spaces and plain punctuation
_PROSE = re.compile(r"[A-Za-z \n.,;:'\"]")
_CODE = (">>>", "+--", "|", "::", "->", "=")
_LEFT_OUT = {"test", "idlelib", "lib2to3", "pydoc_data", "turtledemo", "__pycache__"}


def embedded_text() -> str:
    """Return the text: distinct paragraphs, up to a little over a million characters.

    Help topics come first, then the modules by name, parsed but not imported.
    """
    paragraphs: dict[str, None] = {}
    size = 0
    for paragraph in _paragraphs():
        if paragraph not in paragraphs:
            paragraphs[paragraph] = None
            size += len(paragraph) + 2
        if size > _CHARACTERS:
            break
    return "\n\n".join(paragraphs) + "\n"


def _paragraphs() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from _prose(topics[name] for name in sorted(topics))
    for path in _modules(Path(os.__file__).parent):
        yield from _prose(_docstrings(ast.parse(path.read_bytes())))


def _modules(library: Path) -> Iterator[Path]:
    """Find the modules of the standard library, sorted by name."""
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT):
        if (module := library / f"{name}.py").is_file():
            yield module
        for folder, subfolders, files in os.walk(library / name):
            subfolders[:] = sorted(set(subfolders) - _LEFT_OUT)
            yield from (Path(folder, each) for each in sorted(files) if each.endswith(".py"))


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    if docstring := ast.get_docstring(node):
        yield docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _docstrings(child)


def _prose(texts: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs of texts that read like prose, without indentation."""
    for text in texts:
        for block in re.split(r"\n\s*\n", text):
            lines = textwrap.dedent(block).strip("\n").split("\n")
            paragraph = "\n".join(line.rstrip() for line in lines)
            if _is_prose(paragraph):
                yield paragraph


def _is_prose(paragraph: str) -> bool:
    lines = paragraph.split("\n")
    return (
        len(paragraph) >= _FEWEST_CHARACTERS
        and len(paragraph.split()) >= _FEWEST_WORDS
        and (paragraph[0].isupper() or paragraph[0] in "\"'(")
        and paragraph[-1] in ".!?:\"')"
        and max(map(len, lines)) <= _LONGEST_LINE
        and not any(line.startswith((" ", "\t")) for line in lines)
        and not any(mark in paragraph for mark in _CODE)
        and len(_PROSE.findall(paragraph)) >= _LEAST_PROSE * len(paragraph)
    )
