"""Convert a network's weights to the files of a model folder and back, in float32 or 8 bits.

In 8 bits each row of a matrix is integers and one scale; everything else stays float32.
docs/reference/model-format.md describes the file for readers in other languages: keep it in step
with this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig, least_parameters
from sunspring.network.model_folder import ModelFiles, damaged, quantization_of
from sunspring.network.network import RecurrentModel, Weights

FORMAT = "int8-rows-1"
"""`quantization` in the metadata of a file in 8 bits; a file in float32 has no such entry."""

_LARGEST = 127  # not -128, so that a row and its negative are stored alike
_SCALE = ".scale"
_SPARE_BITS = 0xFF  # zero in a scale, so that its products with integers up to 127 are exact


def encode_weights(weights: Weights, cell: str, quantized: bool = False) -> bytes:
    """Return the content of a model.safetensors.

    Args:
        weights: from `model_weights`.
        cell: the model's kind of cell.
        quantized: store them in 8 bits.

    Raises:
        ModelError: the weights cannot be quantized.
    """
    return save(quantize(weights, cell), {"quantization": FORMAT}) if quantized else save(weights)


def decode_weights(data: bytes, cell: str, name: str = "model.safetensors") -> Weights:
    """Read the content of a model.safetensors.

    Args:
        data: the content of the file.
        cell: the model's kind of cell.
        name: the file's name in messages.

    Returns:
        The weights by PyTorch's names, ready for the network.

    Raises:
        ModelError: the file is damaged, or contradicts itself. `load_weights` checks names and
            shapes against the architecture.
    """
    try:
        tensors, stored_as = load(data), quantization_of(data)
        if stored_as == FORMAT:
            return dequantize(tensors, cell)
        if stored_as is None:
            _check_floating(tensors)
            return tensors
    except (SafetensorError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(name, error) from None
    raise ModelError(
        f"{name} is quantized as {stored_as!r}, which this version does not read: "
        f"quantize the model as {FORMAT}"
    )


def _check_floating(tensors: Weights) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype}, but the file is not marked as quantized")


def quantize(weights: Weights, cell: str) -> Weights:
    """Round the weights of a model to the tensors of a file in 8 bits.

    A row's scale is its largest absolute value over 127, so no weight moves by more than half a
    scale. Scales with the least squared error predicted held-out text no better (lab notebook). A
    scale is rounded up to 16 significant bits, so that its products with the integers are exact in
    float32, and quantizing what `dequantize` returned gives the same bytes again.

    Args:
        weights: by PyTorch's names, float32.
        cell: the model's kind of cell.

    Returns:
        Every matrix of two rows or more as int8 (rows, columns), and beside it `….scale` (rows,),
        float32. The two biases of an `rnn` or `lstm` layer become one, `layers.N.bias`, as only
        their sum matters. The rest is unchanged.

    Raises:
        ModelError: a weight is not a number, or infinite.
    """
    stored: Weights = {}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"the weights cannot be quantized, as {name} is not finite: train the model again"
            )
        if _is_matrix(tensor):
            scale = _row_scales(tensor)
            stored[name] = _round_rows(tensor, scale)
            stored[name + _SCALE] = scale
        elif not _is_half_a_bias(name, cell):
            stored[name] = tensor
        elif name.endswith("bias_ih_l0"):
            other = weights[name.replace("bias_ih_l0", "bias_hh_l0")]
            stored[name.replace("bias_ih_l0", "bias")] = tensor + other
    return stored


def dequantize(stored: Weights, cell: str) -> Weights:
    """Return the weights of a file in 8 bits, by PyTorch's names, in float32.

    Args:
        stored: the tensors of the file.
        cell: the model's kind of cell.

    Raises:
        ValueError: the tensors contradict one another or the format.
    """
    weights: Weights = {}
    for name, tensor in stored.items():
        if name.endswith(_SCALE):
            if name.removesuffix(_SCALE) not in stored:
                raise ValueError(f"{name} has no matrix")
        elif _is_matrix(tensor):
            weights[name] = _scale_rows(name, tensor, stored.get(name + _SCALE))
        elif tensor.dtype != torch.float32 or name + _SCALE in stored:
            raise ValueError(f"{name} is not a matrix, so it must be float32 without a scale")
        elif _is_half_a_bias(name, cell):
            raise ValueError(f"{name} is there, but a quantized {cell} layer has a single bias")
        elif cell != "gru" and name.startswith("layers.") and name.endswith(".bias"):
            weights[f"{name}_ih_l0"] = tensor
            weights[f"{name}_hh_l0"] = torch.zeros_like(tensor)
        else:
            weights[name] = tensor
    return weights


def _is_matrix(tensor: Tensor) -> bool:
    """Tell whether to store a tensor in 8 bits; a single row (attention) would save too little."""
    return tensor.dim() == 2 and len(tensor) > 1


def _is_half_a_bias(name: str, cell: str) -> bool:
    """Tell whether a bias is one of two that are stored as their sum.

    Not those of a GRU, whose reset gate comes between them: r ⊙ (W_hn h + b_hn) + W_in x + b_in.
    """
    return cell != "gru" and name.endswith(("bias_ih_l0", "bias_hh_l0"))


def _row_scales(matrix: Tensor) -> Tensor:
    """The largest absolute value of each row over 127, rounded up; (rows,), 0 for a row of 0."""
    bits = (matrix.abs().amax(dim=1) / _LARGEST).view(torch.int32)
    return ((bits + _SPARE_BITS) & ~_SPARE_BITS).view(torch.float32)


def _round_rows(matrix: Tensor, scale: Tensor) -> Tensor:
    divisor = torch.where(scale > 0, scale, 1.0).unsqueeze(1)
    return torch.round(matrix / divisor).to(torch.int8)


def _scale_rows(name: str, matrix: Tensor, scale: Tensor | None) -> Tensor:
    if matrix.dtype != torch.int8 or (matrix < -_LARGEST).any():
        raise ValueError(f"{name} is not int8 from -{_LARGEST} to {_LARGEST}")
    if scale is None or scale.dtype != torch.float32 or scale.shape != matrix.shape[:1]:
        raise ValueError(f"{name} has no scale for each row")
    scaled = matrix * scale.unsqueeze(1)
    if (scale < 0).any() or not torch.isfinite(scaled).all():
        raise ValueError(f"{name}{_SCALE} has a value that is negative or not finite")
    return scaled


def model_weights(model: RecurrentModel) -> Weights:
    """Copy a model's weights to the CPU; tied weights once."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
        if not (model.config.tied and name == "head.weight")
    }


def load_weights(model: RecurrentModel, weights: Weights) -> None:
    """Load weights that `model_weights` returned.

    Raises:
        ModelError: names or shapes do not fit the model.
    """
    if model.config.tied:
        weights = {**weights, "head.weight": weights.get("embedding.weight", torch.empty(0))}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"the weights do not fit the model's config.json ({reason}): save the model again"
        ) from None


def pack_model(
    model: RecurrentModel,
    vocabulary: Vocabulary,
    card: Mapping[str, Any] | None = None,
    quantized: bool = False,
    counts: bytes | None = None,
) -> ModelFiles:
    """Turn a network into the files of a model folder.

    Args:
        model: the network, on any device.
        vocabulary: the model's.
        card: what is known about the training.
        quantized: store the weights in 8 bits.
        counts: the model's, if it has any.

    Raises:
        ModelError: the weights cannot be quantized.
    """
    encoded = encode_weights(model_weights(model), model.config.cell, quantized)
    kind = FORMAT if quantized else None
    return ModelFiles(model.config, vocabulary, card or {}, encoded, kind, counts=counts)


def build_network(files: ModelFiles) -> RecurrentModel:
    """Build a model's network, on the CPU and in evaluation mode.

    Raises:
        ModelError: the weights are damaged, or belong to another model.
    """
    weights = decode_weights(files.weights, files.config.cell, files.name)
    _check_sizes(files.config, weights)
    with torch.random.fork_rng(devices=[]):  # the initial weights drawn here are replaced
        model = RecurrentModel(files.config)
    load_weights(model, weights)
    return model.eval()


def _check_sizes(config: ModelConfig, weights: Weights) -> None:
    """Compare sizes before allocating memory: a damaged config.json may ask for anything.

    Raises:
        ModelError: the weights belong to another model.
    """
    least, found = least_parameters(config), sum(tensor.numel() for tensor in weights.values())
    if least > found:
        raise ModelError(
            f"the weights do not fit the model's config.json, which needs {least:,} values or more "
            f"but gets {found:,}: save the model again"
        )
