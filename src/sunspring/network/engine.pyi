"""The native engine, in C++ (`src/native/engine`): it reads model folders, writes and scores."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

class FormatError(ValueError):
    """What is wrong with the files of a model."""

def instruction_sets() -> list[str]:
    """Names of those that this build and this processor have, the fastest first."""

class Model:
    """A model folder, loaded: the contents of its files; `instruction_set` "" takes the fastest."""

    def __init__(
        self, configuration: bytes, weights: bytes, tokenizer: bytes, instruction_set: str = ""
    ) -> None: ...
    @property
    def instruction_set(self) -> str: ...
    def score(
        self,
        tokens: NDArray[np.int64],
        lengths: NDArray[np.int64],
        labels: NDArray[np.int64],
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """Nats of each token (tokens,) of texts of these lengths, one after another.

        Each text is read from a fresh state. `labels` are (texts,), or none at all.
        """

    def encode(
        self,
        tokens: NDArray[np.int64],
        lengths: NDArray[np.int64],
        labels: NDArray[np.int64],
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """Outputs of all layers after each text, (texts · layers · hidden,); see `score`."""

class Reader:
    """A text that is read on."""

    def __init__(self, model: Model, label: int = 0) -> None: ...
    def read(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read tokens (time,); gives the logits (vocabulary,) of the next."""
    def trace(
        self, tokens: NDArray[np.int64], threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read tokens (time,); gives what comes after each of them.

        That is the logits of the next, (time · vocabulary,), and the outputs of all layers,
        (time · layers · hidden,).
        """

    def copy(self) -> Reader:
        """Give another that has read the same."""

class Pattern:
    """An automaton over tokens: of state s, moves begins[s] to begins[s + 1] lead on.

    `needed` are the characters from a state to a match at least, (states,); `finals` says whether
    what led to a state matches, (states,); `characters` are those that
    begin in a token, (vocabulary,).
    """

    def __init__(
        self,
        begins: NDArray[np.int64],
        tokens: NDArray[np.int32],
        targets: NDArray[np.int32],
        needed: NDArray[np.int64],
        finals: NDArray[np.uint8],
        characters: NDArray[np.int32],
    ) -> None: ...

class KnownStretches:
    """The keys of `sunspring.writing.stretches.KnownStretches`, to be looked up."""

    def __init__(self, keys: NDArray[np.uint64], size: int) -> None: ...

FinishReason = Literal["length", "stop", "end", "pattern", "novel"]

class Session:
    """Texts in the making, `lanes` of them at once.

    A `blend` names other models, each with its share and with the tokens (vocabulary,) by which it
    knows those of the first, or -1.
    """

    def __init__(
        self,
        model: Model,
        *,
        blend: Sequence[tuple[Model, float, NDArray[np.int64]]],
        lanes: int,
        threads: int,
    ) -> None: ...
    def add(
        self,
        readers: Sequence[Reader],
        *,
        recent: NDArray[np.int64],
        seed: int,
        texts: int,
        length: int,
        stops: Sequence[str],
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        repetition_penalty: float,
        pattern: Pattern | None,
        pattern_state: int,
        known: KnownStretches | None = None,
        prompt: str = "",
    ) -> int:
        """Let texts join, from any thread: one for each seed from `seed` on, `texts` in all.

        The `readers` have read the prompt, one of each model. The text itself, which begins with
        `prompt`, will have no stretch that is `known`. Gives the request's number, from 0.
        """

    def run(self, seconds: float) -> list[tuple[int, int, str, FinishReason | None, int]]:
        """Write on for so long, or until all texts are over.

        Gives of each text that grew (request, seed, text, finish reason, tokens so far).
        """

    @property
    def is_over(self) -> bool: ...
    def cancel(self, request: int | None = None) -> None:
        """End the writing of a request, or all of it, for good; from any thread, within a step.

        Of a request that is cancelled `run` gives nothing more; the others are written as if
        nothing had happened. One that is over, or was never made, is none to end.
        """

class CopyFinder:
    """Finds which stretches of a text stand in another one, which is read piece by piece."""

    def __init__(self, text: bytes) -> None: ...
    def read(self, piece: bytes, threads: int = 1) -> None:
        """Read on in the other text."""

    def part(self) -> None:
        """Let no stretch go on over this place in it."""

    def longest(self) -> NDArray[np.int64]:
        """For each byte, the bytes of the longest stretch that ends there and was read."""
