"""What reaches a screen: everything but what would harm it, and marks for what it cannot show."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import SMALL, error_of, fresh, succeed
from hypothesis import given
from hypothesis import strategies as st

from sunspring.cli.main import COMMANDS as COMMAND_NAMES
from sunspring.notices import displayable


def on_a_terminal(
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = ("-m", "sunspring"),
    columns: int = 80,
    interrupt_at: bytes | None = None,
) -> tuple[int, bytes]:
    """Run a command whose output goes to a terminal; returns its exit code and what was shown.

    It is interrupted where it shows what `interrupt_at` says.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [sys.executable, *program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **(environment or {})},
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := os.read(ours, 10_000):
            shown += chunk
            if interrupt_at is not None and interrupt_at in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return process.wait(), bytes(shown)


@given(st.text(st.characters()))
def test_only_harmful_characters_are_replaced(text: str) -> None:
    shown = displayable(text)
    assert len(shown) == len(text)
    for old, new in zip(text, shown, strict=True):
        is_override = unicodedata.bidirectional(old) in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        }
        is_harmful = (
            (unicodedata.category(old) == "Cc" and old not in "\n\t")
            or unicodedata.category(old) == "Cs"
            or is_override
        )
        assert new == ("\ufffd" if is_harmful else old)


@pytest.mark.parametrize(
    "kept", ["\u00a0", "👩\u200d👩\u200d👧", "می\u200cخواهم", "\u3000", "\u00ad"]
)
def test_spaces_and_joiners_are_kept(kept: str) -> None:
    assert displayable(kept) == kept


COMMANDS: list[Sequence[str]] = [
    ("write", "shakespeare", "--prompt", "To be é", "--length", "5"),
    ("score", "shakespeare", "lines.txt", "--top", "2"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(command: Sequence[str]) -> None:
    Path("lines.txt").write_text("To be 日本 é\n", encoding="utf-8")
    code, shown = on_a_terminal(*command, environment={"PYTHONIOENCODING": "cp1252"})
    assert code == 0, shown
    assert b"To be" in shown


def test_control_characters_of_a_line_do_not_reach_a_terminal_but_a_pipe() -> None:
    Path("lines.txt").write_bytes(b"To \x1b[2Jbe\n")
    code, shown = on_a_terminal("score", "shakespeare", "lines.txt")
    assert code == 0
    assert "\ufffd[2J" in shown.decode()
    piped = subprocess.run(
        [sys.executable, "-m", "sunspring", "score", "shakespeare", "lines.txt"],
        capture_output=True,
        check=True,
    )
    assert b"\x1b[2J" in piped.stdout


def test_json_on_a_terminal_has_control_characters_and_marks_of_direction_as_escapes() -> None:
    prompt = "To \x9b2J\u202ebe\x7f é"
    options = ("write", "shakespeare", "--prompt", prompt, "--length", "5", "--seed", "1", "--json")
    code, shown = on_a_terminal(*options)
    assert code == 0
    (line,) = (line for line in shown.decode().splitlines() if line.startswith("{"))
    assert r"To \u009b2J\u202ebe\u007f é" in line
    piped = succeed(*options)
    assert prompt in piped.out
    for name in ("prompt", "texts"):
        assert json.loads(line)[name] == piped.json[name]


IMPATIENT = (
    "import sys\n"
    "from sunspring import notices\n"
    "from sunspring.cli import main\n"
    "notices._FIRST_SECONDS = notices._LIVE_SECONDS = 0\n"
    "main.main()\n"
)
"""Code of a program that shows the progress of all work, however soon it is over."""


def test_a_bar_is_no_wider_than_the_terminal_that_it_is_on() -> None:
    Path("a.txt").write_text("To be, or not to be\n" * 500, encoding="utf-8")
    code, shown = on_a_terminal(
        "evaluate", "shakespeare", "a.txt", program=("-c", IMPATIENT), columns=30
    )
    assert code == 0
    bars = re.findall("\r\x1b\\[K([━─]+[^\r]*)", shown.decode())
    assert max(map(len, bars)) == 29


def test_a_bar_is_gone_where_work_is_interrupted() -> None:
    Path("a.txt").write_text("To be, or not to be\n" * 250_000, encoding="utf-8")
    end, shown = on_a_terminal(
        "evaluate", "shakespeare", "a.txt", program=("-c", IMPATIENT), interrupt_at=b"scoring: "
    )
    assert end == 130
    assert shown.endswith(b"\r\x1b[Ksunspring: interrupted\r\n")


def test_whatever_reads_or_measures_a_text_shows_a_bar_on_a_terminal() -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("To be, or not to be\n" * 500, encoding="utf-8")
    end, shown = on_a_terminal(
        "evaluate", "shakespeare", "a.txt", "b.txt", program=("-c", IMPATIENT)
    )
    assert end == 0
    for work in ("reading: 0 of 0 MB", "scoring: "):
        assert re.search(f"\r\x1b\\[K[━─]+ {work}", shown.decode()), shown


WORK: list[tuple[Sequence[str], Sequence[str]]] = [
    (("evaluate", "run", "--protocol", "windows"), ["scoring"]),
    (("evaluate", "run", "--mixture", "--dynamic"), ["counting n-grams", "scoring and learning"]),
    (("score", "run", "lines.txt", "--threshold", "50"), ["scoring the held-out lines"]),
    (("write", "run", "--count", "9", "--novel"), ["reading the known lines", "writing"]),
    (("write", "run", "--adapt", "lines.txt", "--count", "2"), ["learning from the pages"]),
    (("write", "run", "--no-copies-over", "30"), ["reading what must not be copied"]),
    (
        ("explain", "run", "--copied", "--out", "page.html"),
        ["looking for repeated lines", "looking for copies"],
    ),
]


@pytest.mark.parametrize(("command", "works"), WORK, ids=lambda words: " ".join(words))
def test_long_work_shows_a_bar_that_is_gone_at_the_end(
    english: Path, command: Sequence[str], works: Sequence[str]
) -> None:
    succeed("train", english, "--quiet", "--out", "run", "--steps", "2", *SMALL)
    Path("lines.txt").write_text("To be, or not to be\n" * 30, encoding="utf-8")
    code, shown = on_a_terminal(*command, program=("-c", IMPATIENT))
    assert code == 0, shown
    text = shown.decode()
    for work in works:
        assert f" {work}: " in text
    assert re.search("[━─]", text.rpartition("\x1b[K")[2]) is None


class TestVerbosity:
    def test_quiet_leaves_only_the_result(self, english: Path) -> None:
        done = succeed("train", english, "--quiet", "--out", "run", "--steps", "5", *SMALL)
        assert (done.out, done.err) == ("", "")
        assert succeed("write", "run", "--quiet", "--prompt", "Ж", "--length", "9").err == ""
        assert succeed("explain", "run", "--quiet", "--out", "page.html").err == ""
        done = succeed("evaluate", "run", "--quiet", "--json")
        assert done.json["characters"] == 4000
        assert done.err == ""

    def test_quiet_still_gives_errors(self) -> None:
        assert error_of("write", "nowhere", "--quiet").startswith("there is no model folder")

    def test_verbose_says_what_is_run_with_which_versions_and_for_how_long(self) -> None:
        done = succeed("score", "shakespeare", "--top", "2", "--verbose", stdin="To be\n")
        first, versions, last = done.err.splitlines()
        assert first == "running sunspring score shakespeare --top 2 --verbose"
        assert re.search(r"sunspring [\d.]+.*, numpy [\d.]+", versions)
        assert re.fullmatch(r"done in \d+\.\d s", last)
        assert done.out == succeed("score", "shakespeare", "--top", "2", stdin="To be\n").out

    @pytest.mark.parametrize("command", COMMAND_NAMES)
    def test_both_are_options_of_every_command_and_contradict_each_other(
        self, command: str
    ) -> None:
        shown = succeed(command, "--help").out
        assert "  --quiet " in shown
        assert "  --verbose " in shown
        arguments = {
            "train": [],
            "doctor": [],
            "compare": ["a", "b"],
            "quantize": ["a", "--out", "b"],
        }.get(command, ["a"])
        assert error_of(command, *arguments, "--quiet", "--verbose") == (
            "--quiet does not go with --verbose: leave one of them out"
        )

    def test_an_unexpected_error_is_one_line_unless_all_is_wanted(self) -> None:
        code = (
            "import sys\n"
            "from sunspring.cli import lines, main\n"
            "def score(options: lines.ScoreOptions) -> None:\n"
            "    raise ZeroDivisionError('of nothing')\n"
            "lines.score = score\n"
            "sys.argv[1:] = ['score', 'shakespeare', *sys.argv[1:]]\n"
            "main.main()\n"
        )
        short, long = fresh("-c", code), fresh("-c", code, "--verbose")
        assert (short.returncode, short.stderr.count("\n")) == (1, 1)
        assert "ZeroDivisionError: of nothing" in short.stderr
        assert "--verbose" in short.stderr
        assert long.returncode == 1
        assert "Traceback" in long.stderr
