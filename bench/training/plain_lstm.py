"""A peer in quality.py: the article's plain two-layer LSTM with Adam, at its best.

    python bench/training/plain_lstm.py TEXT [--minutes 3] [--seed 0] [--set rate=5e-3 …] [--json]
    python bench/training/plain_lstm.py TEXT --search [--minutes 3] [--runs 40] [--set …]

`nn.Embedding`, `nn.LSTM` with two layers of 256 units, `nn.Linear`, and nothing of Sunspring's: no
skip connections, no Muon, no fused loop. It gets all improvements that cost nothing: Keras's
initial weights as in the article (Glorot, orthogonal, forget bias 1), fused Adam, clipped
gradients, a learning rate that falls linearly to zero, the faster of fp32 and bf16 (measured), and
the weights that do best on Sunspring's validation part, which it does not train on either. As for
Sunspring, the minutes cover the training loop with its evaluations of the validation part, but not
reading the text, measuring the formats and the final scores.

`--search` starts from the best known settings and changes one setting at a time while that helps,
each run taking `--minutes`. It uses only the validation part, never the held-out text, and prints a
table of its runs. Its results are the defaults of `Settings`, `RATES` and `DROPOUT`.
"""

import argparse
import copy
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from peers import (
    Peer,
    add_common_arguments,
    fastest_seconds,
    print_figures,
    read_text,
    stream_nats,
    windows_nats,
)
from torch import Tensor, nn

from sunspring.corpus.corpus import Corpus
from sunspring.network.predictor import State

LAYERS, HIDDEN_SIZE = 2, 256
WARMUP_STEPS = 50
FIRST_LOOK, LOOK_EVERY = 0.3, 0.1  # shares of the budget; a look evaluates on validation text
LOOK_WINDOW = 256

LSTMState = tuple[Tensor, Tensor]
"""h and c, each (layers, batch, hidden)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the peer; the defaults are the best that the searches found.

    Args:
        batching: `carried` for rows that carry their state on; `windows` for shuffled windows, each
            from a zero state, as in the article.
        batch_size: rows of a batch.
        window: targets of a row in one step.
        rate: Adam's highest learning rate.
        decay: decay of the rate: `linear` to zero at the end, or `none`.
        dropout: dropout of the LSTM's outputs, between the layers and before the head.
        embedding_size: length of a character's vector.
    """

    batching: Literal["carried", "windows"] = "windows"
    batch_size: int = 32
    window: int = 64
    rate: float
    decay: Literal["linear", "none"] = "linear"
    dropout: float
    embedding_size: int = 32


# Found by `--search --minutes 1` on Tiny Shakespeare (fifteen runs, see the lab notebook), three
# runs of 3 minutes around its result, and four of up to 10 minutes around the best of these.
RATES = {1: 2e-2, 3: 1e-2, 10: 5e-3}
"""The best rate by minutes of training; the nearest one is used."""
DROPOUT, MINUTES_FOR_DROPOUT = 0.2, 5.5
"""Dropout is used if there are more minutes than that per million characters of text."""

# In the order of the search, which steps from a value to its neighbours.
CHOICES: dict[str, tuple[Any, ...]] = {
    "rate": (5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 1e-2, 1.5e-2, 2e-2, 3e-2, 5e-2),
    "batch_size": (4, 8, 16, 32, 64, 128),
    "window": (32, 64, 100, 128, 200),
    "batching": ("carried", "windows"),
    "dropout": (0.0, 0.05, 0.1, 0.2, 0.3),
    "embedding_size": (32, 64, 128, 256),
    "decay": ("linear", "none"),
}


class PlainLSTM(nn.Module):
    """Embedding, `nn.LSTM`, head."""

    def __init__(self, vocabulary_size: int, settings: Settings) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding_size)
        self.lstm = nn.LSTM(
            settings.embedding_size,
            HIDDEN_SIZE,
            LAYERS,
            batch_first=True,
            dropout=settings.dropout,
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(HIDDEN_SIZE, vocabulary_size)
        self._start_as_keras()

    @torch.no_grad()
    def _start_as_keras(self) -> None:
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            else:
                parameter.zero_()
                if name.startswith("bias_hh"):
                    parameter.chunk(4)[1].fill_(1.0)  # the forget gate

    def forward(self, tokens: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Map ids (batch, time) and a state to logits (batch, time, vocabulary) and a state."""
        outputs, state = self.lstm(self.embedding(tokens), state)
        return self.head(self.dropout(outputs)), state


class PlainLSTMPeer(Peer):
    """The LSTM as `sunspring.evaluation.protocols` reads it."""

    def initial_state(self, batch_size: int) -> State:
        """Return zeros, with the batch as first dimension."""
        zeros = torch.zeros(batch_size, LAYERS, HIDDEN_SIZE)
        return ((zeros, zeros),)

    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens, starting from a state."""
        h, c = (tensor.transpose(0, 1).contiguous() for tensor in state[0])
        logits, (h, c) = self.network(tokens, (h, c))
        return logits, ((h.transpose(0, 1), c.transpose(0, 1)),)


def zero_state(batch_size: int) -> LSTMState:
    zeros = torch.zeros(LAYERS, batch_size, HIDDEN_SIZE)
    return zeros, zeros


def batches(
    ids: Tensor, settings: Settings, random: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield inputs and targets (batch, time) forever, and whether the state must be zero."""
    batch_size, window = settings.batch_size, settings.window
    while True:
        shifted = ids[int(random.integers(window)) :]
        if settings.batching == "carried":
            length = (len(shifted) - 1) // batch_size
            rows = shifted.as_strided((batch_size, length + 1), (length, 1))
            for place in range(0, length - window + 1, window):
                piece = rows[:, place : place + window + 1]
                yield piece[:, :-1], piece[:, 1:], place == 0
        else:
            windows = shifted.unfold(0, window + 1, window)
            order = torch.from_numpy(random.permutation(len(windows)))
            for first in range(0, len(order) - batch_size + 1, batch_size):
                piece = windows[order[first : first + batch_size]]
                yield piece[:, :-1], piece[:, 1:], True


class Training:
    """The peer's network and its training step."""

    def __init__(self, vocabulary_size: int, settings: Settings, is_bf16: bool) -> None:
        self.network = PlainLSTM(vocabulary_size, settings)
        self.settings = settings
        self.is_bf16 = is_bf16
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=settings.rate, betas=(0.9, 0.99), fused=True
        )
        self.state = zero_state(settings.batch_size)

    def step(self, inputs: Tensor, targets: Tensor, is_fresh: bool, factor: float) -> None:
        """Take a step, with the learning rate multiplied by `factor`."""
        state = zero_state(self.settings.batch_size) if is_fresh else self.state
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bf16):
            logits, (h, c) = self.network(inputs, state)
        self.state = h.detach().float(), c.detach().float()
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def look(self, rows: Tensor) -> float:
        """Return the nats per character of rows (rows, window + 1), each from a zero state."""
        self.network.eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bf16):
            logits, _ = self.network(rows[:, :-1], zero_state(len(rows)))
        self.network.train()
        return float(F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten()))


def bf16_is_faster(vocabulary_size: int, settings: Settings) -> bool:
    """Time a few steps in both formats, and return whether bf16 is faster."""
    tokens = torch.randint(vocabulary_size, (settings.batch_size, settings.window + 1))
    seconds = {}
    for is_bf16 in (False, True):
        training = Training(vocabulary_size, settings, is_bf16)
        try:
            seconds[is_bf16] = fastest_seconds(
                lambda: training.step(tokens[:, :-1], tokens[:, 1:], False, 1.0)  # noqa: B023
            )
        except RuntimeError:  # this processor has no bf16
            return False
    return seconds[True] < seconds[False]


def train(
    corpus: Corpus, settings: Settings, minutes: float, seed: int
) -> tuple[PlainLSTM, dict[str, Any]]:
    """Train for some minutes, and return the network with its best weights on validation text."""
    vocabulary_size = corpus.vocabulary.size
    is_bf16 = bf16_is_faster(vocabulary_size, settings)
    torch.manual_seed(seed)
    ids = torch.from_numpy(corpus.train.tokens.astype(np.int64))
    validation = torch.from_numpy(corpus.validation.tokens.astype(np.int64))
    rows = validation.unfold(0, min(LOOK_WINDOW, len(validation) - 1) + 1, LOOK_WINDOW)
    training = Training(vocabulary_size, settings, is_bf16)
    best, best_nats, next_look, steps = training.network.state_dict(), float("inf"), FIRST_LOOK, 0
    stream = batches(ids, settings, np.random.default_rng(seed))
    began = time.perf_counter()
    while True:
        spent = (time.perf_counter() - began) / (60 * minutes)
        if spent >= min(1, next_look):
            next_look += LOOK_EVERY
            nats = training.look(rows)
            if nats < best_nats:
                best, best_nats = copy.deepcopy(training.network.state_dict()), nats
        if spent >= 1:
            break
        factor = min(1.0, (steps + 1) / WARMUP_STEPS)
        if settings.decay == "linear":
            factor *= 1 - spent
        training.step(*next(stream), factor)
        steps += 1
    seconds = time.perf_counter() - began
    training.network.load_state_dict(best)
    characters = steps * settings.batch_size * settings.window
    return training.network, {
        "seconds": seconds,
        "epochs": characters / len(ids),
        "characters_per_second": characters / seconds,
        "parameters": sum(each.numel() for each in training.network.parameters()),
        "precision": "bf16" if is_bf16 else "fp32",
        "validation": best_nats,
    }


def search(corpus: Corpus, settings: Settings, minutes: float, seed: int, most_runs: int) -> None:
    """Change one setting at a time until no neighbour is better on the validation part."""
    print(f"| {' | '.join(CHOICES)} | precision | characters/s | validation, nats |")
    print("|" + "---|" * (len(CHOICES) + 3))
    known: dict[Settings, float] = {}

    def validation(tried: Settings) -> float:
        if tried not in known and len(known) < most_runs:
            _, run = train(corpus, tried, minutes, seed)
            known[tried] = run["validation"]
            cells = [*(getattr(tried, name) for name in CHOICES), run["precision"]]
            speed, nats = run["characters_per_second"], run["validation"]
            print(f"| {' | '.join(map(str, cells))} | {speed:,.0f} | {nats:.4f} |", flush=True)
        return known.get(tried, float("inf"))

    for name, choices in CHOICES.items():
        if getattr(settings, name) not in choices:
            raise SystemExit(f"the search needs a {name} of {', '.join(map(str, choices))}")
    best, before = settings, None
    validation(best)
    while before != best and len(known) < most_runs:
        before = best
        for (name, choices), direction in itertools.product(CHOICES.items(), (1, -1)):
            while True:
                index = choices.index(getattr(best, name)) + direction
                if not 0 <= index < len(choices):
                    break
                tried = replace(best, **{name: choices[index]})
                if not validation(tried) < validation(best):
                    break
                best = tried
    ended = "the runs are used up" if len(known) >= most_runs else "no neighbour is better"
    print(f"\nbest after {len(known)} runs ({ended}): {best}")


def choose_settings(minutes: float, characters: int, changes: list[str]) -> Settings:
    """Take the best known settings for about this time and text, and change some by name."""
    rate = RATES[min(RATES, key=lambda known: abs(math.log(known / minutes)))]
    is_read_often = minutes / characters * 1e6 > MINUTES_FOR_DROPOUT
    dropout = DROPOUT if is_read_often else 0.0
    settings = Settings(rate=rate, dropout=dropout)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in CHOICES:
            raise SystemExit(f"there is no setting {name!r}: choose from {', '.join(CHOICES)}")
        kind = type(getattr(settings, name))
        if kind is str and value not in CHOICES[name]:
            raise SystemExit(f"{name} is {value!r}: choose {' or '.join(CHOICES[name])}")
        settings = replace(settings, **{name: kind(value)})
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_arguments(parser)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--search", action="store_true", help="search for better settings")
    parser.add_argument("--runs", type=int, default=40, help="the most runs of --search")
    arguments = parser.parse_args()
    corpus = read_text(arguments.text)
    settings = choose_settings(arguments.minutes, corpus.train.characters, arguments.set)
    if arguments.search:
        search(corpus, settings, arguments.minutes, arguments.seed, arguments.runs)
        return
    network, figures = train(corpus, settings, arguments.minutes, arguments.seed)
    peer = PlainLSTMPeer(network, corpus.vocabulary.size)
    figures["stream"] = stream_nats(peer, corpus)
    for window in (256, 64):
        figures[f"windows of {window}"] = windows_nats(peer, corpus, window)
    figures["settings"] = asdict(settings)
    print_figures(figures, arguments.json)


if __name__ == "__main__":
    main()
