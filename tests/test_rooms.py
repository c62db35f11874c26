"""The rooms of docs/architecture.md, compared with the imports in the package.

Every import counts: at the top of a module, inside a function, or for type checks alone.
"""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

import sunspring
from sunspring.cli.main import COMMANDS, app
from sunspring.runs.request import TrainingRequest
from sunspring.settings import settings_of
from sunspring.writing.settings import WritingSettings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sunspring"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_ENTRIES = 26
LONGEST = 500  # lines, unless the module's docstring says why


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the page, cell by cell."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROOMS = [re.findall(r"`(\w+)(?:/|\.py)`", row[0]) for row in rows("The rooms")]
"""What each row of the table names, from top to bottom."""
PLACE = {name: place for place, names in enumerate(ROOMS) for name in names}
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path.read_text("utf-8")
    for path in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")))  # .pyi: in C++
}


def imported(code: str, of: str = "sunspring") -> Iterator[str]:
    """What a module imports of a package: the names after the package's own."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "write relative imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (
            name.removeprefix(f"{of}.") for name in names if name == of or name.startswith(f"{of}.")
        )


def module_of(name: str, modules: Mapping[str, str]) -> str:
    """The module that an imported name is, or is part of."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules else f"{name}.__init__"


def room_of(module: str) -> str:
    return module.split(".")[0]


def violations(modules: Mapping[str, str], place: Mapping[str, int]) -> list[str]:
    """Imports of a room from one below it in the table."""
    return [
        f"{module} imports {name}"
        for module, code in modules.items()
        for name in imported(code)
        if place[room_of(module_of(name, modules))] > place[room_of(module)]
    ]


def circle(modules: Mapping[str, str]) -> list[str]:
    """Modules that import one another in a circle; none if there is none."""
    edges = {
        module: {module_of(name, modules) for name in imported(code)}
        for module, code in modules.items()
    }
    done: set[str] = set()

    def find(module: str, way: Sequence[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(edges.get(module, ())):
            if other != module and (found := find(other, [*way, module])):
                return found
        done.add(module)
        return []

    return next((found for module in modules if (found := find(module, []))), [])


def test_the_table_lists_every_entry_of_the_package_once() -> None:
    entries = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.name not in ("py.typed", "__pycache__") and path.suffix != ".so"
    }
    listed = [name for names in ROOMS for name in names]
    assert sorted(listed) == sorted(entries)
    assert len(listed) <= MOST_ENTRIES


def test_a_room_imports_only_from_rooms_above_it() -> None:
    assert violations(MODULES, PLACE) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circle(MODULES) == []


def test_imports_against_the_order_and_circles_are_found_wherever_they_stand() -> None:
    modules = {
        "text.__init__": '"""."""',
        "text.files": "if TYPE_CHECKING:\n import sunspring.runs.log",
        "runs.log": "def later():\n from sunspring.text import files",
    }
    place = {"text": 0, "runs": 1}
    assert violations(modules, place) == ["text.files imports runs.log"]
    assert circle(modules) == ["text.files", "runs.log", "text.files"]


@pytest.mark.parametrize("room", sorted({room_of(name) for name in MODULES if "." in name}))
def test_a_room_says_what_it_is_for_and_nothing_else(room: str) -> None:
    (only,) = ast.parse(MODULES[f"{room}.__init__"]).body
    assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_with_a_docstring_and_gives_a_reason_if_it_is_long(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[name]))
    assert docstring
    if len(MODULES[name].splitlines()) > LONGEST:
        assert "One file, although" in docstring, (
            f"more than {LONGEST} lines: say why, or make it shorter"
        )


def private_names(code: str) -> tuple[set[str], set[str]]:
    """The names with an underscore that a module makes, and all that it speaks of."""
    made, spoken = set[str](), set[str]()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (made if is_own and isinstance(node.ctx, ast.Store) else spoken).add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            spoken |= {each.name for each in node.names}
    is_private = re.compile("_[^_]").match
    return {*filter(is_private, made)}, {*filter(is_private, spoken)}


def private_names_of_others(modules: Mapping[str, str]) -> list[str]:
    """Names with an underscore that a module takes from another one."""
    found = {name: private_names(code) for name, code in modules.items()}
    everywhere = set().union(*(made for made, _ in found.values()))
    return [
        f"{name}: {each}"
        for name, (made, spoken) in found.items()
        for each in sorted(spoken & everywhere - made)
    ]


def test_no_private_name_crosses_a_module() -> None:
    assert private_names_of_others(MODULES) == []


@pytest.mark.parametrize(
    "code",
    ["from sunspring.a import _find", "a._find()", "class B(A):\n def f(self): self._find()"],
)
def test_private_names_of_others_are_found(code: str) -> None:
    modules = {"a": "class A:\n def _find(self): ...", "b": code}
    assert private_names_of_others(modules) == ["b: _find"]


# Packages of others

AT_THE_TOP = {
    "network": {
        "attention",
        "dropout",
        "fused",
        "loops",
        "mixture",
        "network",
        "predictor",
        "recurrence",
        "scoring",
        "weights",
    },
    "writing": {"torch_writer"},
    "training": {"gradients", "objective", "optimizers", "race", "speeds", "trainer"},
    "evaluation": {"dynamic", "mixture"},
    "runs": {"capacity", "record", "train"},
    "explanation": {"gradient_flow"},
}
"""What may import PyTorch when it is imported itself: the modules that compute with it."""

OWNERS = {
    "backports": {"text.packing"},
    "compression": {"text.packing"},  # in the standard library from Python 3.14 on
    "click": {"cli.main", "cli.console", "cli.parameters", "cli.training"},
    "jinja2": {"pages.html"},
    "IPython": {"runs.progress"},
    "lxml": {"text.markup"},
    "markdown_it": {"text.markdown"},
    "platformdirs": {"storage"},
    "pooch": {"text.downloads"},
    "pypdfium2": {"text.pdf"},
    "requests": {"text.downloads"},
    "tokenizers": {"corpus.subwords", "corpus.vocabulary"},
}
"""Packages of others, but for numpy, safetensors and PyTorch: what alone may import each."""


def test_only_named_modules_import_pytorch_at_their_top() -> None:
    importing: dict[str, set[str]] = {}
    for name, code in MODULES.items():
        top = ast.Module(
            [
                each
                for each in ast.parse(code).body
                if isinstance(each, ast.Import | ast.ImportFrom)
            ],
            [],
        )
        if [*imported(ast.unparse(top), of="torch")]:
            importing.setdefault(room_of(name), set()).add(name.rpartition(".")[2])
    assert importing == AT_THE_TOP


def test_packages_of_others_are_imported_by_their_owners_alone() -> None:
    importing: dict[str, set[str]] = {}
    for name, code in MODULES.items():
        for node in ast.walk(ast.parse(code)):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for package in {each.partition(".")[0] for each in names}:
                importing.setdefault(package, set()).add(name)
    others = importing.keys() - (sys.stdlib_module_names - {"compression"})
    assert {
        name: importing[name] for name in others - {"sunspring", "numpy", "safetensors", "torch"}
    } == OWNERS


def test_models_write_and_explain_in_a_process_without_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("sunspring.network.engine", reason="the native engine was not built")
    code = """
import sys
import sysconfig
sys.modules["torch"] = None
import sunspring
model = sunspring.load("shakespeare")
model.write("ROMEO:", length=20)
model.score("To be")
model.encode(["To be"])
sys.argv = ["sunspring", "explain", "shakespeare", "--text", "To be", "--out", "page.html"]
from sunspring.cli.main import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").exists()


def test_help_imports_nothing_that_takes_long() -> None:
    code = "import sys; sys.argv = ['sunspring', '--help']\nfrom sunspring.cli.main import main\n"
    code += "try:\n main()\nexcept SystemExit:\n print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "train" in done.stdout
    assert {"numpy", "torch", "jinja2", "safetensors"} & {*done.stderr.split()} == set()


# Settings

PARAMETERS: Mapping[str, tuple[type, Callable[..., Any]]] = {
    "train": (TrainingRequest, sunspring.train),
    "write": (WritingSettings, sunspring.Model.write),
}


@pytest.mark.parametrize("command", PARAMETERS)
def test_every_setting_is_an_option_and_a_parameter(command: str) -> None:
    assert command in COMMANDS
    owner, function = PARAMETERS[command]
    known = inspect.signature(function).parameters
    shown = CliRunner().invoke(app, [command, "--help"], terminal_width=200).output
    for name, each in settings_of(owner).items():
        assert name in known
        assert known[name].default == each.default
        assert (each.declared.argument or each.option) in shown


# Where to change what


class Change(NamedTuple):
    """A change of one line, and a program that shows its effect from outside.

    Args:
        file: of the package.
        old: the line, or what of it changes.
        new: what it becomes.
        program: prints something that the change has an effect on.
        before: what it prints before the change.
        after: what it prints after it.
    """

    file: str
    old: str
    new: str
    program: str
    before: str
    after: str


CHANGES = {
    "a sampling option": Change(
        "writing/settings.py",
        '0,\n        "Draw only from this many of the most probable tokens; 0 for all."',
        '40,\n        "Draw only from this many of the most probable tokens; 0 for all."',
        """
import inspect, sys
import sunspring
print(inspect.signature(sunspring.Model.stream).parameters["top_k"].default)
from sunspring.cli.main import main
sys.argv = ["sunspring", "write", "--help"]
try:
    main()
except SystemExit:
    pass
""",
        r"^0\n.*--top-k INTEGER[^[]*\[default:\s+0;",
        r"^40\n.*--top-k INTEGER[^[]*\[default:\s+40;",
    ),
    "a kind of source": Change(
        "text/tables.py",
        '    "ndjson": _read_json,\n',
        '    "ndjson": _read_json,\n    "records": _read_json,\n',
        """
from pathlib import Path
from typing import Any, NamedTuple
from sunspring.errors import SourceError
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions
from sunspring.text.sources import read_passages
Path("letters.records").write_text('{"body": "Dear all"}\\n')
try:
    options = ReadingOptions(documents="lines")
    print([each.text for each in read_passages(find_sources(["letters.records:body"], options))])
except SourceError as error:
    print(error)
""",
        r"^letters\.records:body ",
        r"^\['Dear all'",
    ),
    "charts": Change(
        "pages/charts.py",
        "_TICKS = 6 ",
        "_TICKS = 12 ",
        """
from sunspring.explanation.page import copying_chart
print(len(copying_chart([0.0, 0.5, 1.0], [0.0, 0.4, 1.0]).y_ticks))
""",
        r"^6$",
        r"^11$",
    ),
    "a learning-rate law": Change(
        "training/laws.py",
        "_RATE_OF_ONE_EPOCH, _LEAST_RATE, _HIGHEST_RATE = 0.008, 0.002, 0.008",
        "_RATE_OF_ONE_EPOCH, _LEAST_RATE, _HIGHEST_RATE = 0.008, 0.002, 0.006",
        """
from sunspring.training.budget import Budget
from sunspring.training.plan import Throughput, make_plan, read_overrides
plan = make_plan(
    preset="auto", vocabulary_size=65, labels=(), training_characters=1_000_000, documents=1,
    budget=Budget("epochs", 1.0), throughput=Throughput(256, 20_000), overrides=read_overrides({}),
)
print(plan.recipe.optimization.learning_rate)
""",
        r"^0\.008$",
        r"^0\.006$",
    ),
}


def printed(program: str, package: Path, folder: Path) -> str:
    """What a program prints that imports the package from elsewhere."""
    libraries = [package.parent, *sysconfig.get_paths().values()]
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],  # -S: without what an editable install puts first
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, libraries)), "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("feature", CHANGES)
def test_the_page_leads_to_the_one_line_that_a_change_takes(feature: str, tmp_path: Path) -> None:
    (row,) = [each for each in rows("Where to change what") if each[0].startswith(feature)]
    change = CHANGES[feature]
    assert re.findall(r"`([\w/.]+)`", row[1]) == [change.file]
    package = tmp_path / "sunspring"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (package / change.file).read_text(encoding="utf-8")
    assert re.search(change.before, printed(change.program, package, tmp_path), re.DOTALL)
    assert code.count(change.old) == 1
    (package / change.file).write_text(code.replace(change.old, change.new), encoding="utf-8")
    assert re.search(change.after, printed(change.program, package, tmp_path), re.DOTALL)


@pytest.mark.long  # it builds the engine
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_an_instruction_set_is_a_header_and_a_line(tmp_path: Path) -> None:
    (row,) = [each for each in rows("Where to change what") if each[0].startswith("an instruction")]
    assert re.findall(r"`([\w/.]+)`", row[1]) == ["src/native/vectors/"]
    project = tmp_path / "project"
    for name in ("src", "CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        project.mkdir(exist_ok=True)
        copy(ROOT / name, project / name)
    vectors, build = project / "src/native/vectors", project / "CMakeLists.txt"
    header = (
        (vectors / "scalar.h").read_text("utf-8").replace('kName = "scalar"', 'kName = "plain"')
    )
    (vectors / "plain.h").write_text(header, encoding="utf-8")
    line = "add_kernels(scalar)\n"
    assert build.read_text("utf-8").count(line) == 1
    build.write_text(build.read_text("utf-8").replace(line, f"add_kernels(plain)\n{line}"), "utf-8")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path]
    subprocess.run([*pip, project], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    program = """
import os
import sunspring
from sunspring.network import engine
print(*[name for name in engine.instruction_sets() if name in ("plain", "scalar")])
for name in ("plain", "scalar"):
    os.environ["SUNSPRING_ENGINE_ISA"] = name
    print(repr(sunspring.load("shakespeare").write("ROMEO:", length=40, seed=1)))
"""
    names, plain, scalar = printed(program, tmp_path / "sunspring", tmp_path).splitlines()
    assert names == "plain scalar"
    assert plain == scalar
