"""The native engine with counts: what it predicts, however it reads, and files that are damaged."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from chains import random_model
from counted import count_texts, mixture
from engines import add_texts, native_model, read_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.native import load_native
from sunspring.network.scoring import score_texts
from sunspring.network.weights import pack_model

LETTERS = CharacterVocabulary("abcdefghijklmno \n", end=False, unknown=False)
START = LETTERS.start_id
PLAIN = ModelConfig(LETTERS.size, layers=2, hidden_size=24, embedding_size=20)
RICH = replace(PLAIN, skip=True, attention=True, pointer=9, pointer_size=20)
KINDS = {
    "lstm": PLAIN,
    "gru": replace(PLAIN, cell="gru"),
    "pointer": replace(PLAIN, pointer=9),
    "rich": RICH,
}
every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
in_both_arithmetics = pytest.mark.parametrize("quantized", [False, True])
every_instruction_set = pytest.mark.parametrize("instruction_set", engine.instruction_sets())


def vocabulary_of(size: int) -> CharacterVocabulary:
    characters = ["\n", *(chr(0x100 + i) for i in range(size - 1))]
    return CharacterVocabulary(characters, end=False, unknown=False)


def random_texts(size: int, lengths: list[int], seed: int = 0) -> list[NDArray[np.int64]]:
    """Texts with many repetitions, as tokens that are rarer the higher they are."""
    random = np.random.default_rng(seed)
    phrases = [
        (size * random.random(random.integers(1, 7)) ** 3).astype(np.int64) for _ in range(9)
    ]
    return [
        np.concatenate([phrases[i] for i in random.integers(9, size=1 + length)])[:length]
        for length in lengths
    ]


TEXTS = random_texts(LETTERS.size, [300, 0, 500])
COUNTS = count_texts(TEXTS, LETTERS.size, START, 5)
TOKENS = np.concatenate([*random_texts(LETTERS.size, [150]), TEXTS[0][:50], np.arange(17)])


def read(model: engine.Model, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits (time, vocabulary), read token by token."""
    reader = engine.Reader(model)
    return np.stack([reader.read(tokens[i : i + 1]) for i in range(len(tokens))])


def network(config: ModelConfig) -> Any:
    return random_model(config, std=config.hidden_size**-0.5)


@settings(max_examples=40)
@given(
    size=st.integers(2, 300),
    orders=st.integers(1, 7),
    lengths=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 30),
)
def test_costs_are_those_of_the_mixture_in_pytorch(
    size: int, orders: int, lengths: list[int], seed: int
) -> None:
    letters = vocabulary_of(size)
    model = random_model(ModelConfig(size, layers=1, hidden_size=5, embedding_size=4))
    texts = random_texts(size, lengths, seed)
    counts = count_texts(texts, size, letters.start_id, orders, seed)
    unseen = np.random.default_rng(seed).integers(size, size=30)
    tokens, read_lengths = np.concatenate([*texts, unseen]), np.array([*lengths, 30])
    native = native_model(model, letters, counts=counts)
    found = read_texts(native, tokens, read_lengths, threads=2)
    mixed = mixture(model, counts, letters.start_id)
    wanted = score_texts(mixed, tokens, read_lengths, letters.start_id)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@every_kind
@in_both_arithmetics
def test_logits_are_the_logarithms_of_the_mixture(config: ModelConfig, quantized: bool) -> None:
    model = network(config)
    alone = read(native_model(model, LETTERS, quantized), TOKENS)
    found = read(native_model(model, LETTERS, quantized, counts=COUNTS), TOKENS)
    mixed = mixture(model, COUNTS, START)
    contexts = torch.from_numpy(mixed.ngrams.initial_contexts(1))
    logits, tokens = torch.from_numpy(alone)[None], torch.from_numpy(TOKENS)[None]
    wanted, _ = mixed.mix(logits, tokens, contexts)
    np.testing.assert_allclose(found, wanted[0].numpy(), atol=2e-5)


@every_kind
@in_both_arithmetics
def test_a_prompt_gives_to_the_bit_what_its_tokens_give(
    config: ModelConfig, quantized: bool
) -> None:
    model = native_model(network(config), LETTERS, quantized, counts=COUNTS)
    by_tokens = read(model, TOKENS)
    logits, _ = engine.Reader(model).trace(TOKENS, threads=2)
    assert logits.tobytes() == by_tokens.tobytes()
    reader = engine.Reader(model)
    for first, last in pairwise((0, 40, 41, 140, len(TOKENS))):
        found = reader.copy().read(TOKENS[first:last], threads=2)
        assert found.tobytes() == reader.read(TOKENS[first:last]).tobytes()
        assert found.tobytes() == by_tokens[last - 1].tobytes()


def test_long_and_short_texts_cost_what_their_tokens_cost() -> None:
    model = native_model(network(RICH), LETTERS, counts=COUNTS)
    lengths = [5, 1500, 0, 40, 1024]
    texts = random_texts(LETTERS.size, lengths)
    found = read_texts(model, np.concatenate(texts), lengths, threads=2, slices=0.0)
    wanted = [-read(model, np.array([START, *text]))[np.arange(len(text)), text] for text in texts]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=1e-5)


@every_kind
def test_all_instruction_sets_give_the_same_bits_in_8_bits(config: ModelConfig) -> None:
    model = network(config)
    first, *others = (
        read(native_model(model, LETTERS, True, each, COUNTS), TOKENS).tobytes()
        for each in engine.instruction_sets()
    )
    assert all(other == first for other in others)


def trusting_counts(orders: int, text: str) -> bytes:
    """Counts whose gate leaves everything to the highest order."""
    tensors = load(count_texts([LETTERS.encode(text)], LETTERS.size, START, orders))
    tensors["gate"][:] = 0
    tensors["gate"][0, -1] = 50
    return save(tensors)


@every_instruction_set
@pytest.mark.parametrize("is_blended", [False, True])
def test_sessions_write_what_was_counted(is_blended: bool, instruction_set: str) -> None:
    counts = trusting_counts(4, "abcdefgh ijkl\n" * 20)
    model = native_model(network(PLAIN), LETTERS, False, instruction_set, counts)
    models = [native_model(network(PLAIN), LETTERS), model] if is_blended else [model]
    readers = [engine.Reader(each) for each in models]
    for reader in readers:
        reader.read(np.array([START, *LETTERS.encode("ab")]))
    blend = [(model, 0.9, np.arange(LETTERS.size))] if is_blended else []
    session = engine.Session(models[0], blend=blend, lanes=2, threads=2)
    add_texts(session, readers, length=30, temperature=0.0)
    written = ["", "", ""]
    while not session.is_over:
        for _, seed, piece, _, _ in session.run(1e-5):
            written[seed] += piece
    assert written == ["cdefgh ijkl\nabcdefgh ijkl\nabcd"] * 3


def test_a_model_folder_is_loaded_with_its_counts() -> None:
    files = pack_model(network(PLAIN), LETTERS)
    with_counts = load_native(replace(files, counts=COUNTS))
    wanted = read(native_model(network(PLAIN), LETTERS, counts=COUNTS), TOKENS)
    np.testing.assert_array_equal(read(with_counts, TOKENS), wanted)
    assert (read(load_native(files), TOKENS) != wanted).any()


class TestDamage:
    files = pack_model(network(PLAIN), LETTERS)
    header_size = 8 + int.from_bytes(COUNTS[:8], "little")

    def run(self, counts: bytes) -> engine.Model:
        return load_native(replace(self.files, counts=counts))

    def refuse(self, counts: bytes, what: str = "") -> None:
        with pytest.raises(ModelError, match=rf"counts\.safetensors .*{what}") as caught:
            self.run(counts)
        assert "\n" not in str(caught.value)

    @given(data=st.data())
    def test_that_cuts_the_file_off_is_found(self, data: st.DataObject) -> None:
        self.refuse(COUNTS[: data.draw(st.integers(1, len(COUNTS) - 1))])

    @settings(max_examples=500)
    @given(in_header=st.booleans(), data=st.data())
    def test_that_changes_bytes_is_found_or_harmless(
        self, in_header: bool, data: st.DataObject
    ) -> None:
        counts = bytearray(COUNTS)
        first, last = (0, self.header_size) if in_header else (self.header_size, len(COUNTS))
        for place in data.draw(st.lists(st.integers(first, last - 1), min_size=1, max_size=4)):
            counts[place] = data.draw(st.integers(0, 255))
        try:
            model = self.run(bytes(counts))
        except ModelError as error:
            assert "\n" not in str(error)
            return
        engine.Reader(model).read(TOKENS)

    @settings(max_examples=300)
    @given(name=st.sampled_from(sorted(set(load(COUNTS)) - {"gate"})), data=st.data())
    def test_that_changes_a_tensor_is_found_where_pytorch_finds_it(
        self, name: str, data: st.DataObject
    ) -> None:
        tensors = load(COUNTS)
        values = tensors[name].copy()
        if len(values):
            place = data.draw(st.integers(0, len(values) - 1))
            values[place] ^= data.draw(st.integers(1, 255))
        tensors[name] = values[: data.draw(st.sampled_from([len(values), -1]))]
        counts = save(tensors)
        try:
            mixture(network(PLAIN), counts, START)
        except ModelError:
            self.refuse(counts)
        else:
            self.run(counts)

    @pytest.mark.parametrize("name", sorted(load(COUNTS)))
    def test_that_loses_a_tensor_names_it(self, name: str) -> None:
        tensors = load(COUNTS)
        del tensors[name]
        self.refuse(save(tensors), name)

    def test_of_the_gate_is_found(self) -> None:
        gate = load(COUNTS)["gate"]
        for other in (np.full_like(gate, np.nan), gate[:-1], gate[:, :-1], gate[0], gate[:0]):
            self.refuse(save({**load(COUNTS), "gate": np.ascontiguousarray(other)}), "gate")
        self.refuse(save({**load(COUNTS), "gate": np.zeros((34, 18), np.float32)}), "gate")

    def test_that_adds_a_tensor_is_found(self) -> None:
        self.refuse(save({**load(COUNTS), "6.empty": np.zeros(0, np.int32)}), "nothing asks for")

    def test_of_another_vocabulary_is_found(self) -> None:
        counts = count_texts(random_texts(9, [100]), 9, 0, 3)
        self.refuse(counts, r"1\.counts")

    @pytest.mark.parametrize("shape", [[1 << 52, 2], [2, 1 << 52], [0, 1], [1 << 52]])
    def test_of_a_shape_takes_no_memory(self, shape: list[int]) -> None:
        for name in ("gate", "1.counts", "2.empty"):
            header = json.loads(COUNTS[8 : self.header_size])
            header[name]["shape"] = shape
            text = json.dumps(header).encode()
            self.refuse(len(text).to_bytes(8, "little") + text + COUNTS[self.header_size :])
