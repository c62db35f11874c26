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
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from sunspring import cli_insight, options, printing
from sunspring.console import ask, prepare_streams, print_json, print_stream, say
from sunspring.errors import MissingExtraError, SettingsError, SourceError, SunspringError
from sunspring.options import Device, Documents, EngineName, Protocol, Tokens

if TYPE_CHECKING:
    from sunspring.api import Model
    from sunspring.dynamic import LearningSettings

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
    from sunspring import runs
    from sunspring.budget import choose_budget
    from sunspring.corpus import CorpusSettings
    from sunspring.decoding import ReadingOptions
    from sunspring.request import TrainingRequest

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
    if result.interrupted:
        raise typer.Exit(130)


@app.command()
def write(
    context: typer.Context,
    model: options.ModelFolder,
    prompt: options.Prompt = "",
    prompt_file: options.PromptFile = None,
    length: options.Length = 500,
    count: options.Count = 1,
    temperature: options.Temperature = 0.8,
    top_k: options.TopK = 0,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    stop: options.Stop = None,
    regex: options.Regex = None,
    seed: options.WritingSeed = None,
    unique: options.Unique = False,
    novel: options.Novel = False,
    label: options.Label = None,
    interactive: options.Interactive = False,
    mixture: options.MixtureWritten = False,
    adapt: options.Adapt = None,
    blend: options.Blend = None,
    rate: options.Rate = None,
    device: options.DeviceChoice = Device.auto,
    engine: options.EngineChoice = EngineName.auto,
    as_json: options.Json = False,
) -> None:
    """Write with a trained model, on from a prompt."""
    from sunspring.api import load
    from sunspring.interactive import write_together

    if interactive:
        _check_interactive(context)
    _check_rate(rate, adapt is not None, "--adapt")
    text = _read_prompt(prompt, prompt_file)
    loaded = load(model, device.value, engine.value)
    if adapt is not None:
        loaded = loaded.adapted(adapt, label, _learning(rate), say)
    if mixture:
        loaded = loaded.mixed()
    for other, share in map(_parse_share, blend or []):
        loaded = loaded.blended(load(other, device.value, engine.value), share)
    read = _read_as_model(loaded, text)
    settings: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "label": label,
    }
    if interactive:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ends it, and keeps the text
        print(write_together(loaded, text, settings, ask, say))
        return
    settings |= {"length": length, "stop": stop or (), "regex": regex, "seed": seed}
    if count == 1 and not (as_json or unique or novel):
        print_stream(loaded.stream(text, **settings))
        return
    began = time.perf_counter()
    writings = loaded.write_many(count, text, unique=unique, novel=novel, **settings)
    seconds = time.perf_counter() - began
    if as_json:
        print_json(printing.writings_json(text, read, writings, seconds, loaded.engine))
    else:
        for writing in writings:
            print(writing.text)


@app.command()
def evaluate(
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
    device: options.DeviceChoice = Device.auto,
    as_json: options.Json = False,
) -> None:
    """Measure how well a model predicts SOURCES, or its own held-out text if none is named."""
    from sunspring.api import load
    from sunspring.decoding import ReadingOptions

    _check_rate(rate, dynamic, "--dynamic")
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
        dynamic=dynamic and (_learning(rate) or True),
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
    from sunspring.doctor import describe, examine

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


def _check_resumed(context: typer.Context, out: Path | None) -> None:
    """Make sure that nothing is asked of a resumed run that was settled when it began."""
    if out is None:
        raise SettingsError("--resume goes on with the run in --out: name its folder")
    free = {"out", "minutes", "epochs", "steps", "resume", "as_json"}
    for name in context.params:
        if name not in free and _is_given(context, name):
            raise SettingsError(
                f"{_shown(context, name)} was settled when the run in {out} began: "
                "leave it out with --resume"
            )


def _check_interactive(context: typer.Context) -> None:
    """Make sure that nothing is asked of writing together that it does not do."""
    for name in ("length", "count", "stop", "regex", "seed", "unique", "novel", "as_json"):
        if _is_given(context, name):
            raise SettingsError(
                f"{_shown(context, name)} does not go with --interactive, where you choose: "
                "leave one of them out"
            )


def _check_rate(rate: float | None, learns: bool, option: str) -> None:
    if rate is not None and not learns:
        raise SettingsError(f"--rate says how fast {option} learns: give that too, or leave it out")


def _learning(rate: float | None) -> LearningSettings | None:
    from sunspring.dynamic import LearningSettings

    return None if rate is None else LearningSettings(rate)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _shown(context: typer.Context, name: str) -> str:
    """Name a parameter as the user writes it."""
    parameter = next(each for each in context.command.params if each.name == name)
    return parameter.opts[0] if parameter.opts[0].startswith("-") else name.upper()


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


def _parse_share(blend: str) -> tuple[Path, float]:
    folder, _, share = blend.rpartition(":")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise SettingsError(f"--blend {blend} has no share: write it as MODEL:0.3") from None


def _read_prompt(prompt: str, path: Path | None) -> str:
    if path is None:
        return prompt
    if prompt:
        raise SettingsError("give the prompt by --prompt or by --prompt-file, not both")
    shown = "standard input" if str(path) == "-" else path
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        at = f"byte {error.start}"
        raise SourceError(f"{shown} is not utf-8 at {at}: convert the prompt to it") from None
    except OSError as error:
        raise SourceError(f"{shown} cannot be read ({error.strerror}): check the path") from None


def _read_as_model(model: Model, prompt: str) -> str:
    """Read a prompt as the model does, and say what became of characters that it does not know."""
    read, replaced = model.adapt(prompt)
    if replaced:
        changes = ", ".join(
            f"{old!r} is read as {new!r}" if new else f"{old!r} is left out"
            for old, new in sorted(replaced.items())
        )
        say(f"characters of the prompt that the model has never seen: {changes}")
    return read
