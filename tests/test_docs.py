"""The documentation does what it says: its code runs, its listings are the program's, it builds.

A page's blocks run from top to bottom in one folder with the files below. Budgets of minutes and
epochs, and the one that `train` has by default, are cut to a few steps; all else runs as written.
What a page marks by `<!-- not run: reason -->` does not run.
"""

import contextlib
import io
import json
import os
import random
import re
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

import sunspring.api  # noqa: F401  (before capsys replaces the streams)
from sunspring.cli.main import COMMANDS, main
from sunspring.training.plan import PRESETS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
STEPS = 4
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+) -->\s*)?"
    r"^```(?P<kind>python|sh|console)\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
REASONS_NOT_TO_RUN = ("network", "install", "shared data", "make")


class Block(NamedTuple):
    """Code of a page; `line` is that of its first line."""

    kind: str
    code: str
    line: int
    reason: str | None

    def commands(self) -> Iterator[str]:
        """The lines of a shell block that call the program."""
        lines = self.code.replace("\\\n", " ").splitlines()
        if self.kind == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return (line for line in lines if "sunspring" in shlex.split(line, comments=True))


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["kind"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found["reason"],
        )
        for found in BLOCK.finditer(text)
    ]


def shortened(command: str) -> str:
    """Cut the budget of a training command to a few steps."""
    command = re.sub(r"--(minutes|epochs) +[\d.]+", f"--steps {STEPS}", command)
    has_budget = "--steps" in command or "--resume" in command
    return re.sub(
        r"(sunspring train)\b", rf"\1{'' if has_budget else f' --steps {STEPS}'}", command
    )


def run_python(block: Block, page: Path, names: dict[str, object]) -> None:
    code = re.sub(r"\b(minutes|epochs)=[\d.]+", f"steps={STEPS}", block.code)
    exec(compile("\n" * (block.line - 1) + code, str(page), "exec"), names)


def run_command(command: str) -> None:
    """Run one command; in this process, as importing PyTorch anew takes seconds, if it can be."""
    words = shlex.split(command, comments=True)
    if {"|", ">", "<", "&&"} & {*words} or words[0] != "sunspring":
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], env={**os.environ, "PATH": path}, check=True
        )
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, f"{command} ended with {ended.code}"
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def write_samples(folder: Path) -> None:
    """Write the files that the pages speak of, of made-up text with all the letters."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(300)]
    plays = [
        f"{draw.choice(words).upper()}:\n{' '.join(draw.choices(words, k=7)).capitalize()}, 'tis.\n"
        for _ in range(500)
    ]
    names = sorted({draw.choice(words).capitalize() + draw.choice("aeiou") for _ in range(400)})
    logs = [f"2026-01-{1 + i % 28:02} INFO user {i * 37 % 101} {words[i]}" for i in range(300)]
    levels = ["INFO", "ERROR"]
    rows = [{"message": line, "level": levels[i % 2]} for i, line in enumerate(logs)]
    files = {name: "".join(plays) for name in ("shakespeare.txt", "corpus.txt", "train.txt")}
    files |= {name: "".join(plays[:100]) for name in ("valid.txt", "test.txt", "draft.txt")}
    files |= {
        f"my-stories/{kind}/{number}.txt": "The door. " + "".join(plays[number * 20 :][:20])
        for kind in ("horror", "comedy")
        for number in range(10)
    }
    files |= {
        "names.txt": "\n".join(names),
        "names.csv": "name,kind\n"
        + "".join(f"{name},{('river', 'hill')[i % 2]}\n" for i, name in enumerate(names)),
        "server.log": "\n".join(logs),
        "chat.txt": "".join(
            f"27/11/2025, 10:{i % 60:02} - {('Anna', 'Ben')[i % 2]}: {line}\n"
            for i, line in enumerate("".join(plays[:60]).splitlines())
        ),
        "events.csv": "message,level\n" + "".join(f"{r['message']},{r['level']}\n" for r in rows),
        "events.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [*filter(blocks, PAGES)], ids=page_name)
def test_the_code_of_a_page_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_samples(tmp_path)
    names: dict[str, object] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.reason is None and block.kind == "python":
            run_python(block, page, names)
        elif block.reason is None:
            for command in block.commands():
                run_command(shortened(command))


def test_what_is_not_run_says_a_reason_that_counts() -> None:
    reasons = [block.reason for page in PAGES for block in blocks(page) if block.reason]
    assert reasons
    assert [
        reason for reason in reasons if not any(known in reason for known in REASONS_NOT_TO_RUN)
    ] == []


def test_every_block_of_code_is_found() -> None:
    for page in PAGES:
        fences = re.findall(r"^```(?:python|sh|console)$", page.read_text("utf-8"), re.MULTILINE)
        assert len(blocks(page)) == len(fences), page_name(page)


@pytest.mark.parametrize(
    ("command", "shorter"),
    [
        ("sunspring train a.txt --minutes 2.5 --out b", "sunspring train a.txt --steps 4 --out b"),
        ("sunspring train a.txt", "sunspring train --steps 4 a.txt"),
        ("sunspring train --out b --resume", "sunspring train --out b --resume"),
        ("sunspring write b --length 9", "sunspring write b --length 9"),
    ],
)
def test_budgets_are_cut_to_steps(command: str, shorter: str) -> None:
    assert shortened(command) == shorter


def test_the_command_line_page_shows_the_help_of_the_program() -> None:
    page = DOCS / "reference" / "command-line.md"
    with_help = runpy.run_path(str(DOCS / "update_reference.py"))["with_help"]
    text = page.read_text(encoding="utf-8")
    assert text.count("```text\n$ sunspring") == 1 + len(COMMANDS)
    assert with_help(text) == text, "run python docs/update_reference.py"


@pytest.mark.parametrize(
    ("script", "function", "name"),
    [
        ("update_reference.py", "settings_page", "reference/settings.md"),
        ("draw_rooms.py", "picture", "rooms.svg"),
    ],
)
def test_what_is_made_from_the_code_is_up_to_date(script: str, function: str, name: str) -> None:
    made = runpy.run_path(str(DOCS / script))[function]()
    assert made == (DOCS / name).read_text(encoding="utf-8"), f"run python docs/{script}"


def test_the_command_line_page_lists_every_preset() -> None:
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    table = page.split("| preset |")[1].split("\n\n")[0]
    assert {*re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", table, re.MULTILINE)} >= {*PRESETS}
    missing = [
        name
        for name in PRESETS
        if name not in ("rnn", "gru") and PRESETS[name].summary not in table
    ]
    assert missing == []


@pytest.fixture(scope="module")
def printed_json(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What the commands print with --json."""
    folder = tmp_path_factory.mktemp("json")
    write_samples(folder)
    commands = {
        "train": f"sunspring train shakespeare.txt --steps {STEPS} --out run --json",
        "write": "sunspring write run --length 5 --json",
        "evaluate": "sunspring evaluate run --json",
        "quantize": "sunspring quantize run --out small --json",
        "doctor": "sunspring doctor --json",
        "score": "sunspring score run draft.txt --json",
        "explain": "sunspring explain run draft.txt --json",
        "compare": "sunspring compare run --json",
    }
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, command in commands.items():
            output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
                run_command(command)
            output.seek(0)
            printed[name] = json.loads(output.read())
    return printed


@pytest.mark.parametrize(
    "command",
    ["train", "write", "evaluate", "quantize", "doctor", "score", "explain", "compare"],
)
def test_the_files_page_lists_the_keys_of_a_command_s_json(command: str, printed_json) -> None:
    page = (DOCS / "reference" / "files.md").read_text(encoding="utf-8")
    section = page.split(f"### `{command} --json`")[1].split("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*printed_json[command]]


class Page(HTMLParser):
    """A built page: where it leads, what can be led to, and what a browser would load for it."""

    LOADING = (
        ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"),
        ("audio", "src"), ("embed", "src"), ("object", "data"),
    )  # fmt: skip
    MERE_LINKS = ("canonical", "next", "prev", "edit", "alternate")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in self.MERE_LINKS:
            self.loaded.append(values["href"])
        self.loaded += [
            values[name] for kind, name in self.LOADING if kind == tag and name in values
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_the_site_has_all_pages_and_no_scripts_of_ours(site: Path, pages) -> None:
    assert len(pages) == len([page for page in PAGES if page.is_relative_to(DOCS)])
    assert not list(site.rglob("*.py"))


def test_no_page_loads_anything_from_elsewhere(site: Path, pages) -> None:
    assert any(page.loaded for page in pages.values())
    assert [
        address for page in pages.values() for address in page.loaded if is_elsewhere(address)
    ] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))
    for path in pages:  # only these would make the theme's script fetch one from a CDN
        assert "mermaid" not in path.read_text(encoding="utf-8")


def test_every_link_of_the_site_leads_to_something(site: Path, pages) -> None:
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(site)} links to {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors | {"__skip"}, link
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_repository_s_own_pages_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / name).read_text(encoding="utf-8"))
    missing = [link for link in links if not is_elsewhere(link) and not (ROOT / link).exists()]
    assert missing == []


def test_the_python_reference_shows_the_public_names(pages) -> None:
    (reference,) = [page for path, page in pages.items() if path.parent.name == "python"]
    public = {"sunspring.api.train", "sunspring.api.load", "sunspring.api.Model"}
    methods = {f"sunspring.api.Model.{name}" for name in ("write", "stream", "score", "save")}
    assert public | methods | {"sunspring.errors.SunspringError"} <= reference.anchors
