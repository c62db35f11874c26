"""What `explain` shows, against slower ways to find the same, and on texts with known structure."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chains import random_model
from commands import error_of, succeed
from hypothesis import given
from hypothesis import strategies as st

import sunspring
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.explanation.explanation import explain
from sunspring.explanation.features import text_features
from sunspring.explanation.gates import gate_activity
from sunspring.explanation.traces import trace_text
from sunspring.explanation.units import correlations, find_units
from sunspring.model import Model
from sunspring.network.arrays import untrained, weight_arrays
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import build_network, pack_model

LETTERS = CharacterVocabulary("abc \n", end=False, unknown=False)
CONFIG = ModelConfig(LETTERS.size, hidden_size=20, embedding_size=6, skip=True)
TEXT = "".join(random.Random(0).choices("abc \n", k=300))


def model_of(config: ModelConfig = CONFIG, quantized: bool = False) -> Model:
    return Model(pack_model(random_model(config, std=0.3), LETTERS, quantized=quantized))


class TestTraces:
    def test_cost_what_scoring_says(self) -> None:
        model = model_of()
        trace = trace_text(model, TEXT)
        assert trace.texts == list(TEXT)
        np.testing.assert_allclose(trace.bits, model.score(TEXT), atol=1e-4)

    def test_have_the_most_probable_alternatives_first(self) -> None:
        trace = trace_text(model_of(), TEXT, top=5)
        assert trace.chances.shape == (300, 5)
        np.testing.assert_allclose(trace.chances.sum(1), 1, atol=1e-5)
        assert (np.diff(trace.chances) <= 0).all()
        chosen = np.argmax(trace.alternatives == trace.tokens[:, None], axis=1)
        own = trace.chances[np.arange(300), chosen]
        np.testing.assert_allclose(-np.log2(own), trace.bits, atol=1e-4)

    def test_end_with_the_outputs_that_encoding_gives(self) -> None:
        model = model_of()
        np.testing.assert_allclose(
            trace_text(model, TEXT).outputs[-1], model.encode([TEXT])[0], atol=1e-6
        )

    def test_of_many_parts_are_those_of_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = model_of()
        whole = trace_text(model, TEXT)
        monkeypatch.setattr("sunspring.explanation.traces._PART", 7)
        parts = trace_text(model, TEXT)
        np.testing.assert_array_equal(parts.bits, whole.bits)
        np.testing.assert_array_equal(parts.outputs, whole.outputs)


def naive_features(text: str) -> dict[str, list[float]]:
    """Some of the features, by walking through the text."""
    names = ("position in the line", "indentation", "position in the word", "depth of brackets")
    found: dict[str, list[float]] = {name: [] for name in (*names, "lines since a blank one")}
    place = indentation = word = depth = lines = 0
    leading, before = True, "\n"
    for character in text:
        leading = leading and character in " \t"
        indentation += leading
        word = word + 1 if character.isalpha() else 0
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        lines = (0 if before == "\n" else lines + 1) if character == "\n" else lines
        for name, value in zip(found, (place, indentation, word, depth, lines), strict=True):
            found[name].append(value)
        place += 1
        if character == "\n":
            place, indentation, leading = 0, 0, True
        before = character
    return found


def naive_repetition(text: str) -> list[int]:
    """How many characters are the same as those at the best distance from 2 to 40 before them."""
    found = []
    for end in range(1, len(text) + 1):
        longest = 0
        for distance in range(2, min(40, end - 1) + 1):
            length = 0
            while (
                length < min(20, end - distance)
                and text[end - 1 - length] == text[end - 1 - length - distance]
            ):
                length += 1
            longest = max(longest, length)
        found.append(longest)
    return found


class TestFeatures:
    @given(st.text("ab", max_size=90))
    def test_repetition_is_that_of_a_search(self, text: str) -> None:
        found = text_features(text).get("repetition of earlier text")
        expected = naive_repetition(text)
        if len(set(expected)) > 1:
            assert found is not None
            assert found.tolist() == expected
        else:
            assert found is None

    @given(st.text("aB (])\t\n", max_size=60))
    def test_are_those_of_a_walk_through_the_text(self, text: str) -> None:
        found = text_features(text)
        for name, values in naive_features(text).items():
            if len(set(values)) > 1:
                assert found[name].tolist() == values, name
            else:
                assert name not in found

    def test_know_speakers_and_quotes(self) -> None:
        found = text_features('ROMEO:\nHe said "no".\n\n"Yes\n\nNo: that.\nFirst Lord:\n')
        speakers = found["speaker's line"]
        assert speakers.sum() == len("ROMEO:\n") + len("First Lord:\n")
        quotes = found["inside quotes"]
        text = 'ROMEO:\nHe said "no".\n\n"Yes\n\n'
        assert quotes[text.index("no")] == 1
        assert quotes[text.index(".")] == 0
        assert quotes[text.index("Yes")] == 1
        assert quotes[len(text) :].sum() == 0

    @given(st.text(max_size=30))
    def test_are_as_many_as_the_characters(self, text: str) -> None:
        assert {len(values) for values in text_features(text).values()} <= {len(text)}


class TestUnits:
    def test_correlate_as_numpy_says(self) -> None:
        draw = np.random.default_rng(0)
        outputs = draw.standard_normal((50, 4)).astype(np.float32)
        features = draw.standard_normal((50, 3)).astype(np.float32)
        expected = np.corrcoef(outputs.T, features.T)[:4, 4:]
        np.testing.assert_allclose(correlations(outputs, features), expected, atol=1e-6)
        assert not correlations(np.ones((50, 2), np.float32), features).any()

    def test_are_found_where_they_were_planted_and_nowhere_else(self) -> None:
        draw = np.random.default_rng(1)
        outputs = draw.standard_normal((2000, 100)).astype(np.float32)
        untrained = [draw.standard_normal((2000, 100)).astype(np.float32) for _ in range(9)]
        planted, absent = draw.standard_normal((2, 2000)).astype(np.float32)
        outputs[:, 17] = 0.5 * outputs[:, 17] - planted
        first, second = find_units(outputs, untrained, {"absent": absent, "planted": planted})
        assert (first.feature, first.unit, first.is_found) == ("planted", 17, True)
        assert first.correlation < -0.8
        assert not second.is_found
        assert abs(second.correlation) < 0.1

    @pytest.mark.parametrize("others", [4, 19])
    def test_are_found_by_chance_in_as_few_untrained_networks_as_is_said(self, others: int) -> None:
        """In one of `others + 1`, if all are alike; whether the features scatter much or not."""
        draw, found, tries = np.random.default_rng(2), 0, 400
        scatter = np.array([0.1, 1.0, 10.0], np.float32)
        for _ in range(tries):
            features = draw.standard_normal((40, 3)).astype(np.float32)
            mixed = draw.standard_normal((others + 1, 3, 8)).astype(np.float32)
            noise = draw.standard_normal((others + 1, 40, 8)).astype(np.float32)
            own, *untrained = features @ mixed + noise * scatter[draw.integers(3)]
            named = dict(zip("abc", features.T, strict=True))
            found += any(each.is_found for each in find_units(own, untrained, named))
        expected = tries / (others + 1)
        assert found <= expected + 3 * np.sqrt(expected)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_untrained_weights_are_those_that_a_training_begins_with(cell: Any) -> None:
    config = ModelConfig(LETTERS.size, cell=cell, hidden_size=40, embedding_size=300, skip=True)
    torch.manual_seed(0)
    begun = RecurrentModel(config).state_dict()
    drawn = weight_arrays(untrained(model_of(config).files))
    assert drawn.keys() == begun.keys()
    for name, tensor in begun.items():
        values, expected = drawn[name], tensor.numpy()
        assert values.shape == expected.shape
        if "bias_" in name:
            np.testing.assert_array_equal(values, expected)
        elif "weight_hh" in name:
            for gate in np.split(values, len(values) // 40):
                np.testing.assert_allclose(gate @ gate.T, np.eye(40), atol=1e-5)
        else:
            quantiles = np.linspace(0, 1, 11)[1:-1]
            found = [np.quantile(each, quantiles) for each in (values, expected)]
            tolerance = 6 * expected.std() / np.sqrt(expected.size)
            np.testing.assert_allclose(*found, atol=tolerance)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ModelConfig(LETTERS.size, hidden_size=9, embedding_size=4, embedding_activation="tanh"),
    ],
    ids=["skip", "tanh"],
)
def test_gates_are_those_of_the_network(config: ModelConfig, quantized: bool) -> None:
    model = model_of(config, quantized)
    trace = trace_text(model, TEXT)
    found = gate_activity(weight_arrays(model.files), config, trace.tokens, trace.outputs)
    network = build_network(model.files)
    tokens = torch.from_numpy(trace.tokens)
    with torch.no_grad():
        embedded = network.embedding(tokens)
        if config.embedding_activation == "tanh":
            embedded = embedded.tanh()
    size = config.hidden_size
    for layer, module in enumerate(network.layers):
        own = torch.from_numpy(trace.outputs[:, layer * size : (layer + 1) * size])
        below = [torch.from_numpy(trace.outputs[:, (layer - 1) * size : layer * size])] * bool(
            layer
        )
        inputs = torch.cat([*below, *([embedded] if layer == 0 or config.skip else [])], 1)
        with torch.no_grad():
            z = inputs[1:] @ module.weight_ih_l0.T + own[:-1] @ module.weight_hh_l0.T
            gates = (z + module.bias_ih_l0 + module.bias_hh_l0).chunk(4, 1)
        for activity, place in zip(found[3 * layer : 3 * layer + 3], (0, 1, 3), strict=True):
            expected = gates[place].sigmoid()
            assert activity.layer == layer
            np.testing.assert_allclose(activity.openness[1:], expected.mean(1), atol=1e-4)
            np.testing.assert_allclose(activity.left, (expected < 0.1).float().mean(0), atol=0.01)
            np.testing.assert_allclose(activity.right, (expected > 0.9).float().mean(0), atol=0.01)


def test_other_cells_have_no_gates_of_an_lstm() -> None:
    config = ModelConfig(LETTERS.size, cell="gru", hidden_size=9, embedding_size=4)
    assert explain(model_of(config), TEXT).gates == []


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_untrained_model_can_be_read_and_knows_nothing(cell: Any, quantized: bool) -> None:
    config = ModelConfig(LETTERS.size, cell=cell, hidden_size=16, skip=True, pointer=4)
    model = Model(untrained(model_of(config, quantized).files))
    assert model.score(TEXT).mean() > np.log2(5) - 0.05  # no better than guessing


def brackets(draw: random.Random) -> str:
    """Brackets in brackets; only their depth tells which mark comes."""
    depth, marks = 0, []
    for _ in range(60_000):
        opens = depth == 0 or (depth < 6 and draw.random() < 0.5)
        marks.append("(" if opens else ")")
        depth += 1 if opens else -1
        marks.append(str(depth % 2) if depth in (0, 6) else "-")
    return "".join(marks)


def counter(draw: random.Random) -> str:
    """Lines of 30 random digits; only counting them tells when one ends."""
    return "".join("".join(draw.choices("01", (9, 1), k=30)) + "\n" for _ in range(3000))


def delayed_copy(draw: random.Random) -> str:
    """Five random letters, and the same five again."""
    words = ("".join(draw.choices("abcd", k=5)) for _ in range(6000))
    return "".join(f"{word}|{word}\n" for word in words)


PLANTED = {
    "depth of brackets": (brackets, 2, 24, 400),
    "position in the line": (counter, 1, 32, 800),
    "repetition of earlier text": (delayed_copy, 2, 48, 600),
}


@pytest.fixture(scope="module", params=PLANTED)
def planted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A feature, and a network that learned a text which can only be foreseen by it."""
    make, layers, size, steps = PLANTED[request.param]
    folder = tmp_path_factory.mktemp("planted")
    (folder / "text.txt").write_text(make(random.Random(0)))
    shape = ("--set", f"layers={layers}", "--set", f"hidden_size={size}", "--set", "pointer=0")
    succeed("train", folder / "text.txt", "--out", folder / "run", "--steps", str(steps), *shape)
    return request.param, folder / "run"


class TestKnownStructure:
    def test_is_found_in_the_network_that_learned_it(self, planted: tuple[str, Path]) -> None:
        feature, run = planted
        report = succeed("explain", run, "--json").json
        units = {each["feature"]: each for each in report["units"]}
        assert units[feature]["found"]
        assert abs(units[feature]["correlation"]) > 0.6

    def test_is_seldom_found_in_untrained_ones(self, planted: tuple[str, Path]) -> None:
        """One in twenty may be taken for trained; of twelve, four or more in 0.2 % of all cases."""
        model = sunspring.load(planted[1])
        corpus = model.open_text()
        text = corpus.vocabulary.decode(corpus.heldout.tokens[:3000])
        mistaken = 0
        for seed in range(12):
            torch.manual_seed(seed)
            bare = Model(pack_model(RecurrentModel(model.config), model.vocabulary))
            mistaken += any(unit.is_found for unit in explain(bare, text).units)
        assert mistaken <= 3


class TestCommand:
    def test_json_has_everything_of_each_token(self) -> None:
        report = succeed("explain", "shakespeare", "--text", "ROMEO:\nAy me!", "--json").json
        assert "".join(report["tokens"]) == "ROMEO:\nAy me!"
        assert len(report["bits"]) == len(report["alternatives"]) == 13
        assert report["bits_per_character"] == pytest.approx(np.mean(report["bits"]), abs=1e-3)
        assert report["units"] == []  # too short
        assert [(gate["layer"], gate["gate"]) for gate in report["gates"]] == [
            (layer, gate) for layer in (0, 1) for gate in ("input", "forget", "output")
        ]

    def test_shows_what_stands_in_the_training_text(self, trained: Path) -> None:
        corpus = sunspring.load(trained).open_text()
        known = corpus.vocabulary.decode(corpus.train.tokens[100:160])
        text = f"zzzz{known}zzzz"
        copied = succeed("explain", trained, "--text", text, "--copied", "--json").json["copied"]
        (stretch,) = copied["stretches"]
        assert known in stretch["text"]
        assert text[stretch["begin"] : stretch["end"]] == stretch["text"]
        assert len(copied["new_shares"]) == len(copied["heldout_new_shares"]) == 50
        assert copied["new_shares"][29] < copied["heldout_new_shares"][29]

    def test_lists_the_lines_of_the_training_text_that_are_repeated(self, trained: Path) -> None:
        lines = sunspring.load(trained).open_text().training_lines()
        line = next(line.strip() for line in lines if len(line.strip()) > 20)
        text = f"zzzz\n{line}\n{line[:15]}\n"
        copied = succeed("explain", trained, "--text", text, "--copied", "--json").json["copied"]
        assert copied["lines"] == [line]

    def test_explains_no_more_than_memory_holds(self) -> None:
        Path("long.txt").write_text("To be, or not to be.\n" * 12_000)
        done = succeed("explain", "shakespeare", "long.txt", "--out", "page.html")
        assert "the first 200,000 characters of the text" in done.err
        assert "The first 2,000 of its 200,000 tokens" in " ".join(
            Path("page.html").read_text().split()
        )

    def test_what_cannot_be_is_one_line(self) -> None:
        assert "give --out" in error_of("explain", "shakespeare", "--text", "a")
        assert "no text to explain" in error_of("explain", "shakespeare", "--text", "", "--json")
        assert "not both" in error_of("explain", "shakespeare", "a.txt", "--text", "a", "--json")
        assert "training text of this model is not known" in error_of(
            "explain", "shakespeare", "--json"
        )
        assert "nowhere.txt" in error_of("explain", "shakespeare", "nowhere.txt", "--json")
        assert error_of("explain", "shakespeare", "--text=a", "--json", "--top=0") == (
            "top is 0: it must be at least 1"
        )
