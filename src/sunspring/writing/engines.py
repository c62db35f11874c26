"""The two engines that run a model, and the one place that chooses between them.

The native engine is fast and needs no PyTorch; PyTorch is the reference, runs on any device and
supports mixtures. Both give the same figures and, wherever their arithmetic allows it, the same
text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sunspring.errors import SettingsError
from sunspring.machine import has_torch
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import HAS_ENGINE
from sunspring.writing.engine import Engine, EngineName
from sunspring.writing.settings import EngineChoice

if TYPE_CHECKING:
    from sunspring.network.network import RecurrentModel
    from sunspring.network.predictor import Predictor


def choose_engine(name: EngineChoice, device: str) -> EngineName:
    """Choose an engine: the native one if possible, unless PyTorch or a GPU is asked for.

    Raises:
        SettingsError: the name is unknown, or the engine is not available.
    """
    if name not in ("auto", "native", "torch"):
        raise SettingsError(f"engine is {name!r}: choose auto, native or torch")
    if name == "auto" and not HAS_ENGINE and not has_torch():
        raise SettingsError(
            "this installation has neither the native engine (there was no C++ compiler) nor "
            "PyTorch: install a compiler and sunspring again, or pip install 'sunspring[train]'"
        )
    if name == "torch" or (name == "auto" and (device == "cuda" or not HAS_ENGINE)):
        return "torch"
    if device == "cuda":
        raise SettingsError(
            "the native engine only runs on the processor: "
            "leave out --device cuda, or --engine native"
        )
    if not HAS_ENGINE:
        raise SettingsError(
            "this installation has no native engine (there was no C++ compiler): "
            "install a compiler and sunspring again, or use --engine torch"
        )
    return "native"


def open_engine(
    files: ModelFiles,
    choice: EngineChoice = "auto",
    device: str = "cpu",
    *,
    network: Callable[[], RecurrentModel] | None = None,
    predictor: Predictor | None = None,
) -> Engine:
    """Choose an engine, and open a model in it.

    Args:
        files: the model's.
        choice: which engine to use; `auto` uses the native one if possible.
        device: `auto`, `cpu` or `cuda`.
        network: returns the network, if PyTorch is to run one that exists already.
        predictor: a mixture that contains the network; only PyTorch can run it.

    Raises:
        SettingsError: the engine is not available, or not on this device.
        ModelError: the weights are damaged, or the engine does not support the architecture.
    """
    if predictor is None and choose_engine(choice, device) == "native":
        from sunspring.writing.native_writer import NativeEngine

        return NativeEngine(files)
    from sunspring.network.mixture import with_counts
    from sunspring.network.weights import build_network
    from sunspring.writing.torch_writer import TorchEngine

    built = build_network(files) if network is None else network()
    return TorchEngine(built, files.vocabulary, predictor or with_counts(built, files))
