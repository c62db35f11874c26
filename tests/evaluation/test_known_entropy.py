"""On a source whose entropy is known, what is measured must come down to it, and never below."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
from commands import succeed

LETTERS = "abcd"
LENGTH = 60_000


def markov_source() -> tuple[str, dict[str, list[float]]]:
    """Write with a random Markov chain of the second order; gives its rows too."""
    draw = np.random.default_rng(5)
    rows = {a + b: draw.dirichlet([0.4] * 4).tolist() for a in LETTERS for b in LETTERS}
    chooser, text = random.Random(0), "ab"
    for _ in range(LENGTH - 2):
        text += chooser.choices(LETTERS, rows[text[-2:]])[0]
    return text, rows


def entropy(rows: dict[str, list[float]]) -> float:
    """Bits per character in the long run: by the stationary distribution over pairs."""
    pairs = list(rows)
    moves = np.zeros((16, 16))
    for pair in pairs:
        for letter, chance in zip(LETTERS, rows[pair], strict=True):
            moves[pairs.index(pair), pairs.index(pair[1] + letter)] += chance
    share = np.full(16, 1 / 16)
    for _ in range(5000):
        share = share @ moves
    own = [-sum(p * math.log2(p) for p in rows[pair] if p > 0) for pair in pairs]
    return float(share @ own)


def test_comes_down_to_the_entropy_of_a_markov_source(tmp_path: Path) -> None:
    text, rows = markov_source()
    (tmp_path / "text.txt").write_text(text)
    heldout = text[-LENGTH // 10 :]
    before = text[: -len(heldout)]
    costs = [
        -math.log2(rows[(before[-2:] + heldout)[n : n + 2]][LETTERS.index(heldout[n])])
        for n in range(len(heldout))
    ]
    floor = float(np.mean(costs))  # of this very text, by the source itself
    assert floor == pytest.approx(
        entropy(rows), abs=4 * float(np.std(costs)) / math.sqrt(len(costs))
    )
    options = ("--preset", "tiny", "--set", "hidden_size=32", "--set", "pointer=0")
    above = []
    for steps in (5, 40, 600):
        run = f"run{steps}"
        succeed("train", "text.txt", "--out", run, "--steps", str(steps), *options)
        evaluation = succeed("evaluate", run, "--json").json
        assert evaluation["characters"] == len(heldout)
        above.append(evaluation["bpc"] - floor)
    assert above[0] > above[1] > above[2] > -0.002
    assert above[2] < 0.02
