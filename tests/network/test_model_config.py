import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from sunspring.errors import ModelError, SettingsError
from sunspring.network.config import ModelConfig

PLAIN = ModelConfig(11, layers=2, hidden_size=6, embedding_size=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "transformer"}, "cell is 'transformer': choose rnn, gru or lstm"),
        ({"embedding_activation": "relu"}, "choose none or tanh"),
        ({"layers": 0}, "layers is 0: it must be at least 1"),
        ({"hidden_size": -1}, "hidden_size is -1: it must be at least 1"),
        ({"embedding_size": 0}, "embedding_size is 0: it must be at least 1"),
        ({"vocabulary_size": 0}, "vocabulary_size is 0: it must be a whole number, at least 1"),
        ({"layer_dropout": 1.0}, "layer_dropout is 1.0: it must be at least 0 and below 1"),
        (
            {"output_dropout": math.nan},
            "output_dropout is nan: it must be a number, at least 0 and below 1",
        ),
        ({"tied": True}, "set embedding_size=6"),
        ({"tied": True, "embedding_size": 6, "attention": True}, "set embedding_size=12"),
    ],
)
def test_impossible_architecture_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(PLAIN, **change)  # type: ignore[arg-type]


def test_tied_with_skip_connections_names_a_remedy_that_works() -> None:
    with pytest.raises(SettingsError, match="set skip=false, or tied=false"):
        replace(PLAIN, tied=True, skip=True)


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        replace(PLAIN, cell="gru", skip=True, attention=True, embedding_activation="tanh"),
        replace(PLAIN, embedding_size=6, tied=True, layer_dropout=0.5),
    ],
)
def test_config_comes_back_from_its_file(config: ModelConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = replace(config, labels=("vers", "été"))
    path.write_text(config.to_json(), encoding="utf-8")
    assert ModelConfig.read(path) == config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        "\x00",
        "[" * 100_000,
        *(
            json.dumps({"vocabulary_size": 11, **change})
            for change in (
                {"layers": "2"},
                {"layers": 2.5},
                {"layers": None},
                {"layers": True},
                {"hidden_size": [8]},
                {"cell": ["lstm"]},
                {"cell": "LSTM"},
                {"skip": "false"},
                {"labels": None},
                {"labels": "abc"},
                {"labels": [1, 2]},
                {"layer_dropout": "0.1"},
                {"wings": 2},
                {"vocabulary_size": 0},
            )
        ),
    ],
)
def test_wrong_config_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="is damaged or from another version") as caught:
        ModelConfig.read(path)
    assert "\n" not in str(caught.value)


def test_config_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model, as it has no config\.json"):
        ModelConfig.read(tmp_path / "config.json")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        ModelConfig.read(tmp_path / "config.json")
