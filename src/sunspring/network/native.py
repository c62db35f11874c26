"""The native engine, if this installation has it: its instruction sets, and loading models.

It is written in C++, in `src/native/engine`, and does not need PyTorch.
"""

from __future__ import annotations

import json

from sunspring.errors import ModelError, SettingsError
from sunspring.machine import INSTRUCTION_SET, forced_instruction_set
from sunspring.network.model_folder import ModelFiles

try:
    from sunspring.network import engine
except ImportError:
    HAS_ENGINE = False
else:
    HAS_ENGINE = True


def instruction_sets() -> list[str]:
    """Return those that build and processor support, the fastest first; none without the engine."""
    return engine.instruction_sets() if HAS_ENGINE else []


def load_native(files: ModelFiles) -> engine.Model:
    """Load a model into the engine.

    Raises:
        ModelError: a file is damaged, or the engine does not support the architecture.
        SettingsError: the environment asks for an instruction set that is not available.
    """
    wanted = forced_instruction_set()
    if wanted not in ("", *instruction_sets()):
        raise SettingsError(
            f"{INSTRUCTION_SET} is {wanted!r}, but this machine has "
            f"{', '.join(instruction_sets())}: set one of these, or nothing"
        )
    tokenizer = json.dumps(files.vocabulary.to_json()).encode("utf-8", "surrogatepass")
    config, counts = files.config.to_json().encode(), files.counts or b""
    try:
        return engine.Model(config, files.weights, tokenizer, wanted, counts)
    except engine.FormatError as error:
        raise ModelError(
            f"{files.name} cannot be run ({error}): train, quantize or copy the model again"
        ) from None
