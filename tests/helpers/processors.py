"""What this processor can do, and what one without AVX-512 could."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch

from sunspring.machine import INSTRUCTION_SET
from sunspring.network.config import ModelConfig
from sunspring.network.loops import find_loops, loops_at_work
from sunspring.network.network import RecurrentModel
from sunspring.training.recipe import Recipe
from sunspring.training.speeds import runs_in_bf16

WITHOUT_AVX512 = {
    "SUNSPRING_ENGINE_ISA": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}
"""Variables with which a process computes as on a processor that has AVX2 alone."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test where one of some programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {' and '.join(missing)}")


def require_bf16(config: ModelConfig) -> None:
    """Skip a test of a model whose layers PyTorch cannot train in bf16 here."""
    if not runs_in_bf16(RecurrentModel(config), Recipe()):
        pytest.skip(f"PyTorch has no {config.cell} layers in bf16 for this processor")


LOOPS = [("avx512", "bf16"), *((name, "fp32") for name in ("avx512", "avx2", "neon", "scalar"))]
"""The loops of training that there are on some processor: instruction sets and number formats."""


@contextmanager
def loops_of(name: str, precision: str = "fp32") -> Iterator[None]:
    """Compute with the loops of one instruction set in one number format.

    Skips the test if this processor lacks them.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with mock.patch.dict(os.environ, {INSTRUCTION_SET: name}):
        if find_loops(dtype) is None:
            pytest.skip(f"no loops of training for {name} in {precision} here")
        with loops_at_work(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            yield
