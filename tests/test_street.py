"""The one-way street of docs/architecture.md, compared with the imports in the package."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sunspring"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STREET = re.findall(r"^\d+\. `(\w+)\.pyi?`", PAGE, re.MULTILINE)
FRONT = "__init__"  # hands out the public names, stands at no place
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    for path in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi"))  # .pyi: written in C++
    if path != PACKAGE / f"{FRONT}.py"
)
LONGEST = 400


def source(module: str) -> str:
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    return (path if path.exists() else path.with_suffix(".pyi")).read_text(encoding="utf-8")


def imports(code: str) -> Iterator[str]:
    """The package's modules that a module imports: at its top, in functions, for type checks."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "sunspring":
            names = [f"sunspring.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}"]
        else:
            continue
        for name in names:
            assert not name.startswith("."), f"write relative imports in full: {name}"
            if name.startswith("sunspring."):
                yield name.split(".")[1]


def test_the_street_lists_every_module_once() -> None:
    assert sorted(STREET) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    before = STREET[: STREET.index(module)] if module in STREET else []
    assert {*imports(source(module))} - {*before} == set()


def test_the_front_of_the_package_hands_out_the_interface_and_errors_alone() -> None:
    assert {*imports(source(FRONT))} == {"api", "errors"}


@pytest.mark.parametrize("module", [FRONT, *MODULES])
def test_a_module_opens_with_a_docstring(module: str) -> None:
    assert ast.get_docstring(ast.parse(source(module)))


@pytest.mark.parametrize("module", [FRONT, *MODULES])
def test_a_module_is_short_enough_to_read(module: str) -> None:
    assert len(source(module).splitlines()) <= LONGEST


def test_imports_are_seen_wherever_they_stand() -> None:
    code = """
from typing import TYPE_CHECKING
import sunspring.corpus
from sunspring import options
if TYPE_CHECKING:
    from sunspring.api import Model
def later():
    from sunspring.runs import train
"""
    assert [*imports(code)] == ["corpus", "options", "api", "runs"]


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="in full"):
        list(imports("from .api import Model"))
