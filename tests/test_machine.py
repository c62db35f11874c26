import json
from pathlib import Path

import pytest
import torch

from sunspring.errors import SettingsError
from sunspring.machine import choose_device, describe_machine, probe_precision, usable_cores
from sunspring.model import ModelConfig

CONFIG = ModelConfig(20, layers=1, hidden_size=16, embedding_size=8)
CPU = torch.device("cpu")


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == wanted


def test_cpu_is_the_cpu_wherever_it_is_asked_for() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(SettingsError, match=r"no CUDA GPU .* --device cpu"):
        choose_device("cuda")


def test_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="device is 'tpu': choose auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ModelConfig(20, cell="gru", layers=2, hidden_size=16, embedding_size=16, tied=True),
        ModelConfig(20, cell="rnn", layers=1, hidden_size=16, embedding_size=8, labels=("a", "b")),
        ModelConfig(
            20, layers=2, hidden_size=16, embedding_size=8, skip=True, attention=True,
            layer_dropout=0.5,
        ),
    ],
)  # fmt: skip
def test_probe_measures_both_formats_and_takes_the_faster_that_is_sound(
    config: ModelConfig,
) -> None:
    probe = probe_precision(config, 4, 8, CPU)
    assert probe.fp32 > 0
    assert probe.bf16 > 0
    assert 0.9 < probe.cosine <= 1.001  # dropout would part the two
    assert probe.choice in ("fp32", "bf16")
    if probe.choice == "bf16":
        assert probe.bf16 > probe.fp32


def test_probe_leaves_the_random_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    probe_precision(CONFIG, 2, 4, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_description_is_json_with_what_a_report_needs(tmp_path: Path) -> None:
    described = json.loads(json.dumps(describe_machine(tmp_path / "not" / "yet" / "there")))
    assert described["processor"]
    assert described["cores"] == usable_cores() > 0
    assert described["threads"] == torch.get_num_threads()
    assert described["free_disk_gb"]["cache"] > 0
    assert described["versions"]["torch"] == torch.__version__
    assert described["versions"]["sunspring"]


def test_relative_cache_folder_is_described_too() -> None:
    assert describe_machine(Path("not/yet/there"))["free_disk_gb"]["cache"] > 0
