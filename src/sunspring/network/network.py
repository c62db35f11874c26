"""The recurrent network: embedding → recurrent layers → head, with its state an explicit value.

`RecurrentModel` maps tokens and a state to logits and the next state, so that a batch of any size
can go on from any state. It reads ids and knows nothing of text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from sunspring.network.attention import CausalAttention, Pointer, Pointing
from sunspring.network.config import ModelConfig
from sunspring.network.dropout import Dropout
from sunspring.network.loops import linear, one_thread
from sunspring.network.predictor import LayerState, Predictor, State, token_losses
from sunspring.network.recurrence import Embedded, run_layer

Weights = dict[str, Tensor]
"""The tensors of a model, by name."""

_CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class NetworkOutput(NamedTuple):
    """What a network returns for a batch of tokens.

    Args:
        logits: (batch, time, vocabulary_size) of the token after each one, without the pointer.
        pointing: where the pointer points; None if there is none.
        state: after the last token.
        hidden: (batch, time, hidden_size), outputs of the last recurrent layer.
    """

    logits: Tensor
    pointing: Pointing | None
    state: State
    hidden: Tensor

    def losses(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of targets under the model, and under the network without its pointer.

        Args:
            targets: (batch, time) ids, int64; `IGNORED` ones have loss 0.

        Returns:
            Two tensors (batch, time), in nats.
        """
        network_losses = token_losses(self.logits.float(), targets)
        if self.pointing is None:
            return network_losses, network_losses
        return self.pointing.losses(network_losses, targets), network_losses


class RecurrentModel(Predictor):
    """A recurrent language model: tokens and a state in, logits and the next state out.

    Only the inputs have a batch size, so trained weights work with any: `RecurrentModel(config)`
    with loaded weights writes from `initial_state(1)`.
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
        with one_thread():
            self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        if self.label_embedding is not None:
            nn.init.zeros_(self.label_embedding.weight)
        if self.config.tied:
            # A unit-variance embedding would give the head logits of many nats at the start.
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
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self.config.vocabulary_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it was trained with."""
        return self.config.labels

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def initial_state(self, batch_size: int) -> State:
        """The state before any text: zeros, on the model's device.

        It has one entry per recurrent layer, then one for the attention and one for the pointer if
        the model has them: see their `initial`.
        """
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
        """Read tokens from a state; see `Predictor.forward`."""
        logits, pointing, new_state, _ = self.outputs(tokens, state, labels)
        return (logits if pointing is None else pointing.mix(logits)), new_state

    def losses(
        self, tokens: Tensor, targets: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens as `forward` does; returns the targets' losses (batch, time), in nats."""
        output = self.outputs(tokens, state, labels)
        return output.losses(targets)[0], output.state

    def outputs(self, tokens: Tensor, state: State, labels: Tensor | None = None) -> NetworkOutput:
        """Read tokens as `forward` does; returns what the loss is computed from."""
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
        logits = linear(features, self.head.weight, self.head.bias)
        return NetworkOutput(logits, pointing, tuple(new_state), outputs[-1])

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
    """Detach a state from the graph, to carry it to the next step; sums and outputs in float32."""
    detached = tuple(tuple(tensor.detach() for tensor in layer) for layer in state)
    return change_recurrent(detached, Tensor.float)


def change_recurrent(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """Apply a change to the values of a state that later states are computed from.

    Integers stay as they are, and so do a pointer's keys, (batch, reach, size), which are many and
    only read.
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

    New tokens start as the average of the known ones, with the lowest of their biases: possible,
    but not expected. New labels start without effect.

    Args:
        model: what to copy; its tokens and labels keep their indices.
        vocabulary_size: at least the model's.
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
