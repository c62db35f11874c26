"""Models for the tests of writing: chains, which are known exactly, and random ones."""

from collections.abc import Mapping
from pathlib import Path

import torch

from sunspring.api import Model
from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import build_network, pack_model

START = ""
"""Stands for the token before the text in the rows of a chain."""


def chain(vocabulary: Vocabulary, rows: Mapping[str, Mapping[str, float]]) -> RecurrentModel:
    """A network that is a Markov chain: the next token depends on the last one alone.

    Args:
        vocabulary: its tokens are named as they are spelled there.
        rows: each token's followers and their probabilities; others never follow.
    """
    size = vocabulary.size
    config = ModelConfig(size, cell="rnn", layers=1, hidden_size=size, embedding_size=size)
    model = RecurrentModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight.copy_(10 * torch.eye(size))
        model.layers[0].weight_ih_l0.copy_(10 * torch.eye(size))  # type: ignore[operator]
        model.head.weight.fill_(-1e4)
        for token, followers in rows.items():
            column = vocabulary.start_id if token == START else vocabulary.tokens.index(token)
            for follower, probability in followers.items():
                row = vocabulary.tokens.index(follower)
                model.head.weight[row, column] = torch.tensor(probability).log()
    return model


def chain_model(vocabulary: Vocabulary, rows: Mapping[str, Mapping[str, float]]) -> Model:
    return Model(pack_model(chain(vocabulary, rows), vocabulary))


def load_network(folder: Path) -> RecurrentModel:
    return build_network(ModelFiles.read(folder))


def cycle(vocabulary: Vocabulary, *tokens: str) -> RecurrentModel:
    """A chain that goes through some tokens again and again."""
    following = zip(tokens, [*tokens[1:], tokens[0]], strict=True)
    rows = {token: {follower: 1.0} for token, follower in following}
    return chain(vocabulary, {START: {tokens[0]: 1.0}} | rows)


def random_model(config: ModelConfig, std: float = 0.5) -> RecurrentModel:
    """A network whose weights are all random."""
    generator = torch.Generator().manual_seed(1)
    model = RecurrentModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std, generator=generator)
    return model
