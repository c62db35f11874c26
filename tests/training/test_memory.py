"""The memory that a step takes, foreseen and measured."""

import sys
from dataclasses import replace

import pytest
from commands import fresh

from sunspring.network.config import ModelConfig
from sunspring.training.memory import checkpoint_bytes, step_bytes
from sunspring.training.plan import PRESETS

STEP = """
import sys
from pathlib import Path
import torch
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import Sequences
from sunspring.training.plan import PRESETS

preset, rows, vocabulary = PRESETS[sys.argv[1]], int(sys.argv[2]), 90
model = RecurrentModel(ModelConfig(vocabulary, **preset.model))


def most() -> int:
    # not that of getrusage, which a child has from its parent
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


before = most()
text = torch.randint(vocabulary, (rows, preset.recipe.window + 1))
batch = Sequences(text[:, :-1], text[:, 1:], torch.zeros(rows, dtype=torch.bool), None)
gradients_of(model, preset.recipe.objective, False)(batch, model.initial_state(rows))
print(1024 * (most() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted otherwise")
@pytest.mark.parametrize(("preset", "rows"), [("tiny", 500), ("small", 150), ("article", 150)])
def test_a_step_takes_a_little_more_than_is_foreseen(preset: str, rows: int) -> None:
    chosen = PRESETS[preset]
    recipe = replace(chosen.recipe, batch_size=rows)
    foreseen = step_bytes(ModelConfig(90, **chosen.model), recipe)
    done = fresh("-c", STEP, preset, str(rows))
    assert 1.0 < int(done.stdout) / foreseen < 2.0, done.stderr


def test_what_is_foreseen_grows_with_every_setting_that_takes_memory() -> None:
    recipe = replace(PRESETS["small"].recipe, precision="fp32")
    config = ModelConfig(90, **PRESETS["small"].model)
    least = step_bytes(config, recipe)
    for more in ({"batch_size": 64}, {"window": 128}):
        assert step_bytes(config, replace(recipe, **more)) > least
    for bigger in ({"layers": 3}, {"hidden_size": 300}, {"vocabulary_size": 5000}):
        assert step_bytes(replace(config, **bigger), recipe) > least
        assert checkpoint_bytes(replace(config, **bigger), recipe) > checkpoint_bytes(
            config, recipe
        )
    assert step_bytes(config, replace(recipe, precision="bf16")) < least
