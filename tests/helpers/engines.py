"""The engines that write, for tests that hold for each of them."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network import engine
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import pack_model
from sunspring.writing.native_writer import NativeWriter
from sunspring.writing.torch_writer import TorchWriter
from sunspring.writing.writer import Writer

MakeWriter = Callable[[RecurrentModel, Vocabulary], Writer]


def torch_writer(model: RecurrentModel, vocabulary: Vocabulary) -> TorchWriter:
    return TorchWriter(model, model.config, vocabulary)


def native_model(
    model: RecurrentModel,
    vocabulary: Vocabulary,
    quantized: bool = False,
    instruction_set: str = "",
    counts: bytes = b"",
) -> engine.Model:
    """What the engine reads of a model folder."""
    files = pack_model(copy.deepcopy(model).float(), vocabulary, quantized=quantized)
    return engine.Model(
        files.config.to_json().encode(),
        files.weights,
        json.dumps(vocabulary.to_json()).encode(),
        instruction_set,
        counts,
    )


def add_texts(
    session: engine.Session, readers: list[engine.Reader], *, length: int, temperature: float
) -> None:
    """Ask a session for three texts after what was read, drawn without further settings."""
    session.add(
        readers,
        recent=np.zeros(0, np.int64),
        seed=0,
        texts=3,
        length=length,
        stops=[],
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repetition_penalty=1.0,
        pattern=None,
    )


def read_texts(
    model: engine.Model,
    tokens: Any,
    lengths: Any,
    label: int | None = None,
    *,
    outputs: bool = False,
    threads: int = 1,
    slices: float = 1.0,
) -> NDArray[np.float32]:
    """What the texts cost, token by token, or what they leave; read in slices of time."""
    labels = np.full(0 if label is None else len(lengths), label or 0)
    reading = engine.Reading(
        model, np.array(tokens), np.array(lengths), labels, outputs=outputs, threads=threads
    )
    while not reading.is_over:
        reading.run(slices)
    assert reading.tokens_read == len(tokens)
    return reading.take_result()


def native_writer(model: RecurrentModel, vocabulary: Vocabulary) -> NativeWriter:
    return NativeWriter(native_model(model, vocabulary), model.config, vocabulary, threads=2)


def int8_writer(model: RecurrentModel, vocabulary: Vocabulary) -> NativeWriter:
    native = native_model(model, vocabulary, quantized=True)
    return NativeWriter(native, model.config, vocabulary, threads=2)


every_engine = pytest.mark.parametrize(
    "make_writer", [torch_writer, native_writer], ids=["torch", "native"]
)
every_arithmetic = pytest.mark.parametrize(
    "make_writer", [torch_writer, native_writer, int8_writer], ids=["torch", "native", "int8"]
)
