"""Interpretable units of a network: those that correlate with a simple feature of the text.

For each feature the unit is chosen on the first half of a text and its correlation measured on the
second, so that choosing among hundreds does not inflate it. Whether the unit is due to training is
tested with untrained networks of the same shape, to which the same search is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outputs = NDArray[np.float32]

_LEAST_LENGTH = 1e-6
_LEAST = 0.5  # smallest correlation that counts
_LARGEST = 1 - 1e-7  # largest correlation whose Fisher transform is finite


@dataclass(frozen=True)
class FeatureUnit:
    """The unit that correlates best with a feature.

    Args:
        feature: name of the feature.
        unit: index among the outputs of all layers.
        correlation: Pearson's correlation on the half of the text that the unit was not chosen on.
        untrained: the largest absolute correlation found in the same way in untrained networks.
        is_found: whether the network has learned the feature: the correlation is at least 0.5, and
            significant; see `find_units`.
    """

    feature: str
    unit: int
    correlation: float
    untrained: float
    is_found: bool


def find_units(
    outputs: Outputs,
    untrained: Sequence[Outputs],
    features: Mapping[str, NDArray[np.float32]],
) -> list[FeatureUnit]:
    """Find for each feature the unit that correlates best with it, the strongest first.

    Correlations on the tokens that the untrained networks read too are put on one scale: Fisher's
    transform of each, standardized by its mean and standard deviation over all networks. A feature
    is significant if the network exceeds on that scale all values that any untrained network
    reaches with any feature (the maximum statistic of Westfall and Young 1993). If the network is
    untrained itself, it is as likely as each of the others to have the largest value. So the
    probability of finding anything in it is at most 1 / (1 + number of untrained networks),
    whatever the units, the features and the arithmetic.

    Args:
        outputs: (time, units) outputs of the network.
        untrained: outputs of untrained networks, each (time, units), all over the same text or the
            same beginning of it.
        features: features by name, each (time,).
    """
    if not features:
        return []
    names, values = list(features), np.stack(list(features.values()), axis=1)
    units, correlation = _best(outputs, values)
    compared = len(untrained[0])
    own = _best(outputs[:compared], values[:compared])[1]
    others = np.abs([_best(each, values[:compared])[1] for each in untrained])
    is_found = _stands_out(np.abs(own), others) & (np.abs(correlation) >= _LEAST)
    columns = (units, correlation, others.max(0), is_found)
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    found = [FeatureUnit(*row) for row in rows]
    return sorted(found, key=lambda each: -abs(each.correlation))


def _stands_out(own: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where a network (features,) exceeds all others (networks, features), (features,)."""
    scale = np.arctanh(np.minimum(np.vstack((own, others)), _LARGEST))
    centred, deviation = scale - scale.mean(0), scale.std(0)
    standardized = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return np.asarray(standardized[0] > standardized[1:].max())


def _best(outputs: Outputs, features: Outputs) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Choose a unit for each feature on the first half, and correlate them on the second."""
    half = len(outputs) // 2
    units = np.abs(correlations(outputs[:half], features[:half])).argmax(0)
    chosen = correlations(outputs[half:, units], features[half:])
    return units, np.diagonal(chosen)


def correlations(outputs: Outputs, features: Outputs) -> Outputs:
    """Correlate units (time, units) with features (time, features): (units, features).

    The correlation is 0 where the unit or the feature is constant.
    """
    return _standardized(outputs).T @ _standardized(features)


def _standardized(values: Outputs) -> Outputs:
    """Shift and scale the columns to mean 0 and length 1."""
    centred = values - values.mean(0)
    lengths = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    return np.asarray(centred / np.where(lengths > _LEAST_LENGTH, lengths, np.inf))
