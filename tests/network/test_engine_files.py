"""The native engine and files that are damaged, contradictory or hostile; instruction sets."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from chains import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError, SettingsError
from sunspring.network import engine
from sunspring.network.config import ModelConfig
from sunspring.network.native import INSTRUCTION_SET, load_native
from sunspring.network.weights import pack_model

LETTERS = CharacterVocabulary("abcdefghijklmno \n", end=True, unknown=True)
TOKENS = np.random.default_rng(0).integers(LETTERS.size, size=60)
SMALL = ModelConfig(
    LETTERS.size, hidden_size=3, embedding_size=2, skip=True, pointer=2, pointer_size=2
)
GOOD = {
    quantized: pack_model(random_model(SMALL), LETTERS, quantized=quantized)
    for quantized in (False, True)
}


def with_header(change: Any, quantized: bool = False) -> bytes:
    """The weights' file with another header."""
    data = GOOD[quantized].weights
    length = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + length]))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


class TestBadFiles:
    def refuse(self, weights: bytes, **changes: Any) -> None:
        with pytest.raises(ModelError):
            load_native(replace(GOOD[False], weights=weights, **changes))

    @settings(max_examples=300)
    @given(quantized=st.booleans(), data=st.data())
    def test_that_are_cut_off_are_refused(self, quantized: bool, data: st.DataObject) -> None:
        whole = GOOD[quantized].weights
        self.refuse(whole[: data.draw(st.integers(0, len(whole) - 1))])

    @settings(max_examples=500)
    @given(quantized=st.booleans(), data=st.data())
    def test_with_changed_bytes_are_refused_or_run(
        self, quantized: bool, data: st.DataObject
    ) -> None:
        weights = bytearray(GOOD[quantized].weights)
        end = 8 + int.from_bytes(weights[:8], "little")
        for place in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=4)):
            weights[place] = data.draw(st.integers(0, 255))
        try:
            model = load_native(replace(GOOD[quantized], weights=bytes(weights)))
        except ModelError:
            return
        engine.Reader(model).read(TOKENS)

    @settings(max_examples=200)
    @given(text=st.binary(max_size=200))
    def test_of_anything_are_refused(self, text: bytes) -> None:
        self.refuse(text)
        self.refuse(len(text).to_bytes(8, "little") + text)

    @pytest.mark.parametrize(
        "header",
        [
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'"' + b"\\u" * 50,
            b"nan",
            b"1e999",
            b"",
            b"{}",
            b"[]",
        ],
        ids=["lists", "objects", "escapes", "nan", "1e999", "nothing", "empty", "list"],
    )
    def test_with_hostile_headers_are_refused(self, header: bytes) -> None:
        self.refuse(with_header(lambda _: header))

    def test_with_contradictory_tensors_are_refused(self) -> None:
        def change(name: str, key: str, value: Any) -> bytes:
            def apply(header: dict[str, Any]) -> dict[str, Any]:
                header[name] = {**header[name], key: value}
                return header

            return with_header(apply)

        for name, key, value in (
            ("head.bias", "shape", [10**15]),
            ("head.bias", "shape", [-1]),
            ("head.bias", "shape", [1 << 63, 2]),
            ("head.bias", "dtype", "F16"),
            ("head.bias", "data_offsets", [0, 4]),
            ("head.bias", "data_offsets", [8, 4]),
            ("head.bias", "data_offsets", [0, 1 << 62]),
            ("head.weight", "data_offsets", [0, LETTERS.size * 4]),
        ):
            self.refuse(change(name, key, value))

    def test_whose_configuration_asks_for_more_are_refused_before_memory_is_taken(self) -> None:
        for sizes in (
            {"hidden_size": 1 << 31},
            {"layers": 1 << 31},
            {"vocabulary_size": 1 << 31},
            {"embedding_size": 1 << 31},
            {"pointer_size": 1 << 31},
            {"pointer": 1 << 40},
        ):
            config = replace(SMALL, **sizes)
            with pytest.raises(ModelError, match=r"."):
                load_native(replace(GOOD[False], config=config))

    @pytest.mark.parametrize(("key", "value"), [("cell", "qrnn"), ("embedding_activation", "relu")])
    def test_of_architectures_that_it_cannot_run_are_refused_by_name(
        self, key: str, value: str
    ) -> None:
        config = {**json.loads(SMALL.to_json()), key: value}
        tokenizer = json.dumps(LETTERS.to_json()).encode()
        with pytest.raises(engine.FormatError, match=value):
            engine.Model(json.dumps(config).encode(), GOOD[False].weights, tokenizer)

    @pytest.mark.parametrize("number", ["01", "1.", ".5", "+1", "1e", "1e+", "-", "--1", "0x1"])
    def test_with_numbers_that_are_none_are_refused(self, number: str) -> None:
        config = SMALL.to_json().replace("{", f'{{"other": {number}, ', 1).encode()
        tokenizer = json.dumps(LETTERS.to_json()).encode()
        with pytest.raises(engine.FormatError, match="damaged"):
            engine.Model(config, GOOD[False].weights, tokenizer)

    @pytest.mark.parametrize("size", ["2.5", "-2", "2e9", "9007199254740993", "1" * 30])
    def test_with_sizes_that_cannot_be_are_refused(self, size: str) -> None:
        config = SMALL.to_json().replace('"hidden_size": 3', f'"hidden_size": {size}').encode()
        assert config != SMALL.to_json().encode()
        tokenizer = json.dumps(LETTERS.to_json()).encode()
        with pytest.raises(engine.FormatError, match="not whole, or negative, or too large"):
            engine.Model(config, GOOD[False].weights, tokenizer)

    @pytest.mark.parametrize("number", ["0", "-0", "0.5", "-1.25e-7", "1E400", "1" * 400])
    def test_with_any_number_where_none_is_asked_for_are_run(self, number: str) -> None:
        config = SMALL.to_json().replace("{", f'{{"other": {number}, ', 1).encode()
        tokenizer = json.dumps(LETTERS.to_json()).encode()
        engine.Reader(engine.Model(config, GOOD[False].weights, tokenizer)).read(TOKENS)

    @settings(max_examples=300)
    @given(which=st.sampled_from(["config", "tokenizer"]), data=st.data())
    def test_with_a_changed_configuration_or_vocabulary_are_refused_or_run(
        self, which: str, data: st.DataObject
    ) -> None:
        files = {
            "config": SMALL.to_json().encode(),
            "tokenizer": json.dumps(LETTERS.to_json()).encode(),
        }
        changed = bytearray(files[which])
        for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=3)):
            changed[place] = data.draw(st.integers(0, 255))
        files[which] = bytes(changed)
        try:
            model = engine.Model(files["config"], GOOD[False].weights, files["tokenizer"])
        except engine.FormatError:
            return
        engine.Reader(model).read(np.zeros(3, np.int64))


class TestInstructionSets:
    def test_are_forced_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in engine.instruction_sets():
            monkeypatch.setenv(INSTRUCTION_SET, name)
            assert load_native(GOOD[True]).instruction_set == name

    def test_that_are_not_there_are_an_error_that_lists_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(INSTRUCTION_SET, "mmx")
        with pytest.raises(SettingsError, match=r"'mmx', but this machine has .*scalar"):
            load_native(GOOD[True])
