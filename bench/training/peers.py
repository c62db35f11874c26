"""What the peers of quality.py share: Sunspring's splits of a text, and its protocols.

A peer reads the same training, validation and held-out characters as Sunspring, and is scored by
`sunspring.evaluation.protocols` itself: the same windows, the same start, the same code, in fp32.
"""

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.corpus.corpus import Corpus, TokenSettings, build_corpus
from sunspring.evaluation.protocols import evaluate_stream, evaluate_windows
from sunspring.network.network import LayerState, RecurrentModel, State
from sunspring.text.downloads import cache_folder
from sunspring.text.options import ReadingOptions


def read_text(source: str) -> Corpus:
    """Read a file, or a folder's files in name order as one text, as `sunspring train` does."""
    return build_corpus([source], ReadingOptions(), TokenSettings(), cache_folder() / "corpora")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every peer takes."""
    parser.add_argument("text")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")


def print_figures(figures: Mapping[str, object], as_json: bool) -> None:
    """Print what a peer ends with, one figure a line or as JSON."""
    lines = [f"{name}: {value}" for name, value in figures.items()]
    print(json.dumps(figures) if as_json else "\n".join(lines))


class Peer(nn.Module, ABC):
    """A network in the shape that `sunspring.evaluation` reads; its state's first axis is the rows.

    Args:
        network: of the peer.
        vocabulary_size: number of token ids.
    """

    def __init__(self, network: nn.Module, vocabulary_size: int) -> None:
        super().__init__()
        self.network = network
        self.config = SimpleNamespace(vocabulary_size=vocabulary_size, labels=())
        self.device = torch.device("cpu")

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Give the state before any text."""

    @abstractmethod
    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens (batch, time); returns logits (batch, time, vocabulary_size) and state."""

    def losses(
        self, tokens: Tensor, targets: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens as `forward` does, and give what the targets (batch, time) cost, in nats."""
        logits, state = self(tokens, state, labels)
        return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none"), state


class StatelessPeer(Peer):
    """A peer that forgets everything between two calls, such as a transformer without a cache."""

    def initial_state(self, batch_size: int) -> State:
        """Give no state at all."""
        return (cast(LayerState, ()),)


def stream_nats(peer: Peer, corpus: Corpus) -> float:
    """Nats per character of the held-out text by `stream`."""
    network = cast(RecurrentModel, peer)
    return evaluate_stream(network, corpus.heldout, corpus.vocabulary.start_id).nats_per_character


def windows_nats(peer: Peer, corpus: Corpus, window: int) -> float:
    """Nats per character of the held-out text by `windows` of so many characters."""
    network = cast(RecurrentModel, peer)
    start_id = corpus.vocabulary.start_id
    return evaluate_windows(network, corpus.heldout, start_id, window).nats_per_character


def fastest_seconds(step: Callable[[], object], steps: int = 5) -> float:
    """Time a step a few times, after two that are not counted; the fastest counts."""
    step(), step()
    fastest = float("inf")
    for _ in range(steps):
        began = time.perf_counter()
        step()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest
