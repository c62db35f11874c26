"""Lines scored one by one: `sunspring score`, and what it is made of."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chains import START, chain_model
from commands import SMALL, error_of, succeed

import sunspring
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.explanation.line_scores import UNSEEN_BITS, heldout_threshold, score_lines

NAMES = CharacterVocabulary("ab", end=True, unknown=False)
MODEL = chain_model(
    NAMES,
    {
        "<|end|>": {"a": 0.5, "b": 0.5},
        "a": {"a": 0.25, "b": 0.25, "<|end|>": 0.5},
        "b": {"b": 0.875, "<|end|>": 0.125},
    },
)


def bits_of(*lines: str) -> list[float]:
    return [score.bits for score in score_lines(MODEL, lines)]


class TestScores:
    def test_are_the_surprisal_of_the_line_and_its_end(self) -> None:
        assert bits_of("a", "ab", "aa") == pytest.approx([2, 6, 4], abs=1e-4)

    def test_of_an_empty_line_are_those_of_its_end(self) -> None:
        (score,) = score_lines(MODEL, [""])
        assert score.characters == 1
        assert score.bits > 20  # it never comes

    def test_charge_for_characters_that_the_model_does_not_know(self) -> None:
        assert bits_of("aé") == pytest.approx([2 + UNSEEN_BITS], abs=1e-4)
        assert score_lines(MODEL, ["aéb"])[0].characters == 4

    def test_count_as_many_characters_as_there_are(self) -> None:
        assert [score.characters for score in score_lines(MODEL, ["a", "abb"])] == [2, 4]

    def test_do_not_depend_on_the_other_lines(self) -> None:
        lines = ["".join(random.Random(i).choices("ab", k=i % 9)) for i in range(300)]
        assert bits_of(*lines) == [bits_of(line)[0] for line in lines]

    def test_of_no_lines_are_none(self) -> None:
        assert score_lines(MODEL, []) == []

    def test_of_a_model_without_ends_are_those_of_its_characters(self) -> None:
        letters = CharacterVocabulary("ab", end=False, unknown=False)
        rows = {"a": {"a": 0.5, "b": 0.5}, "b": {"a": 1}, START: {"a": 1}}
        (score,) = score_lines(chain_model(letters, rows), ["ab"])
        assert score.characters == 2


def log_line(draw: random.Random) -> str:
    verb, noun = draw.choice(["opened", "closed", "moved"]), draw.choice(["door", "file", "lock"])
    return (
        f"{draw.randrange(24):02}:{draw.randrange(60):02} user {draw.randrange(100)} {verb} {noun}"
    )


@pytest.fixture(scope="module")
def log_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    draw = random.Random(0)
    (folder / "server.log").write_text("".join(f"{log_line(draw)}\n" for _ in range(3000)))
    options = ("--documents", "lines", "--steps", "250", *SMALL)
    succeed("train", folder / "server.log", "--out", folder / "run", *options)
    return folder / "run"


class TestThreshold:
    def test_is_the_percentile_of_the_heldout_lines(self, log_model: Path) -> None:
        model = sunspring.load(log_model)
        corpus = model.open_text()
        lines = list(corpus.heldout_lines())
        assert len(lines) == corpus.heldout.document_count
        scores = [score.bits_per_character for score in score_lines(model, lines)]
        for percentile in (0, 50, 99, 100):
            expected = np.percentile(scores, percentile)
            assert heldout_threshold(model, corpus, percentile) == pytest.approx(expected)

    def test_lets_through_what_is_unlike_the_log(self, log_model: Path) -> None:
        draw = random.Random(1)
        normal = [log_line(draw) for _ in range(200)]
        broken = [line[::-1] for line in normal[:20]] + [line.upper() for line in normal[:20]]
        text = "\n".join([*normal, *broken]) + "\n"
        done = succeed("score", log_model, "--threshold", "99", stdin=text)
        shown = [line.split("\t")[2] for line in done.out.splitlines()]
        assert set(broken) <= set(shown)
        assert len(set(shown) & set(normal)) <= 10

    @pytest.mark.parametrize("percentile", ["-1", "101"])
    def test_that_is_no_percentile_is_an_error(self, log_model: Path, percentile: str) -> None:
        message = error_of("score", log_model, f"--threshold={percentile}")
        assert message == f"threshold is {percentile}.0: it must be between 0 and 100"

    def test_needs_the_text_of_the_run(self) -> None:
        assert "training text of this model is not known" in error_of(
            "score", "shakespeare", "--threshold", "99"
        )


class TestCommand:
    def test_gives_a_line_for_each(self) -> None:
        Path("lines.txt").write_bytes(b"To be\r\n\nor not")
        done = succeed("score", "shakespeare", "lines.txt")
        rows = [line.split("\t") for line in done.out.splitlines()]
        assert [row[2] for row in rows[:2]] == ["To be", ""]
        bits, per_character = map(float, rows[0][:2])
        assert bits == pytest.approx(5 * per_character, abs=0.01)
        model = sunspring.load("shakespeare")
        assert bits == pytest.approx(model.score("To be").sum(), abs=0.01)
        assert len(rows) == 3

    def test_json_has_the_same(self) -> None:
        done = succeed("score", "shakespeare", "--json", "--top", "1", stdin="To bq\nthe\n")
        report: dict[str, Any] = done.json
        assert report["threshold"] is None
        assert report["engine"] == "native"
        first = report["lines"][0]
        assert (first["line"], first["text"], first["characters"]) == (1, "To bq", 5)
        assert first["bits_per_character"] == pytest.approx(first["bits"] / 5)
        assert first["top"][0]["text"] == "q"

    def test_takes_bytes_that_are_no_text_if_asked_to(self) -> None:
        options = ("--errors", "surrogateescape", "--json")
        (line,) = succeed("score", "shakespeare", *options, stdin=b"or \xff not").json["lines"]
        assert line["bits"] > UNSEEN_BITS

    def test_top_shows_what_surprised_most(self) -> None:
        done = succeed("score", "shakespeare", "--top", "2", stdin="To be or n日t\n")
        surprises = done.out.rstrip("\n").split("\t")[3].split(", ")
        assert surprises[0] == f"'日' {UNSEEN_BITS:.1f}"
        assert len(surprises) == 2

    def test_answers_lines_as_they_come(self) -> None:
        command = [sys.executable, "-m", "sunspring", "score", "shakespeare"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in ("To be", "or not"):
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
                assert process.stdout.readline().endswith(f"\t{line}\n")
            process.stdin.close()
        assert process.returncode == 0

    def test_that_is_not_there_is_one_line(self) -> None:
        message = error_of("score", "shakespeare", "nowhere.txt")
        assert message == "nowhere.txt does not exist: check the path"
        Path("folder").mkdir()
        message = error_of("score", "shakespeare", "folder")
        assert message.startswith("the folder folder has no text files")
        assert error_of("score", "shakespeare", "--top=-1") == "top is -1: it must be at least 0"

    def test_of_nothing_is_nothing(self) -> None:
        assert succeed("score", "shakespeare").out == ""
