from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import SMALL as OPTIONS
from commands import succeed
from trainers import SMALL
from trainers import train_small as train

import sunspring
from sunspring import Model, SunspringError
from sunspring.text.options import ReadingOptions

PLAY = "To be, or not to be: that is the question.\n" * 100


@pytest.fixture(scope="module")
def model(english: Path) -> Model:
    return train(english)


@pytest.fixture(scope="module")
def quantized(model: Model) -> Model:
    return model.quantize()


class TestQuantizing:
    def test_says_in_the_card_what_it_costs(self, model: Model, quantized: Model) -> None:
        loss = quantized.card["quantization"]["loss"]
        assert loss["text"] == "heldout"
        assert (loss["characters"], loss["protocol"]) == (4000, "stream")
        assert loss["nats_fp32"] == model.evaluate()[0].nats_per_character
        assert loss["engine"] == "native"
        assert loss["nats_int8"] == quantized.evaluate()[0].nats_per_character
        quantized.save("quantized")
        weights_alone = sunspring.load("quantized", engine="torch").evaluate()[0].nats_per_character
        assert loss["nats_int8"] == pytest.approx(weights_alone, abs=0.003)
        assert loss["nats_int8"] != weights_alone  # as activations are rounded too
        assert loss["nats"] == loss["nats_int8"] - loss["nats_fp32"]
        assert abs(loss["nats"]) < 0.005
        assert loss["nats"] != 0

    def test_says_in_the_card_what_it_saves(self, model: Model, quantized: Model) -> None:
        model.save("fp32")
        quantized.save("int8")
        figures = quantized.card["quantization"]
        assert figures["bytes_fp32"] == Path("fp32/model.safetensors").stat().st_size
        assert figures["bytes"] == Path("int8/model.safetensors").stat().st_size
        assert figures["bytes"] < figures["bytes_fp32"]

    def test_leaves_the_model_as_it_was(self, model: Model) -> None:
        before, card = model.network.head.weight.clone(), dict(model.card)
        model.quantize()
        assert torch.equal(model.network.head.weight, before)
        assert model.card == card
        assert not model.quantized

    def test_keeps_what_else_is_known_of_the_model(self, model: Model, quantized: Model) -> None:
        assert quantized.config == model.config
        assert {**quantized.card, "quantization": None} == {**model.card, "quantization": None}
        assert quantized.known_lines() == model.known_lines()
        assert "parameters in 8 bits" in repr(quantized)

    def test_twice_is_refused(self, quantized: Model) -> None:
        with pytest.raises(SunspringError, match="already in 8 bits"):
            quantized.quantize()

    def test_of_weights_that_are_no_numbers_is_refused(self, english: Path) -> None:
        trained = train(english)
        with torch.no_grad():
            trained.network.head.bias[0] = float("nan")
        with pytest.raises(SunspringError, match=r"head\.bias is not finite"):
            trained.quantize()


class TestText:
    def test_may_be_another(self, model: Model) -> None:
        Path("other.txt").write_text("The rest of the operators.\n" * 30)
        loss = model.quantize("other.txt").card["quantization"]["loss"]
        assert (loss["text"], loss["characters"]) == ("sources", 27 * 30)
        assert loss["nats_fp32"] == model.evaluate("other.txt")[0].nats_per_character

    def test_is_read_as_told(self, model: Model) -> None:
        Path("other.txt").write_bytes(b"caf\xe9\n" * 30)
        reading = ReadingOptions(documents="lines", encoding="latin-1")
        loss = model.quantize("other.txt", reading).card["quantization"]["loss"]
        assert loss["characters"] == 4 * 30  # three known ones, and é, which the model never saw

    def test_that_is_gone_leaves_the_loss_unknown_and_says_so(self, model: Model) -> None:
        model.save("saved")
        Path("saved/run.json").unlink()
        notices: list[str] = []
        loaded = sunspring.load("saved")
        figures = loaded.quantize(notify=notices.append).card["quantization"]
        assert figures["loss"] is None
        assert figures["bytes"] > 0
        assert len(notices) == 1
        assert notices[0].startswith("the loss of quality was not measured: ")
        assert "name a text" in notices[0]
        assert loaded.quantize().card["quantization"] == figures

    def test_that_is_named_and_missing_is_an_error(self, model: Model) -> None:
        with pytest.raises(SunspringError, match=r"nowhere\.txt does not exist"):
            model.quantize("nowhere.txt")


class TestSaving:
    def test_and_loading_gives_the_same_model(self, quantized: Model) -> None:
        quantized.save("small")
        loaded = sunspring.load("small")
        assert loaded.quantized
        assert loaded.card == quantized.card
        assert loaded.write("The ", 200, seed=5) == quantized.write("The ", 200, seed=5)
        assert np.array_equal(loaded.score("The rest"), quantized.score("The rest"))
        assert loaded.evaluate()[0] == quantized.evaluate()[0]

    def test_twice_gives_the_same_bytes(self, quantized: Model) -> None:
        quantized.save("one")
        sunspring.load("one").save("two")
        assert Path("one/run.json").exists()
        for path in Path("one").iterdir():
            assert (Path("two") / path.name).read_bytes() == path.read_bytes()

    def test_after_a_change_of_the_weights_keeps_the_change(self, quantized: Model) -> None:
        quantized.save("one")
        loaded = sunspring.load("one")
        with torch.no_grad():
            loaded.network.head.weight.mul_(-3)
        loaded.save("two")
        changed = loaded.network.head.weight.detach()
        half_a_scale = float(changed.abs().max()) / 250
        torch.testing.assert_close(
            sunspring.load("two").network.head.weight.detach(), changed, atol=half_a_scale, rtol=0
        )

    def test_mixed_it_stays_in_8_bits_and_adapted_it_does_not(
        self, english: Path, quantized: Model
    ) -> None:
        assert quantized.mixed().quantized
        assert not quantized.adapted(english).quantized

    def test_gives_a_model_to_train_on_from(self, english: Path, quantized: Model) -> None:
        quantized.save("small")
        further = train(english, init_from="small", preset="auto", settings={"precision": "fp32"})
        assert not further.quantized
        assert "quantization" not in further.card
        further.save("further")
        assert not sunspring.load("further").quantized


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "rnn"},
        {"preset": "gru"},
        {"preset": "article"},
        {"preset": "deepmoji"},
        {"settings": {**SMALL, "skip": False, "tied": True, "embedding_size": 16}},
        {"tokens": "bytes"},
        {"tokens": "subwords"},
        {"documents": "lines"},
    ],
    ids=str,
)
def test_every_kind_of_model_can_be_quantized(options: dict[str, Any]) -> None:
    Path("play.txt").write_text(PLAY)
    narrow = {"hidden_size": 8, "embedding_size": 8, "window": 8, "batch_size": 4}
    trained = train("play.txt", **{"steps": 5, "settings": narrow, **options})
    trained.quantize().save("small")
    loaded = sunspring.load("small")
    assert loaded.write("To be", length=20, seed=1).startswith("To be")
    assert abs(loaded.card["quantization"]["loss"]["nats"]) < 0.005
    evaluation = loaded.evaluate()[0]
    figures = loaded.card["quantization"]["loss"]
    assert evaluation.nats_per_character == pytest.approx(figures["nats_int8"], abs=2e-3)


def test_model_with_labels_can_be_quantized() -> None:
    for kind in ("comedy", "horror"):
        Path("plays", kind).mkdir(parents=True)
        for number in range(6):
            Path("plays", kind, f"{number}.txt").write_text(PLAY)
    reading = ("--documents", "files", "--label-folders")
    succeed("train", "plays", *reading, "--out", "run", "--steps", "3", *OPTIONS)
    sunspring.load("run").quantize().save("small")
    loaded = sunspring.load("small")
    assert loaded.config.labels == ("comedy", "horror")
    assert loaded.card["quantization"]["loss"]["text"] == "heldout"
    assert len(loaded.write(length=10, label="horror")) <= 10
