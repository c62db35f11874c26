import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from corpora import build_text

from sunspring.corpus.corpus import Corpus
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig
from sunspring.runs.record import Setup, read_plan
from sunspring.runs.request import TrainingRequest
from sunspring.training.plan import PRESETS, Plan
from sunspring.training.trainer import StepReport

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = ModelConfig(4, hidden_size=8, embedding_size=4)
REPORT = StepReport(400, 12.5, 1.0, 0.0, 3.5, 2000.0, 1.0)


@pytest.fixture
def corpus() -> Corpus:
    return build_text("abc\n" * 100)


def make_setup(corpus: Corpus, preset: str = "small", **asked: Any) -> Setup:
    request = TrainingRequest("text.txt", out="run", **asked)
    plan = Plan(preset, CONFIG, PRESETS[preset].recipe, "a reason\nin two lines")
    return Setup(request, corpus, plan, "bf16", torch.device("cpu"))


def written(setup: Setup) -> Any:
    return json.loads(json.dumps(setup.record()))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_plan_and_the_precision_are_read_back(preset: str, corpus: Corpus) -> None:
    setup = make_setup(corpus, preset)
    assert read_plan(written(setup), CONFIG) == (setup.plan, "bf16")


def test_the_record_says_where_the_text_is_and_what_was_asked(corpus: Corpus) -> None:
    record = written(make_setup(corpus, steps=9))
    assert record["format"] == 2
    assert record["corpus"] == {
        "fingerprint": corpus.fingerprint,
        "folder": str(corpus.folder),
        "format": corpus.format,
    }
    assert TrainingRequest.from_record(record).budget.amount == 9


@pytest.mark.parametrize("name", ["chars", "bytes", "subwords"])
def test_the_plan_of_the_first_format_is_read(name: str) -> None:
    record = json.loads((GOLDEN / name / "run.json").read_text("utf-8"))
    config = ModelConfig.read(GOLDEN / name / "config.json")
    plan, precision = read_plan(record, config)
    assert asdict(plan.recipe) == {**record["plan"]["recipe"], "counts": 0.0, "race": 0.1}
    assert (plan.model, plan.preset, precision) == (config, record["plan"]["preset"], "fp32")


@pytest.mark.parametrize("key", ["plan", "precision"])
def test_a_record_that_lost_a_part_is_one_clear_line(key: str, corpus: Corpus) -> None:
    record = written(make_setup(corpus))
    del record[key]
    with pytest.raises(ModelError, match=rf"run\.json is damaged \(KeyError\('{key}'\)\)"):
        read_plan(record, CONFIG)


@pytest.mark.parametrize(
    "recipe", [{}, {"batch_size": 0}, {"wings": 2}, {"optimization": {"learning_rate": 0}}], ids=str
)
def test_a_recipe_that_makes_no_sense_is_one_clear_line(
    recipe: dict[str, Any], corpus: Corpus
) -> None:
    record = written(make_setup(corpus))
    if recipe:
        record["plan"]["recipe"] |= recipe
    else:
        record["plan"]["recipe"] = {}
    with pytest.raises(ModelError, match=r"run\.json is damaged") as caught:
        read_plan(record, CONFIG)
    assert "\n" not in str(caught.value)


def test_the_result_counts_in_characters_and_says_whether_it_was_interrupted(
    corpus: Corpus,
) -> None:
    result = make_setup(corpus, seed=5).result(REPORT, None)
    assert result.interrupted
    assert (result.run, result.seed, result.device, result.precision) == ("run", 5, "cpu", "bf16")
    assert (result.seconds, result.epochs) == (12.5, 3.5)
    assert result.characters_per_second == 2000.0
    assert result.corpus["characters"] == 400
    longer = replace(corpus, train=replace(corpus.train, characters=2 * corpus.train.characters))
    assert make_setup(longer).result(REPORT, None).characters_per_second == 4000.0


def test_the_card_says_nothing_of_this_machine_s_folders(corpus: Corpus, tmp_path: Path) -> None:
    setup = make_setup(corpus, steps=9)
    card = setup.card(setup.result(REPORT, None))
    assert "run" not in card
    assert str(tmp_path) not in json.dumps(card)
    assert (card["budget"], card["recipe"]) == ("9 steps", asdict(setup.plan.recipe))
