"""Units of a network that can be read: those that go with a simple feature of the text.

A unit is chosen on the first half of a text and its correlation taken on the second, so that the
choice among hundreds does not flatter it; beside it stands what the best unit of untrained networks
of the same shape reaches in the same way. Stands behind features.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outputs = NDArray[np.float32]

_LEAST_LENGTH = 1e-6
_LEAST, _MARGIN = 0.5, 0.15  # of a correlation that counts, and of its lead over the control


@dataclass(frozen=True)
class Reader:
    """The unit that goes best with a feature.

    Args:
        feature: its name.
        unit: its place among the outputs of all layers.
        correlation: Pearson's, from -1 to 1, on the half of the text that it was not chosen on.
        control: the absolute correlation of the best unit of untrained networks, found alike.
    """

    feature: str
    unit: int
    correlation: float
    control: float

    @property
    def is_found(self) -> bool:
        """Whether the network has learned the feature: strong, and stronger than by chance."""
        strength = abs(self.correlation)
        return strength >= _LEAST and strength >= self.control + _MARGIN


def find_units(
    outputs: Outputs,
    untrained: Sequence[Outputs],
    features: Mapping[str, NDArray[np.float32]],
) -> list[Reader]:
    """Find for each feature the unit that goes best with it, the strongest first.

    Args:
        outputs: (time, units) of the network.
        untrained: each (time, units), of untrained networks over the same text, or over its
            beginning.
        features: each (time,).
    """
    if not features:
        return []
    names, values = list(features), np.stack(list(features.values()), axis=1)
    units, strengths = _best(outputs, values)
    controls = np.abs([_best(each, values[: len(each)])[1] for each in untrained]).max(0)
    found = [
        Reader(name, int(unit), float(strength), float(control))
        for name, unit, strength, control in zip(names, units, strengths, controls, strict=True)
    ]
    return sorted(found, key=lambda reader: -abs(reader.correlation))


def _best(outputs: Outputs, features: Outputs) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Choose a unit for each feature by the first half, and correlate them over the second."""
    half = len(outputs) // 2
    units = np.abs(correlations(outputs[:half], features[:half])).argmax(0)
    chosen = correlations(outputs[half:, units], features[half:])
    return units, np.diagonal(chosen)


def correlations(outputs: Outputs, features: Outputs) -> Outputs:
    """Correlate units (time, units) with features (time, features): (units, features).

    It is 0 where one of the two never changes.
    """
    return _standardized(outputs).T @ _standardized(features)


def _standardized(values: Outputs) -> Outputs:
    """Columns of mean 0 and length 1."""
    centred = values - values.mean(0)
    lengths = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    return np.asarray(centred / np.where(lengths > _LEAST_LENGTH, lengths, np.inf))
