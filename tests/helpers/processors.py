"""What this processor can do, and what one without AVX-512 could."""

import pytest

from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.recipe import Recipe
from sunspring.training.speeds import runs_in_bf16

WITHOUT_AVX512 = {
    "SUNSPRING_ENGINE_ISA": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}
"""Variables with which a process computes as on a processor that has AVX2 alone."""


def require_bf16(config: ModelConfig) -> None:
    """Skip a test of a model whose layers PyTorch cannot train in bf16 here."""
    if not runs_in_bf16(RecurrentModel(config), Recipe()):
        pytest.skip(f"PyTorch has no {config.cell} layers in bf16 for this processor")
