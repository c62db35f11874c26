import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from processors import require_bf16
from torch import Tensor, nn

from sunspring.network.attention import CausalAttention
from sunspring.network.config import DROPOUTS, ModelConfig
from sunspring.network.network import RecurrentModel, detach, extend
from sunspring.network.predictor import State

VOCABULARY = 11
PLAIN = ModelConfig(VOCABULARY, layers=2, hidden_size=6, embedding_size=4)
CONFIGS = {
    f"{cell}{', skip' * skip}{', attention' * attention}": replace(
        PLAIN, cell=cell, skip=skip, attention=attention
    )
    for cell, skip, attention in product(("rnn", "gru", "lstm"), (False, True), (False, True))
} | {
    "one layer": replace(PLAIN, layers=1),
    "three layers, skip": replace(PLAIN, layers=3, skip=True),
    "tied": replace(PLAIN, embedding_size=6, tied=True),
    "DeepMoji": replace(PLAIN, skip=True, attention=True, embedding_activation="tanh"),
    "pointer": replace(PLAIN, pointer=5, pointer_size=3),
    "pointer, attention, skip": replace(PLAIN, pointer=3, skip=True, attention=True),
    "pointer, gru": replace(PLAIN, cell="gru", pointer=1),
    "dropout": replace(PLAIN, **dict.fromkeys(DROPOUTS, 0.5)),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
every_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


def make_model(config: ModelConfig) -> RecurrentModel:
    """A model whose weights are all random, those that begin as zeros or ones too."""
    torch.manual_seed(0)
    model = RecurrentModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def random_tokens(batch: int, time: int) -> Tensor:
    return torch.randint(VOCABULARY, (batch, time), generator=torch.Generator().manual_seed(1))


def assert_states_close(one: State, other: State) -> None:
    assert [len(layer) for layer in one] == [len(layer) for layer in other]
    for tensor, expected in zip(sum(one, ()), sum(other, ()), strict=True):
        torch.testing.assert_close(tensor, expected)


def lstm_cell(
    layer: dict[str, Tensor], inputs: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """The article's equations; W·[h, x] is W_hh·h + W_ih·x, and its one bias the sum of two."""
    size = h.shape[-1]
    weights = torch.cat((layer["weight_hh_l0"], layer["weight_ih_l0"]), dim=1)
    biases = layer["bias_ih_l0"] + layer["bias_hh_l0"]
    w_i, w_f, w_c, w_o = weights.split(size)
    b_i, b_f, b_c, b_o = biases.split(size)
    joined = torch.cat((h, inputs), dim=-1)
    f = torch.sigmoid(joined @ w_f.T + b_f)
    i = torch.sigmoid(joined @ w_i.T + b_i)
    candidate = torch.tanh(joined @ w_c.T + b_c)
    c = f * c + i * candidate
    o = torch.sigmoid(joined @ w_o.T + b_o)
    return o * torch.tanh(c), c


def gru_cell(layer: dict[str, Tensor], inputs: Tensor, h: Tensor) -> tuple[Tensor]:
    """Cho et al. 2014, with the reset gate after the matrix product, as cuDNN has it."""
    size = h.shape[-1]
    x_r, x_z, x_n = (inputs @ layer["weight_ih_l0"].T + layer["bias_ih_l0"]).split(size, dim=-1)
    h_r, h_z, h_n = (h @ layer["weight_hh_l0"].T + layer["bias_hh_l0"]).split(size, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    return ((1 - z) * torch.tanh(x_n + r * h_n) + z * h,)


def rnn_cell(layer: dict[str, Tensor], inputs: Tensor, h: Tensor) -> tuple[Tensor]:
    """Elman 1990."""
    biases = layer["bias_ih_l0"] + layer["bias_hh_l0"]
    return (torch.tanh(inputs @ layer["weight_ih_l0"].T + h @ layer["weight_hh_l0"].T + biases),)


CELLS = {"rnn": rnn_cell, "gru": gru_cell, "lstm": lstm_cell}


def naive_attention(score: Tensor, features: list[Tensor]) -> Tensor:
    """The softmax-weighted average of all (batch, size) features so far."""
    past = torch.stack(features, dim=1)
    return (F.softmax(past @ score, dim=1).unsqueeze(-1) * past).sum(dim=1)


def naive_pointer(
    config: ModelConfig,
    weights: dict[str, Tensor],
    own: Tensor,
    features: list[Tensor],
    tokens: Tensor,
) -> Tensor:
    """The probabilities of a pointer, a row and a place at a time."""
    of = {name.removeprefix("pointer."): each for name, each in weights.items()}
    mixed = []
    for row in range(len(own)):
        now = features[-1][row]
        query = of["query.weight"] @ now * of["sharpness"].exp() / config.pointer_size**0.5
        scores = [query.new_zeros(1)] * max(0, config.pointer - len(features) + 1)
        followers = [-1] * len(scores)
        for place in range(max(0, len(features) - 1 - config.pointer), len(features) - 1):
            scores.append((query @ (of["key.weight"] @ features[place][row])).unsqueeze(0))
            followers.append(int(tokens[row, place + 1]))
        attention = F.softmax(torch.cat((*scores, of["sentinel"])), dim=0)[:-1]
        share = torch.sigmoid(of["share.weight"][0] @ now + of["share.bias"])
        result = torch.zeros_like(own[row])
        for weight, follower in zip(attention, followers, strict=True):
            if follower >= 0:
                result[follower] += share[0] * weight
        mixed.append(result + (1 - result.sum()) * own[row])
    return torch.stack(mixed)


def naive_forward(model: RecurrentModel, tokens: Tensor) -> tuple[Tensor, State]:
    """The whole network, step by step, from its weights alone; without dropout."""
    config, weights = model.config, model.state_dict()
    layers = [
        {
            name.rsplit(".", 1)[1]: tensor
            for name, tensor in weights.items()
            if name.startswith(f"layers.{index}.")
        }
        for index in range(config.layers)
    ]
    state = list(model.initial_state(len(tokens)))[: config.layers]
    seen: list[Tensor] = []
    logits, pointed = [], []
    for time, step in enumerate(tokens.T):
        embedded = weights["embedding.weight"][step]
        if config.embedding_activation == "tanh":
            embedded = torch.tanh(embedded)
        hidden, outputs = embedded, []
        for index, layer in enumerate(layers):
            if config.skip and index > 0:
                hidden = torch.cat((hidden, embedded), dim=-1)
            state[index] = CELLS[config.cell](layer, hidden, *state[index])
            hidden = state[index][0]
            outputs.append(hidden)
        features = torch.cat((*outputs, embedded), dim=-1) if config.skip else hidden
        if config.attention:
            seen.append(features)
            average = naive_attention(weights["attention.score.weight"][0], seen)
            features = torch.cat((features, average), dim=-1)
        logits.append(features @ weights["head.weight"].T + weights["head.bias"])
        if config.pointer:
            pointed.append(features)
            own = F.softmax(logits[-1], dim=1)
            logits[-1] = naive_pointer(config, weights, own, pointed, tokens[:, : time + 1]).log()
    return torch.stack(logits, dim=1), tuple(state)


@every_config
def test_fast_layers_equal_the_written_out_equations(config: ModelConfig) -> None:
    model, tokens = make_model(config), random_tokens(3, 9)
    logits, state = model(tokens, model.initial_state(3))
    expected, expected_state = naive_forward(model, tokens)
    torch.testing.assert_close(logits, expected)
    assert_states_close(state[: config.layers], expected_state)


@every_config
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), max_size=4))
def test_one_long_pass_equals_windows_with_carried_state(
    config: ModelConfig, cuts: list[int]
) -> None:
    model, tokens = make_model(config), random_tokens(2, 12)
    whole, end = model(tokens, model.initial_state(2))
    state, parts = model.initial_state(2), []
    for window in torch.tensor_split(tokens, sorted(set(cuts)), dim=1):
        logits, state = model(window, detach(state))
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert_states_close(state, end)


@every_config
def test_batch_equals_its_rows_one_by_one(config: ModelConfig) -> None:
    model, tokens = make_model(config), random_tokens(4, 7)
    _, state = model(random_tokens(4, 5).flip(0), model.initial_state(4))
    together, new_state = model(tokens, state)
    for row in range(4):
        own = tuple(tuple(tensor[row : row + 1] for tensor in layer) for layer in state)
        logits, own_state = model(tokens[row : row + 1], own)
        torch.testing.assert_close(logits, together[row : row + 1])
        assert_states_close(
            own_state, tuple(tuple(t[row : row + 1] for t in layer) for layer in new_state)
        )


@every_config
@settings(max_examples=15, deadline=None)
@given(place=st.integers(0, 7), token=st.integers(0, VOCABULARY - 1))
def test_later_token_never_changes_earlier_logits(
    config: ModelConfig, place: int, token: int
) -> None:
    model, tokens = make_model(config), random_tokens(2, 8)
    changed = tokens.clone()
    changed[:, place] = token
    before, _ = model(tokens, model.initial_state(2))
    after, _ = model(changed, model.initial_state(2))
    assert torch.equal(before[:, :place], after[:, :place])
    differs = tokens[:, place] != token
    assert not torch.isclose(before[differs], after[differs])[:, place].all(dim=1).any()


@every_config
def test_attention_and_layers_reach_back_to_the_first_token(config: ModelConfig) -> None:
    model, tokens = make_model(config), random_tokens(1, 6)
    changed = tokens.clone()
    changed[0, 0] = (tokens[0, 0] + 1) % VOCABULARY
    before, _ = model(tokens, model.initial_state(1))
    after, _ = model(changed, model.initial_state(1))
    assert not torch.equal(before[:, -1], after[:, -1])


@every_cell
@pytest.mark.parametrize("kind", DROPOUTS)
def test_each_dropout_acts_in_training_and_not_in_evaluation(kind: str, cell: Any) -> None:
    config = replace(PLAIN, cell=cell)
    model = make_model(replace(config, **{kind: 0.5}))
    tokens = random_tokens(2, 5)
    plain = make_model(config)(tokens, model.initial_state(2))[0]
    assert torch.equal(model(tokens, model.initial_state(2))[0], plain)
    model.train()
    one, other = (model(tokens, model.initial_state(2))[0] for _ in range(2))
    assert not torch.equal(one, plain)
    assert not torch.equal(one, other)


def test_layer_dropout_leaves_a_single_layer_alone() -> None:
    model = make_model(replace(PLAIN, layers=1, layer_dropout=0.9)).train()
    tokens = random_tokens(2, 5)
    one, other = (model(tokens, model.initial_state(2))[0] for _ in range(2))
    assert torch.equal(one, other)


@every_config
def test_weights_of_training_serve_any_batch_size(config: ModelConfig) -> None:
    trained = make_model(config)
    copy = RecurrentModel(config).eval()
    copy.load_state_dict(trained.state_dict())
    tokens = random_tokens(5, 4)
    logits, _ = trained(tokens, trained.initial_state(5))
    single, _ = copy(tokens[:1], copy.initial_state(1))
    torch.testing.assert_close(single, logits[:1])


def test_forward_leaves_the_state_it_was_given_as_it_was() -> None:
    model = make_model(CONFIGS["DeepMoji"])
    state = model.initial_state(2)
    model(random_tokens(2, 5), state)
    assert_states_close(state, model.initial_state(2))


def test_detached_state_is_off_the_graph_with_the_same_values() -> None:
    model = make_model(CONFIGS["DeepMoji"])
    _, state = model(random_tokens(2, 5), model.initial_state(2))
    cut = detach(state)
    assert all(tensor.requires_grad for layer in state for tensor in layer)
    assert not any(tensor.requires_grad for layer in cut for tensor in layer)
    assert_states_close(cut, state)


@every_cell
def test_recurrent_matrices_begin_orthogonal(cell: str) -> None:
    model = RecurrentModel(replace(PLAIN, cell=cell, hidden_size=16))
    for name, matrix in model.named_parameters():
        if name.endswith("weight_hh_l0"):
            for gate in matrix.split(16):
                torch.testing.assert_close(gate @ gate.T, torch.eye(16), atol=1e-5, rtol=0)


def test_forget_bias_begins_at_one_and_the_other_biases_at_zero() -> None:
    weights = RecurrentModel(PLAIN).state_dict()
    for index in range(PLAIN.layers):
        biases = weights[f"layers.{index}.bias_ih_l0"] + weights[f"layers.{index}.bias_hh_l0"]
        assert biases.tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12


def test_fresh_model_expects_about_every_token_alike() -> None:
    for config in CONFIGS.values():
        torch.manual_seed(0)
        model = RecurrentModel(replace(config, vocabulary_size=100)).eval()
        tokens = random_tokens(8, 20)
        logits, _ = model(tokens, model.initial_state(8))
        loss = F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).item()
        assert abs(loss - math.log(100)) < 1


def test_tied_model_counts_and_trains_one_matrix() -> None:
    tied, free = RecurrentModel(CONFIGS["tied"]), RecurrentModel(replace(PLAIN, embedding_size=6))
    assert free.config.parameters - tied.config.parameters == VOCABULARY * 6
    optimizer = torch.optim.SGD(tied.parameters(), lr=1.0)
    tied(random_tokens(2, 5), tied.initial_state(2))[0].square().sum().backward()
    optimizer.step()
    assert torch.equal(tied.embedding.weight, tied.head.weight)


def test_gradients_of_the_attention_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(3).double()

    def average(weight: Tensor, features: Tensor, more: Tensor) -> tuple[Tensor, ...]:
        parameters = {"score.weight": weight}
        call = torch.func.functional_call
        first, state = call(attention, parameters, (features, attention.initial(2)))
        second, state = call(attention, parameters, (more, state))
        return first, second, *state[1:]

    values = [torch.randn(shape, dtype=torch.double) for shape in [(1, 3), (2, 4, 3), (2, 3, 3)]]
    assert torch.autograd.gradcheck(average, [value.requires_grad_() for value in values])


@every_config
def test_gradients_of_the_loss_agree_with_finite_differences(config: ModelConfig) -> None:
    model = make_model(config).double()
    tokens = random_tokens(2, 6)
    names, weights = zip(*model.named_parameters(), strict=True)

    def loss(*values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        arguments = (tokens[:, :-1], model.initial_state(2))
        logits, _ = torch.func.functional_call(model, parameters, arguments)
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    leaves = [weight.detach().clone().requires_grad_() for weight in weights]
    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)


@settings(max_examples=30, deadline=None)
@given(scale=st.sampled_from([1e-3, 1.0, 100.0]), seed=st.integers(0, 1000))
def test_attention_equals_the_naive_average_at_any_range_of_scores(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    attention = CausalAttention(5)
    with torch.no_grad():
        attention.score.weight.normal_(std=scale, generator=generator)
    features = torch.randn(2, 10, 5, generator=generator)
    first, state = attention(features[:, :4], attention.initial(2))
    second, _ = attention(features[:, 4:], state)
    expected = [
        naive_attention(attention.score.weight[0], list(features.unbind(1))[: step + 1])
        for step in range(10)
    ]
    torch.testing.assert_close(
        torch.cat((first, second), dim=1), torch.stack(expected, dim=1), atol=1e-4, rtol=1e-3
    )


@every_config
def test_attention_state_does_not_grow_with_the_text(config: ModelConfig) -> None:
    model = make_model(config)
    _, state = model(random_tokens(2, 30), model.initial_state(2))
    shapes = [[tensor.shape for tensor in layer] for layer in state]
    assert shapes == [[tensor.shape for tensor in layer] for layer in model.initial_state(2)]


@every_config
def test_bf16_stays_near_float32_from_window_to_window(config: ModelConfig) -> None:
    require_bf16(config)
    model, tokens = make_model(config), random_tokens(2, 12)
    expected, _ = model(tokens, model.initial_state(2))
    state, parts = model.initial_state(2), []
    for window in tokens.split(4, dim=1):
        with torch.autocast("cpu", torch.bfloat16):
            logits, state = model(window, detach(state))
        parts.append(logits.float())
    similarity = F.cosine_similarity(torch.cat(parts, dim=1), expected, dim=-1)
    assert similarity.min().item() > 0.98


def test_label_steers_and_is_needed_by_a_model_that_has_labels() -> None:
    model = make_model(replace(PLAIN, labels=("verse", "prose")))
    tokens = random_tokens(1, 4).expand(2, 4)
    logits, _ = model(tokens, model.initial_state(2), torch.tensor([0, 1]))
    assert not torch.allclose(logits[0], logits[1])
    with pytest.raises(ValueError, match="needs one for each row"):
        model(tokens, model.initial_state(2))


def test_labels_begin_without_effect() -> None:
    model = RecurrentModel(replace(PLAIN, labels=("verse", "prose"))).eval()
    tokens = random_tokens(1, 4).expand(2, 4)
    logits, _ = model(tokens, model.initial_state(2), torch.tensor([0, 1]))
    torch.testing.assert_close(logits[0], logits[1])


@every_config
def test_extended_model_keeps_what_it_knew(config: ModelConfig) -> None:
    model = make_model(config)
    larger = extend(model, VOCABULARY + 3, ("new",)).eval()
    tokens, state = random_tokens(2, 6), model.initial_state(2)
    with torch.no_grad():
        larger.head.bias[VOCABULARY:] = -1e4  # to compare probabilities: the new have none
    logits, _ = model(tokens, state)
    extended, _ = larger(tokens, state, torch.zeros(2, dtype=torch.long))
    assert extended.shape[-1] == VOCABULARY + 3
    known = extended[..., :VOCABULARY]
    torch.testing.assert_close(F.log_softmax(known, dim=-1), F.log_softmax(logits, dim=-1))
    tied = larger.head.weight is larger.embedding.weight
    assert tied == config.tied


def test_extended_model_does_not_expect_new_tokens() -> None:
    model = make_model(PLAIN)
    larger = extend(model, VOCABULARY + 2, ())
    assert (larger.head.bias[VOCABULARY:] == model.head.bias.min()).all()
    mean = model.embedding.weight.mean(dim=0)
    torch.testing.assert_close(larger.embedding.weight[VOCABULARY:], mean.expand(2, -1))


def test_extended_labels_keep_their_places() -> None:
    model = make_model(replace(PLAIN, labels=("verse",)))
    larger = extend(model, VOCABULARY, ("verse", "prose"))
    assert isinstance(model.label_embedding, nn.Embedding)
    assert isinstance(larger.label_embedding, nn.Embedding)
    assert torch.equal(larger.label_embedding.weight[0], model.label_embedding.weight[0])
    assert not larger.label_embedding.weight[1].any()


@pytest.mark.parametrize("pointer", [0, 7])
@pytest.mark.parametrize("labels", [(), ("a", "b")])
@every_config
def test_configuration_knows_the_number_of_its_parameters(
    config: ModelConfig, labels: tuple[str, ...], pointer: int
) -> None:
    config = replace(config, labels=labels, pointer=pointer)
    model = RecurrentModel(config)
    assert config.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_weights_at_the_start_do_not_depend_on_the_number_of_threads() -> None:
    before, drawn = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            drawn.append(RecurrentModel(ModelConfig(20, hidden_size=200)).state_dict())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    one, two = drawn
    assert all(torch.equal(one[name], two[name]) for name in one)
