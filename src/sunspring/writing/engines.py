"""The two engines that run a model, behind one interface, and the one place that chooses.

The native engine is fast and needs no PyTorch; PyTorch is the reference, and computes on any device
and in any mixture. Both give the same figures and, wherever their arithmetic allows it, the same
text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.machine import has_torch, usable_cores
from sunspring.network.config import ModelConfig, check_labels
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import HAS_ENGINE, load_native
from sunspring.writing.settings import EngineChoice
from sunspring.writing.writer import Tokens, Writer

if TYPE_CHECKING:
    from sunspring.network import engine as native
    from sunspring.network.network import RecurrentModel
    from sunspring.network.predictor import Predictor

EngineName = Literal["native", "torch"]


def choose_engine(name: EngineChoice, device: str) -> EngineName:
    """Pick what writes and scores: the native engine unless PyTorch on a GPU is asked for.

    Raises:
        SettingsError: the name is unknown, or the engine cannot be had.
    """
    if name not in ("auto", "native", "torch"):
        raise SettingsError(f"engine is {name!r}: choose auto, native or torch")
    if name == "auto" and not HAS_ENGINE and not has_torch():
        raise SettingsError(
            "this installation has neither the native engine, as there was no C++ compiler, nor "
            "PyTorch: install a compiler and sunspring again, or pip install 'sunspring[train]'"
        )
    if name == "torch" or (name == "auto" and (device == "cuda" or not HAS_ENGINE)):
        return "torch"
    if device == "cuda":
        raise SettingsError(
            "the native engine computes on the processor: "
            "leave out --device cuda, or --engine native"
        )
    if not HAS_ENGINE:
        raise SettingsError(
            "this installation has no native engine, as there was no C++ compiler: "
            "install one and then sunspring again, or take --engine torch"
        )
    return "native"


Ids = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]
Floats = NDArray[np.floating]
Blend = Sequence[tuple[Writer[Any], float]]


class Engine(ABC):
    """A model that is ready to write, to score and to encode.

    Args:
        config: of the model.
        vocabulary: of the model.
    """

    name: EngineName

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        self.config = config
        self.vocabulary = vocabulary

    @abstractmethod
    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """Give what writes.

        Args:
            before: a text that every prompt goes on from.
            blend: writers of other models, each with its share in every prediction.

        Raises:
            SettingsError: the shares leave nothing, another model reads other kinds of tokens, or
                one of the engines cannot blend.
        """

    @abstractmethod
    def score(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> Floats:
        """Give what each token of some texts costs, (tokens,) in nats.

        Args:
            ids: (tokens,) of the texts, one after another; each is read from a zero state.
            counts: (texts,) tokens of each.
            labels: (texts,) index of the label of each, for a model that has labels.

        Raises:
            SettingsError: the model needs labels, and there are none.
        """

    @abstractmethod
    def encode(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> NDArray[np.float32]:
        """Give the outputs of all layers after each text, (texts, layers * hidden_size).

        See `score` for the arguments.
        """


class NativeEngine(Engine):
    """A model in the native engine.

    Args:
        files: of the model.

    Attributes:
        model: as the engine holds it.
    """

    name = "native"

    def __init__(self, files: ModelFiles) -> None:
        super().__init__(files.config, files.vocabulary)
        self.model = load_native(files)

    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """See `Engine.writer`."""
        from sunspring.writing.native_writer import NativeWriter

        model, threads = self.model, usable_cores()
        return NativeWriter(model, self.config, self.vocabulary, before, threads, blend)

    def reader(self, label: int | None = None) -> native.Reader:
        """Give what reads a text token by token, from a zero state."""
        from sunspring.network import engine as native

        return native.Reader(self.model, label or 0)

    def score(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> Floats:
        """See `Engine.score`."""
        given = self._labels(labels)
        return self.model.score(ids.astype(np.int64), counts, given, usable_cores())

    def encode(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> NDArray[np.float32]:
        """See `Engine.encode`."""
        given = self._labels(labels)
        flat = self.model.encode(ids.astype(np.int64), counts, given, usable_cores())
        return flat.reshape(len(counts), self.config.layers * self.config.hidden_size)

    def _labels(self, labels: Counts | None) -> Counts:
        """Give the labels of texts as the engine wants them: none at all where there are none."""
        check_labels(self.config.labels, labels)
        return np.zeros(0, np.int64) if labels is None else labels


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
        files: of the model.
        choice: which engine to take; `auto` takes the native one wherever it can.
        device: `auto`, `cpu` or `cuda`.
        network: gives the network, if PyTorch is to run one that there is already.
        predictor: a mixture that the network is part of, which PyTorch alone can run.

    Raises:
        SettingsError: the engine cannot be had, or not on this device.
        ModelError: the weights are damaged, or of an architecture that the engine does not run.
    """
    if predictor is None and choose_engine(choice, device) == "native":
        return NativeEngine(files)
    from sunspring.network.weights import build_network
    from sunspring.writing.torch_engine import TorchEngine

    if network is None:
        return TorchEngine(build_network(files), files.vocabulary, predictor)
    return TorchEngine(network(), files.vocabulary, predictor)
