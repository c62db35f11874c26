import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import error_of, run, succeed


@pytest.fixture(scope="module")
def quantized(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model in 8 bits, to be left as it is."""
    folder = tmp_path_factory.mktemp("quantized") / "model"
    succeed("quantize", trained, "--out", folder)
    return folder


def without_its_text(model: Path) -> Path:
    shutil.copytree(model, "alone")
    Path("alone/run.json").unlink()
    return Path("alone")


def test_loss_is_the_difference_of_two_evaluations(trained: Path) -> None:
    done = succeed("quantize", trained, "--out", "small", "--json")
    figures: dict[str, Any] = done.json
    assert list(figures) == ["out", "bytes", "bytes_fp32", "loss"]
    assert figures["out"] == "small"
    assert figures["bytes"] == Path("small/model.safetensors").stat().st_size
    assert figures["bytes_fp32"] == Path(trained, "model.safetensors").stat().st_size
    before, after = (
        succeed("evaluate", model, "--json").json["nats_per_character"]
        for model in (trained, "small")
    )
    loss = figures["loss"]
    assert loss["nats_fp32"] == pytest.approx(before, rel=1e-9)
    assert loss["nats_int8"] == pytest.approx(after, abs=1e-3)  # without rounded activations
    assert loss["nats"] == loss["nats_int8"] - loss["nats_fp32"]
    assert (loss["characters"], loss["protocol"], loss["text"]) == (4000, "stream", "heldout")
    card = json.loads(Path("small/card.json").read_text())
    assert card["quantization"] == {name: figures[name] for name in ("bytes", "bytes_fp32", "loss")}


def test_result_is_told_in_lines_that_are_no_output(trained: Path) -> None:
    done = succeed("quantize", trained, "--out", "small")
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0].startswith("saved in small: ")
    assert lines[1].startswith(("loss of quality: +0.00", "loss of quality: -0.00"))
    assert lines[1].endswith("(4,000 characters, stream)")


def test_model_in_8_bits_writes_and_is_evaluated(quantized: Path) -> None:
    first, second = (
        succeed("write", quantized, "--prompt", "The ", "--length", "50", "--seed", "1").out
        for _ in range(2)
    )
    assert first.startswith("The ")
    assert first == second
    assert succeed("evaluate", quantized, "--json").json["characters"] == 4000


def test_loss_can_be_measured_on_another_text(trained: Path) -> None:
    Path("other.txt").write_text("The rest of the operators.\n" * 30)
    alone = without_its_text(trained)
    loss = succeed("quantize", alone, "other.txt", "--out", "small", "--json").json["loss"]
    assert (loss["text"], loss["characters"]) == ("sources", 27 * 30)


def test_without_a_text_the_loss_is_null_and_said_to_be_unknown(trained: Path) -> None:
    done = succeed("quantize", without_its_text(trained), "--out", "small", "--json")
    assert done.json["loss"] is None
    reason = "the training text of this model is not known"
    assert f"the loss of quality was not measured: {reason}" in done.err
    assert done.err.endswith("name a text after the model to measure the loss of quality\n")
    assert succeed("write", "small", "--length", "9").out


def test_folder_that_holds_a_model_is_left_alone(trained: Path, quantized: Path) -> None:
    before = Path(trained, "model.safetensors").read_bytes()
    for folder, held in ((trained, "a run"), (quantized, "a model")):
        message = f"{folder} already holds {held}: name another folder with --out"
        assert error_of("quantize", trained, "--out", folder) == message
    assert Path(trained, "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "there is no model folder nowhere"),
        (("MODEL", "nowhere.txt"), "nowhere.txt does not exist"),
        (("SMALL",), "the model is already in 8 bits"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], message: str, trained: Path, quantized: Path
) -> None:
    folders = {"MODEL": str(trained), "SMALL": str(quantized)}
    named = [folders.get(each, each) for each in arguments]
    assert message in error_of("quantize", *named, "--out", "small")
    assert not Path("small").exists()


def test_folder_that_cannot_be_written_is_one_line(trained: Path) -> None:
    Path("file").write_text("")
    assert error_of("quantize", trained, "--out", "file").startswith("file is a file")


def test_it_must_be_told_where_to_write(trained: Path) -> None:
    assert run("quantize", trained).code == 2
