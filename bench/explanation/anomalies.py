"""Broken log lines among normal ones: precision and recall of `score --threshold` and of n-grams.

    python bench/explanation/anomalies.py [--minutes 1] [--percentile 99.5]

Normal lines come from a small grammar; of the lines to be judged, one in twenty is broken in one of
seven ways. The model learns from normal lines only. Both models call a line broken if it costs more
per character than the given percentile of their held-out lines. The n-gram model learns from the
same text, has the order that predicts the held-out lines best, and pays the same for characters
that it does not know.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import sunspring
from sunspring.corpus.corpus import Corpus
from sunspring.explanation.line_scores import UNSEEN_BITS, score_lines
from sunspring.network.ngrams import count_ngrams

LINES, JUDGED = 60_000, 20_000
VERBS = ("opened", "closed", "read", "deleted", "moved")
NOUNS = ("file", "door", "report", "invoice", "ticket")
LEVELS = ("INFO", "INFO", "INFO", "WARN", "DEBUG")


def usual(draw: random.Random) -> str:
    time = f"{draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"
    user, number = draw.randrange(1000), draw.randrange(100_000)
    done = f"{draw.choice(VERBS)} {draw.choice(NOUNS)} /{draw.choice('abcd')}/{number}"
    took = f"in {draw.randrange(900)} ms"
    return f"{time} {draw.choice(LEVELS)} user={user} {done} {took} for {user}"


def _binary(line: str, draw: random.Random) -> str:
    return line[:20] + "".join(draw.choices("\x00\x7fÿ€", k=6)) + line[20:]


def _changed(line: str, draw: random.Random) -> str:
    place = draw.choice([i for i, character in enumerate(line) if character.isalpha()])
    return line[:place] + draw.choice("qxzjkw") + line[place + 1 :]


def _swapped(line: str, draw: random.Random) -> str:
    words = line.split(" ")
    i, j = draw.sample(range(len(words)), 2)
    words[i], words[j] = words[j], words[i]
    return " ".join(words)


BREAKS: dict[str, Callable[[str, random.Random], str]] = {
    "cut off": lambda line, draw: line[: draw.randrange(5, len(line) - 8)],
    "words swapped": _swapped,
    "a letter changed": _changed,
    "a field of another kind": lambda line, draw: line.replace("user=", "user=admin';--"),
    "an impossible hour": lambda line, draw: f"{draw.randrange(25, 99)}{line[2:]}",
    "binary": _binary,
    "two users": lambda line, draw: f"{line.rsplit(' ', 1)[0]} {draw.randrange(1000)}",
}


def ngram_scores(corpus: Corpus, lines: list[str]) -> np.ndarray:
    """Return the bits per character of lines for each order of n-grams, (orders, lines)."""
    vocabulary, train = corpus.vocabulary, corpus.train
    model = count_ngrams(train.tokens, train.starts, vocabulary.size, vocabulary.start_id)
    ids, counts = vocabulary.encode_batch(lines)
    tokens = np.insert(ids, np.cumsum(counts), vocabulary.end_id)
    starts = np.concatenate(([0], np.cumsum(counts + 1)))
    nats = -np.add.reduceat(model.log_probabilities(tokens, starts), starts[:-1], axis=1)
    characters = np.array([len(line) for line in lines])
    unseen = UNSEEN_BITS * (characters - counts)
    return (nats / np.log(2) + unseen) / (characters + 1)


def show(name: str, scores: np.ndarray, least: float, kinds: list[str]) -> None:
    called = scores > least
    broken = np.array([kind != "" for kind in kinds])
    precision = (called & broken).sum() / max(1, called.sum())
    recalls = [called[np.array([kind == each for kind in kinds])].mean() for each in BREAKS]
    cells = " | ".join(f"{recall:.0%}" for recall in (called[broken].mean(), *recalls))
    print(f"| {name} | {precision:.0%} | {cells} |", flush=True)


def judged(draw: random.Random) -> Iterator[tuple[str, str]]:
    for _ in range(JUDGED):
        line = usual(draw)
        if draw.random() < 0.05:
            kind = draw.choice(list(BREAKS))
            yield BREAKS[kind](line, draw), kind
        else:
            yield line, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--percentile", type=float, default=99.5)
    arguments = parser.parse_args()
    draw = random.Random(0)
    lines, kinds = (list(each) for each in zip(*judged(random.Random(1)), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        log.write_text("".join(f"{usual(draw)}\n" for _ in range(LINES)))
        run = Path(folder) / "run"
        model = sunspring.train(log, out=run, minutes=arguments.minutes, documents="lines")
        corpus = model.open_text()
        heldout = list(corpus.heldout_lines())
        own = np.array([score.bits_per_character for score in score_lines(model, heldout)])
        scores = np.array([score.bits_per_character for score in score_lines(model, lines)])
        print(f"| | precision | recall | {' | '.join(BREAKS)} |\n|{'---|' * (3 + len(BREAKS))}")
        show("this model", scores, float(np.percentile(own, arguments.percentile)), kinds)
        ngrams, known = ngram_scores(corpus, lines), ngram_scores(corpus, heldout)
        order = int(known.mean(1).argmin())
        least = float(np.percentile(known[order], arguments.percentile))
        show(f"n-grams of order {order + 1}", ngrams[order], least, kinds)


if __name__ == "__main__":
    main()
