import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import SourceError
from sunspring.evaluation.mixture import learn_mixture
from sunspring.evaluation.protocols import evaluate_stream
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel

LETTERS = CharacterVocabulary("abcdefgh", end=False, unknown=False)
SIZE = LETTERS.size


def make_corpus(train: list[int], validation: list[int], heldout: list[int]) -> Corpus:
    def split(ids: list[int]) -> Split:
        return Split(np.array(ids, np.uint8), np.array([0, len(ids)]), None, len(ids))

    return Corpus(
        folder=Path(),
        fingerprint="",
        vocabulary=LETTERS,
        documents="none",
        labels=(),
        heldout_is_given=False,
        train=split(train),
        validation=split(validation),
        heldout=split(heldout),
    )


def noise(tokens: int, seed: int) -> list[int]:
    """A text that cannot be predicted at all."""
    return np.random.default_rng(seed).integers(0, SIZE, tokens).tolist()


def phrases(tokens: int, seed: int) -> list[int]:
    """A text of six phrases of six letters, the same ones for every seed."""
    words = np.random.default_rng(0).integers(0, SIZE, (6, 6))
    drawn = np.random.default_rng(seed + 1).integers(0, 6, tokens // 6 + 1)
    return words[drawn].ravel()[:tokens].tolist()


def ignorant_network() -> RecurrentModel:
    """A network that expects every token alike."""
    model = RecurrentModel(ModelConfig(SIZE, layers=1, hidden_size=4, embedding_size=4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def nats(corpus: Corpus) -> float:
    """What the mixture learned on a corpus makes of its held-out text."""
    mixture = learn_mixture(ignorant_network(), corpus)
    return evaluate_stream(mixture, corpus.heldout, LETTERS.start_id).nats_per_token


def test_ngrams_that_only_know_the_training_text_by_heart_are_not_trusted() -> None:
    corpus = make_corpus(noise(2000, 0), noise(1000, 1), noise(1000, 2))
    assert nats(corpus) < math.log(SIZE) + 0.01  # what the network alone would cost
    # which is no small thing: learned on the counted text itself, they would be
    flattered = replace(corpus, validation=corpus.train)
    assert nats(flattered) > math.log(SIZE) + 0.5


def test_ngrams_that_know_what_comes_are_trusted() -> None:
    corpus = make_corpus(phrases(3000, 0), phrases(1200, 1), phrases(1200, 2))
    assert nats(corpus) < 1.1 * math.log(6) / 6 + 0.05


def test_nothing_is_learned_from_the_heldout_text() -> None:
    corpus = make_corpus(phrases(2000, 0), phrases(600, 1), phrases(600, 2))
    other = make_corpus(phrases(2000, 0), phrases(600, 1), noise(50, 3))
    one, two = (learn_mixture(ignorant_network(), each) for each in (corpus, other))
    np.testing.assert_array_equal(one.gate, two.gate)
    assert one.ngrams.trained_on == two.ngrams.trained_on == 2000


def test_text_without_a_validation_part_is_a_clear_error() -> None:
    with pytest.raises(SourceError, match="too short for a validation part"):
        learn_mixture(ignorant_network(), make_corpus(phrases(100, 0), [], phrases(10, 1)))
