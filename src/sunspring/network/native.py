"""The native engine, where this installation has it: which it is, and models loaded into it.

It is written in C++, in `src/native/engine`, and imports no PyTorch.
"""

from __future__ import annotations

import json
from typing import Literal

from sunspring.errors import ModelError, SettingsError
from sunspring.machine import INSTRUCTION_SET, forced_instruction_set, has_torch
from sunspring.network.model_folder import ModelFiles

try:
    from sunspring.network import engine
except ImportError:
    HAS_ENGINE = False
else:
    HAS_ENGINE = True

Engine = Literal["auto", "native", "torch"]


def instruction_sets() -> list[str]:
    """Name those that this build and this processor have, the fastest first; none without it."""
    return engine.instruction_sets() if HAS_ENGINE else []


def choose_engine(name: Engine, device: str) -> Literal["native", "torch"]:
    """Pick what writes and scores: the native engine unless PyTorch on a GPU is asked for.

    Raises:
        SettingsError: the name is unknown, or the engine cannot be had.
    """
    if name not in ("auto", "native", "torch"):
        raise SettingsError(f"engine is {name!r}: choose auto, native or torch")
    if name == "auto" and not HAS_ENGINE and not has_torch():
        raise SettingsError(
            "this installation has neither the native engine, as there was no C++ compiler, nor "
            "PyTorch: install a compiler and sunspring again, or pip install 'sunspring[train]'"
        )
    if name == "torch" or (name == "auto" and (device == "cuda" or not HAS_ENGINE)):
        return "torch"
    if device == "cuda":
        raise SettingsError(
            "the native engine computes on the processor: "
            "leave out --device cuda, or --engine native"
        )
    if not HAS_ENGINE:
        raise SettingsError(
            "this installation has no native engine, as there was no C++ compiler: "
            "install one and then sunspring again, or take --engine torch"
        )
    return "native"


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
    tokenizer = json.dumps(files.vocabulary.document()).encode("utf-8", "surrogatepass")
    try:
        return engine.Model(files.config.to_json().encode(), files.weights, tokenizer, wanted)
    except engine.FormatError as error:
        raise ModelError(
            f"{files.name} cannot be run ({error}): train, quantize or copy the model again"
        ) from None
