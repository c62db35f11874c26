import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import fresh

from sunspring.errors import SettingsError
from sunspring.machine import OtherWork, choose_device, describe_machine, usable_cores

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_kept_memory_is_not_fetched_from_the_system_again() -> None:
    program = """
import resource, torch
from sunspring.machine import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.empty(1_000_000).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""
    given_back, kept = map(int, fresh("-c", program).stdout.split())
    assert kept < given_back / 4


def test_the_work_of_other_programs_is_seen_and_our_own_is_not() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        other_work, began = OtherWork(), time.process_time()
        while time.process_time() < began + 0.5:
            pass  # so that this process is busy too
        cores = other_work.cores()
    finally:
        for each in busy:
            each.kill()
            each.wait()
    if cores is not None:  # on Linux
        assert 0.3 < cores <= usable_cores()


def test_the_work_of_others_is_looked_at_for_a_moment_at_least() -> None:
    began = time.perf_counter()
    OtherWork().cores()
    assert time.perf_counter() - began >= 0.1
