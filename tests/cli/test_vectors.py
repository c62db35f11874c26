"""Lines as vectors: `Model.encode` and `sunspring encode`."""

from pathlib import Path

import numpy as np
import pytest
from commands import error_of, succeed

import sunspring
from sunspring.writing.settings import EngineChoice

LINES = ["ROMEO:", "", "JULIET:", "naïve 日本", "ROMEO:"]


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_each_text_has_a_vector_of_its_own(engine: EngineChoice) -> None:
    model = sunspring.load("shakespeare", engine=engine)
    vectors = model.encode(LINES)
    assert vectors.shape == (5, 2 * 248)
    assert (np.abs(vectors) <= 1).all()
    np.testing.assert_array_equal(vectors[0], vectors[4])
    np.testing.assert_allclose(vectors[2], model.encode(["JULIET:"])[0], atol=1e-6)
    assert model.encode([]).shape == (0, 2 * 248)


def test_both_engines_give_nearly_the_same() -> None:
    engines: tuple[EngineChoice, ...] = ("native", "torch")
    native, torch = (
        sunspring.load("shakespeare", engine=engine).encode(LINES) for engine in engines
    )
    assert np.abs(native - torch).mean() < 0.01


def test_texts_that_go_on_alike_are_close() -> None:
    speaker, other, prose = sunspring.load("shakespeare").encode(
        ["\nFirst Lord:", "\nSecond Lord:", "the king of the realm is "]
    )
    assert np.linalg.norm(speaker - other) < np.linalg.norm(speaker - prose)


@pytest.mark.parametrize("ending", [".npy", ".csv", None])
def test_command_writes_a_vector_for_each_line(ending: str | None) -> None:
    Path("lines.txt").write_text("".join(f"{line}\n" for line in LINES))
    out = ("--out", f"vectors{ending}") if ending else ()
    done = succeed("encode", "shakespeare", "lines.txt", *out)
    if ending == ".npy":
        found = np.load("vectors.npy")
    else:
        text = Path("vectors.csv").read_text() if ending else done.out
        found = np.array([row.split(",") for row in text.splitlines()], np.float32)
    np.testing.assert_array_equal(found, sunspring.load("shakespeare").encode(LINES))


def test_no_lines_are_no_vectors() -> None:
    assert succeed("encode", "shakespeare").out == ""
    succeed("encode", "shakespeare", "--out", "none.npy")
    assert len(np.load("none.npy")) == 0


def test_what_cannot_be_is_one_line() -> None:
    assert "neither .npy nor .csv" in error_of("encode", "shakespeare", "--out", "vectors.txt")
    assert "nowhere/vectors.npy" in error_of(
        "encode", "shakespeare", "--out", "nowhere/vectors.npy"
    )
