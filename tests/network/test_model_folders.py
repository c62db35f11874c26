import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chains import load_network
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import build_network, load_weights, model_weights, pack_model

VOCABULARY = CharacterVocabulary("abcé\n", end=False, unknown=False)
CONFIG = ModelConfig(5, layers=2, hidden_size=4, embedding_size=3, labels=("a", "é"))
TIED = ModelConfig(5, layers=1, hidden_size=3, embedding_size=3, tied=True)
MODEL_FILES = ["config.json", "tokenizer.json", "model.safetensors", "card.json"]


def make_model(config: ModelConfig = CONFIG) -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(config)


def save_example(folder: Path, config: ModelConfig = CONFIG) -> RecurrentModel:
    model = make_model(config)
    pack_model(model, VOCABULARY, {"title": "an example"}).write(folder)
    return model


@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["labels", "tied"])
def test_model_comes_back_from_its_folder(config: ModelConfig, tmp_path: Path) -> None:
    saved = save_example(tmp_path / "new" / "model", config)
    files = ModelFiles.read(tmp_path / "new" / "model")
    model, vocabulary, card = build_network(files), files.vocabulary, files.card
    assert files.quantization is None
    assert model.config == config
    assert not model.training
    assert vocabulary.to_json() == VOCABULARY.to_json()
    assert card == {"title": "an example"}
    assert all(torch.equal(t, saved.state_dict()[name]) for name, t in model.state_dict().items())
    assert (model.head.weight is model.embedding.weight) == config.tied


def test_tied_weights_are_saved_once(tmp_path: Path) -> None:
    save_example(tmp_path, TIED)
    assert "head.weight" not in load_file(tmp_path / "model.safetensors")


def test_model_folder_holds_four_files_and_no_pickle(tmp_path: Path) -> None:
    save_example(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(MODEL_FILES)
    for name in ("config.json", "tokenizer.json", "card.json"):
        json.loads((tmp_path / name).read_text(encoding="utf-8"))


def test_model_without_a_card_loads(tmp_path: Path) -> None:
    save_example(tmp_path)
    (tmp_path / "card.json").unlink()
    assert ModelFiles.read(tmp_path).card == {}


def test_counts_come_back_from_their_model_and_go_with_it(tmp_path: Path) -> None:
    counts = save({"gate": torch.zeros(2, 2)})
    files = pack_model(make_model(), VOCABULARY)
    replace(files, counts=counts).write(tmp_path)
    assert ModelFiles.read(tmp_path).counts == counts
    files.write(tmp_path)  # a model without counts in its place
    assert ModelFiles.read(tmp_path).counts is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(MODEL_FILES)


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 50, b"[1]", b"\x02" + bytes(7) + b"[]"])
def test_foreign_file_for_counts_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    save_example(tmp_path)
    (tmp_path / "counts.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"counts\.safetensors is damaged") as caught:
        ModelFiles.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_loading_a_model_leaves_the_random_generator_as_it_was(tmp_path: Path) -> None:
    save_example(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_network(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_copied_weights_do_not_change_with_the_model() -> None:
    model = make_model()
    weights = model_weights(model)
    before = weights["head.bias"].clone()
    with torch.no_grad():
        model.head.bias.fill_(7)
    assert torch.equal(weights["head.bias"], before)


def test_weights_of_another_shape_are_one_clear_line() -> None:
    with pytest.raises(ModelError, match=r"do not fit .*head\.weight") as caught:
        load_weights(make_model(), model_weights(make_model(replace(CONFIG, hidden_size=5))))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def example_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; whoever changes it puts it back."""
    folder = tmp_path_factory.mktemp("example") / "model"
    save_example(folder)
    return folder


def load_or_explain(folder: Path) -> None:
    """Load a model; where that fails it must be a one-line `ModelError` and nothing else."""
    try:
        load_network(folder)
    except ModelError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", MODEL_FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_model_with_changed_bytes_loads_or_is_one_clear_line(
    name: str, data: st.DataObject, example_model: Path
) -> None:
    path = example_model / name
    original = path.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(content), 1500) - 1))
        content[place] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'0123456789"')))
    path.write_bytes(content)
    try:
        load_or_explain(example_model)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_truncated_model_is_one_clear_line(
    name: str, data: st.DataObject, example_model: Path
) -> None:
    path = example_model / name
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    try:
        with pytest.raises(ModelError, match=name) as caught:
            load_network(example_model)
    finally:
        path.write_bytes(content)
    assert "\n" not in str(caught.value)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize(
    "damage",
    [
        replace_by_folder,
        lambda path: path.write_bytes(b"\x00\xff" * 50),
        lambda path: path.write_text("[1]"),
        lambda path: path.write_text("<html>not found</html>\n" * 9),
    ],
    ids=["folder", "zeros", "list", "html"],
)
def test_foreign_file_in_a_model_is_one_clear_line(
    name: str, damage: Callable[[Path], object], tmp_path: Path
) -> None:
    save_example(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(ModelError, match=name) as caught:
        load_network(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_of_a_model_is_named(name: str, tmp_path: Path) -> None:
    save_example(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_network(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 10**6},
        {"hidden_size": 10**12},
        {"hidden_size": 10**30},
        {"embedding_size": 10**12},
        {"layers": 10**9},
        {"cell": "gru"},
        {"tied": True, "embedding_size": 4},
        {"skip": True},
        {"attention": True},
        {"labels": []},
    ],
)
def test_config_of_another_or_an_absurd_size_is_one_clear_line(
    change: dict[str, object], tmp_path: Path
) -> None:
    save_example(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=r"config\.json") as caught:
        load_network(tmp_path)
    assert "\n" not in str(caught.value)


def test_vocabulary_of_another_model_is_told_apart(tmp_path: Path) -> None:
    save_example(tmp_path)
    CharacterVocabulary("abcdefg", end=False, unknown=False).save(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json has 7 tokens and config\.json 5"):
        load_network(tmp_path)


def test_weights_of_another_program_are_one_clear_line(tmp_path: Path) -> None:
    save_example(tmp_path)
    save_file({"transformer.wte": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="do not fit") as caught:
        load_network(tmp_path)
    assert "\n" not in str(caught.value)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model folder .*nowhere"):
        load_network(tmp_path / "nowhere")
