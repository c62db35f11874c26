"""Training in bf16 where the processor has no products of it, as most laptops' have not."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest
from commands import SMALL, fresh, succeed
from processors import WITHOUT_AVX512

IN_BF16 = ("--set", "precision=bf16")

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="forces a processor of x86-64"
)


def without_avx512(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return fresh("-m", "sunspring", *arguments, env={**os.environ, **WITHOUT_AVX512})


def test_bf16_is_refused_in_one_line_before_a_folder_is_made(english: Path) -> None:
    done = without_avx512("train", english, "--out", "run", "--steps", "2", *SMALL, *IN_BF16)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "sunspring: this cpu cannot train lstm layers in bf16: leave out precision=bf16 "
        "to train in the fastest format that it has"
    )
    assert "Traceback" not in done.stderr
    assert not Path("run").exists()


def test_a_run_begun_in_bf16_elsewhere_goes_on_in_fp32(english: Path) -> None:
    succeed("train", english, "--out", "run", "--steps", "2", *SMALL)
    record = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**record, "precision": "bf16"}))
    done = without_avx512("train", "--out", "run", "--resume", "--steps", "4", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["precision"] == "fp32"
    assert "cannot continue in bf16, as the run was started: using fp32" in done.stderr
    assert json.loads(Path("run/run.json").read_text())["precision"] == "fp32"
