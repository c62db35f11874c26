"""Long prompts: read many tokens at a time, with all threads and progress, to the same text."""

from typing import Any

import numpy as np
import pytest
from chains import random_model
from engines import native_model

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.model import Model
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.weights import pack_model
from sunspring.writing.engines import open_engine
from sunspring.writing.settings import WritingSettings

LETTERS = CharacterVocabulary("abc \n", end=False, unknown=False)
PROMPT = "abc abba cab\n" * 400


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_reading_at_once_is_reading_token_by_token(cell: Any, threads: int) -> None:
    config = ModelConfig(LETTERS.size, cell=cell, hidden_size=256, embedding_size=8, pointer=4)
    model = native_model(random_model(config, 0.1), LETTERS)
    tokens = LETTERS.encode(PROMPT[:1100]).astype(np.int64)
    one_by_one, at_once = engine.Reader(model), engine.Reader(model)
    for token in tokens:
        expected = one_by_one.read(np.array([token]))
    assert at_once.read(tokens, threads).tolist() == expected.tolist()
    more = np.array([1, 2, 0])
    assert at_once.read(more).tolist() == one_by_one.read(more).tolist()


@pytest.mark.parametrize("name", ["native", "torch"])
def test_progress_goes_to_the_end_of_the_prompt(name: Any) -> None:
    config = ModelConfig(LETTERS.size, hidden_size=8, embedding_size=4)
    model = Model(pack_model(random_model(config), LETTERS), engine=name)
    told: list[tuple[int, int | None]] = []
    settings = WritingSettings(PROMPT, length=3, seed=1)
    opened = open_engine(model.files, name, network=lambda: model.network)
    writer = opened.writer()
    task = writer.begin(settings, on_progress=lambda done, total: told.append((done, total)))
    writer.write(task)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (len(PROMPT) + 1, len(PROMPT) + 1)
