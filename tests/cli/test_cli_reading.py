"""Every command reads files as `train` does: one reader for lines, texts and prompts."""

import codecs
import gzip
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import error_of, fresh, run, succeed
from files import write

TEXT = "Once more, caf\u00e9\nand the second line\n"
SAME: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "crlf": (TEXT.replace("\n", "\r\n").encode(), ()),
    "mark": (TEXT.encode("utf-8-sig"), ()),
    "utf-16": (TEXT.encode("utf-16"), ()),
    "utf-16-be": (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), ()),
    "gzip": (gzip.compress(TEXT.encode()), ()),
    "latin-1": (TEXT.encode("latin-1"), ("--encoding", "latin-1")),
    "stray": (TEXT.encode().replace(b"line", b"li\xffne"), ("--errors", "ignore")),
}
every_form = pytest.mark.parametrize("form", SAME)
MODEL = "shakespeare"


@every_form
@pytest.mark.parametrize("is_piped", [False, True])
def test_score_reads_it_as_the_same_lines(form: str, is_piped: bool) -> None:
    content, options = SAME[form]
    expected = succeed("score", MODEL, write("plain.txt", TEXT), "--json").json
    place: Any = ("-",) if is_piped else (write("a.txt", content),)
    stdin = content if is_piped else b""
    assert succeed("score", MODEL, *place, "--json", *options, stdin=stdin).json == expected


@every_form
def test_encode_reads_it_as_the_same_lines(form: str) -> None:
    content, options = SAME[form]
    succeed("encode", MODEL, write("plain.txt", TEXT), "--out", "plain.npy")
    succeed("encode", MODEL, write("a.txt", content), "--out", "a.npy", *options)
    np.testing.assert_array_equal(np.load("a.npy"), np.load("plain.npy"))


@every_form
def test_explain_reads_it_as_the_same_text(form: str) -> None:
    content, options = SAME[form]
    expected = succeed("explain", MODEL, "--text", TEXT.removesuffix("\n"), "--json").json
    assert succeed("explain", MODEL, write("a.txt", content), "--json", *options).json == expected


@every_form
def test_write_reads_it_as_the_same_prompt(form: str) -> None:
    content, options = SAME[form]
    expected = succeed("write", MODEL, "--prompt", TEXT, "--length", "0").out
    prompt = ("--prompt-file", write("a.txt", content), "--length", "0")
    assert succeed("write", MODEL, *prompt, *options).out == expected


@pytest.mark.parametrize("form", ["utf-16", "latin-1"])
def test_models_learn_from_it_and_are_measured_on_it(form: str, trained: Path) -> None:
    _, options = SAME[form]
    plain, name = write("plain.txt", TEXT * 20), write("a.txt", (TEXT * 20).encode(form))
    for command in (
        ("write", MODEL, "--length", "20", "--seed", "1", "--adapt"),
        ("evaluate", MODEL, "--json"),
        ("compare", MODEL, MODEL, "--text"),
    ):
        of_it = succeed(*command, name, *options).out
        if command[0] != "compare":  # it measures speeds
            assert of_it == succeed(*command, plain).out
    succeed("quantize", trained, name, "--out", "small", *options)


@pytest.mark.parametrize(
    "command",
    [("score", MODEL), ("encode", MODEL), ("explain", MODEL, "--json"), ("evaluate", MODEL)],
    ids=str,
)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\0\1", "a.bin is binary, with a zero byte at 4"),
        (b"caf\xe9", "a.bin is not valid utf-8 at byte 3: give its encoding, as in --encoding"),
        (None, "a.bin does not exist"),
    ],
)
def test_what_is_no_text_is_refused(
    command: tuple[str, ...], content: bytes | None, message: str
) -> None:
    if content is not None:
        write("a.bin", content)
    assert message in error_of(*command, "a.bin")


def test_a_prompt_that_is_no_text_is_refused() -> None:
    name = write("a.bin", b"\x89PNG\0\1")
    assert "a.bin is binary" in error_of("write", MODEL, "--prompt-file", name)


def test_rows_of_a_table_are_lines() -> None:
    write("t.csv", 'id;text\n1;one\n2;"two\nlines"\n')
    lines = succeed("score", MODEL, "t.csv:text", "--json").json["lines"]
    assert [each["line"] for each in lines] == [1, 2]
    assert lines[1]["text"] == "two\nlines"


def test_options_of_files_are_refused_where_write_reads_none() -> None:
    done = run("write", MODEL, "--encoding", "latin-1")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "--encoding does not go with a prompt that is not from a file" in done.err


def test_lines_are_scored_as_they_arrive() -> None:
    code = "from sunspring.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "score", MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        for line in ("B", "To be, or not to be", ""):  # the first might begin a packed file
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode().rstrip("\n").endswith(line)
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_the_version_is_said() -> None:
    done = fresh("-m", "sunspring", "--version")
    assert done.stdout == "sunspring, version 0.1.0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "shakespeare"),
        ("quantize", "shakespeare", "--out", "small"),
        ("compare", "shakespeare", "shakespeare"),
        ("explain", "shakespeare", "--text", "To be", "--out", "page.html"),
        ("write", "shakespeare"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_how_to_read_a_file_is_refused_where_none_is_read(arguments: Sequence[str]) -> None:
    message = error_of(*arguments, "--encoding", "latin-1")
    assert message.startswith("--encoding does not go with ")
