"""The command line: it parses, calls and prints; what is done is done by the modules before it.

Text and JSON go to stdout, everything else to stderr. Exit codes: 0 done, 1 the input or the model
is at fault, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from sunspring.cli import insight as cli_insight
from sunspring.cli import options, printing
from sunspring.cli.checks import check_rate, is_given, learning, refuse, shown
from sunspring.cli.console import prepare_streams, print_json, say
from sunspring.cli.options import Device, Documents, Protocol, Tokens, WriteCommand
from sunspring.cli.writing import write
from sunspring.errors import MissingExtraError, SettingsError, SunspringError

_EXTRAS = {
    "torch": ("this command", "train"),
    "tokenizers": ("a vocabulary of subwords", "subwords"),
}
"""What a missing package means, and the extra that brings it."""

app = typer.Typer(
    help="Teach a small recurrent network to write like a text of your own.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    context: typer.Context,
    sources: options.Sources = None,
    out: options.Out = None,
    minutes: options.Minutes = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    preset: options.Preset = "auto",
    tokens: options.TokensChoice = Tokens.chars,
    documents: options.DocumentsChoice = Documents.none,
    device: options.DeviceChoice = Device.auto,
    seed: options.TrainingSeed = 0,
    settings: options.Settings = None,
    resume: options.Resume = False,
    init_from: options.InitFrom = None,
    heldout: options.Heldout = None,
    encoding: options.Encoding = None,
    errors: options.Errors = "strict",
    keep_newlines: options.KeepNewlines = False,
    label_column: options.LabelColumn = None,
    label_folders: options.LabelFolders = False,
    minimum_count: options.MinimumCount = 1,
    subword_vocabulary: options.SubwordVocabulary = 2000,
    tensorboard: options.TensorBoard = False,
    as_json: options.Json = False,
) -> None:
    """Teach a network to write like SOURCES, or like the text of Python's help if none is named."""
    began = time.perf_counter()
    from sunspring.corpus.corpus import CorpusSettings
    from sunspring.reports.page import report_training
    from sunspring.runs import train as runs
    from sunspring.runs.request import TrainingRequest
    from sunspring.text.decoding import ReadingOptions
    from sunspring.training.budget import choose_budget

    if resume:
        _check_resumed(context, out)
        amounts = (minutes, epochs, steps)
        budget = choose_budget(*amounts) if amounts != (None, None, None) else None
        result = runs.resume(out or Path(), budget, sys.stderr)
    else:
        names = tuple(sources or ())
        reading = ReadingOptions(
            documents.value, encoding, errors, keep_newlines, label_column, label_folders
        )
        request = TrainingRequest(
            sources=names,
            out=out or _free_run(names),
            budget=choose_budget(minutes, epochs, steps),
            preset=preset,
            device=device.value,
            seed=seed,
            reading=reading,
            encoding=CorpusSettings(tokens.value, subword_vocabulary, minimum_count),
            heldout=tuple(heldout or ()),
            overrides=_parse_settings(settings or []),
            init_from=init_from,
            tensorboard=tensorboard,
        )
        result = runs.train(request, sys.stderr, began)
    if as_json:
        print_json(result.to_json())
    say(printing.describe_result(result))
    report_training(result, say)
    if result.interrupted:
        raise typer.Exit(130)


app.command(cls=WriteCommand)(write)


@app.command()
def evaluate(
    context: typer.Context,
    model: options.ModelFolder,
    sources: options.Sources = None,
    protocol: options.ProtocolChoice = Protocol.stream,
    documents: options.DocumentsOfModel = None,
    encoding: options.Encoding = None,
    errors: options.Errors = "strict",
    keep_newlines: options.KeepNewlines = False,
    label_column: options.LabelColumn = None,
    label_folders: options.LabelFolders = False,
    mixture: options.MixtureMeasured = False,
    dynamic: options.Dynamic = False,
    rate: options.Rate = None,
    canaries: options.Canaries = False,
    device: options.DeviceChoice = Device.auto,
    as_json: options.Json = False,
) -> None:
    """Measure how well a model predicts SOURCES, or its own held-out text if none is named."""
    if canaries:
        _measure_canaries(context, model, device, as_json)
        return
    from sunspring.api import load
    from sunspring.text.decoding import ReadingOptions

    check_rate(rate, dynamic, "--dynamic")
    loaded = load(model, device.value)
    reading = ReadingOptions(
        documents.value if documents else loaded.documents,
        encoding,
        errors,
        keep_newlines,
        label_column,
        label_folders,
    )
    evaluation, baselines = loaded.evaluate(
        sources or (),
        protocol.value,
        reading,
        say,
        mixture=mixture,
        dynamic=dynamic and (learning(rate) or True),
    )
    if as_json:
        print_json(printing.evaluation_json(evaluation, baselines))
    else:
        print(printing.describe_evaluation(evaluation, baselines))


@app.command()
def quantize(
    model: options.ModelFolder,
    out: options.ModelOut,
    sources: options.Sources = None,
    device: options.DeviceChoice = Device.auto,
    as_json: options.Json = False,
) -> None:
    """Write a model in 8 bits, and measure the loss on SOURCES or its own held-out text."""
    from sunspring.api import load

    if (out / "config.json").exists():
        raise SettingsError(f"{out} already holds a model: name another folder with --out")
    quantized = load(model, device.value).quantize(sources or (), on_notice=say)
    quantized.save(out)
    figures = {"out": str(out), **quantized.card["quantization"]}
    if as_json:
        print_json(figures)
    say(printing.describe_quantization(figures))


@app.command()
def doctor(as_json: options.Json = False) -> None:
    """Look at this machine: device, speeds, versions, and what train would choose."""
    from sunspring.reports.doctor import describe, examine

    report = examine()
    if as_json:
        print_json(report)
    else:
        print(describe(report))


app.add_typer(cli_insight.app)


def main() -> None:
    """Run the command line; errors that users can mend end it with one line and exit code 1."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    prepare_streams()
    try:
        app()
    except SunspringError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        what, extra = _EXTRAS[error.name]
        _fail(str(MissingExtraError(what, extra)))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}: check the disk and the permissions")


def _fail(message: str) -> NoReturn:
    print(f"sunspring: {message}", file=sys.stderr)
    raise SystemExit(1)


def _interrupt(number: int, frame: Any) -> NoReturn:
    os.write(2, b"\nsunspring: interrupted\n")  # print may have been interrupted itself
    raise SystemExit(130)


def _measure_canaries(context: typer.Context, run: Path, device: Device, as_json: bool) -> None:
    """Do what `evaluate --canaries` does."""
    free = ("model", "canaries", "device", "as_json")
    beside = "--canaries, which trains a copy of the run on its own text"
    refuse(context, [name for name in context.params if name not in free], beside)
    from sunspring.privacy.canaries import canary_exposure

    report = canary_exposure(run, device.value, sys.stderr)
    if report is None:
        say("interrupted: the copy is deleted, and the run is as it was")
        raise typer.Exit(130)
    if as_json:
        print_json({"canaries": printing.canaries_json(report)})
    else:
        print(printing.describe_canaries(report))


def _check_resumed(context: typer.Context, out: Path | None) -> None:
    """Make sure that nothing is asked of a resumed run that was settled when it began."""
    if out is None:
        raise SettingsError("--resume goes on with the run in --out: name its folder")
    free = {"out", "minutes", "epochs", "steps", "resume", "as_json"}
    for name in context.params:
        if name not in free and is_given(context, name):
            raise SettingsError(
                f"{shown(context, name)} was settled when the run in {out} began: "
                "leave it out with --resume"
            )


def _free_run(sources: Sequence[str]) -> Path:
    """Name a new folder under runs/ after the first source."""
    stem = Path(sources[0].rstrip("/")).name.split(".")[0] if sources else "python-help"
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem)
    base = Path("runs") / (name[:60].strip("-") or "text")
    number = 1
    path = base
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


def _parse_settings(settings: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise SettingsError(f"--set {setting} has no value: write it as key=value")
        parsed[key.strip()] = value.strip()
    return parsed
