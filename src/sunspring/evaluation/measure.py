"""All that `evaluate` reports on a model: the network alone, further methods, and baselines."""

from __future__ import annotations

from dataclasses import replace

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.evaluation.dynamic import evaluate_dynamic
from sunspring.evaluation.mixture import learn_mixture
from sunspring.evaluation.protocols import (
    Evaluation,
    Protocol,
    baselines,
    evaluate_engine,
    evaluate_stream,
    evaluate_windows,
)
from sunspring.evaluation.settings import LearningSettings
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel
from sunspring.network.predictor import Predictor
from sunspring.notices import Notify, Work, ignore
from sunspring.writing.engine import Engine


def check_protocol(protocol: str, *, dynamic: bool) -> None:
    """Make sure that a protocol exists, and allows dynamic evaluation if that is wanted.

    Raises:
        SettingsError: it does not.
    """
    if protocol not in ("stream", "windows"):
        raise SettingsError(f"protocol is {protocol!r}: choose stream or windows")
    if dynamic and protocol == "windows":
        raise SettingsError(
            "dynamic evaluation reads a text in order, but windows are drawn from all over it: "
            "choose the protocol stream"
        )


def measure(
    network: RecurrentModel,
    heldout: Split,
    corpus: Corpus | None,
    vocabulary: Vocabulary,
    protocol: Protocol = "stream",
    *,
    engine: Engine,
    predictor: Predictor,
    mixture: bool = False,
    learning: LearningSettings | None = None,
    notify: Notify = ignore,
) -> tuple[Evaluation, dict[str, float]]:
    """Measure a model on a text.

    Args:
        network: the model's.
        heldout: the text.
        corpus: what the model was trained on, if available.
        vocabulary: the model's.
        protocol: `stream` or `windows`.
        engine: what runs the model, the mixture included.
        predictor: what predicts: the network, or a mixture that contains it.
        mixture: also measure the network mixed with n-grams of the corpus.
        learning: also measure it while it keeps learning, with these settings.
        notify: shows the progress.

    Returns:
        The figures, and the nats per character of n-gram models of orders 1 to 6, fitted to the
        training text; empty without a corpus.

    Raises:
        SourceError: the text is empty, or the corpus too short for a mixture.
        SettingsError: the model needs labels and the text has none.
    """
    start_id = vocabulary.start_id
    scoring = Work(notify, "scoring")
    evaluate = evaluate_stream if protocol == "stream" else evaluate_windows
    if protocol == "stream":
        figures = evaluate_engine(engine, heldout, scoring)
    else:
        figures = evaluate_windows(predictor, heldout, start_id, on_progress=scoring)
    beyond = {}
    mixed = learn_mixture(network, corpus, notify) if mixture and corpus else None
    if mixed:
        progress = Work(notify, "scoring with the mixture")
        beyond["mixture"] = evaluate(mixed, heldout, start_id, on_progress=progress)
    if learning is not None:
        progress = Work(notify, "scoring and learning")
        mixtures = {"dynamic": predictor if isinstance(predictor, Mixture) else None}
        if mixed:
            mixtures["dynamic_mixture"] = mixed
        beyond |= evaluate_dynamic(network, heldout, start_id, learning, mixtures, progress)
    figures = replace(figures, beyond=beyond)
    if corpus is None:
        return figures, {}
    ngrams = baselines(corpus.train, heldout, vocabulary.size, start_id, notify=notify)
    return figures, ngrams
