"""What the commands say about the held-out part of a text."""

from pathlib import Path

import pytest
from commands import succeed
from files import write

FEW = ("--preset", "tiny", "--steps", "8", "--out", "run")
LINES = [f"Line number {number} is not like any other.\n" for number in range(200)]


def test_of_the_training_text_itself_is_said_plainly() -> None:
    name = write("a.txt", "".join(LINES))
    done = succeed("train", name, "--heldout", name, *FEW, "--json")
    assert done.json["heldout"]["overlap"] == 1
    said = "all of it is in the training text too, line for line"
    lines = done.err.splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("held-out text:"))
    assert lines[place + 1].startswith(said)

    evaluated = succeed("evaluate", "run").out.splitlines()
    assert evaluated[1].startswith(said)
    page = Path("run/report.html").read_text("utf-8")
    assert said in page
    assert "never seen" not in page


def test_that_is_new_is_called_so() -> None:
    name = write("a.txt", "".join(LINES))
    done = succeed("train", name, *FEW, "--json")
    assert done.json["heldout"]["overlap"] < 0.01
    assert "training text too" not in done.err
    assert "never seen" in Path("run/report.html").read_text("utf-8")

    assert succeed("evaluate", "run", "--json").json["overlap"] < 0.01
    assert succeed("evaluate", "run", name, "--json").json["overlap"] == pytest.approx(
        0.9, abs=0.02
    )
    other = write("b.txt", "".join(f"Another line {number}\n" for number in range(100)))
    assert succeed("evaluate", "run", other, "--json").json["overlap"] == 0


def test_that_cannot_be_whole_documents_is_said_in_every_run() -> None:
    write("texts/long/novel.txt", "".join(LINES))
    write("texts/short/note.txt", "Only a note.\n")
    options = ("--documents", "files", "--label-folders", "--preset", "tiny", "--steps", "8")
    for out in ("one", "two"):
        said = succeed("train", "texts", *options, "--out", out).err
        assert "nothing is held out of labels that have too few documents: short\n" in said
        assert "to take whole ones" in said
        assert "2 documents, labels long, short" in said
