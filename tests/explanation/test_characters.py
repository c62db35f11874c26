"""One way from tokens to characters: what is shown, found and measured is of the text itself.

For every kind of tokens, on a text whose characters have up to four bytes.
"""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import SMALL, succeed
from corpora import TOKENS
from hypothesis import given
from hypothesis import strategies as st
from trainers import train_small

import sunspring
from sunspring.corpus.spelling import UNSEEN_BITS
from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    compose,
    train_subwords,
)
from sunspring.explanation.explanation import explain
from sunspring.explanation.line_scores import score_lines
from sunspring.explanation.traces import trace_text

WORDS = ["café", "naïve", "語学", "🎉", "the", "sea", "was", "calm", "Zoë", "élan", "vital", "rain"]
ACCENT = "\u0301"


def text_of(lines: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    return "".join(f"{' '.join(draw.choices(WORDS, k=8))}.\n" for _ in range(lines))


TEXT = text_of(400)
VOCABULARIES: dict[str, Vocabulary] = {
    "chars": CharacterVocabulary(TEXT, end=False, unknown=False),
    "chars, unknown": CharacterVocabulary("abc é\n", end=True, unknown=True),
    "bytes": ByteVocabulary(end=True),
    "subwords": train_subwords(iter([TEXT]), 300, end=False),
}
every_vocabulary = pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
any_text = st.text(st.one_of(st.sampled_from(TEXT), st.characters(exclude_categories=["Cs"])))


@pytest.fixture(scope="module", params=TOKENS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text(TEXT)
    tokens = ("--tokens", request.param)
    succeed("train", folder / "text.txt", *tokens, "--steps", "30", "--out", folder / "run", *SMALL)
    return folder / "run"


@pytest.fixture(scope="module", params=[1, 30], ids=["dropped", "with a token"])
def strict(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> sunspring.Model:
    """A model that lacks characters."""
    path = tmp_path_factory.mktemp("strict") / "text.txt"
    path.write_text(TEXT)
    return train_small(path, steps=5, minimum_count=request.param)


@pytest.fixture
def model(run: Path) -> sunspring.Model:
    return sunspring.load(run)


class TestSpelling:
    @every_vocabulary
    @given(text=any_text)
    def test_is_the_text_cut_between_characters(self, vocabulary: Vocabulary, text: str) -> None:
        spelling = vocabulary.spell(text)
        assert spelling.tokens.tolist() == vocabulary.encode(text).tolist()
        assert len(spelling.texts) == len(spelling.unseen) == len(spelling.tokens)
        if len(spelling.tokens):
            assert "".join(spelling.texts) == text
            assert spelling.unseen.sum() == vocabulary.unseen_counts([text])[0]

    @every_vocabulary
    @given(data=st.data())
    def test_of_any_tokens_loses_neither_text_nor_bits(
        self, vocabulary: Vocabulary, data: st.DataObject
    ) -> None:
        ids = data.draw(st.lists(st.integers(0, vocabulary.size - 1)))
        spelling = vocabulary.spelling(ids)
        joined = b"".join(map(vocabulary.token_bytes, ids)).decode("utf-8", "replace")
        assert "".join(spelling.texts) == joined
        texts, bits = spelling.pieces(np.ones(len(ids)))
        assert "".join(texts) == joined
        assert bits.sum() == len(ids)

    def test_gives_a_character_to_the_token_that_completes_it(self) -> None:
        spelling = VOCABULARIES["bytes"].spell("aé語")
        assert spelling.texts == ["a", "", "é", "", "", "語"]
        texts, bits = spelling.pieces(np.arange(6.0))
        assert texts == ["a", "é", "語"]
        assert bits.tolist() == [0, 1 + 2, 3 + 4 + 5]

    def test_names_parts_of_characters_by_their_bytes(self) -> None:
        assert VOCABULARIES["bytes"].token_text(0xE8) == r"\xe8"


class TestExplanations:
    def test_show_the_text_and_its_cost_per_character(self, model: sunspring.Model) -> None:
        text = text_of(6, seed=1)
        found = explain(model, text)
        report = found.to_json()
        assert "".join(report["tokens"]) == text
        assert report["characters"] == len(text)
        assert report["bits_per_character"] == pytest.approx(
            model.score(text).sum() / len(text), abs=1e-4
        )
        passage = found.trace.passage()
        assert "".join(passage["tokens"]) == text
        assert "" not in passage["tokens"]
        assert sum(passage["bits"]) == pytest.approx(model.score(text).sum(), abs=0.1)
        assert len(passage["alternatives"]) == len(passage["bits"]) == len(passage["tokens"])

    def test_find_what_is_copied_whatever_the_tokens(self, run: Path) -> None:
        corpus = sunspring.load(run).open_text()
        known = corpus.vocabulary.decode(corpus.train.tokens[:400])[20:200]
        text = f"ZZZZ{known}ZZZZ"
        copied = succeed("explain", run, "--text", text, "--copied", "--json").json["copied"]
        (stretch,) = copied["stretches"]
        assert stretch == {"begin": 4, "end": 4 + len(known), "text": known}

    def test_page_shows_no_part_of_a_character(self, run: Path) -> None:
        Path("text.txt").write_text(text_of(6, seed=1))
        succeed("explain", run, "text.txt", "--out", "page.html")
        assert "\ufffd" not in Path("page.html").read_text()
        report = (run / "report.html").read_text()
        tokens = re.findall(r'<th scope="row"><code>(.*?)</code>', report)
        (data,) = re.findall(r'id="data">(.*?)</script>', report)
        assert tokens
        assert "\ufffd" not in "".join([*tokens, *json.loads(data)["tokens"]])


class TestScores:
    def test_are_means_per_character(self, model: sunspring.Model) -> None:
        lines = TEXT.splitlines()[:5]
        for line, score in zip(lines, score_lines(model, lines), strict=True):
            assert score.characters == len(line)
            assert score.bits == pytest.approx(model.score(line).sum(), abs=1e-6)

    def test_name_characters_and_not_their_bytes(self, model: sunspring.Model) -> None:
        (score,) = score_lines(model, ["naïve 語学 🎉"])
        surprises = score.surprises(model.vocabulary, 99)
        assert "\ufffd" not in "".join(each["text"] for each in surprises)
        assert sum(each["bits"] for each in surprises) == pytest.approx(score.bits)


class TestUnknownCharacters:
    """One definition of what they cost, for all that measures."""

    @pytest.mark.parametrize("text", ["the sea Ж was", "Жa", "aЖЖ"])
    def test_cost_the_same_wherever_they_are_measured(
        self, strict: sunspring.Model, text: str
    ) -> None:
        bits = strict.score(text).sum()
        known = strict.score(text.replace("Ж", "")).sum()
        if strict.vocabulary.unknown_id is None:
            assert bits == pytest.approx(known + text.count("Ж") * UNSEEN_BITS)
        else:
            assert bits > text.count("Ж") * UNSEEN_BITS
        (line,) = score_lines(strict, [text])
        assert line.bits == pytest.approx(bits)
        trace = trace_text(strict, text)
        assert trace.text == text
        assert trace.bits.sum() == pytest.approx(bits, rel=1e-4)
        Path("unknown.txt").write_text(text)
        evaluation, _ = strict.evaluate("unknown.txt")
        assert evaluation.characters == len(text)
        assert evaluation.bpc * len(text) == pytest.approx(bits, rel=1e-4)

    def test_are_said(self, run: Path) -> None:
        done = succeed("explain", run, "--text", "the sea Ж", "--json")
        is_unknown = sunspring.load(run).vocabulary.kind == "chars"
        assert done.json["unseen"] == ["Ж"] * is_unknown
        assert ("never seen: 'Ж'; each costs 20.1 bits" in done.err) == is_unknown

    def test_are_composed_with_their_accents_first(self, model: sunspring.Model) -> None:
        typed, composed = f"cafe{ACCENT}", "café"
        if model.vocabulary.kind != "chars":
            pytest.skip("knows every accent")
        assert model.score(typed).tolist() == model.score(composed).tolist()
        assert model.read_prompt(typed).text == composed
        assert (model.encode([typed]) == model.encode([composed])).all()
        assert score_lines(model, [typed])[0].bits == score_lines(model, [composed])[0].bits
        Path("typed.txt").write_text(typed)
        Path("composed.txt").write_text(composed)
        assert model.evaluate("typed.txt")[0] == model.evaluate("composed.txt")[0]


@given(text=st.text(st.sampled_from(f"ae é日{ACCENT}\u0323각\u1100\u1161\u11a8")))
def test_composing_never_makes_more_unknown(text: str) -> None:
    vocabulary = CharacterVocabulary("aeé각 ", end=False, unknown=False)
    (composed,) = compose([text], vocabulary)
    before, after = vocabulary.unseen_counts([text, composed])
    assert after <= before
    known: Any = vocabulary.unknown_characters(text)
    assert composed == text or known


def test_composing_knows_korean_syllables() -> None:
    vocabulary = CharacterVocabulary("각", end=False, unknown=False)
    assert compose(["\u1100\u1161\u11a8"], vocabulary) == ["각"]
