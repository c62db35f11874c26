"""What the peers in quality.py share: Sunspring's splits of a text and its protocols.

A peer reads the same training, validation and held-out characters as Sunspring, and is scored by
`sunspring.evaluation.protocols` itself: the same windows, the same start, the same code, in fp32.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from sunspring.corpus.corpus import Corpus, build_corpus
from sunspring.corpus.settings import TokenSettings
from sunspring.evaluation.protocols import evaluate_stream, evaluate_windows
from sunspring.network.predictor import Predictor, State
from sunspring.storage import cache_folder
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions


def read_text(source: str) -> Corpus:
    """Read a file, or the files of a folder in name order, as one text, like `sunspring train`."""
    found = find_sources([source], ReadingOptions())
    return build_corpus(found, TokenSettings(), cache_folder() / "corpora")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every peer."""
    parser.add_argument("text")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print only one JSON object")


def print_figures(figures: Mapping[str, object], as_json: bool) -> None:
    """Print the results of a peer, one per line or as JSON."""
    lines = [f"{name}: {value}" for name, value in figures.items()]
    print(json.dumps(figures) if as_json else "\n".join(lines))


class Peer(Predictor):
    """A foreign network, on the CPU and without labels.

    Args:
        network: the peer's network.
        vocabulary_size: number of token ids.
    """

    def __init__(self, network: nn.Module, vocabulary_size: int) -> None:
        super().__init__()
        self.network = network
        self._vocabulary_size = vocabulary_size

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self._vocabulary_size

    @property
    def labels(self) -> tuple[str, ...]:
        """No labels."""
        return ()

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")


class StatelessPeer(Peer):
    """A peer that forgets everything between two calls, such as a transformer without a cache."""

    def initial_state(self, batch_size: int) -> State:
        """Return an empty state."""
        return ((),)


def stream_nats(peer: Peer, corpus: Corpus) -> float:
    """Return the nats per character of the held-out text by `stream`."""
    return evaluate_stream(peer, corpus.heldout, corpus.vocabulary.start_id).nats_per_character


def windows_nats(peer: Peer, corpus: Corpus, window: int) -> float:
    """Return the nats per character of the held-out text by `windows` of the given length."""
    start_id = corpus.vocabulary.start_id
    return evaluate_windows(peer, corpus.heldout, start_id, window).nats_per_character


def fastest_seconds(step: Callable[[], object], steps: int = 5) -> float:
    """Time a step a few times, after two to warm up, and return the fastest."""
    step(), step()
    fastest = float("inf")
    for _ in range(steps):
        began = time.perf_counter()
        step()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest
