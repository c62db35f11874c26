"""The native engine against PyTorch, its instruction sets against one another, and bad files."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import product
from typing import Any

import engine_in_numpy
import numpy as np
import pytest
import torch
from chains import chain, random_model
from engines import native_model, native_writer, read_texts, torch_writer
from safetensors.numpy import save
from writers import seeded, write_texts

from sunspring.corpus.vocabulary import ByteVocabulary, CharacterVocabulary
from sunspring.errors import SettingsError
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import INSTRUCTION_SET, load_native
from sunspring.network.network import RecurrentModel
from sunspring.network.scoring import final_outputs, score_texts
from sunspring.network.weights import dequantize, model_weights, quantize
from sunspring.training.plan import PRESETS
from sunspring.writing.native_writer import NativeWriter

LETTERS = CharacterVocabulary("abcdefghijklmno \n", end=True, unknown=True)
BYTES = ByteVocabulary(end=False)
PLAIN = ModelConfig(LETTERS.size, layers=2, hidden_size=24, embedding_size=20)
ENDLESS_LETTERS = CharacterVocabulary("abcdefghijklmno \n", end=False, unknown=False)
ENDLESS = replace(PLAIN, vocabulary_size=ENDLESS_LETTERS.size)
CONFIGS = {
    f"{cell}{', skip' * skip}{', attention' * attention}{', pointer' * bool(pointer)}": replace(
        PLAIN, cell=cell, skip=skip, attention=attention, pointer=pointer, pointer_size=20
    )
    for cell, skip, attention, pointer in product(
        ("rnn", "gru", "lstm"), (False, True), (False, True), (0, 9)
    )
} | {
    "tied": replace(PLAIN, embedding_size=24, tied=True),
    "tanh": replace(PLAIN, embedding_activation="tanh", skip=True),
    "labels": replace(PLAIN, labels=("a", "b"), skip=True, embedding_activation="tanh"),
    "one layer": replace(PLAIN, layers=1),
    "three layers": replace(PLAIN, layers=3, skip=True),
    "odd sizes": replace(PLAIN, hidden_size=33, embedding_size=7, skip=True, pointer=3),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
every_instruction_set = pytest.mark.parametrize("instruction_set", engine.instruction_sets())
GOLDEN_TEXT = (
    "abcahmmmhmmdhhhccbeecmmhmmmmmmmmjcemmemmmdeacmmjeemdmemmb\n"
    "jmmjmmmjmjjlm ljeomejmmemjjehjdem\nmjm\n\nmj cml"
)
NO_LABELS = np.zeros(0, np.int64)
TOKENS = np.random.default_rng(0).integers(LETTERS.size, size=60)


def make_model(config: ModelConfig) -> RecurrentModel:
    """Weights as large as training makes them."""
    return random_model(config, std=config.hidden_size**-0.5)


def log_probabilities(logits: Any) -> torch.Tensor:
    return torch.as_tensor(logits, dtype=torch.float64).log_softmax(-1)


@torch.no_grad()
def expected(model: RecurrentModel, tokens: np.ndarray, label: int | None = None) -> torch.Tensor:
    """Log-probabilities (time, vocabulary) of PyTorch's own layers, in float64."""
    model = model.double()
    labels = None if label is None else torch.tensor([label])
    logits, _ = model(torch.from_numpy(tokens).unsqueeze(0), model.initial_state(1), labels)
    return log_probabilities(logits[0])


def read(model: engine.Model, tokens: np.ndarray, label: int = 0) -> np.ndarray:
    """Logits (time, vocabulary), read token by token."""
    reader = engine.Reader(model, label)
    return np.stack([reader.read(tokens[i : i + 1]) for i in range(len(tokens))])


class TestInFloat32:
    @every_instruction_set
    @every_config
    def test_logits_are_those_of_pytorch(self, config: ModelConfig, instruction_set: str) -> None:
        model = make_model(config)
        native = native_model(model, LETTERS, instruction_set=instruction_set)
        label = 1 if config.labels else None
        found = log_probabilities(read(native, TOKENS, label or 0))
        torch.testing.assert_close(found, expected(model, TOKENS, label), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("preset", PRESETS)
    def test_writes_what_pytorch_writes_with_every_preset(self, preset: str) -> None:
        config = ModelConfig(LETTERS.size, **PRESETS[preset].model)
        model = make_model(config)
        wanted = seeded("abc", length=400, temperature=0)
        native, torch = native_writer(model, LETTERS), torch_writer(model, LETTERS)
        assert write_texts(native, wanted) == write_texts(torch, wanted)


class TestInEightBits:
    @every_config
    def test_all_instruction_sets_give_the_same_bits(self, config: ModelConfig) -> None:
        model = make_model(config)
        first, *others = (
            read(native_model(model, LETTERS, True, each), TOKENS).tobytes()
            for each in engine.instruction_sets()
        )
        assert all(other == first for other in others)

    @every_config
    def test_logits_are_close_to_those_of_the_rounded_weights(self, config: ModelConfig) -> None:
        model = make_model(config)
        found = log_probabilities(read(native_model(model, LETTERS, True), TOKENS))
        rounded = dequantize(quantize(model_weights(model), config.cell), config.cell)
        if config.tied:
            rounded["head.weight"] = rounded["embedding.weight"]
        model.load_state_dict(rounded)
        label = 0 if config.labels else None
        difference = (found - expected(model, TOKENS, label)).abs()
        assert difference.mean() < 0.02
        assert difference.max() < 0.3


class TestScoring:
    @every_config
    def test_is_the_surprisal_of_each_token(self, config: ModelConfig) -> None:
        model = make_model(config)
        lengths = np.array([0, 7, 1, 0, 30, 22])
        label = 1 if config.labels else None
        nats = read_texts(native_model(model, LETTERS), TOKENS, lengths, label, threads=2)
        labels = None if label is None else np.full(6, label)
        wanted = score_texts(model, TOKENS, lengths, LETTERS.start_id, labels)
        np.testing.assert_allclose(nats, wanted, atol=1e-4)

    @every_config
    def test_encodes_as_the_outputs_after_the_last_token(self, config: ModelConfig) -> None:
        model = make_model(config)
        lengths = np.array([0, 7, 1, 0, 30, 22])
        label = 1 if config.labels else None
        native = native_model(model, LETTERS)
        found = read_texts(native, TOKENS, lengths, label, outputs=True, threads=2)
        texts = np.split(TOKENS, np.cumsum(lengths)[:-1])
        wanted = [final_outputs(model, text, LETTERS.start_id, label) for text in texts]
        np.testing.assert_allclose(found, np.concatenate(wanted), atol=1e-5)

    def test_does_not_depend_on_what_else_is_scored(self) -> None:
        model = native_model(make_model(CONFIGS["lstm, skip, pointer"]), LETTERS, quantized=True)
        lengths = np.random.default_rng(1).integers(0, 40, size=300)
        tokens = np.random.default_rng(2).integers(LETTERS.size, size=lengths.sum())
        together = read_texts(model, tokens, lengths, threads=2, slices=0.0)
        alone = [
            read_texts(model, text, [len(text)])
            for text in np.split(tokens, np.cumsum(lengths)[:-1])
        ]
        assert together.tobytes() == np.concatenate(alone).tobytes()

    @pytest.mark.parametrize("cell", ["lstm", "gru"])
    @pytest.mark.parametrize("quantized", [False, True])
    def test_of_a_long_text_does_not_depend_on_the_threads_that_share_it(
        self, cell: Any, quantized: bool
    ) -> None:
        config = replace(PLAIN, cell=cell, hidden_size=400, skip=True, pointer=50)
        model = native_model(make_model(config), LETTERS, quantized)
        tokens = np.random.default_rng(2).integers(LETTERS.size, size=1100)
        alone, shared = (
            read_texts(model, tokens, [1100], threads=threads, slices=0.001) for threads in (1, 3)
        )
        assert alone.tobytes() == shared.tobytes()

    def test_refuses_tokens_and_lengths_that_are_not_there(self) -> None:
        model = native_model(make_model(PLAIN), LETTERS)
        for tokens, lengths in (([0, LETTERS.size], [2]), ([-1], [1]), ([0], [2]), ([0], [-1])):
            with pytest.raises(ValueError, match=r"not of the model|not those of the texts"):
                read_texts(model, tokens, lengths)

    @every_config
    @pytest.mark.parametrize("quantized", [False, True])
    def test_of_a_long_text_is_to_the_bit_that_of_token_after_token(
        self, config: ModelConfig, quantized: bool
    ) -> None:
        model = native_model(make_model(config), LETTERS, quantized)
        lengths = np.array([5, 1500, 0, 1024])
        tokens = np.random.default_rng(2).integers(LETTERS.size, size=lengths.sum())
        label = 1 if config.labels else None
        costs = np.split(
            read_texts(model, tokens, lengths, label, threads=2, slices=0.0), np.cumsum(lengths)
        )
        outputs = read_texts(model, tokens, lengths, label, outputs=True, threads=2)
        for place, text in enumerate(np.split(tokens, np.cumsum(lengths)[:-1])):
            reader = engine.Reader(model, label or 0)
            logits, left = reader.trace(np.array([LETTERS.start_id, *text]))
            wanted_outputs = left.reshape(len(text) + 1, -1)[-1]
            found_outputs = outputs.reshape(len(lengths), -1)[place]
            assert found_outputs.tobytes() == wanted_outputs.tobytes()
            wanted = -log_probabilities(logits.reshape(-1, LETTERS.size)).numpy()
            np.testing.assert_allclose(
                costs[place], wanted[np.arange(len(text)), text], rtol=1e-5, atol=1e-5
            )


SETTINGS: dict[str, Any] = {
    "recent": np.zeros(0, np.int64),
    "seed": 0,
    "texts": 1,
    "length": 10,
    "stops": [],
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "pattern": None,
}


class TestSessions:
    model = native_model(make_model(ENDLESS), ENDLESS_LETTERS)

    def session(self, lanes: int = 1, threads: int = 1, **settings: Any) -> engine.Session:
        session = engine.Session(self.model, blend=[], lanes=lanes, threads=threads)
        if settings:
            self.add(session, **settings)
        return session

    def add(self, session: engine.Session, prompt: str = "", **settings: Any) -> int:
        reader = engine.Reader(self.model)
        tokens = ENDLESS_LETTERS.encode(prompt).astype(np.int64)
        reader.read(np.array([ENDLESS_LETTERS.start_id, *tokens]))
        return session.add([reader], **{**SETTINGS, **settings})

    def texts(self, session: engine.Session, seconds: float) -> dict[tuple[int, int], str]:
        """What a session writes, by request and seed."""
        found: dict[tuple[int, int], str] = {}
        while not session.is_over:
            for request, seed, text, _, _ in session.run(seconds):
                found[request, seed] = found.get((request, seed), "") + text
        return found

    def test_are_cancelled_at_once(self) -> None:
        session = self.session(length=1 << 40, texts=4, lanes=4, threads=2)
        thread = threading.Thread(target=session.run, args=(60.0,))
        thread.start()
        time.sleep(0.05)
        began = time.perf_counter()
        session.cancel()
        thread.join(timeout=10)
        assert not thread.is_alive()
        assert time.perf_counter() - began < 1
        assert session.is_over
        assert session.run(1.0) == []

    @pytest.mark.parametrize(("lanes", "threads"), [(1, 1), (2, 1), (3, 2), (8, 2)])
    @pytest.mark.parametrize("slices", [0, 1, 20])
    def test_lose_a_cancelled_request_and_write_the_others_the_same(
        self, lanes: int, threads: int, slices: int
    ) -> None:
        session = self.session(lanes=lanes, threads=threads)
        self.add(session, length=1 << 40, texts=5, seed=100)
        kept = self.add(session, prompt="ab", length=200, texts=4)
        found: dict[int, str] = {}
        for index in range(slices + 1):
            if index == slices:
                session.cancel(0)
            for request, seed, text, _, _ in session.run(1e-5):
                assert request == kept or index < slices
                found[seed] = found.get(seed, "") + text
        for (request, seed), text in self.texts(session, 1e-4).items():
            assert request == kept
            found[seed] = found.get(seed, "") + text
        alone = self.texts(self.session(prompt="ab", length=200, texts=4), 60)
        assert {seed: text for seed, text in found.items() if seed < 100} == {
            seed: text for (_, seed), text in alone.items()
        }

    def test_give_no_more_of_a_request_that_is_cancelled_during_a_run(self) -> None:
        session = self.session(length=1 << 40, texts=4, lanes=4, threads=2)
        pieces: list[Any] = []
        thread = threading.Thread(target=lambda: pieces.extend(session.run(60.0)))
        thread.start()
        time.sleep(0.05)
        session.cancel(0)
        thread.join(timeout=10)
        assert not thread.is_alive()
        assert session.is_over
        assert pieces == []

    def test_are_over_when_all_requests_are_cancelled(self) -> None:
        session = self.session(lanes=2)
        numbers = [self.add(session, length=1 << 40, texts=3) for _ in range(3)]
        session.run(1e-5)
        for number in numbers:
            assert not session.is_over
            session.cancel(number)
        assert session.is_over
        assert session.run(1.0) == []
        assert self.add(session, length=5) == 3
        assert [text for text in self.texts(session, 1.0).values() if len(text) == 5]

    def test_are_left_alone_by_the_cancelling_of_what_is_not_written(self) -> None:
        session = self.session(length=7, lanes=2)
        finished = session.run(10.0)
        assert finished
        self.add(session, length=300, texts=3)
        for number in (0, 0, 2, 1 << 60):
            session.cancel(number)
        alone = self.texts(self.session(length=300, texts=3), 60)
        assert list(self.texts(session, 1e-4).values()) == list(alone.values())

    @pytest.mark.parametrize("slice_seconds", [1e-6, 1e-5, 10.0])
    def test_write_the_same_however_they_are_sliced(self, slice_seconds: float) -> None:
        session = self.session(length=300, texts=5, lanes=2, threads=2)
        whole = self.texts(self.session(length=300, texts=5), 60)
        assert len(whole) == 5
        assert self.texts(session, slice_seconds) == whole

    @pytest.mark.parametrize("quantized", [False, True])
    def test_write_one_text_the_same_however_many_threads_share_it(self, quantized: bool) -> None:
        large = make_model(replace(ENDLESS, hidden_size=400, skip=True, pointer=50))
        model, texts = native_model(large, ENDLESS_LETTERS, quantized), []
        for threads in (1, 2, 5):
            session = engine.Session(model, blend=[], lanes=1, threads=threads)
            session.add([engine.Reader(model)], **{**SETTINGS, "length": 400, "texts": 2})
            texts.append(self.texts(session, 1e-3))
        assert [len(text) for text in texts[0].values()] == [400, 400]
        assert texts[1:] == texts[:1] * 2

    def test_let_texts_of_other_settings_join_at_any_time(self) -> None:
        requests: list[dict[str, Any]] = [
            {"prompt": "abc", "length": 400, "seed": 3},
            {"prompt": "o", "length": 30, "texts": 9, "temperature": 0.1},
            {"length": 100, "texts": 0},
            {"length": 200, "texts": 3, "top_k": 2, "stops": ["b"]},
        ]
        session = self.session(lanes=3, threads=2)
        found: dict[tuple[int, int], str] = {}
        for number, request in enumerate(requests):
            assert self.add(session, **request) == number
            for index, seed, text, _, _ in session.run(1e-4):
                found[index, seed] = found.get((index, seed), "") + text
        for key, text in self.texts(session, 1e-4).items():
            found[key] = found.get(key, "") + text
        for number, request in enumerate(requests):
            alone = self.texts(self.session(**request), 60)
            assert {key[1]: text for key, text in alone.items()} == {
                seed: text for (index, seed), text in found.items() if index == number
            }

    def test_let_texts_join_while_others_are_written(self) -> None:
        session = self.session(lanes=2, threads=2, length=1 << 40)
        thread = threading.Thread(target=session.run, args=(60.0,))
        thread.start()
        numbers = [self.add(session, length=5, seed=seed) for seed in range(9)]
        session.cancel()
        thread.join(timeout=10)
        assert numbers == list(range(1, 10))

    def test_let_go_of_patterns_while_texts_join(self) -> None:
        def anything() -> engine.Pattern:
            size = ENDLESS_LETTERS.size
            return engine.Pattern(
                np.array([0, size]),
                np.arange(size, dtype=np.int32),
                np.zeros(size, np.int32),
                np.zeros(1, np.int64),
                np.ones(1, np.uint8),
                np.ones(size, np.int32),
            )

        session = self.session(lanes=4, threads=2, length=1 << 40)
        thread = threading.Thread(target=session.run, args=(60.0,), daemon=True)
        thread.start()
        for _ in range(3000):
            self.add(session, length=1, pattern=anything())
        session.cancel()
        thread.join(timeout=10)
        assert not thread.is_alive()

    def test_refuse_what_is_not_of_the_model(self) -> None:
        other = native_model(make_model(ENDLESS), ENDLESS_LETTERS)
        pattern = engine.Pattern(
            np.array([0, 0]),
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
            np.zeros(1, np.int64),
            np.ones(1, np.uint8),
            np.zeros(3, np.int32),
        )
        size = ENDLESS_LETTERS.size
        refused = pytest.raises(
            ValueError, match=r"not of the model|lacks a token|other vocabulary|not those of"
        )
        for wrong in (np.zeros(3, np.int64), np.full(size, size)):
            with refused:
                engine.Session(self.model, blend=[(other, 0.5, wrong)], lanes=1, threads=1)
        for settings in ({"recent": np.array([99])}, {"pattern": pattern}):
            with refused:
                self.session(**settings)
        for readers in ([], [engine.Reader(other)], [engine.Reader(self.model)] * 2):
            with refused:
                self.session().add(readers, **SETTINGS)


class TestPatterns:
    @pytest.mark.parametrize(
        "parts",
        [
            ([0, 2], [0], [0], [0], [1], [1]),
            ([0, 1], [1], [0], [0], [1], [1]),
            ([0, 1], [0], [1], [0], [1], [1]),
            ([1, 1], [0], [0], [0], [1], [1]),
            ([0, 1], [0], [0], [-1], [1], [1]),
            ([0, 1, 0], [0], [0], [0, 0], [1, 1], [1]),
            ([0, 1], [0], [0], [0], [], [1]),
        ],
    )
    def test_that_contradict_themselves_are_refused(self, parts: tuple[list[int], ...]) -> None:
        kinds = (np.int64, np.int32, np.int32, np.int64, np.uint8, np.int32)
        arrays = [np.array(part, kind) for part, kind in zip(parts, kinds, strict=True)]
        with pytest.raises(ValueError, match="contradict"):
            engine.Pattern(*arrays)


class TestBlends:
    one = chain(LETTERS, {token: {"a": 0.9, "b": 0.1} for token in ("", "<|end|>", "a", "b")})
    two = chain(LETTERS, {token: {"a": 0.3, "b": 0.7} for token in ("", "<|end|>", "a", "b")})

    def blend(self, *shares: float) -> NativeWriter:
        model = native_model(self.one, LETTERS)
        others = [(native_writer(self.two, LETTERS), share) for share in shares]
        return NativeWriter(model, self.one.config, LETTERS, blend=others)

    def test_mix_the_probabilities(self) -> None:
        text = write_texts(self.blend(0.25), seeded(length=8000))[0].text
        assert text.count("a") / 8000 == pytest.approx(0.75 * 0.9 + 0.25 * 0.3, abs=0.02)

    def test_of_one_share_alone_are_the_other_model(self) -> None:
        wanted = seeded("ab", length=200, seed=5)
        other = native_writer(self.two, LETTERS)
        assert write_texts(self.blend(1.0), wanted) == write_texts(other, wanted)

    def test_go_by_the_tokens_and_not_by_their_ids(self) -> None:
        other = CharacterVocabulary("éba", end=False, unknown=False)
        rows = {token: {"b": 0.5, "é": 0.5} for token in ("", "a", "b", "é")}
        writer = NativeWriter(
            native_model(self.one, LETTERS),
            self.one.config,
            LETTERS,
            blend=[(native_writer(chain(other, rows), other), 1.0)],
        )
        assert write_texts(writer, seeded("ac", length=50))[0].text == "ac" + "b" * 50

    @pytest.mark.parametrize("shares", [(0.0,), (-0.1,), (1.1,), (0.6, 0.6)])
    def test_of_impossible_shares_are_refused(self, shares: tuple[float, ...]) -> None:
        with pytest.raises(SettingsError, match="the shares of a blend are"):
            self.blend(*shares)

    def test_of_other_kinds_of_tokens_are_refused(self) -> None:
        other = native_writer(make_model(replace(PLAIN, vocabulary_size=BYTES.size)), BYTES)
        with pytest.raises(SettingsError, match="chars and one of bytes cannot be blended"):
            NativeWriter(
                native_model(self.one, LETTERS), self.one.config, LETTERS, blend=[(other, 0.5)]
            )


def test_the_engine_imports_no_torch() -> None:
    program = "import sys, sunspring.writing.native_writer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"


def golden_files() -> ModelFiles:
    """A model in 8 bits that is made of numpy's random whole numbers alone."""
    random = np.random.Generator(np.random.Philox(2016))
    config = ModelConfig(
        ENDLESS_LETTERS.size,
        hidden_size=20,
        embedding_size=6,
        skip=True,
        attention=True,
        pointer=40,
        pointer_size=8,
    )
    shapes = {
        "embedding.weight": (17, 6),
        "layers.0.weight_ih_l0": (80, 6),
        "layers.0.weight_hh_l0": (80, 20),
        "layers.1.weight_ih_l0": (80, 26),
        "layers.1.weight_hh_l0": (80, 20),
        "pointer.query.weight": (8, 92),
        "pointer.key.weight": (8, 92),
        "head.weight": (17, 92),
    }
    tensors: dict[str, np.ndarray] = {
        "attention.score.weight": np.full((1, 46), 0.25, np.float32),
        "pointer.share.weight": np.full((1, 92), 0.125, np.float32),
        **{f"pointer.{name}": np.zeros(1, np.float32) for name in ("sentinel", "sharpness")},
        "pointer.share.bias": np.zeros(1, np.float32),
        "head.bias": np.zeros(17, np.float32),
        **{f"layers.{layer}.bias": np.full(80, 0.5, np.float32) for layer in (0, 1)},
    }
    for name, shape in shapes.items():
        tensors[name] = random.integers(-127, 128, shape, np.int8)
        tensors[f"{name}.scale"] = np.full(shape[0], 2**-7, np.float32)
    weights = save(tensors, {"quantization": "int8-rows-1"})
    return ModelFiles(config, ENDLESS_LETTERS, {}, weights, "int8-rows-1")


@every_instruction_set
def test_int8_writes_the_same_as_ever(
    instruction_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INSTRUCTION_SET, instruction_set)
    files = golden_files()
    writer = NativeWriter(load_native(files), files.config, files.vocabulary)
    [written] = write_texts(writer, seeded("abc", length=100, seed=11))
    assert written.text == GOLDEN_TEXT


def test_int8_is_documented_well_enough_to_write_the_same() -> None:
    assert engine_in_numpy.write(golden_files(), "abc", 100, 11, temperature=1.0) == GOLDEN_TEXT
