"""One figure for one text: the end of a training, its card, `evaluate` and `Model.score`."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import every_token
from trainers import train_small

import sunspring
from sunspring import Model
from sunspring.writing.settings import EngineChoice

CLOSE = 1e-8  # nats per character
TEXT = "“To be, or not to be”: ça, das ist hier die Frage — 語🎉.\n" * 80
ENGINES: list[EngineChoice] = ["native", "torch"]


def nats_by_score(model: Model, texts: list[str]) -> float:
    """Nats of some documents, with their ends where the model predicts these."""
    vocabulary = model.vocabulary
    ends = [] if vocabulary.end_id is None else [vocabulary.end_id]
    ids = [np.array([*vocabulary.encode(text), *ends], np.int32) for text in texts]
    if not ends:
        return sum(float(model.score(text).sum()) for text in texts) * math.log(2)
    bits = model.score_tokens(np.concatenate(ids), np.array([len(each) for each in ids]))
    return sum(float(each.sum()) for each in bits) * math.log(2)


@every_token
@pytest.mark.parametrize("documents", ["none", "lines"])
def test_score_and_evaluate_give_the_same_figure_on_each_engine(
    tokens: str, documents: str, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    other = tmp_path / "other.txt"
    other.write_text(TEXT[:2000], encoding="utf-8")
    run = tmp_path / "run"
    options: dict[str, Any] = {"subword_vocabulary": 300} if tokens == "subwords" else {}
    train_small(str(text), tokens=tokens, documents=documents, out=run, **options)
    for engine in ENGINES:
        model = sunspring.load(run, engine=engine)
        figures, _ = model.evaluate(str(other))
        texts = TEXT[:2000].splitlines() if documents == "lines" else [TEXT[:2000]]
        nats = nats_by_score(model, texts) / figures.characters
        assert figures.nats_per_character == pytest.approx(nats, abs=CLOSE)


@pytest.mark.parametrize("documents", ["none", "lines"])
def test_a_training_ends_with_the_figure_of_all_heldout_text(
    documents: str, tmp_path: Path
) -> None:
    text, run = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT, encoding="utf-8")
    trained = train_small(str(text), documents=documents, out=run)
    assert trained.training is not None
    assert trained.training.heldout is not None
    nats = trained.training.heldout.nats_per_character
    model = sunspring.load(run)
    heldout = model.open_text().heldout
    assert trained.training.heldout.characters == heldout.characters
    assert model.card["heldout"]["nats"] == nats
    assert model.evaluate()[0].nats_per_character == pytest.approx(nats, abs=CLOSE)
    parts = [heldout.tokens[begin:end] for begin, end in pairwise(heldout.starts.tolist())]
    counts = np.array([len(part) for part in parts])
    bits = model.score_tokens(np.concatenate(parts).astype(np.int32), counts)
    by_score = sum(float(each.sum()) for each in bits) * math.log(2) / heldout.characters
    assert by_score == pytest.approx(nats, abs=CLOSE)


def test_a_short_budget_of_minutes_scores_all_of_a_long_heldout_text(tmp_path: Path) -> None:
    text, heldout = tmp_path / "text.txt", tmp_path / "heldout.txt"
    text.write_text(TEXT, encoding="utf-8")
    heldout.write_text(TEXT * 20, encoding="utf-8")
    trained = train_small(str(text), heldout=str(heldout), steps=None, minutes=0.01)
    assert trained.training is not None
    assert trained.training.heldout is not None
    assert trained.training.heldout.characters == len(TEXT) * 20
