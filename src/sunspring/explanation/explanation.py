"""How a model reads a text, put together for `explain`.

Surprisal with alternatives, interpretable units, gates, and copies.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.errors import SettingsError
from sunspring.explanation.copies import (
    LEAST_COPIED,
    Copies,
    find_copies,
    repeated_lines,
)
from sunspring.explanation.features import text_features
from sunspring.explanation.gates import GateActivity, gate_activity
from sunspring.explanation.traces import Trace, read_parts, rounded, trace_text
from sunspring.explanation.units import FeatureUnit, find_units
from sunspring.machine import usable_cores
from sunspring.model import Model
from sunspring.network.arrays import untrained, weight_arrays
from sunspring.network.model_folder import ModelFiles
from sunspring.notices import Notify, Work, ignore

LEAST_CHARACTERS = 200
"""Shortest text for finding units: they are chosen on one half and measured on the other."""

_DIGITS = 4
_UNTRAINED = 19  # networks: so an untrained model passes for trained in 1 of 20 explanations
_COMPARED_TOKENS = 2000  # read by these networks
_GATE_TOKENS = 20_000  # over which gates are measured


@dataclass(frozen=True)
class Explanation:
    """How a model reads a text.

    Args:
        model: the model in a few words.
        trace: trace of the text.
        units: the best unit for each feature of the text; none if the text is too short.
        gates: activity of the gates, if the model is an LSTM.
        hidden_size: units in a layer.
        copies: what the text copies from the training text, if that was asked for.
        control: the same for as much held-out text.
        lines: lines of the text that are whole lines of the training text.
        unseen: characters of the text that the model does not know, in order.
    """

    model: str
    trace: Trace
    units: list[FeatureUnit]
    gates: list[GateActivity]
    hidden_size: int
    copies: Copies | None = None
    control: Copies | None = None
    lines: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def bits_per_character(self) -> float:
        """The mean surprisal per character."""
        return float(self.trace.bits.sum(dtype=np.float64)) / max(1, len(self.trace.text))

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Return the object that `explain --json` prints.

        Args:
            most: how many tokens to include, from the first on; all by default.
        """
        trace = self.trace
        return {
            "model": self.model,
            "characters": len(trace.text),
            "bits_per_character": self.bits_per_character,
            "unseen": list(self.unseen),
            **trace.to_json(most),
            "units": [
                {
                    "feature": each.feature,
                    "layer": each.unit // self.hidden_size,
                    "unit": each.unit % self.hidden_size,
                    "correlation": round(each.correlation, _DIGITS),
                    "untrained": round(each.untrained, _DIGITS),
                    "found": each.is_found,
                }
                for each in self.units
            ],
            "gates": [
                {
                    "layer": gate.layer,
                    "gate": gate.gate,
                    "mean": round(float(gate.openness.mean()), _DIGITS),
                    "left_saturated": round(float(gate.left.mean()), _DIGITS),
                    "right_saturated": round(float(gate.right.mean()), _DIGITS),
                    "openness": rounded(gate.openness[:most]),
                }
                for gate in self.gates
            ],
            "copied": self._copied(),
        }

    def _copied(self) -> dict[str, Any] | None:
        if self.copies is None or self.control is None:
            return None
        return {
            "stretches": [
                {"begin": begin, "end": end, "text": self.copies.text[begin:end]}
                for begin, end in self.copies.longest(LEAST_COPIED)
            ],
            "lines": list(self.lines),
            "new_shares": rounded(self.copies.new_shares()),
            "heldout_new_shares": rounded(self.control.new_shares()),
        }


def explain(
    model: Model,
    text: str,
    label: str | None = None,
    top: int = 5,
    corpus: Corpus | None = None,
    notify: Notify = ignore,
) -> Explanation:
    """Explain how a model reads a text.

    Args:
        model: a model on the native engine.
        text: the text.
        label: the text's label, for a model with labels.
        top: number of alternatives for each token.
        corpus: the corpus that the model was trained on, to search it for copies.
        notify: shows the progress.

    Raises:
        SettingsError: the text is empty, there is no native engine, or the label is missing.
    """
    trace = trace_text(model, text, label, top)
    if not len(trace.tokens):
        what = "no character that the model knows" if text else "no text to explain"
        raise SettingsError(f"there is {what}: name a file, or give --text")
    index = model.config.label_index(label)
    read = slice(_GATE_TOKENS)
    weights = weight_arrays(model.files)
    gates = gate_activity(weights, model.config, trace.tokens[read], trace.outputs[read], index)
    units = _find_units(model, trace)
    copies = control = None
    lines: list[str] = []
    if corpus is not None:
        lines = repeated_lines(trace.text, corpus, notify)
        heldout = corpus.vocabulary.decode(corpus.heldout.tokens[: len(trace.tokens)])
        training = corpus.training_bytes(Work(notify, "looking for copies"))
        copies, control = find_copies([trace.text, heldout], training)
    return Explanation(
        model.summary,
        trace,
        units,
        gates,
        model.config.hidden_size,
        copies,
        control,
        tuple(lines),
        tuple(sorted(model.vocabulary.unknown_characters(trace.text))),
    )


def _find_units(model: Model, trace: Trace) -> list[FeatureUnit]:
    """Correlate the units with features of the characters at the ends of the tokens."""
    text = trace.text
    if len(text) < LEAST_CHARACTERS:
        return []
    last = np.cumsum([len(piece) for piece in trace.texts]) - 1
    features = {name: values[last.clip(0)] for name, values in text_features(text).items()}

    def read_alone(files: ModelFiles) -> NDArray[np.float32]:
        parts = read_parts(Model(files), trace.tokens[:_COMPARED_TOKENS], threads=1)
        return np.concatenate([outputs for _, outputs in parts])

    bare = [untrained(model.files, seed) for seed in range(_UNTRAINED)]
    with ThreadPoolExecutor(usable_cores()) as threads:
        others = list(threads.map(read_alone, bare))
    return find_units(trace.outputs, others, features)
