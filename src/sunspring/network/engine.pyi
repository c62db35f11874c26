"""The native engine, in C++ (`src/native/engine`): it reads model folders, writes and scores."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

class FormatError(ValueError):
    """A model's files are damaged or not supported; says how."""

def instruction_sets() -> list[str]:
    """The instruction sets that this build and this processor support, the fastest first."""

class Model:
    """A model, loaded from the contents of its files.

    `instruction_set` "" takes the fastest; without `counts` the network predicts alone.
    """

    def __init__(
        self,
        configuration: bytes,
        weights: bytes,
        tokenizer: bytes,
        instruction_set: str = "",
        counts: bytes = b"",
    ) -> None: ...
    @property
    def instruction_set(self) -> str: ...

class Reading:
    """Texts of these lengths, one after another, being read; each from a fresh state.

    What is wanted is the surprisal in nats of each token (tokens,), or with `outputs` those of all
    layers after each text, (texts · layers · hidden,). `labels` are (texts,), or empty.
    """

    def __init__(
        self,
        model: Model,
        tokens: NDArray[np.int64],
        lengths: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        outputs: bool,
        threads: int,
    ) -> None: ...
    def run(self, seconds: float) -> None:
        """Read on for so long."""

    @property
    def is_over(self) -> bool: ...
    @property
    def tokens_read(self) -> int: ...
    def take_result(self) -> NDArray[np.float32]:
        """Return what is wanted; once, at the end."""

class Reader:
    """A text being read."""

    def __init__(self, model: Model, label: int = 0) -> None: ...
    def read(self, tokens: NDArray[np.int64], threads: int = 1) -> NDArray[np.float32]:
        """Read tokens (time,); returns the logits (vocabulary,) of the next."""
    def trace(
        self, tokens: NDArray[np.int64], threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read tokens (time,); returns two arrays with a part for each of them.

        They are the logits of the next token, (time · vocabulary,), and the outputs of all layers,
        (time · layers · hidden,).
        """

    def copy(self) -> Reader:
        """Return another reader that has read the same."""

class Pattern:
    """An automaton over tokens: moves begins[s] to begins[s + 1] are those of state s.

    `needed` (states,) is the fewest characters from a state to a match; `finals` (states,) whether
    the text that led to a state matches; `characters` (vocabulary,) how many begin in a token.
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
    """The keys of `sunspring.writing.stretches.KnownStretches`, ready to be looked up."""

    def __init__(self, keys: NDArray[np.uint64], size: int) -> None: ...

FinishReason = Literal["length", "stop", "end", "pattern", "novel"]

class Session:
    """Texts being written, `lanes` of them at once.

    `blend` lists other models, each with its share and its ids (vocabulary,) for the tokens of the
    first model, or -1.
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
        known: KnownStretches | None = None,
        prompt: str = "",
    ) -> int:
        """Add texts, from any thread: one for each seed from `seed` on, `texts` in all.

        The `readers`, one for each model, have read the prompt. No text, which begins with
        `prompt`, will contain a `known` stretch. Returns the request's number, from 0.
        """

    def run(self, seconds: float) -> list[tuple[int, int, str, FinishReason | None, int]]:
        """Write for so many seconds, or until all texts are finished.

        Returns (request, seed, text, finish reason, tokens so far) for each text that grew.
        """

    @property
    def is_over(self) -> bool: ...
    def cancel(self, request: int | None = None) -> None:
        """Stop writing for a request, or for all, within a step; may be called from any thread.

        `run` returns nothing more for a cancelled request, and writes the others as if nothing had
        happened. Cancelling a request that is over, or was never made, does nothing.
        """

class CopyFinder:
    """Finds which stretches of a text also occur in another one, which is read piece by piece."""

    def __init__(self, text: bytes) -> None: ...
    def read(self, piece: bytes, threads: int = 1) -> None:
        """Read the next piece of the other text."""

    def part(self) -> None:
        """Mark a place in the other text that no stretch may cross."""

    def longest(self) -> NDArray[np.int64]:
        """For each byte, the length of the longest stretch ending there that the other text has."""
