"""A recurrent layer over time: for LSTMs a fused loop where there is one, else PyTorch's own.

PyTorch runs a small matrix product and a dozen passes over its result at every step.
`src/native/training/scan.cpp` does a whole step at once. There, what an embedded token adds to the
gates is looked up in a table with a row for each token, rather than multiplied out at every
position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from sunspring.network.dropout import drop_out
from sunspring.network.loops import Loops, linear, loops_for, multiply

_RUN: dict[type[nn.RNNBase], Callable[..., tuple[Tensor, ...]]] = {
    # the functions that the layers call, to be called with other recurrent weights
    nn.RNN: torch.rnn_tanh,
    nn.GRU: torch.gru,
    nn.LSTM: torch.lstm,
}
_LARGEST_TABLE = 512  # tokens; beyond, multiplying out is cheaper than the table's gradient


@dataclass(frozen=True)
class Embedded:
    """Embedded tokens, as a layer reads them.

    Args:
        values: (batch, time, embedding_size).
        tokens: (batch, time) ids, int64.
        vectors: (vocabulary_size, embedding_size), whose rows the `values` are; None if they are
            not, because of dropout or labels.
    """

    values: Tensor
    tokens: Tensor
    vectors: Tensor | None


def run_layer(
    layer: nn.RNNBase,
    hidden: Tensor | None,
    embedded: Embedded | None,
    state: tuple[Tensor, ...],
    recurrent_dropout: float = 0.0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one batch-first layer from a state, on `hidden` and `embedded` side by side.

    Args:
        layer: `nn.RNN`, `nn.GRU` or `nn.LSTM`, of one layer and one direction.
        hidden: (batch, time, width) of the layer below, if there is one.
        embedded: the tokens, if the layer sees them.
        state: (h, c) of an LSTM, (h,) of the others, each (batch, hidden_size).
        recurrent_dropout: share of the recurrent weights to drop, the same ones at every step
            (DropConnect, as in Merity et al. 2018, section 2).

    Returns:
        The outputs (batch, time, hidden_size), and the state after the last step.
    """
    recurrent = cast(Tensor, layer.weight_hh_l0)
    if recurrent_dropout:
        recurrent = drop_out(recurrent, recurrent_dropout)
    loops = loops_for(recurrent, layer.hidden_size) if isinstance(layer, nn.LSTM) else None
    if loops is not None:
        return _run_fused(loops, layer, hidden, embedded, state, recurrent)
    weights = (layer.weight_ih_l0, recurrent, layer.bias_ih_l0, layer.bias_hh_l0)
    stacked = tuple(each.unsqueeze(0) for each in state)
    is_lstm = isinstance(layer, nn.LSTM)
    outputs, *last = _RUN[type(layer)](
        _side_by_side(hidden, embedded),
        stacked if is_lstm else stacked[0],
        weights,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=layer.training,
        bidirectional=False,
        batch_first=True,
    )
    return outputs, tuple(each.squeeze(0) for each in last)


def _side_by_side(hidden: Tensor | None, embedded: Embedded | None) -> Tensor:
    parts = [hidden] if hidden is not None else []
    parts += [embedded.values] if embedded is not None else []
    return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]


def _run_fused(
    loops: Loops,
    layer: nn.RNNBase,
    hidden: Tensor | None,
    embedded: Embedded | None,
    state: tuple[Tensor, ...],
    recurrent: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    weights = cast(Tensor, layer.weight_ih_l0)
    bias = cast(Tensor, layer.bias_ih_l0) + cast(Tensor, layer.bias_hh_l0)
    vectors = None if embedded is None else embedded.vectors
    if vectors is not None and len(vectors) <= _LARGEST_TABLE:
        width = vectors.shape[1]
        of_hidden, of_embedded = torch.split(weights, [layer.input_size - width, width], dim=1)
        table = linear(vectors, of_embedded, bias)
        dense = None if hidden is None else linear(hidden, of_hidden)
    else:
        table = None
        dense = linear(_side_by_side(hidden, embedded), weights, bias)
    scanned: tuple[Tensor, Tensor] = _Scan.apply(  # type: ignore[no-untyped-call]
        loops, dense, table, embedded, recurrent, *state
    )
    outputs, last_cell = scanned
    return outputs, (outputs[:, -1], last_cell)


class _Scan(torch.autograd.Function):
    """The loop over time as one operation; see `src/native/training/scan.h`."""

    @staticmethod
    def forward(
        ctx: Any,
        loops: Loops,
        dense: Tensor | None,
        table: Tensor | None,
        embedded: Embedded | None,
        weights: Tensor,
        hidden: Tensor,
        cell: Tensor,
    ) -> tuple[Tensor, Tensor]:
        tokens = None
        if table is not None and embedded is not None:
            tokens = embedded.tokens.contiguous()
        time = dense.shape[1] if dense is not None else cast(Tensor, tokens).shape[1]
        hidden, cell = hidden.to(loops.dtype).contiguous(), cell.float().contiguous()
        outputs = hidden.new_empty(len(hidden), time, hidden.shape[1])
        gates = hidden.new_empty(len(hidden), time, weights.shape[0])
        cells = cell.new_empty(outputs.shape)
        dense = None if dense is None else dense.contiguous()
        packed = hidden.new_empty(weights.numel())
        loops.scan_forward(
            dense, table, tokens, weights, hidden, cell, packed, outputs, gates, cells
        )
        ctx.save_for_backward(weights, hidden, cell, outputs, gates, cells)
        ctx.embedded, ctx.loops = embedded, loops
        return outputs, cells[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, output_gradients: Tensor, cell_gradients: Tensor) -> tuple[Any, ...]:
        weights, hidden, cell, outputs, gates, cells = ctx.saved_tensors
        gradients, packed = torch.empty_like(gates), gates.new_empty(weights.numel())
        cell_gradients = cell_gradients.clone(memory_format=torch.contiguous_format)
        ctx.loops.scan_backward(
            output_gradients.to(gates.dtype).contiguous(),
            weights,
            cell,
            outputs,
            gates,
            cells,
            packed,
            gradients,
            cell_gradients,
        )
        flat = gradients.flatten(0, 1)
        before = torch.cat((hidden.unsqueeze(1), outputs[:, :-1]), dim=1)
        _, of_dense, of_table, _, of_weights, of_hidden, _ = ctx.needs_input_grad
        of_tokens = None
        if of_table:
            embedded: Embedded = ctx.embedded
            assert embedded.vectors is not None
            sums = cells.new_empty(len(embedded.vectors), flat.shape[1])
            ctx.loops.sum_by_token(flat, embedded.tokens.flatten(), sums)
            of_tokens = sums.to(flat.dtype)
        return (
            None,
            gradients if of_dense else None,
            of_tokens,
            None,
            multiply(flat.T, before.flatten(0, 1), dtype=torch.float32) if of_weights else None,
            gradients[:, 0].float() @ weights if of_hidden else None,
            cell_gradients,
        )
