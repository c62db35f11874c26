"""Two ways to look back further than a recurrent state: DeepMoji's average, and a pointer.

Both are causal, and their state has the same size however long the text is. On the processor,
`src/native/training/pointer.cpp` computes at once all that a loss needs from the pointer's
attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.network.loops import Loops, linear, loops_for

_SHARPNESS, _SENTINEL, _SHARE = 1.0, 3.0, -3.0  # initial values: sharp, and seldom used
_NOTHING = -1  # in place of a token where nothing has been read yet
_LEAST = 1e-30  # keeps the logarithm of a probability finite


class CausalAttention(nn.Module):
    """DeepMoji's attention-weighted average (Felbo et al. 2017, equations 1–3), made causal.

    e_t = w·h_t scores a step; the average at time t is Σ_{i≤t} exp(e_i) h_i / Σ_{i≤t} exp(e_i).
    The state carries the sums (relative to the largest score so far, to stay in range), so memory
    per token is constant however long the text is.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.score = nn.Linear(size, 1, bias=False)

    def initial(self, batch_size: int) -> tuple[Tensor, ...]:
        """The state before any text: the largest score (batch, 1), and the sums of the weights
        (batch, 1) and of the weighted features (batch, size).
        """
        weight = self.score.weight
        return (
            weight.new_full((batch_size, 1), -1e4),
            weight.new_zeros((batch_size, 1)),
            weight.new_zeros((batch_size, weight.shape[1])),
        )

    def forward(
        self, features: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Average `features` (batch, time, size) causally; returns the same shape and the state."""
        features = features.to(self.score.weight.dtype)
        with torch.autocast(features.device.type, enabled=False):
            scores = self.score(features).squeeze(-1)  # (batch, time)
            largest, total, weighted = state
            maximum = torch.cummax(torch.cat((largest, scores), dim=1), dim=1).values[:, 1:]
            time = scores.shape[1]
            future = torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(1)
            differences = scores.unsqueeze(1) - maximum.unsqueeze(2)
            weights = differences.masked_fill(future, -torch.inf).exp()  # (batch, now, past)
            carried = (largest - maximum).exp()  # (batch, time)
            totals = weights.sum(dim=2) + carried * total
            sums = weights @ features + carried.unsqueeze(2) * weighted.unsqueeze(1)
            average = sums / totals.unsqueeze(2)
        return average, (maximum[:, -1:], totals[:, -1:], sums[:, -1])


class Pointer(nn.Module):
    """Lets a model repeat what followed a similar place before: names, words, turns of phrase.

    A step's features f_t give the key k_t = W_k f_t for the token that follows it. Over the last
    `reach` steps before t, whose followers are known, a = softmax(exp(ζ) q_t·k_s / √size), with the
    query q_t = W_q f_t and a sentinel with score σ beside them (Merity et al. 2017, "Pointer
    sentinel mixture models", section 2.2). With the share g_t = sigmoid(w·f_t + b)

        p(y) = g_t Σ_s a_s [token s + 1 is y] + (1 − g_t Σ_s a_s) p_network(y),

    which sums to one. (In the paper the sentinel's attention alone sets the share; the factor g_t
    lets keys learn from the start, when nothing matches well.) Queries start equal to keys, so
    that similar places match.

    Args:
        features_size: size of the model's features.
        reach: how many steps it looks back.
        size: size of keys and queries.
    """

    def __init__(self, features_size: int, reach: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(features_size, size, bias=False)
        self.key = nn.Linear(features_size, size, bias=False)
        self.share = nn.Linear(features_size, 1)
        self.sharpness = nn.Parameter(torch.tensor([_SHARPNESS]))
        self.sentinel = nn.Parameter(torch.tensor([_SENTINEL]))
        self._reach = reach
        with torch.no_grad():
            nn.init.normal_(self.key.weight, std=features_size**-0.5)
            self.query.weight.copy_(self.key.weight)
            self.share.weight.zero_()
            self.share.bias.fill_(_SHARE)

    def initial(self, batch_size: int) -> tuple[Tensor, ...]:
        """The state before any text: keys (batch, reach, size) of zeros, and the token read with
        each of them, (batch, reach), int64: −1 for none.
        """
        weight = self.key.weight
        keys = weight.new_zeros((batch_size, self._reach, len(weight)))
        return keys, keys.new_full(keys.shape[:2], _NOTHING, dtype=torch.int64)

    def forward(
        self, features: Tensor, tokens: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Pointing, tuple[Tensor, ...]]:
        """Look for earlier places like the current ones.

        Args:
            features: (batch, time, features_size).
            tokens: (batch, time) ids that were read, int64.
            state: from `initial` or an earlier call.

        Returns:
            Where to point, and the next state.
        """
        size = len(self.key.weight)
        scaled = self.query.weight * (self.sharpness.exp() * size**-0.5)
        # a single product, to read the features only once
        weights = torch.cat((scaled, self.key.weight, self.share.weight))
        projected = linear(features, weights)
        queries, new_keys, share = torch.split(projected, [size, size, 1], dim=2)
        keys = torch.cat((state[0].to(new_keys.dtype), new_keys), dim=1)
        read = torch.cat((state[1], tokens), dim=1)
        pointing = Pointing(
            queries,
            new_keys,
            keys,
            followers=torch.where(read[:, :-1] == _NOTHING, _NOTHING, read[:, 1:]),
            share=torch.sigmoid(share + self.share.bias).squeeze(2),
            sentinel=self.sentinel,
            loops=None if state[0].requires_grad else loops_for(weights, size),
        )
        return pointing, (keys[:, -self._reach :], read[:, -self._reach :])


@dataclass(frozen=True)
class Pointing:
    """Where a pointer points after each token of a batch.

    Args:
        queries: (batch, time, size), scaled.
        new_keys: (batch, time, size) of the same steps.
        keys: (batch, reach + time, size): those of the steps before, then `new_keys`.
        followers: (batch, reach + time - 1) token after each key but the last; −1 for none.
        share: (batch, time) g_t, the pointer's share before the sentinel takes its part of it.
        sentinel: (1,), the sentinel's score, beside those of the keys.
        loops: what computes attention at targets at once; None if PyTorch has to.
    """

    queries: Tensor
    new_keys: Tensor
    keys: Tensor
    followers: Tensor
    share: Tensor
    sentinel: Tensor
    loops: Loops | None

    def mix(self, logits: Tensor) -> Tensor:
        """Mix the network's predictions with what followed similar places.

        Args:
            logits: (batch, time, vocabulary_size), the network's.

        Returns:
            Log-probabilities (batch, time, vocabulary_size).
        """
        own = logits.shape[-1]  # an additional token, for keys without a follower
        attention = self._attend()
        followers = torch.where(self.followers == _NOTHING, own, self.followers)
        indices = F.pad(followers, (0, 1), value=own).unsqueeze(1).expand_as(attention)
        sums = attention.new_zeros(*attention.shape[:2], own + 1)
        sums = sums.scatter_add(2, indices, attention)
        share, left = self.share.unsqueeze(2), sums[..., own:]
        mixed = share * sums[..., :own] + (1 - share * (1 - left)) * logits.softmax(dim=-1)
        return (mixed + _LEAST).log()

    def losses(self, network_losses: Tensor, targets: Tensor) -> Tensor:
        """Return the losses of targets, without a distribution over the whole vocabulary.

        Args:
            network_losses: (batch, time) losses of the network alone, in nats.
            targets: (batch, time) tokens, int64; negative ones have loss 0.

        Returns:
            (batch, time), in nats.
        """
        at_targets, left = self.point(targets)
        rest = 1 - self.share * (1 - left)
        mixed = self.share * at_targets + rest * (-network_losses).exp()
        return torch.where(targets < 0, 0.0, -(mixed + _LEAST).log())

    def point(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Sum the attention on steps that the targets (batch, time) followed; and that on steps
        without a follower and on the sentinel. Both are (batch, time).
        """
        if self.loops is not None:
            result: tuple[Tensor, Tensor] = _Point.apply(  # type: ignore[no-untyped-call]
                self.loops,
                self.queries,
                self.new_keys,
                self.keys.detach(),
                self.followers,
                targets.clamp(min=_NOTHING),
                self.sentinel,
                torch.is_grad_enabled(),
            )
            return result
        attention = self._attend()
        of_keys, of_sentinel = attention[..., :-1], attention[..., -1]
        followers = self.followers.unsqueeze(1)
        is_nothing = followers == _NOTHING
        is_target = (followers == targets.unsqueeze(2)) & ~is_nothing
        return (of_keys * is_target).sum(2), (of_keys * is_nothing).sum(2) + of_sentinel

    def _attend(self) -> Tensor:
        """Return the attention (batch, time, reach + time) of each step over the `reach` steps
        before it; the last column is the sentinel's.
        """
        keys, time = self.keys[:, :-1], self.queries.shape[1]
        reach = self.keys.shape[1] - time
        steps = torch.arange(time, device=keys.device).unsqueeze(1)
        places = torch.arange(keys.shape[1], device=keys.device)
        is_reached = (places >= steps) & (places < steps + reach)
        mask = torch.zeros_like(is_reached, dtype=keys.dtype).masked_fill(~is_reached, -torch.inf)
        scores = torch.baddbmm(mask, self.queries, keys.transpose(1, 2))
        sentinel = self.sentinel.to(scores.dtype).expand(*scores.shape[:2], 1)
        attention: Tensor = torch.cat((scores, sentinel), dim=2).softmax(dim=2)
        return attention


class _Point(torch.autograd.Function):
    """`Pointing.point` as a single operation; see `src/native/training/pointer.h`.

    Only the window's own keys, `new_keys`, get a gradient: those in the state are constants.
    """

    @staticmethod
    def forward(
        ctx: Any,
        loops: Loops,
        queries: Tensor,
        new_keys: Tensor,
        keys: Tensor,
        followers: Tensor,
        targets: Tensor,
        sentinel: Tensor,
        is_backward_to_come: bool,
    ) -> tuple[Tensor, Tensor]:
        inputs = (queries.contiguous(), keys.contiguous(), followers, targets.contiguous())
        (batch, time), width = targets.shape, loops.queries_per_block
        at_targets, own, sentinels, scales = sentinel.new_empty(4, batch, time)
        weights = None
        if is_backward_to_come:
            blocks, reach = math.ceil(time / width), keys.shape[1] - time
            weights = queries.new_empty(batch, blocks, reach + width - 1, width)
        result = (at_targets, own, sentinels, scales)
        loops.pointer_forward(*inputs, sentinel, *result, weights)
        ctx.save_for_backward(*inputs, *result, weights)
        ctx.loops = loops
        return at_targets, own

    @staticmethod
    def backward(ctx: Any, of_targets: Tensor, of_own: Tensor) -> tuple[Any, ...]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        of_queries, of_keys = torch.empty_like(saved[0]), torch.empty_like(saved[0])
        of_sentinels = of_own.new_empty(of_own.shape)
        of_result, of_inputs = (of_targets, of_own), (of_queries, of_keys, of_sentinels)
        arguments = (*(each.contiguous() for each in of_result), *saved, *of_inputs)
        ctx.loops.pointer_backward(*arguments)
        return None, of_queries, of_keys, None, None, None, of_sentinels.sum().reshape(1), None
