"""Units of a network that can be read: those that go with a simple feature of the text.

For each feature the unit is chosen on the first half of a text and its correlation taken on the
second, so that the choice among hundreds does not flatter it. Whether training made the unit so is
asked of untrained networks of the same shape, which search the same text in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outputs = NDArray[np.float32]

_LEAST_LENGTH = 1e-6
_LEAST = 0.5  # of a correlation that counts
_LARGEST = 1 - 1e-7  # of one whose Fisher transform is taken


@dataclass(frozen=True)
class FeatureUnit:
    """The unit that goes best with a feature.

    Args:
        feature: its name.
        unit: its place among the outputs of all layers.
        correlation: Pearson's, from -1 to 1, on the half of the text that it was not chosen on.
        untrained: the largest absolute correlation of untrained networks, found alike.
        is_found: whether the network has learned the feature: the correlation is at least 0.5, and
            stands out; see `find_units`.
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
    """Find for each feature the unit that goes best with it, the strongest first.

    A network's correlations with all features, on the tokens that the untrained ones read too, are
    put on one scale: Fisher's transform of each, less its mean over all networks, in units of its
    standard deviation. A feature stands out if the network exceeds on that scale all that any
    untrained network reaches with any feature (the maximum statistic of Westfall and Young 1993).
    If the network is untrained as well, it is as likely as each of the others to have the largest
    value. So the probability that anything is found in it is at most 1 / (1 + untrained networks),
    whatever the units, the features and the arithmetic.

    Args:
        outputs: (time, units) of the network.
        untrained: each (time, units), of untrained networks over the same text, or all over the
            same beginning of it.
        features: each (time,).
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
    """Tell which values of a network (features,) exceed all of others (networks, features)."""
    scale = np.arctanh(np.minimum(np.vstack((own, others)), _LARGEST))
    centred, deviation = scale - scale.mean(0), scale.std(0)
    standardized = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return np.asarray(standardized[0] > standardized[1:].max())


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
