"""The English text that every Python carries, to learn from where no other is at hand."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

EMBEDDED_VERSION = 1
"""Of what is taken from Python's own texts."""

_CHARACTERS = 1_050_000


def embedded_text() -> str:
    """Give the English text that every Python carries: its topics of help, and its docstrings.

    The docstrings come from the standard library's sources, parsed and not imported, in the order
    of the modules' names, until there are a little over a million characters.
    """
    from pydoc_data.topics import topics

    texts = [topics[topic].strip() for topic in sorted(topics)]
    size = sum(map(len, texts))
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        if size > _CHARACTERS:
            break
        if path.stem in sys.stdlib_module_names:
            docstrings = list(_docstrings(ast.parse(path.read_bytes())))
            size += sum(map(len, docstrings))
            texts += docstrings
    return "\n\n".join(texts) + "\n"


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    if docstring := ast.get_docstring(node):
        yield docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _docstrings(child)
