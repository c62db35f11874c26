"""Networks, texts for them, and what each token of a text costs, read one at a time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from sunspring.corpus.splits import Split
from sunspring.network.config import DROPOUTS, ModelConfig
from sunspring.network.network import RecurrentModel

VOCABULARY = 7
START = 6
CONFIG = ModelConfig(VOCABULARY, layers=2, hidden_size=8, embedding_size=5, skip=True)
CONFIGS = {
    "lstm": CONFIG,
    "gru": replace(CONFIG, cell="gru"),
    "rnn": replace(CONFIG, cell="rnn"),
    "attention": replace(CONFIG, attention=True),
    "dropout": replace(CONFIG, **dict.fromkeys(DROPOUTS, 0.5)),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def make_model(config: ModelConfig = CONFIG) -> RecurrentModel:
    torch.manual_seed(0)
    model = RecurrentModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def make_split(lengths: list[int], labels: list[int] | None = None, characters: int = 0) -> Split:
    starts = np.cumsum([0, *lengths])
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, starts[-1]).astype(np.uint8)
    kinds = None if labels is None else np.array(labels, dtype=np.uint16)
    return Split(tokens, starts, kinds, characters or len(tokens))


def naive_nats(model: RecurrentModel, first: int, ids: list[int], label: int | None) -> list[float]:
    """Nats of each id, read one at a time from a zero state after `first`."""
    model.eval()
    labels = None if label is None else torch.tensor([label])
    state, previous, nats = model.initial_state(1), first, []
    for token in ids:
        with torch.no_grad():
            logits, state = model(torch.tensor([[previous]]), state, labels)
        nats.append(-torch.log_softmax(logits[0, 0].double(), dim=-1)[token].item())
        previous = token
    return nats


def naive_stream(model: RecurrentModel, split: Split) -> list[float]:
    return [
        nats
        for index, (begin, end) in enumerate(pairwise(split.starts))
        for nats in naive_nats(
            model,
            START,
            split.tokens[begin:end].tolist(),
            None if split.labels is None else int(split.labels[index]),
        )
    ]
