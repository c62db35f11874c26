import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from chains import load_network, random_model
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import (
    FORMAT,
    dequantize,
    encode_weights,
    model_weights,
    pack_model,
    quantize,
)

VOCABULARY = CharacterVocabulary("abcé\n", end=False, unknown=False)
PLAIN = ModelConfig(5, layers=2, hidden_size=6, embedding_size=4)
CONFIGS = {
    f"{cell}{', skip' * skip}{', attention' * attention}": replace(
        PLAIN, cell=cell, skip=skip, attention=attention
    )
    for cell, skip, attention in product(("rnn", "gru", "lstm"), (False, True), (False, True))
} | {
    "tied": replace(PLAIN, embedding_size=6, tied=True),
    "labels": replace(PLAIN, labels=("a", "é", "c")),
    "one label": replace(PLAIN, labels=("a",)),
    "one unit": replace(PLAIN, layers=1, hidden_size=1, cell="rnn"),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
METADATA = {"quantization": "int8-rows-1"}


def save_quantized(folder: Path, config: ModelConfig) -> RecurrentModel:
    model = random_model(config).eval()
    pack_model(model, VOCABULARY, quantized=True).write(folder)
    return model


def logits(model: RecurrentModel) -> Tensor:
    tokens = torch.tensor([[0, 3, 1, 4, 2, 2, 0]])
    labels = torch.tensor([0]) if model.config.labels else None
    with torch.no_grad():
        result: Tensor = model(tokens, model.initial_state(1), labels)[0]
    return result


@every_config
def test_quantized_model_computes_nearly_the_same(config: ModelConfig, tmp_path: Path) -> None:
    model = save_quantized(tmp_path, config)
    assert ModelFiles.read(tmp_path).quantization == FORMAT
    loaded = load_network(tmp_path)
    assert loaded.config == config
    assert (loaded.head.weight is loaded.embedding.weight) == config.tied
    torch.testing.assert_close(logits(loaded), logits(model), atol=0.1, rtol=0)


@every_config
def test_quantized_model_has_the_same_bytes_when_saved_again(
    config: ModelConfig, tmp_path: Path
) -> None:
    save_quantized(tmp_path, config)
    again = pack_model(load_network(tmp_path), VOCABULARY, quantized=True)
    assert again.weights == (tmp_path / "model.safetensors").read_bytes()


@every_config
def test_only_what_has_two_rows_is_in_8_bits(config: ModelConfig) -> None:
    stored = quantize(model_weights(random_model(config)), config.cell)
    for name, tensor in stored.items():
        matrix = tensor.dim() == 2 and len(tensor) > 1
        assert tensor.dtype == (torch.int8 if matrix else torch.float32), name
        assert (f"{name}.scale" in stored) == matrix, name


def test_file_of_an_lstm_is_laid_out_as_documented(tmp_path: Path) -> None:
    config = replace(PLAIN, skip=True, attention=True, labels=("a", "b"))
    save_quantized(tmp_path, config)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == METADATA
    tensors = load_file(tmp_path / "model.safetensors")
    matrices = {
        "embedding.weight": (5, 4),
        "label_embedding.weight": (2, 4),
        "layers.0.weight_ih_l0": (24, 4),
        "layers.0.weight_hh_l0": (24, 6),
        "layers.1.weight_ih_l0": (24, 10),
        "layers.1.weight_hh_l0": (24, 6),
        "head.weight": (5, 32),
    }
    rest = {
        "layers.0.bias": (24,),
        "layers.1.bias": (24,),
        "attention.score.weight": (1, 16),
        "head.bias": (5,),
        **{f"{name}.scale": shape[:1] for name, shape in matrices.items()},
    }
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == matrices | rest


def test_gru_keeps_both_biases(tmp_path: Path) -> None:
    model = save_quantized(tmp_path, replace(PLAIN, cell="gru"))
    tensors = load_file(tmp_path / "model.safetensors")
    for name in ("layers.1.bias_ih_l0", "layers.1.bias_hh_l0"):
        assert torch.equal(tensors[name], model.state_dict()[name])
    assert "layers.1.bias" not in tensors


def test_model_of_two_layers_of_256_has_the_documented_size() -> None:
    config = ModelConfig(65, layers=2, hidden_size=256, embedding_size=64, skip=True)
    weights = model_weights(RecurrentModel(config))
    assert len(encode_weights(weights, "lstm", quantized=True)) == 985_748


rows = arrays(
    np.float32,
    st.tuples(st.integers(2, 4), st.integers(1, 9)),
    elements=st.one_of(
        st.floats(-(2.0**100), 2.0**100, width=32), st.floats(-1, 1, width=32), st.just(0.0)
    ),
)


@given(rows=rows)
@settings(deadline=None)
def test_no_weight_moves_by_more_than_half_a_scale(rows: np.ndarray) -> None:
    stored = quantize({"head.weight": torch.from_numpy(rows)}, "lstm")
    scale = stored["head.weight.scale"].double().numpy()
    back = dequantize(stored, "lstm")["head.weight"].double().numpy()
    largest = np.abs(rows.astype(np.float64)).max(axis=1)
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    nothing = 127 * smallest  # of a row below it nothing is left
    assert (np.abs(back - rows) <= np.maximum(scale / 2 * 1.0001, nothing)[:, None]).all()
    # rounding up adds 256 units of the last place, which among subnormals is not little
    assert (scale <= largest / 127 * 1.0001 + 256 * smallest).all()
    assert (np.abs(stored["head.weight"].numpy()) <= 127).all()


@given(rows=rows)
@settings(deadline=None)
def test_rounded_rows_are_rounded_to_themselves(rows: np.ndarray) -> None:
    stored = quantize({"head.weight": torch.from_numpy(rows)}, "lstm")
    again = quantize(dequantize(stored, "lstm"), "lstm")
    assert all(torch.equal(again[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["head.weight", "head.bias"])
def test_weights_that_are_no_numbers_are_not_quantized(value: float, name: str) -> None:
    weights = model_weights(random_model(PLAIN))
    weights[name].flatten()[2] = value
    with pytest.raises(ModelError, match=f"{name} is not finite"):
        quantize(weights, "lstm")


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.pop(name)


def replaced(name: str, new: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({name: new(tensors[name.removesuffix("!")])})


def added(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({name: tensor})


def set_first(value: float) -> Callable[[Tensor], Tensor]:
    def changed(tensor: Tensor) -> Tensor:
        tensor.flatten()[0] = value
        return tensor

    return changed


SCALE = "head.weight.scale"
CONTRADICTIONS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "no scale": (without(SCALE), "head.weight has no scale for each row"),
    "scale for fewer rows": (replaced(SCALE, lambda s: s[1:].clone()), "scale for each row"),
    "scale of two axes": (replaced(SCALE, lambda s: s.unsqueeze(1)), "scale for each row|is no"),
    "scale in float64": (replaced(SCALE, lambda s: s.double()), "scale for each row"),
    "negative scale": (replaced(SCALE, set_first(-1)), "negative or not finite"),
    "scale nan": (replaced(SCALE, set_first(float("nan"))), "negative or not finite"),
    "scale infinite": (replaced(SCALE, set_first(float("inf"))), "negative or not finite"),
    "scale that overflows": (replaced(SCALE, set_first(3e38)), "negative or not finite"),
    "scale without matrix": (without("head.weight"), "head.weight.scale has no matrix"),
    "-128": (replaced("head.weight", set_first(-128)), "not int8 from -127 to 127"),
    "matrix in float32": (replaced("head.weight", lambda w: w.float()), "head.weight is not int8"),
    "unsigned matrix": (
        replaced("head.weight", lambda w: w.clamp(0).to(torch.uint8)),
        "head.weight is not int8",
    ),
    "bias in 8 bits": (
        replaced("head.bias", lambda b: b.to(torch.int8)),
        "head.bias is not a matrix",
    ),
    "bias in float64": (replaced("head.bias", lambda b: b.double()), "head.bias is not a matrix"),
    "bias with a scale": (added("head.bias.scale", torch.ones(5)), "head.bias is not a matrix"),
    "matrix of other size": (
        replaced("head.weight", lambda w: w[:, 1:].clone()),
        r"do not fit .*head\.weight",
    ),
    "bias missing": (without("layers.1.bias"), r"do not fit .*layers\.1\.bias_ih_l0"),
    "bias of other size": (
        replaced("layers.1.bias", lambda b: b[1:].clone()),
        r"do not fit .*layers\.1\.bias_ih_l0",
    ),
    "two biases beside their sum": (
        added("layers.1.bias_ih_l0", torch.zeros(24)),
        "is there, but a quantized lstm layer has a single bias",
    ),
    "something else": (added("mean", torch.zeros(3)), "do not fit .*mean"),
}


@pytest.mark.parametrize(("change", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictory_file_is_one_clear_line(
    change: Callable[[dict[str, Tensor]], object], message: str, tmp_path: Path
) -> None:
    save_quantized(tmp_path, PLAIN)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, METADATA)
    with pytest.raises(ModelError, match=message) as caught:
        load_network(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, r"model\.safetensors is damaged .*the file is not marked as quantized"),
        ({"format": "pt"}, r"model\.safetensors is damaged .*not marked as quantized"),
        ({"quantization": "int4-rows-1"}, "quantized as 'int4-rows-1', which this version"),
        ({"quantization": ""}, "quantized as ''"),
    ],
)
def test_metadata_that_do_not_fit_are_one_clear_line(
    metadata: dict[str, str] | None, message: str, tmp_path: Path
) -> None:
    save_quantized(tmp_path, PLAIN)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path), path, metadata)
    with pytest.raises(ModelError, match=message):
        load_network(tmp_path)


def test_float32_file_that_says_it_is_quantized_is_one_clear_line(tmp_path: Path) -> None:
    save_quantized(tmp_path, PLAIN)
    save_file(model_weights(random_model(PLAIN)), tmp_path / "model.safetensors", METADATA)
    with pytest.raises(ModelError, match=r"is not int8|single bias"):
        load_network(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"cell": "gru"}, {"cell": "rnn"}, {"hidden_size": 10**12}, {"skip": True}, {"layers": 1}],
)
def test_configuration_of_another_model_is_one_clear_line(
    change: dict[str, object], tmp_path: Path
) -> None:
    save_quantized(tmp_path, PLAIN)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError) as caught:
        load_network(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def quantized_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in 8 bits; whoever changes it puts it back."""
    folder = tmp_path_factory.mktemp("quantized")
    save_quantized(folder, PLAIN)
    return folder / "model.safetensors"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_bytes_load_or_are_one_clear_line(
    data: st.DataObject, quantized_file: Path
) -> None:
    original = quantized_file.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0123456789"')))
    quantized_file.write_bytes(content[: data.draw(st.integers(0, 2 * len(content)))])
    try:
        load_network(quantized_file.parent)
    except ModelError as error:
        assert "\n" not in str(error)
    finally:
        quantized_file.write_bytes(original)
