"""Gradients on their way back through time, against other ways to compute them, and their page."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import needs_chromium, opened
from chains import random_model
from commands import error_of, succeed
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import sunspring
from sunspring.errors import SettingsError, SourceError
from sunspring.explanation.gradient_curves import (
    NAMES,
    REACH,
    GradientFlow,
    Trained,
    faded_at,
)
from sunspring.explanation.gradient_flow import gradient_flow, state_gradients
from sunspring.explanation.gradients_page import gradients_page
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.plan import PRESETS
from sunspring.training.trainer import make_batches

FILES = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text("utf-8")
STEPS = 8
LAYERS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
CELLS = pytest.mark.parametrize("cell", LAYERS)


def config_of(cell: str, **settings: int) -> ModelConfig:
    return ModelConfig(6, cell=cell, **{"hidden_size": 7, "embedding_size": 4, **settings})  # type: ignore[arg-type]


def draw_tokens(rows: int, time: int) -> Tensor:
    return torch.randint(6, (rows, time), generator=torch.Generator().manual_seed(1))


def losses_of(model: RecurrentModel, outputs: Tensor, targets: Tensor) -> Tensor:
    """Nats of each row's target, from the last outputs of the last layer."""
    return -model.head(outputs).log_softmax(-1)[torch.arange(len(targets)), targets]


@CELLS
def test_norms_are_those_that_pytorch_s_stacked_layers_give(cell: str) -> None:
    model = random_model(config_of(cell), std=0.5).double()
    stacked = LAYERS[cell](4, 7, num_layers=2, batch_first=True).double()
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            for name, weight in layer.named_parameters():
                getattr(stacked, name.replace("l0", f"l{index}")).copy_(weight)
    tokens, reach = draw_tokens(3, 15), 9
    found = state_gradients(model, tokens, reach)
    inputs = model.embedding(tokens[:, :-1]).detach()
    assert found.shape == (3, reach + 1)
    for k in range(reach + 1):
        split = inputs.shape[1] - k
        _, state = stacked(inputs[:, :split])
        parts = [each.detach().requires_grad_() for each in (state if cell == "lstm" else (state,))]
        given_state = tuple(parts) if cell == "lstm" else parts[0]
        outputs = stacked(inputs[:, split:], given_state)[0][:, -1] if k else parts[0][-1]
        loss = losses_of(model, outputs, tokens[:, -1]).sum()
        gradients = torch.autograd.grad(loss, parts, allow_unused=True, materialize_grads=True)
        squares = sum(each.square().sum(dim=(0, 2)) for each in gradients)
        np.testing.assert_allclose(found[:, k], torch.as_tensor(squares).sqrt(), rtol=1e-9)


@CELLS
def test_norms_are_those_of_finite_differences(cell: str) -> None:
    model = random_model(config_of(cell, hidden_size=3), std=0.7).double().eval()
    tokens, reach, step = draw_tokens(1, 8), 4, 1e-5
    found = state_gradients(model, tokens, reach)[0]
    with torch.no_grad():
        for k in range(1, reach + 1):
            split = 7 - k
            _, state = model(tokens[:, :split], model.initial_state(1))
            slopes = []
            for tensor in (tensor for layer in state for tensor in layer):
                for unit in range(3):
                    costs = []
                    for change in (step, -2 * step):
                        tensor[0, unit] += change
                        logits, _ = model(tokens[:, split:-1], state)
                        costs.append(-float(logits[0, -1].log_softmax(0)[tokens[0, -1]]))
                    tensor[0, unit] += step
                    slopes.append((costs[0] - costs[1]) / (2 * step))
            assert found[k] == pytest.approx(np.linalg.norm(slopes), rel=1e-6)


@given(scale=st.floats(0.3, 2.5))
def test_a_linear_network_multiplies_the_gradient_by_its_scale_at_each_step(scale: float) -> None:
    model = random_model(config_of("rnn", layers=1), std=0.5).double()
    with torch.no_grad():
        recurrent = torch.nn.init.orthogonal_(torch.empty(7, 7, dtype=torch.float64))
        layer = dict(model.layers[0].named_parameters())
        layer["weight_hh_l0"].copy_(scale * recurrent)
        for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
            layer[name].zero_()  # the state stays 0, where tanh has the slope 1
    found = state_gradients(model, draw_tokens(2, 25), 24)
    expected = found[:, :1] * scale ** np.arange(25)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_measuring_leaves_a_network_as_it_was() -> None:
    model = random_model(config_of("gru", layer_dropout=0.5)).train()  # type: ignore[arg-type]
    tokens = draw_tokens(2, 10)
    first = state_gradients(model, tokens, 5)
    assert model.training
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert all(each.grad is None for each in model.parameters())
    np.testing.assert_array_equal(state_gradients(model, tokens, 5), first)


@pytest.fixture(scope="module")
def measured(trained: Path) -> tuple[GradientFlow, list[str]]:
    """Networks after a few steps, and what was said of them."""
    said: list[str] = []
    return gradient_flow(sunspring.load(trained).open_text(), said.append, steps=STEPS), said


class TestTrainings:
    def test_are_of_the_article_s_recipe(self, measured: tuple[GradientFlow, list[str]]) -> None:
        flow, said = measured
        kinds = [(each.network, each.clipped) for each in flow.trained]
        assert kinds == [(name, clipped) for name in NAMES for clipped in (True, False)]
        assert {each.nats.shape for each in flow.trained} == {(STEPS,)}
        assert flow.recipe == dataclasses.replace(
            PRESETS["article"].recipe, batch_size=flow.recipe.batch_size
        )
        assert [line.split(":")[0] for line in said] == [each.name for each in flow.trained]

    def test_with_and_without_clipping_are_the_same_until_it_acts(
        self, measured: tuple[GradientFlow, list[str]]
    ) -> None:
        flow, _ = measured
        for clipped, unclipped in zip(flow.clipped, flow.unclipped, strict=True):
            acted = np.flatnonzero(unclipped.norms > flow.clip_norm)
            same = int(acted[0]) + 1 if len(acted) else flow.steps
            np.testing.assert_array_equal(clipped.nats[:same], unclipped.nats[:same])
            np.testing.assert_array_equal(clipped.norms[:same], unclipped.norms[:same])
            assert np.array_equal(clipped.curve, unclipped.curve) == (not len(acted))

    @pytest.mark.parametrize("clipped", [True, False])
    def test_learn_as_with_pytorch_s_optimizer_and_clipping(
        self, clipped: bool, measured: tuple[GradientFlow, list[str]], trained: Path
    ) -> None:
        flow, _ = measured
        (found,) = [
            each for each in flow.trained if each.network == "rnn" and each.clipped == clipped
        ]
        corpus = sunspring.load(trained).open_text()
        batches = make_batches(corpus.train, corpus.vocabulary.start_id, flow.recipe, seed=0)
        torch.manual_seed(0)
        model = RecurrentModel(dataclasses.replace(flow.config, cell="rnn")).train()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0)
        for step in range(STEPS):
            inputs, targets = map(torch.from_numpy, batches.next()[:2])
            losses, _ = model.losses(inputs, targets, model.initial_state(len(inputs)))
            optimizer.zero_grad()
            losses.mean().backward()
            longest = flow.clip_norm if clipped else np.inf
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), longest)
            assert found.nats[step] == pytest.approx(losses.mean().item(), rel=2e-5)
            assert found.norms[step] == pytest.approx(norm.item(), rel=2e-5)
            optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / STEPS)
            optimizer.step()

    def test_begin_at_guessing_and_learn(self, measured: tuple[GradientFlow, list[str]]) -> None:
        flow, _ = measured
        for each in flow.trained:
            assert each.nats[0] == pytest.approx(np.log(flow.config.vocabulary_size), abs=0.3)
            assert each.nats[-1] < each.nats[0] or each.network == "rnn-doubled"
            assert not np.array_equal(each.curve, flow.untrained[each.network])

    def test_show_a_gradient_that_vanishes_and_one_that_explodes(
        self, measured: tuple[GradientFlow, list[str]]
    ) -> None:
        flow, _ = measured
        vanishing, exploding = flow.untrained["rnn"], flow.untrained["rnn-doubled"]
        assert vanishing[REACH] < 1e-6 * vanishing[1]
        assert exploding[REACH] > 1e6 * exploding[1]
        norms = {each.network: each.norms for each in flow.unclipped}
        assert norms["rnn-doubled"].max() > 100 * norms["rnn"].max()

    def test_need_steps_and_text(self, trained: Path, tmp_path: Path) -> None:
        corpus = sunspring.load(trained).open_text()
        with pytest.raises(SettingsError, match="--steps is 0"):
            gradient_flow(corpus, print, steps=0)
        heldout = dataclasses.replace(corpus.heldout, tokens=corpus.heldout.tokens[:300])
        with pytest.raises(SourceError, match="has 300 tokens, and following gradients back needs"):
            gradient_flow(dataclasses.replace(corpus, heldout=heldout), print, steps=1)


def made_up(rates: dict[str, float], longest: float = 0.9) -> GradientFlow:
    """A flow whose gradients are multiplied by a rate at each step back."""
    curves = {cell: 0.5 * rate ** np.arange(REACH + 1.0) for cell, rate in rates.items()}
    nats, norms = np.linspace(4, 2, 10), np.linspace(0.2, longest, 10)
    trained = [
        Trained(cell, clipped, nats, norms, curve)
        for cell, curve in curves.items()
        for clipped in (True, False)
    ]
    return GradientFlow(config_of("lstm"), PRESETS["article"].recipe, 1000, 32, curves, trained)


VANISHING = made_up({"rnn": 0.8, "gru": 0.95, "lstm": 0.99})
EXPLODING = made_up({"rnn": 1.1, "gru": 0.95, "lstm": 0.99}, longest=30.0)


def words_of(flow: GradientFlow) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", gradients_page(flow)).split())


class TestFigures:
    @given(rate=st.floats(0.1, 0.99))
    def test_fading_is_found_where_the_curve_falls_to_a_hundredth(self, rate: float) -> None:
        curve = rate ** np.arange(REACH + 1.0)
        at = faded_at(curve)
        beyond = [k for k in range(1, REACH + 1) if rate ** (k - 1) <= 0.01]
        assert at == (beyond[0] if beyond else None)

    def test_words_say_what_the_curves_do(self) -> None:
        vanishing, exploding = words_of(VANISHING), words_of(EXPLODING)
        assert "in the plain RNN after 22 steps back, in the GRU after 91 steps back" in vanishing
        assert "in the LSTM not within 200 steps back" in words_of(
            made_up({"rnn": 0.8, "gru": 0.95, "lstm": 0.999})
        )
        assert "0.135 in the LSTM (from k = 100 on, each step multiplies it by 0.99), " in vanishing
        assert "In no network does it grow" in vanishing
        assert "It explodes (grows on its way back) in: plain RNN (to 1.7e8 times" in exploding

    def test_words_say_what_clipping_did(self) -> None:
        assert "0 of 10 steps of the plain RNN (at most 0.9)" in words_of(VANISHING)
        assert "clipping changes nothing" in words_of(VANISHING)
        assert "9 of 10 steps of the plain RNN (at most 30)" in words_of(EXPLODING)
        assert "clipping changes nothing" not in words_of(EXPLODING)

    def test_json_has_null_for_what_is_no_number(self) -> None:
        broken = dataclasses.replace(VANISHING.trained[0], nats=np.array([4.0, np.nan]))
        flow = dataclasses.replace(VANISHING, trained=[broken])
        assert flow.to_json()["trained"][0]["training_nats"] == [4.0, None]


@needs_chromium
class TestPage:
    @pytest.mark.parametrize("flow", [VANISHING, EXPLODING], ids=["vanishing", "exploding"])
    def test_draws_every_line(self, flow: GradientFlow, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(gradients_page(flow), "utf-8")
        with opened(tmp_path / "page.html") as page:
            counts = [chart.locator("polyline").count() for chart in page.locator("svg").all()]
            assert counts == [6, 3, 4]
            assert page.locator("svg").first.locator(".dashed").count() == 3
            tops = [
                page.locator(f"svg >> nth=0 >> polyline >> nth={line}").bounding_box()
                for line in (0, 4)
            ]
            assert all(box is not None and box["height"] > 5 for box in tops)
            assert page.locator("table").count() == 2

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1200])
    def test_fits_its_window(self, width: int, scheme: str, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(gradients_page(VANISHING), "utf-8")
        with opened(tmp_path / "page.html", width, scheme) as page:  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_command_gives_a_page_and_json(trained: Path) -> None:
    options = ("--gradients", "--steps", "1", "--out", "page.html", "--json")
    done = succeed("explain", trained, *options)
    section = FILES.split("### `explain --gradients --json`")[1].split("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*done.json]
    assert done.json["settings"]["steps"] == 1
    assert [len(each["gradients"]) for each in done.json["trained"]] == 8 * [REACH + 1]
    assert done.err.count("1 step,") == 8
    page = Path("page.html").read_text("utf-8")
    assert page.count("<svg") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_what_cannot_be_is_one_line(trained: Path) -> None:
    ask = ("explain", trained, "--gradients")
    assert "give --out" in error_of(*ask)
    assert "--text does not go with --gradients" in error_of(*ask, "--text", "a", "--json")
    assert "FILE does not go with --gradients" in error_of(*ask, "a.txt", "--json")
    assert "--top does not go with --gradients" in error_of(*ask, "--top", "3", "--json")
    assert "--copied does not go with --gradients" in error_of(*ask, "--copied", "--json")
    assert "--steps belongs to --gradients" in error_of(
        "explain", trained, "--steps", "3", "--json"
    )
    assert "training text of this model is not known" in error_of(
        "explain", "shakespeare", "--gradients", "--json"
    )
