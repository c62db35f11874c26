"""The commands that evaluate a model or quantize it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sunspring.cli import printing
from sunspring.cli.common import DeviceOption, JsonOption, ModelOption, RateOption
from sunspring.cli.console import notices, notify, print_json, say
from sunspring.cli.parameters import is_given, names_given, refuse
from sunspring.errors import SettingsError
from sunspring.folders import contents
from sunspring.settings import required, setting, settings_of
from sunspring.text.options import FileOptions, ReadingOptions

_OWN_TEXT = "the model's own held-out text, read as it was for training"


@dataclass(frozen=True, kw_only=True)
class MeasuredText(ModelOption):
    """Which text a model is measured on."""

    sources: tuple[str, ...] = setting(
        (),
        "The text, named as for train.",
        argument="SOURCES",
        shown_default="the model's own held-out text",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(MeasuredText, RateOption, DeviceOption, JsonOption):
    """What is measured."""

    protocol: Literal["stream", "windows"] = setting(
        "stream", "Read the text once, in order, or random windows of 256 tokens."
    )
    mixture: bool = setting(
        False, "Also measure the model mixed with n-grams of its training text."
    )
    dynamic: bool = setting(
        False, "Also measure the model while it learns from each piece that it has scored."
    )
    canaries: bool = setting(
        False,
        "Instead insert random lines in the training text, train a copy of the run on it, and "
        "measure whether it gives them away.",
    )


def evaluate(options: EvaluateOptions, reading: ReadingOptions) -> None:
    """Measure how well a model predicts a text.

    The result is in bits and nats per character, compared with n-gram models fitted to the
    model's training text.
    """
    if options.canaries:
        _measure_canaries(options)
        return
    from sunspring.model import Model

    if not options.sources:
        refuse(settings_of(ReadingOptions), _OWN_TEXT)
    options.check_rate(options.dynamic, "--dynamic")
    model = Model.load(options.model, options.device)
    if not is_given("documents"):
        reading = replace(reading, documents=model.documents)
    evaluation, baselines = model.evaluate(
        options.sources,
        options.protocol,
        reading,
        notify(),
        mixture=options.mixture,
        dynamic=options.learning if options.dynamic else False,
    )
    if options.as_json:
        print_json({**evaluation.to_json(), "baselines": baselines})
    else:
        print(printing.describe_evaluation(evaluation, baselines))


def _measure_canaries(options: EvaluateOptions) -> None:
    """Do what `evaluate --canaries` does."""
    free = ("model", "canaries", "device", "as_json")
    names = [name for name in names_given() if name not in free]
    refuse(names, "--canaries, which trains a copy of the run on its own text")
    from sunspring.privacy.canaries import canary_exposure

    report = canary_exposure(options.model, options.device, notices())
    if report is None:
        say("interrupted: the copy is deleted, and the run is as it was")
        raise SystemExit(130)
    if options.as_json:
        print_json({"canaries": report.to_json()})
    else:
        print(printing.describe_canaries(report))


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(MeasuredText, DeviceOption, JsonOption):
    """Where the quantized model goes."""

    out: Path = required("Folder for the quantized model.")


def quantize(options: QuantizeOptions, files: FileOptions) -> None:
    """Save a model in 8 bits, a quarter of the size.

    What that costs in quality is measured on a text, in nats per character.
    """
    from sunspring.model import Model

    if not options.sources:
        refuse(settings_of(FileOptions), _OWN_TEXT)
    if held := contents(options.out):
        raise SettingsError(f"{options.out} {held}: name another folder with --out")
    model = Model.load(options.model, options.device)
    quantized = model.quantize(options.sources, model.reading(files), notify())
    quantized.save(options.out)
    figures = {"out": str(options.out), **quantized.card["quantization"]}
    if options.as_json:
        print_json(figures)
    say(printing.describe_quantization(figures))
