"""Which engine runs a model, and that both give the same through one interface."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from chains import random_model
from numpy.typing import NDArray
from writers import seeded, write_texts

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError, SettingsError
from sunspring.network.config import ModelConfig
from sunspring.network.mixture import Mixture
from sunspring.network.model_folder import ModelFiles
from sunspring.network.ngrams import count_ngrams
from sunspring.network.weights import build_network, pack_model
from sunspring.writing import engines
from sunspring.writing.engine import Engine, EngineName
from sunspring.writing.engines import choose_engine, open_engine
from sunspring.writing.settings import EngineChoice

LETTERS = CharacterVocabulary("abc \n", end=True, unknown=False)
PLAIN = ModelConfig(LETTERS.size, hidden_size=12, embedding_size=6)
LABELLED = replace(PLAIN, labels=("horror", "poem"), skip=True)
CONFIGS = {
    "lstm": PLAIN,
    "gru, attention": replace(PLAIN, cell="gru", attention=True),
    "rnn, tied": replace(PLAIN, cell="rnn", embedding_size=12, tied=True),
    "pointer": replace(PLAIN, pointer=9, pointer_size=4, skip=True),
    "labels": LABELLED,
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
NAMES: tuple[EngineName, ...] = ("native", "torch")
COUNTS = np.array([0, 7, 1, 0, 300, 22, 3, 0])
IDS = np.random.default_rng(0).integers(LETTERS.size, size=int(COUNTS.sum()))
NO_TEXTS = np.zeros(0, np.int64)


def files_of(config: ModelConfig, quantized: bool = False) -> ModelFiles:
    model = random_model(config, std=config.hidden_size**-0.5)
    return pack_model(model, LETTERS, quantized=quantized)


def both_engines(config: ModelConfig) -> list[Engine]:
    files = files_of(config)
    return [open_engine(files, name) for name in NAMES]


def labels_of(config: ModelConfig) -> NDArray[np.int64] | None:
    return np.arange(len(COUNTS)) % 2 if config.labels else None


class TestChoosing:
    @pytest.mark.parametrize(
        ("name", "device", "chosen"),
        [
            ("auto", "auto", "native"),
            ("auto", "cpu", "native"),
            ("auto", "cuda", "torch"),
            ("native", "auto", "native"),
            ("native", "cpu", "native"),
            ("torch", "auto", "torch"),
            ("torch", "cpu", "torch"),
            ("torch", "cuda", "torch"),
        ],
    )
    def test_takes_the_native_engine_unless_pytorch_or_its_gpu_is_asked_for(
        self, name: EngineChoice, device: str, chosen: str
    ) -> None:
        assert choose_engine(name, device) == chosen

    @pytest.mark.parametrize(
        ("name", "device", "message"),
        [
            ("numpy", "cpu", "engine is 'numpy': choose auto, native or torch"),
            ("native", "cuda", "the native engine only runs on the processor: leave out"),
        ],
    )
    def test_refuses_what_cannot_be(self, name: Any, device: str, message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            choose_engine(name, device)

    def test_without_a_compiler_is_pytorch_if_that_is_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engines, "HAS_ENGINE", False)
        assert choose_engine("auto", "cpu") == choose_engine("torch", "cpu") == "torch"
        with pytest.raises(SettingsError, match=r"has no native engine.*or use --engine torch"):
            choose_engine("native", "cpu")
        monkeypatch.setattr(engines, "has_torch", lambda: False)
        with pytest.raises(SettingsError, match=r"nor PyTorch: .*'sunspring\[train\]'"):
            choose_engine("auto", "cpu")


class TestOpening:
    def test_gives_the_engine_that_was_chosen(self) -> None:
        files = files_of(PLAIN)
        assert [each.name for each in both_engines(PLAIN)] == [*NAMES]
        assert open_engine(files).name == "native"
        for each in both_engines(LABELLED):
            assert each.config == LABELLED
            assert each.vocabulary.tokens == LETTERS.tokens

    def test_runs_a_network_that_there_is_already(self) -> None:
        files = files_of(PLAIN)
        network = build_network(files)
        with torch.no_grad():
            network.head.weight.zero_()
            network.head.bias.zero_()
        opened = open_engine(files, "torch", network=lambda: network)
        np.testing.assert_allclose(opened.score(IDS, COUNTS), np.log(LETTERS.size), rtol=1e-6)

    def test_runs_a_mixture_in_pytorch_whatever_was_chosen(self) -> None:
        files = files_of(PLAIN)
        network = build_network(files)
        text = LETTERS.encode("abc abc\n" * 9)
        ngrams = count_ngrams(text, np.array([0, len(text)]), LETTERS.size, LETTERS.start_id)
        mixed = open_engine(
            files, "auto", network=lambda: network, predictor=Mixture(network, ngrams)
        )
        assert mixed.name == "torch"
        plain = open_engine(files, "torch")
        assert not np.allclose(mixed.score(IDS, COUNTS), plain.score(IDS, COUNTS), rtol=1e-2)
        np.testing.assert_array_equal(mixed.encode(IDS, COUNTS), plain.encode(IDS, COUNTS))

    @pytest.mark.parametrize("name", NAMES)
    def test_of_damaged_weights_is_an_error(self, name: EngineName) -> None:
        files = files_of(PLAIN)
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            open_engine(replace(files, weights=files.weights[:-9]), name)


class TestScoring:
    @every_config
    def test_is_the_same_by_both(self, config: ModelConfig) -> None:
        native, reference = both_engines(config)
        labels = labels_of(config)
        nats = reference.score(IDS, COUNTS, labels)
        assert nats.shape == IDS.shape
        np.testing.assert_allclose(native.score(IDS, COUNTS, labels), nats, atol=2e-4)

    @every_config
    @pytest.mark.parametrize("name", NAMES)
    def test_of_many_texts_is_that_of_each(self, config: ModelConfig, name: EngineName) -> None:
        engine, labels = open_engine(files_of(config), name), labels_of(config)
        together = np.split(engine.score(IDS, COUNTS, labels), np.cumsum(COUNTS)[:-1])
        for place, text in enumerate(np.split(IDS, np.cumsum(COUNTS)[:-1])):
            one = slice(place, place + 1)
            alone = engine.score(text, COUNTS[one], None if labels is None else labels[one])
            np.testing.assert_allclose(together[place], alone, atol=2e-5)

    @pytest.mark.parametrize("name", NAMES)
    def test_depends_on_the_label(self, name: EngineName) -> None:
        engine = open_engine(files_of(LABELLED), name)
        one, other = (engine.score(IDS, COUNTS, np.full(len(COUNTS), label)) for label in (0, 1))
        assert np.abs(one - other).max() > 0.01

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64])
    @pytest.mark.parametrize("name", NAMES)
    def test_takes_ids_of_any_kind(self, name: EngineName, kind: type[np.integer[Any]]) -> None:
        engine = open_engine(files_of(PLAIN), name)
        np.testing.assert_array_equal(
            engine.score(IDS.astype(kind), COUNTS), engine.score(IDS, COUNTS)
        )


class TestEncoding:
    @every_config
    def test_is_the_same_by_both(self, config: ModelConfig) -> None:
        native, reference = both_engines(config)
        labels = labels_of(config)
        vectors = reference.encode(IDS, COUNTS, labels)
        assert vectors.shape == (len(COUNTS), config.layers * config.hidden_size)
        np.testing.assert_allclose(native.encode(IDS, COUNTS, labels), vectors, atol=1e-5)

    @every_config
    @pytest.mark.parametrize("name", NAMES)
    def test_of_many_texts_is_that_of_each(self, config: ModelConfig, name: EngineName) -> None:
        engine, labels = open_engine(files_of(config), name), labels_of(config)
        together = engine.encode(IDS, COUNTS, labels)
        for place, text in enumerate(np.split(IDS, np.cumsum(COUNTS)[:-1])):
            one = slice(place, place + 1)
            (alone,) = engine.encode(text, COUNTS[one], None if labels is None else labels[one])
            np.testing.assert_allclose(together[place], alone, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_has_nothing_to_say_of_no_texts(self, name: EngineName) -> None:
        engine = open_engine(files_of(PLAIN), name)
        assert engine.score(NO_TEXTS, NO_TEXTS).shape == (0,)
        assert engine.encode(NO_TEXTS, NO_TEXTS).shape == (0, 24)

    def test_says_that_labels_are_missing(self, name: EngineName) -> None:
        engine = open_engine(files_of(LABELLED), name)
        for use in (engine.score, engine.encode):
            with pytest.raises(SettingsError, match="give one of horror, poem"):
                use(IDS, COUNTS)

    def test_reads_8_bits(self, name: EngineName) -> None:
        whole, rounded = (
            open_engine(files_of(PLAIN, quantized), name) for quantized in (False, True)
        )
        difference = whole.score(IDS, COUNTS) - rounded.score(IDS, COUNTS)
        assert 0 < np.abs(difference).mean() < 0.02


class TestWriting:
    @pytest.mark.parametrize(
        ("config", "label"), [(PLAIN, None), (LABELLED, "horror"), (LABELLED, "poem")]
    )
    @pytest.mark.parametrize("before", [None, "a", "abc ab\n"])
    def test_is_the_same_by_both(
        self, config: ModelConfig, label: str | None, before: str | None
    ) -> None:
        pages = None if before is None else LETTERS.encode(before).astype(np.int64)
        wanted = seeded("ab", length=60, label=label, repetition_penalty=1.5)
        first, second = (
            write_texts(each.writer(pages), wanted, 9) for each in both_engines(config)
        )
        assert first == second
        assert len({writing.text for writing in first}) > 4

    def test_blends_in_the_native_engine_alone(self) -> None:
        native, reference = both_engines(PLAIN)
        other = native.writer()
        for one, another in product((native, reference), repeat=2):
            if one is another is native:
                assert write_texts(one.writer(None, [(other, 1.0)]), seeded(length=9))
                continue
            with pytest.raises(SettingsError, match="only the native engine can blend"):
                one.writer(None, [(another.writer(), 0.5)])

    def test_shows_what_is_inside_in_the_native_engine_alone(self) -> None:
        native, reference = both_engines(PLAIN)
        logits = native.reader().read(np.array([LETTERS.start_id]))
        assert logits.shape == (LETTERS.size,)
        with pytest.raises(SettingsError, match="only the native engine can look inside"):
            reference.reader()
