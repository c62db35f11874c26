"""From a request to a finished run: check, prepare, run, report.

The notebook and the command line both come through here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch

from sunspring.corpus.batches import check_window
from sunspring.corpus.corpus import Corpus
from sunspring.errors import MissingExtraError, ModelError, SettingsError
from sunspring.evaluation.protocols import HELDOUT_TOKENS, evaluate_stream
from sunspring.machine import Precision, choose_device, keep_freed_memory, memory_bytes
from sunspring.network.config import DROPOUTS, ModelConfig, least_parameters
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel, Weights, extend
from sunspring.network.weights import build_network, encode_weights, load_weights
from sunspring.notices import Notify, notify_on
from sunspring.runs.corpus import RequestedText, load_base, open_run_corpus
from sunspring.runs.folder import RunFolder
from sunspring.runs.log import JsonLog, TensorBoardLog, Units
from sunspring.runs.progress import choose_progress
from sunspring.runs.record import Setup, read_plan
from sunspring.runs.request import TrainingRequest
from sunspring.runs.result import TrainingResult
from sunspring.runs.samples import OnSample, SampleWriter
from sunspring.storage import cache_folder, writing
from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.optimizers import Optimizers
from sunspring.training.pace import Pace
from sunspring.training.plan import Overrides, Plan, check_preset, make_plan, read_overrides
from sunspring.training.speeds import measure_machine, measure_speed, runs_in_bf16
from sunspring.training.trainer import (
    Callback,
    QuickSets,
    StepReport,
    Trainer,
    make_batches,
    quick_batches,
)

_HELDOUT_SHARE = 0.05  # of a budget of minutes, for scoring held-out text
_SAVING_SHARE, _MOST_SAVING_SECONDS = 0.01, 2.0  # of it, for the last evaluation and files
_REPORT_SHARE, _MOST_REPORT_SECONDS = 0.04, 6.0  # of it, for the report at the end
_FIRST_TOKENS, _TIMED_TOKENS = 1024, 4096  # scored to measure the speed; the first are slow
_PARAMETER_BYTES = 16  # the weight, its gradient and the optimiser's two moments
_MOST_SAMPLES, _SECONDS_A_SAMPLE = 6, 20.0  # writing takes part of a second
_FREE_IN_FINE_TUNING = {"vocabulary_size", "labels", *DROPOUTS}


def train(
    request: TrainingRequest, stream: TextIO | None = None, began: float | None = None
) -> TrainingResult:
    """Train a model into a new run folder.

    A budget of minutes covers everything: reading the text, training, scoring, saving.

    Args:
        request: what to train, and on what.
        stream: where progress, samples and messages go; None for silence.
        began: the `time.perf_counter()` from which the minutes count; None for now.

    Raises:
        SunspringError: something the user can put right: a source, a setting, a folder.
    """
    began = time.perf_counter() if began is None else began
    notify = notify_on(stream)
    checked = _check(request, notify)
    setup, model = _prepare(checked, notify)
    folder = RunFolder(request.folder)
    folder.begin(setup.plan.model, setup.corpus.vocabulary, setup.record())
    report = _run(setup, folder, model, None, stream, began)
    return _report(setup, folder, model, report)


def resume(out: Path, budget: Budget | None = None, stream: TextIO | None = None) -> TrainingResult:
    """Continue a run from its last checkpoint, to the same bytes as if it had never stopped.

    Args:
        out: the run folder.
        budget: replaces the run's own, e.g. to train for longer.
        stream: where progress, samples and messages go; None for silence.

    Raises:
        SunspringError: the run cannot continue: its folder is damaged, or its text has changed.
    """
    began = time.perf_counter()
    notify = notify_on(stream)
    folder = RunFolder(out)
    record = folder.record()
    request = replace(TrainingRequest.from_record(record), out=out)
    plan, precision = read_plan(record, ModelConfig.read(out / "config.json"))
    if budget is not None:
        request = request.with_budget(budget)
    checkpoints = folder.checkpoints
    checkpoint = checkpoints.latest(notify) if checkpoints.are_there else None
    if checkpoint is None and (out / "model.safetensors").exists():
        raise ModelError(
            f"{out} is a saved model without the checkpoints of its training: "
            f"start from it with --init-from {out} and another --out"
        )
    corpus = open_run_corpus(record, notify)
    device = choose_device(request.device)
    base = None
    if checkpoint is None:
        notify(f"{out} has no checkpoint yet: starting again")
        base = load_base(request)
    elif request.budget.unit == "minutes":
        enough = plan.recipe.most_epochs
        if 0 < enough <= checkpoint.state["epochs"]:
            notify(
                f"the text has been read {enough:g} times, which is enough: "
                "to continue anyway, give --epochs or --steps"
            )
    _check_size(plan.model, device)
    model = _new_model(plan, request.seed, base)
    if precision == "bf16" and not runs_in_bf16(model.to(device), plan.recipe):
        notify(f"this {device.type} cannot continue in bf16, as the run was started: using fp32")
        precision = "fp32"
    setup = Setup(request, corpus, plan, precision, device)
    folder.write_record({**record, **setup.record(), "corpus": record["corpus"]})
    report = _run(setup, folder, model, checkpoint, stream, began)
    return _report(setup, folder, model, report)


def train_copy(
    request: TrainingRequest,
    plan: Plan,
    precision: Precision,
    corpus: Corpus,
    stream: TextIO | None = None,
) -> TrainingResult:
    """Repeat the training of a run on a text that is nearly the same.

    Args:
        request: the run's, with another `out`.
        plan: the run's, whatever would be chosen for this text.
        precision: the run's.
        corpus: the text, in the run's vocabulary.
        stream: where progress and samples go; None for silence.

    Raises:
        SunspringError: the model that the run started from is gone, or `out` cannot be written.
    """
    began = time.perf_counter()
    setup = Setup(request, corpus, plan, precision, choose_device(request.device))
    model = _new_model(plan, request.seed, load_base(request))
    folder = RunFolder(request.folder)
    folder.begin(plan.model, corpus.vocabulary, setup.record())
    report = _run(setup, folder, model, None, stream, began)
    return _report(setup, folder, model, report)


@dataclass(frozen=True)
class _Checked:
    """A request that has passed all checks possible before its text is read.

    Args:
        request: the request itself.
        text: the text that it names, found but not read.
        base: the model to start from.
        overrides: its settings of model, recipe and optimiser.
        device: where to train.
    """

    request: TrainingRequest
    text: RequestedText
    base: ModelFiles | None
    overrides: Overrides
    device: torch.device


def _check(request: TrainingRequest, notify: Notify) -> _Checked:
    """Check a request before doing anything that takes long."""
    RunFolder(request.folder).check_free()
    if request.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("TensorBoard logging", "tensorboard")
    check_preset(request.preset)
    overrides = read_overrides(request.settings or {})
    base, device = load_base(request), choose_device(request.device)
    return _Checked(request, RequestedText(request, base, notify), base, overrides, device)


def _prepare(checked: _Checked, notify: Notify) -> tuple[Setup, RecurrentModel]:
    """Read the text, plan the training, and draw the weights."""
    request, base, device = checked.request, checked.base, checked.device
    if not request.source_names:
        notify("no source was given: training on the English text that comes with every Python")
    corpus = checked.text.encode()
    plan = make_plan(
        preset=request.preset,
        vocabulary_size=corpus.vocabulary.size,
        labels=corpus.labels,
        training_characters=corpus.train.characters,
        documents=corpus.train.document_count,
        budget=request.budget,
        throughput=measure_machine(device, cache_folder()),
        overrides=checked.overrides,
        base=base.config if base else None,
    )
    if base is not None:
        _check_architecture(plan.model, base.config)
    _check_size(plan.model, device)
    check_window(corpus.train, plan.recipe.window)
    notify(_describe(corpus))
    notify(f"preset {plan.preset}: {plan.reason}")
    model = _new_model(plan, request.seed, base)
    precision = _choose_precision(plan, model, device)
    return Setup(request, corpus, plan, precision, device), model


def _check_architecture(config: ModelConfig, base: ModelConfig) -> None:
    """Make sure that the weights of a base model fit."""
    for name in [field.name for field in fields(config) if field.name not in _FREE_IN_FINE_TUNING]:
        kept, asked = getattr(base, name), getattr(config, name)
        if kept != asked:
            raise SettingsError(
                f"{name} is {kept} in the model of --init-from, whose weights do not fit "
                f"{asked}: leave it out of --set, or train a new model"
            )


def _check_size(config: ModelConfig, device: torch.device) -> None:
    """Refuse a model too large for memory before allocating it: some systems kill the process."""
    parameters = least_parameters(config)
    needed, held = _PARAMETER_BYTES * parameters / 1e9, memory_bytes(device) / 1e9
    if needed > held:
        raise SettingsError(
            f"training {parameters:,} parameters takes {needed:,.0f} GB of memory and this "
            f"{device.type} has {held:,.0f}: choose fewer layers, or a smaller hidden_size or "
            "embedding_size"
        )


def _new_model(plan: Plan, seed: int, base: ModelFiles | None) -> RecurrentModel:
    """Draw the weights with the seed, or take those of the model to start from."""
    torch.manual_seed(seed)
    model = RecurrentModel(plan.model)
    if base is not None:
        extended = extend(build_network(base), plan.model.vocabulary_size, plan.model.labels)
        load_weights(model, extended.state_dict())
    return model


def _choose_precision(plan: Plan, model: RecurrentModel, device: torch.device) -> Precision:
    recipe = plan.recipe
    if recipe.precision == "auto":
        return measure_speed(plan.model, recipe, device, cache_folder()).choice
    if recipe.precision == "bf16" and not runs_in_bf16(model.to(device), recipe):
        raise SettingsError(
            f"this {device.type} cannot train {plan.model.cell} layers in bf16: leave out "
            "precision=bf16 to train in the fastest format that it has"
        )
    return recipe.precision


@dataclass(frozen=True)
class _Ended:
    """How a training ended.

    Args:
        report: the last step's.
        weights: those that were kept.
        scored: how many held-out tokens there is time to score.
    """

    report: StepReport
    weights: Weights
    scored: int


def _run(
    setup: Setup,
    folder: RunFolder,
    model: RecurrentModel,
    checkpoint: Checkpoint | None,
    stream: TextIO | None,
    began: float,
) -> _Ended:
    """Train until the budget is spent or a stop is requested; the best weights are kept."""
    request, corpus, plan = setup.request, setup.corpus, setup.plan
    start_id = corpus.vocabulary.start_id
    keep_freed_memory()
    model.to(setup.device)
    scored, scoring_seconds = _plan_scoring(model, corpus, request.budget)
    reserve = time.perf_counter() - began + scoring_seconds
    trainer = Trainer(
        model,
        make_batches(corpus.train, start_id, plan.recipe, request.seed),
        Optimizers(model, plan.recipe.optimization),
        pace=Pace(request.budget, reserve, plan.recipe.most_epochs),
        warmup_steps=plan.recipe.optimization.warmup_steps,
        precision=setup.precision,
        objective=plan.recipe.objective,
        quick=QuickSets(
            quick_batches(corpus.validation, start_id), quick_batches(corpus.heldout, start_id)
        ),
        callbacks=_callbacks(request, corpus, plan.model.first_label, stream),
        save=folder.save,
    )
    if checkpoint is not None:
        trainer.resume(checkpoint)
    with _stop_on_signals(trainer), writing(folder.path):
        report = trainer.run()
    load_weights(model, trainer.best)
    return _Ended(report, trainer.best, scored)


def _report(
    setup: Setup, folder: RunFolder, model: RecurrentModel, ended: _Ended
) -> TrainingResult:
    """Score the kept model on held-out text, and write it with its card."""
    corpus, config = setup.corpus, setup.plan.model
    if ended.report.spent < 1:
        return setup.result(ended.report, None)
    start_id = corpus.vocabulary.start_id
    heldout = evaluate_stream(model, corpus.heldout, start_id, None, ended.scored)
    heldout = heldout.with_overlap(corpus.overlap)
    result = setup.result(ended.report, heldout)
    weights = encode_weights(ended.weights, config.cell)
    ModelFiles(config, corpus.vocabulary, setup.card(result), weights).write(folder.path)
    return result


def _plan_scoring(model: RecurrentModel, corpus: Corpus, budget: Budget) -> tuple[int, float]:
    """Return how many held-out tokens to score, and how many seconds to keep for the end."""
    if budget.unit != "minutes":
        return HELDOUT_TOKENS, 0.0
    budget_seconds = 60 * budget.amount
    score = partial(evaluate_stream, model, corpus.heldout, corpus.vocabulary.start_id)
    score(maximum_tokens=_FIRST_TOKENS)
    began = time.perf_counter()
    timed = score(maximum_tokens=_TIMED_TOKENS)
    a_token = (time.perf_counter() - began) / timed.tokens
    affordable = max(_TIMED_TOKENS, int(_HELDOUT_SHARE * budget_seconds / a_token))
    scored = min(HELDOUT_TOKENS, affordable)
    seconds = a_token * min(scored, len(corpus.heldout.tokens))
    seconds += min(_SAVING_SHARE * budget_seconds, _MOST_SAVING_SECONDS)
    return scored, seconds + min(_REPORT_SHARE * budget_seconds, _MOST_REPORT_SECONDS)


def _callbacks(
    request: TrainingRequest, corpus: Corpus, label: str | None, stream: TextIO | None
) -> list[Callback]:
    units = Units(len(corpus.train.tokens) / max(1, corpus.train.characters))
    log = JsonLog(request.folder / "log.jsonl", units)
    callbacks: list[Callback] = [log]
    listeners: list[OnSample] = [log.on_sample]
    if stream is not None:
        progress = choose_progress(stream, units)
        callbacks.append(progress)
        listeners.append(progress.on_sample)
    if request.tensorboard:
        board = TensorBoardLog(request.folder / "tensorboard", units)
        callbacks.append(board)
        listeners.append(board.on_sample)
    samples = _MOST_SAMPLES
    if request.budget.unit == "minutes":
        samples = min(samples, int(60 * request.budget.amount / _SECONDS_A_SAMPLE))
    return [SampleWriter(corpus.vocabulary, label, listeners, samples), *callbacks]


@contextlib.contextmanager
def _stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end training after the current step, and a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        trainer.request_stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe(corpus: Corpus) -> str:
    parts = f"{corpus.characters:,} characters, {corpus.vocabulary.size:,} different tokens"
    if corpus.documents != "none":
        parts += f", {corpus.document_count:,} documents"
    if corpus.labels:
        parts += f", labels {', '.join(corpus.labels)}"
    return f"{parts}; {corpus.heldout.characters:,} characters held out"
