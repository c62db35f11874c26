"""The native engine, where this installation has it: which it is, and models loaded into it.

It is written in C++, in `src/native/engine`, and imports no PyTorch.
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
    """Name those that this build and this processor have, the fastest first; none without it."""
    return engine.instruction_sets() if HAS_ENGINE else []


def load_native(files: ModelFiles) -> engine.Model:
    """Load a model into the engine.

    Raises:
        ModelError: a file is damaged, or of an architecture that the engine does not run.
        SettingsError: the environment asks for an instruction set that is not there.
    """
    wanted = forced_instruction_set()
    if wanted not in ("", *instruction_sets()):
        raise SettingsError(
            f"{INSTRUCTION_SET} is {wanted!r}: this machine has {', '.join(instruction_sets())}"
        )
    tokenizer = json.dumps(files.vocabulary.to_json()).encode("utf-8", "surrogatepass")
    try:
        return engine.Model(files.config.to_json().encode(), files.weights, tokenizer, wanted)
    except engine.FormatError as error:
        raise ModelError(
            f"{files.name} cannot be run ({error}): train, quantize or copy the model again"
        ) from None
