"""From a request to a finished run: check, prepare, run, report.

The notebook and the command line both come through here. One file, although it is long: it is the
only place that knows all steps of a run and their order.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TextIO

import torch

from sunspring.corpus.batches import check_window
from sunspring.corpus.corpus import Corpus
from sunspring.corpus.settings import TokenSettings
from sunspring.errors import MissingExtraError, ModelError, SettingsError
from sunspring.evaluation.mixture import learn_counts
from sunspring.evaluation.protocols import evaluate_engine, first_tokens
from sunspring.machine import (
    OtherWork,
    Precision,
    choose_device,
    keep_freed_memory,
)
from sunspring.network.config import DROPOUTS, ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel, extend
from sunspring.network.weights import build_network, load_weights, pack_model
from sunspring.notices import Notify, Work, counted, ignore, notify_on, screen_on
from sunspring.runs.capacity import check_capacity, explaining_memory
from sunspring.runs.corpus import RequestedText, open_run_corpus, say_if_binary
from sunspring.runs.folder import RunFolder
from sunspring.runs.log import JsonLog, TensorBoardLog, Units
from sunspring.runs.progress import choose_progress
from sunspring.runs.racing import Start, try_rivals
from sunspring.runs.record import Setup, read_plan
from sunspring.runs.request import TrainingRequest
from sunspring.runs.result import TrainingResult
from sunspring.runs.resumption import (
    check_budget,
    epochs_within,
    names_other_text,
    resumed_request,
)
from sunspring.runs.samples import OnSample, SampleWriter
from sunspring.runs.stopping import stop_on_signals
from sunspring.settings import settings_of
from sunspring.storage import cache_folder, writing
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.optimizers import Optimizers
from sunspring.training.pace import Pace
from sunspring.training.plan import (
    PRESETS,
    Overrides,
    Plan,
    check_preset,
    make_plan,
    prolonged,
    read_overrides,
)
from sunspring.training.speeds import Speeds, measuring_seconds, runs_in_bf16
from sunspring.training.trainer import (
    Callback,
    QuickSets,
    StepReport,
    Trainer,
    make_batches,
    quick_batches,
)
from sunspring.writing.engine import Engine
from sunspring.writing.engines import open_engine

_SAVING_SHARE, _MOST_SAVING_SECONDS = 0.01, 2.0  # of minutes, for the last evaluation and files
_REPORT_SHARE, _MOST_REPORT_SECONDS = 0.04, 6.0  # of it, for the report at the end
_TELLING_SECONDS = 3.0  # of training, from which on its speed says how fast this machine is
_FIRST_TOKENS, _TIMED_TOKENS = 1024, 8192  # scored to measure the speed; the first are slow
_COUNTED_PART = 8  # one token of so many is counted to see how long it takes
_MOST_SAMPLES, _SECONDS_A_SAMPLE = 6, 20.0  # writing takes part of a second
_LOG = "log.jsonl"
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
    speeds = Speeds(checked.device, cache_folder(), measuring_seconds(request.budget))
    setup, model = _prepare(checked, speeds, notify)
    reserve = _reserve(setup, model, began)

    def make_trainer(plan: Plan) -> Trainer:
        return _make_trainer(
            replace(setup, plan=plan), _new_model(plan, request.seed, None), reserve
        )

    units = _units(setup.corpus)
    start = try_rivals(setup, checked.overrides, speeds.throughput, make_trainer, units, notify)
    if start is not None:
        setup, model = replace(setup, plan=start.plan), start.model
    return _begin(setup, model, stream, reserve, start, speeds)


def resume(
    given: TrainingRequest, names: Collection[str] = ("out",), stream: TextIO | None = None
) -> TrainingResult:
    """Continue a run from its last checkpoint, to the same bytes as if it had never stopped.

    Args:
        given: names the run folder, and what may change: the budget, the device, where the text is.
            Anything else must be as it was.
        names: the settings in it that the user gave; the others are the run's own.
        stream: where progress, samples and messages go; None for silence.

    Raises:
        SunspringError: the run cannot continue: its folder is damaged or in use, its text has
            changed, or it began with other settings.
    """
    began = time.perf_counter()
    folder = RunFolder(given.folder)
    with folder.resume() as record:
        return _resume(folder, record, given, names, stream, began)


def _resume(
    folder: RunFolder,
    record: Mapping[str, Any],
    given: TrainingRequest,
    names: Collection[str],
    stream: TextIO | None,
    began: float,
) -> TrainingResult:
    """Do what `resume` does, in a folder that is held."""
    notify, out = notify_on(stream), folder.path
    kept = TrainingRequest.from_record(record)
    plan, precision = read_plan(record, ModelConfig.read(out / "config.json"))
    request = resumed_request(kept, plan, given, names)
    checkpoints = folder.checkpoints
    checkpoint = checkpoints.latest(notify) if checkpoints.are_there else None
    if checkpoint is None and (out / "model.safetensors").exists():
        raise ModelError(
            f"{out} is a saved model without the checkpoints of its training: "
            f"start from it with --init-from {out} and another --out"
        )
    if checkpoint is not None:
        check_budget(request.budget, kept.budget, checkpoint.state, out)
        if request.budget != kept.budget:
            epochs = epochs_within(request.budget, checkpoint.state)
            plan = prolonged(plan, epochs, read_overrides(request.settings or {}))
    corpus = open_run_corpus(record, notify, request if names_other_text(kept, request) else None)
    device = choose_device(request.device)
    base = None
    if checkpoint is None:
        notify(f"{out} has no checkpoint yet: starting again")
        base = _load_base(request)
    elif request.budget.unit == "minutes":
        enough = plan.recipe.most_epochs
        if 0 < enough <= checkpoint.state["epochs"]:
            notify(
                f"the text has been read {enough:g} times, which is enough: "
                "to continue anyway, give --epochs or --steps"
            )
    check_capacity(plan, device, out)
    model = _new_model(plan, request.seed, base)
    if precision == "bf16" and not runs_in_bf16(model.to(device), plan.recipe):
        notify(f"this {device.type} cannot continue in bf16, as the run was started: using fp32")
        precision = "fp32"
    setup = Setup(request, corpus, plan, precision, device)
    folder.write_record(plan.model, {**record, **setup.record()})
    report = _run(setup, folder, model, checkpoint, stream, _reserve(setup, model, began))
    return _report(setup, folder, model, report, notify)


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
        SunspringError: the model that the run started from is gone, the device or the disk has no
            room, or `out` cannot be written.
    """
    began = time.perf_counter()
    device = choose_device(request.device)
    check_capacity(plan, device, request.folder)
    setup = Setup(request, corpus, plan, precision, device)
    model = _new_model(plan, request.seed, _load_base(request))
    return _begin(setup, model, stream, _reserve(setup, model, began))


def _begin(
    setup: Setup,
    model: RecurrentModel,
    stream: TextIO | None,
    reserve: float,
    start: Start | None = None,
    speeds: Speeds | None = None,
) -> TrainingResult:
    """Train a model into a new folder, from its first step or from the end of a race.

    The speeds by which that was planned are corrected.
    """
    folder = RunFolder(setup.request.folder)
    with folder.begin(setup.plan.model, setup.corpus.vocabulary, setup.record()):
        if start is not None:
            folder.save(start.checkpoint)
            JsonLog(folder.path / _LOG, _units(setup.corpus)).on_race(start.outcome)
        checkpoint = None if start is None else start.checkpoint
        report = _run(setup, folder, model, checkpoint, stream, reserve, speeds)
        return _report(setup, folder, model, report, notify_on(stream))


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
    base, device = _load_base(request), choose_device(request.device)
    if base is not None:
        _check_base(request, overrides, base.config)
    return _Checked(request, RequestedText(request, base, notify), base, overrides, device)


def _prepare(checked: _Checked, speeds: Speeds, notify: Notify) -> tuple[Setup, RecurrentModel]:
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
        throughput=speeds.throughput,
        overrides=checked.overrides,
        base=base.config if base else None,
    )
    if base is not None and base.config.labels and corpus.train.labels is None:
        raise SettingsError(
            f"the model of --init-from was trained with labels ({', '.join(base.config.labels)}) "
            "and this text has none: label it with --label-column or --label-folders, or start "
            "from a model without labels"
        )
    check_window(corpus.train, plan.recipe.window)
    check_capacity(plan, device, request.folder)
    for notice in corpus.notices:
        notify(notice)
    notify(_describe(corpus))
    say_if_binary(corpus, notify)
    notify(f"preset {plan.preset}: {plan.reason}")
    model = _new_model(plan, request.seed, base)
    with explaining_memory(plan):
        precision = _choose_precision(plan, model, device, speeds)
    return Setup(request, corpus, plan, precision, device), model


def _load_base(request: TrainingRequest) -> ModelFiles | None:
    """Read the model that a request starts from, if it names one."""
    return None if request.base is None else ModelFiles.read(request.base)


def _check_base(request: TrainingRequest, overrides: Overrides, base: ModelConfig) -> None:
    """Make sure that what was asked for fits the model to start from."""
    for name, each in settings_of(TokenSettings).items():
        if name != "tokens" and getattr(request, name) != each.default:
            raise SettingsError(
                f"{each.option} does not go with --init-from, whose vocabulary is kept: "
                "leave one of them out"
            )
    asked = dict(overrides.model)
    if request.preset != "auto":
        shape = PRESETS[request.preset].model
        asked = {**asdict(ModelConfig(base.vocabulary_size, **shape)), **asked}
    for name in sorted(asked.keys() - _FREE_IN_FINE_TUNING):
        if getattr(base, name) != asked[name]:
            is_set = name in overrides.model
            remedy = "leave it out of --set" if is_set else f"leave out --preset {request.preset}"
            raise SettingsError(
                f"{name} is {getattr(base, name)} in the model of --init-from, whose weights do "
                f"not fit {asked[name]}: {remedy}, or train a new model"
            )


def _new_model(plan: Plan, seed: int, base: ModelFiles | None) -> RecurrentModel:
    """Draw the weights with the seed, or take those of the model to start from."""
    torch.manual_seed(seed)
    model = RecurrentModel(plan.model)
    if base is not None:
        extended = extend(build_network(base), plan.model.vocabulary_size, plan.model.labels)
        load_weights(model, extended.state_dict())
    return model


def _choose_precision(
    plan: Plan, model: RecurrentModel, device: torch.device, speeds: Speeds
) -> Precision:
    recipe = plan.recipe
    if recipe.precision == "auto":
        return speeds.of(plan.model, recipe).choice
    if recipe.precision == "bf16" and not runs_in_bf16(model.to(device), recipe):
        raise SettingsError(
            f"this {device.type} cannot train {plan.model.cell} layers in bf16: leave out "
            "precision=bf16 to train in the fastest format that it has"
        )
    return recipe.precision


def _reserve(setup: Setup, model: RecurrentModel, began: float) -> float:
    """Return the seconds that come before training and after it; the model moves to its device."""
    model.to(setup.device)
    ending = _seconds_to_end(model, setup)
    return time.perf_counter() - began + ending


def _make_trainer(
    setup: Setup,
    model: RecurrentModel,
    reserve: float,
    callbacks: Sequence[Callback] = (),
    save: Callable[[Checkpoint], None] | None = None,
) -> Trainer:
    request, corpus, recipe = setup.request, setup.corpus, setup.plan.recipe
    start_id = corpus.vocabulary.start_id
    keep_freed_memory()
    model.to(setup.device)
    return Trainer(
        model,
        make_batches(corpus.train, start_id, recipe, request.seed),
        Optimizers(model, recipe.optimization),
        pace=Pace(request.budget, reserve, recipe.most_epochs),
        warmup_steps=recipe.optimization.warmup_steps,
        precision=setup.precision,
        objective=recipe.objective,
        quick=QuickSets(
            quick_batches(corpus.validation, start_id), quick_batches(corpus.heldout, start_id)
        ),
        callbacks=callbacks,
        save=save,
    )


def _run(
    setup: Setup,
    folder: RunFolder,
    model: RecurrentModel,
    checkpoint: Checkpoint | None,
    stream: TextIO | None,
    reserve: float,
    speeds: Speeds | None = None,
) -> StepReport:
    """Train until the budget is spent or a stop is requested; the best weights are kept.

    Returns:
        The report of the last step.
    """
    plan = setup.plan
    callbacks = _callbacks(setup.request, setup.corpus, plan.model.first_label, stream)
    trainer = _make_trainer(setup, model, reserve, callbacks, folder.save)
    if checkpoint is not None:
        trainer.resume(checkpoint)
    other_work = OtherWork()
    with stop_on_signals(trainer), writing(folder.path), explaining_memory(plan):
        report = trainer.run()
    if speeds is not None and report.seconds > _TELLING_SECONDS:
        speed, load = trainer.steps_per_second, other_work.cores()
        speeds.correct(plan.model, plan.recipe, setup.precision, speed, load)
    load_weights(model, trainer.best)
    return report


def _report(
    setup: Setup, folder: RunFolder, model: RecurrentModel, report: StepReport, notify: Notify
) -> TrainingResult:
    """Score the kept model on all of the held-out text, and write it with its card."""
    corpus = setup.corpus
    if report.spent < 1:
        return setup.result(report, None)
    counts = _count(model, setup, notify)
    files = pack_model(model, corpus.vocabulary, counts=counts)
    on_progress = Work(notify, "scoring the held-out text")
    heldout = evaluate_engine(_scorer(model, files), corpus.heldout, on_progress)
    result = setup.result(report, heldout.with_overlap(corpus.overlap))
    folder.finish(replace(files, card=setup.card(result)))
    return result


def _count(model: RecurrentModel, setup: Setup, notify: Notify, part: int = 1) -> bytes | None:
    """Count the text, or a part of it, if the recipe says so."""
    most_bytes = 1e6 * setup.plan.recipe.counts
    return learn_counts(model, setup.corpus, most_bytes, notify, part) if most_bytes else None


def _scorer(model: RecurrentModel, files: ModelFiles) -> Engine:
    """Return what scores held-out text fastest: the native engine, unless there is a GPU."""
    device = model.device.type
    return open_engine(
        files, "torch" if device == "cuda" else "auto", device, network=lambda: model
    )


def _seconds_to_end(model: RecurrentModel, setup: Setup) -> float:
    """Foresee how long it takes to count, score, save and report; only minutes ask for it."""
    corpus, budget = setup.corpus, setup.request.budget
    if budget.unit != "minutes":
        return 0.0
    began = time.perf_counter()
    counts = _count(model, setup, ignore, _COUNTED_PART)
    counting = (time.perf_counter() - began) * _COUNTED_PART
    files, heldout = pack_model(model, corpus.vocabulary, counts=counts), corpus.heldout
    scorer = _scorer(model, files)
    evaluate_engine(scorer, first_tokens(heldout, _FIRST_TOKENS))
    began = time.perf_counter()
    timed = evaluate_engine(scorer, first_tokens(heldout, _TIMED_TOKENS))
    scoring = (time.perf_counter() - began) * len(heldout.tokens) / timed.tokens
    seconds = 60 * budget.amount
    saving = min(_SAVING_SHARE * seconds, _MOST_SAVING_SECONDS)
    return counting + scoring + saving + min(_REPORT_SHARE * seconds, _MOST_REPORT_SECONDS)


def _units(corpus: Corpus) -> Units:
    return Units(len(corpus.train.tokens) / max(1, corpus.train.characters))


def _callbacks(
    request: TrainingRequest, corpus: Corpus, label: str | None, stream: TextIO | None
) -> list[Callback]:
    units = _units(corpus)
    log = JsonLog(request.folder / _LOG, units)
    callbacks: list[Callback] = [log]
    listeners: list[OnSample] = [log.on_sample]
    if stream is not None:
        progress = choose_progress(screen_on(stream), units)
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


def _describe(corpus: Corpus) -> str:
    size, tokens = corpus.characters, corpus.vocabulary.size
    parts = f"{counted(size, 'character')}, {counted(tokens, 'different token')}"
    if corpus.documents != "none":
        parts += f", {counted(corpus.document_count, 'document')}"
    if corpus.labels:
        parts += f", labels {', '.join(corpus.labels)}"
    return f"{parts}; {counted(corpus.heldout.characters, 'character')} held out"
