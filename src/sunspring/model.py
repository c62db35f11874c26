"""The recurrent network: embedding → recurrent layers → head, its state an explicit value.

`ModelConfig` says everything that is needed to build the network again; its fields are the keys of
a model folder's config.json. `RecurrentModel` maps tokens and a state to logits and the next
state, so a batch of any size can go on from any state. Reads ids, knows nothing of text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from sunspring.attention import CausalAttention, Pointer, Pointing
from sunspring.dropout import Dropout
from sunspring.errors import ModelError, SettingsError
from sunspring.recurrence import Embedded, run_layer

LayerState = tuple[Tensor, ...]
"""(h, c) of an LSTM layer, (h,) of the others; each (batch, hidden_size), in the weights' type.
Those of the attention and the pointer are what their `initial` says."""

State = tuple[LayerState, ...]
"""One entry a recurrent layer, then one each for the attention and the pointer if there are any.
The batch is always the first axis, so rows can be picked, copied and joined unseen."""

Weights = dict[str, Tensor]
"""The tensors of a model, by name."""

_CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


DROPOUTS = ("embedding_dropout", "layer_dropout", "output_dropout", "recurrent_dropout")
"""The fields of `ModelConfig` that are shares left out in training; nothing else sees them."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture.

    Args:
        vocabulary_size: number of token ids.
        cell: kind of the recurrent layers: `rnn` (Elman, tanh), `gru` or `lstm`.
        layers: number of recurrent layers.
        hidden_size: units in each recurrent layer.
        embedding_size: length of a token's vector.
        embedding_activation: `tanh` squashes the embedding, as DeepMoji does.
        skip: every layer sees the embedding too, and the head sees the embedding and every layer
            (the concatenation of DeepMoji, Felbo et al. 2017, figure 2).
        attention: the head also sees the attention-weighted average of all that came before
            (Felbo et al. 2017, section 3.3, made causal).
        pointer: steps that a pointer looks back, to repeat what followed a similar place (Merity et
            al. 2017, "Pointer sentinel mixture models"); 0 for none.
        pointer_size: length of its keys and queries.
        tied: the head uses the embedding's weights; its input must be `embedding_size` wide.
        embedding_dropout: share of the embedding's values dropped in training.
        layer_dropout: share of the values dropped between recurrent layers.
        output_dropout: share of the head's inputs dropped.
        recurrent_dropout: share of the recurrent weights dropped, drawn anew for each training step
            (Merity et al. 2018, section 2).
        labels: names of the labels that condition the writing; none by default.
    """

    vocabulary_size: int
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    layers: int = 2
    hidden_size: int = 256
    embedding_size: int = 64
    embedding_activation: Literal["none", "tanh"] = "none"
    skip: bool = False
    attention: bool = False
    pointer: int = 0
    pointer_size: int = 64
    tied: bool = False
    embedding_dropout: float = 0.0
    layer_dropout: float = 0.0
    output_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cell not in _CELLS:
            raise SettingsError(f"cell is {self.cell!r}: choose one of {', '.join(_CELLS)}")
        if self.embedding_activation not in ("none", "tanh"):
            raise SettingsError(
                f"embedding_activation is {self.embedding_activation!r}: choose none or tanh"
            )
        for name in ("vocabulary_size", "layers", "hidden_size", "embedding_size", "pointer_size"):
            self._check_whole(name, at_least=1)
        self._check_whole("pointer", at_least=0)
        for name in ("skip", "attention", "tied"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} is {getattr(self, name)!r}: it must be true or false")
        for name in DROPOUTS:
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: it must be in [0, 1)")
        if not all(isinstance(label, str) for label in self.labels):
            raise SettingsError(f"labels are {self.labels!r}: each must be a text")
        if self.tied and self.features_size != self.embedding_size:
            remedy = "skip=false" if self.skip else f"embedding_size={self.features_size}"
            raise SettingsError(
                f"tied needs a head input as wide as the embedding, but that is "
                f"{self.features_size} and embedding_size is {self.embedding_size}: "
                f"set {remedy}, or tied=false"
            )

    def _check_whole(self, name: str, at_least: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or value < at_least:
            raise SettingsError(
                f"{name} is {value!r}: it must be a whole number, at least {at_least}"
            )

    @property
    def layer_features_size(self) -> int:
        """Width of what the recurrent layers hand on at each step."""
        if self.skip:
            return self.embedding_size + self.layers * self.hidden_size
        return self.hidden_size

    @property
    def features_size(self) -> int:
        """Width of the head's input."""
        return self.layer_features_size * (2 if self.attention else 1)

    def label_index(self, label: str | None) -> int | None:
        """Find a label's place in `labels`; None for a model that has none.

        Raises:
            SettingsError: the label is unknown, or the model needs one and none is given.
        """
        if label is None and not self.labels:
            return None
        if label not in self.labels:
            asked = "needs a label" if label is None else f"does not know the label {label!r}"
            listed = ", ".join(self.labels) or "none: it was trained without labels"
            raise SettingsError(f"the model {asked}: its labels are {listed}")
        return self.labels.index(label)

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read a config.json.

        Raises:
            ModelError: the file is missing, is not JSON, or has unknown or wrong settings.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_dict(values)
        except FileNotFoundError:
            raise ModelError(f"{path.parent} is not a model: it has no {path.name}") from None
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            RecursionError,
            SettingsError,
        ) as error:
            raise ModelError(
                f"{path} is damaged or of another version ({error}): train or save the model again"
            ) from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from the values of a config.json; wrong keys raise `TypeError`."""
        labels = values.get("labels", [])
        if not isinstance(labels, list | tuple):
            raise TypeError(f"labels are {labels!r}, not a list")
        return cls(**{**values, "labels": tuple(labels)})


class Reading(NamedTuple):
    """What a model makes of some tokens.

    Args:
        network_logits: (batch, time, vocabulary_size), of the token after each one, without the
            pointer.
        pointing: where the pointer points; None if there is none.
        state: after the last token.
        outputs: (batch, time, hidden_size), of the last recurrent layer.
    """

    network_logits: Tensor
    pointing: Pointing | None
    state: State
    outputs: Tensor


class RecurrentModel(nn.Module):
    """A recurrent language model: tokens and a state in, logits and the next state out.

    The batch size lives in the inputs alone, so the weights of training serve any batch:
    `RecurrentModel(config)` with loaded weights writes with `initial_state(1)`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        embedding, hidden = config.embedding_size, config.hidden_size
        deeper = hidden + (embedding if config.skip else 0)
        self.embedding = nn.Embedding(config.vocabulary_size, embedding)
        self.label_embedding = (
            nn.Embedding(len(config.labels), embedding) if config.labels else None
        )
        self.layers = nn.ModuleList(
            _CELLS[config.cell](embedding if index == 0 else deeper, hidden, batch_first=True)
            for index in range(config.layers)
        )
        self.attention = CausalAttention(config.layer_features_size) if config.attention else None
        self.head = nn.Linear(config.features_size, config.vocabulary_size)
        self.pointer = (
            Pointer(config.features_size, config.pointer, config.pointer_size)
            if config.pointer
            else None
        )
        if config.tied:
            self.head.weight = self.embedding.weight
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.layer_dropout = Dropout(config.layer_dropout)
        self.output_dropout = Dropout(config.output_dropout)
        self.recurrent_dropout = Dropout(config.recurrent_dropout)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        if self.label_embedding is not None:
            nn.init.zeros_(self.label_embedding.weight)
        if self.config.tied:
            # A unit-variance embedding would make a head with logits of many nats at the start.
            nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)
        for layer in self.layers:
            parameters = dict(layer.named_parameters())
            recurrent = parameters["weight_hh_l0"]
            for gate in recurrent.chunk(recurrent.shape[0] // self.config.hidden_size):
                nn.init.orthogonal_(gate)  # Saxe et al. 2014
            parameters["bias_ih_l0"].zero_()
            parameters["bias_hh_l0"].zero_()
            if self.config.cell == "lstm":
                # PyTorch stacks the gates as input, forget, candidate, output.
                parameters["bias_hh_l0"].chunk(4)[1].fill_(1.0)  # Jozefowicz et al. 2015, section 5

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def initial_state(self, batch_size: int) -> State:
        """The state before any text: zeros, on the model's device, for `batch_size` rows."""
        tensors = 2 if self.config.cell == "lstm" else 1
        shape = (batch_size, self.config.hidden_size)
        state: State = tuple(
            tuple(self.embedding.weight.new_zeros(shape) for _ in range(tensors))
            for _ in self.layers
        )
        memories = [each for each in (self.attention, self.pointer) if each is not None]
        return (*state, *(each.initial(batch_size) for each in memories))

    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens on from a state.

        Args:
            tokens: (batch, time) ids, int64.
            state: what `initial_state` or an earlier call gave, for the same batch.
            labels: (batch,) indices into `config.labels`; only for models that have labels.

        Returns:
            Logits (batch, time, vocabulary_size) of the token after each one, and the state after
            the last.
        """
        logits, pointing, new_state, _ = self.read(tokens, state, labels)
        return (logits if pointing is None else pointing.mix(logits)), new_state

    def read(self, tokens: Tensor, state: State, labels: Tensor | None = None) -> Reading:
        """Read tokens as `forward` does, and give what the loss is made of."""
        embedded = self._embed(tokens, labels)
        hidden: Tensor | None = None
        outputs: list[Tensor] = []
        new_state: list[LayerState] = []
        for index, layer in enumerate(self.layers):
            if hidden is not None:
                hidden = self.layer_dropout(hidden)
            hidden, layer_state = run_layer(
                cast(nn.RNNBase, layer),
                hidden,
                embedded if index == 0 or self.config.skip else None,
                state[index],
                self.recurrent_dropout.p if self.recurrent_dropout.training else 0.0,
            )
            outputs.append(hidden)
            new_state.append(layer_state)
        features = outputs[-1]
        if self.config.skip:  # in the outputs' format, or the products would convert it again
            features = torch.cat((*outputs, embedded.values.to(features.dtype)), dim=-1)
        if self.attention is not None:
            average, attention_state = self.attention(features, state[len(self.layers)])
            features = torch.cat((features, average), dim=-1)
            new_state.append(attention_state)
        features = self.output_dropout(features)
        pointing = None
        if self.pointer is not None:
            pointing, pointer_state = self.pointer(features, tokens, state[-1])
            new_state.append(pointer_state)
        return Reading(self.head(features), pointing, tuple(new_state), outputs[-1])

    def _embed(self, tokens: Tensor, labels: Tensor | None) -> Embedded:
        values = self.embedding(tokens)
        vectors: Tensor | None = self.embedding.weight
        if self.label_embedding is not None:
            if labels is None:
                raise ValueError("this model was trained with labels and needs one for each row")
            values = values + self.label_embedding(labels).unsqueeze(1)
            vectors = None
        if self.config.embedding_activation == "tanh":
            values = torch.tanh(values)
            vectors = None if vectors is None else torch.tanh(vectors)
        if self.embedding_dropout.training and self.embedding_dropout.p > 0:
            values, vectors = self.embedding_dropout(values), None
        return Embedded(values, tokens, vectors)


def detach(state: State) -> State:
    """The same values, cut off from the graph: what is carried to the next step.

    Sums and outputs are carried in float32.
    """
    detached = tuple(tuple(tensor.detach() for tensor in layer) for layer in state)
    return change_recurrent(detached, Tensor.float)


def change_recurrent(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """Change the numbers of a state that later ones are computed from.

    Whole numbers stay as they are, and so do a pointer's keys, (batch, reach, size), which are
    many, and only read.
    """
    return tuple(
        tuple(
            change(tensor) if tensor.is_floating_point() and tensor.ndim == 2 else tensor
            for tensor in layer
        )
        for layer in state
    )


@torch.no_grad()
def extend(model: RecurrentModel, vocabulary_size: int, labels: tuple[str, ...]) -> RecurrentModel:
    """Copy a model into one that knows more tokens and labels, for fine-tuning on another text.

    New tokens begin as the average of the known ones, with the lowest of their biases: possible,
    but not expected. New labels begin without effect.

    Args:
        model: what to copy; its tokens keep their ids and its labels their places.
        vocabulary_size: at least that of the model.
        labels: the model's labels, then the new ones.
    """
    config = dataclasses.replace(model.config, vocabulary_size=vocabulary_size, labels=labels)
    extended = RecurrentModel(config)
    known = model.config.vocabulary_size
    new = extended.state_dict()
    for name, tensor in model.state_dict().items():
        if name in ("embedding.weight", "head.weight"):
            new[name][:known] = tensor
            new[name][known:] = tensor.mean(dim=0)
        elif name == "head.bias":
            new[name][:known] = tensor
            new[name][known:] = tensor.min()
        elif name == "label_embedding.weight":
            new[name][: len(tensor)] = tensor
        else:
            new[name].copy_(tensor)
    return extended


def least_parameters(config: ModelConfig) -> int:
    """Number of trainable values that a model has at least, told without building it."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[config.cell]
    hidden, embedding = config.hidden_size, config.embedding_size
    layers = gates * hidden * (config.layers * hidden + embedding)
    pointer = 2 * config.pointer_size * config.features_size if config.pointer else 0
    return layers + pointer + config.vocabulary_size * max(embedding, config.features_size)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values; tied weights count once."""
    return sum(parameter.numel() for parameter in model.parameters())
